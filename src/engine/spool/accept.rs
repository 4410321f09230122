//! How a message gets into the spool.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::journal::Step;
use super::row::{Kind, Row, What};
use super::{Load, Made, Spool, millis, not_kept, tell};
use crate::clock;
use crate::engine::bridge::Bridge;
use crate::engine::delivery::Home;
use crate::engine::shared::Sending;
use crate::gateway::ledger::{Acceptance, Entry, State};
use crate::gateway::{MessageId, OutgoingRequest};
use crate::script::router::Verdict;
use crate::sip::Message;
use crate::xmpp::{Condition, Stanza, StanzaError};

/// A message that may be accepted.
pub(super) struct Offered {
    pub(super) id: MessageId,
    pub(super) kind: Kind,
    pub(super) lane: String,
    pub(super) sender: String,
    pub(super) recipient: String,
    pub(super) bytes: Bytes,
    pub(super) made: Option<Made>,
    pub(super) waiter: Option<oneshot::Sender<Verdict>>,
}

impl Offered {
    /// A MESSAGE that comes from SIP, without what it goes by.
    pub(super) fn request(id: MessageId, request: &Message) -> Self {
        let uri = |of: Result<crate::sip::NameAddr<'_>, _>| of.map(|it| it.uri.to_owned());
        Self {
            id,
            kind: Kind::component(What::Request),
            lane: String::new(),
            sender: uri(request.from()).unwrap_or_default(),
            recipient: uri(request.to()).unwrap_or_default(),
            bytes: Bytes::new(),
            made: None,
            waiter: None,
        }
    }
}

impl Spool {
    /// Takes a message that is to be stored; its sender hears of it in [`Bridge::handle_stored`].
    pub(super) fn accept(&self, offered: Offered) -> Acceptance {
        let Offered { id, kind, lane, sender, recipient, bytes, made, waiter } = offered;
        let (now, unix) = (clock::now(), millis(clock::unix_time()));
        let waiters = waiter.into_iter().collect();
        let name: Arc<str> = Arc::from(&*lane);
        let load = Load { kind, lane: name.clone(), bytes: bytes.clone(), made, waiters };
        let entry = Entry {
            id,
            side: kind.side(),
            lane: name,
            expires: now + self.config.expire,
            size: bytes.len(),
            is_report: kind.is_report(),
            value: load,
        };
        let acceptance = self.ledger.borrow_mut().accept(entry);
        if let Acceptance::New { starts } = acceptance {
            let (state, attempts) = if starts { (State::Sending, 1) } else { (State::Accepted, 0) };
            if !starts && let Some(load) = self.ledger.borrow_mut().get_mut(id) {
                // What waits takes no more memory than it is counted for.
                load.made = None;
            }
            let expires = unix + millis(self.config.expire);
            let message = bytes;
            let row = Row {
                id,
                kind,
                lane,
                state,
                attempts,
                accepted: unix,
                expires,
                sender,
                recipient,
                message,
            };
            self.step(Step::Insert(Box::new(row)));
            self.deadline_changed.notify_one();
        }
        acceptance
    }
}

impl Bridge {
    /// Accepts a MESSAGE for an XMPP user: 202 once it is stored.
    pub(in crate::engine) fn spool_request(self: &Rc<Self>, sending: Sending) {
        self.once_restored(move |bridge| bridge.accept_request(sending));
    }

    /// Does something once it is known what the store has kept.
    pub(super) fn once_restored(self: &Rc<Self>, act: impl FnOnce(&Self) + 'static) {
        if self.spool.is_restored.get() {
            return act(self);
        }
        let bridge = self.clone();
        tokio::task::spawn_local(async move {
            bridge.await_spool().await;
            act(&bridge);
        });
    }

    fn accept_request(&self, sending: Sending) {
        let Sending { stanza, request, waiter, .. } = sending;
        if !self.spool.takes_messages() {
            return tell(waiter, not_kept("The Spool Is Away"));
        }
        let lane = stanza.to.to_bare().to_string();
        let offered = Offered {
            kind: Kind::component(What::Request),
            lane,
            bytes: request.to_bytes(),
            made: Some(Made::Stanza(stanza)),
            ..Offered::request(MessageId::of_request(&request), &request)
        };
        self.accept_offered(offered, waiter);
    }

    /// Accepts a message of a SIP user: 202 once it is stored.
    pub(super) fn accept_offered(
        &self,
        offered: Offered,
        waiter: Option<oneshot::Sender<Verdict>>,
    ) {
        let id = offered.id;
        if self.spool.state(id).is_some() {
            tracing::debug!(%id, "a second copy of a message");
            return self.tell_known(id, waiter);
        }
        match self.spool.accept(offered) {
            Acceptance::New { .. } => self.await_storing(id, waiter),
            Acceptance::Known(_) => self.tell_known(id, waiter),
            Acceptance::Full => tell(waiter, not_kept("The Spool Is Full")),
        }
    }

    fn await_storing(&self, id: MessageId, waiter: Option<oneshot::Sender<Verdict>>) {
        if let Some(load) = self.spool.ledger.borrow_mut().get_mut(id) {
            load.waiters.extend(waiter);
        }
    }

    fn tell_known(&self, id: MessageId, waiter: Option<oneshot::Sender<Verdict>>) {
        let is_storing = self.spool.ledger.borrow().is_storing(id);
        match is_storing {
            true => self.await_storing(id, waiter),
            false => tell(waiter, Verdict::new(202, "Accepted")),
        }
    }

    /// Accepts a stanza for a SIP user.
    pub(in crate::engine) fn spool_stanza(
        &self,
        id: MessageId,
        stanza: &Stanza,
        request: OutgoingRequest,
    ) {
        let busy = |text| StanzaError::from(Condition::ResourceConstraint).with_text(text);
        if !self.spool.takes_messages() {
            return self.return_error(stanza, &busy("messages cannot be kept now"));
        }
        let text = |of: Option<std::borrow::Cow<'_, str>>| of.unwrap_or_default().into_owned();
        let (sender, recipient) = (text(stanza.from()), text(stanza.to()));
        let acceptance = self.spool.accept(Offered {
            id,
            kind: Kind::component(What::Stanza),
            lane: recipient.split('/').next().unwrap_or_default().to_owned(),
            sender,
            recipient,
            bytes: stanza.bytes().clone(),
            made: Some(Made::Request(Box::new((request, stanza.clone())))),
            waiter: None,
        });
        match acceptance {
            Acceptance::New { .. } => {}
            Acceptance::Known(state) => tracing::debug!(%state, "a second copy of a stanza"),
            Acceptance::Full => self.return_error(stanza, &busy("too many messages wait")),
        }
    }
}
