//! The sets of destinations as all workers know them, from the configuration and from the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::Destination;
use super::choice::Sets;
use super::health::{Healths, Mark};
use crate::script::question::is_destination;
use crate::store::{Column, ColumnType, Row, Statement, Table, is_name};

/// Kamailio's `dispatcher`.
pub(super) static DISPATCHER: Table = Table::new(
    "dispatcher",
    4,
    &[
        Column::new("id", ColumnType::Id),
        Column::new("setid", ColumnType::Int).default("0"),
        Column::new("destination", ColumnType::Text(192)).default("''"),
        Column::new("flags", ColumnType::Int).default("0"),
        Column::new("priority", ColumnType::Int).default("0"),
        Column::new("attrs", ColumnType::Text(255)).default("''"),
        Column::new("description", ColumnType::Text(64)).default("''").optional(),
    ],
);

/// How long nobody asks a store again that did not answer.
const PAUSE: Duration = Duration::from_secs(5);

/// Kamailio's bits of the column `flags`.
const INACTIVE: u32 = 1;
const TRYING: u32 = 2;
const DISABLED: u32 = 4;
const PROBING: u32 = 8;

/// Reads the name of a table, or nothing.
pub(super) fn name_of_table<'de, D: Deserializer<'de>>(d: D) -> Result<Box<str>, D::Error> {
    let name = Box::<str>::deserialize(d)?;
    match name.is_empty() || is_name(&name) {
        true => Ok(name),
        false => Err(D::Error::custom("a table has a name of up to 64 letters, digits and _")),
    }
}

/// The question for every destination.
pub(super) fn question(table: &str) -> Statement {
    Statement::new(format!(
        "SELECT setid, destination, flags, priority, attrs FROM {table} \
         ORDER BY setid, priority DESC, id"
    ))
}

/// The sets.
#[derive(Default)]
pub(super) struct Known(Mutex<State>);

#[derive(Default)]
struct State {
    sets: Arc<Sets>,
    /// The table has been read at least once.
    is_read: bool,
    /// Before then nobody asks a store that did not answer.
    pause: Option<Instant>,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with the destinations of the configuration, until a table is read.
    pub(super) fn begin(&self, own: &[Destination]) {
        let mut state = self.lock();
        if !state.is_read {
            state.sets = Arc::new(Sets::new(own));
        }
    }

    /// What is known.
    pub(super) fn sets(&self) -> Arc<Sets> {
        self.lock().sets.clone()
    }

    /// Has the table been read?
    pub(super) fn is_read(&self) -> bool {
        self.lock().is_read
    }

    /// Was the table never read, and is the store to be asked now?
    pub(super) fn must_read(&self, now: Instant) -> bool {
        let state = self.lock();
        !state.is_read && state.pause.is_none_or(|pause| pause <= now)
    }

    /// The table could not be read: was it ever?
    pub(super) fn failed(&self, now: Instant) -> bool {
        let mut state = self.lock();
        state.pause = Some(now + PAUSE);
        state.is_read
    }

    /// Takes what the table holds; rows that make no sense are left out. A destination whose flags have changed gets the
    /// state that they say, any other keeps its own.
    pub(super) fn learn(&self, own: &[Destination], rows: &[Row], healths: &Healths) {
        let read: Vec<_> = rows.iter().filter_map(destination).collect();
        if read.len() < rows.len() {
            let count = rows.len() - read.len();
            tracing::warn!(count, "dispatcher: rows of the table make no sense");
        }
        let all: Vec<_> = own.iter().cloned().chain(read).collect();
        let sets = Arc::new(Sets::new(&all));
        let mut state = self.lock();
        for destination in &all {
            let before = state.sets.flags_of(&destination.uri).unwrap_or_default();
            if before != destination.flags {
                healths.mark(&destination.uri, mark(destination.flags), 1);
            }
        }
        healths.keep(|uri| sets.flags_of(uri).is_some());
        (state.sets, state.is_read, state.pause) = (sets, true, None);
    }
}

