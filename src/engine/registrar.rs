//! Registered contacts, for scripts and for messages from XMPP.

use std::sync::PoisonError;

use super::worker::Worker;
use crate::clock;
use crate::script::error::RouteError;
use crate::script::route::Route;
use crate::script::router::{Contact, Router};
use crate::sip::location::{Location, address_of_record};

impl Worker {
    /// RFC 3261 §10.3: remembers or forgets contacts, and replies.
    pub(super) fn save_contacts(&self, route: &mut Route, table: &str) -> Result<bool, RouteError> {
        let saved = self.with_location(table, |location| {
            let source = route.source;
            location.register(clock::now(), &route.message, source.peer, source.transport)
        });
        let (status, reason, headers): (u16, &str, Vec<(&str, String)>) = match saved {
            Ok(contacts) => {
                let contacts = contacts.into_iter().map(|contact| ("Contact", contact));
                (200, "OK", contacts.collect())
            }
            Err(error) => {
                let (status, reason) = error.status();
                (status, reason, error.header().into_iter().collect())
            }
        };
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if route.has_transaction {
            self.reply(route, status, reason, &headers)?;
        } else {
            self.send_stateless(&route.message, route.source, status, reason, &headers)?;
        }
        Ok(status == 200)
    }

    /// The best contact of the address of record that a URI names.
    pub(super) fn best_contact(&self, table: &str, uri: &str) -> Option<Contact> {
        let address = address_of_record(uri)?;
        self.with_location(table, |location| {
            let binding = location.contacts(clock::now(), &address).next()?;
            let received = binding.received.map(|(transport, peer)| {
                format!("sip:{peer};transport={}", transport.token().to_ascii_lowercase())
            });
            Some(Contact { uri: binding.uri.clone(), received })
        })
    }

    fn with_location<T>(&self, table: &str, use_it: impl FnOnce(&mut Location) -> T) -> T {
        let mut tables = self.shared.locations.lock().unwrap_or_else(PoisonError::into_inner);
        if !tables.contains_key(table) {
            tables.insert(table.to_owned(), Location::new(self.shared.location_limits));
        }
        use_it(tables.get_mut(table).expect("it was put there just now"))
    }
}
