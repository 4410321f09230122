//! What stands in `examples/`, as it ships.

use std::time::{Duration, Instant};

use crate::phone::{Dialog, Phone, inside, take_call};
use crate::process::PATIENCE;
use crate::sip::Message;
use crate::sipjab::{Setup, Sipjab};

const MOMENT: Duration = Duration::from_millis(300);

fn start(example: &str) -> Sipjab {
    Sipjab::start(&shipped(example))
}

fn shipped(example: &str) -> Setup {
    Setup::shipped(&format!("examples/{example}/sipjab.toml"))
}

/// A telephone that has registered as `user`.
fn registered(phone: Phone, user: &str, sipjab: &Sipjab) -> Phone {
    let mut phone = phone;
    register(&mut phone, user, "", sipjab);
    phone
}

/// Registers once more; `more` are header lines.
fn register(phone: &mut Phone, user: &str, more: &str, sipjab: &Sipjab) -> Message {
    let address = format!("<sip:{user}@sip.example>");
    let dialog = Dialog::to("sip:sip.example");
    let from = format!("{address};tag=r");
    phone.ask("REGISTER", &Dialog { from, to: address, ..dialog }, more, sipjab.udp);
    phone.expect("200 REGISTER")
}

/// An INVITE for `uri`.
fn invite(caller: &Phone, uri: &str, sipjab: &Sipjab) -> Dialog {
    let dialog = Dialog::to(uri);
    caller.ask("INVITE", &dialog, "", sipjab.udp);
    dialog
}

/// Lets `phone` refuse the INVITE that it gets.
fn refuse(phone: &mut Phone, status: u16) {
    let invite = phone.expect("INVITE");
    phone.answer(&invite, status, "");
    phone.expect("ACK");
}

#[test]
fn hello_answers_everything() {
    let sipjab = start("hello");
    let mut alice = Phone::bind();
    for method in ["OPTIONS", "MESSAGE"] {
        alice.ask(method, &Dialog::to("sip:anybody@sip.example"), "", sipjab.udp);
        assert_eq!(alice.expect(&format!("200 {method}")).reason(), "Hello");
    }
    sipjab.terminate();
}

#[test]
fn redirect_tells_where_people_are_now() {
    let sipjab = start("redirect");
    let mut alice = Phone::bind();
    for (user, place) in
        [("alice", "<sip:alice@192.0.2.10>"), ("sales", "<sip:hotline@partner.example>")]
    {
        let dialog = invite(&alice, &format!("sip:{user}@sip.example"), &sipjab);
        let moved = alice.expect("302 INVITE");
        assert_eq!(moved.header("Contact"), place);
        alice.ack_rejection(&dialog, &moved, sipjab.udp);
    }
    invite(&alice, "sip:nobody@sip.example", &sipjab);
    alice.expect("404 INVITE");
    sipjab.terminate();
}

#[test]
fn registrar_finds_who_has_registered_also_after_a_restart() {
    let sipjab = start("registrar");
    let mut alice = registered(Phone::bind(), "alice", &sipjab);
    let mut bob = Phone::bind();
    let answer = register(&mut bob, "bob", "Expires: 7200\r\n", &sipjab);
    assert!(answer.header("Contact").contains("expires=600"), "{:?}", answer.headers);

    let sipjab = sipjab.restart();
    let dialog = invite(&alice, "sip:bob@sip.example", &sipjab);
    let (_, at_bob) = take_call(&mut alice, &mut bob, &dialog, sipjab.udp);
    inside("BYE", &at_bob, &mut bob, &mut alice, sipjab.udp);
    let dialog = invite(&bob, "sip:alice@sip.example", &sipjab);
    let (at_bob, _) = take_call(&mut bob, &mut alice, &dialog, sipjab.udp);
    inside("BYE", &at_bob, &mut bob, &mut alice, sipjab.udp);

    register(&mut bob, "bob", "Expires: 0\r\n", &sipjab);
    for (uri, answer) in [("sip:bob@sip.example", "404"), ("sip:bob@elsewhere.example", "403")] {
        invite(&alice, uri, &sipjab);
        alice.expect(&format!("{answer} INVITE"));
    }
    sipjab.terminate();
}

#[test]
fn forking_has_one_winner() {
    let sipjab = start("forking");
    let mut alice = Phone::bind();
    let mut desk = registered(Phone::bind(), "bob", &sipjab);
    let mut mobile = registered(Phone::bind(), "bob", &sipjab);
    let dialog = invite(&alice, "sip:bob@sip.example", &sipjab);
    let at_desk = desk.expect("INVITE");
    desk.answer(&at_desk, 180, "");
    alice.expect("180 INVITE");
    let (at_alice, _) = take_call(&mut alice, &mut mobile, &dialog, sipjab.udp);
    let cancel = desk.expect("CANCEL");
    desk.answer(&cancel, 200, "");
    desk.answer(&at_desk, 487, "");
    desk.expect("ACK");
    inside("BYE", &at_alice, &mut alice, &mut mobile, sipjab.udp);
    alice.never("487 INVITE", MOMENT);
    sipjab.terminate();
}

