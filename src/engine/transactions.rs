//! What follows from the steps of transactions: bytes sent, users told, timers kept.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::bridge::Carried;
use super::shared::Mail;
use super::worker::Worker;
use crate::clock;
use crate::script::error::RouteError;
use crate::sip::target::Target;
use crate::sip::transaction::{Branch, Event, Fired, Refused, ServerKey, Step, Table};
use crate::sip::transport::{Source, Transport};
use crate::sip::{Body, HeaderId, Message, Method, reply};

/// Timers that are due within this time fire together.
const TICK: Duration = Duration::from_millis(5);

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) transport: Transport,
    pub(crate) peer: std::net::SocketAddr,
    /// The UDP socket that they leave from.
    pub(crate) port: usize,
}

/// What we know of a request that we serve.
pub(crate) struct Served {
    /// Where its replies go.
    to: Destination,
    /// Where the request came from.
    source: Source,
    /// The request as it came, from which a 100 is made; empty once it is answered.
    wire: Bytes,
}

/// What we know of a request that we have sent.
pub(crate) struct Sent {
    /// Where it goes again.
    to: Destination,
    /// Whom its responses are for.
    pub(super) user: User,
}

/// Whom the responses to a request of ours are for.
pub(crate) enum User {
    /// The transaction of the request that was relayed.
    Relay(ServerKey),
    /// The message from XMPP, or the notice, that it carried.
    Bridge(Rc<Carried>),
}

impl Worker {
    /// A reply to `message`, not yet sent.
    pub(super) fn build_reply(
        &self,
        message: &Message,
        status: u16,
        reason: &str,
        headers: &[(&str, &str)],
    ) -> Result<Bytes, RouteError> {
        let mut all: smallvec::SmallVec<[(&str, &str); 4]> = headers.into();
        let server = &self.shared.config.sip.server_header;
        if !server.is_empty() {
            all.push(("Server", server));
        }
        // The same for a retransmission, which a stateless server answers anew (RFC 3261 §8.2.7).
        let via = message.header(HeaderId::Via);
        let tag = self.shared.tags.hash_one((via, message.header(HeaderId::CallId)));
        let tag = format!("{tag:016x}");
        Ok(reply(message, status, reason, Some(&tag), &all, Body::default())?)
    }

    /// Sends a reply without a transaction; what cannot be answered is counted.
    pub(super) fn answer_stateless(
        &self,
        message: &Message,
        source: Source,
        status: u16,
        reason: &str,
        headers: &[(&str, &str)],
    ) {
        if let Err(error) = self.send_stateless(message, source, status, reason, headers) {
            self.refuse("unanswerable", source, &error);
        }
    }

    /// Sends a reply without a transaction. An ACK has none.
    pub(super) fn send_stateless(
        &self,
        message: &Message,
        source: Source,
        status: u16,
        reason: &str,
        headers: &[(&str, &str)],
    ) -> Result<(), RouteError> {
        if message.method() != Method::Ack {
            let bytes = self.build_reply(message, status, reason, headers)?;
            self.send(self.way_back(source), bytes);
        }
        Ok(())
    }

    /// Sends a reply through the transaction.
    pub(super) fn answer(
        &self,
        message: &Message,
        key: &ServerKey,
        status: u16,
        reason: &str,
        headers: &[(&str, &str)],
    ) -> Result<(), RouteError> {
        let bytes = self.build_reply(message, status, reason, headers)?;
        self.respond(key, status, bytes).map_err(|refused| RouteError::State {
            function: "reply",
            reason: match refused {
                Refused::Answered => "the request has its final reply already",
                Refused::TooEarly | Refused::Provisional(_) => {
                    "a provisional reply has no meaning here (RFC 4320 §4.1)"
                }
                Refused::RequestTimeout => "408 has no meaning here (RFC 4320 §4.2)",
                Refused::NoStatus(_) => "that is no status",
                Refused::Over => "the transaction is over",
            },
        })
    }

