//! RFC 3261 §16 and §17 as only the running program shows them; `tests/conformance/rfc3261/README.md` is the table.

mod rfc5393;
mod s16_10;
mod s16_11;
mod s16_3;
mod s16_5;
mod s16_6;
mod s16_7;

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::process::PATIENCE;
use crate::sip::Message;
use crate::sip_agent::{Agent, Flow};
use crate::sipjab::{Setup, Sipjab};

/// How long nothing may come to somebody who is left alone.
const SILENCE: Duration = Duration::from_millis(300);

/// Sends each request where it wants to go.
const RELAY: &str = "fn request_route() { t_relay(); }";

/// The same without transactions.
const FORWARD: &str = "fn request_route() { forward(); }";

/// A user agent that is told each message once.
struct Phone {
    agent: Agent,
    heard: HashSet<String>,
}

impl Phone {
    fn new() -> Self {
        Self { agent: Agent::bind(), heard: HashSet::new() }
    }

    /// Where it is reached.
    fn uri(&self) -> String {
        format!("sip:{}", self.agent.local)
    }

    /// The next message but retransmissions and 100, which must begin with `start`.
    #[track_caller]
    fn hears(&mut self, start: &str) -> Arrived {
        let arrived = self.next(PATIENCE).unwrap_or_else(|| panic!("no {start} comes"));
        let found = &arrived.message.start;
        assert!(found.starts_with(start), "{start} should come, not {found}");
        arrived
    }

    fn next(&mut self, patience: Duration) -> Option<Arrived> {
        loop {
            let (message, flow) = self.agent.next(patience)?;
            let (cseq, to) = (message.header("CSeq"), message.header("To"));
            let key = [&message.start, message.branch(), cseq, to].join(" ");
            if message.status() != 100 && self.heard.insert(key) {
                return Some(Arrived { message, flow });
            }
        }
    }

    /// Nothing new comes.
    #[track_caller]
    fn is_left_alone(&mut self) {
        if let Some(arrived) = self.next(SILENCE) {
            panic!("{} comes", arrived.message.start);
        }
    }

    /// Answers a request, with a tag.
    fn answers(&self, request: &Arrived, status: u16) {
        self.replies(request, &request.message.response(status, "Said"));
    }

    /// Answers a request with these bytes.
    fn replies(&self, request: &Arrived, response: &[u8]) {
        match &request.flow {
            Flow::Udp(source) => self.agent.send_udp(response, *source),
            Flow::Tcp(stream) => {
                let mut stream = stream;
                stream.write_all(response).expect("the sender listens");
            }
        }
    }
}

/// A message with its way back.
struct Arrived {
    message: Message,
    flow: Flow,
}

impl Arrived {
    /// The values of a header, in their order; none of these tests has a comma inside one.
    fn values(&self, name: &str) -> Vec<String> {
        let lines = self.message.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        lines.flat_map(|(_, value)| value.split(',').map(|it| it.trim().to_owned())).collect()
    }

    /// The response to it as text, to be changed.
    fn response_text(&self, status: u16) -> String {
        String::from_utf8(self.message.response(status, "Said")).unwrap()
    }
}

/// The program between Alice, who asks, and Bob and Carol.
struct Scene {
    sipjab: Sipjab,
    alice: Phone,
    bob: Phone,
    carol: Phone,
}

impl Scene {
    fn new(script: &str) -> Self {
        Self::with(|_, _| Setup::script(script))
    }

    /// A script that knows where Bob and Carol are.
    fn with(setup: impl FnOnce(&Phone, &Phone) -> Setup) -> Self {
        let (bob, carol) = (Phone::new(), Phone::new());
        let sipjab = Sipjab::start(&setup(&bob, &carol));
        Self { sipjab, alice: Phone::new(), bob, carol }
    }

    /// A script that forks each request to the Request-URI and to Carol.
    fn forking() -> Self {
        Self::with(|_, carol| {
            let fork = format!("append_branch(\"{}\"); t_relay();", carol.uri());
            Setup::script(&format!("fn request_route() {{ {fork} }}"))
        })
    }

    /// Alice sends this over UDP.
    fn send(&self, text: &str) {
        self.alice.agent.send_udp(text.as_bytes(), self.sipjab.udp);
    }

    /// Alice sends a request over UDP to Bob; gives the text that she sent.
    fn send_to_bob(&self, method: &str, lines: &str) -> String {
        let text = self.request(method, &self.bob.uri(), lines);
        self.send(&text);
        text
    }

    /// A request of Alice's with these lines besides; no other has its identifiers.
    fn request(&self, method: &str, uri: &str, lines: &str) -> String {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let local = self.alice.agent.local;
        let hops = if lines.contains("Max-Forwards:") { "" } else { "Max-Forwards: 70\r\n" };
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bKa{number};rport\r\n{hops}{lines}\
             From: <sip:alice@a.example>;tag=a{number}\r\nTo: <sip:bob@b.example>\r\n\
             Call-ID: {number}@a.example\r\nCSeq: 7 {method}\r\n\
             Contact: <sip:alice@{local}>\r\nContent-Length: 0\r\n\r\n"
        )
    }
}

/// The CANCEL or ACK for a request, hop by hop.
fn follow_up(method: &str, request: &str) -> String {
    let was = request.split(' ').next().unwrap();
    let begin = format!("{method} {}", request.split_once(' ').unwrap().1);
    begin.replace(&format!("CSeq: 7 {was}"), &format!("CSeq: 7 {method}"))
}
