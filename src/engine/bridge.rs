//! Between the SIP side and the stream of the XMPP component. It lives on the worker that has the stream.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot};

use super::relay::{Outbound, Tried};
use super::rest;
use super::shared::{Sending, Shared};
use super::transactions::User;
use super::worker::Worker;
use crate::clock;
use crate::gateway::{
    Fate, Handover, Incoming, Lanes, MAX_PAGER, MessageError, OutgoingRequest, RequestIds,
    VIA_RESERVE, error_from_response, failure_from_error, message_from_stanza, notice_from_error,
    notice_to_sender, receipt_for,
};
use crate::modules::xmpp::{Gateway, Reply};
use crate::net::xmpp::{Carried as Stream, ComponentLink, run};
use crate::script::engine::Ended;
use crate::script::error::RouteError;
use crate::script::export::Kind;
use crate::script::route::{FromXmpp, Route};
use crate::script::router::Verdict;
use crate::sip::Message;
use crate::sip::transport::{Source, Transport};
use crate::xmpp::backoff::BackoffConfig;
use crate::xmpp::iq::{Facts, Responder};
use crate::xmpp::stream::component::ComponentConfig;
use crate::xmpp::{Condition, Kind as StanzaKind, Stanza, StanzaError};

/// MESSAGEs that may wait for one recipient, and for all together.
const LANE: usize = 1000;
const LANES: usize = 100_000;

/// The table of contacts that messages from XMPP are delivered by.
const LOCATION: &str = "location";

/// A MESSAGE of ours on the SIP side: made from a stanza, or a notice to a SIP user.
pub(crate) struct Carried {
    /// The stanza, whose sender hears of a failure.
    origin: Option<Stanza>,
    /// The recipient, who gets one MESSAGE at a time (RFC 3428 §8).
    lane: String,
}

/// Whom to tell of a stanza's fate.
enum Waiter {
    /// The script that waits.
    Script(oneshot::Sender<Verdict>),
    /// The sender of the request, by a notice, when it fails.
    Sender(Box<Message>),
}

/// The bridge.
pub(crate) struct Bridge {
    worker: Weak<Worker>,
    gateway: Gateway,
    responder: Responder,
    started: Instant,
    handover: RefCell<Handover<Waiter>>,
    lanes: RefCell<Lanes<Box<Outbound>>>,
    wake: Rc<Notify>,
    closing: Notify,
    /// Dropped once the stream is closed.
    closed: RefCell<Option<mpsc::Sender<()>>>,
}

