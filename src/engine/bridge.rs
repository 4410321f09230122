//! Between the SIP side and the stream of the XMPP component. It lives on the worker that has the stream.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot};

use super::delivery::Home;
use super::rest;
use super::shared::{Sending, Shared};
use super::worker::Worker;
use crate::clock;
use crate::gateway::{
    Fate, Handover, Incoming, Mapping, MessageError, OutgoingRequest, RequestIds,
    failure_from_error, message_from_stanza, notice_from_error, notice_to_sender,
};
use crate::modules::xmpp::{Gateway, Reply};
use crate::net::xmpp::{Carried as Stream, ComponentLink, run};
use crate::script::router::Verdict;
use crate::sip::Message;
use crate::xmpp::backoff::BackoffConfig;
use crate::xmpp::iq::{Facts, Responder};
use crate::xmpp::stream::component::ComponentConfig;
use crate::xmpp::{Kind as StanzaKind, Stanza};

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
    this: Weak<Self>,
    gateway: Gateway,
    responder: Responder,
    started: Instant,
    handover: RefCell<Handover<Waiter>>,
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
        let handover = Handover::new(&config.xmpp_domain, config.queue, timeout);
        let name = config.name.clone();
        Rc::new_cyclic(|this| Self {
            worker,
            this: this.clone(),
            responder: Responder {
                name,
                features: Vec::new(),
                software: "sipjab".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            started: clock::now(),
            handover: RefCell::new(handover),
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
        self.handover.borrow().is_idle()
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

    fn reply(&self, bytes: Vec<u8>) {
        if !self.handover.borrow_mut().push_reply(bytes) {
            tracing::warn!("a reply to an XMPP user was dropped: too many wait");
        }
        self.wake.notify_one();
    }

    /// Ourselves, as what stanzas come from.
    fn home(&self) -> Rc<dyn Home> {
        self.this.upgrade().expect("whoever calls a bridge holds it")
    }

    fn handle_message(&self, stanza: Stanza) {
        let Some(worker) = self.worker.upgrade() else { return };
        let (tag, call_id) = (worker.shared.unique_id(), worker.shared.unique_id());
        let ids = RequestIds { tag: &tag, call_id: &call_id, cseq: 1 };
        match message_from_stanza(&stanza, ids, &self.gateway.mapping) {
            Ok(Incoming::Request(request)) => {
                worker.deliver_stanza(*request, stanza, &self.home(), None, true);
            }
            Ok(Incoming::Error { error, .. }) => {
                self.notify(notice_from_error(&stanza, &error, ids, &self.gateway.mapping));
            }
            Ok(Incoming::Nothing(_)) => {}
            Err(error) => self.home().return_error(&stanza, &error.stanza_error()),
        }
    }

    /// Sends a notice to a SIP user.
    fn notify(&self, notice: Result<OutgoingRequest, MessageError>) {
        let Some(worker) = self.worker.upgrade() else { return };
        match notice {
            Ok(notice) => worker.deliver_by_default(notice.message, None, &self.home()),
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