    /// Makes the transaction of a request.
    pub(super) fn open_server(
        &self,
        key: ServerKey,
        message: &Message,
        source: Source,
    ) -> Result<(), RouteError> {
        if self.shared.mailboxes.len() > 1 && self.shared.owners.claim(key, self.id).is_err() {
            let reason = "another worker has it";
            return Err(RouteError::State { function: "t_newtran", reason });
        }
        let served = Served { to: self.way_back(source), source, wire: message.wire().clone() };
        let is_reliable = source.transport.is_reliable();
        let opened = self.table.borrow_mut().open_server(clock::now(), key, is_reliable, served);
        self.keep_time();
        opened.map_err(|_| {
            self.shared.owners.release(&key);
            RouteError::Overload("the transaction table")
        })
    }

    /// Sends bytes as the response of a transaction.
    pub(super) fn respond(
        &self,
        key: &ServerKey,
        status: u16,
        bytes: Bytes,
    ) -> Result<(), Refused> {
        let mut refused = None;
        self.step_server(key, |table| {
            let step = table.respond(clock::now(), key, status, bytes);
            if let Some(served) = table.server_mut(key).filter(|_| status >= 200 && step.is_ok()) {
                served.wire = Bytes::new();
            }
            step.map_err(|why| refused = Some(why)).ok()
        });
        refused.map_or(Ok(()), Err)
    }

    /// Sends a request through a client transaction. `request` has `branch` in its topmost Via.
    pub(super) fn open_client(
        &self,
        branch: Branch,
        request: Bytes,
        to: Destination,
        user: User,
    ) -> Result<(), RouteError> {
        let is_reliable = to.transport.is_reliable();
        let sent = Sent { to, user };
        let opened =
            self.table.borrow_mut().open_client(clock::now(), branch, request, is_reliable, sent);
        let step = opened.map_err(|_| RouteError::Overload("the transaction table"))?;
        self.unanswered.set(self.unanswered.get() + 1);
        if let Some(bytes) = step.send {
            self.send(to, bytes);
        }
        self.keep_time();
        Ok(())
    }

    /// Takes a response: to the transaction that its branch names, here or at another worker.
    pub(super) fn handle_response(&self, message: Message, bytes: Bytes, source: Source) {
        let Some(branch) = self.shared.mint.of_response(&message) else {
            return self.refuse("stray response", source, &"its branch is none of ours");
        };
        if branch.worker() != self.id {
            return self.pass_on(branch.worker(), Mail::Message(bytes, source));
        }
        if let Err(finding) = message.validate() {
            return self.refuse("malformed response", source, &finding);
        }
        let step = |table: &mut Table<Served, Sent>| {
            table.handle_response(clock::now(), &branch, &message)
        };
        self.step_client(&branch, Some(&message), step);
    }

    /// Lets a server transaction take a step and carries out what follows.
    pub(super) fn step_server(
        &self,
        key: &ServerKey,
        step: impl FnOnce(&mut Table<Served, Sent>) -> Option<Step<Served>>,
    ) {
        let mut table = self.table.borrow_mut();
        let to = table.server(key).map(|served| served.to);
        let step = step(&mut table);
        drop(table);
        if let (Some(to), Some(step)) = (to, step) {
            self.finish_server(key, to, step);
        }
    }

    fn finish_server(&self, key: &ServerKey, to: Destination, step: Step<Served>) {
        if let Some(bytes) = step.send {
            self.send(to, bytes);
        }
        if step.over.is_some() && self.shared.mailboxes.len() > 1 {
            self.shared.owners.release(key);
        }
        match step.event {
            Some(Event::TryingDue) => self.send_trying(key),
            Some(Event::Expired) => {
                tracing::debug!(peer = %to.peer, "a request was never answered");
            }
            _ => {}
        }
        self.keep_time();
    }

    /// Tells a client that waits to go on waiting (RFC 4320 §4.1).
    fn send_trying(&self, key: &ServerKey) {
        let table = self.table.borrow();
        let request = table.server(key).map(|served| (served.wire.clone(), served.source));
        drop(table);
        let Some((wire, source)) = request else { return };
        let Ok(mut message) = Message::parse(wire) else { return };
        if message.mark_source(source.peer).is_ok() {
            // A transaction that was answered meanwhile needs no 100.
            let _ = self.answer(&message, key, 100, "Trying", &[]);
        }
    }

