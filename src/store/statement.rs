//! One SQL statement with the values that belong to its question marks.

use std::borrow::Cow;
use std::fmt;

use super::value::Value;

/// A statement in the SQL that SQLite and MySQL have in common, with `?` for each value.
///
/// `REPLACE INTO` writes a row whether its unique key is there or not; `LIMIT … OFFSET …` works in both. Times are
/// bound with [`Value::date_time`], since the databases disagree on what tells the time.
#[derive(Clone, PartialEq)]
pub struct Statement {
    pub(super) sql: Cow<'static, str>,
    pub(super) values: Vec<Value>,
}

impl Statement {
    /// A statement whose values are still missing.
    pub fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self { sql: sql.into(), values: Vec::new() }
    }

    /// The value of the next `?`.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }
}

/// The values may be anybody's password, so they are not shown.
impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Statement({}, {} values)", self.sql, self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_shown() {
        let statement = Statement::new("SELECT ?").bind("hunter2").bind(None::<i64>);
        assert_eq!(format!("{statement:?}"), "Statement(SELECT ?, 2 values)");
    }
}
