//! What a script's functions have the worker do.

use std::cell::Cell;
use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::delivery;
use super::forwarding::begin;
use super::relay::{Outbound, Tried};
use super::shared::{Mail, Promised, Sending};
use super::spool::not_kept;
use super::transactions::User;
use super::worker::Worker;
use crate::clock;
use crate::gateway::ledger::State;
use crate::gateway::{MessageId, OutgoingStanza};
use crate::script::error::RouteError;
use crate::script::export::Kind;
use crate::script::route::{Listener, Route, Target};
use crate::script::router::{AccountOrder, Promise, Registered, Router, Saving, Verdict, Waiting};
use crate::sip::certificate::Certificate;
use crate::sip::location::{Binding, Walk};
use crate::sip::transaction::{ServerInput, ServerKey};
use crate::sip::transport::{Source, Transport};
use crate::sip::{Message, Method, proxy};
use crate::xmpp::StanzaError;

impl Router for Worker {
    fn reply_stateless(&self, route: &Route, status: u16, reason: &str) -> Result<(), RouteError> {
        let headers = with_own(route, status, &[]);
        self.send_stateless(&route.message, route.source, status, reason, &headers)
    }

    fn new_transaction(&self, route: &mut Route) -> Result<(), RouteError> {
        self.begin_transaction(route).map(drop)
    }

    fn reply(
        &self,
        route: &Route,
        status: u16,
        reason: &str,
        headers: &[(&str, &str)],
    ) -> Result<(), RouteError> {
        let key = route
            .key
            .filter(|_| route.has_transaction)
            .ok_or(RouteError::State { function: "reply", reason: "there is no transaction" })?;
        self.note_flags(route);
        self.answer(&route.message, &key, status, reason, &with_own(route, status, headers))?;
        if status >= 200 {
            self.end_branches(&key);
        }
        Ok(())
    }

