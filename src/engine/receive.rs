//! The way of a message through the server. Read this first.
//!
//! Bytes come from `net`, framed. A response finds the client transaction that its branch names, here or at
//! the worker that made it. A request that a transaction knows is a retransmission and ends there. Any other request
//! gets a `Route`, and the script's `request_route` decides: its functions act through `router.rs` when they
//! are called, and the request has its fate when the script ends. A script that must wait is parked, and
//! finished by a task of its own.

use std::fmt::Display;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;

use super::rest;
use super::shared::Mail;
use super::worker::Worker;
use crate::clock;
use crate::script::engine::{Ended, ScriptError, after_panic};
use crate::script::export::Kind;
use crate::script::route::Route;
use crate::sip::transaction::{ServerInput, ServerKey};
use crate::sip::transport::Source;
use crate::sip::{Framed, HeaderId, Message, Method, Via, datagram};

/// What a run needs to be answered when its route is gone.
struct Remains {
    bytes: Bytes,
    source: Source,
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
        self.last_heard.set(clock::now());
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
        let (key, marked) = match message.top_via() {
            Ok(via) => {
                source.reply_to = reply_address(&via, source);
                (self.shared.keys.of(&message, &via, message.method()), via.marked(source.peer))
            }
            Err(error) => return self.refuse("no way back", source, &error),
        };
        if let Some(Err(error)) = marked.map(|via| message.replace_top_via(&via)) {
            return self.refuse("no way back", source, &error);
        }
        let Some(key) = key else {
            return self.refuse_request(&message, source, 400, "Bad Request", &"no usable key");
        };
        if self.is_retransmission(&key, &bytes, source) {
            return;
        }
        if let Err(finding) = message.validate() {
            let (status, reason) = finding.status();
            return self.refuse_request(&message, source, status, reason, &finding);
        }
        if message.method() == Method::Ack {
            // It ends the INVITE that was refused without a transaction; nobody waits for it.
            return;
        }
        if self.shared.is_draining() {
            return self.answer_stateless(&message, source, 503, "Going Down", &[]);
        }
        self.run_request_route(message, key, Remains { bytes, source });
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
        let Err(error) = result else {
            let is_open = |r: &Route| !r.is_answered && !r.is_relayed && !r.is_dropped;
            if route.as_deref().is_some_and(is_open) {
                tracing::debug!(peer = %remains.source.peer, "request_route left a request unanswered");
            }
            return;
        };
        let (status, reason) = error.status();
        let wait = error.retry_after().map(|wait| wait.as_secs().to_string());
        let headers: &[(&str, &str)] = match &wait {
            Some(wait) => &[("Retry-After", wait)],
            None => &[],
        };
        let Some(route) = route else {
            tracing::error!(%error, peer = %remains.source.peer, "a script run was lost");
            let Ok(Framed::Message(mut message)) = datagram(remains.bytes.clone()) else { return };
            if message.mark_source(remains.source.peer).is_ok() {
                self.answer_stateless(&message, remains.source, status, reason, headers);
            }
            return;
        };
        let call_id = route.message.text(HeaderId::CallId).unwrap_or_default();
        tracing::warn!(%error, %call_id, status, "script failed");
        if route.is_answered || route.is_relayed {
            return;
        }
        match route.key.filter(|_| route.has_transaction) {
            Some(key) => {
                // The transaction may be over by now; then its client has given up.
                let _ = self.answer(&route.message, &key, status, reason, headers);
            }
            None => self.answer_stateless(&route.message, route.source, status, reason, headers),
        }
    }
}
