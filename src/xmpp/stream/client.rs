//! The side of a client on its stream to a server (RFC 6120, RFC 6121): from TLS and SASL to a bound resource.

mod negotiation;
mod session;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;

use super::end::{CLOSING_TAG, CloseReason, NotReady, StreamError, is_refusal, write_stream_error};
use super::features::Features;
use super::header::StreamHeader;
use super::resumption::{Outbox, Resumption};
use super::sasl::{ChannelBinding, Derivation, SaltedPassword, Sasl, SaslError};
use crate::xmpp::error::StanzaError;
use crate::xmpp::framer::{Frame, Framer, Limits};
use crate::xmpp::jid::FullJid;
use crate::xmpp::ns::{ContentNamespace, Scope};
use crate::xmpp::stanza::{Kind, Stanza};
pub use session::ROSTER_ID;

/// Whether a stream may do without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// It must not.
    #[default]
    Required,
    /// TLS is taken where it is offered.
    WhereOffered,
    /// TLS is not begun on the stream: there is none, or the connection had it before.
    Outside,
}

/// What a client needs to know.
#[derive(Clone)]
pub struct ClientConfig {
    /// The local part of the account's address.
    pub username: String,
    /// The domain of the account's address, which the stream is opened to.
    pub domain: String,
    /// The account's password.
    pub password: String,
    /// The resource to ask for; without one the server chooses.
    pub resource: Option<String>,
    /// The priority of the initial presence (RFC 6121 §4.7.2.3).
    pub priority: i8,
    /// Whether TLS must be. Default: it must.
    pub security: Security,
    /// Whether the server may be old enough to know only `jabber:iq:auth` (XEP-0078). Default no.
    pub legacy_auth: bool,
    /// Whether copies of what other resources send and get are wanted (XEP-0280). Default yes.
    pub carbons: bool,
    /// Whether the driver says when a stanza is taken, once it is kept: see [`Event::AckAsked`]. Default no: as soon as it
    /// has come.
    pub keeps: bool,
    /// Whether the server must acknowledge a stanza twice. Its first word may leave it before the stanza does, and a server
    /// that is killed in between takes that along. Default no.
    pub settles_late: bool,
    /// How long each step up to the bound resource may take. Default 20 s.
    pub step_timeout: Duration,
    /// How long the server may be silent before it is probed. Default 120 s.
    pub idle: Duration,
    /// How long its answer may take. Default 30 s.
    pub ping_timeout: Duration,
    /// How long the server may take to close its side. Default 2 s.
    pub close_timeout: Duration,
    /// Caps on what the server sends.
    pub limits: Limits,
}

impl fmt::Debug for ClientConfig {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig").field("domain", &self.domain).finish_non_exhaustive()
    }
}

impl ClientConfig {
    /// The defaults, for the account `username@domain`.
    pub fn new(
        username: impl Into<String>,
        domain: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        Self {
            username: username.into(),
            domain: domain.into(),
            password: password.into(),
            resource: None,
            priority: 0,
            security: Security::Required,
            legacy_auth: false,
            carbons: true,
            keeps: false,
            settles_late: false,
            step_timeout: Duration::from_secs(20),
            idle: Duration::from_secs(120),
            ping_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(2),
            limits: Limits::DEFAULT,
        }
    }
}

/// What the stream has to report.
#[expect(clippy::large_enum_variant, reason = "nearly every event is the large one")]
#[derive(Debug)]
pub enum Event {
    /// TLS begins: the driver makes it, then calls [`Client::handle_tls`].
    StartTls,
    /// A password must be hashed: the driver does it, then calls [`Client::handle_keys`].
    Derive(Derivation),
    /// The resource is bound, or the old stream goes on: stanzas may be sent.
    Ready {
        /// Our full JID.
        jid: FullJid,
        /// It is the stream that had broken: rooms and presence are as they were.
        is_resumed: bool,
    },
    /// The server delivers a stanza.
    Stanza(Stanza),
    /// The server asks how many stanzas are taken; the driver answers with [`Client::acknowledge`] once this many are.
    AckAsked(u32),
    /// The server has taken the stanza with this token.
    Acked(u64),
    /// The stanza with this token may have arrived or not, and nobody will ever tell.
    Lost(u64),
    /// The server does not let us in, and trying again at once will not help. Nothing follows.
    Refused(Refusal),
    /// The stream is over. Nothing follows.
    Closed(CloseReason),
}

/// Why a server does not let a client in.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// It says so of the stream.
    #[error("{0}")]
    Stream(StreamError),
    /// The password or the mechanism does not do.
    #[error("authentication: {0}")]
    Sasl(SaslError),
    /// It does not bind the resource.
    #[error("no resource: {}", .0.condition.name())]
    Bind(StanzaError),
    /// We want TLS, and it offers none.
    #[error("the server offers no TLS")]
    NoTls,
}

