//! One transaction with a clock of its own: what it sent and told, and when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sipjab::sip::Message;
use sipjab::sip::transaction::{
    Client, ClientInput, Event, InviteClient, InviteClientInput, InviteServer, Output, Outputs,
    Refused, Server, ServerInput, Timer, Timings,
};

/// An INVITE as it leaves, with a Route of two and the Via of the hop before.
pub(super) const INVITE: &str = "INVITE sip:juliet@home.example SIP/2.0\r\n\
    Via: SIP/2.0/UDP us.example;branch=z9hG4bKours, SIP/2.0/TCP upstream.example\r\n\
    Via: SIP/2.0/UDP phone.example;branch=z9hG4bKphone\r\n\
    Max-Forwards: 12\r\n\
    Route: <sip:a.example;lr>, <sip:b.example;lr>\r\n\
    From: \"Romeo\" <sip:romeo@sip.example>;tag=r1\r\n\
    To: <sip:juliet@sip.example>\r\n\
    Call-ID: a84b4c\r\n\
    CSeq: 314 INVITE\r\n\
    Content-Length: 0\r\n\r\n";

const MESSAGE: &[u8] = b"MESSAGE";

/// A machine of RFC 3261 §17.
pub(super) trait Machine {
    /// Fires one of its timers.
    fn fire(&mut self, now: Instant, timer: Timer) -> Outputs;
}

impl Machine for InviteClient {
    fn fire(&mut self, now: Instant, timer: Timer) -> Outputs {
        self.handle(now, InviteClientInput::Timer(timer))
    }
}

impl Machine for Client {
    fn fire(&mut self, now: Instant, timer: Timer) -> Outputs {
        self.handle(now, ClientInput::Timer(timer))
    }
}

impl Machine for InviteServer {
    fn fire(&mut self, now: Instant, timer: Timer) -> Outputs {
        self.handle(now, ServerInput::Timer(timer))
    }
}

impl Machine for Server {
    fn fire(&mut self, _now: Instant, timer: Timer) -> Outputs {
        self.handle(ServerInput::Timer(timer))
    }
}

/// A transaction that plays; times are milliseconds since its beginning.
pub(super) struct Clockwork<M> {
    pub(super) machine: M,
    /// What went to the transport.
    pub(super) sent: Vec<(u64, Bytes)>,
    /// The CANCELs that went out in transactions of their own.
    pub(super) cancels: Vec<Bytes>,
    /// What the user was told.
    pub(super) told: Vec<Event>,
    /// It asked for its destruction.
    pub(super) is_over: bool,
    origin: Instant,
    now: Instant,
    timers: BTreeMap<Timer, Instant>,
}

impl<M: Machine> Clockwork<M> {
    fn start(start: impl FnOnce(Instant) -> (M, Outputs)) -> Self {
        let origin = origin();
        let (machine, outputs) = start(origin);
        let (sent, cancels, told) = (Vec::new(), Vec::new(), Vec::new());
        let timers = BTreeMap::new();
        let mut clockwork =
            Self { machine, sent, cancels, told, is_over: false, origin, now: origin, timers };
        clockwork.carry_out(outputs);
        clockwork
    }

    /// Lets the clock run to this millisecond; timers that are due until then fire in order.
    pub(super) fn at(&mut self, millis: u64) -> &mut Self {
        let until = self.origin + Duration::from_millis(millis);
        while let Some((timer, due)) = self.next_timer().filter(|(_, due)| *due <= until) {
            self.timers.remove(&timer);
            self.now = due;
            let outputs = self.machine.fire(due, timer);
            self.carry_out(outputs);
        }
        self.now = until;
        self
    }

    /// When this timer is due.
    pub(super) fn due(&self, timer: Timer) -> Option<u64> {
        self.timers.get(&timer).map(|due| (*due - self.origin).as_millis() as u64)
    }

    /// When something went to the transport.
    pub(super) fn sent_at(&self) -> Vec<u64> {
        self.sent.iter().map(|(at, _)| *at).collect()
    }

    /// What went to the transport, each by its first word.
    pub(super) fn sent_words(&self) -> Vec<&str> {
        let word = |bytes| std::str::from_utf8(bytes).unwrap().split(' ').next().unwrap();
        self.sent.iter().map(|(_, bytes)| word(&bytes[..])).collect()
    }

    fn step(&mut self, step: impl FnOnce(&mut M, Instant) -> Outputs) -> &mut Self {
        let outputs = step(&mut self.machine, self.now);
        self.carry_out(outputs);
        self
    }

    fn next_timer(&self) -> Option<(Timer, Instant)> {
        let timers = self.timers.iter().map(|(timer, due)| (*timer, *due));
        timers.min_by_key(|(_, due)| *due)
    }

