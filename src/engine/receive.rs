//! The way of a message through the server. Read this first.
//!
//! Bytes come from `net`, framed. A response finds the client transaction that its branch names, here or at
//! the worker that made it. A request that a transaction knows is a retransmission and ends there. Any other request
//! gets a `Route`, and the script's `request_route` decides: its functions act through `router.rs` when they
//! are called, and the request has its fate when the script ends. A CANCEL and an ACK whose INVITE has a transaction
//! end there, too (`cancel.rs`); the script sees the ACK of a 2xx, which is no part of the transaction. A script that must wait is parked, and
//! finished by a task of its own.

use std::borrow::Cow;
use std::fmt::Display;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;

use super::rest;
use super::router::with_own;
use super::shared::Mail;
use super::worker::Worker;
use crate::clock;
use crate::script::engine::{Bundle, Ended, ScriptError, after_panic};
use crate::script::export::Kind;
use crate::script::route::Route;
use crate::sip::transaction::{ServerInput, ServerKey};
use crate::sip::transport::Source;
use crate::sip::{Framed, HeaderId, Message, Method, Via, datagram};

/// What a run needs to be answered when its route is gone.
pub(super) struct Remains {
    pub(super) bytes: Bytes,
    pub(super) source: Source,
}

/// Where the replies to a request go: RFC 3261 §18.2.2, RFC 3581 §4.
fn reply_address(via: &Via<'_>, source: Source) -> SocketAddr {
    let mut address = source.peer;
    if !source.transport.is_reliable() && !via.has_rport {
        address.set_port(via.port.unwrap_or(source.transport.default_port()));
    }
    address
}

impl Worker {
    /// Takes one message as it came.
    pub(super) fn receive(&self, bytes: Bytes, source: Source) {
        rest::note_message();
        let now = clock::now();
        self.last_heard.set(now);
        self.balance(now);
        match datagram(bytes.clone()) {
            Ok(Framed::Message(message)) if message.is_request() => {
                self.handle_request(message, bytes, source);
            }
            Ok(Framed::Message(message)) => self.handle_response(message, bytes, source),
            Ok(Framed::KeepAlive) => {}
            Err(error) => self.refuse("framing", source, &error),
        }
    }

    pub(super) fn refuse(&self, reason: &'static str, source: Source, detail: &dyn Display) {
        self.shared.refusals.note(reason, source.peer, detail);
    }

    fn handle_request(&self, mut message: Message, bytes: Bytes, mut source: Source) {
        let method = message.method();
        let is_cancel = method == Method::Cancel;
        let (key, invite, marked) = match message.top_via() {
            Ok(via) => {
                source.reply_to = reply_address(&via, source);
                let keys = &self.shared.keys;
                let invite = is_cancel.then(|| keys.of(&message, &via, Method::Invite)).flatten();
                (keys.of(&message, &via, method), invite, via.marked(source.peer))
            }
            Err(error) => return self.refuse("no way back", source, &error),
        };
        if let Some(Err(error)) = marked.map(|via| message.replace_top_via(&via)) {
            return self.refuse("no way back", source, &error);
        }
        let Some(key) = key else {
            return self.refuse_request(&message, source, 400, "Bad Request", &"no usable key");
        };
        let is_ack = message.method() == Method::Ack;
        if !is_ack && self.is_retransmission(&key, &bytes, source) {
            return;
        }
        if let Err(finding) = message.validate() {
            let (status, reason) = finding.status();
            return self.refuse_request(&message, source, status, reason, &finding);
        }
        let remains = Remains { bytes, source };
        if is_ack && self.is_ack_of_ours(&message, &key, &remains) {
            return;
        }
        if invite.is_some_and(|invite| self.is_cancel_of_ours(&message, key, &invite, &remains)) {
            return;
        }
        if self.shared.is_draining() && !is_ack {
            return self.answer_stateless(&message, source, 503, "Going Down", &[]);
        }
        self.run_request_route(message, key, remains);
    }

    /// Absorbs a request that a transaction has, here or at another worker.
    fn is_retransmission(&self, key: &ServerKey, bytes: &Bytes, source: Source) -> bool {
        if self.table.borrow().server(key).is_some() {
            self.step_server(key, |table| {
                table.handle_server(clock::now(), key, ServerInput::Retransmission)
            });
            return true;
        }
        if self.shared.mailboxes.len() == 1 {
            return false;
        }
        match self.shared.owners.find(key) {
            Some(owner) if owner != self.id => {
                self.pass_on(owner, Mail::Message(bytes.clone(), source));
                true
            }
            _ => false,
        }
    }

    /// Gives mail to another worker; what does not fit is lost, and the peer's timer repeats it.
    pub(super) fn pass_on(&self, worker: u16, mail: Mail) {
        if let Some(mailbox) = self.shared.mailboxes.get(usize::from(worker)) {
            // A full mailbox belongs to a worker that is overloaded.
            let _ = mailbox.try_send(mail);
        }
    }

