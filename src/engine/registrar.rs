//! Registered contacts, for scripts and for messages from XMPP.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ahash::AHashMap;
use tokio::sync::Notify;

use super::router::with_own;
use super::worker::Worker;
use crate::clock;
use crate::modules::registrar::table::uri_of_place;
use crate::modules::registrar::{Config, DbMode};
use crate::script::error::RouteError;
use crate::script::route::{Route, Target};
use crate::script::router::{Registered, Router, Saving};
use crate::sip::location::{Binding, Location, Manner, Registration, Rules, Walk};
use crate::sip::{HeaderId, NameAddr};

/// The table that has a store behind it.
pub(super) const STORED: &str = "location";

/// Tables that scripts may make by naming them.
const MAX_TABLES: usize = 64;

/// Addresses of record that are looked at for expired contacts before others get their turn.
const SWEPT_AT_ONCE: usize = 500;

/// Contacts that a walk looks at before others get their turn.
const SEEN_AT_ONCE: usize = 500;

/// The contacts of every table, which all workers share.
pub struct Locations {
    tables: Mutex<AHashMap<String, Location>>,
    rules: Rules,
    run: String,
    has_store: bool,
    pub(super) db_mode: DbMode,
    pub(super) timer_interval: Duration,
    /// Something is to be written.
    pub(super) has_changed: Notify,
    pub(super) is_closing: AtomicBool,
    pub(super) has_closed: Notify,
}

impl Locations {
    /// No contacts; `run` is a word of this process alone. Without a store they live in memory.
    pub fn new(config: &Config, run: String, has_store: bool) -> Self {
        Self {
            tables: Mutex::default(),
            rules: config.rules(),
            run,
            has_store: has_store && config.db_mode != DbMode::None,
            db_mode: config.db_mode,
            timer_interval: Duration::from_secs(config.timer_interval.into()),
            has_changed: Notify::new(),
            is_closing: AtomicBool::new(false),
            has_closed: Notify::new(),
        }
    }

    /// Is there a store behind?
    pub fn has_store(&self) -> bool {
        self.has_store
    }

    /// What may be registered.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Forgets contacts that have expired, a few at a time, so that nobody waits for long.
    pub async fn sweep(&self) {
        let names: Vec<_> = self.tables().keys().cloned().collect();
        for name in names {
            while self.with(&name, |location| location.sweep(clock::now(), SWEPT_AT_ONCE)) {
                tokio::task::yield_now().await;
            }
        }
        self.tell_store(STORED);
    }

    /// What a request to `uri` goes to, the best first.
    pub fn targets(&self, table: &str, uri: &str, method: Option<&str>) -> Vec<Target> {
        let tables = self.tables();
        let Some(location) = tables.get(table) else { return Vec::new() };
        let found = location.targets(clock::now(), uri).into_iter();
        found
            .filter(|binding| method.is_none_or(|method| binding.takes(method)))
            .map(target)
            .collect()
    }

    /// Those of the next contacts of a walk that `is_meant` picks; others have their turn between two calls.
    pub fn registered(
        &self,
        table: &str,
        walk: &mut Walk,
        is_meant: &dyn Fn(&Binding) -> bool,
    ) -> Vec<Registered> {
        let tables = self.tables();
        let Some(location) = tables.get(table) else {
            walk.finish();
            return Vec::new();
        };
        let seen = location.walk(clock::now(), walk, SEEN_AT_ONCE).into_iter();
        let found = seen.filter(|(_, binding)| is_meant(binding));
        let registered = |(address, binding): (&str, &Binding)| Registered {
            address: address.to_owned(),
            ruid: binding.ruid.clone(),
            target: target(binding),
        };
        found.map(registered).collect()
    }

    /// Forgets the contacts of `uri`, all or one; tells how many.
    pub fn unregister(&self, table: &str, uri: &str, contact: Option<&str>) -> usize {
        let Some(address) = self.rules.address.address_of_record(uri) else { return 0 };
        let gone =
            self.with(table, |location| location.unregister(clock::now(), &address, contact));
        self.tell_store(table);
        gone
    }

    /// Uses a table, which is made when it is new and there is room for it.
    pub(super) fn with<T>(&self, table: &str, use_it: impl FnOnce(&mut Location) -> T) -> T {
        let mut tables = self.tables();
        if let Some(location) = tables.get_mut(table) {
            return use_it(location);
        }
        let run = format!("{}-{}", self.run, tables.len());
        let mut location = Location::new(self.rules, run, self.has_store && table == STORED);
        let result = use_it(&mut location);
        if tables.len() < MAX_TABLES {
            tables.insert(table.to_owned(), location);
        }
        result
    }

