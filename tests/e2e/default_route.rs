//! `scripts/default.rhai` with its configuration, as both ship: who may do what, and who is reached where.

use std::time::Duration;

use crate::phone::{Dialog, Phone, inside, take_call};
use crate::sipjab::{Setup, Sipjab};
use crate::subscriber::Subscriber;

const MOMENT: Duration = Duration::from_millis(300);

fn setup() -> Setup {
    Setup::shipped("scripts/default.toml")
}

/// The program, and two of its users who have registered.
fn start() -> (Sipjab, Subscriber, Subscriber) {
    start_with(&setup(), Phone::bind())
}

/// The same with a telephone of bob's.
fn start_with(setup: &Setup, phone: Phone) -> (Sipjab, Subscriber, Subscriber) {
    let sipjab = Sipjab::start(setup);
    let mut alice = Subscriber::new("alice", &sipjab);
    let mut bob = Subscriber::with(phone, "bob", &sipjab);
    alice.register(&sipjab);
    bob.register(&sipjab);
    (sipjab, alice, bob)
}

/// What nobody of ours has sent.
fn of_stranger(uri: &str) -> Dialog {
    let dialog = Dialog::to(uri);
    Dialog { from: dialog.from.replace("a@sip.example", "eve@elsewhere.example"), ..dialog }
}

/// The status that a request is answered with, sent once.
fn status(phone: &mut Phone, method: &str, dialog: &Dialog, sipjab: &Sipjab) -> u16 {
    phone.ask(method, dialog, "", sipjab.udp);
    let answer = phone.final_answer(method);
    if method == "INVITE" {
        phone.ack_rejection(dialog, &answer, sipjab.udp);
    }
    answer.status()
}

/// Lets `caller` call `callee`, who takes it: both sides of the dialog.
fn call(caller: &mut Subscriber, callee: &mut Subscriber, sipjab: &Sipjab) -> (Dialog, Dialog) {
    let dialog = caller.say("INVITE", &caller.dialog(&callee.address()), sipjab);
    take_call(&mut caller.phone, &mut callee.phone, &dialog, sipjab.udp)
}

#[test]
fn two_phones_register_and_call_each_other() {
    let (sipjab, mut alice, mut bob) = start();
    let (_, at_bob) = call(&mut alice, &mut bob, &sipjab);
    inside("BYE", &at_bob, &mut bob.phone, &mut alice.phone, sipjab.udp);
    let (at_bob, _) = call(&mut bob, &mut alice, &sipjab);
    inside("BYE", &at_bob, &mut bob.phone, &mut alice.phone, sipjab.udp);
    let log = sipjab.terminate();
    assert_eq!((accounted(&log, "method=INVITE"), accounted(&log, "method=BYE")), (2, 2));
}

/// RFC 5627 §6: what follows in a dialog finds the phone by its GRUU, too.
#[test]
fn a_phone_is_known_by_its_gruu_within_a_dialog() {
    let (sipjab, mut alice, mut bob) = start();
    let registration = bob.registration();
    bob.phone.ask("REGISTER", &registration, "", sipjab.udp);
    let challenge = bob.phone.expect("401 REGISTER");
    let credentials = bob.credentials(&challenge, "REGISTER", &registration.uri);
    let more = format!("Supported: gruu\r\n{credentials}");
    let register = bob.phone.bytes("REGISTER", &registration.next(), &more);
    let contact = format!("<{}>", bob.phone.contact());
    let with_instance = format!("{contact};+sip.instance=\"<urn:uuid:1>\"");
    let register = String::from_utf8(register).unwrap().replace(&contact, &with_instance);
    bob.phone.send(register.as_bytes(), sipjab.udp);
    let answer = bob.phone.expect("200 REGISTER");
    for kind in ["pub-gruu", "temp-gruu"] {
        let gruu = answer.header("Contact").split(&format!("{kind}=\"")).nth(1);
        let uri = gruu.and_then(|rest| rest.split('"').next()).expect(kind).to_owned();
        let (at_alice, _) = call(&mut alice, &mut bob, &sipjab);
        let by_gruu = Dialog { uri, ..at_alice };
        inside("BYE", &by_gruu, &mut alice.phone, &mut bob.phone, sipjab.udp);
    }
    sipjab.terminate();
}

