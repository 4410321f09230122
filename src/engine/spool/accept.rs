//! How a message gets into the spool.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::journal::Step;
use super::row::{Kind, Row, Way, What};
use super::{Load, Made, Spool, millis, not_kept, tell};
use crate::clock;
use crate::engine::bridge::Bridge;
use crate::engine::delivery::Home;
use crate::gateway::ledger::{Acceptance, Entry, State};
use crate::gateway::{MessageId, OutgoingRequest, OutgoingStanza, asks_receipt};
use crate::script::router::Verdict;
use crate::sip::Message;
use crate::xmpp::{Condition, Stanza, StanzaError};

/// How long a report is kept at least: whoever shall hear that a message was too old, may be away for a while himself.
const REPORTS: Duration = Duration::from_secs(600);

/// A message that may be accepted.
pub(super) struct Offered<'a> {
    pub(super) id: MessageId,
    pub(super) kind: Kind,
    pub(super) lane: Arc<str>,
    pub(super) sender: Cow<'a, str>,
    pub(super) recipient: Cow<'a, str>,
    pub(super) bytes: Bytes,
    pub(super) made: Option<Made>,
    /// Its room is taken already.
    pub(super) is_held: bool,
}

impl<'a> Offered<'a> {
    /// A MESSAGE that comes from SIP, without what it goes by.
    pub(super) fn request(id: MessageId, request: &'a Message) -> Self {
        let uri = |of: Result<crate::sip::NameAddr<'a>, _>| of.map(|it| Cow::Borrowed(it.uri));
        Self {
            sender: uri(request.from()).unwrap_or_default(),
            recipient: uri(request.to()).unwrap_or_default(),
            ..Self::new(id, Kind::component(What::Request))
        }
    }

    /// A message of which nothing else is known.
    pub(super) fn new(id: MessageId, kind: Kind) -> Self {
        let (lane, bytes) = (Arc::default(), Bytes::new());
        let (sender, recipient) = (Cow::default(), Cow::default());
        Self { id, kind, lane, sender, recipient, bytes, made: None, is_held: false }
    }
}

impl Spool {
    /// Takes a message that is to be stored; its sender hears of it in [`Bridge::handle_stored`].
    fn take(&self, offered: Offered<'_>) -> Acceptance {
        let Offered { id, kind, lane, sender, recipient, bytes, made, is_held } = offered;
        let asks = |made: &Made| matches!(made, Made::Request(made) if asks_receipt(&made.1));
        let may_ask_receipt = made.as_ref().is_none_or(asks);
        let (name, message) = (lane.clone(), bytes.clone());
        let expire = match kind.is_report() {
            true => self.config.expire.max(REPORTS),
            false => self.config.expire,
        };
        let load = Load { kind, lane: name, bytes, made, may_ask_receipt, waiters: Vec::new() };
        let entry = Entry {
            id,
            side: kind.side(),
            lane: lane.clone(),
            expires: clock::now() + expire,
            size: message.len(),
            is_report: kind.is_report(),
            is_held,
            value: Box::new(load),
        };
        let acceptance = self.ledger.borrow_mut().accept(entry);
        let Acceptance::New { starts } = acceptance else { return acceptance };
        if !starts && let Some(load) = self.ledger.borrow_mut().get_mut(id) {
            // What waits takes no more memory than it is counted for.
            load.made = None;
        }
        self.notice_own_deadline();
        if !self.is_durable() {
            return acceptance;
        }
        let (state, attempts) = if starts { (State::Sending, 1) } else { (State::Accepted, 0) };
        let accepted = millis(clock::unix_time());
        let expires = accepted + millis(expire);
        let (sender, recipient) = (sender.into_owned(), recipient.into_owned());
        let row =
            Row { id, kind, lane, state, attempts, accepted, expires, sender, recipient, message };
        self.step(Step::Insert(Box::new(row)));
        acceptance
    }
}

impl Bridge {
    /// Accepts a MESSAGE for an XMPP user: 202 once it is stored.
    pub(in crate::engine) fn spool_request(
        self: &Rc<Self>,
        id: MessageId,
        stanza: OutgoingStanza,
        request: Bytes,
        waiter: Option<oneshot::Sender<Verdict>>,
    ) {
        self.once_restored(move |bridge| bridge.accept_request(id, stanza, request, waiter));
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

    fn accept_request(
        &self,
        id: MessageId,
        stanza: OutgoingStanza,
        bytes: Bytes,
        waiter: Option<oneshot::Sender<Verdict>>,
    ) {
        if !self.spool.takes_messages() {
            return tell(waiter, not_kept("The Spool Is Away"));
        }
        let lane = Arc::from(bare(stanza.to.as_str()));
        let made = Some(Made::Stanza(stanza));
        // Only what is written names its ends.
        let request = self.spool.is_durable().then(|| Message::parse(bytes.clone()));
        let offered = match &request {
            Some(Ok(request)) => Offered::request(id, request),
            _ => Offered::new(id, Kind::component(What::Request)),
        };
        let is_held = waiter.is_none();
        self.accept_offered(Offered { lane, bytes, made, is_held, ..offered }, waiter);
    }

    /// Accepts a message of a SIP user: 202 once it is stored.
    pub(super) fn accept_offered(
        &self,
        offered: Offered<'_>,
        waiter: Option<oneshot::Sender<Verdict>>,
    ) {
        let id = offered.id;
        match self.accept(offered) {
            Acceptance::New { .. } => self.tell_known(id, waiter),
            Acceptance::Known(state) => {
                tracing::debug!(%id, %state, "a second copy of a message");
                self.tell_known(id, waiter);
            }
            Acceptance::Full => tell(waiter, not_kept("The Spool Is Full")),
        }
    }

    /// Takes a message; it begins once it is stored.
    pub(super) fn accept(&self, offered: Offered<'_>) -> Acceptance {
        let (id, kind) = (offered.id, offered.kind);
        let acceptance = self.spool.take(offered);
        if matches!(acceptance, Acceptance::New { .. }) && !self.spool.is_durable() {
            // Accounts and reports come from within other steps, and nothing overtakes what has come before.
            let is_first = kind.way == Way::Component && !kind.is_report();
            match is_first && self.spool.is_written() {
                true => self.handle_stored(id),
                false => self.spool.step(Step::Keep(id)),
            }
        }
        acceptance
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
        let recipient = stanza.to().unwrap_or_default();
        let acceptance = self.accept(Offered {
            lane: Arc::from(bare(&recipient)),
            sender: stanza.from().unwrap_or_default(),
            recipient,
            bytes: stanza.bytes().clone(),
            made: Some(Made::Request(Box::new((request, stanza.clone())))),
            ..Offered::new(id, Kind::component(What::Stanza))
        });
        match acceptance {
            Acceptance::New { .. } => {}
            Acceptance::Known(state) => tracing::debug!(%state, "a second copy of a stanza"),
            Acceptance::Full => self.return_error(stanza, &busy("too many messages wait")),
        }
    }
}

/// An address without its resource.
pub(super) fn bare(address: &str) -> &str {
    address.split('/').next().unwrap_or_default()
}