    /// Answers a request that the script never sees; an ACK has no answer.
    fn refuse_request(
        &self,
        message: &Message,
        source: Source,
        status: u16,
        reason: &str,
        detail: &dyn Display,
    ) {
        self.refuse("malformed request", source, detail);
        self.answer_stateless(message, source, status, reason, &[]);
    }

    fn run_request_route(&self, mut message: Message, key: ServerKey, remains: Remains) {
        self.strip_maddr(&mut message, remains.source);
        if self.script.suspended.get() >= self.shared.config.script.max_suspended {
            return self.answer_stateless(&message, remains.source, 503, "", &[]);
        }
        let deadline = clock::now() + self.shared.config.script.deadline;
        let router = self.this();
        let route =
            Route::new(Kind::Request, message, remains.source, Some(key), router.clone(), deadline);
        self.run_route(Box::new(route), move |ended| router.finish_request(ended, &remains));
    }

    /// Runs a route, now or, when it must wait, in a task; `finish` sees how it ended.
    pub(super) fn run_route(&self, route: Box<Route>, finish: impl FnOnce(Ended) + 'static) {
        let bundle = self.script.current.borrow().clone();
        let name = route.kind.function();
        self.run_named(bundle, name, route, finish);
    }

    /// Runs one route of a version of the script.
    pub(super) fn run_named(
        &self,
        bundle: Rc<Bundle>,
        name: impl Into<Cow<'static, str>>,
        route: Box<Route>,
        finish: impl FnOnce(Ended) + 'static,
    ) {
        match bundle.run(name, route, &self.script.stacks) {
            Ok(Ok(ended)) => finish(ended),
            Ok(Err(waiting)) => {
                let worker = self.this();
                worker.script.suspended.set(worker.script.suspended.get() + 1);
                tokio::task::spawn_local(async move {
                    let ended = waiting.await.unwrap_or_else(after_panic);
                    worker.script.suspended.set(worker.script.suspended.get() - 1);
                    finish(ended);
                });
            }
            Err(error) => finish((None, Err(ScriptError::Panicked(error.to_string())))),
        }
    }

    /// Sees to it that a request whose script failed is answered.
    fn finish_request(self: &Rc<Self>, (route, result): Ended, remains: &Remains) {
        if let Some(route) = &route {
            self.note_flags(route);
        }
        let Err(error) = result else {
            if let Some(route) = route {
                self.finish_sound_request(&route);
            }
            return;
        };
        let (status, reason) = error.status();
        let header = error.header();
        let header = header.as_ref().map(|(name, value)| (*name, value.as_str()));
        let Some(route) = route else {
            tracing::error!(%error, peer = %remains.source.peer, "a script run was lost");
            let Ok(Framed::Message(mut message)) = datagram(remains.bytes.clone()) else { return };
            if message.mark_source(remains.source.peer).is_ok() {
                let headers = header.as_slice();
                self.answer_stateless(&message, remains.source, status, reason, headers);
            }
            return;
        };
        let call_id = route.message.text(HeaderId::CallId).unwrap_or_default();
        match status {
            487 => tracing::debug!(%call_id, "the caller gave up while the script ran"),
            _ if error.is_senders_fault() => self.refuse("bad request", route.source, &error),
            _ => tracing::warn!(%error, %call_id, status, "script failed"),
        }
        if route.is_answered || route.is_relayed {
            return;
        }
        let headers = with_own(&route, status, header.as_slice());
        match route.key.filter(|_| route.has_transaction) {
            Some(key) => {
                // The transaction may be over by now; then its client has given up.
                let _ = self.answer(&route.message, &key, status, reason, &headers);
                self.end_branches(&key);
            }
            None => self.answer_stateless(&route.message, route.source, status, reason, &headers),
        }
    }

    /// Sees to it that an INVITE or CANCEL that the script has left alone does not wait for ever.
    fn finish_sound_request(&self, route: &Route) {
        if route.is_relayed {
            // Without a route armed nobody would see the variables.
            if route.armed.is_some() || !route.reply_headers.is_empty() {
                self.keep_variables(route);
            }
            return;
        }
        if route.is_answered {
            return;
        }
        let method = route.message.method();
        match route.key.filter(|_| route.has_transaction && method == Method::Invite) {
            Some(key) if route.is_dropped => self.forget(&key),
            Some(key) => {
                // It may be answered by now: 487 to a caller who has given up.
                let headers = with_own(route, 500, &[]);
                let _ = self.answer(&route.message, &key, 500, "No Decision", &headers);
            }
            // RFC 3261 §9.2: there is nothing to cancel.
            None if method == Method::Cancel && !route.is_dropped => {
                self.answer_stateless(&route.message, route.source, 481, "", &[]);
            }
            None => tracing::debug!(peer = %route.source.peer, "a request was left unanswered"),
        }
    }

    /// What the script has set after it relayed is there in the routes that follow.
    fn keep_variables(&self, route: &Route) {
        let Some(key) = route.key.filter(|_| route.has_transaction) else { return };
        let table = self.table.borrow();
        if let Some(forwarding) = table.server(&key).and_then(|served| served.forwarding.as_ref()) {
            forwarding.keep_of(route);
        }
    }
}
