//! The stream once a resource is bound: presence, acknowledgements, probes.

use std::time::Instant;

use bytes::Bytes;

use super::{Client, Event, State};
use crate::xmpp::jid::FullJid;
use crate::xmpp::ns;
use crate::xmpp::stanza::{Kind, Stanza};
use crate::xmpp::stream::end::CloseReason;
use crate::xmpp::writer::Writer;

/// The ids of our pings begin so.
const PING_ID: &str = "sipjab-ping-";
const CARBONS_ID: &str = "sipjab-carbons";
/// The id of the answer that brings the roster.
pub const ROSTER_ID: &str = "sipjab-roster";

impl Client {
    /// XEP-0198 §3: from here on both sides count.
    pub(super) fn handle_enabled(&mut self, now: Instant, stanza: &Stanza) {
        self.has_sm = true;
        let tree = stanza.tree();
        let can_resume = matches!(tree.root().attribute("resume"), Some("true" | "1"));
        self.resume_id = stanza.id().filter(|_| can_resume).map(|id| id.into_owned());
        self.become_ready(now, false);
    }

    /// XEP-0198 §5: the old stream goes on.
    pub(super) fn handle_resumed(&mut self, now: Instant, stanza: &Stanza) {
        let Some(mut old) = self.resumption.take() else { return };
        let acked = count(stanza).and_then(|h| old.outbox.handle_count(h));
        let (Some(acked), Ok(jid)) = (acked, FullJid::new(&old.jid)) else {
            return self.fail(CloseReason::Protocol("resumption with a wrong count"));
        };
        // The server lives, so that nothing of it was lost on the way.
        let settled = old.settling.into_iter().chain(acked);
        self.events.extend(settled.map(Event::Acked));
        for stanza in old.outbox.unacked() {
            self.out.extend_from_slice(stanza);
        }
        self.jid = Some(jid);
        self.has_sm = true;
        self.received = old.received;
        self.outbox = old.outbox;
        self.resume_id = Some(old.id);
        self.become_ready(now, true);
    }

    /// XEP-0198 §5: the old stream is forgotten, but the server may know how far it came.
    pub(super) fn handle_not_resumed(&mut self, now: Instant, stanza: &Stanza) {
        if let (Some(old), Some(h)) = (&mut self.resumption, count(stanza))
            && let Some(acked) = old.outbox.handle_count(h)
        {
            let settled = old.settling.drain(..).chain(acked);
            self.events.extend(settled.map(Event::Acked));
        }
        self.give_up_resumption();
        self.bind(now);
    }

    pub(super) fn give_up_resumption(&mut self) {
        let lost = self.resumption.take().map(|old| old.give_up()).unwrap_or_default();
        self.events.extend(lost.into_iter().map(Event::Lost));
    }

    pub(super) fn become_ready(&mut self, now: Instant, is_resumed: bool) {
        let Some(jid) = self.jid.clone() else { return };
        self.state = State::Ready;
        self.deadline = now + self.config.idle;
        // How to log in need not be known any more.
        self.features.sasl = None;
        if !is_resumed {
            self.appear();
        }
        self.events.push_back(Event::Ready { jid, is_resumed });
    }

    /// RFC 6121 §2.2 and §4.2: the roster first, then presence; XEP-0280 §4 in between.
    fn appear(&mut self) {
        let mut out = Vec::new();
        Writer::new(&mut out)
            .start("iq")
            .attr("type", "get")
            .attr("id", ROSTER_ID)
            .empty("query", ns::ROSTER)
            .finish();
        self.write_stanza(None, std::mem::take(&mut out).into());
        if self.config.carbons {
            Writer::new(&mut out)
                .start("iq")
                .attr("type", "set")
                .attr("id", CARBONS_ID)
                .empty("enable", ns::CARBONS)
                .finish();
            self.write_stanza(None, std::mem::take(&mut out).into());
        }
        Writer::new(&mut out)
            .start("presence")
            .text_child("status", "Online")
            .text_child("priority", &self.config.priority.to_string())
            .finish();
        self.write_stanza(None, out.into());
    }

