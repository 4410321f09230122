//! Messages of accounts in the spool. Those to XMPP wait for the stream of their account, which is opened for them.

use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::accept::Offered;
use super::report::said;
use super::row::{Kind, Way, What};
use super::{Failure, Load, Made, Reply, not_kept, on_account, tell, unkept};
use crate::clock;
use crate::engine::account::Login;
use crate::engine::account_home::AccountHome;
use crate::engine::accounts::Jabber;
use crate::engine::bridge::{Bridge, Waiter};
use crate::engine::delivery::{Arrival, Home};
use crate::engine::receipts::Context;
use crate::gateway::ledger::{Acceptance, Outcome};
use crate::gateway::{
    AccountMessage, AccountStanza, Asked, Disposition, ImType, Incoming, Mapping, MessageId, Order,
    Received, RequestIds, Text, Wish, Wording, Written, error_words, failure_from_error,
    notice_to_sender, request_between, stanza_to, text_message,
};
use crate::modules::jabber::Profile;
use crate::script::router::{AccountOrder, OrderedMessage, Verdict};
use crate::sip::Message;
use crate::xmpp::{Jid, Stanza, StanzaError, jid};

impl Bridge {
    /// Accepts a MESSAGE that leaves from an account: 202 once it is stored.
    pub(in crate::engine) fn spool_written(
        self: &Rc<Self>,
        order: AccountOrder,
        waiter: oneshot::Sender<Verdict>,
    ) {
        self.once_restored(move |bridge| bridge.accept_written(order, waiter));
    }

    fn accept_written(&self, order: AccountOrder, waiter: oneshot::Sender<Verdict>) {
        let AccountOrder { sip_id, wish, address, message, .. } = order;
        let (to, is_room, bytes) = match wish {
            Wish::Send { to, stanza } => (to, false, stanza),
            Wish::Say { room, stanza } => (room, true, stanza),
            Wish::Online | Wish::Offline | Wish::Join { .. } | Wish::Exit { .. } => return,
        };
        let Some(message) = message else { return };
        if !self.spool.takes_messages() {
            return tell(Some(waiter), not_kept("The Spool Is Away"));
        }
        let (request, to) = (message.request.to_bytes(), to.to_string());
        let id = MessageId::of_request(&message.request).from_account();
        let asks_receipt = message.asks_receipt;
        let offered = Offered {
            kind: Kind::account(What::Request),
            lane: sip_id.into(),
            bytes: Written { address, to, is_room, request }.to_bytes(),
            made: Some(Made::OfAccount(AccountStanza { bytes, id: message.id, asks_receipt })),
            ..Offered::request(id, &message.request)
        };
        self.accept_offered(offered, Some(waiter));
    }

    /// Begins an attempt to send a MESSAGE from its account.
    pub(super) fn begin_written(
        &self,
        id: MessageId,
        account: &str,
        bytes: Bytes,
        made: Option<Made>,
    ) {
        let Some((login, written)) = self.way_of(id, account, Written::read(&bytes)) else {
            return;
        };
        let Ok(to) = jid::parse(&written.to) else {
            return self.conclude(id, Outcome::Failed, Some(Failure::unreadable()));
        };
        let stanza = match made {
            Some(Made::OfAccount(stanza)) => Ok(Some(stanza)),
            _ => self.stanza_again(id, &written, &to),
        };
        let stanza = match stanza {
            Ok(Some(stanza)) => stanza,
            Ok(None) => return self.conclude(id, Outcome::HandedOver, None),
            Err((code, reason)) => {
                let failure = Failure::new(code, reason);
                return self.conclude(id, Outcome::Failed, Some(failure));
            }
        };
        if stanza.asks_receipt {
            let context = Context { request: written.request, account: Some(account.into()) };
            // Without room for it the sender goes without a receipt.
            let _ = self.expect_receipt(stanza.id, &to, context, None);
        }
        let stanza = stanza.bytes;
        let wish = match written.is_room {
            true => Wish::Say { room: to, stanza },
            false => Wish::Send { to, stanza },
        };
        self.give(&login, id, wish, written.address);
    }

    /// Begins an attempt to return an error by the account that its stanza came to.
    pub(super) fn begin_account_report(&self, id: MessageId, account: &str, bytes: &Bytes) {
        let Some((login, stanza)) = self.way_of(id, account, on_account(bytes)) else { return };
        let Some(Ok(to)) = stanza.to_jid() else {
            return self.conclude(id, Outcome::Failed, Some(Failure::unreadable()));
        };
        let wish = Wish::Send { to, stanza: bytes.to_vec() };
        self.give(&login, id, wish, String::new());
    }

