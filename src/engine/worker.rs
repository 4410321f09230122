//! One worker: a thread with its own sockets, script, transactions and timers.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use super::accounts::Accounts;
use super::balance::LOOK;
use super::bridge::Bridge;
use super::delivery::Deliveries;
use super::own_addresses::OwnAddresses;
use super::rest;
use super::shared::{Mail, Shared};
use super::transactions::{Sent, Served};
use crate::clock;
use crate::net::tcp::{Receive, TcpPort};
use crate::net::udp::UdpPort;
use crate::script::engine::Bundle;
use crate::script::fiber::Stacks;
use crate::script::import::Sources;
use crate::script::module::Exports;
use crate::sip::dead_list::DeadList;
use crate::sip::stun;
use crate::sip::target::{Families, Supported};
use crate::sip::transaction::{Table, Timings};
use crate::sip::transport::{Source, Transport};
use crate::sip::{FramingError, Message};

/// Dead destinations that one worker remembers.
const MAX_DEAD: usize = 1000;

/// A worker's script and what new versions of it are compiled with.
pub struct Script {
    /// The functions that it may call.
    pub exports: Exports,
    /// The version that new messages get.
    pub current: RefCell<Rc<Bundle>>,
    /// Stacks for its runs.
    pub stacks: Stacks,
    /// How many of its runs wait.
    pub suspended: Cell<usize>,
}

impl Script {
    /// A script that no message has run yet.
    pub fn new(exports: Exports, bundle: Bundle) -> Self {
        let current = RefCell::new(Rc::new(bundle));
        Self { exports, current, stacks: Stacks::default(), suspended: Cell::new(0) }
    }
}

/// One worker.
pub struct Worker {
    pub(super) id: u16,
    pub(super) shared: Arc<Shared>,
    pub(super) udp: Vec<UdpPort>,
    pub(super) script: Script,
    pub(super) table: RefCell<Table<Served, Sent>>,
    /// What is kept for XMPP and from there.
    pub(super) bridge: Option<Rc<Bridge>>,
    /// The accounts that this worker has the streams of.
    pub(super) accounts: Option<Rc<Accounts>>,
    /// MESSAGEs that became of stanzas.
    pub(super) deliveries: Deliveries,
    /// Destinations that failed a short while ago.
    pub(super) dead: RefCell<DeadList>,
    /// Client transactions that have no final response yet.
    pub(super) unanswered: Cell<usize>,
    /// When the last message came.
    pub(super) last_heard: Cell<Instant>,
    /// When it last said how much it works, and how much it had worked then.
    looked: Cell<(Instant, Duration)>,
    /// When the timer task wakes next.
    pub(super) alarm: Cell<Option<Instant>>,
    pub(super) alarm_changed: Notify,
    /// What we can send with.
    pub(super) supported: Supported,
    pub(super) own_addresses: OwnAddresses,
    this: Weak<Worker>,
}

impl Worker {
    /// A worker that does nothing until it runs.
    pub fn new(id: u16, shared: Arc<Shared>, udp: Vec<UdpPort>, script: Script) -> Rc<Self> {
        let now = clock::now();
        let sip = &shared.config.sip;
        let timers = sip.timers;
        let timings = Timings::new(timers.t1, timers.t2, timers.t4).with_timer_c(timers.timer_c);
        let limit = sip.limits.max_transactions;
        let table = Table::new(now, id, shared.mint.clone(), timings, limit);
        let keeps = shared.has_stream(id) || shared.jabber.is_some();
        Rc::new_cyclic(|this| Self {
            id,
            udp,
            script,
            table: RefCell::new(table),
            bridge: keeps.then(|| Bridge::new(this.clone(), &shared)),
            accounts: shared.jabber.as_ref().map(|jabber| Accounts::new(this.clone(), jabber)),
            deliveries: Deliveries::default(),
            dead: RefCell::new(DeadList::new(MAX_DEAD)),
            unanswered: Cell::new(0),
            last_heard: Cell::new(now),
            looked: Cell::new((now, Duration::ZERO)),
            alarm: Cell::new(None),
            alarm_changed: Notify::new(),
            supported: Supported { transports: transports(&shared), families: Families::V4First },
            own_addresses: OwnAddresses::default(),
            this: this.clone(),
            shared,
        })
    }

    /// Does this worker have the component's stream?
    pub(super) fn has_stream(&self) -> bool {
        self.shared.has_stream(self.id)
    }

    /// Ourselves, to be kept by a task.
    pub(super) fn this(&self) -> Rc<Self> {
        self.this.upgrade().expect("whoever calls a worker holds it")
    }

    /// Serves until the mailbox is closed.
    pub async fn run(self: Rc<Self>, tcp: Vec<TcpPort>, mut mailbox: mpsc::Receiver<Mail>) {
        for port in 0..self.udp.len() {
            let worker = self.clone();
            tokio::task::spawn_local(async move { worker.serve_udp(port).await });
        }
        for port in tcp {
            let worker = self.clone();
            tokio::task::spawn_local(async move {
                let error = port.accept(&worker.shared.connections, worker.clone()).await;
                tracing::error!(%error, local = %port.local(), "TCP listener stopped");
            });
        }
        tokio::task::spawn_local(self.clone().run_timers());
        self.start_jobs();
        if let Some(bridge) = &self.bridge {
            tokio::task::spawn_local(bridge.clone().run(self.shared.clone()));
        }
        if let Some(accounts) = &self.accounts {
            tokio::task::spawn_local(accounts.clone().look_at_rows());
        }
        while let Some(mail) = mailbox.recv().await {
            self.handle_mail(mail);
        }
    }

