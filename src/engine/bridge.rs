//! Between the SIP side and XMPP: the messages of a worker that are kept until their fate is known, and the stream of the
//! component on the worker that has it.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};

use super::delivery::{Arrival, End, Home, Sender, going_down};
use super::receipts::{Context, MAX_AWAITED};
use super::rest;
use super::shared::{Promised, Sending, Shared};
use super::spool::{Failure, Reply as Behind, Spool, said, tell};
use super::worker::Worker;
use crate::clock;
use crate::gateway::ledger::Outcome;
use crate::gateway::{
    Awaited, Fate, Handover, Incoming, Mapping, MessageId, OutgoingStanza, OutgoingStanzaMeta,
    Recent, RecentBounds, RequestIds, error_from_response, failure_from_error, message_from_stanza,
    notice_from_error,
};
use crate::modules::xmpp::{Config, Gateway, Reply};
use crate::net::xmpp::{Carried as Stream, ComponentLink, run};
use crate::script::router::Verdict;
use crate::sip::{Message, hex};
use crate::xmpp::backoff::BackoffConfig;
use crate::xmpp::iq::{Facts, Responder};
use crate::xmpp::stream::component::ComponentConfig;
use crate::xmpp::{Condition, Jid, Kind as StanzaKind, Stanza};

/// What a worker remembers of the messages of SIP users that were taken for delivered.
const REMEMBERED: RecentBounds =
    RecentBounds { requests: 4096, bytes: 4_000_000, time: Duration::from_secs(300) };

/// Whom to tell of a stanza's fate.
pub(super) enum Waiter {
    /// Nobody.
    Nobody,
    /// The script that waits.
    Script(oneshot::Sender<Verdict>),
    /// The script that waits for what becomes of the stanza with this id; its account knows it.
    Reply(String),
    /// The script that waits for the receipt of the stanza with this id.
    Receipt(String),
    /// The spool.
    Spool(MessageId),
}

/// The bridge.
pub(crate) struct Bridge {
    worker: Weak<Worker>,
    this: Weak<Self>,
    pub(super) gateway: Gateway,
    /// How messages of accounts are carried, where there are accounts.
    pub(super) jabber: Option<Mapping>,
    pub(super) spool: Spool,
    /// What was sent a short while ago, whose errors may come late.
    pub(super) recent: RefCell<Recent>,
    /// Receipts that are awaited, with the requests that they are for.
    pub(super) awaited: RefCell<Awaited<oneshot::Sender<Verdict>, Context>>,
    /// How long a script waits for a fate.
    pub(super) patience: Duration,
    responder: Responder,
    started: Instant,
    handover: RefCell<Handover<Waiter>>,
    wake: Rc<Notify>,
    closing: Notify,
    /// Dropped once the stream is closed.
    closed: RefCell<Option<mpsc::Sender<()>>>,
}

impl Bridge {
    /// The bridge of a worker.
    pub(super) fn new(worker: Weak<Worker>, shared: &Shared) -> Rc<Self> {
        let gateway = shared.xmpp.as_ref().map(|xmpp| xmpp.gateway.clone());
        let gateway = gateway.unwrap_or_else(|| Gateway::from(Config::default()));
        let config = &gateway.config;
        // Whoever waits for the fate must hear it before the script's deadline.
        let timeout = match config.reply {
            Reply::Queued => config.queue_timeout,
            Reply::HandedOver | Reply::Delivered => {
                config.queue_timeout.min(shared.config.script.deadline * 9 / 10)
            }
        };
        let handover = Handover::new(&config.xmpp_domain, config.queue, timeout);
        let handover = match config.reply {
            Reply::Queued => handover.settling_late(),
            Reply::HandedOver | Reply::Delivered => handover,
        };
        let name = config.name.clone();
        Rc::new_cyclic(|this| Self {
            worker,
            this: this.clone(),
            responder: Responder::new(name),
            started: clock::now(),
            handover: RefCell::new(handover),
            recent: RefCell::new(Recent::new(REMEMBERED)),
            awaited: RefCell::new(Awaited::new(MAX_AWAITED, shared.config.spool.keep)),
            patience: timeout,
            spool: Spool::new(&shared.config.spool, shared.spool.clone(), &shared.held),
            jabber: shared.jabber.as_ref().map(|jabber| jabber.mapping.clone()),
            wake: Rc::default(),
            closing: Notify::new(),
            closed: RefCell::default(),
            gateway,
        })
    }

