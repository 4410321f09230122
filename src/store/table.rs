//! What a module needs a table to have, said once for every database.

use std::borrow::Cow;

/// A table: made when it is missing, and looked at when it is there.
///
/// Names are Kamailio's where it has the table, so that its database is used in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The name.
    pub name: Cow<'static, str>,
    /// What Kamailio's table `version` says of a table that we have made.
    pub version: u32,
    /// The columns, in order.
    pub columns: &'static [Column],
    /// Columns that together are different in every row; any number of such keys.
    pub unique: &'static [&'static [&'static str]],
    /// Columns that rows are found by; any number of indexes.
    pub indexes: &'static [&'static [&'static str]],
    /// It will be used: that it does not fit is an error, else a line in the log.
    pub is_used: bool,
}

impl Table {
    /// A table without keys besides an `Id`.
    pub const fn new(name: &'static str, version: u32, columns: &'static [Column]) -> Self {
        Self {
            name: Cow::Borrowed(name),
            version,
            columns,
            unique: &[],
            indexes: &[],
            is_used: true,
        }
    }

    /// The same with unique keys.
    pub const fn unique(mut self, unique: &'static [&'static [&'static str]]) -> Self {
        self.unique = unique;
        self
    }

    /// The same with indexes.
    pub const fn indexes(mut self, indexes: &'static [&'static [&'static str]]) -> Self {
        self.indexes = indexes;
        self
    }

    /// The same table under the name that a parameter gives it.
    pub fn named(&self, name: impl Into<String>) -> Self {
        Self { name: Cow::Owned(name.into()), ..self.clone() }
    }
}

/// May this be the name of a table or column? Letters, digits and `_`, 1 to 64 of them.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A column; not null unless it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnType,
    /// It may hold nothing.
    pub is_nullable: bool,
    /// What it holds when an insert does not say, as SQL: `0`, `''`.
    pub default: Option<&'static str>,
    /// A table that is there already may lack it: it is made, and never read.
    pub is_optional: bool,
}

impl Column {
    /// A column that always holds something.
    pub const fn new(name: &'static str, kind: ColumnType) -> Self {
        Self { name, kind, is_nullable: false, default: None, is_optional: false }
    }

    /// The same, but it may hold nothing.
    pub const fn nullable(self) -> Self {
        Self { is_nullable: true, ..self }
    }

    /// The same with an SQL literal for inserts that do not say.
    pub const fn default(self, literal: &'static str) -> Self {
        Self { default: Some(literal), ..self }
    }

    /// The same, but a table that is there already may lack it.
    pub const fn optional(self) -> Self {
        Self { is_optional: true, ..self }
    }
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// A number that the database gives each new row: the primary key.
    Id,
    /// Text of at most so many letters.
    Text(u16),
    /// Text of any length up to 16 MB.
    LongText,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    BigInt,
    /// A number.
    Real,
    /// Bytes, up to 16 MB.
    Blob,
    /// A date and time, [`Value::date_time`](super::Value::date_time).
    DateTime,
}

/// Kamailio's list of tables and the version of each.
pub(super) static VERSION: Table = Table::new(
    "version",
    1,
    &[
        Column::new("table_name", ColumnType::Text(32)),
        Column::new("table_version", ColumnType::Int).default("0"),
    ],
)
.unique(&[&["table_name"]]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_quotes() {
        assert!(is_name("dbaliases") && is_name("acc_2"));
        for name in ["", "a b", "a;b", "a`", "ä", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
