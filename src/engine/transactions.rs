//! What follows from the steps of transactions: bytes sent, users told, timers kept.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::delivery::Carried;
use super::forwarding::Forwarding;
use super::shared::Mail;
use super::stateless::STATELESS;
use super::worker::Worker;
use crate::clock;
use crate::script::ending::Ending;
use crate::script::error::RouteError;
use crate::script::route::Route;
use crate::sip::target::Target;
use crate::sip::transaction::{Branch, Event, Fired, Patience, Refused, ServerKey, Step, Table};
use crate::sip::transport::{Source, Transport};
use crate::sip::{Body, HeaderId, Message, Method, hex, reply};

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
    pub(super) source: Source,
    /// The request as it came, from which a 100 is made; empty once it is answered.
    pub(super) wire: Bytes,
    /// Its branches, when it was relayed in a way that needs more than one look at each response.
    pub(super) forwarding: Option<Rc<Forwarding>>,
    /// The caller has sent CANCEL.
    pub(super) is_cancelled: bool,
    /// The flags that the script has left.
    pub(super) flags: u32,
}

/// What is told of a request that we have served.
struct Ended {
    wire: Bytes,
    flags: u32,
}

impl Served {
    /// Takes what is told at the end; `None` when it was told.
    fn end(&mut self) -> Option<Ended> {
        let flags = self.forwarding.as_ref().map_or(self.flags, |forwarding| forwarding.flags());
        let wire = std::mem::take(&mut self.wire);
        (!wire.is_empty()).then_some(Ended { wire, flags })
    }
}

/// What we know of a request that we have sent.
pub(crate) struct Sent {
    /// Where it goes again.
    to: Destination,
    /// Whom its responses are for.
    pub(super) user: User,
    /// Its first final response came, or its end without one.
    is_answered: bool,
}

/// Whom the responses to a request of ours are for.
#[derive(Clone)]
pub(crate) enum User {
    /// The transaction of the request that was relayed.
    Relay(ServerKey),
    /// One branch of a request that was forwarded; what has gone has nobody to answer.
    Leg(Weak<Forwarding>, usize),
    /// The message from XMPP, or the notice, that it carried.
    Carried(Rc<Carried>),
    /// Whoever waits for the final status.
    Waiter(Rc<Cell<Option<oneshot::Sender<u16>>>>),
    /// Nobody: a CANCEL, or the copy of a request.
    Nobody,
}