    /// Keeps messages, and the stream when this worker has it, until it is told to close.
    pub(super) async fn run(self: Rc<Self>, shared: Arc<Shared>) {
        tokio::task::spawn_local(self.clone().keep_spool());
        tokio::task::spawn_local(self.clone().watch_spool());
        match self.worker().is_some_and(|worker| worker.has_stream()) {
            true => self.clone().keep_stream(&shared).await,
            false => self.closing.notified().await,
        }
        self.until_written().await;
        self.closed.take();
    }

    async fn keep_stream(self: Rc<Self>, shared: &Shared) {
        self.await_spool().await;
        let config = &self.gateway.config;
        let mut component =
            ComponentConfig::new(config.xmpp_domain.clone(), config.xmpp_password.expose());
        // Whoever routes to our own domain is alive.
        component.ping = Some(config.xmpp_domain.clone());
        component.idle = config.ping_interval;
        let link = ComponentLink {
            host: config.xmpp_host.clone(),
            port: config.xmpp_port,
            srv: config.xmpp_srv,
            component,
            backoff: BackoffConfig::default(),
        };
        let carried = self.clone();
        let closed = async { self.closing.notified().await };
        run(link, shared.resolver.clone(), carried, self.wake.clone(), closed).await;
    }

    /// Closes the stream in order; drops `done` once that is done.
    pub(super) fn close(&self, done: mpsc::Sender<()>) {
        self.closed.replace(Some(done));
        self.closing.notify_one();
    }

    /// Nothing waits, on either side.
    pub(super) fn is_idle(&self) -> bool {
        self.spool.is_idle() && self.handover.borrow().is_idle()
    }

    /// Takes a stanza for XMPP, and tells who waits what was promised to him, or why not.
    pub(super) fn take(self: &Rc<Self>, sending: Sending) {
        let Sending { stanza, request, promised } = sending;
        match promised {
            Promised::Queued(id, waiter) => self.spool_request(id, stanza, request, waiter),
            Promised::Delivered(waiter) => self.send_awaiting(stanza, request, waiter),
            Promised::HandedOver(waiter) => {
                self.remember(&stanza.id, &stanza.to, request.clone());
                if stanza.asks_receipt {
                    // Without room for it the sender goes without a receipt.
                    let id = stanza.id.clone();
                    let _ = self.expect_receipt(id, &stanza.to, request.into(), None);
                }
                if let Err(Waiter::Script(waiter)) =
                    self.push_waiting(stanza, Waiter::Script(waiter))
                {
                    tell(Some(waiter), Verdict::new(503, "The Gateway Is Full"));
                }
            }
        }
    }

    /// Remembers a message whose error may come late.
    pub(super) fn remember(&self, stanza_id: &str, to: &Jid, request: Bytes) {
        let recipient = to.to_bare().to_string();
        self.recent.borrow_mut().note(clock::now(), stanza_id, recipient.into(), request);
    }

    /// What the message said that an error is about, while that is remembered.
    pub(super) fn said_before(&self, error: &Stanza) -> Option<String> {
        let (id, Some(Ok(from))) = (error.id()?, error.from_jid()) else { return None };
        let request = self.recent.borrow_mut().request(clock::now(), &id, &from)?;
        Some(said(&Message::parse(request).ok()?))
    }

    /// Queues a stanza; gives back whom to tell when there is no room.
    pub(super) fn push_waiting(
        &self,
        stanza: OutgoingStanza,
        waiter: Waiter,
    ) -> Result<(), Waiter> {
        self.wake.notify_one();
        self.handover.borrow_mut().push(clock::now(), stanza, waiter)
    }

    /// Takes back messages of the spool that are not written yet.
    pub(super) fn withdraw_spooled(&self) -> Vec<Waiter> {
        self.handover.borrow_mut().withdraw(|waiter| matches!(waiter, Waiter::Spool(_)))
    }

    /// The worker that has the stream.
    pub(super) fn worker(&self) -> Option<Rc<Worker>> {
        self.worker.upgrade()
    }

