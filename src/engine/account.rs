//! One account that is logged in or shall be: its stream, opened again when it breaks, and what comes of it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{sleep, sleep_until};

use super::accounts::Jabber;
use super::delivery::{Arrival, Home, Sender};
use super::shared::Shared;
use super::worker::Worker;
use crate::clock;
use crate::gateway::{
    Account, AccountMessage, Action, Incoming, Mapping, Order, RequestIds, Text, Wish,
    request_between, text_message,
};
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

/// Whom to tell of an order's fate; nobody waits for some.
type Waiter = Option<oneshot::Sender<Verdict>>;

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
    /// There is something in `out` or `active`.
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

    /// Ends the stream and all that waits, and tells the user.
    pub(super) fn refuse(&self, text: Text) {
        self.machine.borrow_mut().handle_refused(text);
        self.act();
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

    fn home(&self) -> Rc<dyn Home> {
        self.this.upgrade().expect("whoever calls a login holds it")
    }

    /// Does what the account wants.
    fn act(&self) {
        loop {
            let action = self.machine.borrow_mut().poll_action();
            match action {
                None => return,
                Some(Action::Connect) => self.start(),
                Some(Action::Disconnect) => self.close_stream(),
                Some(Action::Send(token, stanza)) => self.push(token, stanza),
                Some(Action::Active(is_active)) => {
                    self.active.set(Some(is_active));
                    self.wake.notify_one();
                }
                Some(Action::Done(waiter)) => tell(waiter, Verdict::new(200, "OK")),
                Some(Action::Failed(Some(waiter), text, address)) => {
                    let (status, words) = text.status();
                    if waiter.send(Verdict::new(status, words)).is_err() {
                        self.notify(text, &address);
                    }
                }
                Some(Action::Failed(None, text, address)) => self.notify(text, &address),
                Some(Action::Notice(text, address)) => self.notify(text, &address),
                Some(Action::Deliver(message)) => self.deliver(*message),
            }
        }
    }

    fn push(&self, token: Option<u64>, stanza: Vec<u8>) {
        self.out.borrow_mut().push_back((token, stanza));
        self.wake.notify_one();
    }

    /// Sends a text of the gateway's own to the SIP user.
    fn notify(&self, text: Text, address: &str) {
        let Some(worker) = self.worker.upgrade() else { return };
        let jabber = self.jabber();
        let Some(words) = jabber.config.words(text).filter(|_| !self.is_told.get()) else { return };
        let from = if address.is_empty() { jabber.config.registrar.as_str() } else { address };
        let (tag, call_id) = (worker.shared.unique_id(), worker.shared.unique_id());
        let ids =
            RequestIds { tag: &tag, call_id: &call_id, cseq: 1, unix_time: clock::unix_time() };
        match text_message(from, &self.sip_id, words, ids) {
            Ok(notice) => worker.deliver_by_default(notice.message, Sender::nobody(self.home())),
            Err(error) => tracing::info!(%error, "a SIP user cannot be told"),
        }
    }

    fn deliver(&self, message: AccountMessage) {
        let Some(worker) = self.worker.upgrade() else { return };
        let AccountMessage { stanza, from, prefix, may_bounce } = message;
        let (tag, call_id) = (worker.shared.unique_id(), worker.shared.unique_id());
        let ids =
            RequestIds { tag: &tag, call_id: &call_id, cseq: 1, unix_time: clock::unix_time() };
        let home = self.home();
        let made = request_between(&stanza, &from, &self.sip_id, &prefix, ids, home.mapping());
        match made {
            Ok(Incoming::Request(request)) => {
                worker.deliver_stanza(Arrival {
                    request: *request,
                    stanza,
                    home,
                    account: Some(self.sip_id.clone()),
                    bounces: may_bounce,
                    id: None,
                });
            }
            Ok(Incoming::Nothing(_) | Incoming::Error { .. }) => {}
            Err(error) if may_bounce => home.return_error(&stanza, &error.stanza_error()),
            Err(error) => tracing::info!(%error, "a message cannot be carried to SIP"),
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
        while self.is_on() && !self.is_stopping.get() {
            let stop = self.keep_online().await;
            self.out.borrow_mut().clear();
            if let Stop::Refused(text) = stop {
                self.refuse(text);
            }
        }
        self.is_running.set(false);
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
        let mut resumption = None;
        loop {
            if self.take_turn(before).await.is_break() {
                break self.give_up(resumption, Stop::Closed);
            }
            let end = self.carry(&link, &mut resumption, before).await;
            self.turn.take();
            self.machine.borrow_mut().handle_broken();
            self.act();
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
        let lost = resumption.map(Resumption::give_up).unwrap_or_default();
        lost.into_iter().for_each(|token| self.handle_fate(token, false));
        stop
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

fn tell(waiter: Waiter, verdict: Verdict) {
    if let Some(waiter) = waiter {
        // A script that is gone has told its sender that time was up.
        let _ = waiter.send(verdict);
    }
}

impl ClientCarried for Login {
    fn handle_ready(&self, jid: FullJid, is_resumed: bool) {
        tracing::debug!(domain = jid.domain().as_str(), is_resumed, "an account is online");
        self.turn.take();
        self.active.set(None);
        self.machine.borrow_mut().handle_ready(clock::now(), jid, is_resumed);
        self.act();
        self.changed.notify_one();
    }

    fn handle_stanza(&self, stanza: Stanza) {
        super::rest::note_message();
        let is_taken = self.machine.borrow_mut().handle_stanza(clock::now(), &stanza);
        self.act();
        if !is_taken {
            let facts = Facts {
                unix_time: clock::unix_time(),
                uptime: clock::now().duration_since(self.started),
            };
            if let Some(reply) = responder().reply(&stanza, facts) {
                self.push(None, reply);
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

    fn poll_stanza(&self) -> Option<(Option<u64>, Vec<u8>)> {
        let mut out = self.out.borrow_mut();
        if out.is_empty() {
            *out = VecDeque::new();
        }
        out.pop_front()
    }
}

fn responder() -> Responder {
    Responder {
        name: "SIP phone".to_owned(),
        features: Vec::new(),
        software: "sipjab".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

impl Home for Login {
    fn mapping(&self) -> &Mapping {
        &self.jabber().mapping
    }

    fn outbound_proxy(&self) -> Option<&str> {
        self.jabber().config.proxy.as_deref()
    }

    fn reply(&self, bytes: Vec<u8>) {
        self.push(None, bytes);
    }

    fn handle_undelivered(&self) {
        if self.jabber().config.logout_on_undeliverable && self.is_on() {
            let now = clock::now();
            let wish = Wish::Offline;
            self.handle_order(
                now,
                Order { wish, address: String::new(), deadline: now, waiter: None },
            );
        }
    }
}
