//! The side of an external component on its stream to a server (XEP-0114).

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::end::{CLOSING_TAG, CloseReason, NotReady, StreamError, is_refusal, write_stream_error};
use super::header::{HeaderError, StreamHeader};
use crate::xmpp::condition::StreamCondition;
use crate::xmpp::framer::{Frame, Framer, Limits};
use crate::xmpp::ns::{self, ContentNamespace, Scope};
use crate::xmpp::stanza::{Kind, Stanza};
use crate::xmpp::writer::Writer;

/// What a component needs to know.
#[derive(Clone)]
pub struct ComponentConfig {
    /// The domain that the component serves.
    pub domain: String,
    /// The secret that it shares with the server.
    pub secret: String,
    /// How long connection and handshake may take. Default 10 s.
    pub handshake_timeout: Duration,
    /// How long the server may be silent before it is probed. Default 60 s.
    pub idle: Duration,
    /// Whom to probe with a ping (XEP-0199), for instance the server's domain. With `None`,
    /// whitespace is sent, which finds a dead connection but no dead server. Default `None`.
    pub ping: Option<String>,
    /// How long the answer to a ping may take. Default 20 s.
    pub ping_timeout: Duration,
    /// How long the server may take to close its side. Default 5 s.
    pub close_timeout: Duration,
    /// Caps on what the server sends.
    pub limits: Limits,
}

impl fmt::Debug for ComponentConfig {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentConfig").field("domain", &self.domain).finish_non_exhaustive()
    }
}

impl ComponentConfig {
    /// The defaults, for this domain and secret.
    pub fn new(domain: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            secret: secret.into(),
            handshake_timeout: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            ping: None,
            ping_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(5),
            limits: Limits::DEFAULT,
        }
    }
}

/// What the stream has to report.
#[expect(clippy::large_enum_variant, reason = "nearly every event is the large one")]
#[derive(Clone, Debug)]
pub enum Event {
    /// The handshake is acknowledged: stanzas may be sent.
    Ready,
    /// The server delivers a stanza.
    Stanza(Stanza),
    /// The server does not let us in, and trying again at once will not help. Nothing follows.
    Refused(StreamError),
    /// The stream is over. Nothing follows.
    Closed(CloseReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The connection is being made.
    Connecting,
    /// Our header is out.
    AwaitingHeader,
    /// Our handshake is out.
    AwaitingHandshake,
    Ready,
    /// Our closing tag is out, the server's is not in.
    Closing,
    Closed,
}

/// A component's stream. See [`Event`] for what comes out.
///
/// The driver connects, calls [`start`](Self::start), then brings bytes and time and takes
/// [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) after each call.
/// It closes the connection when [`is_closed`](Self::is_closed) and everything is transmitted.
#[derive(Debug)]
pub struct Component {
    config: ComponentConfig,
    state: State,
    framer: Framer,
    scope: Arc<Scope>,
    /// When the current state, or the server's silence, has lasted too long.
    deadline: Instant,
    /// A probe is out and nothing has come since.
    is_probing: bool,
    probes: u64,
    out: Vec<u8>,
    events: VecDeque<Event>,
}

impl Component {
    /// A stream whose connection is about to be made.
    pub fn new(config: ComponentConfig, now: Instant) -> Self {
        Self {
            state: State::Connecting,
            framer: Framer::new(config.limits),
            scope: Arc::new(Scope::new(ContentNamespace::Component)),
            deadline: now + config.handshake_timeout,
            is_probing: false,
            probes: 0,
            out: Vec::new(),
            events: VecDeque::new(),
            config,
        }
    }

    /// The domain that the component serves.
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

    /// Opens the stream on a connection that has just been made.
    pub fn start(&mut self) {
        if self.state != State::Connecting {
            return;
        }
        // XEP-0114 streams have no version: there are no features to wait for.
        let header = StreamHeader {
            version: (0, 9),
            ..StreamHeader::new(ContentNamespace::Component, self.config.domain.clone())
        };
        header.write(&mut self.out);
        self.state = State::AwaitingHeader;
    }

    /// Queues a stanza, which must be well-formed: the [`Writer`] or a gated [`Stanza`] made it.
    pub fn send(&mut self, stanza: &[u8]) -> Result<(), NotReady> {
        if self.state != State::Ready {
            return Err(NotReady);
        }
        self.out.extend_from_slice(stanza);
        Ok(())
    }

    /// Closes the stream in order: what is queued goes out before the closing tag.
    pub fn close(&mut self, now: Instant) {
        match self.state {
            State::Connecting => self.end(CloseReason::Local),
            State::AwaitingHeader | State::AwaitingHandshake | State::Ready => {
                self.out.extend_from_slice(CLOSING_TAG);
                self.state = State::Closing;
                self.deadline = now + self.config.close_timeout;
            }
            State::Closing | State::Closed => {}
        }
    }