/// A response with where it came from.
pub(super) type Heard<'m> = (&'m Message, Source);

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
        let tag = self.tag_of(message);
        Ok(reply(message, status, reason, Some(hex::text(&tag)), &all, Body::default())?)
    }

    /// Our tag in the replies to a request, in hexadecimal digits, which its ACK brings back.
    pub(super) fn tag_of(&self, request: &Message) -> [u8; 16] {
        let via = request.values(HeaderId::Via).next();
        hex::digits(self.shared.tags.hash_one((via, request.header(HeaderId::CallId))))
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
        flags: u32,
    ) -> Result<(), RouteError> {
        if self.shared.mailboxes.len() > 1 && self.shared.owners.claim(key, self.id).is_err() {
            let reason = "another worker has it";
            return Err(RouteError::State { function: "t_newtran", reason });
        }
        let served = Served {
            to: self.way_back(source),
            source,
            wire: message.wire().clone(),
            forwarding: None,
            is_cancelled: false,
            flags,
        };
        let (now, is_reliable) = (clock::now(), source.transport.is_reliable());
        let mut table = self.table.borrow_mut();
        let opened = match message.method() {
            Method::Invite => table.open_invite_server(now, key, is_reliable, served),
            _ => table.open_server(now, key, is_reliable, served),
        };
        drop(table);
        self.keep_time();
        opened.map_err(|_| {
            self.shared.owners.release(&key);
            RouteError::Overload("the transaction table")
        })
    }

    /// Ends a transaction without an answer.
    pub(super) fn forget(&self, key: &ServerKey) {
        let served = self.table.borrow_mut().forget_server(key);
        self.shared.owners.release(key);
        if let Some(ended) = served.and_then(|mut served| served.end()) {
            self.tell_end(key, &ended, None);
        }
    }

    /// Tells the modules that a request has its fate.
    fn tell_end(&self, key: &ServerKey, ended: &Ended, response: Option<(u16, &Bytes)>) {
        let hooks = self.script.exports.hooks_at_end();
        if hooks.is_empty() {
            return;
        }
        let ending = Ending {
            key: *key,
            flags: ended.flags,
            status: response.map(|(status, _)| status),
            now: clock::now(),
            request: &ended.wire,
            response: response.map(|(_, bytes)| bytes),
        };
        for hook in hooks {
            if let Some(rest) = hook(&ending) {
                tokio::task::spawn_local(rest);
            }
        }
    }

    /// Has the end of a request tell the flags as a route has them now.
    pub(super) fn note_flags(&self, route: &Route) {
        let Some(key) = route.key.filter(|_| route.flags != route.noted_flags.get()) else {
            return;
        };
        if let Some(served) = self.table.borrow_mut().server_mut(&key) {
            served.flags = route.flags;
            if let Some(forwarding) = &served.forwarding {
                forwarding.note_flags(route.flags);
            }
        }
        route.noted_flags.set(route.flags);
    }

    /// Sends bytes as the response of a transaction.
    pub(super) fn respond(
        &self,
        key: &ServerKey,
        status: u16,
        bytes: Bytes,
    ) -> Result<(), Refused> {
        let mut table = self.table.borrow_mut();
        let to = table.server(key).map(|served| served.to).ok_or(Refused::Over)?;
        let mut step = table.respond(clock::now(), key, status, bytes.clone())?;
        let served = step.over.as_mut().or_else(|| table.server_mut(key));
        let ended = served.filter(|_| status >= 200).and_then(Served::end);
        drop(table);
        // Whoever has the response finds that everything knows of it.
        if let Some(ended) = ended {
            self.tell_end(key, &ended, Some((status, &bytes)));
        }
        self.finish_server(key, to, step);
        Ok(())
    }

    /// Sends a request through a client transaction. `request` has `branch` in its topmost Via.
    pub(super) fn open_client(
        &self,
        branch: Branch,
        request: Bytes,
        to: Destination,
        user: User,
        waits: Waits,
    ) -> Result<(), RouteError> {
        let is_reliable = to.transport.is_reliable();
        let sent = Sent { to, user, is_answered: false };
        let (now, mut table) = (clock::now(), self.table.borrow_mut());
        let opened = match waits {
            Waits::Invite(patience) => {
                table.open_invite_client(now, branch, request, is_reliable, patience, sent)
            }
            Waits::Other(patience) => {
                table.open_client(now, branch, request, is_reliable, patience, sent)
            }
        };
        drop(table);
        let step = opened.map_err(|_| RouteError::Overload("the transaction table"))?;
        self.unanswered.set(self.unanswered.get() + 1);
        if step.send.is_some_and(|bytes| !self.send(to, bytes)) {
            return Err(self.give_up_client(&branch, to));
        }
        self.keep_time();
        Ok(())
    }

    /// Ends the transaction of a request that could not leave (RFC 3261 §17.1.4).
    fn give_up_client(&self, branch: &Branch, to: Destination) -> RouteError {
        self.unanswered.set(self.unanswered.get().saturating_sub(1));
        // Whoever wanted to send it is told by the error.
        drop(self.table.borrow_mut().handle_client_error(clock::now(), branch));
        RouteError::Unreachable {
            status: 503,
            destination: to.peer.ip().to_string(),
            reason: "the connection is gone".to_owned(),
        }
    }

    /// Takes a response: to the transaction that its branch names, here or at another worker.
    pub(super) fn handle_response(&self, message: Message, bytes: Bytes, source: Source) {
        let Some(branch) = self.shared.mint.of_response(&message) else {
            return self.refuse("stray response", source, &"its branch is none of ours");
        };
        if branch.worker() == STATELESS {
            return self.return_stateless(message, source);
        }
        if branch.worker() != self.id {
            return self.pass_on(branch.worker(), Mail::Message(bytes, source));
        }
        if let Err(finding) = message.validate() {
            return self.refuse("malformed response", source, &finding);
        }
        if self.is_relayed(&branch) && message.values(HeaderId::Via).nth(1).is_none() {
            // RFC 3261 §16.7 step 3: it is meant for us, and we have not asked.
            return self.refuse("response without a way back", source, &"it has no further Via");
        }
        let step = |table: &mut Table<Served, Sent>| {
            table.handle_response(clock::now(), &branch, &message)
        };
        if !self.step_client(&branch, Some((&message, source)), step) {
            // RFC 6026 §7.2, §8.9: what belongs to no transaction of a stateful proxy goes nowhere.
            self.refuse("stray response", source, &"its transaction is over");
        }
    }

    /// Was the request of this branch somebody else's, to whom its responses go?
    fn is_relayed(&self, branch: &Branch) -> bool {
        let table = self.table.borrow();
        matches!(table.client(branch).map(|sent| &sent.user), Some(User::Relay(_) | User::Leg(..)))
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
        if let Some(ended) = step.over.and_then(|mut served| served.end()) {
            self.tell_end(key, &ended, None);
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
        if let Some((wire, source)) = request {
            self.answer_served(key, wire, source, 100);
        }
    }

    /// Answers a request from the bytes that it came in.
    pub(super) fn answer_served(&self, key: &ServerKey, wire: Bytes, source: Source, status: u16) {
        let Ok(mut message) = Message::parse(wire) else { return };
        if message.mark_source(source.peer).is_ok() {
            // A transaction that was answered meanwhile needs nothing more.
            let _ = self.answer(&message, key, status, "", &[]);
        }
    }

    /// Lets a client transaction take a step and carries out what follows; false when there is none.
    pub(super) fn step_client(
        &self,
        branch: &Branch,
        response: Option<Heard<'_>>,
        step: impl FnOnce(&mut Table<Served, Sent>) -> Option<Step<Sent>>,
    ) -> bool {
        let mut table = self.table.borrow_mut();
        let known = table.client(branch).map(Known::of);
        let step = step(&mut table);
        drop(table);
        let (Some(known), Some(step)) = (known, step) else { return false };
        self.finish_client(branch, known, step, response);
        true
    }

    fn finish_client(
        &self,
        branch: &Branch,
        known: Known,
        step: Step<Sent>,
        response: Option<Heard<'_>>,
    ) {
        if let Some(bytes) = step.send {
            self.send(known.to, bytes);
        }
        if let Some(cancel) = step.cancel {
            // A table that is full has room for a CANCEL.
            let waits = Waits::Other(None);
            let _ = self.open_client(branch.of_cancel(), cancel, known.to, User::Nobody, waits);
        }
        if let Some(event) = step.event {
            self.note_end(branch, &known, event);
            self.tell(&known.user, event, response);
        }
        self.keep_time();
    }

    /// Counts a request as answered, once.
    fn note_end(&self, branch: &Branch, known: &Known, event: Event) {
        let is_final = !matches!(event, Event::Response(100..=199) | Event::Overdue);
        if is_final && !known.is_answered {
            self.unanswered.set(self.unanswered.get().saturating_sub(1));
            if let Some(sent) = self.table.borrow_mut().client_mut(branch) {
                sent.is_answered = true;
            }
        }
    }

    fn tell(&self, user: &User, event: Event, response: Option<Heard<'_>>) {
        let is_final = !matches!(event, Event::Response(100..=199) | Event::Overdue);
        let message = response.map(|(message, _)| message);
        match user {
            User::Relay(key) => self.return_response(key, event, message),
            User::Leg(forwarding, leg) => {
                if let Some(forwarding) = forwarding.upgrade() {
                    self.hear(&forwarding, *leg, event, response);
                }
            }
            User::Carried(carried) if is_final => self.finish_carried(carried, event, message),
            User::Waiter(waiter) if is_final => {
                if let Some(waiter) = waiter.take() {
                    // Whoever has stopped waiting needs no answer.
                    let _ = waiter.send(match event {
                        Event::Response(code) => code,
                        Event::Unreachable => 503,
                        _ => 408,
                    });
                }
            }
            User::Carried(_) | User::Waiter(_) | User::Nobody => {}
        }
    }

    /// Passes bytes to the transport; false when it has no way to take them.
    pub(super) fn send(&self, to: Destination, bytes: Bytes) -> bool {
        if to.transport == Transport::Udp {
            let port = self.udp.get(to.port);
            return port.inspect(|port| port.send(to.peer, bytes)).is_some();
        }
        let target = Target { transport: to.transport, addr: to.peer };
        let sent = self.shared.connections.send(target, bytes);
        sent.inspect_err(|error| tracing::debug!(%error, peer = %to.peer, "cannot send")).is_ok()
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
                    let known = match &step.over {
                        Some(sent) => Some(Known::of(sent)),
                        None => self.table.borrow().client(&branch).map(Known::of),
                    };
                    if let Some(known) = known {
                        self.finish_client(&branch, known, step, None);
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

/// What is needed of a request of ours when its transaction has taken a step.
struct Known {
    to: Destination,
    user: User,
    is_answered: bool,
}

impl Known {
    fn of(sent: &Sent) -> Self {
        Self { to: sent.to, user: sent.user.clone(), is_answered: sent.is_answered }
    }
}

/// How long a request of ours waits; none is as long as `[sip.timers]` says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waits {
    /// An INVITE, for its first and its last response.
    Invite(Option<Patience>),
    /// Any other, for its final response.
    Other(Option<Duration>),
}
