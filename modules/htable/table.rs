//! A table that all workers share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ahash::AHashSet;
use rhai::Dynamic;
use serde::Deserialize;

use crate::script::error::RouteError;
use crate::script::expiring::ExpiringMap;

/// The longest key, in bytes.
pub(super) const MAX_KEY: usize = 1024;

/// The longest text, in bytes.
pub(super) const MAX_VALUE: usize = 8192;

/// What an entry holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Int(i64),
    /// Text.
    Text(Box<str>),
}

impl Value {
    /// The value as it is written.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Int(number) => number.to_string().into(),
            Self::Text(text) => Cow::Borrowed(text),
        }
    }
}

impl From<Value> for Dynamic {
    fn from(value: Value) -> Self {
        match value {
            Value::Int(number) => number.into(),
            Value::Text(text) => text.into_string().into(),
        }
    }
}

/// What the configuration says of a table.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) size: usize,
    /// How long an entry stays; `None` for ever.
    pub(super) expiry: Option<Duration>,
    pub(super) updates_expiry: bool,
    pub(super) initial: Option<Value>,
}

/// A value and when it goes.
pub(super) type Entry = (Value, Option<Instant>);

/// One table.
#[derive(Default)]
pub(super) struct Table {
    state: Mutex<State>,
    /// What the store has kept was read.
    is_loaded: AtomicBool,
}

#[derive(Default)]
struct State {
    entries: ExpiringMap<Box<str>, Value>,
    /// There is a store behind.
    journal: Option<Journal>,
}

/// What the store does not know as it is.
#[derive(Default)]
struct Journal {
    keys: AHashSet<Box<str>>,
    is_all: bool,
}

/// What has changed: every key with what it holds now.
pub(super) struct Changes {
    pub(super) entries: Vec<(Box<str>, Option<Entry>)>,
    /// There is nothing else in the table.
    pub(super) is_all: bool,
}

impl State {
    /// A key has changed. When very many have, all have.
    fn note(&mut self, key: &str, size: usize) {
        let Some(journal) = self.journal.as_mut().filter(|journal| !journal.is_all) else { return };
        if journal.keys.len() >= size.saturating_mul(2) {
            *journal = Journal { is_all: true, ..Journal::default() };
        } else if !journal.keys.contains(key) {
            journal.keys.insert(key.into());
        }
    }

    fn note_all(&mut self) {
        if let Some(journal) = &mut self.journal {
            *journal = Journal { is_all: true, ..Journal::default() };
        }
    }
}

/// Every table that there was since the server began, by name: a reload finds its entries again.
#[derive(Default)]
pub(super) struct Tables(Mutex<BTreeMap<Box<str>, Arc<Table>>>);

impl Tables {
    /// The table of this name.
    pub(super) fn table(&self, name: &str) -> Arc<Table> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tables.entry(name.into()).or_default().clone()
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes are noted from now on.
    pub(super) fn keep_journal(&self) {
        self.lock().journal.get_or_insert_default();
    }

    /// Was it read what the store has kept?
    pub(super) fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Takes what the store has kept; false when that does not fit.
    pub(super) fn fill(&self, now: Instant, size: usize, kept: Vec<(Box<str>, Entry)>) -> bool {
        let mut state = self.lock();
        let mut insert =
            |(key, (value, expires))| state.entries.insert(now, size, key, value, expires).is_ok();
        let is_whole = kept.into_iter().all(&mut insert);
        self.is_loaded.store(true, Ordering::Release);
        is_whole
    }

    /// The store must be told of this key again.
    pub(super) fn note_change(&self, key: &str, size: usize) {
        self.lock().note(key, size);
    }

    /// The store must be told of everything.
    pub(super) fn change_all(&self) {
        self.lock().note_all();
    }

    /// What has changed since the last call.
    pub(super) fn take_changes(&self, now: Instant) -> Changes {
        let State { entries, journal } = &mut *self.lock();
        let Journal { keys, is_all } = journal.as_mut().map(std::mem::take).unwrap_or_default();
        let keys: Vec<Box<str>> = match is_all {
            true => entries.iter(now).map(|(key, _)| key.clone()).collect(),
            false => keys.into_iter().collect(),
        };
        let with_entry = |key: Box<str>| {
            let entry = entries.entry(now, &key).map(|(value, end)| (value.clone(), *end));
            (key, entry)
        };
        Changes { entries: keys.into_iter().map(with_entry).collect(), is_all }
    }

    pub(super) fn get(&self, now: Instant, key: &str) -> Option<Value> {
        self.lock().entries.get(now, key).cloned()
    }

    /// Sets an entry, for the table's time or one that the script names.
    pub(super) fn set(
        &self,
        now: Instant,
        rules: &Rules,
        key: Box<str>,
        value: Value,
        stay: Option<Option<Duration>>,
    ) -> Result<(), RouteError> {
        let state = &mut *self.lock();
        state.note(&key, rules.size);
        let expires = |stay: Option<Duration>| stay.map(|stay| now + stay);
        if let Some((known, end)) = state.entries.entry(now, &key) {
            *known = value;
            match stay {
                Some(stay) => *end = expires(stay),
                None if rules.updates_expiry => *end = expires(rules.expiry),
                None => {}
            }
            return Ok(());
        }
        let expires = expires(stay.unwrap_or(rules.expiry));
        let inserted = state.entries.insert(now, rules.size, key, value, expires);
        inserted.map_err(|_| RouteError::Overload("a table of htable"))
    }