    /// Takes what the server sent.
    pub fn handle_bytes(&mut self, now: Instant, mut bytes: &[u8]) {
        if self.state == State::Ready && !bytes.is_empty() {
            self.is_probing = false;
            self.deadline = now + self.config.idle;
        }
        while !matches!(self.state, State::Connecting | State::Closed) {
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
        match self.state {
            State::Connecting => self.end(CloseReason::Timeout("connection")),
            State::AwaitingHeader => self.fail(CloseReason::Timeout("stream header")),
            State::AwaitingHandshake => self.fail(CloseReason::Timeout("handshake")),
            State::Ready if self.is_probing => self.fail(CloseReason::Timeout("answer to a ping")),
            State::Ready => self.probe(now),
            State::Closing => self.end(CloseReason::Local),
            State::Closed => {}
        }
    }

    /// Tells that the connection is gone.
    pub fn handle_closed(&mut self) {
        match self.state {
            State::Closing => self.end(CloseReason::Local),
            State::Closed => {}
            _ => self.end(CloseReason::ConnectionLost),
        }
    }

    /// Everything that must be sent now, as one piece.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out))
    }

    /// The next thing to report.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.state != State::Closed).then_some(self.deadline)
    }

    fn handle_frame(&mut self, now: Instant, frame: Frame) {
        match frame {
            Frame::Whitespace => {}
            Frame::StreamOpen(tag) => self.handle_header(&tag),
            Frame::Stanza(bytes) => self.handle_element(now, bytes),
            Frame::StreamClose if self.state == State::Closing => self.end(CloseReason::Local),
            Frame::StreamClose => {
                self.out.extend_from_slice(CLOSING_TAG);
                self.end(CloseReason::Peer);
            }
        }
    }

    fn handle_header(&mut self, tag: &[u8]) {
        let header = match StreamHeader::read(tag) {
            Ok(header) => header,
            Err(error) => return self.fail(CloseReason::Header(error)),
        };
        if header.scope.content() != ContentNamespace::Component {
            return self.fail(CloseReason::Header(HeaderError::Namespace));
        }
        self.scope = Arc::new(header.scope);
        if self.state != State::AwaitingHeader {
            return;
        }
        let handshake = handshake(header.id.as_deref().unwrap_or(""), &self.config.secret);
        Writer::new(&mut self.out).text_child("handshake", &handshake);
        self.state = State::AwaitingHandshake;
    }

    fn handle_element(&mut self, now: Instant, bytes: Bytes) {
        let stanza = match Stanza::read(bytes, &self.scope, &self.config.limits) {
            Ok(stanza) => stanza,
            Err(error) => return self.fail(CloseReason::Malformed(error)),
        };
        match (self.state, stanza.kind()) {
            (_, Kind::Nonza) if stanza.name() == "error" && stanza.namespace() == ns::STREAM => {
                self.handle_stream_error(&stanza);
            }
            (State::AwaitingHandshake, Kind::Nonza) if stanza.name() == "handshake" => {
                self.state = State::Ready;
                self.deadline = now + self.config.idle;
                self.events.push_back(Event::Ready);
            }
            // Nothing else is defined for this stream, so a later version may define it.
            (_, Kind::Nonza) => {}
            (State::Ready | State::Closing, _) if is_own_pong(&stanza) => {}
            // The server sends until it has seen our closing tag, and what it sent is gone for it.
            (State::Ready | State::Closing, _) => self.events.push_back(Event::Stanza(stanza)),
            _ => self.fail(CloseReason::Protocol("stanza before the handshake")),
        }
    }

    fn handle_stream_error(&mut self, stanza: &Stanza) {
        let error = StreamError::read(stanza);
        self.out.extend_from_slice(CLOSING_TAG);
        // COMPAT(jabberd, 1.4): a wrong secret is answered by an error without a condition.
        let answers_handshake = self.state == State::AwaitingHandshake
            && error.condition == StreamCondition::UndefinedCondition;
        if self.state != State::Ready && (is_refusal(error.condition) || answers_handshake) {
            self.state = State::Closed;
            self.events.push_back(Event::Refused(error));
        } else {
            self.end(CloseReason::StreamError(error));
        }
    }

    /// Finds out whether a silent server lives.
    fn probe(&mut self, now: Instant) {
        let Some(to) = &self.config.ping else {
            self.out.push(b' ');
            self.deadline = now + self.config.idle;
            return;
        };
        self.probes += 1;
        Writer::new(&mut self.out)
            .start("iq")
            .attr("type", "get")
            .attr("from", &self.config.domain)
            .attr("to", to)
            .attr("id", &format!("{PROBE_ID}{}", self.probes))
            .empty("ping", ns::PING)
            .finish();
        self.is_probing = true;
        self.deadline = now + self.config.ping_timeout;
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
}

const PROBE_ID: &str = "sipjab-probe-";

fn is_own_pong(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Iq
        && matches!(stanza.type_attribute().as_deref(), Some("result" | "error"))
        && stanza.id().is_some_and(|id| id.starts_with(PROBE_ID))
}

/// XEP-0114 §3: the proof that we know the secret.
fn handshake(stream_id: &str, secret: &str) -> String {
    use std::fmt::Write;
    let mut sha1 = Sha1::new();
    sha1.update(stream_id.as_bytes());
    sha1.update(secret.as_bytes());
    sha1.finalize().iter().fold(String::with_capacity(40), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes everything");
        hex
    })
}

#[cfg(test)]
mod tests;