    /// The account that a message leaves from, with what was kept; without either the attempt is over.
    fn way_of<T>(&self, id: MessageId, account: &str, kept: Option<T>) -> Option<(Rc<Login>, T)> {
        let Some(kept) = kept else {
            self.conclude(id, Outcome::Failed, Some(Failure::unreadable()));
            return None;
        };
        let worker = self.worker()?;
        let login = worker.accounts.as_ref().and_then(|accounts| accounts.ready(account));
        if login.is_none() {
            self.spool.ledger.borrow_mut().set_stream_open(account, false);
            self.conclude(id, Outcome::Unsent, None);
        }
        Some((login?, kept))
    }

    fn give(&self, login: &Login, id: MessageId, wish: Wish, address: String) {
        let now = clock::now();
        let deadline = now + login.delay_time();
        login.handle_order(now, Order { wish, address, deadline, waiter: Waiter::Spool(id) });
    }

    fn stanza_again(
        &self,
        id: MessageId,
        written: &Written,
        to: &Jid,
    ) -> Result<Option<AccountStanza>, (u16, String)> {
        let unreadable = |_| (500, "the message cannot be read any more".to_owned());
        let request = Message::parse(written.request.clone()).map_err(unreadable)?;
        let im_type = if written.is_room { ImType::Groupchat } else { ImType::Chat };
        let made = stanza_to(&request, to, im_type, &id.to_string(), self.mapping(Way::Account));
        made.map_err(|error| (error.status().0, error.to_string()))
    }

    /// Takes a message that has come to an account: it is kept until the SIP user has it.
    pub(in crate::engine) fn take_received(&self, account: &Rc<str>, message: AccountMessage) {
        let Some(worker) = self.worker() else { return };
        let AccountMessage { stanza, from, prefix, may_bounce } = message;
        let id = MessageId::of_account_stanza(&stanza, account, || worker.shared.unique_id());
        let bytes = stanza.bytes().clone();
        let received = Received { from, prefix, bounces: may_bounce, stanza: bytes };
        match self.arrival(id, account, &received, &stanza) {
            Ok(Some(arrival)) if arrival.request.is_transient => {
                self.deliver_arrival(Arrival { id: None, ..arrival });
            }
            Ok(Some(arrival)) => self.spool_received(arrival, &received, id),
            Ok(None) => {}
            Err(error) if may_bounce => {
                self.account_home(account).return_error(&stanza, &error);
            }
            Err(_) => tracing::info!("a message cannot be carried to SIP"),
        }
    }

    fn spool_received(&self, arrival: Arrival, received: &Received, id: MessageId) {
        let Arrival { request, stanza, account, .. } = &arrival;
        let lane = account.as_deref().unwrap_or_default();
        let acceptance = match self.spool.takes_messages() {
            true => self.accept(Offered {
                sender: stanza.from().unwrap_or_default(),
                recipient: lane.into(),
                lane: lane.into(),
                bytes: received.to_bytes(),
                made: Some(Made::Request(Box::new((request.clone(), stanza.clone())))),
                ..Offered::new(id, Kind::account(What::Stanza))
            }),
            false => Acceptance::Full,
        };
        match acceptance {
            Acceptance::New { .. } => {}
            Acceptance::Known(state) => tracing::debug!(%state, "a second copy of a stanza"),
            Acceptance::Full => self.return_or_deliver(Arrival { id: None, ..arrival }),
        }
    }

    /// What cannot be kept goes back to its sender; what may not, goes on as it is.
    fn return_or_deliver(&self, arrival: Arrival) {
        if !arrival.bounces {
            return self.deliver_arrival(arrival);
        }
        arrival.home.return_error(&arrival.stanza, &unkept());
    }

    /// Gives up a stanza that could not be stored.
    pub(super) fn refuse_received(&self, id: MessageId, account: &str, bytes: &Bytes) {
        let Some(received) = Received::read(bytes) else { return };
        let Some(stanza) = on_account(&received.stanza) else { return };
        let account = Rc::from(account);
        if received.bounces {
            // At once, so that no answer to a later ping overtakes it.
            if let Some(reply) = unkept().reply_to(&stanza) {
                self.reply_now(Reply::Account(account, reply));
            }
        } else if let Ok(Some(arrival)) = self.arrival(id, &account, &received, &stanza) {
            self.deliver_arrival(Arrival { id: None, ..arrival });
        }
    }