    fn carry_out(&mut self, outputs: Outputs) {
        for output in outputs {
            match output {
                Output::Send(bytes) => {
                    self.sent.push(((self.now - self.origin).as_millis() as u64, bytes));
                }
                Output::Cancel(bytes) => self.cancels.push(bytes),
                Output::SetTimer(timer, due) => _ = self.timers.insert(timer, due),
                Output::CancelTimer(timer) => _ = self.timers.remove(&timer),
                Output::ToUser(event) => self.told.push(event),
                Output::Terminated => {
                    self.timers.clear();
                    self.is_over = true;
                }
            }
        }
    }
}

/// `[false, true]`: an unreliable transport and a reliable one.
pub(super) const BOTH: [bool; 2] = [false, true];

impl Clockwork<InviteClient> {
    pub(super) fn invite(is_reliable: bool) -> Self {
        Self::invite_by(is_reliable, Timings::RFC)
    }

    pub(super) fn invite_by(is_reliable: bool, timings: Timings) -> Self {
        let (request, patience) = (Bytes::from(INVITE), timings.invite_patience());
        Self::start(|now| InviteClient::new(now, request, is_reliable, timings, patience))
    }

    pub(super) fn hears(&mut self, code: u16) -> &mut Self {
        let response = response(code);
        self.step(|client, now| client.handle(now, InviteClientInput::Response(code, &response)))
    }

    pub(super) fn breaks(&mut self) -> &mut Self {
        self.step(|client, now| client.handle(now, InviteClientInput::TransportError))
    }
}

impl Clockwork<Client> {
    pub(super) fn request(is_reliable: bool) -> Self {
        let request = Bytes::from(MESSAGE);
        Self::start(|now| Client::new(now, request, is_reliable, Timings::RFC, None))
    }

    pub(super) fn hears(&mut self, code: u16) -> &mut Self {
        self.step(|client, now| client.handle(now, ClientInput::Response(code)))
    }

    pub(super) fn breaks(&mut self) -> &mut Self {
        self.step(|client, now| client.handle(now, ClientInput::TransportError))
    }
}

impl Clockwork<InviteServer> {
    pub(super) fn invited(is_reliable: bool) -> Self {
        Self::start(|now| InviteServer::new(now, is_reliable, Timings::RFC))
    }

    /// Hears the request again, its ACK, or that the transport is broken.
    pub(super) fn hears(&mut self, input: ServerInput) -> &mut Self {
        self.step(|server, now| server.handle(now, input))
    }

    pub(super) fn answers(&mut self, code: u16) -> &mut Self {
        let bytes = Bytes::from(code.to_string());
        self.step(|server, now| server.respond(now, code, bytes).expect("it takes an answer"))
    }

    pub(super) fn refuses(&mut self, code: u16) -> Refused {
        self.machine.respond(self.now, code, Bytes::new()).expect_err("it takes no answer")
    }
}

impl Clockwork<Server> {
    pub(super) fn requested(is_reliable: bool) -> Self {
        Self::start(|now| Server::new(now, is_reliable, Timings::RFC))
    }

    /// Hears the request again, or that the transport is broken.
    pub(super) fn hears(&mut self, input: ServerInput) -> &mut Self {
        self.step(|server, _| server.handle(input))
    }

    pub(super) fn answers(&mut self, code: u16) -> &mut Self {
        let bytes = Bytes::from(code.to_string());
        self.step(|server, now| server.respond(now, code, bytes).expect("it takes an answer"))
    }

    pub(super) fn refuses(&mut self, code: u16) -> Refused {
        self.machine.respond(self.now, code, Bytes::new()).expect_err("it takes no answer")
    }
}

/// A response to [`INVITE`] as it arrives.
pub(super) fn response(code: u16) -> Message {
    let text = format!(
        "SIP/2.0 {code} x\r\n\
         Via: SIP/2.0/UDP us.example;branch=z9hG4bKours;received=192.0.2.1\r\n\
         Via: SIP/2.0/TCP upstream.example, SIP/2.0/UDP phone.example;branch=z9hG4bKphone\r\n\
         From: \"Romeo\" <sip:romeo@sip.example>;tag=r1\r\n\
         To: <sip:juliet@sip.example>;tag=j9\r\n\
         Call-ID: a84b4c\r\nCSeq: 314 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    message(&text)
}

/// A message from its text.
pub(super) fn message(text: &str) -> Message {
    Message::parse(Bytes::from(text.to_owned())).unwrap()
}

/// An instant to count from.
#[expect(clippy::disallowed_methods, reason = "an instant can only be made from another one")]
pub(super) fn origin() -> Instant {
    Instant::now()
}
