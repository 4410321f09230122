//! CANCEL and ACK: what ends or confirms an INVITE (RFC 3261 §9, §16.10, §17.2.1).

use std::rc::Rc;

use super::forwarding::Forwarding;
use super::receive::Remains;
use super::shared::Mail;
use super::worker::Worker;
use crate::clock;
use crate::sip::transaction::{Event, ServerInput, ServerKey};
use crate::sip::transport::Source;
use crate::sip::{Message, hex};

impl Worker {
    /// Takes a CANCEL whose INVITE has a transaction, here or at another worker; false for any other.
    pub(super) fn is_cancel_of_ours(
        &self,
        message: &Message,
        key: ServerKey,
        invite: &ServerKey,
        remains: &Remains,
    ) -> bool {
        if self.table.borrow().server(invite).is_some() {
            self.cancel_served(message, key, invite, remains.source);
            return true;
        }
        match self.owner_elsewhere(invite) {
            Some(owner) => {
                self.pass_on(owner, Mail::Message(remains.bytes.clone(), remains.source));
                true
            }
            None => false,
        }
    }

    /// Answers the CANCEL, and cancels every branch of the INVITE, or ends it when it has none.
    fn cancel_served(&self, message: &Message, key: ServerKey, invite: &ServerKey, source: Source) {
        if self.open_server(key, message, source, 0).is_err() {
            self.answer_stateless(message, source, 200, "", &[]);
        } else {
            // It was opened just now, so it takes an answer.
            let _ = self.answer(message, &key, 200, "", &[]);
        }
        let mut table = self.table.borrow_mut();
        let Some(served) = table.server_mut(invite) else { return };
        served.is_cancelled = true;
        let (forwarding, wire, from) =
            (served.forwarding.clone(), served.wire.clone(), served.source);
        drop(table);
        match forwarding {
            Some(forwarding) => {
                let actions = forwarding.state.borrow_mut().context.handle_cancel();
                self.act(&forwarding, None, actions);
            }
            None if wire.is_empty() => {}
            None => self.answer_served(invite, wire, from, 487),
        }
    }

    /// Cancels one branch of an INVITE; one that was not sent yet is not sent at all.
    pub(super) fn cancel_leg(&self, forwarding: &Rc<Forwarding>, leg: usize) {
        let sent = forwarding.state.borrow().legs[leg].as_ref().and_then(|leg| leg.sent);
        if let Some((branch, _)) = sent {
            self.step_client(&branch, None, |table| table.cancel(clock::now(), &branch));
        }
    }

    /// Takes an ACK; true when nobody else needs it: it ends the repetition of a rejection.
    pub(super) fn is_ack_of_ours(
        &self,
        message: &Message,
        key: &ServerKey,
        remains: &Remains,
    ) -> bool {
        if self.table.borrow().server(key).is_some() {
            let mut is_for_user = false;
            self.step_server(key, |table| {
                let step = table.handle_server(clock::now(), key, ServerInput::Ack)?;
                is_for_user = step.event == Some(Event::Ack);
                Some(step)
            });
            return !is_for_user;
        }
        if let Some(owner) = self.owner_elsewhere(key) {
            self.pass_on(owner, Mail::Message(remains.bytes.clone(), remains.source));
            return true;
        }
        // The ACK of what was refused without a transaction, or whose transaction is over.
        message.to().is_ok_and(|to| to.tag() == Some(hex::text(&self.tag_of(message))))
    }

    fn owner_elsewhere(&self, key: &ServerKey) -> Option<u16> {
        if self.shared.mailboxes.len() == 1 {
            return None;
        }
        self.shared.owners.find(key).filter(|owner| *owner != self.id)
    }
}