    pub(super) fn reply_now(&self, reply: Behind) {
        let bytes = match reply {
            Behind::Component(bytes) => bytes,
            Behind::Account(account, bytes) => {
                if let Some(login) = self.login(&account) {
                    login.send(bytes);
                }
                return;
            }
            Behind::Ack(account, session, count) => {
                if let Some(login) = self.login(&account) {
                    login.acknowledge(session, count);
                }
                return;
            }
        };
        if !self.handover.borrow_mut().push_reply(bytes) {
            tracing::warn!("a reply to an XMPP user was dropped: too many wait");
        }
        self.wake.notify_one();
    }

    /// Takes what a delivery of a message has come to whose sender is told in the words of `mapping`.
    pub(super) fn conclude_delivery(&self, id: MessageId, end: End, mapping: &Mapping) {
        match end {
            End::Response { code, reason, contact } => {
                self.conclude_sip(id, (code, &reason, contact.as_deref()), mapping);
            }
            End::Answered => self.conclude(id, Outcome::HandedOver, None),
            End::Dropped => self.conclude(id, Outcome::Failed, Some(Failure::dropped())),
            End::Refused(error) => {
                self.conclude(id, Outcome::Failed, Some(Failure::of_stanza(error)));
            }
            End::Unsent if self.spool.is_durable() => {
                self.conclude(id, Outcome::Unsent, None);
            }
            End::Unsent => self.conclude_delivery(id, End::Refused(going_down()), mapping),
        }
    }

    /// Takes what has become of a MESSAGE of the spool.
    fn conclude_sip(
        &self,
        id: MessageId,
        (code, reason, contact): (u16, &str, Option<&str>),
        mapping: &Mapping,
    ) {
        let is_again = self.spool.ledger.borrow().attempts(id) > 1;
        let outcome = match code {
            // RFC 3428 §7: somebody else will deliver it.
            202 => Outcome::HandedOver,
            200..=299 => Outcome::Delivered,
            // RFC 3261 §8.2.2.2: he has it from an attempt before.
            482 if is_again => Outcome::Delivered,
            408 | 503 | 504 => Outcome::OutOfReach,
            _ => Outcome::Failed,
        };
        let failure = (!matches!(outcome, Outcome::Delivered | Outcome::HandedOver)).then(|| {
            let error = error_from_response(code, reason, contact, mapping);
            Failure::new(code, reason).with_error(error)
        });
        self.conclude(id, outcome, failure);
    }

    /// Delivers a report of the spool.
    pub(super) fn deliver_report(&self, message: Message, id: MessageId, home: Rc<dyn Home>) {
        if let Some(worker) = self.worker() {
            let sender = Sender { id: Some(id), ..Sender::nobody(home) };
            worker.deliver_by_default(message, sender);
        }
    }

    fn handle_message(&self, stanza: Stanza) {
        let Some(worker) = self.worker.upgrade() else { return };
        let id = MessageId::of_stanza(&stanza, || worker.shared.unique_id());
        self.take_receipt(&stanza);
        let call_id = id.digits();
        let ids = RequestIds::of_message(hex::text(&call_id), clock::unix_time());
        match message_from_stanza(&stanza, ids, &self.gateway.mapping) {
            // What is of no use later is not kept.
            Ok(Incoming::Request(request)) if request.is_transient => {
                let home = self.home();
                self.deliver_arrival(Arrival::of_component(*request, stanza, home, None));
            }
            Ok(Incoming::Request(request)) => self.spool_stanza(id, &stanza, *request),
            Ok(Incoming::Error { error, id: about }) => {
                let about = about.as_deref().and_then(MessageId::of_stanza_id).unwrap_or(id);
                let text = self.said_before(&stanza);
                match notice_from_error(&stanza, &error, text, ids, &self.gateway.mapping) {
                    Ok(notice) => self.spool_notice(MessageId::of_report(about), &notice, None),
                    Err(error) => {
                        tracing::info!(%error, "a failure cannot be told to its SIP user");
                    }
                }
            }
            Ok(Incoming::Nothing(_)) => {}
            Err(error) => self.return_error(&stanza, &error.stanza_error()),
        }
    }

    /// Takes a message on its way to SIP.
    pub(super) fn deliver_arrival(&self, arrival: Arrival) {
        if let Some(worker) = self.worker() {
            worker.deliver_stanza(arrival);
        }
    }

    /// Ourselves, as what stanzas come from.
    pub(super) fn home(&self) -> Rc<dyn Home> {
        self.this.upgrade().expect("whoever calls a bridge holds it")
    }