    fn tables(&self) -> MutexGuard<'_, AHashMap<String, Location>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_store(&self, table: &str) {
        if self.has_store && table == STORED {
            self.has_changed.notify_one();
        }
    }
}

/// The way to a contact.
fn target(binding: &Binding) -> Target {
    let first_hop = || NameAddr::parse(HeaderId::Path, first_value(&binding.path)).ok();
    let destination = match binding.path.is_empty() {
        false => first_hop().map(|hop| hop.uri.into()),
        true => binding.received.map(|place| uri_of_place(place).into()),
    };
    Target {
        uri: binding.uri.as_str().into(),
        destination,
        path: binding.path.as_str().into(),
        q: binding.q,
        flags: binding.branch_flags,
    }
}

/// The first value of a list that was written by us: no comma stands in a URI of it but in angle brackets.
fn first_value(list: &str) -> &str {
    match list.find('>') {
        Some(end) => {
            let behind = list[end..].find(',').map_or(list.len(), |comma| end + comma);
            &list[..behind]
        }
        None => list.split(',').next().unwrap_or(list),
    }
}

impl Worker {
    /// RFC 3261 §10.3: remembers or forgets contacts, and replies.
    pub(super) fn save_contacts(
        &self,
        route: &mut Route,
        table: &str,
        saving: Saving<'_>,
    ) -> Result<bool, RouteError> {
        let locations = &self.shared.locations;
        let manner = Manner {
            uri: saving.uri,
            is_volatile: saving.is_volatile,
            replaces_all: saving.replaces_all,
            branch_flags: route.branch_flags,
        };
        let saved = Registration::read(&route.message, route.source, &locations.rules, manner)
            .and_then(|asks| {
                locations.with(table, |location| location.register(clock::now(), asks))
            });
        locations.tell_store(table);
        let is_saved = saved.is_ok();
        let (status, reason, headers) = match saved {
            Ok(headers) => (200, "OK", headers),
            Err(error) => {
                tracing::debug!(%error, peer = %route.source.peer, "REGISTER refused");
                let (status, reason) = error.status();
                (status, reason, error.header().into_iter().collect())
            }
        };
        if saving.is_silent {
            return Ok(is_saved);
        }
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if route.has_transaction {
            self.reply(route, status, reason, &headers)?;
        } else {
            let headers = with_own(route, status, &headers);
            self.send_stateless(&route.message, route.source, status, reason, &headers)?;
        }
        Ok(is_saved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_sees_every_contact_and_no_more_at_once_than_it_may() {
        let locations = Locations::new(&Config::default(), "run".into(), false);
        let later = clock::now() + Duration::from_secs(600);
        locations.with(STORED, |location| {
            for user in 0..3000 {
                for device in 0..=user % 3 {
                    let uri = format!("sip:{user}@192.0.2.{device}");
                    let ruid = format!("{user}-{device}");
                    let binding = Binding::new(uri, ruid, clock::now(), later);
                    location.restore(clock::now(), format!("{user}@sip.example"), binding);
                }
            }
        });
        let mut names = Vec::new();
        for number in 0..5 {
            let (mut walk, before) = (Walk::part(number, 5), names.len());
            while !walk.is_done() {
                let seen = std::cell::Cell::new(0);
                let is_meant = |_: &Binding| {
                    seen.set(seen.get() + 1);
                    true
                };
                let found = locations.registered(STORED, &mut walk, &is_meant);
                assert!(seen.get() <= SEEN_AT_ONCE, "{} under one lock", seen.get());
                names.extend(found.into_iter().map(|contact| contact.ruid));
            }
            assert!((800..1600).contains(&(names.len() - before)), "the parts are about the same");
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 6000);
    }

    #[test]
    fn the_first_hop_of_a_path_is_found_beside_others() {
        for (path, first) in [
            ("<sip:a,b@h;lr>;x,<sip:c@h>", "<sip:a,b@h;lr>;x"),
            ("<sip:a@h>", "<sip:a@h>"),
            ("sip:a@h;lr,sip:b@h", "sip:a@h;lr"),
        ] {
            assert_eq!(first_value(path), first);
        }
    }
}
