//! The addresses in the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::groups::{Address, Prefix};
use crate::store::{Column, ColumnType, Row, Statement, Table, is_name};

/// Kamailio's `address`.
pub(super) static ADDRESS: Table = Table::new(
    "address",
    6,
    &[
        Column::new("id", ColumnType::Id),
        Column::new("grp", ColumnType::Int).default("1"),
        Column::new("ip_addr", ColumnType::Text(50)),
        Column::new("mask", ColumnType::Int).default("32"),
        Column::new("port", ColumnType::Int).default("0"),
        Column::new("tag", ColumnType::Text(64)).nullable(),
    ],
);

/// How long nobody asks a store again that did not answer.
const PAUSE: Duration = Duration::from_secs(5);

/// Reads the name of a table, or nothing.
pub(super) fn name_of_table<'de, D: Deserializer<'de>>(d: D) -> Result<Box<str>, D::Error> {
    let name = Box::<str>::deserialize(d)?;
    match name.is_empty() || is_name(&name) {
        true => Ok(name),
        false => Err(D::Error::custom("a table has a name of up to 64 letters, digits and _")),
    }
}

/// The question for every address.
pub(super) fn question(table: &str) -> Statement {
    Statement::new(format!("SELECT grp, ip_addr, mask, port, tag FROM {table}"))
}

/// What all workers know of a table.
pub(super) struct Known<T>(Mutex<State<T>>);

struct State<T> {
    value: Arc<T>,
    /// The table has been read at least once.
    is_read: bool,
    /// When somebody shall read the table next; `None` at once.
    next: Option<Instant>,
}

impl<T: Default> Default for Known<T> {
    fn default() -> Self {
        Self(Mutex::new(State { value: Arc::default(), is_read: false, next: None }))
    }
}

impl<T> Known<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A script begins: a table is read anew, and until then what was read before is known.
    pub(super) fn begin(&self, own: T, has_table: bool) {
        let mut state = self.lock();
        state.next = None;
        state.is_read &= has_table;
        if !state.is_read {
            state.value = Arc::new(own);
        }
    }

    /// What is known.
    pub(super) fn value(&self) -> Arc<T> {
        self.lock().value.clone()
    }

    /// Must the caller read the table? One is asked to in an interval, and everybody as long as it was never read.
    pub(super) fn must_read(&self, now: Instant, interval: Duration) -> bool {
        let mut state = self.lock();
        let is_due = state.next.is_none_or(|next| next <= now);
        if is_due {
            state.next = Some(now + interval);
        }
        is_due || !state.is_read
    }

    /// Takes what the table holds.
    pub(super) fn learn(&self, now: Instant, read: T) -> Arc<T> {
        let value = Arc::new(read);
        let mut state = self.lock();
        state.is_read = true;
        state.next = state.next.max(Some(now));
        state.value = value.clone();
        value
    }

    /// The table could not be read: what was read before, when it was.
    pub(super) fn failed(&self, now: Instant) -> Option<Arc<T>> {
        let mut state = self.lock();
        state.next = Some(now + PAUSE);
        Some(state.value.clone()).filter(|_| state.is_read)
    }
}

/// What every row of a table says; those that make no sense are left out, with a line in the log.
pub(super) fn sensible<T>(table: &str, rows: &[Row], read: impl Fn(&Row) -> Option<T>) -> Vec<T> {
    let sensible: Vec<_> = rows.iter().filter_map(read).collect();
    if sensible.len() < rows.len() {
        let count = rows.len() - sensible.len();
        tracing::warn!(count, table, "permissions: rows of the table make no sense");
    }
    sensible
}

/// The address of a row, or nothing when it makes no sense.
pub(super) fn address(row: &Row) -> Option<Address> {
    let ip = row.text(1)?.trim().parse().ok()?;
    let length = u8::try_from(row.int(2)?).ok()?;
    Some(Address {
        group: u32::try_from(row.int(0)?).ok().filter(|group| *group > 0)?,
        prefix: Prefix::new(ip, length).ok()?,
        port: u16::try_from(row.int(3)?).ok()?,
        tag: row.text(4).unwrap_or("").into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn one_reads_anew_and_the_others_go_on() {
        let (now, known) = (crate::clock::now(), Known::<()>::default());
        assert!(known.must_read(now, MINUTE));
        assert!(known.must_read(now, MINUTE), "nothing is known");
        known.learn(now, ());
        assert!(!known.must_read(now, MINUTE));
        assert!(known.must_read(now + MINUTE, MINUTE));
        assert!(!known.must_read(now + MINUTE, MINUTE), "another does");
        known.begin((), true);
        assert!(known.must_read(now + MINUTE, MINUTE), "a reload");
    }

    #[test]
    fn a_store_that_fails_is_left_alone_for_a_while() {
        let (now, known) = (crate::clock::now(), Known::<()>::default());
        assert!(known.failed(now).is_none(), "nothing was ever read");
        known.learn(now, ());
        assert!(known.failed(now).is_some());
        assert!(!known.must_read(now + PAUSE / 2, MINUTE));
        assert!(known.must_read(now + PAUSE, MINUTE));
    }
}