    /// Lets a client transaction take a step and carries out what follows.
    fn step_client(
        &self,
        branch: &Branch,
        response: Option<&Message>,
        step: impl FnOnce(&mut Table<Served, Sent>) -> Option<Step<Sent>>,
    ) {
        let mut table = self.table.borrow_mut();
        let sent = table.client(branch).map(|sent| (sent.to, sent.user.clone()));
        let step = step(&mut table);
        drop(table);
        if let (Some((to, user)), Some(step)) = (sent, step) {
            self.finish_client(to, &user, step, response);
        }
    }

    fn finish_client(
        &self,
        to: Destination,
        user: &User,
        step: Step<Sent>,
        response: Option<&Message>,
    ) {
        if let Some(bytes) = step.send {
            self.send(to, bytes);
        }
        if let Some(event) = step.event {
            let is_final = !matches!(event, Event::Response(100..=199));
            if is_final {
                self.unanswered.set(self.unanswered.get().saturating_sub(1));
            }
            match user {
                User::Relay(key) => self.return_response(key, event, response),
                User::Bridge(carried) if is_final => self.finish_carried(carried, event, response),
                User::Bridge(_) => {}
            }
        }
        self.keep_time();
    }

    /// Passes bytes to the transport.
    pub(super) fn send(&self, to: Destination, bytes: Bytes) {
        if to.transport == Transport::Udp {
            if let Some(port) = self.udp.get(to.port) {
                port.send(to.peer, bytes);
            }
            return;
        }
        let target = Target { transport: to.transport, addr: to.peer };
        if let Err(error) = self.shared.connections.send(target, bytes) {
            tracing::debug!(%error, peer = %to.peer, "cannot send");
        }
    }

    /// Where a reply goes.
    pub(super) fn way_back(&self, source: Source) -> Destination {
        Destination {
            transport: source.transport,
            peer: source.reply_to,
            port: self.port_of(source),
        }
    }

    /// The UDP socket that a message came to.
    fn port_of(&self, source: Source) -> usize {
        self.udp.iter().position(|port| port.local() == source.local).unwrap_or(0)
    }

    /// Lets the timers fire as they are due, until the worker is gone.
    pub(super) async fn run_timers(self: Rc<Self>) {
        let mut fired = Vec::new();
        loop {
            let changed = self.alarm_changed.notified();
            match self.alarm.get() {
                None => changed.await,
                Some(at) => {
                    let at = tokio::time::Instant::from_std(at + TICK);
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(at) => self.fire_timers(&mut fired),
                    }
                }
            }
        }
    }

    fn fire_timers(&self, fired: &mut Vec<Fired<Served, Sent>>) {
        self.table.borrow_mut().advance(clock::now(), fired);
        for fired in fired.drain(..) {
            match fired {
                Fired::Server(key, step) => {
                    let to = match &step.over {
                        Some(served) => Some(served.to),
                        None => self.table.borrow().server(&key).map(|served| served.to),
                    };
                    if let Some(to) = to {
                        self.finish_server(&key, to, step);
                    }
                }
                Fired::Client(branch, step) => {
                    let known = |sent: &Sent| (sent.to, sent.user.clone());
                    let sent = match &step.over {
                        Some(sent) => Some(known(sent)),
                        None => self.table.borrow().client(&branch).map(known),
                    };
                    if let Some((to, user)) = sent {
                        self.finish_client(to, &user, step, None);
                    }
                }
            }
        }
        self.alarm.set(self.table.borrow().next_deadline());
    }

    /// Wakes the timer task when something is due before it would wake.
    fn keep_time(&self) {
        let next = self.table.borrow().next_deadline();
        let Some(next) = next else { return };
        if self.alarm.get().is_none_or(|alarm| next + TICK < alarm) {
            self.alarm.set(Some(next));
            self.alarm_changed.notify_one();
        }
    }
}

impl Clone for User {
    fn clone(&self) -> Self {
        match self {
            Self::Relay(key) => Self::Relay(*key),
            Self::Bridge(carried) => Self::Bridge(carried.clone()),
        }
    }
}