/// As after a restart: nobody knows that the dialog began here, so who goes on with it must prove who it is.
#[test]
fn a_dialog_that_is_not_known_goes_on_with_a_password() {
    let (sipjab, mut alice, mut bob) = start();
    let (mut at_alice, _) = call(&mut alice, &mut bob, &sipjab);
    for route in &mut at_alice.routes {
        let seal = route.split([';', '>']).find(|param| param.starts_with("seal=")).unwrap();
        *route = route.replace(&format!(";{seal}"), "");
    }
    alice.say("BYE", &at_alice, &sipjab);
    let bye = bob.phone.expect("BYE");
    bob.phone.answer(&bye, 200, "");
    alice.phone.expect("200 BYE");
    sipjab.terminate();
}

/// How many lines of the accounting have these words.
fn accounted(log: &[String], words: &str) -> usize {
    let is_it = |line: &&String| line.contains("::acc: ") && line.contains(words);
    log.iter().filter(is_it).count()
}

#[test]
fn messages_go_through_and_strangers_reach_our_users() {
    let (sipjab, mut alice, mut bob) = start();
    alice.say("MESSAGE", &alice.dialog(&bob.address()), &sipjab);
    let message = bob.phone.expect("MESSAGE");
    assert_eq!(message.header("Proxy-Authorization"), "", "credentials stay here");
    bob.phone.answer(&message, 202, "");
    alice.phone.expect("202 MESSAGE");
    let mut eve = Phone::bind();
    eve.ask("INVITE", &of_stranger(&bob.address()), "", sipjab.udp);
    let invite = bob.phone.expect("INVITE");
    bob.phone.answer(&invite, 200, "");
    eve.expect("200 INVITE");
    sipjab.terminate();
}

#[test]
fn who_says_to_be_one_of_us_must_prove_it() {
    let (sipjab, mut alice, mut bob) = start();
    let mut eve = Phone::bind();
    let forged = alice.dialog(&bob.address());
    for method in ["INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS"] {
        assert_eq!(status(&mut eve, method, &forged.next(), &sipjab), 407, "{method}");
    }
    let register = alice.registration();
    assert_eq!(status(&mut eve, "REGISTER", &register, &sipjab), 401);
    // Bob may be who he is, but not alice.
    let (_, refused) = bob.ask("MESSAGE", &forged.next(), "403 MESSAGE", &sipjab);
    assert_eq!(refused.reason(), "Use Your Own Name");
    let (_, refused) = bob.ask("REGISTER", &register.next(), "403 REGISTER", &sipjab);
    assert_eq!(refused.reason(), "Use Your Own Name");
    alice.phone.never("MESSAGE", MOMENT);
    sipjab.terminate();
}

#[test]
fn nothing_goes_from_outside_to_outside() {
    let (sipjab, mut alice, bob) = start();
    let (mut eve, mut elsewhere) = (Phone::bind(), Phone::bind());
    let foreign = of_stranger(&elsewhere.uri());
    let route = |it: String| vec![format!("<sip:{};lr>", sipjab.udp), it];
    let led = |dialog: &Dialog| Dialog {
        routes: route(format!("<{};lr>", elsewhere.uri())),
        ..dialog.next()
    };
    for method in ["INVITE", "MESSAGE", "OPTIONS", "REGISTER"] {
        assert_eq!(status(&mut eve, method, &foreign.next(), &sipjab), 403, "{method}");
        for preloaded in [led(&foreign), led(&of_stranger(&bob.address()))] {
            assert_eq!(status(&mut eve, method, &preloaded, &sipjab), 403, "{method}");
        }
    }
    let lost = Dialog { to: format!("{};tag=x", foreign.to), ..foreign.next() };
    assert_eq!(status(&mut eve, "BYE", &lost, &sipjab), 404);
    assert_eq!(status(&mut eve, "CANCEL", &foreign.next(), &sipjab), 481);
    let invented = Dialog { routes: vec![format!("<sip:{};lr>", sipjab.udp)], ..lost.next() };
    for method in ["INVITE", "BYE", "MESSAGE"] {
        assert_eq!(status(&mut eve, method, &invented.next(), &sipjab), 403, "{method}");
        let forged = Dialog { from: alice.dialog("").from, ..invented.next() };
        assert_eq!(status(&mut eve, method, &forged, &sipjab), 407, "{method}");
    }
    for method in ["INVITE", "MESSAGE", "OPTIONS", "REGISTER", "BYE"] {
        assert!(elsewhere.find(method, Duration::ZERO).is_none(), "{method} was relayed");
    }
    // One of us may call the world.
    alice.say("INVITE", &alice.dialog(&elsewhere.uri()), &sipjab);
    let invite = elsewhere.expect("INVITE");
    elsewhere.answer(&invite, 486, "");
    alice.phone.expect("486 INVITE");
    sipjab.terminate();
}