impl Bridge {
    /// A bridge for the worker that has the stream.
    pub(super) fn new(worker: Weak<Worker>, shared: &Shared) -> Rc<Self> {
        let gateway = shared.xmpp.as_ref().map(|xmpp| xmpp.gateway.clone());
        let gateway = gateway.expect("a worker has the stream only when there is one");
        let config = &gateway.config;
        // Whoever waits for the fate must hear it before the script's deadline.
        let timeout = match config.reply {
            Reply::Queued => config.queue_timeout,
            Reply::HandedOver => config.queue_timeout.min(shared.config.script.deadline * 9 / 10),
        };
        Rc::new(Self {
            worker,
            responder: Responder {
                name: config.name.clone(),
                features: Vec::new(),
                software: "sipjab".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            started: clock::now(),
            handover: RefCell::new(Handover::new(&config.xmpp_domain, config.queue, timeout)),
            lanes: RefCell::new(Lanes::new(LANE, LANES)),
            wake: Rc::default(),
            closing: Notify::new(),
            closed: RefCell::default(),
            gateway,
        })
    }

    /// Keeps the stream until it is told to close.
    pub(super) async fn run(self: Rc<Self>, shared: Arc<Shared>) {
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
        self.closed.take();
    }

    /// Closes the stream in order; drops `done` once that is done.
    pub(super) fn close(&self, done: mpsc::Sender<()>) {
        self.closed.replace(Some(done));
        self.closing.notify_one();
    }

    /// Nothing waits, on either side.
    pub(super) fn is_idle(&self) -> bool {
        self.handover.borrow().is_idle() && self.lanes.borrow().is_empty()
    }

    /// Queues a stanza; false when there is no room.
    pub(super) fn send(&self, sending: Sending) -> bool {
        self.push(sending).is_ok()
    }

    /// Queues a stanza from another worker, whose script has gone on: a failure is told later.
    pub(super) fn take(&self, sending: Sending) {
        if let Err(waiter) = self.push(sending) {
            self.tell_sender(waiter, Verdict::new(503, "The Gateway Is Full"));
        }
    }

    fn push(&self, sending: Sending) -> Result<(), Waiter> {
        let Sending { stanza, request, waiter } = sending;
        let waiter = match waiter {
            Some(waiter) => Waiter::Script(waiter),
            None => Waiter::Sender(Box::new(request)),
        };
        self.wake.notify_one();
        self.handover.borrow_mut().push(clock::now(), stanza, waiter)
    }

    /// Returns a stanza to its sender with an error, unless it is one itself.
    pub(super) fn return_error(&self, stanza: &Stanza, error: &StanzaError) {
        if let Some(reply) = error.reply_to(stanza) {
            self.reply(reply);
        }
    }

    fn reply(&self, bytes: Vec<u8>) {
        if !self.handover.borrow_mut().push_reply(bytes) {
            tracing::warn!("a reply to an XMPP user was dropped: too many wait");
        }
        self.wake.notify_one();
    }

    /// Delivers the MESSAGE of an XMPP route as the script left it.
    pub(super) fn deliver_route(&self, route: &mut Route) -> Result<(), RouteError> {
        let Some(xmpp) = route.xmpp.as_ref().filter(|xmpp| !xmpp.is_refused && !route.is_relayed)
        else {
            let reason = "the message has met its fate already";
            return Err(RouteError::State { function: "t_relay", reason });
        };
        let mut message = route.message.clone();
        if !route.path.is_empty() {
            message.prepend_header("Route", &route.path)?;
        }
        self.deliver(message, route.destination.as_deref(), Some(xmpp.stanza.clone()));
        Ok(())
    }

    /// Sends a MESSAGE: to `destination`, else the outbound proxy, else where its Request-URI leads.
    fn deliver(&self, message: Message, destination: Option<&str>, origin: Option<Stanza>) {
        let next_hop = destination.or(self.gateway.config.outbound_proxy.as_deref());
        let next_hop = next_hop.unwrap_or(message.request_uri()).to_owned();
        let lane = message.to().map(|to| to.uri.to_owned()).unwrap_or_default();
        let carried = Rc::new(Carried { origin, lane });
        let user = User::Bridge(carried.clone());
        let needs_stream = message.to_bytes().len() + VIA_RESERVE > MAX_PAGER;
        let outbound =
            Box::new(Outbound { needs_stream, ..Outbound::new(message, next_hop, user) });
        let pushed = self.lanes.borrow_mut().push(&carried.lane, outbound);
        match pushed {
            Ok(Some(outbound)) => self.start(outbound, &carried.lane),
            Ok(None) => {}
            Err(_) => self.fail(&carried, Condition::ResourceConstraint, "too many messages wait"),
        }
    }

    /// Begins with one MESSAGE of a lane, and with the next when that one cannot even begin.
    fn start(&self, outbound: Box<Outbound>, lane: &str) {
        let Some(worker) = self.worker.upgrade() else { return };
        let mut next = Some(outbound);
        while let Some(outbound) = next.take() {
            let user = outbound.user.clone();
            match worker.try_send_out(outbound) {
                Ok(()) => return,
                Err(Tried::Failed(error)) => {
                    self.report(&user, &error);
                    next = self.lanes.borrow_mut().done(lane);
                }
                Err(Tried::MustWait(outbound)) => {
                    let (worker, lane) = (worker.clone(), lane.to_owned());
                    tokio::task::spawn_local(async move {
                        let Err(error) = worker.send_out(&outbound).await else { return };
                        let Some(bridge) = &worker.bridge else { return };
                        bridge.report(&user, &error);
                        bridge.leave(&lane);
                    });
                    return;
                }
            }
        }
    }

    /// Lets the next MESSAGE of a lane begin.
    fn leave(&self, lane: &str) {
        let next = self.lanes.borrow_mut().done(lane);
        if let Some(next) = next {
            self.start(next, lane);
        }
    }

    /// Tells of a MESSAGE that could not leave.
    fn report(&self, user: &User, error: &RouteError) {
        let User::Bridge(carried) = user else { return };
        let (code, reason) = error.status();
        tracing::debug!(%error, "a message to SIP cannot leave");
        self.tell(carried, code, reason, None);
    }

    /// Takes the final response to a MESSAGE.
    pub(super) fn finish(&self, carried: &Carried, code: u16, reason: &str, contact: Option<&str>) {
        self.tell(carried, code, reason, contact);
        self.leave(&carried.lane);
    }

    fn tell(&self, carried: &Carried, code: u16, reason: &str, contact: Option<&str>) {
        let Some(stanza) = &carried.origin else {
            if code >= 300 {
                tracing::info!(code, "a notice was not delivered");
            }
            return;
        };
        match error_from_response(code, reason, contact, &self.gateway.mapping) {
            Some(error) => self.return_error(stanza, &error),
            // RFC 3428 §7: 202 says that somebody else will deliver it.
            None if code == 200 => {
                if let Some(worker) = self.worker.upgrade()
                    && let Some(receipt) = receipt_for(stanza, &worker.shared.unique_id())
                {
                    self.reply(receipt);
                }
            }
            None => {}
        }
    }

    fn fail(&self, carried: &Carried, condition: Condition, text: &str) {
        if let Some(stanza) = &carried.origin {
            self.return_error(stanza, &StanzaError::from(condition).with_text(text));
        }
    }

    fn handle_message(&self, stanza: Stanza) {
        let Some(worker) = self.worker.upgrade() else { return };
        let (tag, call_id) = (worker.shared.unique_id(), worker.shared.unique_id());
        let ids = RequestIds { tag: &tag, call_id: &call_id, cseq: 1 };
        match message_from_stanza(&stanza, ids, &self.gateway.mapping) {
            Ok(Incoming::Request(request)) => self.run_message_route(&worker, *request, stanza),
            Ok(Incoming::Error { error, .. }) => {
                self.notify(notice_from_error(&stanza, &error, ids, &self.gateway.mapping));
            }
            Ok(Incoming::Nothing(_)) => {}
            Err(error) => self.return_error(&stanza, &error.stanza_error()),
        }
    }

    fn run_message_route(&self, worker: &Rc<Worker>, request: OutgoingRequest, stanza: Stanza) {
        let kind = Kind::XmppMessage;
        if worker.shared.is_draining() {
            let error = StanzaError::from(Condition::ServiceUnavailable).with_text("going down");
            return self.return_error(&stanza, &error);
        }
        if !worker.script.current.borrow().has_route(kind.function()) {
            return self.deliver_by_default(worker, request.message, Some(stanza));
        }
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let source = Source::new(Transport::Tcp, any, any);
        let deadline = clock::now() + worker.shared.config.script.deadline;
        let mut route = Route::new(kind, request.message, source, None, worker.clone(), deadline);
        route.xmpp = Some(FromXmpp { stanza: stanza.clone(), is_refused: false });
        let router = worker.clone();
        worker.run_route(Box::new(route), move |ended| {
            if let Some(bridge) = &router.bridge {
                bridge.finish_message_route(ended, &stanza);
            }
        });
    }

    /// What `lookup("location"); t_relay();` would do.
    fn deliver_by_default(&self, worker: &Worker, mut message: Message, origin: Option<Stanza>) {
        let contact = worker.best_contact(LOCATION, message.request_uri());
        let mut destination = None;
        if let Some(contact) = contact
            && message.set_request_uri(&contact.uri).is_ok()
            && (contact.path.is_empty() || message.prepend_header("Route", &contact.path).is_ok())
        {
            destination = Some(contact.destination.unwrap_or(contact.uri).to_string());
        }
        self.deliver(message, destination.as_deref(), origin);
    }

    /// Sees to it that a message that the script left without a fate returns to its sender.
    fn finish_message_route(&self, (route, result): Ended, stanza: &Stanza) {
        let is_open = |r: &Route| {
            !r.is_relayed && !r.is_dropped && !r.xmpp.as_ref().is_some_and(|xmpp| xmpp.is_refused)
        };
        let is_open = route.as_deref().is_none_or(is_open);
        match result {
            Err(error) => {
                let (status, reason) = error.status();
                tracing::warn!(%error, status, "xmpp_message_route failed");
                let error = error_from_response(status, reason, None, &self.gateway.mapping);
                if let Some(error) = error.filter(|_| is_open) {
                    self.return_error(stanza, &error);
                }
            }
            Ok(()) if is_open => {
                tracing::warn!("xmpp_message_route left a message without a fate");
                let error = StanzaError::from(Condition::ServiceUnavailable);
                self.return_error(stanza, &error.with_text("no route takes this message"));
            }
            Ok(()) => {}
        }
    }

    /// Sends a notice to a SIP user.
    fn notify(&self, notice: Result<OutgoingRequest, MessageError>) {
        let Some(worker) = self.worker.upgrade() else { return };
        match notice {
            Ok(notice) => self.deliver_by_default(&worker, notice.message, None),
            Err(error) => tracing::info!(%error, "a failure cannot be told to its SIP user"),
        }
    }

    /// Tells the fates that have become known.
    fn settle(&self) {
        loop {
            let fate = self.handover.borrow_mut().poll_fate();
            let Some((waiter, stanza, fate)) = fate else { return };
            let verdict = match fate {
                Fate::HandedOver => Verdict::new(200, "OK"),
                Fate::Failed(error) => {
                    let failure = failure_from_error(&error, &stanza.to, &self.gateway.mapping);
                    let header = failure.contact.map(|uri| ("Contact", format!("<{uri}>")));
                    Verdict { status: failure.code, reason: failure.reason, header }
                }
                Fate::Lost => Verdict::new(504, "The XMPP Server Was Lost On The Way"),
                Fate::Expired => Verdict::new(504, "The XMPP Server Does Not Answer"),
            };
            self.tell_sender(waiter, verdict);
        }
    }

    fn tell_sender(&self, waiter: Waiter, verdict: Verdict) {
        match waiter {
            Waiter::Script(waiter) => {
                // A script that is gone has told its sender that time was up.
                let _ = waiter.send(verdict);
            }
            Waiter::Sender(_) if verdict.is_success() => {}
            Waiter::Sender(request) => {
                let Some(worker) = self.worker.upgrade() else { return };
                let (tag, call_id) = (worker.shared.unique_id(), worker.shared.unique_id());
                let ids = RequestIds { tag: &tag, call_id: &call_id, cseq: 1 };
                let text = String::from_utf8_lossy(request.body());
                let mapping = &self.gateway.mapping;
                self.notify(notice_to_sender(&request, &verdict.reason, &text, ids, mapping));
            }
        }
    }
}

impl Stream for Bridge {
    fn handle_ready(&self) {
        self.handover.borrow_mut().handle_ready();
    }

    fn handle_stanza(&self, stanza: Stanza) {
        rest::note_message();
        let is_settled = self.handover.borrow_mut().handle_stanza(&stanza);
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
