//! What a script may have the server do: the border between the script's functions and the engine.

use std::borrow::Cow;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::RouteError;
use super::route::{Listener, Route, Target};
use crate::gateway::ledger::State;
use crate::gateway::{MessageId, OutgoingStanza, Wish};
use crate::sip::Message;
use crate::sip::certificate::Certificate;
use crate::sip::location::{Binding, Walk};
use crate::sip::transport::{Source, Transport};
use crate::xmpp::StanzaError;

/// What is known of a message that went to the other network, as the reply that tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The status: 202 queued, 200 handed over, else the failure.
    pub status: u16,
    /// The Reason-Phrase.
    pub reason: Cow<'static, str>,
    /// A header that the reply should carry, such as Contact with 302.
    pub header: Option<(&'static str, String)>,
}

impl Default for Verdict {
    /// Nothing has happened yet.
    fn default() -> Self {
        Self::new(500, "No Message Was Sent")
    }
}

impl Verdict {
    /// A status and its words.
    pub fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { status, reason: reason.into(), header: None }
    }

    /// The message is on its way.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// What success means for a message to the other network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// It is kept until its fate is known: 202.
    Queued,
    /// The recipient's server has taken it: 200.
    HandedOver,
    /// The recipient's own device has it: 200; when it does not say so in time, 202.
    Delivered,
}

/// Something that a script can wait for.
pub type Waiting<T> = Pin<Box<dyn Future<Output = T>>>;

/// How a REGISTER is saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saving<'a> {
    /// The URI that is registered, when it is not that of To.
    pub uri: Option<&'a str>,
    /// The contacts stay in memory.
    pub is_volatile: bool,
    /// No reply is sent.
    pub is_silent: bool,
    /// What is registered takes the place of all that was.
    pub replaces_all: bool,
}

/// What a script wants of the Jabber account of a SIP user.
#[derive(Clone, Debug)]
pub struct AccountOrder {
    /// The SIP user, `sip:user@host`.
    pub sip_id: String,
    /// What is wanted.
    pub wish: Wish,
    /// The SIP URI that the user wrote to; empty when he wrote to nobody.
    pub address: String,
    /// What the verdict tells of. What is queued and no message is only taken.
    pub promise: Promise,
    /// The message, when it is one.
    pub message: Option<OrderedMessage>,
}

/// The message of an order.
#[derive(Clone, Debug)]
pub struct OrderedMessage {
    /// The request that it was made from.
    pub request: Message,
    /// The id of its stanza.
    pub id: String,
    /// The recipient's own device is asked to confirm it.
    pub asks_receipt: bool,
}

/// A registered contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The address of record, without scheme.
    pub address: String,
    /// The contact's own name.
    pub ruid: Arc<str>,
    /// The way there.
    pub target: Target,
}

/// The server as a route sees it. Functions act when they are called.
pub trait Router {
    /// Replies without a transaction (RFC 3261 §8.2.7). An ACK is never answered.
    fn reply_stateless(&self, route: &Route, status: u16, reason: &str) -> Result<(), RouteError>;

    /// Makes the server transaction, from which on retransmissions are absorbed.
    fn new_transaction(&self, route: &mut Route) -> Result<(), RouteError>;

    /// Replies through the transaction.
    fn reply(
        &self,
        route: &Route,
        status: u16,
        reason: &str,
        headers: &[(&str, &str)],
    ) -> Result<(), RouteError>;

    /// Sends the message on, to the route's destination, along its Route header or to its Request-URI, and to the
    /// route's further targets (RFC 3261 §16.6). An ACK goes on without a transaction, as does a CANCEL that no
    /// transaction knows.
    fn relay(&self, route: &mut Route) -> Waiting<Result<(), RouteError>>;

    /// Gives the route what a `branch_route` of its request has left behind while it has relayed.
    fn recall(&self, route: &mut Route);

    /// Sends the message on without a transaction (RFC 3261 §16.11): to `next_hop`, else where it leads by itself.
    fn forward(&self, route: &mut Route, next_hop: Option<&str>)
    -> Waiting<Result<(), RouteError>>;

    /// Sends a copy of the message to `uri`, whose responses nobody sees.
    fn replicate(&self, route: &mut Route, uri: &str) -> Waiting<Result<(), RouteError>>;

    /// Sends the last response of the transaction again; false when there is none.
    fn retransmit(&self, route: &Route) -> bool;

    /// Sends a request of our own, which has no Via yet, to `next_hop`, and gives its final status: 408 when none came.
    fn request(&self, message: Message, next_hop: &str) -> Waiting<Result<u16, RouteError>>;

    /// Sends a stanza to the XMPP side; tells that what was promised is done, or why not.
    fn send_stanza(
        &self,
        route: &Route,
        stanza: OutgoingStanza,
        promise: Promise,
    ) -> Waiting<Verdict>;

    /// What has become of a message that was accepted; nothing when there is none of that id.
    fn message_fate(&self, id: MessageId) -> Waiting<Option<State>>;

    /// Gives an order to the Jabber account of a SIP user.
    fn order_account(&self, order: AccountOrder) -> Waiting<Verdict>;

    /// Returns the stanza of an XMPP route to its sender with an error.
    fn refuse_stanza(&self, route: &mut Route, error: StanzaError) -> Result<(), RouteError>;

    /// Is this host, with this port or the scheme's own, ours?
    fn is_myself(&self, host: &str, port: Option<u16>) -> bool;

    /// The first listener of ours at this address; of this transport and at this port where they are given.
    fn listener(
        &self,
        transport: Option<Transport>,
        ip: IpAddr,
        port: Option<u16>,
    ) -> Option<Listener>;

    /// Has the message come through us before: is a Via of ours in it?
    fn has_passed(&self, message: &Message) -> bool;

    /// Our address as the peer of `source` reaches it, also for new connections.
    fn local_address(&self, source: Source) -> Result<SocketAddr, RouteError>;

    /// Remembers or forgets the contacts of a REGISTER and replies (RFC 3261 §10.3).
    fn save(&self, route: &mut Route, table: &str, saving: Saving<'_>) -> Result<bool, RouteError>;

    /// The contacts of the address of record or the instance that a URI names, the best first.
    /// With `method`, those that take it.
    fn contacts(&self, table: &str, uri: &str, method: Option<&str>) -> Vec<Target>;

    /// Forgets the contacts of the address of record that a URI names: all, or the one of this URI or own name.
    /// Tells how many.
    fn unregister(&self, table: &str, uri: &str, contact: Option<&str>) -> usize;

    /// Those of the next contacts of a walk through a table that `is_meant` picks. Each call sees a few, so that nobody
    /// waits for long.
    fn registered(
        &self,
        table: &str,
        walk: &mut Walk,
        is_meant: &dyn Fn(&Binding) -> bool,
    ) -> Vec<Registered>;

    /// The time, on the clock of timers and since 1970, for what is done without a route.
    fn time(&self) -> (Instant, Duration);

    /// A word that no other message of ours has.
    fn unique_id(&self) -> String;

    /// The certificate that the sender of a message has proved to have over TLS.
    fn peer_certificate(&self, source: Source) -> Option<Arc<Certificate>>;
}

#[cfg(test)]
pub(crate) mod recording;
