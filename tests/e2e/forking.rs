//! One request, several phones.

use std::time::Duration;

use crate::phone::{Dialog, Phone};
use crate::sipjab::{Setup, Sipjab};

const MOMENT: Duration = Duration::from_millis(300);

/// A proxy that sends each request to its Request-URI and to these, each with its q.
fn forking(others: &[(&Phone, &str)], arming: &str, routes: &str) -> Sipjab {
    let branches: String = others
        .iter()
        .map(|(phone, q)| format!("append_branch(\"{}\", {q});\n", phone.uri()))
        .collect();
    Sipjab::start(&Setup::script(&format!(
        "fn request_route() {{\n if has_totag() {{ t_relay(); return; }}\n{branches}{arming}\n t_relay();\n}}\n{routes}"
    )))
}

#[test]
fn the_first_to_answer_wins_and_the_others_are_cancelled() {
    let (mut alice, mut bob, mut desk, mut slow) =
        (Phone::bind(), Phone::bind(), Phone::bind(), Phone::bind());
    let sipjab = forking(&[(&desk, "1.0"), (&slow, "1.0")], "", "");
    let dialog = Dialog::to(&bob.uri());
    alice.ask("INVITE", &dialog, "", sipjab.udp);
    let (at_bob, at_desk, at_slow) =
        (bob.expect("INVITE"), desk.expect("INVITE"), slow.expect("INVITE"));
    assert_eq!(at_bob.header("Max-Breadth"), "20", "sixty for three");
    bob.answer(&at_bob, 180, "");
    desk.answer(&at_desk, 180, "");
    alice.expect("180 INVITE");
    desk.answer(&at_desk, 200, "");
    alice.expect("200 INVITE");
    let cancel = bob.expect("CANCEL");
    assert_eq!(cancel.branch(), at_bob.branch());
    bob.answer(&cancel, 200, "");
    bob.answer(&at_bob, 487, "");
    bob.expect("ACK");
    slow.never("CANCEL", MOMENT);
    slow.answer(&at_slow, 100, "");
    let cancel = slow.expect("CANCEL");
    slow.answer(&cancel, 200, "");
    slow.answer(&at_slow, 487, "");
    slow.expect("ACK");
    alice.never("487 INVITE", MOMENT);
    sipjab.terminate();
}

#[test]
fn two_who_answer_at_once_both_reach_the_caller() {
    let (mut alice, mut bob, mut desk) = (Phone::bind(), Phone::bind(), Phone::bind());
    let sipjab = forking(&[(&desk, "1.0")], "", "");
    alice.ask("INVITE", &Dialog::to(&bob.uri()), "", sipjab.udp);
    let (at_bob, at_desk) = (bob.expect("INVITE"), desk.expect("INVITE"));
    bob.answer(&at_bob, 200, "");
    desk.answer(&at_desk, 200, "");
    alice.expect("200 INVITE");
    alice.expect("200 INVITE");
    sipjab.terminate();
}

#[test]
fn the_best_of_the_failures_goes_upstream_with_all_challenges() {
    let (mut alice, mut bob, mut desk, mut door) =
        (Phone::bind(), Phone::bind(), Phone::bind(), Phone::bind());
    let sipjab = forking(&[(&desk, "1.0"), (&door, "1.0")], "", "");
    alice.ask("INVITE", &Dialog::to(&bob.uri()), "", sipjab.udp);
    let (at_bob, at_desk, at_door) =
        (bob.expect("INVITE"), desk.expect("INVITE"), door.expect("INVITE"));
    bob.answer(&at_bob, 404, "");
    desk.answer(&at_desk, 401, "WWW-Authenticate: Digest realm=\"desk\"\r\n");
    alice.never("404 INVITE", MOMENT);
    door.answer(&at_door, 407, "Proxy-Authenticate: Digest realm=\"door\"\r\n");
    let best = alice.expect("401 INVITE");
    assert!(best.header("WWW-Authenticate").contains("desk"));
    assert!(best.header("Proxy-Authenticate").contains("door"));
    sipjab.terminate();
}

#[test]
fn a_6xx_ends_the_search() {
    let (mut alice, mut bob, mut desk, mut late) =
        (Phone::bind(), Phone::bind(), Phone::bind(), Phone::bind());
    let sipjab = forking(&[(&desk, "1.0"), (&late, "0.1")], "", "");
    alice.ask("INVITE", &Dialog::to(&bob.uri()), "", sipjab.udp);
    let (at_bob, at_desk) = (bob.expect("INVITE"), desk.expect("INVITE"));
    bob.answer(&at_bob, 180, "");
    alice.expect("180 INVITE");
    desk.answer(&at_desk, 603, "");
    let cancel = bob.expect("CANCEL");
    bob.answer(&cancel, 200, "");
    bob.answer(&at_bob, 487, "");
    alice.expect("603 INVITE");
    late.never("INVITE", MOMENT);
    sipjab.terminate();
}