#[test]
fn a_gateway_is_known_by_its_address_and_does_not_register() {
    let gateways = "[[modules.permissions.address]]\nip = \"127.0.0.1\"\n";
    let sipjab = Sipjab::start(&setup().with(gateways));
    let (mut gateway, mut elsewhere) = (Phone::bind(), Phone::bind());
    let alice = Subscriber::new("alice", &sipjab);
    for dialog in [of_stranger(&elsewhere.uri()), alice.dialog(&elsewhere.uri())] {
        gateway.ask("INVITE", &dialog, "", sipjab.udp);
        let invite = elsewhere.expect("INVITE");
        elsewhere.answer(&invite, 200, "");
        gateway.expect("200 INVITE");
    }
    let register = alice.registration();
    assert_eq!(status(&mut gateway, "REGISTER", &register, &sipjab), 401);
    sipjab.terminate();
}

#[test]
fn who_is_unknown_is_told_from_who_is_not_there() {
    let (sipjab, mut alice, mut bob) = start();
    let carol = Subscriber::new("carol", &sipjab);
    let mut eve = Phone::bind();
    assert_eq!(status(&mut eve, "INVITE", &of_stranger("sip:nobody@sip.example"), &sipjab), 404);
    assert_eq!(status(&mut eve, "INVITE", &of_stranger(&carol.address()), &sipjab), 480);
    assert_eq!(status(&mut eve, "MESSAGE", &of_stranger(&carol.address()), &sipjab), 480);
    assert_eq!(status(&mut eve, "INVITE", &of_stranger("sip:sip.example"), &sipjab), 484);
    assert_eq!(status(&mut eve, "PUBLISH", &of_stranger(&bob.address()), &sipjab), 501);
    sipjab.sql(
        "INSERT INTO dbaliases (alias_username, alias_domain, username, domain) \
         VALUES ('service', 'sip.example', 'bob', 'sip.example');",
    );
    alice.say("INVITE", &alice.dialog("sip:service@sip.example"), &sipjab);
    let invite = bob.phone.expect("INVITE");
    bob.phone.answer(&invite, 486, "");
    alice.phone.expect("486 INVITE");
    let log = sipjab.terminate();
    assert_eq!((accounted(&log, "code=480"), accounted(&log, "code=486")), (1, 1));
}

#[test]
fn a_phone_that_says_nothing_or_is_gone_does_not_answer() {
    let (sipjab, mut alice, bob) = start_with(&setup().t1("10ms"), Phone::bind());
    let (_, answer) = alice.ask("INVITE", &alice.dialog(&bob.address()), "480 INVITE", &sipjab);
    assert_eq!(answer.reason(), "Nobody Answers");
    let mut carol = Subscriber::new("carol", &sipjab);
    carol.register_and_leave(&sipjab);
    let (_, answer) = alice.ask("MESSAGE", &alice.dialog(&carol.address()), "480 MESSAGE", &sipjab);
    assert_eq!(answer.reason(), "Not Reachable");
    sipjab.terminate();
}

