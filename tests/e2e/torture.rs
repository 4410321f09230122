//! The messages of RFC 4475 through the running program: each is relayed, answered or dropped as the table says, and
//! the next request is served as if nothing had happened.

#[path = "../conformance/rfc4475/verdicts.rs"]
mod verdicts;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::process::PATIENCE;
use crate::sip::Outgoing;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use verdicts::{VERDICTS, Verdict};

/// How long nothing may come of a message that is dropped.
const SILENCE: Duration = Duration::from_millis(200);

/// The next hop, the program, and somebody honest beside the torturer.
struct Chamber {
    sipjab: Sipjab,
    next_hop: UdpSocket,
    honest: Agent,
    /// The branches of what has come to the next hop.
    seen: Vec<Vec<u8>>,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It came to the next hop, and its 404 came back.
    Relayed,
    Answered(u16),
    Nothing,
}

impl Chamber {
    fn new() -> Self {
        let next_hop = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = next_hop.local_addr().unwrap();
        let script = format!(
            "fn request_route() {{\n\
                 if ruri() == \"sip:ping@sip.example\" {{ sl_send_reply(200, \"OK\"); return; }}\n\
                 setdsturi(\"sip:{address};transport=udp\");\n\
                 t_relay();\n\
             }}"
        );
        let sipjab = Sipjab::start(&Setup::script(&script));
        Self { sipjab, next_hop, honest: Agent::bind(), seen: Vec::new() }
    }

    /// Sends a message from where its Via wants the answer, and waits for what becomes of it.
    fn torture(&mut self, wire: &[u8], expected: &Fate) -> Fate {
        let torturer = UdpSocket::bind((own_address(), port_in_via(wire))).unwrap();
        torturer.send_to(wire, self.sipjab.udp).unwrap();
        let copy = if *expected == Fate::Relayed { self.receive_copy() } else { None };
        let is_relayed = copy.is_some();
        if let Some((copy, proxy)) = copy {
            assert_is_copy(&copy, wire);
            self.next_hop.send_to(&refusal(&copy), proxy).unwrap();
        }
        let patience = if *expected == Fate::Nothing { SILENCE } else { PATIENCE };
        match (final_status(&torturer, patience), is_relayed) {
            (Some(404), true) => Fate::Relayed,
            (Some(status), _) => Fate::Answered(status),
            (None, _) => Fate::Nothing,
        }
    }

    /// The next request at the next hop that is no retransmission and no ACK.
    fn receive_copy(&mut self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = vec![0; 65_536];
        self.next_hop.set_read_timeout(Some(PATIENCE)).unwrap();
        loop {
            let (length, proxy) = self.next_hop.recv_from(&mut buffer).ok()?;
            let copy = buffer[..length].to_vec();
            if self.is_new(&copy) {
                return Some((copy, proxy));
            }
        }
    }

    fn is_new(&mut self, copy: &[u8]) -> bool {
        let branch = lines(copy).into_iter().find(|line| is_named(line, "via", "v")).unwrap();
        let is_new = !copy.starts_with(b"ACK ") && !self.seen.contains(&branch);
        self.seen.push(branch);
        is_new
    }

    /// Nothing waits at the next hop that was not expected there.
    fn nothing_else_came(&mut self) {
        let mut buffer = vec![0; 65_536];
        self.next_hop.set_nonblocking(true).unwrap();
        while let Ok((length, _)) = self.next_hop.recv_from(&mut buffer) {
            let copy = buffer[..length].to_vec();
            assert!(!self.is_new(&copy), "this came:\n{}", String::from_utf8_lossy(&copy));
        }
        self.next_hop.set_nonblocking(false).unwrap();
    }

    fn still_serves(&mut self, after: &str) {
        let ping = Outgoing::new("sip:a@sip.example", "sip:ping@sip.example", "ping");
        self.honest.send_udp(&ping.to_bytes("UDP", self.honest.local), self.sipjab.udp);
        let pong = self.honest.final_response(&ping.branch, PATIENCE);
        assert_eq!(pong.map(|pong| pong.status()), Some(200), "after {after}");
    }
}

/// An address of this machine that no other test has and no other message had.
fn own_address() -> Ipv4Addr {
    static LAST: AtomicU8 = AtomicU8::new(1);
    let [.., middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | middle & 0x3f, low, LAST.fetch_add(1, Ordering::Relaxed))
}

/// The port that a reply goes to, which is that of the topmost Via (RFC 3261 §18.2.2).
fn port_in_via(wire: &[u8]) -> u16 {
    let via = lines(wire).into_iter().find(|line| is_named(line, "via", "v")).unwrap_or_default();
    let via = String::from_utf8_lossy(&via).into_owned();
    let sent_by = via.split([',', ';']).next().unwrap_or_default();
    sent_by.rsplit(':').next().and_then(|port| port.trim().parse().ok()).unwrap_or(5060)
}