    pub(super) fn write_stanza(&mut self, token: Option<u64>, bytes: Bytes) {
        self.out.extend_from_slice(&bytes);
        // Without acknowledgements only what somebody asks for is worth a ping.
        if self.has_sm || token.is_some() {
            self.outbox.push(token, bytes);
        }
    }

    /// Tells the server whether anybody looks (XEP-0352 §4); false when it does not want to know.
    pub fn set_active(&mut self, is_active: bool) -> bool {
        let may = self.state == State::Ready && self.features.has_csi;
        if may {
            let name = if is_active { "active" } else { "inactive" };
            Writer::new(&mut self.out).empty(name, ns::CSI);
        }
        may
    }

    /// Asks how far the server has come: `<r/>`, or a ping, which it answers in order.
    pub(super) fn ask_for_ack(&mut self) {
        self.outbox.note_asked();
        match self.has_sm {
            true => drop(Writer::new(&mut self.out).empty("r", ns::SM)),
            false => self.ping(),
        }
    }

    fn ping(&mut self) {
        self.serial += 1;
        Writer::new(&mut self.out)
            .start("iq")
            .attr("type", "get")
            .attr("to", &self.config.domain)
            .attr("id", &format!("{PING_ID}{}", self.serial))
            .empty("ping", ns::PING)
            .finish();
    }

    /// Finds out whether a silent server lives.
    pub(super) fn probe(&mut self, now: Instant) {
        self.is_probing = true;
        self.deadline = now + self.config.ping_timeout;
        self.ask_for_ack();
    }

    /// Takes an element of a stream that is ready. After our closing tag the server sends until it has seen that.
    pub(super) fn handle_in_session(&mut self, stanza: Stanza) {
        if stanza.kind() == Kind::Nonza {
            return self.handle_nonza(&stanza);
        }
        self.received = self.received.wrapping_add(u32::from(self.has_sm));
        let id = stanza.id();
        let is_answer = stanza.kind() == Kind::Iq
            && matches!(stanza.type_attribute().as_deref(), Some("result" | "error"));
        let own = id.as_deref().filter(|_| is_answer);
        if own == Some(CARBONS_ID) {
            return;
        }
        if let Some(serial) = own.and_then(|id| id.strip_prefix(PING_ID)) {
            // An earlier ping covers less than was noted since.
            if serial.parse() == Ok(self.serial) && !self.has_sm {
                let acked = self.outbox.handle_answer();
                self.settle(acked);
            }
            return;
        }
        drop(id);
        self.events.push_back(Event::Stanza(stanza));
    }

    fn handle_nonza(&mut self, stanza: &Stanza) {
        if !self.has_sm || stanza.namespace() != ns::SM {
            return;
        }
        match (stanza.name(), count(stanza)) {
            ("r", _) if self.config.keeps => self.events.push_back(Event::AckAsked(self.received)),
            ("r", _) => self.write_ack(self.received),
            ("a", Some(h)) => match self.outbox.handle_count(h) {
                Some(acked) => self.settle(acked),
                None => {
                    self.resume_id = None;
                    self.fail(CloseReason::Protocol("acknowledged what was never sent"));
                }
            },
            _ => {}
        }
    }

    /// Takes what the server has acknowledged just now. What it closes in order it does not lose.
    pub(super) fn settle(&mut self, mut acked: Vec<u64>) {
        let mut settled = std::mem::take(&mut self.settling);
        match self.config.settles_late && self.state == State::Ready {
            true => self.settling = acked,
            false => settled.append(&mut acked),
        }
        self.events.extend(settled.into_iter().map(Event::Acked));
        if !self.settling.is_empty() {
            self.ask_for_ack();
        }
    }

    pub(super) fn write_ack(&mut self, count: u32) {
        Writer::new(&mut self.out).start_in("a", ns::SM).attr("h", &count.to_string()).end();
    }
}

/// How many stanzas the server says it has taken.
fn count(stanza: &Stanza) -> Option<u32> {
    stanza.tree().root().attribute("h")?.parse().ok()
}