    fn relay(&self, route: &mut Route) -> Waiting<Result<(), RouteError>> {
        if route.kind == Kind::XmppMessage {
            let delivered = self.deliver_route(route);
            return Box::pin(ready(delivered));
        }
        if matches!(route.message.method(), Method::Ack | Method::Cancel) {
            return self.forward_stateless(route, None);
        }
        if let Err(error) = check_options(route) {
            return Box::pin(ready(Err(error)));
        }
        if !is_plain(route) {
            return self.fork(route);
        }
        let outbound = match self.outbound_of(route) {
            Ok(outbound) => outbound,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        match self.try_send_out(outbound) {
            Ok(()) => Box::pin(ready(Ok(()))),
            Err(Tried::Failed(error)) => Box::pin(ready(Err(error))),
            // A name may lead to several addresses, which are tried one after the other.
            Err(Tried::MustWait(_)) => self.fork(route),
        }
    }

    fn recall(&self, route: &mut Route) {
        let key = route.key.filter(|_| route.has_transaction);
        let table = self.table.borrow();
        let served = key.and_then(|key| table.server(&key));
        if let Some(forwarding) = served.and_then(|served| served.forwarding.as_ref()) {
            forwarding.state.borrow().kept.lend(route);
        }
    }

    fn forward(
        &self,
        route: &mut Route,
        next_hop: Option<&str>,
    ) -> Waiting<Result<(), RouteError>> {
        self.forward_stateless(route, next_hop)
    }

    fn replicate(&self, route: &mut Route, uri: &str) -> Waiting<Result<(), RouteError>> {
        let mut copy = || -> Result<Box<Outbound>, RouteError> {
            let mut message = route.message.clone();
            message.set_request_uri(uri)?;
            proxy::clean_request_uri(&mut message)?;
            proxy::count_hop(&mut message)?;
            let breadth = proxy::incoming_breadth(&message);
            proxy::set_breadth(&mut message, breadth)?;
            message.remove_headers("Route");
            self.begin_transaction(route)?;
            let socket = route.send_socket;
            Ok(Box::new(Outbound {
                socket,
                ..Outbound::new(message, uri.to_owned(), User::Nobody)
            }))
        };
        match copy() {
            Ok(outbound) => self.send_begun(outbound),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn retransmit(&self, route: &Route) -> bool {
        let Some(key) = route.key.filter(|_| route.has_transaction) else { return false };
        let mut is_sent = false;
        self.step_server(&key, |table| {
            let step = table.handle_server(clock::now(), &key, ServerInput::Retransmission)?;
            is_sent = step.send.is_some();
            Some(step)
        });
        is_sent
    }

    fn request(&self, message: Message, next_hop: &str) -> Waiting<Result<u16, RouteError>> {
        if message.method() == Method::Invite {
            return Box::pin(ready(Err(RouteError::Unsupported("an INVITE of our own"))));
        }
        let (sender, status) = oneshot::channel();
        let user = User::Waiter(Rc::new(Cell::new(Some(sender))));
        let sent = self.send_begun(Box::new(Outbound::new(message, next_hop.to_owned(), user)));
        Box::pin(async move {
            sent.await?;
            // A transaction always ends, unless the worker does.
            status.await.map_err(|_| RouteError::Deadline)
        })
    }

    fn send_stanza(
        &self,
        route: &Route,
        stanza: OutgoingStanza,
        promise: Promise,
    ) -> Waiting<Verdict> {
        let request = route.message.to_bytes();
        let id = || route.message_id.unwrap_or_else(|| MessageId::of_request(&route.message));
        if promise == Promise::Queued && self.shared.spool.is_none() {
            return Box::pin(ready(self.keep_in_memory(stanza, id(), request)));
        }
        let (waiter, fate) = oneshot::channel();
        let promised = match promise {
            Promise::Queued => Promised::Queued(id(), Some(waiter)),
            Promise::HandedOver => Promised::HandedOver(waiter),
            Promise::Delivered => Promised::Delivered(waiter),
        };
        if !self.queue_stanza(Sending { stanza, request, promised }) {
            return Box::pin(ready(full()));
        }
        Box::pin(async {
            let gone = || Verdict::new(500, "The Gateway Has Stopped");
            fate.await.unwrap_or_else(|_| gone())
        })
    }

    fn message_fate(&self, id: MessageId) -> Waiting<Option<State>> {
        let own = self.bridge.as_ref().and_then(|bridge| bridge.spool.state(id));
        if own.is_some() {
            return Box::pin(ready(own));
        }
        let ask = |mailbox: &tokio::sync::mpsc::Sender<Mail>| {
            let (sender, answer) = oneshot::channel();
            // A worker that is full drops the question, which is an answer too.
            let _ = mailbox.try_send(Mail::Fate(id, sender));
            answer
        };
        let others = self.shared.mailboxes.iter().enumerate();
        let others = others.filter(|(worker, _)| *worker != usize::from(self.id));
        let answers: Vec<_> = others.map(|(_, mailbox)| ask(mailbox)).collect();
        Box::pin(async {
            let mut state = None;
            for answer in answers {
                state = state.or(answer.await.ok().flatten());
            }
            state
        })
    }

    fn order_account(&self, order: AccountOrder) -> Waiting<Verdict> {
        self.give_order(order)
    }

    fn refuse_stanza(&self, route: &mut Route, error: StanzaError) -> Result<(), RouteError> {
        delivery::refuse_stanza(route, error)
    }

    fn is_myself(&self, host: &str, port: Option<u16>) -> bool {
        self.shared.is_myself(host, port)
    }

    fn listener(
        &self,
        transport: Option<Transport>,
        ip: IpAddr,
        port: Option<u16>,
    ) -> Option<Listener> {
        let is_it = |(of, local): &&Listener| {
            transport.is_none_or(|transport| transport == *of)
                && local.ip() == ip
                && port.is_none_or(|port| port == local.port())
        };
        self.shared.listeners.iter().find(is_it).copied()
    }

    fn has_passed(&self, message: &Message) -> bool {
        let is_ours = |branch: &str| self.shared.mint.parse(branch).is_some();
        message.vias().flatten().any(|via| via.branch.is_some_and(is_ours))
    }

    fn local_address(&self, source: Source) -> Result<SocketAddr, RouteError> {
        self.reached_at(source.transport, source.local, source.peer)
    }

    fn save(&self, route: &mut Route, table: &str, saving: Saving<'_>) -> Result<bool, RouteError> {
        self.save_contacts(route, table, saving)
    }

    fn contacts(&self, table: &str, uri: &str, method: Option<&str>) -> Vec<Target> {
        self.shared.locations.targets(table, uri, method)
    }

    fn unregister(&self, table: &str, uri: &str, contact: Option<&str>) -> usize {
        self.shared.locations.unregister(table, uri, contact)
    }

    fn registered(
        &self,
        table: &str,
        walk: &mut Walk,
        is_meant: &dyn Fn(&Binding) -> bool,
    ) -> Vec<Registered> {
        self.shared.locations.registered(table, walk, is_meant)
    }

    fn time(&self) -> (Instant, Duration) {
        (clock::now(), clock::unix_time())
    }

    fn unique_id(&self) -> String {
        self.shared.unique_id()
    }

    fn peer_certificate(&self, source: Source) -> Option<Arc<Certificate>> {
        self.shared.connections.certificate(source)
    }
}

/// RFC 3261 §16.3 step 5: what proxies must understand, we do; not asked of an ACK and a CANCEL (§20.29).
pub(super) fn check_options(route: &Route) -> Result<(), RouteError> {
    if route.kind != Kind::Request || route.meets_proxy_require {
        return Ok(());
    }
    match proxy::unsupported_options(&route.message, &[])? {
        Some(options) => Err(RouteError::Extension(options)),
        None => Ok(()),
    }
}

/// The refusal of a stanza that cannot be queued.
fn full() -> Verdict {
    Verdict::new(503, "The Gateway Is Full")
}

/// Is there nothing to decide about the responses of a relayed request? Most are so, and cost less then.
fn is_plain(route: &Route) -> bool {
    route.kind == Kind::Request
        && route.armed.is_none()
        && route.targets.is_empty()
        && route.message.method() != Method::Invite
}

/// The headers of a reply, those that the script has added to all replies, and what the error says that the script
/// tells with it.
pub(super) fn with_own<'r>(
    route: &'r Route,
    status: u16,
    headers: &[(&'r str, &'r str)],
) -> SmallVec<[(&'r str, &'r str); 4]> {
    let own = route.reply_headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut all: SmallVec<[(&str, &str); 4]> = headers.iter().copied().chain(own).collect();
    let told = route.last_error.as_ref().filter(|refusal| refusal.status == status);
    if let Some((name, value)) = told.and_then(|refusal| refusal.header.as_ref())
        && !all.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    {
        all.push((*name, value.as_str()));
    }
    all
}

impl Worker {
    /// Sends a request, now or when what it needs is there.
    fn send_begun(&self, outbound: Box<Outbound>) -> Waiting<Result<(), RouteError>> {
        match self.try_send_out(outbound) {
            Ok(()) => Box::pin(ready(Ok(()))),
            Err(Tried::Failed(error)) => Box::pin(ready(Err(error))),
            Err(Tried::MustWait(outbound)) => {
                let worker = self.this();
                begin(async move { worker.send_out(&outbound).await })
            }
        }
    }

    /// A final reply of the script ends what is still on its way.
    pub(super) fn end_branches(&self, key: &ServerKey) {
        let table = self.table.borrow();
        let forwarding = table.server(key).and_then(|served| served.forwarding.clone());
        drop(table);
        if let Some(forwarding) = forwarding {
            let actions = forwarding.state.borrow_mut().context.handle_answer();
            self.act(&forwarding, None, actions);
        }
    }

    /// Has a message kept where nothing is written, so that nobody has to wait for the worker that keeps it.
    fn keep_in_memory(&self, stanza: OutgoingStanza, id: MessageId, request: Bytes) -> Verdict {
        let size = request.len();
        if !self.shared.held.take(size, false) {
            return not_kept("The Spool Is Full");
        }
        let promised = Promised::Queued(id, None);
        if !self.queue_stanza(Sending { stanza, request, promised }) {
            self.shared.held.give_back(size);
            return full();
        }
        Verdict::new(202, "Accepted")
    }

    /// Brings a stanza to the worker that has the stream; false when there is no room.
    fn queue_stanza(&self, sending: Sending) -> bool {
        if let Some(bridge) = self.bridge.as_ref().filter(|_| self.has_stream()) {
            bridge.take(sending);
            return true;
        }
        let Some(xmpp) = &self.shared.xmpp else { return false };
        let mailbox = &self.shared.mailboxes[xmpp.worker];
        mailbox.try_send(Mail::Stanza(Box::new(sending))).is_ok()
    }
}
