//! Copies the rows of one database into another: what is there stays as it is, and a second time changes nothing.

use super::pages::{Pages, columns_of, rows_of};
use super::row::{New, Plan};
use super::subject::{Known, Others, SUBJECTS, Subject};
use super::told::{Counts, Told};
use crate::store::{Column, ColumnType, Row, Statement, Store, StoreError, Value};

/// The new database.
pub(super) struct Target {
    /// None for one that is not there yet.
    pub(super) store: Option<Store>,
    /// Nothing is written.
    pub(super) is_dry: bool,
}

/// Copies every table that the old database has; gives their number.
pub(super) async fn carry(
    old: &Store,
    new: &Target,
    known: &mut Known,
    told: &mut Told,
) -> Result<usize, StoreError> {
    let mut count = 0;
    for subject in &SUBJECTS {
        let name = &*subject.table.name;
        let Some(columns) = columns_of(old, subject, told).await? else { continue };
        count += 1;
        match Plan::new(subject, &columns) {
            Err(reason) => told.trouble(format!("{name}: refused: {reason}")),
            Ok(plan) => table(old, new, &plan, known, told).await?,
        }
    }
    Ok(count)
}

/// A table of the new database.
struct Place<'p> {
    subject: &'static Subject,
    /// The columns that are written, those that it has.
    columns: Vec<&'static Column>,
    /// None where nothing can be there.
    store: Option<&'p Store>,
    is_empty: bool,
}

async fn table(
    old: &Store,
    new: &Target,
    plan: &Plan<'static>,
    known: &mut Known,
    told: &mut Told,
) -> Result<(), StoreError> {
    let name = &*plan.subject.table.name;
    let place = match place(plan.subject, new).await? {
        Ok(place) => place,
        Err(reason) => {
            told.trouble(format!("{name}: refused: {reason}"));
            return Ok(());
        }
    };
    let mut pages = Pages::new(old, plan).await?;
    while let Some(rows) = pages.next().await? {
        let good = pages.judged(&rows, known, told);
        place.take(good, new.is_dry, (known, &mut pages.counts, told)).await?;
        pages.tell();
    }
    told.say(format!(
        "{name}: {}",
        pages.counts.words(if new.is_dry { "to copy" } else { "copied" })
    ));
    if !plan.left.is_empty() {
        told.say(format!("  nothing here reads {}", plan.left.join(", ")));
    }
    Ok(())
}

/// The table as it is, or made; the reason when it cannot be written.
async fn place<'p>(
    subject: &'static Subject,
    new: &'p Target,
) -> Result<Result<Place<'p>, String>, StoreError> {
    let table = subject.table;
    let all = || table.columns.iter().filter(|it| is_written(subject, it)).collect();
    let nothing = Place { subject, columns: all(), store: None, is_empty: true };
    let Some(store) = &new.store else { return Ok(Ok(nothing)) };
    let mut found = store.columns(&table.name).await?;
    if found.is_empty() {
        if new.is_dry {
            return Ok(Ok(nothing));
        }
        store.make(table).await?;
        found = store.columns(&table.name).await?;
    }
    let has = |column: &Column| found.iter().any(|it| it.eq_ignore_ascii_case(column.name));
    if let Some(column) = table.columns.iter().find(|it| !it.is_optional && !has(it)) {
        return Ok(Err(format!("the new table has no column `{}`", column.name)));
    }
    let columns = table.columns.iter().filter(|it| is_written(subject, it) && has(it)).collect();
    let is_empty = rows_of(store, &table.name).await? == 0;
    Ok(Ok(Place { subject, columns, store: Some(store), is_empty }))
}

/// Numbers that a database gives its rows are its own, unless other tables refer to them.
fn is_written(subject: &Subject, column: &Column) -> bool {
    column.kind != ColumnType::Id || subject.same.contains(&column.name)
}

/// What is in the way of a row.
enum Found {
    Nothing,
    /// The same, or what lasts longer.
    Same,
    /// What ours takes the place of.
    Shorter,
    Other,
}