#[test]
fn those_of_a_lower_q_come_when_the_others_have_failed() {
    let (mut alice, mut bob, mut desk, mut mail) =
        (Phone::bind(), Phone::bind(), Phone::bind(), Phone::bind());
    let sipjab = forking(&[(&mail, "0.1"), (&desk, "0.5")], "", "");
    alice.ask("INVITE", &Dialog::to(&bob.uri()), "", sipjab.udp);
    let invite = bob.expect("INVITE");
    desk.never("INVITE", MOMENT);
    bob.answer(&invite, 486, "");
    let invite = desk.expect("INVITE");
    desk.answer(&invite, 503, "");
    let invite = mail.expect("INVITE");
    mail.answer(&invite, 200, "");
    alice.expect("200 INVITE");
    alice.never("486 INVITE", MOMENT);
    sipjab.terminate();
}

#[test]
fn a_message_is_forked_and_answered_once() {
    let (mut alice, mut bob, mut desk) = (Phone::bind(), Phone::bind(), Phone::bind());
    let sipjab = forking(&[(&desk, "1.0")], "", "");
    alice.ask("MESSAGE", &Dialog::to(&bob.uri()), "", sipjab.udp);
    let (at_bob, at_desk) = (bob.expect("MESSAGE"), desk.expect("MESSAGE"));
    bob.answer(&at_bob, 404, "");
    alice.never("404 MESSAGE", MOMENT);
    desk.answer(&at_desk, 200, "");
    alice.expect("200 MESSAGE");
    sipjab.terminate();
}

#[test]
fn a_branch_route_changes_one_copy_and_leaves_out_another() {
    let (mut alice, mut bob, mut desk, mut door) =
        (Phone::bind(), Phone::bind(), Phone::bind(), Phone::bind());
    let routes = format!(
        r#"fn branch_route_WAY() {{
            if ruri() == "{}" {{ drop(); }}
            if ruri() == "{}" {{ append_hf("X-Way", avp("mark")); }}
        }}"#,
        door.uri(),
        desk.uri()
    );
    let arming = r#"t_on_branch("WAY"); set_avp("mark", "m1");"#;
    let sipjab = forking(&[(&desk, "1.0"), (&door, "1.0")], arming, &routes);
    alice.ask("INVITE", &Dialog::to(&bob.uri()), "", sipjab.udp);
    let (at_bob, at_desk) = (bob.expect("INVITE"), desk.expect("INVITE"));
    assert_eq!((at_bob.header("X-Way"), at_desk.header("X-Way")), ("", "m1"));
    door.never("INVITE", MOMENT);
    bob.answer(&at_bob, 486, "");
    desk.answer(&at_desk, 486, "");
    alice.expect("486 INVITE");
    sipjab.terminate();
}

#[test]
fn an_onreply_route_changes_replies_and_drops_provisional_ones() {
    let script = r#"
        fn request_route() { t_on_reply("R"); t_relay(); }
        fn onreply_route_R() {
            if status() == 183 { drop(); }
            append_hf("X-Seen", "" + status() + " " + reason());
        }
    "#;
    let sipjab = Sipjab::start(&Setup::script(script));
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    alice.ask("INVITE", &Dialog::to(&bob.uri()), "", sipjab.udp);
    let invite = bob.expect("INVITE");
    bob.answer(&invite, 183, "");
    bob.answer(&invite, 180, "");
    assert_eq!(alice.expect("180 INVITE").header("X-Seen"), "180 e2e");
    bob.answer(&invite, 200, "");
    assert_eq!(alice.expect("200 INVITE").header("X-Seen"), "200 e2e");
    alice.never("183 INVITE", MOMENT);
    sipjab.terminate();
}

#[test]
fn a_fork_that_comes_back_to_us_is_a_loop() {
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let script =
        format!("fn request_route() {{ append_branch(\"{}\", 0.5); t_relay(); }}", bob.uri());
    let sipjab = Sipjab::start(&Setup::script(&script));
    alice.ask("INVITE", &Dialog::to(&format!("sip:loop@{}", sipjab.udp)), "", sipjab.udp);
    let invite = bob.expect("INVITE");
    bob.answer(&invite, 200, "");
    alice.expect("200 INVITE");
    bob.never("INVITE", MOMENT);
    sipjab.terminate();
}

#[test]
fn a_request_without_breadth_is_not_forked() {
    let (mut alice, mut bob, desk) = (Phone::bind(), Phone::bind(), Phone::bind());
    let sipjab = forking(&[(&desk, "1.0")], "", "");
    alice.ask("INVITE", &Dialog::to(&bob.uri()), "Max-Breadth: 0\r\n", sipjab.udp);
    alice.expect("440 INVITE");
    alice.ask("INVITE", &Dialog::to(&bob.uri()), "Max-Breadth: 1\r\n", sipjab.udp);
    let invite = bob.expect("INVITE");
    assert_eq!(invite.header("Max-Breadth"), "1", "one after the other");
    sipjab.terminate();
}