    /// Begins with what modules do again and again; one worker does it for all.
    fn start_jobs(self: &Rc<Self>) {
        if self.id != 0 {
            return;
        }
        for (interval, job) in self.script.exports.jobs().iter().cloned() {
            let worker = self.clone();
            tokio::task::spawn_local(async move {
                while !worker.shared.is_draining() {
                    tokio::time::sleep(interval).await;
                    job(worker.clone()).await;
                }
            });
        }
    }

    /// Does what modules do at the end; drops `done` once that is done.
    fn do_last_jobs(&self, done: mpsc::Sender<()>) {
        let jobs = self.script.exports.jobs_at_close();
        if self.id != 0 || jobs.is_empty() {
            return;
        }
        let (worker, jobs) = (self.this(), jobs.to_vec());
        tokio::task::spawn_local(async move {
            for job in jobs {
                job(worker.clone()).await;
            }
            drop(done);
        });
    }

    async fn serve_udp(&self, port: usize) {
        let port = &self.udp[port];
        let local = port.local();
        let error = port
            .receive(|bytes, peer| {
                if let Some(answer) = stun::answer(&bytes, peer) {
                    return port.send(peer, answer);
                }
                self.receive(bytes, Source::new(Transport::Udp, peer, local));
            })
            .await;
        tracing::error!(%error, %local, "UDP socket stopped");
    }

    /// Says now and then how much it works, and has the requests go where they shall.
    pub(super) fn balance(&self, now: Instant) {
        let (at, before) = self.looked.get();
        let passed = now.saturating_duration_since(at);
        let workers = self.shared.mailboxes.len();
        if passed < LOOK || workers == 1 {
            return;
        }
        let worked = rest::worked(now);
        self.looked.set((now, worked));
        let worked = worked.saturating_sub(before);
        if let Some(requests) = self.shared.balance.note(self.id, now, passed, worked) {
            tracing::debug!(?requests, "the requests change their way");
            self.udp.iter().for_each(|port| port.steer(workers, requests));
        }
    }

    fn handle_mail(&self, mail: Mail) {
        match mail {
            Mail::Message(bytes, source) => self.receive(bytes, source),
            Mail::Stanza(sending) => {
                if let Some(bridge) = &self.bridge {
                    bridge.take(*sending);
                }
            }
            Mail::Fate(id, answer) => {
                let state = self.bridge.as_ref().and_then(|bridge| bridge.spool.state(id));
                // A script that is gone does not want to know.
                let _ = answer.send(state);
            }
            Mail::Account(ordered) => {
                if let Some(accounts) = &self.accounts {
                    accounts.take(*ordered);
                }
            }
            Mail::Script(sources, _done) => self.replace_script(&sources),
            Mail::Drain(done) => {
                let worker = self.this();
                tokio::task::spawn_local(async move {
                    worker.drain().await;
                    drop(done);
                });
            }
            Mail::Close(done) => {
                if let Some(bridge) = &self.bridge {
                    bridge.close(done.clone());
                }
                if let Some(accounts) = &self.accounts {
                    accounts.close(&done);
                }
                self.do_last_jobs(done);
            }
        }
    }

    /// Compiles a script that was found sound; messages that run keep the old one.
    fn replace_script(&self, sources: &Sources) {
        match Bundle::compile(sources, &self.shared.config.script, &self.script.exports) {
            Ok(bundle) => {
                self.script.current.replace(Rc::new(bundle));
                tracing::debug!(worker = self.id, "script swapped");
            }
            Err(error) => tracing::error!(%error, worker = self.id, "script does not compile"),
        }
    }
}

/// What we can send with. A WebSocket must be open, so that one of ours must listen for it.
fn transports(shared: &Shared) -> Vec<Transport> {
    let listens = |wanted| shared.listeners.iter().any(|(transport, _)| *transport == wanted);
    let mut transports = vec![Transport::Udp, Transport::Tcp];
    transports.extend(shared.config.sip.tls.as_ref().map(|_| Transport::Tls));
    transports.extend([Transport::Ws, Transport::Wss].into_iter().filter(|it| listens(*it)));
    transports
}

impl Receive for Worker {
    fn receive(&self, bytes: Bytes, source: Source) {
        Worker::receive(self, bytes, source);
    }

    fn refuse(
        &self,
        refused: Option<Message>,
        error: &FramingError,
        source: Source,
    ) -> Option<Bytes> {
        self.shared.refusals.note("stream framing", source.peer, error);
        let message = refused.filter(Message::is_request)?;
        let (status, reason) = error.status();
        self.build_reply(&message, status, reason, &[]).ok()
    }

    fn refuse_connection(&self, reason: &'static str, peer: SocketAddr, detail: &dyn Display) {
        self.shared.refusals.note(reason, peer, detail);
    }
}
