//! A row of an old table, and what it is in the new one.

use std::borrow::Cow;
use std::time::Duration;

use super::subject::{How, Subject};
use crate::sip::{HeaderId, NameAddr, Uri, unescape_text};
use crate::store::{Column, ColumnType, Row, Statement, Table, Value};

/// Rows that are read at a time.
pub(super) const PAGE: usize = 500;

/// How an old table is read.
pub(super) struct Plan<'s> {
    pub(super) subject: &'s Subject,
    /// For each column of ours, where it comes from.
    from: Vec<Option<(String, How)>>,
    named: Vec<&'static str>,
    /// Old columns that nothing here reads.
    pub(super) left: Vec<String>,
}

impl<'s> Plan<'s> {
    /// How a table with these columns is read; an error when it lacks what cannot be left out.
    pub(super) fn new(subject: &'s Subject, old: &[String]) -> Result<Self, String> {
        let has = |name: &str| old.iter().any(|it| it.eq_ignore_ascii_case(name));
        let source = |column: &Column| {
            if has(column.name) {
                return Some((column.name.to_owned(), How::AsIs));
            }
            let mut renamed = subject.renamed.iter().filter(|(ours, ..)| *ours == column.name);
            let (_, theirs, how) = renamed.find(|(_, theirs, _)| has(theirs))?;
            Some(((*theirs).to_owned(), *how))
        };
        let columns = subject.table.columns;
        let from: Vec<_> = columns.iter().map(source).collect();
        let missing = columns.iter().zip(&from).find(|(column, from)| {
            let fills_itself = column.is_nullable
                || column.is_optional
                || column.default.is_some()
                || matches!(column.kind, ColumnType::LongText | ColumnType::Blob | ColumnType::Id);
            from.is_none() && (!fills_itself || column.name == subject.same[0])
        });
        if let Some((column, _)) = missing {
            return Err(format!("it has no column `{}`", column.name));
        }
        let named: Vec<_> = subject.named.iter().copied().filter(|name| has(name)).collect();
        if named.is_empty() {
            return Err(format!("it has no column `{}`", subject.named[0]));
        }
        let is_read = |name: &String| {
            let is_ours =
                from.iter().flatten().any(|(theirs, _)| theirs.eq_ignore_ascii_case(name));
            is_ours || named.iter().any(|it| it.eq_ignore_ascii_case(name))
        };
        let left = old.iter().filter(|name| !is_read(name)).cloned().collect();
        Ok(Self { subject, from, named, left })
    }

    /// Is this column of ours under another name there?
    pub(super) fn other_name(&self, ours: &str) -> Option<&str> {
        let columns = self.subject.table.columns.iter().zip(&self.from);
        let (name, _) = columns
            .filter(|(column, _)| column.name == ours)
            .find_map(|(_, from)| from.as_ref())?;
        Some(name.as_str()).filter(|name| !name.eq_ignore_ascii_case(ours))
    }

    /// The rows behind the first `offset`.
    pub(super) fn page(&self, offset: usize) -> Statement {
        let read = self.from.iter().flatten().map(|(name, _)| name.as_str());
        let columns: Vec<_> = self.named.iter().copied().chain(read).collect();
        Statement::new(format!(
            "SELECT {} FROM {} ORDER BY {} LIMIT ? OFFSET ?",
            columns.join(", "),
            self.subject.table.name,
            self.named.join(", ")
        ))
        .bind(PAGE as i64)
        .bind(offset as i64)
    }

    /// What a row is called in words.
    pub(super) fn name(&self, row: &Row) -> String {
        let part = |(column, name): (usize, &&str)| match row.value(column) {
            Some(Value::Int(number)) => format!("{name}={number}"),
            Some(value) => format!("{name}={:?}", value.text().unwrap_or_default()),
            None => String::new(),
        };
        self.named.iter().enumerate().map(part).collect::<Vec<_>>().join(" ")
    }

    /// The row as the new table has it; the reason when it cannot be.
    pub(super) fn new_row(&self, row: &Row) -> Result<New<'s>, String> {
        let table = self.subject.table;
        let mut values = Vec::with_capacity(table.columns.len());
        let mut at = self.named.len();
        for (column, from) in table.columns.iter().zip(&self.from) {
            let value = match from {
                None => None,
                Some((_, how)) => {
                    let value = row.value(at);
                    at += 1;
                    value.map(|value| how.read(value)).transpose()?
                }
            };
            values.push(converted(column, value)?);
        }
        Ok(New { table, values })
    }

    /// Does the row have this column of ours, with something in it?
    pub(super) fn has(&self, row: &Row, ours: &str) -> bool {
        let columns = self.subject.table.columns.iter().zip(&self.from);
        let before = columns.take_while(|(column, _)| column.name != ours);
        let at = self.named.len() + before.filter(|(_, from)| from.is_some()).count();
        let is_there = self.subject.table.columns.iter().zip(&self.from);
        let is_there =
            is_there.filter(|(column, _)| column.name == ours).any(|(_, it)| it.is_some());
        is_there && row.text(at).is_some_and(|text| !text.is_empty())
    }
}