    /// Begins an attempt to bring a stanza to the SIP user whose account it came to.
    pub(super) fn begin_received(
        &self,
        id: MessageId,
        account: &str,
        bytes: &Bytes,
        made: Option<Made>,
    ) {
        let account: Rc<str> = account.into();
        let received = Received::read(bytes);
        if let (Some(Made::Request(made)), Some(received)) = (made, &received) {
            let (request, stanza) = *made;
            let home: Rc<dyn Home> = self.account_home(&account);
            let (account, bounces) = (Some(account), received.bounces);
            return self.deliver_arrival(Arrival {
                request,
                stanza,
                home,
                account,
                bounces,
                id: Some(id),
            });
        }
        let kept = received.and_then(|received| Some((on_account(&received.stanza)?, received)));
        let Some((stanza, received)) = kept else {
            return self.conclude(id, Outcome::Failed, Some(Failure::unreadable()));
        };
        match self.arrival(id, &account, &received, &stanza) {
            Ok(Some(arrival)) => self.deliver_arrival(arrival),
            Ok(None) => self.conclude(id, Outcome::HandedOver, None),
            Err(error) => {
                self.conclude(id, Outcome::Failed, Some(Failure::of_stanza(error)));
            }
        }
    }

    /// The MESSAGE that a stanza becomes, with where it comes from.
    fn arrival(
        &self,
        id: MessageId,
        account: &Rc<str>,
        received: &Received,
        stanza: &Stanza,
    ) -> Result<Option<Arrival>, StanzaError> {
        let call_id = id.to_string();
        let ids = RequestIds::of_message(&call_id, clock::unix_time());
        let Received { from, prefix, bounces, .. } = received;
        let mapping = self.mapping(Way::Account);
        match request_between(stanza, from, account, prefix, ids, mapping) {
            Ok(Incoming::Request(request)) => Ok(Some(Arrival {
                request: *request,
                stanza: stanza.clone(),
                home: self.account_home(account),
                account: Some(account.clone()),
                bounces: *bounces,
                id: Some(id),
            })),
            Ok(Incoming::Nothing(_) | Incoming::Error { .. }) => Ok(None),
            Err(error) => Err(error.stanza_error()),
        }
    }

    /// Tells whether the stream of an account takes messages.
    pub(in crate::engine) fn set_stream_open(&self, account: &str, is_open: bool) {
        let mut ledger = self.spool.ledger.borrow_mut();
        if ledger.is_stream_open(account) != is_open {
            ledger.set_stream_open(account, is_open);
            drop(ledger);
            self.start_ready();
        }
    }

    /// Opens the stream of an account that messages wait for.
    pub(super) fn open_stream(&self, account: &str) {
        let is_open = self.spool.ledger.borrow().is_stream_open(account);
        if let Some(worker) = self.worker()
            && let Some(accounts) = &worker.accounts
            && !is_open
        {
            accounts.open(account);
        }
    }

    /// Has an account messages that have still to leave, or whose fate is open?
    pub(in crate::engine) fn has_open(&self, account: &str) -> bool {
        self.spool.ledger.borrow().has_open(account)
    }

    /// Opens the streams of all accounts that messages wait for.
    pub(in crate::engine) fn open_streams(&self) {
        let awaited = self.spool.ledger.borrow().awaited_streams();
        awaited.iter().for_each(|account| self.open_stream(account));
    }

    /// No stream of an account comes about: what waits for it fails. Tells whether its user hears of that.
    pub(in crate::engine) fn fail_stream(&self, account: &str, text: Text) -> bool {
        let waiting = self.spool.ledger.borrow().waiting_for(account);
        for id in &waiting {
            self.conclude(*id, Outcome::Failed, Some(Failure::of_text(text)));
        }
        !waiting.is_empty()
    }

    /// Takes what has become of a message that an account has tried to send.
    pub(in crate::engine) fn settle_written(&self, id: MessageId, failed: Option<Text>) {
        let (outcome, failure) = match failed {
            None => (Outcome::HandedOver, None),
            Some(Text::ErrSendJmsg) => (Outcome::Uncertain, Some(Failure::uncertain())),
            // Too many wait for a transport.
            Some(Text::ErrStoreJmsg) => {
                (Outcome::OutOfReach, Some(Failure::of_text(Text::ErrStoreJmsg)))
            }
            Some(text) => (Outcome::Failed, Some(Failure::of_text(text))),
        };
        self.conclude(id, outcome, failure);
    }

