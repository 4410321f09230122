//! One account that is logged in or shall be: its stream, opened again when it breaks, and what comes of it.

mod fates;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{sleep, sleep_until};

use super::account_home::AccountHome;
use super::accounts::Jabber;
use super::bridge::{Bridge, Waiter};
use super::delivery::Sender;
use super::shared::Shared;
use super::spool::Reply;
use super::worker::Worker;
use crate::clock;
use crate::gateway::{Account, Action, Order, RequestIds, Text, Wish, text_message};
use crate::net::xmpp::client::{ClientCarried, ClientEnd, ClientLink, carry};
use crate::script::router::Verdict;
use crate::store::users::User;
use crate::xmpp::backoff::{Backoff, BackoffConfig};
use crate::xmpp::iq::{Facts, Responder};
use crate::xmpp::stream::end::CloseReason;
use crate::xmpp::stream::resumption::Resumption;
use crate::xmpp::stream::sasl::SaltedPassword;
use crate::xmpp::{FullJid, Stanza, StreamCondition};

/// How long a password that was refused is not tried again.
const REFUSED: Duration = Duration::from_secs(300);

/// How long a stream that broke may go on; most servers forget it sooner.
const RESUMABLE: Duration = Duration::from_secs(600);

/// An account and its stream.
pub(crate) struct Login {
    sip_id: Rc<str>,
    shared: Arc<Shared>,
    worker: Weak<Worker>,
    this: Weak<Self>,
    machine: RefCell<Account<Waiter>>,
    /// Stanzas for the stream, with the tokens of those whose fate is asked for.
    out: RefCell<VecDeque<(Option<u64>, Vec<u8>)>>,
    /// What the server is to be told of whether the user is there.
    active: Cell<Option<bool>>,
    /// Who waits for what becomes of a stanza, by its id.
    replies: RefCell<AHashMap<String, oneshot::Sender<Verdict>>>,
    /// The ids of the last messages that are not kept.
    recent: RefCell<VecDeque<String>>,
    /// How many stanzas of the stream are taken, when the server has asked.
    ack: Cell<Option<u32>>,
    /// The number of the stream, which a resumed one keeps.
    session: Cell<u64>,
    /// Since when the stream is ready.
    ready_since: Cell<Option<Instant>>,
    /// There is something in `out`, `active` or `ack`.
    wake: Notify,
    /// A deadline may have changed.
    changed: Notify,
    /// How often the stream was to be closed.
    closes: Cell<u64>,
    closing: Notify,
    is_running: Cell<bool>,
    /// Our turn to log in.
    turn: RefCell<Option<OwnedSemaphorePermit>>,
    /// The server ends.
    is_stopping: Cell<bool>,
    stopped: RefCell<Option<mpsc::Sender<()>>>,
    /// The hashed password of the row.
    keys: RefCell<Option<SaltedPassword>>,
    /// The hash of the row whose password the server has refused, and until when it counts.
    refused: Cell<Option<(u64, Instant)>>,
    /// The user knows already what he would be told.
    is_told: Cell<bool>,
    started: Instant,
}

/// Why the stream is no longer wanted, or never was.
enum Stop {
    /// It was closed as we wished.
    Closed,
    /// The user hears this.
    Refused(Text),
}

impl Login {
    pub(super) fn new(sip_id: &str, worker: Weak<Worker>, shared: Arc<Shared>) -> Rc<Self> {
        let settings = shared.jabber.as_ref().map(|jabber| jabber.settings.clone());
        let settings = settings.expect("orders are taken only where there are accounts");
        let user = sip_id.split_once(':').map_or(sip_id, |(_, address)| address);
        let name = user.split('@').next().unwrap_or_default();
        Rc::new_cyclic(|this| Self {
            sip_id: sip_id.into(),
            shared,
            worker,
            this: this.clone(),
            machine: RefCell::new(Account::new(settings, &crate::sip::unescape_text(name))),
            out: RefCell::default(),
            active: Cell::new(None),
            replies: RefCell::default(),
            recent: RefCell::default(),
            ack: Cell::new(None),
            session: Cell::new(0),
            ready_since: Cell::new(None),
            wake: Notify::new(),
            changed: Notify::new(),
            closes: Cell::new(0),
            closing: Notify::new(),
            is_running: Cell::new(false),
            turn: RefCell::default(),
            is_stopping: Cell::new(false),
            stopped: RefCell::default(),
            keys: RefCell::default(),
            refused: Cell::new(None),
            is_told: Cell::new(false),
            started: clock::now(),
        })
    }

