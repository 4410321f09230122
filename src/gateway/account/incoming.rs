//! What the server delivers to an account.

use std::time::Instant;

use super::{Account, Action, Incoming};
use crate::xmpp::{Jid, Kind, Stanza, StanzaError, Writer, jid, ns, roster};

impl<W> Account<W> {
    /// Takes a stanza; false when it is a question that nobody has answered yet.
    pub fn handle_stanza(&mut self, now: Instant, stanza: &Stanza) -> bool {
        self.stay(now);
        match stanza.kind() {
            Kind::Message => self.handle_message(stanza),
            Kind::Presence => self.handle_presence(now, stanza),
            Kind::Iq => return self.handle_iq(now, stanza),
            Kind::Nonza => {}
        }
        true
    }

    /// Is this our own account speaking: our bare JID, or the server without a name?
    fn is_own(&self, stanza: &Stanza) -> bool {
        match (stanza.from_jid(), &self.jid) {
            (None, _) => true,
            (Some(Ok(from)), Some(own)) => from == own.to_bare(),
            _ => false,
        }
    }

    fn handle_iq(&mut self, now: Instant, stanza: &Stanza) -> bool {
        let Some(items) = roster::read(stanza).filter(|_| self.is_own(stanza)) else {
            let is_answer = matches!(stanza.type_attribute().as_deref(), Some("result" | "error"));
            if is_answer {
                self.handle_room_answer(now, stanza);
            }
            return is_answer;
        };
        let is_push = stanza.type_attribute().as_deref() == Some("set");
        self.has_roster = true;
        for item in items {
            let domain = item.jid.domain().as_str();
            if item.jid.node().is_none() && self.settings.ser.is_alias(domain) {
                let is_known = item.subscription != "remove";
                self.transports.entry(domain.to_owned()).or_default().is_known = is_known;
            }
        }
        if is_push {
            let mut bytes = Vec::new();
            Writer::new(&mut bytes)
                .start("iq")
                .attr("type", "result")
                .attr_if("id", stanza.id().as_deref())
                .end();
            self.write(bytes);
        }
        self.flush(now);
        true
    }

    fn handle_presence(&mut self, now: Instant, stanza: &Stanza) {
        let Some(Ok(from)) = stanza.from_jid() else { return };
        if self.handle_room_presence(now, &from, stanza) {
            return;
        }
        let kind = stanza.type_attribute();
        match kind.as_deref() {
            Some("subscribe") if self.settings.approves => {
                let mut bytes = Vec::new();
                Writer::new(&mut bytes)
                    .start("presence")
                    .attr("type", "subscribed")
                    .attr("to", Jid::from(from.to_bare()).as_str())
                    .end();
                self.write(bytes);
            }
            None | Some("unavailable") if from.node().is_none() => {
                let domain = from.domain().as_str();
                if self.settings.ser.is_alias(domain) {
                    let transport = self.transports.entry(domain.to_owned()).or_default();
                    transport.is_ready = kind.is_none();
                    self.flush(now);
                }
            }
            _ => {}
        }
    }

    fn handle_message(&mut self, stanza: &Stanza) {
        for (name, is_sent) in [("received", false), ("sent", true)] {
            let Some(carbon) = stanza.payload(name, ns::CARBONS) else { continue };
            // XEP-0280 §11: anybody could send such a thing; only our own account may.
            if self.is_own(stanza)
                && let Some(inner) = forwarded(&carbon.standalone(), stanza)
            {
                self.deliver(&inner, is_sent);
            }
            return;
        }
        self.deliver(stanza, false);
    }

    /// Gives a message to the SIP user; with `is_sent` one that he has written elsewhere.
    fn deliver(&mut self, stanza: &Stanza, is_sent: bool) {
        let other = if is_sent { stanza.to_jid() } else { stanza.from_jid() };
        let Some(Ok(other)) = other else { return };
        let has_text = stanza.child_text("body").is_some_and(|body| !body.is_empty());
        if !has_text || is_sent && !self.settings.sent_copies {
            return;
        }
        let bare = Jid::from(other.to_bare());
        let is_groupchat = stanza.type_attribute().as_deref() == Some("groupchat");
        let (from, prefix) = match (self.rooms.get(&bare), StanzaError::read(stanza)) {
            (Some(room), None) if is_groupchat => {
                let nick = other.resource().map(|resource| resource.as_str()).unwrap_or_default();
                if room.has_nick(nick) {
                    return;
                }
                let prefix = if nick.is_empty() { String::new() } else { format!("[{nick}] ") };
                (room.address.clone(), prefix)
            }
            (_, None) if is_groupchat => return,
            (room, error) => {
                let address = room.map(|room| room.address.clone());
                let Some(from) = address.or_else(|| self.settings.ser.sip_from_jid(&other).ok())
                else {
                    return;
                };
                (from, error.map(|error| error_words(&error)).unwrap_or_default())
            }
        };
        let prefix = if is_sent { format!("[{}] ", self.name) } else { prefix };
        let may_bounce = !is_sent && !is_groupchat && !stanza.is_error();
        let incoming = Incoming { stanza: stanza.clone(), from, prefix, may_bounce };
        self.actions.push_back(Action::Deliver(Box::new(incoming)));
    }
}

/// SER's words before a message that came back.
pub fn error_words(error: &StanzaError) -> String {
    let code = error.condition.legacy_code();
    let text = error.text.clone().unwrap_or_else(|| error.condition.name().to_owned());
    format!("{{Error ({code} - {text}) when trying to send following message}}")
}

/// The message that a carbon holds (XEP-0297).
fn forwarded(carbon: &str, around: &Stanza) -> Option<Stanza> {
    let carbon = Stanza::parse(carbon, around.content()).ok()?;
    let forwarded = carbon.payload("forwarded", ns::FORWARD)?.standalone().into_owned();
    let forwarded = Stanza::parse(&forwarded, around.content()).ok()?;
    let message = forwarded.payload("message", around.content().name())?;
    let inner = Stanza::parse(&message.standalone(), around.content()).ok()?;
    // What has no address on either side is no message of anybody.
    let has_ends = inner.from().is_some_and(|from| jid::parse(&from).is_ok());
    Some(inner).filter(|inner| inner.kind() == Kind::Message && has_ends)
}
