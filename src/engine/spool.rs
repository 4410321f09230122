//! Messages that were accepted for delivery: stored before anybody is told so, sent in order, tried again, and reported when
//! they fail. [`Ledger`] decides; this stores what it has decided, and does it.

mod accept;
mod accounts;
mod journal;
mod report;
mod restore;
mod row;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::bridge::{Bridge, Waiter};
use super::delivery::Arrival;
use crate::clock;
use crate::config::{SpoolConfig, Uncertain};
use crate::gateway::ledger::{Bounds, Held, Ledger, Next, Outcome, Policy, Side, State};
use crate::gateway::{
    AccountStanza, Incoming, MessageId, Outgoing, OutgoingRequest, OutgoingStanza, RequestIds,
    message_from_stanza, stanza_from_message,
};
use crate::script::router::Verdict;
use crate::sip::Message;
use crate::store::{Store, StoreError};
use crate::xmpp::ns::ContentNamespace;
use crate::xmpp::{Condition, Stanza, StanzaError};
pub(crate) use journal::Reply;
use journal::Step;
pub(crate) use report::Failure;
pub(super) use report::said;
use row::{Change, Kind, Way, What};
pub use row::{SPOOL, Told};

/// Messages whose hand-over to XMPP is awaited: as many as may be uncertain when the stream breaks.
const XMPP_WINDOW: usize = 128;

/// MESSAGEs on their way to SIP.
const SIP_WINDOW: usize = 1000;

/// Steps that may wait for the store before replies are dropped.
const MAX_STEPS: usize = 50_000;

/// How long a store that is away is left alone.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// A message.
pub(super) struct Load {
    kind: Kind,
    /// Whose messages it keeps its order with.
    lane: Arc<str>,
    /// As it is stored: a request or a stanza, with lines about it where an account has it.
    bytes: Bytes,
    /// What it has become, for the first attempt.
    made: Option<Made>,
    /// False for a stanza that asks for no receipt; others must be looked at.
    may_ask_receipt: bool,
    /// Who waits until it is stored.
    waiters: Vec<oneshot::Sender<Verdict>>,
}

/// What a message has become on the other side.
enum Made {
    Stanza(OutgoingStanza),
    OfAccount(AccountStanza),
    Request(Box<(OutgoingRequest, Stanza)>),
}

/// The spool.
pub(super) struct Spool {
    pub(super) ledger: RefCell<Ledger<Box<Load>>>,
    config: SpoolConfig,
    store: Option<Store>,
    steps: RefCell<Vec<Step>>,
    /// Steps that are being written.
    writing: Cell<usize>,
    has_steps: Notify,
    /// Some steps are written.
    written: Notify,
    deadline_changed: Notify,
    /// What the watch waits for.
    alarm: Cell<Option<Instant>>,
    /// What the store has kept is known.
    is_restored: Cell<bool>,
    restored: Notify,
    /// The store has not taken the last steps.
    is_store_away: Cell<bool>,
}

impl Spool {
    pub(super) fn new(config: &SpoolConfig, store: Option<Store>, held: &Arc<Held>) -> Self {
        let policy = Policy {
            attempts: config.attempts,
            first_wait: config.retry_after,
            longest_wait: config.max_retry_after,
            repeats_uncertain: config.uncertain == Uncertain::Repeat,
            keep: config.keep,
        };
        let bounds = Bounds {
            messages: config.max_messages,
            bytes: config.max_bytes,
            xmpp_window: XMPP_WINDOW,
            sip_window: SIP_WINDOW,
        };
        Self {
            ledger: RefCell::new(Ledger::new(policy, bounds).sharing(held.clone())),
            config: config.clone(),
            is_restored: Cell::new(store.is_none()),
            store,
            steps: RefCell::default(),
            writing: Cell::new(0),
            has_steps: Notify::new(),
            written: Notify::new(),
            deadline_changed: Notify::new(),
            alarm: Cell::default(),
            restored: Notify::new(),
            is_store_away: Cell::new(false),
        }
    }