    /// Lets an entry stay for a time from now; false when there is none.
    pub(super) fn set_expiry(
        &self,
        now: Instant,
        rules: &Rules,
        key: &str,
        stay: Option<Duration>,
    ) -> bool {
        let state = &mut *self.lock();
        let Some((_, end)) = state.entries.entry(now, key) else { return false };
        *end = stay.map(|stay| now + stay);
        state.note(key, rules.size);
        true
    }

    /// Adds to the number of a key and gives the sum.
    pub(super) fn add(
        &self,
        now: Instant,
        rules: &Rules,
        function: &'static str,
        key: Box<str>,
        step: i64,
    ) -> Result<i64, RouteError> {
        let reason = "the value is text";
        let no_number = RouteError::State { function, reason };
        let state = &mut *self.lock();
        state.note(&key, rules.size);
        let known = state.entries.entry(now, &key);
        let before = known.as_ref().map(|(value, _)| &**value).or(rules.initial.as_ref());
        let sum = match before {
            Some(Value::Text(_)) => return Err(no_number),
            Some(Value::Int(number)) => number.saturating_add(step),
            None => step,
        };
        if let Some((value, end)) = known {
            *value = Value::Int(sum);
            if rules.updates_expiry {
                *end = rules.expiry.map(|stay| now + stay);
            }
            return Ok(sum);
        }
        let expires = rules.expiry.map(|stay| now + stay);
        let inserted = state.entries.insert(now, rules.size, key, Value::Int(sum), expires);
        inserted.map(|()| sum).map_err(|_| RouteError::Overload("a table of htable"))
    }

    pub(super) fn remove(&self, now: Instant, rules: &Rules, key: &str) -> bool {
        let state = &mut *self.lock();
        state.note(key, rules.size);
        state.entries.remove(now, key).is_some()
    }

    /// Removes the entries that `is_meant` picks and tells how many.
    pub(super) fn remove_all(&self, now: Instant, is_meant: impl Fn(&str, &Value) -> bool) -> i64 {
        let state = &mut *self.lock();
        let removed = state.entries.retain(now, |key, value| !is_meant(key, value));
        if removed > 0 {
            state.note_all();
        }
        i64::try_from(removed).unwrap_or(i64::MAX)
    }

    pub(super) fn has(&self, now: Instant, is_meant: impl Fn(&str, &Value) -> bool) -> bool {
        self.lock().entries.iter(now).any(|(key, value)| is_meant(key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Option<Duration> = Some(Duration::from_secs(10));

    fn rules(updates_expiry: bool) -> Rules {
        Rules { size: 2, expiry: TEN, updates_expiry, initial: None }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn an_entry_expires_after_the_time_of_the_table() {
        let (start, table) = (crate::clock::now(), Table::default());
        for (updates, is_there) in [(true, true), (false, false)] {
            table.set(start, &rules(updates), "a".into(), Value::Int(1), None).unwrap();
            table.set(after(start, 5), &rules(updates), "a".into(), Value::Int(2), None).unwrap();
            assert_eq!(table.get(after(start, 9), "a"), Some(Value::Int(2)));
            assert_eq!(table.get(after(start, 12), "a").is_some(), is_there);
            table.remove(start, &rules(true), "a");
        }
    }

    #[test]
    fn a_script_may_name_the_time() {
        let (start, table) = (crate::clock::now(), Table::default());
        table.set(start, &rules(true), "a".into(), Value::Int(1), Some(None)).unwrap();
        assert!(table.get(after(start, 1_000_000), "a").is_some());
        assert!(table.set_expiry(start, &rules(true), "a", TEN));
        assert!(table.get(after(start, 10), "a").is_none());
        assert!(!table.set_expiry(after(start, 10), &rules(true), "a", None), "it is over");
    }

    #[test]
    fn a_counter_that_expires_begins_anew() {
        let (start, table) = (crate::clock::now(), Table::default());
        let add = |now, step| table.add(now, &rules(false), "sht_inc", "a".into(), step).unwrap();
        assert_eq!([add(start, 1), add(start, 1), add(start, -1)], [1, 2, 1]);
        assert_eq!(add(after(start, 10), 1), 1);
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let (now, table) = (crate::clock::now(), Table::default());
        for key in ["a", "b"] {
            table.add(now, &rules(true), "sht_inc", key.into(), 1).unwrap();
        }
        let full = table.set(now, &rules(true), "c".into(), Value::Int(1), None).unwrap_err();
        assert_eq!(full.status().0, 503);
        assert!(table.add(now, &rules(true), "sht_inc", "c".into(), 1).is_err());
        assert!(table.set(now, &rules(true), "a".into(), Value::Int(1), None).is_ok());
    }
}