    fn jabber(&self) -> &Jabber {
        self.shared.jabber.as_ref().expect("logins are made only where there are accounts")
    }

    pub(super) fn sip_id(&self) -> &str {
        &self.sip_id
    }

    /// The stream is wanted.
    pub(super) fn is_on(&self) -> bool {
        self.machine.borrow().is_on()
    }

    /// Stanzas may be sent.
    pub(super) fn is_ready(&self) -> bool {
        self.machine.borrow().is_ready()
    }

    /// How long a message may wait for its transport.
    pub(super) fn delay_time(&self) -> Duration {
        self.jabber().config.delay_time
    }

    /// No order is open.
    pub(super) fn is_idle(&self) -> bool {
        self.machine.borrow().is_idle() && self.out.borrow().is_empty()
    }

    /// Nothing is left to know about it.
    pub(super) fn is_over(&self) -> bool {
        let is_remembered = self.refused.get().is_some_and(|(_, until)| until > clock::now());
        self.machine.borrow().is_over() && !self.is_running.get() && !is_remembered
    }

    pub(super) fn handle_order(&self, now: Instant, order: Order<Waiter>) {
        self.machine.borrow_mut().handle_order(now, order);
        self.act();
        self.changed.notify_one();
    }

    /// Opens the stream for messages that are kept elsewhere.
    pub(super) fn open(&self) {
        self.machine.borrow_mut().open(clock::now());
        self.act();
        self.changed.notify_one();
    }

    /// Ends the stream and all that waits, and tells the user.
    pub(super) fn refuse(&self, text: Text) {
        let is_told = self.bridge(|bridge| bridge.fail_stream(&self.sip_id, text)).unwrap_or(false);
        self.machine.borrow_mut().handle_refused(text, is_told);
        self.act();
    }

    /// Sends a stanza whose fate nobody asks for, behind what has come before: once that is kept.
    pub(super) fn reply(&self, bytes: Vec<u8>) {
        self.bridge(|bridge| bridge.reply_behind(Reply::Account(self.sip_id.clone(), bytes)));
    }

    /// Sends a stanza whose fate nobody asks for.
    pub(super) fn send(&self, bytes: Vec<u8>) {
        if self.is_on() {
            self.push(None, bytes);
        }
    }

    /// Tells the server that so many stanzas of a stream are taken.
    pub(super) fn acknowledge(&self, session: u64, count: u32) {
        if self.session.get() == session {
            self.ack.set(Some(count));
            self.wake.notify_one();
        }
    }

    /// A message could not be delivered to the SIP user.
    pub(super) fn handle_undelivered(&self) {
        if self.jabber().config.logout_on_undeliverable && self.is_on() {
            let (now, wish, address) = (clock::now(), Wish::Offline, String::new());
            let waiter = Waiter::Nobody;
            self.handle_order(now, Order { wish, address, deadline: now, waiter });
        }
    }

    /// Closes the stream in order because the server ends; drops `done` once that is done.
    pub(super) fn close(&self, done: mpsc::Sender<()>) {
        self.is_stopping.set(true);
        if self.is_running.get() {
            self.stopped.replace(Some(done));
            self.close_stream();
        }
    }

    fn close_stream(&self) {
        self.closes.set(self.closes.get() + 1);
        self.closing.notify_one();
    }

    /// Ready when the stream is to be closed after this.
    async fn closed_after(&self, before: u64) {
        while self.closes.get() == before {
            self.closing.notified().await;
        }
    }