    /// Is nothing under way, and everything written? What waits is there after a restart.
    pub(super) fn is_idle(&self) -> bool {
        let is_written = self.is_written();
        let ledger = self.ledger.borrow();
        let may_wait = self.store.is_some() || ledger.is_empty();
        is_written && ledger.under_way() == 0 && may_wait
    }

    fn is_written(&self) -> bool {
        self.writing.get() == 0 && self.steps.borrow().is_empty()
    }

    /// Does what waits outlive this process?
    pub(super) fn is_durable(&self) -> bool {
        self.store.is_some()
    }

    /// What is known of a message.
    pub(super) fn state(&self, id: MessageId) -> Option<State> {
        self.ledger.borrow().state(id)
    }

    /// Tells that the recipient's device has a message that was handed over.
    pub(super) fn handle_receipt(&self, id: MessageId) {
        if self.ledger.borrow_mut().handle_receipt(id) {
            self.change(id, State::Delivered, 1, None);
        }
    }

    /// Tells that there may be an earlier deadline than those before.
    pub(super) fn notice_deadline(&self, deadline: Option<Instant>) {
        let is_earlier = |at| self.alarm.get().is_none_or(|alarm| at < alarm);
        if deadline.is_some_and(is_earlier) {
            self.deadline_changed.notify_one();
        }
    }

    fn notice_own_deadline(&self) {
        let deadline = self.ledger.borrow().next_deadline();
        self.notice_deadline(deadline);
    }

    /// May a message be accepted now?
    fn takes_messages(&self) -> bool {
        self.is_restored.get() && !self.is_store_away.get()
    }

    fn step(&self, step: Step) {
        if !self.is_durable() && matches!(step, Step::Change(..) | Step::Delete(_)) {
            return;
        }
        self.steps.borrow_mut().push(step);
        self.has_steps.notify_one();
    }

    fn change(&self, id: MessageId, state: State, attempts: u32, failure: Option<&Failure>) {
        let (status, reason) = failure.map_or((0, ""), |it| (it.code, it.reason.as_str()));
        let change = Change { state: state.word(), attempts, status, reason: reason.to_owned() };
        self.step(Step::Change(id, change));
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The refusal of a message that cannot be kept.
pub(super) fn not_kept(reason: &'static str) -> Verdict {
    let header = Some(("Retry-After", "10".to_owned()));
    Verdict { status: 503, reason: reason.into(), header }
}

/// The same for a stanza.
fn unkept() -> StanzaError {
    StanzaError::from(Condition::ResourceConstraint).with_text("the message could not be kept")
}

impl Bridge {
    /// Writes steps as they come, many in one transaction, and does what follows from them.
    pub(super) async fn keep_spool(self: Rc<Self>) {
        self.restore_spool().await;
        loop {
            let steps = self.spool.steps.take();
            if steps.is_empty() {
                self.spool.has_steps.notified().await;
                continue;
            }
            self.spool.writing.set(steps.len());
            let written = match &self.spool.store {
                Some(store) => write(store, &steps).await,
                None => Ok(()),
            };
            self.spool.writing.set(0);
            self.spool.written.notify_waiters();
            match written {
                Ok(()) => self.handle_written(steps),
                Err(error) => {
                    self.handle_unwritten(steps, &error.to_string());
                    tokio::time::sleep(STORE_PAUSE).await;
                    self.spool.is_store_away.set(false);
                }
            }
        }
    }

    fn handle_written(&self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Insert(row) => self.handle_stored(row.id),
                Step::Keep(id) => self.handle_stored(id),
                Step::Begin(id, _) => self.begin(id),
                Step::Reply(reply) => self.reply_now(reply),
                Step::Change(..) | Step::Delete(_) => {}
            }
        }
        self.start_ready();
    }

