//! Brings stored messages to their owners, and notes to senders.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Config;
use super::silo::{self, Waiting};
use super::writing::{Parts, dated};
use crate::script::route::Target;
use crate::script::router::Router;
use crate::store::{Store, Value};

/// What the functions and the jobs work with.
pub(super) struct Office {
    pub(super) config: Config,
    pub(super) store: Option<Store>,
    pub(super) under_way: Arc<UnderWay>,
}

/// Messages that are being delivered or were a short while ago, by any worker: a second REGISTER does not send them
/// again, though its question may have been answered before they were forgotten.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<Ids>);

#[derive(Debug, Default)]
struct Ids {
    begun: BTreeSet<Key>,
    /// The last ones.
    delivered: BTreeSet<Key>,
}

/// What a message is known by.
type Key = (i64, u64, String);

/// Delivered messages that are remembered.
const REMEMBERED: usize = 10_000;

impl UnderWay {
    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, key: Key) -> bool {
        let mut ids = self.ids();
        !ids.delivered.contains(&key) && ids.begun.insert(key)
    }

    fn end(&self, key: Key, ended: Ended) {
        let mut ids = self.ids();
        ids.begun.remove(&key);
        if ended == Ended::Delivered {
            ids.delivered.insert(key);
            if ids.delivered.len() > REMEMBERED {
                ids.delivered.pop_first();
            }
        }
    }
}

/// What the sender of a stored message is told.
pub(super) struct Note {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) contact: Option<String>,
    pub(super) content_type: String,
    pub(super) extra: Option<String>,
    pub(super) text: String,
}

/// How a delivery has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Delivered,
    /// It waits; what is behind it may go on.
    Refused,
    /// It waits, and so does what is behind it.
    Unreachable,
}

fn now() -> u64 {
    Value::now().unix_time().unwrap_or_default().as_secs()
}

impl Office {
    /// Sends messages to a user's contacts, one after the other (RFC 3428 §8).
    pub(super) async fn deliver(&self, router: &dyn Router, owner: &str, messages: Vec<Waiting>) {
        let begun: Vec<_> =
            messages.into_iter().filter(|message| self.under_way.begin(message.key())).collect();
        let mut ended = Ended::Refused;
        for message in &begun {
            if ended != Ended::Unreachable {
                ended = self.send(router, owner, message, "Offline message", None).await;
            }
            self.under_way.end(message.key(), ended);
        }
    }

    /// Sends one message, and forgets it when it has arrived.
    async fn send(
        &self,
        router: &dyn Router,
        owner: &str,
        message: &Waiting,
        what: &str,
        from: Option<&str>,
    ) -> Ended {
        let is_text = message.ctype.to_ascii_lowercase().starts_with("text/plain");
        let body = match self.config.add_date && is_text {
            true => dated(what, message.inc_time, &message.body),
            false => message.body.clone(),
        };
        let ways = self.ways(router, owner);
        let call_id = format!("silo-{}-{}", message.id, message.inc_time);
        let mut ended = Ended::Unreachable;
        for way in ways {
            let parts = Parts {
                uri: &way.uri,
                path: &way.path,
                from: from.unwrap_or(&message.src_addr),
                to: &message.dst_addr,
                call_id: &call_id,
                date: message.inc_time,
                contact: None,
                content_type: &message.ctype,
                extra: &message.extra_hdrs,
                body: &body,
            };
            match self.attempt(router, &parts, &way).await {
                Some(200..=299) => {
                    self.forget(message.id).await;
                    return Ended::Delivered;
                }
                Some(408 | 503) => {}
                Some(_) | None => ended = Ended::Refused,
            }
        }
        ended
    }

    /// The final status; `None` when the message cannot even be written.
    async fn attempt(&self, router: &dyn Router, parts: &Parts<'_>, way: &Target) -> Option<u16> {
        let Some(message) = parts.message() else {
            tracing::warn!("msilo: a stored message has a part that cannot be written");
            return None;
        };
        let next_hop = way.destination.as_deref().unwrap_or(&way.uri);
        let status = router.request(message, next_hop).await;
        let status = status.inspect_err(|error| tracing::info!(%error, "msilo: not delivered"));
        Some(status.unwrap_or(503))
    }

    /// Where a user is reached: his contacts, or whatever the outbound proxy makes of his address.
    fn ways(&self, router: &dyn Router, owner: &str) -> Vec<Target> {
        match &self.config.outbound_proxy {
            Some(proxy) => {
                let destination = Some(proxy.as_str().into());
                vec![Target { destination, ..Target::new(owner) }]
            }
            None => router.contacts(&self.config.location, owner, None),
        }
    }

    async fn forget(&self, id: i64) {
        let Some(store) = &self.store else { return };
        let statement = || vec![silo::delete(&self.config.db_table, id)];
        // Once more, since it would be sent again otherwise.
        if store.execute(statement()).await.is_err()
            && let Err(error) = store.execute(statement()).await
        {
            tracing::warn!(%error, "msilo: a delivered message stays in the store");
        }
    }

    /// Tells a sender that his message waits: at his contacts, else where his address leads.
    pub(super) async fn send_note(&self, router: &dyn Router, note: Note) {
        let mut ways = self.ways(router, &note.to);
        if ways.is_empty() {
            ways.push(Target::new(&*note.to));
        }
        let call_id = router.unique_id();
        for way in ways {
            let parts = Parts {
                uri: &way.uri,
                path: &way.path,
                from: &note.from,
                to: &note.to,
                call_id: &call_id,
                date: 0,
                contact: note.contact.as_deref(),
                content_type: &note.content_type,
                extra: note.extra.as_deref().unwrap_or_default(),
                body: note.text.as_bytes(),
            };
            if let Some(200..=299) = self.attempt(router, &parts, &way).await {
                return;
            }
        }
    }

    /// Forgets messages that are too old.
    pub(super) async fn clean(self: Rc<Self>) {
        let Some(store) = &self.store else { return };
        match store.execute(vec![silo::clean(&self.config.db_table, now())]).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "msilo: messages were too old"),
            Err(error) => tracing::debug!(%error, "msilo: nothing cleaned"),
        }
    }

    /// Sends the reminders whose time has come.
    pub(super) async fn remind(self: Rc<Self>, router: Rc<dyn Router>) {
        let Some(store) = &self.store else { return };
        let due = store.query(silo::due(&self.config.db_table, now())).await;
        let messages = due.unwrap_or_default();
        for message in messages.iter().filter_map(Waiting::read) {
            if !self.under_way.begin(message.key()) {
                continue;
            }
            let owner = format!("sip:{}@{}", message.username, message.domain);
            let from = self.config.reminder.as_deref();
            let ended = self.send(&*router, &owner, &message, "Reminder message", from).await;
            self.under_way.end(message.key(), ended);
        }
    }
}