    /// Takes an error that has come for a message from an account, before its server has acknowledged that; false when
    /// there is no such message.
    pub(in crate::engine) fn take_error(
        &self,
        account: &str,
        stanza: &Stanza,
        error: &StanzaError,
    ) -> bool {
        let id = stanza.id().and_then(|id| MessageId::of_stanza_id(&id));
        let (Some(id), Some(Ok(from))) = (id, stanza.from_jid()) else { return false };
        let ledger = self.spool.ledger.borrow();
        let load = ledger.get(id).filter(|load| &*load.lane == account && ledger.is_under_way(id));
        let written = load.and_then(|load| Written::read(&load.bytes));
        drop(ledger);
        // Anybody could send such a thing; only the recipient may, and his server for him.
        if written.is_none_or(|written| written.to != from.to_bare().to_string()) {
            return false;
        }
        let failure = failure_from_error(error, &from, self.mapping(Way::Account));
        let failure = Failure::of_account(failure.code, &failure.reason, error_words(error));
        self.conclude(id, Outcome::Failed, Some(failure));
        true
    }

    /// Remembers a message of an account whose error may come late.
    pub(in crate::engine) fn remember_order(&self, wish: &Wish, message: &OrderedMessage) {
        if let Wish::Send { to, .. } | Wish::Say { room: to, .. } = wish {
            self.remember(&message.id, to, message.request.to_bytes());
        }
    }

    /// Is a message from an account known by the id of its stanza?
    pub(in crate::engine) fn knows(&self, stanza_id: &str) -> bool {
        MessageId::of_stanza_id(stanza_id).is_some_and(|id| self.spool.state(id).is_some())
    }

    /// Tells a SIP user in his own words, or in the gateway's, that a message from his account failed. `None` when the
    /// message cannot be read.
    pub(super) fn report_to_account(
        &self,
        id: MessageId,
        load: &Load,
        failure: &Failure,
    ) -> Option<()> {
        let written = Written::read(&load.bytes)?;
        let request = Message::parse(written.request).ok()?;
        let (report, account) = (MessageId::of_report(id), Some(&*load.lane));
        if let Some(asked) = Asked::of_request(&request).filter(|asked| asked.failed) {
            self.confirm(report, &request, &asked, Disposition::Failed, account);
            return Some(());
        }
        let worker = self.worker()?;
        let jabber = worker.shared.jabber.as_ref()?;
        let call_id = report.to_string();
        let ids = RequestIds::of_message(&call_id, clock::unix_time());
        let notice = match (&failure.words, text_of(failure, jabber)) {
            (Some(words), _) => {
                let words = format!("{words}{}", said(&request));
                text_message(&written.address, &load.lane, &words, ids)
            }
            (None, Some(text)) => {
                // No words are an operator's wish.
                let words = words(jabber, text, &request)?;
                text_message(&written.address, &load.lane, &words, ids)
            }
            (None, None) => {
                let text = said(&request);
                notice_to_sender(&request, &failure.reason, &text, ids, &jabber.mapping)
            }
        };
        match notice {
            Ok(notice) => self.spool_notice(report, &notice, account),
            Err(error) => tracing::info!(%id, %error, "a failure cannot be told to its SIP user"),
        }
        Some(())
    }

    /// How messages are carried.
    pub(super) fn mapping(&self, way: Way) -> &Mapping {
        match (way, &self.jabber) {
            (Way::Account, Some(mapping)) => mapping,
            _ => &self.gateway.mapping,
        }
    }

    /// An account as what stanzas come from.
    pub(super) fn account_home(&self, account: &str) -> Rc<AccountHome> {
        let worker = self.worker().expect("whoever calls a bridge holds its worker");
        AccountHome::new(account.into(), &worker)
    }

    pub(in crate::engine) fn login(&self, account: &str) -> Option<Rc<Login>> {
        self.worker()?.accounts.as_ref()?.login(account)
    }
}

/// The text for a failure; SER had one for everything.
fn text_of(failure: &Failure, jabber: &Jabber) -> Option<Text> {
    let is_ser = jabber.config.profile == Profile::Ser;
    failure.text.or_else(|| {
        is_ser.then_some(match failure.code {
            408 => Text::ErrNoJsrv,
            _ => Text::ErrSendJmsg,
        })
    })
}

/// The words of a text, and behind them, unless SER's habits count, what the message said.
fn words(jabber: &Jabber, text: Text, request: &Message) -> Option<String> {
    let words = jabber.config.words(text)?;
    Some(match jabber.config.profile {
        Profile::Ser => words.to_owned(),
        Profile::Rfc => {
            let wording = Wording { undelivered: format!("{words}\n> {{text}}") };
            wording.undelivered("", "", &said(request))
        }
    })
}