impl Refusal {
    /// The account's password is wrong, or the account is none.
    pub fn is_authentication(&self) -> bool {
        match self {
            Self::Sasl(SaslError::Failure { .. }) => true,
            Self::Stream(error) => {
                error.condition == crate::xmpp::condition::StreamCondition::NotAuthorized
            }
            _ => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The connection is being made.
    Connecting,
    /// Our header is out.
    AwaitingHeader,
    AwaitingFeatures,
    /// `<starttls/>` is out.
    AwaitingProceed,
    /// The driver makes TLS.
    AwaitingTls,
    /// The driver hashes the password.
    AwaitingKeys,
    /// SASL is on its way.
    Authenticating,
    /// A question of XEP-0078 is out.
    LegacyFields,
    LegacyAuth,
    Resuming,
    Binding,
    AwaitingSession,
    Enabling,
    Ready,
    /// Our closing tag is out, the server's is not in.
    Closing,
    Closed,
}

/// A client's stream. See [`Event`] for what comes out.
///
/// The driver connects, calls [`start`](Self::start), then brings bytes and time and takes
/// [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) after each call.
#[derive(Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
    state: State,
    framer: Framer,
    scope: Arc<Scope>,
    /// The server's name for this stream, which XEP-0078 hashes.
    stream_id: String,
    /// The connection has TLS, and what binds to it.
    has_tls: bool,
    binding: Option<ChannelBinding>,
    is_authenticated: bool,
    features: Features,
    sasl: Option<Box<Sasl>>,
    jid: Option<FullJid>,
    /// The old stream that we try to go on with.
    resumption: Option<Resumption>,
    /// The server's name for this stream, when it can be resumed.
    resume_id: Option<String>,
    has_sm: bool,
    received: u32,
    outbox: Outbox,
    /// What the server has acknowledged once.
    settling: Vec<u64>,
    /// When the current state, or the server's silence, has lasted too long.
    deadline: Instant,
    is_probing: bool,
    serial: u64,
    out: Vec<u8>,
    events: VecDeque<Event>,
}

impl Client {
    /// A stream whose connection is about to be made; `resumption` is what the last one has left.
    pub fn new(
        config: impl Into<Arc<ClientConfig>>,
        resumption: Option<Resumption>,
        now: Instant,
    ) -> Self {
        let config = config.into();
        Self {
            state: State::Connecting,
            framer: Framer::new(config.limits),
            scope: Arc::new(Scope::new(ContentNamespace::Client)),
            stream_id: String::new(),
            has_tls: false,
            binding: None,
            is_authenticated: false,
            features: Features::default(),
            sasl: None,
            jid: None,
            resumption,
            resume_id: None,
            has_sm: false,
            received: 0,
            outbox: Outbox::default(),
            settling: Vec::new(),
            deadline: now + config.step_timeout,
            is_probing: false,
            serial: 0,
            out: Vec::new(),
            events: VecDeque::new(),
            config,
        }
    }

    /// The domain that the stream is opened to.
    pub fn domain(&self) -> &str {
        &self.config.domain
    }

    /// Whether stanzas may be sent.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Whether the stream is over.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Stanzas that the server has not acknowledged.
    pub fn unacked(&self) -> usize {
        self.outbox.len()
    }

    /// Opens the stream on a connection that has just been made.
    pub fn start(&mut self, now: Instant) {
        if self.state == State::Connecting {
            self.open(now);
        }
    }

    /// Tells that TLS is made, before [`start`](Self::start) or when [`Event::StartTls`] asks for it. `binding` is the
    /// exporter of TLS 1.3 (RFC 9266); others are no proof.
    pub fn handle_tls(&mut self, now: Instant, binding: Option<ChannelBinding>) {
        self.has_tls = true;
        self.binding = binding;
        if self.state == State::AwaitingTls {
            self.open(now);
        }
    }

    /// Queues a stanza, which must be well-formed. With a token its fate is told.
    pub fn send(&mut self, token: Option<u64>, stanza: impl Into<Bytes>) -> Result<(), NotReady> {
        if self.state != State::Ready {
            return Err(NotReady);
        }
        self.write_stanza(token, stanza.into());
        Ok(())
    }

    /// Tells the server that so many stanzas are taken, as [`Event::AckAsked`] has asked.
    pub fn acknowledge(&mut self, count: u32) {
        if self.state == State::Ready {
            self.write_ack(count);
        }
    }

    /// Closes the stream in order: what is queued goes out before the closing tag.
    pub fn close(&mut self, now: Instant) {
        match self.state {
            State::Connecting | State::AwaitingTls => self.end(CloseReason::Local),
            State::Closing | State::Closed => {}
            _ => {
                self.resume_id = None;
                if self.has_sm && self.state == State::Ready {
                    self.write_ack(self.received);
                }
                self.out.extend_from_slice(CLOSING_TAG);
                self.state = State::Closing;
                self.deadline = now + self.config.close_timeout;
            }
        }
    }

    /// Takes what the server sent.
    pub fn handle_bytes(&mut self, now: Instant, mut bytes: &[u8]) {
        if self.state == State::Ready && !bytes.is_empty() {
            self.is_probing = false;
            self.deadline = now + self.config.idle;
        }
        // What follows `<proceed/>` in clear was written by somebody in between: it is left where it is.
        while !matches!(self.state, State::Connecting | State::AwaitingTls | State::Closed) {
            match self.framer.poll(&mut bytes) {
                Ok(Some(frame)) => self.handle_frame(now, frame),
                Ok(None) => return,
                Err(error) => self.fail(CloseReason::Frame(error)),
            }
        }
    }