    /// Does something with what the worker keeps.
    fn bridge<T>(&self, act: impl FnOnce(&Bridge) -> T) -> Option<T> {
        Some(act(self.worker.upgrade()?.bridge.as_ref()?))
    }

    /// Does what the account wants.
    fn act(&self) {
        loop {
            let action = self.machine.borrow_mut().poll_action();
            match action {
                None if self.leave() => {}
                None => break,
                Some(Action::Connect) => self.start(),
                Some(Action::Disconnect) => self.close_stream(),
                Some(Action::Send(token, stanza)) => self.push(token, stanza),
                Some(Action::Active(is_active)) => {
                    self.active.set(Some(is_active));
                    self.wake.notify_one();
                }
                Some(Action::Done(waiter)) => self.settle_done(waiter),
                Some(Action::Failed(waiter, text, address)) => {
                    self.settle_failed(waiter, text, &address);
                }
                Some(Action::Notice(text, address)) => self.notify(text, &address),
                Some(Action::Deliver(message)) => {
                    self.bridge(|bridge| bridge.take_received(&self.sip_id, *message));
                }
            }
        }
        let is_ready = self.is_ready();
        self.bridge(|bridge| bridge.set_stream_open(&self.sip_id, is_ready));
    }

    /// Goes when the user wants to, and nothing that he wrote before has still to leave; true when he has gone just now.
    fn leave(&self) -> bool {
        if !self.machine.borrow().is_leaving()
            || self.bridge(|bridge| bridge.has_open(&self.sip_id)) == Some(true)
        {
            return false;
        }
        self.machine.borrow_mut().leave();
        !self.is_on()
    }

    /// The user wants the stream: if he wanted to go, he does no more.
    pub(super) fn stay_online(&self) {
        self.machine.borrow_mut().stay_online();
    }

    /// Looks again whether a user who wants to go can: what has waited for the stream may be too old by now.
    pub(super) fn look_again(&self) {
        if self.machine.borrow().is_leaving() {
            self.act();
        }
    }

    fn push(&self, token: Option<u64>, stanza: Vec<u8>) {
        self.out.borrow_mut().push_back((token, stanza));
        self.wake.notify_one();
    }

    /// Sends a text of the gateway's own to the SIP user.
    fn notify(&self, text: Text, address: &str) {
        let words = self.jabber().config.words(text).filter(|_| !self.is_told.get());
        if let Some(words) = words {
            self.say(words, address);
        }
    }

    /// Sends words to the SIP user, from an address or the gateway's own.
    fn say(&self, words: &str, address: &str) {
        let Some(worker) = self.worker.upgrade() else { return };
        let jabber = self.jabber();
        let from = if address.is_empty() { jabber.config.registrar.as_str() } else { address };
        let (tag, call_id) = (worker.shared.unique_id(), worker.shared.unique_id());
        let ids =
            RequestIds { tag: &tag, call_id: &call_id, cseq: 1, unix_time: clock::unix_time() };
        match text_message(from, &self.sip_id, words, ids) {
            Ok(notice) => {
                let home = AccountHome::new(self.sip_id.clone(), &worker);
                worker.deliver_by_default(notice.message, Sender::nobody(home));
            }
            Err(error) => tracing::info!(%error, "a SIP user cannot be told"),
        }
    }

    fn start(&self) {
        if self.is_running.replace(true) || self.is_stopping.get() {
            return;
        }
        if let Some(login) = self.this.upgrade() {
            tokio::task::spawn_local(login.run());
        }
    }

    /// Keeps the stream for as long as it is wanted.
    async fn run(self: Rc<Self>) {
        if let Some(bridge) = self.worker.upgrade().and_then(|worker| worker.bridge.clone()) {
            // What the server brings at once must find the spool.
            self.during(Box::pin(bridge.await_spool())).await;
        }
        while self.is_on() && !self.is_stopping.get() {
            let stop = self.keep_online().await;
            self.give_back(true);
            if let Stop::Refused(text) = stop {
                self.refuse(text);
            }
        }
        self.is_running.set(false);
        if self.is_stopping.get()
            && let Some(bridge) = self.worker.upgrade().and_then(|worker| worker.bridge.clone())
        {
            bridge.until_written().await;
        }
        self.stopped.take();
        if let Some(worker) = self.worker.upgrade()
            && let Some(accounts) = &worker.accounts
        {
            accounts.forget(&self.sip_id);
        }
    }