/// The state that the column `flags` names.
fn mark(flags: u32) -> Mark {
    let is_probed = flags & PROBING != 0;
    match flags {
        _ if flags & DISABLED != 0 => Mark::Disabled,
        _ if flags & INACTIVE != 0 => Mark::Inactive { is_probed },
        // One that is tried may fail before it is inactive.
        _ => Mark::Active { is_probed: is_probed || flags & TRYING != 0 },
    }
}

/// The destination of a row, or nothing when it makes no sense.
fn destination(row: &Row) -> Option<Destination> {
    let uri = row.text(1).map(str::trim).filter(|uri| is_destination(uri))?;
    let attrs = row.text(4).unwrap_or_default();
    let attribute = |name: &str| {
        let mut all = attrs.split(';').filter_map(|attribute| attribute.split_once('='));
        all.find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim())
    };
    let number = |name: &str, default: u32, most: u32| {
        let value = attribute(name).map_or(Some(default), |value| value.parse().ok());
        value.map(|value| value.min(most))
    };
    let (priority, weight) = (row.int(3)?.clamp(0, 1000), number("weight", 1, 1000)?);
    Some(Destination {
        set: u32::try_from(row.int(0)?).ok().filter(|set| *set <= i32::MAX as u32)?,
        uri: uri.into(),
        priority: u16::try_from(priority).ok()?,
        weight: u16::try_from(weight).ok()?,
        maxload: number("maxload", 0, super::load::MAX_CALLS as u32)?,
        flags: u32::try_from(row.int(2)?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Value;

    fn row(set: i64, uri: &str, flags: i64, attrs: &str) -> Row {
        Row(vec![set.into(), uri.into(), Value::from(flags), 5.into(), attrs.into()])
    }

    fn uris(known: &Known, set: i64) -> Vec<String> {
        let sets = known.sets();
        sets.find(set).map(|set| set.uris().map(Into::into).collect()).unwrap_or_default()
    }

    #[test]
    fn rows_become_destinations_beside_those_of_the_configuration() {
        let (known, healths) = (Known::default(), Healths::default());
        let own = destination(&row(1, "sip:own", 0, "")).unwrap();
        known.begin(std::slice::from_ref(&own));
        assert_eq!(uris(&known, 1), ["sip:own"]);
        let rows = [
            row(1, "sip:a", 0, "duid=x;weight=50;maxload=7"),
            row(2, " sip:b:5062;transport=tcp ", 0, ""),
            row(1, "no uri", 0, ""),
            row(-1, "sip:c", 0, ""),
            row(1, "sip:d", 0, "weight=much"),
        ];
        known.learn(std::slice::from_ref(&own), &rows, &healths);
        assert_eq!(uris(&known, 1), ["sip:own", "sip:a"]);
        assert_eq!(uris(&known, 2), ["sip:b:5062;transport=tcp"]);
        let read = destination(&rows[0]).unwrap();
        assert_eq!((read.weight, read.maxload, read.priority), (50, 7, 5));
        known.begin(&[]);
        assert_eq!(uris(&known, 2).len(), 1, "what was read stays");
    }

    #[test]
    fn flags_say_the_state_when_they_change() {
        let (known, healths) = (Known::default(), Healths::default());
        let learn = |flags: i64| known.learn(&[], &[row(1, "sip:a", flags, "")], &healths);
        let is_probed = || healths.is_probed("sip:a", false);
        learn(9);
        assert!(!healths.is_active("sip:a") && is_probed());
        healths.mark("sip:a", Mark::Active { is_probed: false }, 1);
        learn(9);
        assert!(healths.is_active("sip:a"), "nothing has changed");
        learn(4);
        assert!(!healths.is_active("sip:a"));
        learn(0);
        assert!(healths.is_active("sip:a") && !is_probed());
        healths.mark("sip:a", Mark::Disabled, 1);
        known.learn(&[], &[], &healths);
        learn(0);
        assert!(healths.is_active("sip:a"), "it was away meanwhile");
    }

    #[test]
    fn a_store_that_fails_is_left_alone_for_a_while() {
        let (now, known) = (crate::clock::now(), Known::default());
        assert!(known.must_read(now) && !known.failed(now));
        assert!(!known.must_read(now + PAUSE / 2) && known.must_read(now + PAUSE));
        known.learn(&[], &[], &Healths::default());
        assert!(!known.must_read(now) && known.failed(now));
    }
}