impl Place<'_> {
    async fn take(
        &self,
        rows: Vec<(String, New<'static>)>,
        is_dry: bool,
        (known, counts, told): (&mut Known, &mut Counts, &mut Told),
    ) -> Result<(), StoreError> {
        let found = self.found(&rows).await?;
        let mut written = Vec::new();
        for ((name, row), found) in rows.into_iter().zip(found) {
            let statements = match found {
                Found::Nothing => vec![self.insertion(&row)],
                Found::Shorter => vec![self.by_key("DELETE", &row), self.insertion(&row)],
                Found::Same => {
                    counts.skipped += 1;
                    known.note(&row);
                    continue;
                }
                Found::Other => {
                    refuse(self.subject, &name, "another row of this name is there", counts, told);
                    continue;
                }
            };
            written.push((name, row, statements));
        }
        // All are asked for before one is waited for, so that many share a transaction.
        let ask = |statements: &Vec<Statement>| {
            let store = self.store.filter(|_| !is_dry)?;
            Some(store.execute(statements.clone()))
        };
        let asked: Vec<_> = written.iter().map(|(.., statements)| ask(statements)).collect();
        for ((name, row, _), asked) in written.iter().zip(asked) {
            let done = match asked {
                Some(answer) => answer.await.map(|_| ()),
                None => Ok(()),
            };
            match done {
                Ok(()) => {
                    counts.good += 1;
                    known.note(row);
                }
                Err(StoreError::Duplicate) => {
                    refuse(self.subject, name, "another row of this name is there", counts, told);
                }
                Err(error @ StoreError::Refused(_)) => {
                    refuse(self.subject, name, &error.to_string(), counts, told);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn found(&self, rows: &[(String, New<'static>)]) -> Result<Vec<Found>, StoreError> {
        let Some(store) = self.store.filter(|_| !self.is_empty) else {
            return Ok(rows.iter().map(|_| Found::Nothing).collect());
        };
        let names = self.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
        let what = format!("SELECT {names}");
        let asked: Vec<_> =
            rows.iter().map(|(_, row)| store.query(self.by_key(&what, row))).collect();
        let mut found = Vec::with_capacity(rows.len());
        for ((_, row), answer) in rows.iter().zip(asked) {
            found.push(self.compared(row, &answer.await?));
        }
        Ok(found)
    }

    fn compared(&self, row: &New<'_>, there: &[Row]) -> Found {
        let is_same = |found: &Row| row.is_same(found, &self.columns);
        let at = self.columns.iter().position(|column| column.name == "expires");
        let lasts = |found: &Row| at.and_then(|at| found.unix_time(at)) >= row.time("expires");
        match self.subject.others {
            _ if there.iter().any(is_same) => Found::Same,
            _ if there.is_empty() => Found::Nothing,
            Others::Differ => Found::Nothing,
            Others::Refuse => Found::Other,
            Others::Longest if there.iter().any(lasts) => Found::Same,
            Others::Longest => Found::Shorter,
        }
    }

    /// `SELECT …` or `DELETE` of the rows that are found as this one is.
    fn by_key(&self, what: &str, row: &New<'_>) -> Statement {
        let condition = |column: &&str| match row.value(column) {
            Value::Null => format!("{column} IS NULL"),
            _ => format!("{column} = ?"),
        };
        let conditions: Vec<_> = self.subject.same.iter().map(condition).collect();
        let table = &self.subject.table.name;
        let sql = format!("{what} FROM {table} WHERE {}", conditions.join(" AND "));
        let bound = self.subject.same.iter().map(|column| row.value(column));
        bound
            .filter(|value| **value != Value::Null)
            .fold(Statement::new(sql), |statement, value| statement.bind(value.clone()))
    }

    fn insertion(&self, row: &New<'_>) -> Statement {
        let names: Vec<_> = self.columns.iter().map(|column| column.name).collect();
        let marks = vec!["?"; names.len()].join(", ");
        let table = &self.subject.table.name;
        let sql = format!("INSERT INTO {table} ({}) VALUES ({marks})", names.join(", "));
        names
            .iter()
            .fold(Statement::new(sql), |statement, name| statement.bind(row.value(name).clone()))
    }
}

fn refuse(subject: &Subject, name: &str, reason: &str, counts: &mut Counts, told: &mut Told) {
    counts.refused += 1;
    told.trouble(format!("  {} {name}: refused: {reason}", subject.table.name));
}