    /// Tells the fates that have become known.
    fn settle(&self) {
        loop {
            let fate = self.handover.borrow_mut().poll_fate();
            let Some((waiter, stanza, fate)) = fate else { return };
            let waiter = match waiter {
                Waiter::Nobody | Waiter::Reply(_) => None,
                Waiter::Script(waiter) => Some(waiter),
                Waiter::Receipt(id) if fate == Fate::HandedOver => {
                    self.awaited.borrow_mut().handle_handed_over(&id);
                    continue;
                }
                Waiter::Receipt(id) => self.awaited.borrow_mut().handle_failed(&id),
                Waiter::Spool(id) => {
                    self.settle_spooled(id, &stanza, fate);
                    continue;
                }
            };
            let verdict = match fate {
                Fate::HandedOver => Verdict::new(200, "OK"),
                Fate::Failed(error) => {
                    let failure = failure_from_error(&error, &stanza.to, &self.gateway.mapping);
                    let header = failure.contact.map(|uri| ("Contact", format!("<{uri}>")));
                    Verdict { status: failure.code, reason: failure.reason, header }
                }
                Fate::Lost => Verdict::new(504, "The XMPP Server Was Lost On The Way"),
                Fate::Expired | Fate::Unanswered => {
                    Verdict::new(504, "The XMPP Server Does Not Answer")
                }
            };
            tell(waiter, verdict);
        }
    }

    /// Takes what has become of a stanza of the spool.
    fn settle_spooled(&self, id: MessageId, stanza: &OutgoingStanzaMeta, fate: Fate) {
        match fate {
            Fate::HandedOver => self.conclude(id, Outcome::HandedOver, None),
            Fate::Expired => self.conclude(id, Outcome::Unsent, None),
            Fate::Lost | Fate::Unanswered => {
                self.conclude(id, Outcome::Uncertain, Some(Failure::uncertain()));
            }
            Fate::Failed(error) => {
                let _ = self.awaited.borrow_mut().handle_failed(&stanza.id);
                let failure = failure_from_error(&error, &stanza.to, &self.gateway.mapping);
                let outcome = match error.condition {
                    Condition::RemoteServerTimeout => Outcome::OutOfReach,
                    _ => Outcome::Failed,
                };
                self.conclude(id, outcome, Some(Failure::new(failure.code, failure.reason)));
            }
        }
    }
}

impl Home for Bridge {
    fn mapping(&self) -> &Mapping {
        &self.gateway.mapping
    }

    fn outbound_proxy(&self) -> Option<&str> {
        self.gateway.config.outbound_proxy.as_deref()
    }

    fn reply(&self, bytes: Vec<u8>) {
        Bridge::reply(self, bytes);
    }

    fn conclude(&self, id: MessageId, end: End) {
        self.conclude_delivery(id, end, &self.gateway.mapping);
    }
}

impl Stream for Bridge {
    fn handle_ready(&self) {
        self.handover.borrow_mut().handle_ready();
        self.handle_stream(true);
    }

    fn handle_stanza(&self, stanza: Stanza) {
        rest::note_message();
        let is_settled = self.handover.borrow_mut().handle_stanza(clock::now(), &stanza);
        self.settle();
        if is_settled {
            return;
        }
        match stanza.kind() {
            StanzaKind::Message => self.handle_message(stanza),
            StanzaKind::Iq => {
                let facts = Facts {
                    unix_time: clock::unix_time(),
                    uptime: clock::now().duration_since(self.started),
                };
                if let Some(reply) = self.responder.reply(&stanza, facts) {
                    self.reply(reply);
                }
            }
            StanzaKind::Presence | StanzaKind::Nonza => {}
        }
    }

    fn handle_closed(&self, _why: &str) {
        self.handover.borrow_mut().handle_closed();
        self.handle_stream(false);
        self.settle();
    }

    fn poll_transmit(&self, out: &mut Vec<u8>) {
        const CHUNK: usize = 64 * 1024;
        self.handover.borrow_mut().poll_transmit(clock::now(), out, CHUNK);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.handover.borrow().next_deadline()
    }

    fn handle_timeout(&self, now: Instant) {
        self.handover.borrow_mut().handle_timeout(now);
        self.settle();
    }
}