    async fn keep_online(&self) -> Stop {
        let jabber = self.jabber();
        let mut backoff = Backoff::new(BackoffConfig::default());
        let before = self.closes.get();
        let link = loop {
            match self.during(Box::pin(jabber.users.find(&self.sip_id))).await {
                Ok(user) => match self.link(jabber, user) {
                    Ok(link) => break link,
                    Err(text) => return Stop::Refused(text),
                },
                Err(error) => tracing::warn!(%error, "an account cannot be looked for"),
            }
            let wait = backoff.after_failure(clock::now(), rand::random());
            if self.wait(wait, before).await.is_break() {
                return Stop::Closed;
            }
        };
        let (mut resumption, mut alive) = (None, clock::now());
        loop {
            if clock::now() > alive + RESUMABLE {
                self.lose(resumption.take());
            }
            if self.take_turn(before).await.is_break() {
                break self.give_up(resumption, Stop::Closed);
            }
            let end = self.carry(&link, &mut resumption, before).await;
            self.turn.take();
            if let Some(since) = self.ready_since.take() {
                backoff.handle_ready(since);
                alive = clock::now();
            }
            self.machine.borrow_mut().handle_broken();
            self.give_back(false);
            let domain = &link.client.domain;
            match end {
                ClientEnd::Local => break self.give_up(resumption, Stop::Closed),
                ClientEnd::Refused(refusal) => {
                    tracing::warn!(%domain, %refusal, "an account is refused");
                    let text = match refusal.is_authentication() {
                        true => Text::ErrJauth,
                        false => Text::ErrNoJsrv,
                    };
                    break self.give_up(resumption, Stop::Refused(text));
                }
                ClientEnd::Closed(CloseReason::StreamError(error))
                    if error.condition == StreamCondition::Conflict =>
                {
                    tracing::info!(%domain, "an account was taken over by another client");
                    break self.give_up(resumption, Stop::Refused(Text::InfDisconnected));
                }
                end => tracing::info!(%domain, reason = %end, "an account's stream is over"),
            }
            let wait = backoff.after_failure(clock::now(), rand::random());
            if self.wait(wait, before).await.is_break() {
                break self.give_up(resumption, Stop::Closed);
            }
        }
    }

    /// The way to the server of a user's account, when he has one that was not refused a moment ago.
    fn link(&self, jabber: &Jabber, user: Option<User>) -> Result<ClientLink, Text> {
        let user = user.filter(|user| user.is_enabled).ok_or(Text::ErrJgwForb)?;
        let (row, now) = (self.shared.tags.hash_one(&user), clock::now());
        let is_refused =
            self.refused.get().is_some_and(|(refused, until)| refused == row && until > now);
        self.is_told.set(is_refused);
        if is_refused {
            return Err(Text::ErrJauth);
        }
        let password = jabber.users.password(&user).map_err(|error| {
            tracing::error!(juid = user.juid, %error, "an account's password cannot be read");
            Text::ErrJauth
        })?;
        self.keys.replace(None);
        self.refused.set(Some((row, now)));
        Ok(jabber.link(&user, &password))
    }

    async fn carry(
        &self,
        link: &ClientLink,
        resumption: &mut Option<Resumption>,
        before: u64,
    ) -> ClientEnd {
        let old = resumption.take();
        let resolver = self.shared.resolver.as_ref();
        let closing = pin!(self.closed_after(before));
        let carried = carry(link, resolver, old, &self.keys, (self, &self.wake), closing);
        let (end, left) = self.during(pin!(carried)).await;
        match left {
            Ok(left) => *resumption = Some(left),
            Err(lost) => lost.into_iter().for_each(|token| self.handle_fate(token, false)),
        }
        if let ClientEnd::Refused(refusal) = &end
            && refusal.is_authentication()
            && let Some((row, _)) = self.refused.get()
        {
            self.refused.set(Some((row, clock::now() + REFUSED)));
        }
        end
    }

