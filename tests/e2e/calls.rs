//! Calls through the proxy: from the INVITE to the BYE, and everything between.

use std::time::Duration;

use crate::phone::{Dialog, Phone};
use crate::sipjab::{Setup, Sipjab};

const ROUTE: &str = r#"
fn request_route() {
    if !process_maxfwd(10) { sl_send_reply(483, "Too Many Hops"); return; }
    if has_totag() {
        if loose_route() { t_relay(); return; }
        if is_method("ACK") { err("an ACK for nobody"); return; }
        sl_send_reply(404, "Not Here");
        return;
    }
    if is_method("CANCEL") { err("a CANCEL for nobody"); return; }
    if is_method("INVITE") { record_route(); }
    if ruri_user() == "refused" { sl_send_reply(403, "Forbidden"); return; }
    if ruri_user() == "busy" { t_reply(486, "Busy Here"); return; }
    if ruri_user() == "lost" { t_newtran(); return; }
    t_relay();
}
"#;

/// A call that bob has taken: both sides of the dialog.
fn call(alice: &mut Phone, bob: &mut Phone, sipjab: &Sipjab) -> (Dialog, Dialog) {
    let dialog = Dialog::to(&bob.uri());
    alice.ask("INVITE", &dialog, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    assert_eq!(invite.header("Max-Breadth"), "60");
    assert_eq!(invite.header("Max-Forwards"), "69");
    bob.answer(&invite, 180, "");
    alice.expect("180 INVITE");
    bob.answer(&invite, 200, "");
    let answer = alice.expect("200 INVITE");
    assert!(!answer.header("Via").contains(&sipjab.udp.to_string()), "our Via is gone");
    let dialog = dialog.after(&answer);
    alice.ask("ACK", &Dialog { cseq: 1, ..dialog.next() }, "", sipjab.udp);
    bob.expect("ACK");
    (dialog, Dialog::of_callee(&invite))
}

/// A request inside of the dialog, answered 200 by the other side.
fn inside(method: &str, dialog: &Dialog, here: &mut Phone, there: &mut Phone, sipjab: &Sipjab) {
    here.ask(method, dialog, "Refer-To: <sip:c@sip.example>\r\n", sipjab.udp);
    let request = there.expect(method);
    there.answer(&request, 200, "");
    here.expect(&format!("200 {method}"));
}

#[test]
fn a_call_goes_through_with_everything_inside_of_it() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let (at_alice, at_bob) = call(&mut alice, &mut bob, &sipjab);
    inside("INVITE", &at_bob, &mut bob, &mut alice, &sipjab);
    bob.ask(
        "ACK",
        &Dialog { branch: format!("{}a", at_bob.branch), ..at_bob.clone() },
        "",
        sipjab.udp,
    );
    alice.expect("ACK");
    inside("REFER", &at_alice, &mut alice, &mut bob, &sipjab);
    inside("BYE", &at_bob.next(), &mut bob, &mut alice, &sipjab);
    let (at_alice, _) = call(&mut alice, &mut bob, &sipjab);
    inside("BYE", &at_alice, &mut alice, &mut bob, &sipjab);
    let logs = sipjab.terminate().join("\n");
    assert!(!logs.contains("for nobody"), "{logs}");
}

#[test]
fn a_caller_who_waits_is_told_to_go_on_waiting() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let dialog = Dialog::to(&bob.uri());
    alice.ask("INVITE", &dialog, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    alice.expect("100 INVITE");
    alice.ask("INVITE", &dialog, "", sipjab.udp);
    alice.expect("100 INVITE");
    bob.answer(&invite, 486, "");
    let busy = alice.expect("486 INVITE");
    alice.ack_rejection(&dialog, &busy, sipjab.udp);
    let ack = bob.expect("ACK");
    assert_eq!(ack.branch(), invite.branch(), "the ACK is of our hop");
    alice.never("486 INVITE", Duration::from_millis(700));
    sipjab.terminate();
}

#[test]
fn every_2xx_reaches_the_caller_and_its_ack_the_callee() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let dialog = Dialog::to(&bob.uri());
    alice.ask("INVITE", &dialog, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    for _ in 0..3 {
        bob.answer(&invite, 200, "");
        let answer = alice.expect("200 INVITE");
        let ack = Dialog { cseq: 1, ..dialog.after(&answer) };
        alice.ask("ACK", &ack, "", sipjab.udp);
        bob.expect("ACK");
    }
    alice.ask("INVITE", &dialog, "", sipjab.udp);
    bob.never("INVITE", Duration::from_millis(200));
    sipjab.terminate();
}

