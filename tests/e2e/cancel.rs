//! Callers who give up, at every moment that they can.

use std::time::Duration;

use crate::phone::{Dialog, Phone};
use crate::process::PATIENCE;
use crate::sipjab::{Setup, Sipjab};

const MOMENT: Duration = Duration::from_millis(300);

fn relaying() -> Sipjab {
    Sipjab::start(&Setup::script(
        r#"fn request_route() { if is_method("CANCEL") { return; } t_relay(); }"#,
    ))
}

#[test]
fn a_call_that_rings_is_cancelled() {
    let sipjab = relaying();
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let dialog = Dialog::to(&bob.uri());
    alice.ask("INVITE", &dialog, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    bob.answer(&invite, 180, "");
    alice.expect("180 INVITE");
    alice.ask("CANCEL", &dialog, "", sipjab.udp);
    alice.expect("200 CANCEL");
    let cancel = bob.expect("CANCEL");
    assert_eq!(cancel.branch(), invite.branch());
    assert_eq!(cancel.header("CSeq"), "1 CANCEL");
    bob.answer(&cancel, 200, "");
    bob.answer(&invite, 487, "");
    let end = alice.expect("487 INVITE");
    alice.ack_rejection(&dialog, &end, sipjab.udp);
    bob.expect("ACK");
    alice.ask("CANCEL", &dialog, "", sipjab.udp);
    alice.expect("200 CANCEL");
    bob.never("CANCEL", MOMENT);
    sipjab.terminate();
}

#[test]
fn a_cancel_before_any_reply_waits_for_one() {
    let sipjab = relaying();
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let dialog = Dialog::to(&bob.uri());
    alice.ask("INVITE", &dialog, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    alice.ask("CANCEL", &dialog, "", sipjab.udp);
    alice.expect("200 CANCEL");
    bob.never("CANCEL", MOMENT);
    bob.answer(&invite, 180, "");
    let cancel = bob.expect("CANCEL");
    bob.answer(&cancel, 200, "");
    bob.answer(&invite, 487, "");
    alice.expect("487 INVITE");
    sipjab.terminate();
}

#[test]
fn a_cancel_that_crosses_the_answer_is_too_late() {
    let sipjab = relaying();
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let dialog = Dialog::to(&bob.uri());
    alice.ask("INVITE", &dialog, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    bob.answer(&invite, 180, "");
    alice.expect("180 INVITE");
    alice.ask("CANCEL", &dialog, "", sipjab.udp);
    bob.answer(&invite, 200, "");
    alice.expect("200 CANCEL");
    alice.expect("200 INVITE");
    alice.never("487 INVITE", MOMENT);
    let late = dialog.next();
    alice.ask("INVITE", &late, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    bob.answer(&invite, 200, "");
    alice.expect("200 INVITE");
    alice.ask("CANCEL", &late, "", sipjab.udp);
    alice.expect("200 CANCEL");
    sipjab.terminate();
}

#[test]
fn cancels_without_an_invite_are_answered_and_cost_nobody_else() {
    let sipjab = relaying();
    let (mut alice, mut bob, mut flood) = (Phone::bind(), Phone::bind(), Phone::bind());
    let ringing = Dialog::to(&bob.uri());
    alice.ask("INVITE", &ringing, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    for _ in 0..500 {
        flood.ask("CANCEL", &Dialog::to(&bob.uri()), "", sipjab.udp);
    }
    flood.expect("481 CANCEL");
    bob.answer(&invite, 200, "");
    alice.expect("200 INVITE");
    bob.never("CANCEL", MOMENT);
    sipjab.terminate();
}

#[test]
fn a_caller_who_gives_up_is_not_sent_to_the_next_phone() {
    let (mut alice, mut bob, mut mail) = (Phone::bind(), Phone::bind(), Phone::bind());
    let script = format!(
        r#"
        fn request_route() {{ t_on_failure("NEXT"); append_branch("{0}", 0.5); t_relay(); }}
        fn failure_route_NEXT() {{
            if t_is_canceled() {{ info("the caller has given up"); }}
            append_branch("{0}");
            t_relay();
        }}
        "#,
        mail.uri()
    );
    let sipjab = Sipjab::start(&Setup::script(&script));
    let dialog = Dialog::to(&bob.uri());
    alice.ask("INVITE", &dialog, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    bob.answer(&invite, 180, "");
    alice.expect("180 INVITE");
    alice.ask("CANCEL", &dialog, "", sipjab.udp);
    let cancel = bob.expect("CANCEL");
    bob.answer(&cancel, 200, "");
    bob.answer(&invite, 487, "");
    alice.expect("487 INVITE");
    mail.never("INVITE", MOMENT);
    assert!(sipjab.logs(0, "the caller has given up", PATIENCE).is_some());
    sipjab.terminate();
}

/// Its worker is found, whichever socket the system gives it to.
#[test]
fn a_cancel_that_comes_another_way_finds_its_invite() {
    let sipjab = relaying();
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let others: Vec<_> = (0..8).map(|_| Phone::bind()).collect();
    for other in others {
        let dialog = Dialog::to(&bob.uri());
        alice.ask("INVITE", &dialog, "", sipjab.udp);
        let invite = bob.expect("INVITE");
        bob.answer(&invite, 180, "");
        alice.expect("180 INVITE");
        other.send(&alice.bytes("CANCEL", &dialog, ""), sipjab.udp);
        let cancel = bob.expect("CANCEL");
        bob.answer(&cancel, 200, "");
        bob.answer(&invite, 487, "");
        let end = alice.expect("487 INVITE");
        let to = end.header("To").to_owned();
        other.send(&alice.bytes("ACK", &Dialog { to, ..dialog }, ""), sipjab.udp);
        bob.expect("ACK");
    }
    alice.forget();
    alice.never("487 INVITE", Duration::from_millis(700));
    let logs = sipjab.terminate().join("\n");
    assert!(!logs.contains("script failed"), "{logs}");
}