    fn handle_stored(&self, id: MessageId) {
        let mut ledger = self.spool.ledger.borrow_mut();
        let begins = ledger.handle_stored(id);
        let load = ledger.get_mut(id);
        let account = load.as_ref().filter(|load| load.kind.side() == Side::Account);
        let account = account.map(|load| load.lane.clone());
        let waiters = load.map(|load| std::mem::take(&mut load.waiters));
        drop(ledger);
        for waiter in waiters.into_iter().flatten() {
            tell(Some(waiter), Verdict::new(202, "Accepted"));
        }
        if begins {
            self.begin(id);
        } else if let Some(account) = account {
            self.open_stream(&account);
        }
    }

    /// Refuses what could not be stored; what must be written is written later.
    fn handle_unwritten(&self, steps: Vec<Step>, error: &str) {
        if !self.spool.is_store_away.replace(true) {
            tracing::warn!(%error, "the spool takes nothing");
        }
        let mut owed = Vec::new();
        for step in steps {
            match step {
                step if step.is_owed() => owed.push(step),
                Step::Insert(row) => {
                    self.refuse(row.id);
                    // It may have been written all the same.
                    owed.push(Step::Delete(row.id));
                }
                Step::Reply(reply) => self.reply_now(reply),
                Step::Keep(_) | Step::Begin(..) | Step::Change(..) | Step::Delete(_) => {}
            }
        }
        let newer = self.spool.steps.take();
        owed.extend(newer);
        self.spool.steps.replace(owed);
        self.spool.has_steps.notify_one();
    }

    fn refuse(&self, id: MessageId) {
        let refused = self.spool.ledger.borrow_mut().handle_refused(id);
        let Some(load) = refused else { return };
        let Load { kind, bytes, lane, waiters, .. } = *load;
        for waiter in waiters {
            tell(Some(waiter), not_kept("The Spool Is Away"));
        }
        match (kind.what, kind.way) {
            // At once, so that no answer to a later ping overtakes it.
            (What::Stanza, Way::Component) => {
                if let Some(reply) = parsed(&bytes).and_then(|it| unkept().reply_to(&it)) {
                    self.reply_now(Reply::Component(reply));
                }
            }
            (What::Stanza, Way::Account) => self.refuse_received(id, &lane, &bytes),
            _ => {}
        }
    }

    /// Sends a reply to an XMPP user behind what he has sent before: once that is stored.
    pub(super) fn reply(&self, bytes: Vec<u8>) {
        self.reply_behind(Reply::Component(bytes));
    }

    /// Says something to the XMPP side behind what it has sent before: once that is stored.
    pub(super) fn reply_behind(&self, reply: Reply) {
        let waiting = self.spool.steps.borrow().len();
        match self.spool.writing.get() + waiting {
            0 => self.reply_now(reply),
            _ if waiting < MAX_STEPS => self.spool.step(Step::Reply(reply)),
            _ => tracing::warn!("a reply to an XMPP user was dropped: the spool is slow"),
        }
    }

    /// Begins what may begin.
    pub(super) fn start_ready(&self) {
        let is_draining = self.worker().is_none_or(|worker| worker.shared.is_draining());
        if is_draining && self.spool.is_durable() {
            return;
        }
        let now = clock::now();
        loop {
            let mut ledger = self.spool.ledger.borrow_mut();
            let Some(id) = ledger.poll_start(now) else { return };
            let attempts = ledger.attempts(id);
            drop(ledger);
            let (state, reason) = (State::Sending.word(), String::new());
            self.spool.step(Step::Begin(id, Change { state, attempts, status: 0, reason }));
        }
    }