#[test]
fn forking_ends_at_the_reception() {
    let sipjab = start("forking");
    let mut alice = Phone::bind();
    let mut desk = registered(Phone::bind(), "bob", &sipjab);
    let mut mobile = registered(Phone::bind(), "bob", &sipjab);
    let mut reception = registered(Phone::bind(), "reception", &sipjab);
    let dialog = invite(&alice, "sip:bob@sip.example", &sipjab);
    refuse(&mut desk, 480);
    reception.never("INVITE", MOMENT);
    refuse(&mut mobile, 486);
    take_call(&mut alice, &mut reception, &dialog, sipjab.udp);
    sipjab.terminate();
}

#[test]
fn failover_goes_on_when_a_gateway_is_overloaded_or_silent() {
    let (mut first, mut second) = (Phone::bind(), Phone::bind());
    let setup = shipped("failover").at("127.0.0.1:5071", first.local);
    let sipjab = Sipjab::start(&setup.at("127.0.0.1:5072", second.local));
    let mut alice = Phone::bind();
    // A busy callee is no failure of the gateway; two gateways that fail are.
    let call = |alice: &Phone| invite(alice, "sip:12345@sip.example", &sipjab);
    call(&alice);
    refuse(&mut first, 486);
    alice.expect("486 INVITE");
    call(&alice);
    refuse(&mut first, 500);
    refuse(&mut second, 503);
    alice.expect("503 INVITE");
    for is_silent in [false, true] {
        call(&alice);
        match is_silent {
            false => refuse(&mut first, 503),
            true => drop(first.expect("INVITE")),
        }
        let invite = second.expect("INVITE");
        assert_eq!(invite.request_uri(), "sip:12345@sip.example");
        second.answer(&invite, 200, "");
        alice.expect("200 INVITE");
    }
    sipjab.terminate();
}

#[test]
fn dispatcher_takes_turns_and_leaves_out_who_is_dead() {
    let (mut first, mut second) = (Phone::bind(), Phone::bind());
    let setup = shipped("dispatcher").at("127.0.0.1:5071", first.local);
    let sipjab = Sipjab::start(&setup.at("127.0.0.1:5072", second.local));
    let mut alice = Phone::bind();
    let mut ask = |servers: [&mut Phone; 2]| is_first_asked(&mut alice, servers, &sipjab);
    let turns: Vec<_> = (0..6).map(|_| ask([&mut first, &mut second])).collect();
    assert_eq!(turns.iter().filter(|is_first| **is_first).count(), 3, "{turns:?}");

    // The second says nothing: one message waits for it, and none after that.
    while !ask([&mut first, &mut second]) {}
    assert!(ask([&mut first, &mut Phone::bind()]), "the first stands in");
    second.expect("MESSAGE");
    sipjab.process.wait_for("dispatcher: inactive");
    assert!((0..4).all(|_| ask([&mut first, &mut second])));

    // It lives when it has answered two of the questions.
    while sipjab.logs(0, "dispatcher: active", Duration::from_millis(10)).is_none() {
        let question = second.expect("OPTIONS");
        second.answer(&question, 200, "");
    }
    second.forget();
    assert!((0..2).any(|_| !ask([&mut first, &mut second])));
    sipjab.terminate();
}

/// Sends a MESSAGE, which one of two servers answers; tells whether the first has.
fn is_first_asked(alice: &mut Phone, [first, second]: [&mut Phone; 2], sipjab: &Sipjab) -> bool {
    alice.ask("MESSAGE", &Dialog::to("sip:service@sip.example"), "", sipjab.udp);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        for (server, is_first) in [(&mut *first, true), (&mut *second, false)] {
            if let Some(message) = server.find("MESSAGE", Duration::from_millis(20)) {
                server.answer(&message, 200, "");
                alice.expect("200 MESSAGE");
                return is_first;
            }
        }
    }
    panic!("no server got the MESSAGE");
}

#[test]
fn nat_reaches_a_phone_where_it_came_from() {
    let sipjab = start("nat");
    let mut alice = registered(Phone::bind(), "alice", &sipjab);
    let mut bob = registered(Phone::behind_nat("192.168.1.20:5060"), "bob", &sipjab);
    let alias = format!("sip:me@192.168.1.20:5060;alias=127.0.0.1~{}~1", bob.local.port());
    let dialog = invite(&alice, "sip:bob@sip.example", &sipjab);
    let (at_alice, at_bob) = take_call(&mut alice, &mut bob, &dialog, sipjab.udp);
    assert_eq!(at_alice.uri, alias);
    let answer = inside("INVITE", &at_alice, &mut alice, &mut bob, sipjab.udp);
    assert_eq!(answer.header("Contact"), format!("<{alias}>"), "also of a re-INVITE");
    inside("BYE", &at_bob, &mut bob, &mut alice, sipjab.udp);
    let dialog = invite(&bob, "sip:alice@sip.example", &sipjab);
    let (_, at_alice) = take_call(&mut bob, &mut alice, &dialog, sipjab.udp);
    assert_eq!(at_alice.uri, alias);
    inside("BYE", &at_alice, &mut alice, &mut bob, sipjab.udp);
    sipjab.terminate();
}
