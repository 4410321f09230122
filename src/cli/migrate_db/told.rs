//! What is said of the tables, and whether something needs attention.

use std::io::{Write, stdout};
use std::time::{Duration, Instant};

use crate::clock;

/// How often a table that takes long is told of.
const EVERY: Duration = Duration::from_secs(2);

/// What was said.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Something needs attention.
    pub(super) has_trouble: bool,
}

impl Told {
    /// Says a line; a reader who has gone away changes nothing.
    pub(super) fn say(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(stdout().lock(), "{}", line.as_ref());
    }

    /// Says a line about what needs attention.
    pub(super) fn trouble(&mut self, line: impl AsRef<str>) {
        self.has_trouble = true;
        self.say(line);
    }
}

/// What became of the rows of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) found: usize,
    pub(super) good: usize,
    pub(super) skipped: usize,
    pub(super) refused: usize,
}

impl Counts {
    /// In words; `good` is what the good ones are.
    pub(super) fn words(&self, good: &str) -> String {
        let Self { found, good: count, skipped, refused } = self;
        let rows = if *found == 1 { "row" } else { "rows" };
        format!("{found} {rows}: {count} {good}, {skipped} skipped, {refused} refused")
    }
}

/// Tells on standard error how far a table has come, when it takes long.
pub(super) struct Progress<'t> {
    table: &'t str,
    total: usize,
    next: Instant,
}

impl<'t> Progress<'t> {
    pub(super) fn new(table: &'t str, total: usize) -> Self {
        Self { table, total, next: clock::now() + EVERY }
    }

    pub(super) fn at(&mut self, row: usize) {
        let now = clock::now();
        if now >= self.next {
            self.next = now + EVERY;
            let _ = writeln!(std::io::stderr(), "{}: {row} of {} rows", self.table, self.total);
        }
    }
}
