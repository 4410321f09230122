//! What becomes of the orders and messages of an account, and who hears of it.

use super::Login;
use crate::engine::bridge::Waiter;
use crate::engine::spool::tell;
use crate::gateway::ledger::Outcome;
use crate::gateway::{Text, error_words, failure_from_error};
use crate::script::router::Verdict;
use crate::xmpp::{Kind, Stanza, StanzaError};

/// Messages that are remembered, whose errors may come late.
const RECENT: usize = 32;

impl Login {
    pub(super) fn settle_done(&self, waiter: Waiter) {
        match waiter {
            Waiter::Nobody => {}
            Waiter::Script(waiter) => tell(Some(waiter), Verdict::new(200, "OK")),
            Waiter::Reply(id) => {
                let waiter = self.replies.borrow_mut().remove(&id);
                tell(waiter, Verdict::new(200, "OK"));
            }
            Waiter::Receipt(id) => {
                self.bridge(|bridge| bridge.awaited.borrow_mut().handle_handed_over(&id));
            }
            Waiter::Spool(id) => {
                self.bridge(|bridge| bridge.settle_written(id, None));
            }
        }
    }

    pub(super) fn settle_failed(&self, waiter: Waiter, text: Text, address: &str) {
        let script = match waiter {
            Waiter::Nobody => None,
            Waiter::Script(waiter) => Some(waiter),
            Waiter::Reply(id) => self.replies.borrow_mut().remove(&id),
            Waiter::Receipt(id) => {
                self.bridge(|bridge| bridge.awaited.borrow_mut().handle_failed(&id)).flatten()
            }
            Waiter::Spool(id) => {
                self.bridge(|bridge| bridge.settle_written(id, Some(text)));
                return;
            }
        };
        let (status, words) = text.status();
        let verdict = Verdict::new(status, words);
        if script.is_none_or(|script| script.send(verdict).is_err()) {
            self.notify(text, address);
        }
    }

    /// Returns what is kept elsewhere and has not left yet, because the stream is gone; all else waits for the next one,
    /// unless there shall be none.
    pub(super) fn give_back(&self, is_last: bool) {
        let is_kept = |waiter: &Waiter| matches!(waiter, Waiter::Spool(_));
        let mut machine = self.machine.borrow_mut();
        let mut unsent = machine.withdraw(is_kept);
        self.out.borrow_mut().retain(|(token, _)| match token {
            Some(token) if machine.waiter(*token).is_some_and(is_kept) => {
                unsent.extend(machine.handle_unsent(*token));
                false
            }
            Some(token) if is_last => {
                machine.handle_lost(*token);
                false
            }
            _ => !is_last,
        });
        drop(machine);
        // First it is known that there is no stream, so that nothing begins anew.
        self.act();
        for waiter in unsent {
            if let Waiter::Spool(id) = waiter {
                self.bridge(|bridge| bridge.conclude(id, Outcome::Unsent, None));
            }
        }
    }

    /// Remembers a message that is not kept; gives whom to tell of its fate.
    pub(in crate::engine) fn expect(&self, stanza_id: &str, waiter: Waiter) -> Waiter {
        let mut recent = self.recent.borrow_mut();
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(stanza_id.to_owned());
        let Waiter::Script(script) = waiter else { return waiter };
        self.replies.borrow_mut().insert(stanza_id.to_owned(), script);
        Waiter::Reply(stanza_id.to_owned())
    }

    /// Takes an error that has come for a message of ours; false when the user shall see it as it is.
    pub(super) fn take_error(&self, stanza: &Stanza) -> bool {
        let error = StanzaError::read(stanza).filter(|_| stanza.kind() == Kind::Message);
        let (Some(error), Some(id), Some(Ok(from))) = (error, stanza.id(), stanza.from_jid())
        else {
            return false;
        };
        if self.bridge(|bridge| bridge.take_error(&self.sip_id, stanza, &error)) == Some(true) {
            return true;
        }
        let jabber = self.jabber();
        let reply = self.replies.borrow_mut().remove(&*id).or_else(|| {
            self.bridge(|bridge| bridge.awaited.borrow_mut().handle_failed(&id)).flatten()
        });
        let failure = failure_from_error(&error, &from, &jabber.mapping);
        let verdict = Verdict::new(failure.code, failure.reason);
        if reply.is_some_and(|reply| reply.send(verdict).is_ok()) {
            return true;
        }
        let has_text = stanza.child_text("body").is_some_and(|body| !body.is_empty());
        let is_ours = self.recent.borrow().iter().any(|recent| *recent == *id)
            || self.bridge(|bridge| bridge.knows(&id)) == Some(true);
        if let Ok(address) = jabber.settings.ser.sip_from_jid(&from)
            && is_ours
            && !has_text
        {
            let text = self.bridge(|bridge| bridge.said_before(stanza)).flatten();
            let words = error_words(&error) + text.as_deref().unwrap_or_default();
            self.say(&words, &address);
            return true;
        }
        false
    }
}
