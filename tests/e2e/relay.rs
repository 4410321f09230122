//! Between two phones: registered, found and relayed to.

use std::thread;
use std::time::Duration;

use crate::process::PATIENCE;
use crate::sip::{Message, Outgoing};
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};

const ALICE: &str = "sip:alice@sip.example";
const BOB: &str = "sip:bob@sip.example";

const ROUTE: &str = r#"
fn request_route() {
    if !process_maxfwd(10) { sl_send_reply(483, "Too Many Hops"); return; }
    if method() == "REGISTER" { save("location"); return; }
    if !lookup("location") { t_reply(404, "Not Found"); return; }
    t_relay();
}
"#;

/// Registers `agent` for `user`, until the reply has come.
fn register(agent: &mut Agent, user: &str, sipjab: &Sipjab) -> Message {
    let local = agent.local;
    let branch = format!("z9hG4bKreg{}", local.port());
    let request = format!(
        "REGISTER sip:sip.example SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch={branch};rport\r\n\
         Max-Forwards: 70\r\nFrom: <{user}>;tag=1\r\nTo: <{user}>\r\nCall-ID: reg{}\r\n\
         CSeq: 1 REGISTER\r\nContact: <sip:me@{local}>\r\nContent-Length: 0\r\n\r\n",
        local.port()
    );
    agent.send_udp(request.as_bytes(), sipjab.udp);
    agent.final_response(&branch, PATIENCE).expect("a REGISTER is answered")
}

#[test]
fn a_message_reaches_the_registered_phone_and_its_reply_returns() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let (mut alice, mut bob) = (Agent::bind(), Agent::bind());
    let registered = register(&mut bob, BOB, &sipjab);
    assert_eq!(registered.status(), 200);
    assert!(registered.header("Contact").starts_with(&format!("<sip:me@{}>", bob.local)));
    let (answer, arrived) = thread::scope(|scope| {
        let served = scope.spawn(|| bob.serve(202, "Later", PATIENCE).expect("the MESSAGE"));
        let answer = alice.ask(&Outgoing::new(ALICE, BOB, "hello bob"), sipjab.udp);
        (answer, served.join().unwrap())
    });
    assert_eq!((answer.status(), answer.reason()), (202, "Later"));
    assert_eq!(arrived.text(), "hello bob");
    assert_eq!(arrived.request_uri(), format!("sip:me@{}", bob.local));
    assert_eq!(arrived.header("Max-Forwards"), "69");
    sipjab.terminate();
}

#[test]
fn a_message_to_nobody_is_not_found() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let mut alice = Agent::bind();
    let answer = alice.ask(&Outgoing::new(ALICE, BOB, "hello?"), sipjab.udp);
    assert_eq!(answer.status(), 404);
    sipjab.terminate();
}

#[test]
fn retransmissions_reach_the_phone_once_and_get_the_same_reply() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let (mut alice, mut bob) = (Agent::bind(), Agent::bind());
    register(&mut bob, BOB, &sipjab);
    let message = Outgoing::new(ALICE, BOB, "once");
    let bytes = message.to_bytes("UDP", alice.local);
    for _ in 0..3 {
        alice.send_udp(&bytes, sipjab.udp);
    }
    let arrived = bob.serve(200, "OK", PATIENCE).expect("the MESSAGE");
    let surplus = bob.serve(200, "OK", Duration::from_millis(200));
    assert!(surplus.is_none(), "arrived twice");
    let first = alice.final_response(&message.branch, PATIENCE).expect("a reply");
    alice.send_udp(&bytes, sipjab.udp);
    let again = alice.final_response(&message.branch, PATIENCE).expect("the reply again");
    assert_eq!(first.header("To"), again.header("To"));
    assert_eq!(arrived.text(), "once");
    sipjab.terminate();
}

#[test]
fn neither_texts_nor_users_are_logged() {
    let sipjab = Sipjab::start(&Setup::script(
        r#"fn request_route() { info("$rm from $si"); setdsturi("tel:+1"); t_relay(); }"#,
    ));
    let mut alice = Agent::bind();
    let message = Outgoing::new("sip:montague@sip.example", "sip:capulet@sip.example", "balcony");
    assert!(alice.ask(&message, sipjab.udp).status() >= 400);
    alice.send_udp(b"MESSAGE sip:capulet@sip.example SIP/2.0\r\nbalcony\r\n\r\n", sipjab.udp);
    let logs = sipjab.terminate().join("\n");
    assert!(logs.contains("MESSAGE from 127.0.0.1"), "{logs}");
    for private in ["montague", "capulet", "balcony"] {
        assert!(!logs.contains(private), "{private} is in the log:\n{logs}");
    }
}
