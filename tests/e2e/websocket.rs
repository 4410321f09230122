//! SIP over WebSockets: a phone in a web page, and what else comes to the port.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use crate::certificates::Authority;
use crate::process::PATIENCE;
use crate::secure_agent::SecureAgent;
use crate::sip::Outgoing;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};

const ALICE: &str = "sip:alice@sip.example";
const BOB: &str = "sip:bob@sip.example";

/// The route of `examples/websocket`.
const PHONES: &str = include_str!("../../examples/websocket/route.rhai");

/// Lets `bob`, on UDP, write to the phone that registers as `alice`.
fn is_reached(sipjab: &Sipjab, mut alice: SecureAgent, transport: &str) {
    let contact = format!("sip:x@df7jal23ls0d.invalid;transport={}", transport.to_lowercase());
    assert_eq!(alice.register(ALICE, &contact).unwrap().status(), 200);
    let served = thread::scope(|scope| {
        let served = scope.spawn(|| alice.serve());
        let answer = Agent::bind().ask(&Outgoing::new(BOB, ALICE, "to the page"), sipjab.udp);
        assert_eq!(answer.status(), 200);
        served.join().unwrap()
    });
    assert_eq!((served.request_uri(), &*served.text()), (&*contact, "to the page"));
    let via = served.header("Via");
    assert!(via.starts_with(&format!("SIP/2.0/{transport} 127.0.0.1:")), "{via}");
}

#[test]
fn a_phone_in_a_page_registers_and_is_reached_through_its_connection() {
    let sipjab = Sipjab::start(&Setup::shipped("examples/websocket/sipjab.toml"));
    let alice = SecureAgent::ws(sipjab.listener("ws:"));
    is_reached(&sipjab, alice, "WS");
    sipjab.process.wait_for("a phone over ws");
    // The page is closed, and its connection with it.
    let answer = Agent::bind().ask(&Outgoing::new(BOB, ALICE, "still there?"), sipjab.udp);
    assert_eq!(answer.status(), 503);
    sipjab.terminate();
}

#[test]
fn the_same_goes_over_tls() {
    let authority = Authority::new("ours");
    let setup = Setup::script(PHONES)
        .file("sip.pem", &authority.sign("sip.example"))
        .listen(&["wss:127.0.0.1:0"], "[sip.tls]\ncertificate = \"sip.pem\"\n");
    let sipjab = Sipjab::start(&setup);
    let config = authority.client(None);
    let alice = SecureAgent::wss(sipjab.listener("wss:"), "sip.example", &config);
    is_reached(&sipjab, alice, "WSS");
    sipjab.terminate();
}

#[test]
fn what_is_no_websocket_for_sip_is_refused_and_costs_nobody_else() {
    let rules = "[sip.websocket]\norigins = [\"https://phone.example\"]\n";
    let sipjab = Sipjab::start(&Setup::script(PHONES).listen(&["ws:127.0.0.1:0"], rules));
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(sipjab.listener("ws:")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the connection is closed in order");
        answer.lines().next().unwrap_or_default().to_owned()
    };
    let mut alice = SecureAgent::ws(sipjab.listener("ws:"));
    assert_eq!(ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 426 Upgrade Required");
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let foreign =
        format!("{upgrade}Sec-WebSocket-Protocol: sip\r\nOrigin: https://evil.example\r\n\r\n");
    assert_eq!(ask(&foreign), "HTTP/1.1 403 Origin Not Allowed");
    assert_eq!(ask(&format!("{upgrade}\r\n")), "HTTP/1.1 400 Subprotocol sip Required");
    let endless = format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(20_000));
    assert_eq!(ask(&endless), "HTTP/1.1 431 Request Header Fields Too Large");
    assert_eq!(alice.register(ALICE, "sip:x@y.invalid;transport=ws").unwrap().status(), 200);
    sipjab.terminate();
}