    /// Begins an attempt, which is stored as begun.
    fn begin(&self, id: MessageId) {
        let mut ledger = self.spool.ledger.borrow_mut();
        let Some(load) = ledger.get_mut(id) else { return };
        let (kind, bytes, made) = (load.kind, load.bytes.clone(), load.made.take());
        let lane = load.lane.clone();
        drop(ledger);
        match (kind.what, kind.way) {
            (_, Way::Account) if self.jabber.is_none() => {
                let failure = Failure::new(503, "there are no accounts any more");
                self.conclude(id, Outcome::Failed, Some(failure));
            }
            (What::Request, Way::Component) => self.begin_request(id, bytes, made),
            (What::Stanza, Way::Component) => self.begin_stanza(id, &bytes, made),
            (What::SipReport, way) => match (Message::parse(bytes), way) {
                (Ok(message), Way::Component) => self.deliver_report(message, id, self.home()),
                (Ok(message), Way::Account) => {
                    self.deliver_report(message, id, self.account_home(&lane));
                }
                (Err(_), _) => self.conclude(id, Outcome::Failed, Some(Failure::unreadable())),
            },
            (What::XmppReport, Way::Component) => {
                match parsed(&bytes).and_then(|it| addressed(&it, id)) {
                    Some(stanza) => self.push_stanza(id, stanza),
                    None => self.conclude(id, Outcome::Failed, Some(Failure::unreadable())),
                }
            }
            (What::Request, Way::Account) => self.begin_written(id, &lane, bytes, made),
            (What::Stanza, Way::Account) => self.begin_received(id, &lane, &bytes, made),
            (What::XmppReport, Way::Account) => self.begin_account_report(id, &lane, &bytes),
        }
    }

    /// Waits until everything is written.
    pub(super) async fn until_written(&self) {
        loop {
            let written = self.spool.written.notified();
            if self.spool.is_written() {
                return;
            }
            written.await;
        }
    }

    fn begin_request(&self, id: MessageId, bytes: Bytes, made: Option<Made>) {
        if let Some(Made::Stanza(stanza)) = made {
            return self.push_request(id, stanza, bytes);
        }
        let made = Message::parse(bytes.clone())
            .map(|request| stanza_from_message(&request, &id.to_string(), &self.gateway.mapping));
        match made {
            Ok(Ok(Outgoing::Stanza(stanza))) => self.push_request(id, stanza, bytes),
            Ok(Ok(Outgoing::Nothing(_))) => self.conclude(id, Outcome::HandedOver, None),
            Ok(Err(error)) => {
                let failure = Failure::new(error.status().0, error.to_string());
                self.conclude(id, Outcome::Failed, Some(failure));
            }
            Err(_) => self.conclude(id, Outcome::Failed, Some(Failure::unreadable())),
        }
    }

    fn push_request(&self, id: MessageId, stanza: OutgoingStanza, request: Bytes) {
        if stanza.asks_receipt {
            // Without room for it the sender goes without a receipt.
            let _ = self.expect_receipt(stanza.id.clone(), &stanza.to, request.into(), None);
        }
        self.push_stanza(id, stanza);
    }

    fn push_stanza(&self, id: MessageId, stanza: OutgoingStanza) {
        let pushed = self.push_waiting(stanza, Waiter::Spool(id));
        if pushed.is_err() {
            let failure = Failure::new(503, "the gateway is full");
            self.conclude(id, Outcome::OutOfReach, Some(failure));
        }
    }

    fn begin_stanza(&self, id: MessageId, bytes: &Bytes, made: Option<Made>) {
        if let Some(Made::Request(made)) = made {
            let (request, stanza) = *made;
            return self.deliver_arrival(Arrival::of_component(
                request,
                stanza,
                self.home(),
                Some(id),
            ));
        }
        let Some(stanza) = parsed(bytes) else {
            return self.conclude(id, Outcome::Failed, Some(Failure::unreadable()));
        };
        let call_id = id.to_string();
        let ids = RequestIds::of_message(&call_id, clock::unix_time());
        match message_from_stanza(&stanza, ids, &self.gateway.mapping) {
            Ok(Incoming::Request(request)) => {
                let home = self.home();
                self.deliver_arrival(Arrival::of_component(*request, stanza, home, Some(id)));
            }
            Ok(_) => self.conclude(id, Outcome::HandedOver, None),
            Err(error) => {
                let failure = Failure::of_stanza(error.stanza_error());
                self.conclude(id, Outcome::Failed, Some(failure));
            }
        }
    }