    /// Nobody will go on with the old stream.
    fn give_up(&self, resumption: Option<Resumption>, stop: Stop) -> Stop {
        self.lose(resumption);
        stop
    }

    fn lose(&self, resumption: Option<Resumption>) {
        let lost = resumption.map(Resumption::give_up).unwrap_or_default();
        lost.into_iter().for_each(|token| self.handle_fate(token, false));
    }

    /// Waits while too many others log in; breaks off when the stream is not wanted any more.
    async fn take_turn(&self, before: u64) -> std::ops::ControlFlow<()> {
        let turns = self.jabber().logins.clone();
        let waiting = async {
            tokio::select! {
                turn = turns.acquire_owned() => {
                    self.turn.replace(turn.ok());
                    std::ops::ControlFlow::Continue(())
                }
                () = self.closed_after(before) => std::ops::ControlFlow::Break(()),
            }
        };
        self.during(Box::pin(waiting)).await
    }

    /// Waits between two attempts; breaks off when the stream is not wanted any more.
    async fn wait(&self, time: Duration, before: u64) -> std::ops::ControlFlow<()> {
        let waiting = async {
            tokio::select! {
                () = sleep(time) => std::ops::ControlFlow::Continue(()),
                () = self.closed_after(before) => std::ops::ControlFlow::Break(()),
            }
        };
        self.during(Box::pin(waiting)).await
    }

    /// Serves the account's deadlines while `work` goes on.
    async fn during<T>(&self, mut work: impl Future<Output = T> + Unpin) -> T {
        loop {
            let deadline = self.machine.borrow().next_deadline();
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = until(deadline) => {
                    self.machine.borrow_mut().handle_timeout(clock::now());
                    self.act();
                }
                () = self.changed.notified() => {}
            }
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

impl ClientCarried for Login {
    fn handle_ready(&self, jid: FullJid, is_resumed: bool) {
        tracing::debug!(domain = jid.domain().as_str(), is_resumed, "an account is online");
        self.turn.take();
        self.active.set(None);
        self.ready_since.set(Some(clock::now()));
        if !is_resumed {
            self.session.set(self.session.get() + 1);
            self.ack.set(None);
        }
        self.machine.borrow_mut().handle_ready(clock::now(), jid, is_resumed);
        self.act();
        self.changed.notify_one();
    }

    fn handle_stanza(&self, stanza: Stanza) {
        super::rest::note_message();
        self.bridge(|bridge| bridge.take_receipt(&stanza));
        if self.take_error(&stanza) {
            return;
        }
        let is_taken = self.machine.borrow_mut().handle_stanza(clock::now(), &stanza);
        self.act();
        if !is_taken {
            let facts = Facts {
                unix_time: clock::unix_time(),
                uptime: clock::now().duration_since(self.started),
            };
            if let Some(reply) = Responder::new("SIP phone").reply(&stanza, facts) {
                self.reply(reply);
            }
        }
        self.changed.notify_one();
    }

    fn handle_fate(&self, token: u64, is_taken: bool) {
        match is_taken {
            true => self.machine.borrow_mut().handle_acked(token),
            false => self.machine.borrow_mut().handle_lost(token),
        }
        self.act();
    }

    fn poll_active(&self) -> Option<bool> {
        self.active.take()
    }

    fn handle_ack_asked(&self, count: u32) {
        let ack = Reply::Ack(self.sip_id.clone(), self.session.get(), count);
        self.bridge(|bridge| bridge.reply_behind(ack));
    }

    fn poll_ack(&self) -> Option<u32> {
        self.ack.take()
    }

    fn poll_stanza(&self) -> Option<(Option<u64>, Vec<u8>)> {
        let mut out = self.out.borrow_mut();
        if out.is_empty() {
            *out = VecDeque::new();
        }
        out.pop_front()
    }
}
