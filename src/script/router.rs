//! What a script may have the server do: the border between the script's functions and the engine.

use std::borrow::Cow;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use super::error::RouteError;
use super::route::Route;
use crate::gateway::OutgoingStanza;
use crate::sip::certificate::Certificate;
use crate::sip::transport::Source;
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

/// Something that a script can wait for.
pub type Waiting<T> = Pin<Box<dyn Future<Output = T>>>;

/// A registered contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The URI that the phone registered.
    pub uri: String,
    /// Where the REGISTER came from, as a URI, when the phone's own address leads nowhere.
    pub received: Option<String>,
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

    /// Sends the message on, to the route's destination, along its Route header or to its Request-URI (RFC 3261 §16.6).
    fn relay(&self, route: &mut Route) -> Waiting<Result<(), RouteError>>;

    /// Sends a stanza to the XMPP side; tells its fate when `wants_hand_over`, else that it is queued.
    fn send_stanza(
        &self,
        route: &Route,
        stanza: OutgoingStanza,
        wants_hand_over: bool,
    ) -> Waiting<Verdict>;

    /// Returns the stanza of an XMPP route to its sender with an error.
    fn refuse_stanza(&self, route: &mut Route, error: StanzaError) -> Result<(), RouteError>;

    /// Is this host, with this port or the scheme's own, ours?
    fn is_myself(&self, host: &str, port: Option<u16>) -> bool;

    /// Our address as the peer of `source` reaches it, also for new connections.
    fn local_address(&self, source: Source) -> Result<SocketAddr, RouteError>;

    /// Remembers or forgets the contacts of a REGISTER and replies (RFC 3261 §10.3).
    fn save(&self, route: &mut Route, table: &str) -> Result<bool, RouteError>;

    /// The best contact of the address of record that a URI names.
    fn contact(&self, table: &str, uri: &str) -> Option<Contact>;

    /// A word that no other message of ours has.
    fn unique_id(&self) -> String;

    /// The certificate that the sender of a message has proved to have over TLS.
    fn peer_certificate(&self, source: Source) -> Option<Arc<Certificate>>;
}

#[cfg(test)]
pub(crate) mod recording;