#[test]
fn acks_of_rejections_never_reach_the_script() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let mut alice = Phone::bind();
    for (user, rejection) in
        [("refused", "403 INVITE"), ("busy", "486 INVITE"), ("lost", "500 INVITE")]
    {
        let dialog = Dialog::to(&format!("sip:{user}@sip.example"));
        alice.ask("INVITE", &dialog, "", sipjab.udp);
        let found = alice.expect(rejection);
        alice.ack_rejection(&dialog, &found, sipjab.udp);
    }
    alice.never("486 INVITE", Duration::from_millis(700));
    let logs = sipjab.terminate().join("\n");
    assert!(!logs.contains("for nobody"), "{logs}");
}

#[test]
fn stray_responses_are_counted_and_go_nowhere() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let (dialog, _) = call(&mut alice, &mut bob, &sipjab);
    let caller = alice.local;
    let response = |via: &str| {
        format!(
            "SIP/2.0 200 OK\r\nVia: {via}\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKx\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
            caller, dialog.from, dialog.to, dialog.call_id
        )
    };
    alice.forget();
    let ours = sipjab.udp;
    for via in [
        "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKsomebody".to_owned(),
        format!("SIP/2.0/UDP {ours};branch=z9hG4bK00000000000000000000{}", "0".repeat(16)),
    ] {
        bob.send(response(&via).as_bytes(), sipjab.udp);
    }
    alice.never("200 INVITE", Duration::from_millis(300));
    let logs = sipjab.terminate().join("\n");
    assert!(logs.contains("stray response"), "{logs}");
}

#[test]
fn a_request_goes_on_without_a_transaction_and_its_reply_returns() {
    let script = r#"fn request_route() { forward(); }"#;
    let sipjab = Sipjab::start(&Setup::script(script));
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let dialog = Dialog::to(&bob.uri());
    let mut branches = Vec::new();
    for _ in 0..2 {
        alice.ask("INVITE", &dialog, "", sipjab.udp);
        let invite = bob.expect("INVITE");
        branches.push(invite.branch().to_owned());
        bob.answer(&invite, 486, "");
        alice.expect("486 INVITE");
    }
    assert_eq!(branches[0], branches[1], "a retransmission keeps its branch");
    alice.ask("CANCEL", &dialog, "", sipjab.udp);
    assert_eq!(bob.expect("CANCEL").branch(), branches[0]);
    sipjab.terminate();
}

#[test]
fn a_spiral_is_no_loop_and_can_be_cancelled() {
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let script = format!(
        r#"
        fn request_route() {{
            if ruri_user() == "first" {{ setuser("second"); }} else {{ seturi("{0}"); }}
            append_branch("{0}", 0.1);
            t_relay();
        }}
        "#,
        bob.uri()
    );
    let sipjab = Sipjab::start(&Setup::script(&script));
    let dialog = Dialog::to(&format!("sip:first@{}", sipjab.udp));
    alice.ask("INVITE", &dialog, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    let vias = invite.headers.iter().filter(|(name, _)| name == "Via").count();
    assert_eq!(vias, 3, "it went through us twice");
    bob.answer(&invite, 180, "");
    alice.expect("180 INVITE");
    alice.ask("CANCEL", &dialog, "", sipjab.udp);
    let cancel = bob.expect("CANCEL");
    bob.answer(&cancel, 200, "");
    bob.answer(&invite, 487, "");
    alice.expect("487 INVITE");
    sipjab.terminate();
}

/// RFC 3261 §17.2.3: what an RFC 2543 element sends belongs together by other fields.
#[test]
fn a_caller_without_unique_branches_is_served() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    for number in 1..=2 {
        let dialog = Dialog { branch: "1".into(), cseq: number, ..Dialog::to(&bob.uri()) };
        alice.ask("INVITE", &dialog, "", sipjab.udp);
        let invite = bob.expect("INVITE");
        alice.ask("INVITE", &dialog, "", sipjab.udp);
        bob.answer(&invite, 180, "");
        alice.expect("180 INVITE");
        alice.ask("CANCEL", &dialog, "", sipjab.udp);
        alice.expect("200 CANCEL");
        let cancel = bob.expect("CANCEL");
        bob.answer(&cancel, 200, "");
        bob.answer(&invite, 487, "");
        let end = alice.expect("487 INVITE");
        alice.ack_rejection(&dialog, &end, sipjab.udp);
    }
    bob.never("INVITE", Duration::from_millis(200));
    let logs = sipjab.terminate().join("\n");
    assert!(!logs.contains("for nobody"), "{logs}");
}
