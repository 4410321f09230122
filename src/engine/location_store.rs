//! The store behind the bindings: read before the server listens, written behind the REGISTERs, which never wait for it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::registrar::{Locations, STORED};
use crate::clock;
use crate::modules::registrar::DbMode;
use crate::modules::registrar::table::{self, Moment};
use crate::sip::location::Row;
use crate::store::{Statement, Store, StoreError};

/// Rows that are read at once.
const PAGE: u32 = 2000;

/// Bindings that are written in one transaction.
const BATCH: usize = 200;

/// The first and the longest wait before a store that was away is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Tries of a store that is away when the server ends.
const LAST_TRIES: u32 = 2;

fn moment() -> Moment {
    Moment { now: clock::now(), unix: clock::unix_time() }
}

impl Locations {
    /// Takes the bindings that the store has kept, and tells how many rows there were.
    pub async fn restore(&self, store: &Store) -> Result<usize, StoreError> {
        let mut count = 0;
        let mut last = String::new();
        loop {
            let rows = store.query(table::rows_after(&last, PAGE)).await?;
            let Some(end) = rows.last() else { break };
            last = table::ruid_of(end).to_owned();
            count += rows.len();
            let moment = moment();
            let read = |row| table::binding_of(row, moment, self.rules());
            let bindings: Vec<_> = rows.iter().filter_map(read).collect();
            self.with(STORED, |location| {
                for (address, binding) in bindings {
                    location.restore(moment.now, address, binding);
                }
            });
            if rows.len() < PAGE as usize {
                break;
            }
        }
        Ok(count)
    }

    /// Keeps the store as the bindings are, until [`Locations::close`] and everything is written.
    ///
    /// What the store has kept is taken first, unless it was before.
    pub async fn keep_stored(&self, store: &Store, mut is_restored: bool) {
        while !is_restored && !self.is_closing() {
            match self.restore(store).await {
                Ok(count) => {
                    tracing::info!(count, "contacts restored");
                    is_restored = true;
                }
                Err(error) => {
                    tracing::debug!(%error, "contacts are not restored yet");
                    self.pause(RETRY.1).await;
                }
            }
        }
        loop {
            let is_last = self.is_closing();
            self.write_changes(store).await;
            if is_last {
                return;
            }
            match self.db_mode {
                DbMode::WriteBack => self.pause(self.timer_interval).await,
                DbMode::WriteThrough | DbMode::None => self.has_changed.notified().await,
            }
        }
    }

    /// Has [`Locations::keep_stored`] write what is left, and end.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.has_closed.notify_one();
        self.has_changed.notify_one();
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Waits, but not beyond the end of the server.
    async fn pause(&self, time: Duration) {
        if !self.is_closing() {
            let _ = tokio::time::timeout(time, self.has_closed.notified()).await;
        }
    }

    async fn write_changes(&self, store: &Store) {
        let changes = self.with(STORED, |location| location.take_changes());
        let changes: Vec<Row> = changes.into_iter().collect();
        for batch in changes.chunks(BATCH) {
            self.write_batch(store, batch).await;
        }
    }

    /// Writes some bindings as they are when the store takes them, however long that needs.
    async fn write_batch(&self, store: &Store, batch: &[Row]) {
        let mut wait = RETRY.0;
        let mut last_tries = 0;
        while let Err(error) = store.execute(self.statements(batch)).await {
            if error.retry_after().is_none() {
                return self.write_singly(store, batch).await;
            }
            if wait == RETRY.0 {
                tracing::warn!(%error, "contacts are kept in memory until the store takes them");
            }
            last_tries += u32::from(self.is_closing());
            if last_tries >= LAST_TRIES {
                tracing::error!(count = batch.len(), "changed contacts are not stored");
                return;
            }
            self.pause(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    /// Finds the binding that the store refuses, and goes on without it.
    async fn write_singly(&self, store: &Store, batch: &[Row]) {
        for row in batch {
            if let Err(error) = store.execute(self.statements(std::slice::from_ref(row))).await {
                tracing::error!(%error, ruid = %row.0, "a contact is not stored");
            }
        }
    }

    fn statements(&self, batch: &[Row]) -> Vec<Statement> {
        let moment = moment();
        self.with(STORED, |location| {
            let statement = |row: &Row| match location.row(row) {
                Some(binding) => table::write(&row.1, binding, moment, self.rules()),
                None => table::remove(&row.0),
            };
            batch.iter().map(statement).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::registrar::Config;
    use crate::sip::location::Binding;

    fn store() -> Store {
        Store::in_memory(std::slice::from_ref(&table::LOCATION)).unwrap()
    }

    fn locations(run: &str) -> Locations {
        Locations::new(&Config::default(), run.to_owned(), true)
    }

    /// Puts bindings into a table as a store would that other contacts came from.
    fn fill(locations: &Locations, contacts: &[&str]) {
        let (now, mut number) = (clock::now(), 0);
        for contact in contacts {
            number += 1;
            let expires = now + Duration::from_secs(600);
            let binding = Binding::new((*contact).to_owned(), format!("r{number}"), now, expires);
            locations.with(STORED, |it| it.restore(now, "alice@h".to_owned(), binding));
        }
    }

    async fn kept(store: &Store) -> Vec<String> {
        let fresh = locations("fresh");
        fresh.restore(store).await.unwrap();
        let targets = fresh.targets(STORED, "sip:alice@h", None);
        let mut uris: Vec<_> = targets.iter().map(|target| target.uri.to_string()).collect();
        uris.sort();
        uris
    }

    #[tokio::test]
    async fn the_last_changes_are_written_at_the_end() {
        let (store, locations) = (store(), locations("one"));
        fill(&locations, &["sip:a@h", "sip:b@h", "sip:c@h"]);
        // All three are new to this store, and one goes.
        let rows = ["r1", "r2"].map(|ruid| (ruid.into(), "alice@h".into()));
        locations.write_batch(&store, &rows).await;
        assert_eq!(kept(&store).await, ["sip:a@h", "sip:b@h"]);
        assert_eq!(locations.unregister(STORED, "sip:alice@h", Some("sip:a@h")), 1);
        locations.close();
        locations.keep_stored(&store, true).await;
        assert_eq!(kept(&store).await, ["sip:b@h"]);
    }

    #[tokio::test]
    async fn a_store_without_the_table_loses_contacts_and_no_time() {
        let (store, locations) = (Store::in_memory(&[]).unwrap(), locations("one"));
        fill(&locations, &["sip:a@h"]);
        assert!(locations.restore(&store).await.is_err());
        locations.write_batch(&store, &[("r1".into(), "alice@h".into())]).await;
        assert_eq!(locations.targets(STORED, "sip:alice@h", None).len(), 1);
    }
}