impl How {
    fn read(self, value: &Value) -> Result<Value, String> {
        let part = |pick: fn(&str) -> Option<String>| {
            let text = value.text().unwrap_or_default();
            pick(text).map(Value::from).ok_or_else(|| format!("{text:?} is no address"))
        };
        match self {
            Self::AsIs => Ok(value.clone()),
            Self::User => part(|text| user_and_host(text).map(|(user, _)| user)),
            Self::Host => part(|text| user_and_host(text).map(|(_, host)| host)),
            Self::Address => part(|text| {
                NameAddr::parse(HeaderId::From, text).ok().map(|address| address.uri.to_owned())
            }),
        }
    }
}

fn user_and_host(text: &str) -> Option<(String, String)> {
    let uri: Cow<'_, str> =
        if text.contains(':') { text.into() } else { format!("sip:{text}").into() };
    let uri = Uri::parse(&uri).ok().filter(Uri::is_sip)?;
    let user = unescape_text(uri.user()?).into_owned();
    Some((user, uri.host().to_ascii_lowercase()))
}

/// The value as a column of ours holds it; `None` is for a column that is not there.
fn converted(column: &Column, value: Option<Value>) -> Result<Value, String> {
    let value = match value {
        None | Some(Value::Null) if column.is_nullable => return Ok(Value::Null),
        None | Some(Value::Null) => return missing(column),
        Some(value) => value,
    };
    let is_no = |what: &str| format!("`{}` is no {what}", column.name);
    match column.kind {
        ColumnType::Text(longest) => {
            let text = match &value {
                Value::Int(number) => number.to_string(),
                Value::Real(number) => number.to_string(),
                other => other.text().ok_or_else(|| is_no("text in UTF-8"))?.to_owned(),
            };
            match text.chars().count() > usize::from(longest) {
                true => Err(format!("`{}` is longer than {longest} characters", column.name)),
                false => Ok(Value::Text(text)),
            }
        }
        ColumnType::LongText => {
            Ok(Value::from(value.text().ok_or_else(|| is_no("text in UTF-8"))?))
        }
        ColumnType::Id | ColumnType::Int | ColumnType::BigInt => {
            let seconds = || value.unix_time().and_then(|time| i64::try_from(time.as_secs()).ok());
            value.int().or_else(seconds).map(Value::Int).ok_or_else(|| is_no("number"))
        }
        ColumnType::Real => value.real().map(Value::Real).ok_or_else(|| is_no("number")),
        ColumnType::Blob => {
            let bytes = value.bytes().map(<[u8]>::to_vec);
            bytes.map(Value::Bytes).ok_or_else(|| is_no("text"))
        }
        ColumnType::DateTime => {
            value.unix_time().map(Value::date_time).ok_or_else(|| is_no("time"))
        }
    }
}

fn missing(column: &Column) -> Result<Value, String> {
    match (column.default, column.kind) {
        (Some(literal), _) => Ok(match literal.strip_prefix('\'') {
            Some(text) => Value::from(text.trim_end_matches('\'')),
            None => {
                Value::from(literal.trim_end_matches(".0")).int().map_or(Value::Null, Value::Int)
            }
        }),
        (None, ColumnType::LongText) => Ok(Value::from("")),
        (None, ColumnType::Blob) => Ok(Value::Bytes(Vec::new())),
        (None, ColumnType::Id) => Ok(Value::Null),
        (None, _) => Err(format!("`{}` holds nothing", column.name)),
    }
}

/// A row as the new table has it.
#[derive(Clone, Debug)]
pub(super) struct New<'s> {
    pub(super) table: &'s Table,
    values: Vec<Value>,
}

impl New<'_> {
    fn at(&self, column: &str) -> Option<usize> {
        self.table.columns.iter().position(|it| it.name == column)
    }

    pub(super) fn value(&self, column: &str) -> &Value {
        self.at(column).map_or(&Value::Null, |at| &self.values[at])
    }

    /// The text of a column, empty when there is none.
    pub(super) fn text(&self, column: &str) -> &str {
        self.value(column).text().unwrap_or_default()
    }

    pub(super) fn int(&self, column: &str) -> Option<i64> {
        self.value(column).int()
    }

    pub(super) fn time(&self, column: &str) -> Option<Duration> {
        self.value(column).unix_time()
    }

    pub(super) fn set(&mut self, column: &str, value: Value) {
        if let Some(at) = self.at(column) {
            self.values[at] = value;
        }
    }

    /// Is this the same row, as far as both have these columns?
    pub(super) fn is_same(&self, found: &Row, columns: &[&Column]) -> bool {
        columns.iter().enumerate().all(|(at, column)| {
            let (ours, theirs) = (self.value(column.name), found.value(at));
            theirs.is_some_and(|theirs| is_same_value(column, ours, theirs))
        })
    }
}

fn is_same_value(column: &Column, one: &Value, two: &Value) -> bool {
    if *one == Value::Null || *two == Value::Null {
        return one == two;
    }
    match column.kind {
        ColumnType::Text(_) | ColumnType::LongText => {
            let text = |value: &Value| {
                value.text().map(str::to_owned).or(value.int().map(|n| n.to_string()))
            };
            text(one) == text(two)
        }
        ColumnType::Blob => one.bytes() == two.bytes(),
        ColumnType::Id | ColumnType::Int | ColumnType::BigInt => one.int() == two.int(),
        // A FLOAT column gives back a little more or less than it was given.
        ColumnType::Real => match (one.real(), two.real()) {
            (Some(one), Some(two)) => (one - two).abs() < 0.005,
            (one, two) => one == two,
        },
        ColumnType::DateTime => one.unix_time() == two.unix_time(),
    }
}
