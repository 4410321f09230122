//! An old table, read page by page.

use super::row::{New, PAGE, Plan};
use super::subject::{Known, Subject, Verdict};
use super::told::{Counts, Progress, Told};
use crate::store::{Row, Statement, Store, StoreError};

/// The rows of a table, and how many of them are good.
pub(super) struct Pages<'p> {
    old: &'p Store,
    plan: &'p Plan<'static>,
    progress: Progress<'p>,
    is_over: bool,
    pub(super) counts: Counts,
}

impl<'p> Pages<'p> {
    pub(super) async fn new(old: &'p Store, plan: &'p Plan<'static>) -> Result<Self, StoreError> {
        let name = &*plan.subject.table.name;
        let progress = Progress::new(name, rows_of(old, name).await?);
        Ok(Self { old, plan, progress, is_over: false, counts: Counts::default() })
    }

    /// The next rows; `None` when there are no more.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Row>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let rows = self.old.query(self.plan.page(self.counts.found)).await?;
        self.is_over = rows.len() < PAGE;
        self.counts.found += rows.len();
        Ok(Some(rows))
    }

    /// Tells how far it is, when it takes long.
    pub(super) fn tell(&mut self) {
        self.progress.at(self.counts.found);
    }

    /// The rows that can be carried over, with their names; the others are told.
    pub(super) fn judged(
        &mut self,
        rows: &[Row],
        known: &Known,
        told: &mut Told,
    ) -> Vec<(String, New<'static>)> {
        let plan = self.plan;
        let table = &plan.subject.table.name;
        let mut good = Vec::new();
        for row in rows {
            let verdict =
                plan.new_row(row).map(|mut new| ((plan.subject.judge)(&mut new, known), new));
            match verdict {
                Ok((Verdict::Good, new)) => good.push((plan.name(row), new)),
                Ok((Verdict::Over(_), _)) => self.counts.skipped += 1,
                Ok((Verdict::Bad(reason), _)) | Err(reason) => {
                    self.counts.refused += 1;
                    told.trouble(format!("  {table} {}: refused: {reason}", plan.name(row)));
                }
            }
        }
        good
    }
}

/// The columns of an old table; `None`, which is told, when it is not there.
pub(super) async fn columns_of(
    old: &Store,
    subject: &Subject,
    told: &mut Told,
) -> Result<Option<Vec<String>>, StoreError> {
    let name = &*subject.table.name;
    let columns = old.columns(name).await?;
    if columns.is_empty() {
        told.say(format!("{name}: not there"));
        return Ok(None);
    }
    Ok(Some(columns))
}

/// How many rows a table has.
pub(super) async fn rows_of(store: &Store, table: &str) -> Result<usize, StoreError> {
    let rows = store.query(Statement::new(format!("SELECT COUNT(*) FROM {table}"))).await?;
    let count = rows.first().and_then(|row| row.int(0)).unwrap_or(0);
    Ok(usize::try_from(count).unwrap_or(0))
}