#[test]
fn a_caller_who_gives_up_stops_the_ringing() {
    let (sipjab, mut alice, mut bob) = start();
    let dialog = alice.say("INVITE", &alice.dialog(&bob.address()), &sipjab);
    let invite = bob.phone.expect("INVITE");
    bob.phone.answer(&invite, 180, "");
    alice.phone.expect("180 INVITE");
    alice.phone.ask("CANCEL", &dialog, "", sipjab.udp);
    alice.phone.expect("200 CANCEL");
    let cancel = bob.phone.expect("CANCEL");
    bob.phone.answer(&cancel, 200, "");
    bob.phone.answer(&invite, 487, "");
    let end = alice.phone.expect("487 INVITE");
    alice.phone.ack_rejection(&dialog, &end, sipjab.udp);
    let log = sipjab.terminate();
    assert_eq!(accounted(&log, "code=487"), 1);
}

#[test]
fn a_phone_behind_a_nat_is_reached_where_it_came_from() {
    let (sipjab, mut alice, mut bob) = start_with(&setup(), Phone::behind_nat("10.0.0.9:5060"));
    let alias = format!("{};alias=127.0.0.1~{}~1", bob.phone.contact(), bob.phone.local.port());
    // Bob is called, then calls: his Contact is in the answer, then in the request.
    let (at_alice, at_bob) = call(&mut alice, &mut bob, &sipjab);
    assert_eq!(at_alice.uri, alias);
    let answer = inside("INVITE", &at_alice, &mut alice.phone, &mut bob.phone, sipjab.udp);
    assert_eq!(answer.header("Contact"), format!("<{alias}>"), "also of a re-INVITE");
    inside("BYE", &at_bob.next(), &mut bob.phone, &mut alice.phone, sipjab.udp);
    let (_, at_alice) = call(&mut bob, &mut alice, &sipjab);
    assert_eq!(at_alice.uri, alias);
    inside("BYE", &at_alice, &mut alice.phone, &mut bob.phone, sipjab.udp);
    sipjab.terminate();
}

/// Behind another proxy it is reached through that proxy.
#[test]
fn only_a_phone_right_before_us_is_looked_at_for_a_nat() {
    let (sipjab, _, mut bob) = start();
    let eve = Phone::behind_nat("192.168.7.7:5060");
    let proxied = "Via: SIP/2.0/UDP 192.168.7.7;branch=z9hG4bKproxy\r\n";
    let alias = format!("<{};alias=127.0.0.1~{}~1>", eve.contact(), eve.local.port());
    for (more, contact) in [("", alias), (proxied, format!("<{}>", eve.contact()))] {
        eve.ask("INVITE", &of_stranger(&bob.address()), more, sipjab.udp);
        let invite = bob.phone.expect("INVITE");
        assert_eq!(invite.header("Contact"), contact);
        bob.phone.answer(&invite, 486, "");
        bob.phone.expect("ACK");
    }
    sipjab.terminate();
}

#[test]
fn the_guards_answer_before_anybody_is_asked_for_a_name() {
    let (sipjab, alice, bob) = start();
    let mut eve = Phone::bind();
    assert_eq!(status(&mut eve, "OPTIONS", &alice.dialog("sip:sip.example"), &sipjab), 200);
    let weary = eve.bytes("INVITE", &alice.dialog(&bob.address()), "");
    let weary = String::from_utf8(weary).unwrap().replace("Max-Forwards: 70", "Max-Forwards: 0");
    eve.send(weary.as_bytes(), sipjab.udp);
    eve.expect("483 INVITE");
    let more = "Proxy-Require: magic\r\n";
    eve.ask("INVITE", &alice.dialog(&bob.address()), more, sipjab.udp);
    eve.expect("420 INVITE");
    for _ in 0..120 {
        eve.ask("OPTIONS", &alice.dialog("sip:sip.example"), "", sipjab.udp);
    }
    sipjab.process.wait_for("flood");
    sipjab.terminate();
}
