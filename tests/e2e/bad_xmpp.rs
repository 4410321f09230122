//! XMPP servers that misbehave: SIP goes on being answered, memory stays small, and the program
//! connects again.

use std::fs;
use std::time::Duration;

use crate::fake_server::{FakeServer, Session};
use crate::process::PATIENCE;
use crate::sip::Outgoing;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};

/// Far above what the program needs, far below what a bomb would take.
const MEMORY_LIMIT_KB: u64 = 300_000;

/// The first connection is played by `misbehave`; each one after it is a good server's.
fn survives(misbehave: impl Fn(Session) + Send + Sync + 'static) {
    let server = FakeServer::start(move |number, mut session| {
        if number == 0 {
            return misbehave(session);
        }
        session.accept();
        session.stall();
    });
    let sipjab = Sipjab::start(&setup(&server));
    assert!(server.next_connection(PATIENCE), "no connection");
    let mut agent = Agent::bind();
    sip_is_served(&mut agent, &sipjab);
    assert!(server.next_connection(PATIENCE * 3), "no reconnection");
    sip_is_served(&mut agent, &sipjab);
    sipjab.process.wait_for("component ready");
    assert!(peak_memory_kb(&sipjab) < MEMORY_LIMIT_KB);
    sipjab.terminate();
}

/// As [`survives`], after a handshake that went well.
fn survives_after_handshake(misbehave: impl Fn(Session) + Send + Sync + 'static) {
    survives(move |mut session| {
        session.accept();
        misbehave(session);
    });
}

#[test]
fn a_wrong_secret_is_no_busy_loop() {
    let server = FakeServer::start(|_, mut session| {
        session.open_stream();
        session.read_until("</handshake>");
        session.send(
            b"<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
              </stream:error></stream:stream>",
        );
    });
    let sipjab = Sipjab::start(&setup(&server));
    assert!(server.next_connection(PATIENCE));
    let attempts = server.connections_within(Duration::from_secs(5));
    assert!(attempts < 10, "{attempts} attempts in 5 s");
    sip_is_served(&mut Agent::bind(), &sipjab);
    let log = sipjab.terminate().join("\n");
    assert!(!log.contains("component ready"), "{log}");
}

#[test]
fn a_server_that_closes_before_the_handshake() {
    survives(drop);
}

#[test]
fn a_server_that_closes_after_the_handshake() {
    survives_after_handshake(drop);
}

#[test]
fn a_server_that_says_nothing() {
    let server = FakeServer::start(|_, session| session.stall());
    let sipjab = Sipjab::start(&setup(&server));
    assert!(server.next_connection(PATIENCE));
    sip_is_served(&mut Agent::bind(), &sipjab);
    sipjab.terminate();
}

#[test]
fn a_server_that_speaks_http() {
    survives(|mut session| {
        session.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        session.stall();
    });
}

#[test]
fn a_stanza_of_100_mb() {
    survives_after_handshake(|mut session| {
        session.send(b"<message from='a@xmpp.example' to='b@sip.example'><body>");
        let megabyte = vec![b'a'; 1 << 20];
        for _ in 0..100 {
            if !session.send(&megabyte) {
                return;
            }
        }
        session.stall();
    });
}

#[test]
fn a_hundred_thousand_nested_elements() {
    survives_after_handshake(|mut session| {
        session.send("<message>".repeat(100_000).as_bytes());
        session.stall();
    });
}

#[test]
fn a_stanza_with_invalid_utf8() {
    survives_after_handshake(|mut session| {
        session.send(b"<message from='a@xmpp.example' to='b@sip.example'><body>\xff\xfe\xc0\xaf");
        session.send(b"</body></message>");
        session.stall();
    });
}

#[test]
fn a_document_type_declaration() {
    survives_after_handshake(|mut session| {
        session.send(b"<!DOCTYPE x [<!ENTITY a 'b'>]><message><body>&a;</body></message>");
        session.stall();
    });
}

#[test]
fn an_entity_bomb_before_the_stream() {
    survives(|mut session| {
        session.read_until("to=");
        let mut bomb = String::from("<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a0 'boom'>");
        for level in 1..30 {
            let (below, ten) = (level - 1, 10);
            let references = format!("&a{below};").repeat(ten);
            bomb += &format!("<!ENTITY a{level} '{references}'>");
        }
        session.send((bomb + "]><stream:stream>&a29;").as_bytes());
        session.stall();
    });
}

#[test]
fn an_undefined_entity_and_a_mismatched_tag() {
    survives_after_handshake(|mut session| {
        session.send(b"<message><body>&nbsp;</body></message>");
        session.stall();
    });
    survives_after_handshake(|mut session| {
        session.send(b"<message><body></message></body>");
        session.stall();
    });
}

fn setup(server: &FakeServer) -> Setup {
    let mut setup = Setup::gateway(server.port);
    setup.script = "fn request_route() { sl_send_reply(200, \"OK\"); }".into();
    setup
}

fn sip_is_served(agent: &mut Agent, sipjab: &Sipjab) {
    let message = Outgoing::new("sip:a@sip.example", "sip:b@sip.example", "hello");
    assert_eq!(agent.ask(&message, sipjab.udp).status(), 200);
}

/// The most memory that the program has ever held.
fn peak_memory_kb(sipjab: &Sipjab) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", sipjab.process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("Linux tells");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}