/// The final status that comes; provisional ones are not looked at.
fn final_status(socket: &UdpSocket, patience: Duration) -> Option<u16> {
    let mut buffer = vec![0; 65_536];
    socket.set_read_timeout(Some(patience)).unwrap();
    loop {
        let (length, _) = socket.recv_from(&mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let status = text.strip_prefix("SIP/2.0 ").expect("a response")[..3].parse().unwrap();
        if status >= 200 {
            return Some(status);
        }
    }
}

/// The lines up to the empty one, with their folds.
fn lines(wire: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut rest = wire;
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n").filter(|end| *end > 0) {
        let line = &rest[..end];
        rest = &rest[end + 2..];
        match (lines.last_mut(), line[0]) {
            (Some(last), b' ' | b'\t') => last.extend([b"\r\n", line].concat()),
            _ => lines.push(line.to_vec()),
        }
    }
    lines
}

fn is_named(line: &[u8], name: &str, compact: &str) -> bool {
    let end = line.iter().position(|byte| *byte == b':').unwrap_or(0);
    let found = String::from_utf8_lossy(&line[..end]).trim().to_ascii_lowercase();
    found == name || found == compact
}

/// What came to the next hop is the message itself, but for what a proxy writes.
fn assert_is_copy(copy: &[u8], wire: &[u8]) {
    let (was, is) = (lines(wire), lines(copy));
    let text = String::from_utf8_lossy(copy);
    assert_eq!(is[0], was[0], "another request line:\n{text}");
    let is_ours = |line: &&Vec<u8>| {
        let is = |name| is_named(line, name, name);
        is("max-forwards") || is("max-breadth") || is_named(line, "via", "v")
    };
    let others = |lines: &[Vec<u8>]| -> Vec<Vec<u8>> {
        lines[1..].iter().filter(|line| !is_ours(line)).cloned().collect()
    };
    assert_eq!(others(&is), others(&was), "other headers:\n{text}");
    let vias = |lines: &[Vec<u8>]| lines.iter().filter(|line| is_named(line, "via", "v")).count();
    assert_eq!(vias(&is), vias(&was) + 1, "one Via more:\n{text}");
    let hops = is.iter().filter(|line| is_named(line, "max-forwards", "max-forwards"));
    assert_eq!(hops.count(), 1, "one Max-Forwards:\n{text}");
    let body = |wire: &[u8]| {
        let start = wire.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        wire[start..].to_vec()
    };
    assert!(body(wire).starts_with(&body(copy)), "another body:\n{text}");
}

/// A 404 for what came to the next hop, with its headers as they are.
fn refusal(copy: &[u8]) -> Vec<u8> {
    let mut response = b"SIP/2.0 404 Not Found\r\n".to_vec();
    for line in lines(copy) {
        let names = [("via", "v"), ("from", "f"), ("to", "t"), ("call-id", "i"), ("cseq", "cseq")];
        if names.iter().any(|(name, compact)| is_named(&line, name, compact)) {
            response.extend([&line[..], b"\r\n"].concat());
        }
    }
    response.extend(b"Content-Length: 0\r\n\r\n");
    response
}

fn message(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/rfc4475");
    fs::read(folder.join(name).with_extension("dat")).unwrap()
}

/// Their topmost Via is malformed or missing.
const NO_WAY_BACK: [&str; 2] = ["badinv01", "test"];

/// These have the Via and the method of another one, whose retransmission they would be.
const TWINS: [&str; 3] = ["novelsc", "cparam02", "regescrt"];

/// What should become of a message at a proxy that relays whatever it can.
fn expected(name: &str, wire: &[u8], verdict: Verdict) -> Fate {
    match verdict {
        // Responses to nothing that we have sent.
        _ if wire.starts_with(b"SIP/2.0 ") => Fate::Nothing,
        // §3.3.11: a proxy says so.
        Verdict::Accepted if name == "zeromf" => Fate::Answered(483),
        // §3.3.5: a proxy does not know what Proxy-Require names.
        Verdict::Accepted if name == "bext01" => Fate::Answered(420),
        // A request without a Via that can be read has no way back, so that it is counted and dropped.
        Verdict::Refused(400) if NO_WAY_BACK.contains(&name) => Fate::Nothing,
        Verdict::Accepted => Fate::Relayed,
        Verdict::Refused(status) => Fate::Answered(status),
        Verdict::Dropped => Fate::Nothing,
    }
}

/// Plays the messages of the table that `is_wanted` picks, all of them to one program.
fn play(is_wanted: impl Fn(&str) -> bool) {
    let mut chamber = Chamber::new();
    let mut surprises = Vec::new();
    let wanted = VERDICTS.iter().filter(|(name, ..)| is_wanted(name));
    for (name, section, verdict) in wanted {
        let wire = message(name);
        let expected = expected(name, &wire, *verdict);
        let fate = chamber.torture(&wire, &expected);
        if fate != expected {
            surprises.push(format!("{name}, §{section}: {fate:?}, not {expected:?}"));
        }
        chamber.still_serves(name);
        chamber.nothing_else_came();
    }
    assert!(surprises.is_empty(), "\n{}", surprises.join("\n"));
    chamber.sipjab.terminate();
}

#[test]
fn each_torture_message_has_its_fate_and_the_next_request_is_served() {
    play(|name| !TWINS.contains(&name));
}

#[test]
fn torture_messages_with_a_branch_of_others_have_their_fate() {
    play(|name| TWINS.contains(&name));
}