    /// Takes what an attempt has come to. `failure` says what the sender hears when it was the last.
    pub(super) fn conclude(&self, id: MessageId, outcome: Outcome, failure: Option<Failure>) {
        let now = clock::now();
        let mut ledger = self.spool.ledger.borrow_mut();
        let attempts = ledger.attempts(id);
        let next = ledger.conclude(now, id, outcome);
        drop(ledger);
        match next {
            Some(Next::Again) => {
                self.spool.change(id, State::Accepted, attempts, failure.as_ref());
            }
            Some(Next::Over(state, load)) => {
                let failure = failure.filter(|_| state == State::Failed);
                self.spool.change(id, state, attempts, failure.as_ref());
                match failure {
                    Some(failure) => self.tell_of_failure(id, &load, &failure),
                    None if state == State::Delivered => self.send_receipt(&load),
                    None if load.kind.what == What::Request => self.remember_load(id, &load),
                    None => {}
                }
            }
            None => {}
        }
        // Here, too, since what is remembered grows with every fate, and the next deadline may be an hour away.
        self.forget_fates(now);
        self.spool.notice_own_deadline();
        self.start_ready();
    }

    /// Takes back what is not written to a stream that is gone.
    pub(super) fn handle_stream(&self, is_open: bool) {
        self.spool.ledger.borrow_mut().set_open(Side::Xmpp, is_open);
        if !is_open {
            for waiter in self.withdraw_spooled() {
                if let Waiter::Spool(id) = waiter {
                    self.conclude(id, Outcome::Unsent, None);
                }
            }
        }
        self.start_ready();
    }

    /// Serves the deadlines of what waits.
    pub(super) async fn watch_spool(self: Rc<Self>) {
        loop {
            let deadline = self.spool.ledger.borrow().next_deadline();
            let receipts = self.awaited.borrow().next_deadline();
            let deadline = [deadline, receipts].into_iter().flatten().min();
            self.spool.alarm.set(deadline);
            tokio::select! {
                () = until(deadline) => {
                    self.end_waits(clock::now());
                    self.handle_spool_timeout(clock::now());
                }
                () = self.spool.deadline_changed.notified() => {}
            }
        }
    }

    fn handle_spool_timeout(&self, now: Instant) {
        loop {
            let expired = self.spool.ledger.borrow_mut().poll_expired(now);
            let Some((id, load)) = expired else { break };
            let failure = Failure::expired();
            self.spool.change(id, State::Expired, 0, Some(&failure));
            self.tell_of_failure(id, &load, &failure);
        }
        self.forget_fates(now);
        self.start_ready();
    }

    /// Forgets the fates that were known long enough, and those that are too many.
    fn forget_fates(&self, now: Instant) {
        loop {
            let forgotten = self.spool.ledger.borrow_mut().poll_forgotten(now);
            let Some(id) = forgotten else { return };
            self.spool.step(Step::Delete(id));
        }
    }
}

/// Writes steps, if there is something to write.
async fn write(store: &Store, steps: &[Step]) -> Result<(), StoreError> {
    match journal::statements(steps, clock::unix_time()) {
        statements if statements.is_empty() => Ok(()),
        statements => store.execute(statements).await.map(drop),
    }
}

/// Tells who waits; one who has stopped waiting hears nothing.
pub(super) fn tell(waiter: Option<oneshot::Sender<Verdict>>, verdict: Verdict) {
    if let Some(waiter) = waiter {
        let _ = waiter.send(verdict);
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// A stanza as it was stored.
fn parsed(bytes: &[u8]) -> Option<Stanza> {
    Stanza::parse(std::str::from_utf8(bytes).ok()?, ContentNamespace::Component).ok()
}

/// A stanza of an account as it was stored.
fn on_account(bytes: &[u8]) -> Option<Stanza> {
    Stanza::parse(std::str::from_utf8(bytes).ok()?, ContentNamespace::Client).ok()
}

/// A stanza of ours that was stored, with an id of our own for the one who awaits its hand-over.
fn addressed(stanza: &Stanza, id: MessageId) -> Option<OutgoingStanza> {
    Some(OutgoingStanza {
        bytes: stanza.bytes().to_vec(),
        id: id.to_string(),
        to: stanza.to_jid()?.ok()?,
        from: stanza.from_jid()?.ok()?,
        asks_receipt: false,
    })
}
