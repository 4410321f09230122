//! Bad input on the SIP side: whatever comes, the next message is served as if nothing had happened.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sip::{Message, Outgoing};
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};

const SCRIPT: &str = "fn request_route() { sl_send_reply(200, \"OK\"); }";

/// The program under bad input, and an honest agent beside it.
struct Scene {
    sipjab: Sipjab,
    agent: Agent,
}

impl Scene {
    fn set() -> Self {
        Self { sipjab: Sipjab::start(&Setup::script(SCRIPT)), agent: Agent::bind() }
    }

    /// A normal MESSAGE over each transport is answered by the script.
    fn still_serves(&mut self, after: &str) {
        let message = || Outgoing::new("sip:a@sip.example", "sip:b@sip.example", "hello");
        let answer = self.agent.ask(&message(), self.sipjab.udp);
        assert_eq!(answer.status(), 200, "over UDP after {after}");
        let stream = self.agent.connect(self.sipjab.tcp);
        let answer = self.agent.ask_over(&message(), &stream);
        assert_eq!(answer.status(), 200, "over TCP after {after}");
    }

    fn datagram(&mut self, bytes: &[u8], name: &str) {
        self.agent.send_udp(bytes, self.sipjab.udp);
        self.still_serves(name);
    }

    /// Writes all of it to a connection of its own and leaves that open.
    fn stream(&mut self, bytes: &[u8], name: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.sipjab.tcp).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        let _refused_midway = stream.write_all(bytes);
        self.still_serves(name);
        stream
    }
}

#[test]
fn random_bytes_are_survived() {
    let mut scene = Scene::set();
    let mut noise = Noise(0x5EED);
    for round in 0..20 {
        for _ in 0..25 {
            let length = noise.next() as usize % 1_500;
            let bytes = noise.bytes(length);
            scene.agent.send_udp(&bytes, scene.sipjab.udp);
        }
        let bytes = noise.bytes(4_000);
        scene.stream(&bytes, &format!("random bytes, round {round}"));
    }
    scene.sipjab.terminate();
}

#[test]
fn truncated_messages_are_survived() {
    let mut scene = Scene::set();
    let whole = good_message("TCP", &scene);
    for length in (0..whole.len()).step_by(7) {
        scene.agent.send_udp(&whole[..length], scene.sipjab.udp);
    }
    scene.still_serves("truncated datagrams");
    for length in (0..whole.len()).step_by(37) {
        let mut stream = TcpStream::connect(scene.sipjab.tcp).unwrap();
        stream.write_all(&whole[..length]).unwrap();
    }
    scene.still_serves("connections closed within a message");
    scene.sipjab.terminate();
}

#[test]
fn oversized_datagrams_are_survived() {
    let mut scene = Scene::set();
    for length in [1_500, 9_000, 65_507] {
        scene.datagram(&vec![b'A'; length], "a datagram of one letter");
        let body = "x".repeat(length - 500);
        let message = Outgoing::new("sip:a@sip.example", "sip:b@sip.example", &body);
        let bytes = message.to_bytes("UDP", scene.agent.local);
        scene.datagram(&bytes, "a datagram with a large body");
    }
    scene.sipjab.terminate();
}

#[test]
fn headers_that_never_end_are_survived() {
    let mut scene = Scene::set();
    let open: Vec<_> = (0..100)
        .map(|_| scene.stream(b"MESSAGE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP", "half a header"))
        .collect();
    for mut stream in &open {
        let _closed_meanwhile = stream.write_all(b"x");
    }
    scene.still_serves("a hundred half headers");
    scene.sipjab.terminate();
}

#[test]
fn wrong_content_lengths_are_survived_or_refused() {
    let mut scene = Scene::set();
    let bytes = good_message("TCP", &scene);
    let good = String::from_utf8(bytes).unwrap();
    for length in ["-1", "abc", "99999999999999999999", "4294967296", "5, 6", "", "1e3", "0x10"] {
        let bad = good.replace("Content-Length: 5", &format!("Content-Length: {length}"));
        scene.stream(bad.as_bytes(), &format!("Content-Length {length:?} over TCP"));
        scene.datagram(bad.as_bytes(), &format!("Content-Length {length:?} over UDP"));
    }
    let missing = good.replace("Content-Length: 5\r\n", "");
    scene.stream(missing.as_bytes(), "no Content-Length over TCP");
    scene.sipjab.terminate();
}

/// RFC 3261 §18.3: a datagram that ends before its body does is answered with 400.
#[test]
fn a_datagram_shorter_than_its_content_length_is_answered_400() {
    let mut scene = Scene::set();
    let message = Outgoing::new("sip:a@sip.example", "sip:b@sip.example", "hello");
    let bytes = message.to_bytes("UDP", scene.agent.local);
    let text = String::from_utf8(bytes).unwrap();
    let long = text.replace("Content-Length: 5", "Content-Length: 500");
    scene.agent.send_udp(long.as_bytes(), scene.sipjab.udp);
    let answer = scene.agent.final_response(&message.branch, Duration::from_secs(5));
    assert_eq!(answer.as_ref().map(Message::status), Some(400));
    scene.still_serves("a datagram that promised more");
    scene.sipjab.terminate();
}

#[test]
fn a_thousand_headers_and_a_megabyte_of_one_are_survived() {
    let mut scene = Scene::set();
    let bytes = good_message("TCP", &scene);
    let good = String::from_utf8(bytes).unwrap();
    let with = |extra: &str| good.replacen("Max-Forwards", &format!("{extra}Max-Forwards"), 1);
    let thousand: String = (0..1_000).map(|index| format!("X-{index}: {index}\r\n")).collect();
    let thousand = with(&thousand);
    scene.datagram(thousand.as_bytes(), "1,000 headers over UDP");
    scene.stream(thousand.as_bytes(), "1,000 headers over TCP");
    let vias = with(&"Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKx\r\n".repeat(1_000));
    scene.stream(vias.as_bytes(), "1,000 Vias over TCP");
    let megabyte = with(&format!("X-Long: {}\r\n", "y".repeat(1 << 20)));
    scene.stream(megabyte.as_bytes(), "a header of 1 MB over TCP");
    let folded = with(&format!("X-Folded: a{}\r\n", "\r\n b".repeat(10_000)));
    scene.stream(folded.as_bytes(), "10,000 folds over TCP");
    scene.sipjab.terminate();
}

/// Not even the connection that sends a byte at a time is harmed, as long as it does send.
#[test]
fn a_message_byte_by_byte_is_served() {
    let scene = Scene::set();
    let mut stream = TcpStream::connect(scene.sipjab.tcp).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for byte in good_message("TCP", &scene) {
        stream.write_all(&[byte]).unwrap();
    }
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"SIP/2.0 200");
    scene.sipjab.terminate();
}

#[test]
fn rfc4475_and_rfc5118_messages_are_survived() {
    let mut scene = Scene::set();
    let files = torture_messages();
    assert!(files.len() >= 49, "RFC 4475 has 49 messages, found {}", files.len());
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let name = file.display().to_string();
        scene.datagram(&bytes, &name);
        scene.stream(&bytes, &name);
    }
    scene.sipjab.terminate();
}

/// The `*.dat` files below the folders that the conformance tests and grammars keep them in.
fn torture_messages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("tests"), root.join("grammar"), root.join("src/sip")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "dat") {
                found.push(path);
            }
        }
    }
    found
}

fn good_message(transport: &str, scene: &Scene) -> Vec<u8> {
    let message = Outgoing::new("sip:a@sip.example", "sip:b@sip.example", "hello");
    message.to_bytes(transport, scene.agent.local)
}

/// The same noise in every run (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}