    /// Tells that time has passed. See [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.deadline {
            return;
        }
        let step = match self.state {
            State::Ready if !self.is_probing => return self.probe(now),
            State::Ready => "answer to a ping",
            State::Closing => return self.end(CloseReason::Local),
            State::Closed => return,
            State::Connecting => "connection",
            State::AwaitingHeader | State::AwaitingFeatures => "stream header",
            State::AwaitingProceed | State::AwaitingTls => "TLS",
            State::Resuming | State::Enabling => "resumption",
            State::Binding | State::AwaitingSession => "resource",
            State::AwaitingKeys
            | State::Authenticating
            | State::LegacyFields
            | State::LegacyAuth => "authentication",
        };
        match self.state {
            State::Connecting | State::AwaitingTls => self.end(CloseReason::Timeout(step)),
            _ => self.fail(CloseReason::Timeout(step)),
        }
    }

    /// Tells that the connection is gone, or could not be made.
    pub fn handle_closed(&mut self) {
        match self.state {
            State::Closing => self.end(CloseReason::Local),
            State::Closed => {}
            _ => self.end(CloseReason::ConnectionLost),
        }
    }

    /// Everything that must be sent now, as one piece.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        if self.state == State::Ready && self.outbox.wants_to_ask() {
            self.ask_for_ack();
        }
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out))
    }

    /// Gives back the room that nothing needs while the stream is silent.
    pub fn rest(&mut self) {
        if self.state == State::Ready {
            self.framer.rest();
            self.events.shrink_to_fit();
            self.outbox.rest();
        }
    }

    /// The next thing to report.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.state != State::Closed).then_some(self.deadline)
    }

    /// What the next stream needs to go on with this one, or what is left of the one before; else the tokens of
    /// stanzas whose fate nobody knows.
    pub fn into_resumption(self) -> Result<Resumption, Vec<u64>> {
        if let Some(resumption) = self.resumption {
            return Ok(resumption);
        }
        match (self.resume_id, self.jid) {
            (Some(id), Some(jid)) => {
                let (received, outbox, settling) = (self.received, self.outbox, self.settling);
                Ok(Resumption { id, jid: jid.to_string(), received, outbox, settling })
            }
            _ => Err(self.settling.into_iter().chain(self.outbox.give_up()).collect()),
        }
    }

    fn handle_frame(&mut self, now: Instant, frame: Frame) {
        match frame {
            Frame::Whitespace => {}
            Frame::StreamOpen(tag) => self.handle_header(&tag),
            Frame::Stanza(bytes) => self.handle_element(now, bytes),
            Frame::StreamClose if self.state == State::Closing => {
                self.settle(Vec::new());
                self.end(CloseReason::Local);
            }
            Frame::StreamClose => {
                // XEP-0198 §5: who closes a stream has ended it.
                self.resume_id = None;
                self.out.extend_from_slice(CLOSING_TAG);
                self.end(CloseReason::Peer);
            }
        }
    }

    fn handle_stream_error(&mut self, stanza: &Stanza) {
        let error = StreamError::read(stanza);
        self.resume_id = None;
        self.out.extend_from_slice(CLOSING_TAG);
        if self.state != State::Ready && is_refusal(error.condition) {
            self.refuse(Refusal::Stream(error));
        } else {
            self.end(CloseReason::StreamError(error));
        }
    }

    fn handle_element(&mut self, now: Instant, bytes: Bytes) {
        let stanza = match Stanza::read(bytes, &self.scope, &self.config.limits) {
            Ok(stanza) => stanza,
            Err(error) => return self.fail(CloseReason::Malformed(error)),
        };
        let is_error = stanza.name() == "error"
            && stanza.namespace() == crate::xmpp::ns::STREAM
            && stanza.kind() == Kind::Nonza;
        match self.state {
            _ if is_error => self.handle_stream_error(&stanza),
            State::Ready | State::Closing => self.handle_in_session(stanza),
            _ => self.negotiate(now, &stanza),
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.state = State::Closed;
        self.events.push_back(Event::Refused(refusal));
    }

    /// Ends the stream with a stream error of ours.
    fn fail(&mut self, reason: CloseReason) {
        if let Some(condition) = reason.condition() {
            write_stream_error(&mut self.out, condition);
        }
        self.end(reason);
    }

    fn end(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.events.push_back(Event::Closed(reason));
    }

    fn open(&mut self, now: Instant) {
        self.framer.restart();
        let header = StreamHeader::new(ContentNamespace::Client, self.config.domain.clone());
        header.write(&mut self.out);
        self.enter(now, State::AwaitingHeader);
    }

    fn enter(&mut self, now: Instant, state: State) {
        self.state = state;
        self.deadline = now + self.config.step_timeout;
    }
}

#[cfg(test)]
mod tests;
