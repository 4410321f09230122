//! When a way fails, the script takes another.

use std::time::Duration;

use crate::name_server::{NameServer, loopback, srv};
use crate::phone::{Dialog, Phone};
use crate::sipjab::{Setup, Sipjab};

/// A proxy whose calls go on to `second` when the first way ends like `pattern`.
fn failing_over(second: &Phone, pattern: &str) -> Sipjab {
    ringing(600, second, pattern)
}

/// The same for phones that may ring for so many milliseconds.
fn ringing(milliseconds: u32, second: &Phone, pattern: &str) -> Sipjab {
    Sipjab::start(&Setup::script(&format!(
        r#"
        fn request_route() {{
            setflag(3);
            t_on_failure("NEXT");
            t_set_fr({milliseconds}, 300);
            t_relay();
        }}
        fn failure_route_NEXT() {{
            if t_is_canceled() {{ return; }}
            info("failed with replies: " + t_any_replied() + ", our own: " + t_local_replied("all"));
            if !isflagset(3) {{ err("the flag is lost"); }}
            if t_check_status("{pattern}") {{
                seturi("{}");
                t_on_failure("LAST");
                t_relay();
            }}
        }}
        fn failure_route_LAST() {{ t_reply(480, "Nobody At All"); }}
        "#,
        second.uri()
    )))
}

#[test]
fn a_silent_phone_gives_way_to_the_next() {
    let (mut alice, mut bob, mut mail) = (Phone::bind(), Phone::bind(), Phone::bind());
    let sipjab = failing_over(&mail, "408");
    alice.ask("INVITE", &Dialog::to(&bob.uri()), "", sipjab.udp);
    bob.expect("INVITE");
    let invite = mail.expect("INVITE");
    assert_eq!(invite.request_uri(), mail.uri());
    mail.answer(&invite, 200, "");
    alice.expect("200 INVITE");
    let logs = sipjab.terminate().join("\n");
    assert!(logs.contains("failed with replies: false, our own: true"), "{logs}");
    assert!(!logs.contains("the flag is lost"), "{logs}");
}

#[test]
fn a_phone_that_rings_for_too_long_is_cancelled_and_gives_way() {
    let (mut alice, mut bob, mut mail) = (Phone::bind(), Phone::bind(), Phone::bind());
    let sipjab = failing_over(&mail, "408");
    alice.ask("INVITE", &Dialog::to(&bob.uri()), "", sipjab.udp);
    let ringing = bob.expect("INVITE");
    bob.answer(&ringing, 180, "");
    alice.expect("180 INVITE");
    let cancel = bob.expect("CANCEL");
    bob.answer(&cancel, 200, "");
    bob.answer(&ringing, 487, "");
    let invite = mail.expect("INVITE");
    mail.answer(&invite, 200, "");
    alice.expect("200 INVITE");
    sipjab.terminate();
}

#[test]
fn a_server_that_is_overloaded_gives_way() {
    let (mut alice, mut bob, mut mail) = (Phone::bind(), Phone::bind(), Phone::bind());
    let sipjab = failing_over(&mail, "^503$");
    alice.ask("INVITE", &Dialog::to(&bob.uri()), "", sipjab.udp);
    let invite = bob.expect("INVITE");
    bob.answer(&invite, 503, "");
    let invite = mail.expect("INVITE");
    mail.answer(&invite, 486, "");
    let last = alice.expect("480 INVITE");
    assert_eq!(last.reason(), "Nobody At All");
    sipjab.terminate();
}

#[test]
fn a_failure_that_the_script_leaves_alone_goes_upstream() {
    let (mut alice, mut bob, mut mail) = (Phone::bind(), Phone::bind(), Phone::bind());
    let sipjab = failing_over(&mail, "408");
    for (status, upstream) in [(486, "486 INVITE"), (503, "500 INVITE")] {
        alice.ask("INVITE", &Dialog::to(&bob.uri()), "", sipjab.udp);
        let invite = bob.expect("INVITE");
        bob.answer(&invite, status, "");
        alice.expect(upstream);
    }
    mail.never("INVITE", Duration::from_millis(200));
    sipjab.terminate();
}

#[test]
fn a_message_that_nobody_takes_goes_to_the_next() {
    let (mut alice, mut bob, mut mail) = (Phone::bind(), Phone::bind(), Phone::bind());
    let sipjab = failing_over(&mail, "408|404");
    alice.ask("MESSAGE", &Dialog::to(&bob.uri()), "", sipjab.udp);
    bob.expect("MESSAGE");
    let message = mail.expect("MESSAGE");
    mail.answer(&message, 202, "");
    alice.expect("202 MESSAGE");
    sipjab.terminate();
}

#[test]
fn a_port_where_nobody_listens_on_tcp_gives_way() {
    let (mut alice, bob, mut mail) = (Phone::bind(), Phone::bind(), Phone::bind());
    let script = format!(
        r#"
        fn request_route() {{ t_on_failure("NEXT"); append_branch("{}", 0.5); t_relay(); }}
        fn failure_route_NEXT() {{ err("never"); }}
        "#,
        mail.uri()
    );
    let sipjab = Sipjab::start(&Setup::script(&script));
    let uri = format!("{};transport=tcp", bob.uri());
    alice.ask("INVITE", &Dialog::to(&uri), "", sipjab.udp);
    let invite = mail.expect("INVITE");
    mail.answer(&invite, 200, "");
    alice.expect("200 INVITE");
    sipjab.terminate();
}

#[test]
fn a_call_keeps_the_script_that_it_began_with() {
    let (alice, mut bob, mut mail) = (Phone::bind(), Phone::bind(), Phone::bind());
    // The machine may be slow to see the new script.
    let sipjab = ringing(60_000, &mail, "486");
    alice.ask("INVITE", &Dialog::to(&bob.uri()), "", sipjab.udp);
    let invite = bob.expect("INVITE");
    bob.answer(&invite, 180, "");
    sipjab.write_script("fn request_route() { sl_send_reply(404, \"New\"); }");
    sipjab.process.wait_for("script live");
    bob.answer(&invite, 486, "");
    mail.expect("INVITE");
    sipjab.terminate();
}

/// RFC 3263 §4.3.
#[test]
fn a_name_of_several_servers_leads_to_the_next_when_one_fails() {
    let (mut alice, mut first, mut second) = (Phone::bind(), Phone::bind(), Phone::bind());
    let names = NameServer::start(vec![
        ("_sip._udp.pool.example.", srv(1, first.local.port(), "a.pool.example.")),
        ("_sip._udp.pool.example.", srv(2, second.local.port(), "b.pool.example.")),
        ("a.pool.example.", loopback()),
        ("b.pool.example.", loopback()),
    ]);
    let mut setup = Setup::script("fn request_route() { t_set_fr(0, 300); t_relay(); }");
    setup.tables += &names.table();
    let sipjab = Sipjab::start(&setup);
    for (method, answer) in [("INVITE", "200 INVITE"), ("MESSAGE", "200 MESSAGE")] {
        alice.ask(method, &Dialog::to("sip:b@pool.example"), "", sipjab.udp);
        if method == "INVITE" {
            let overloaded = first.expect(method);
            first.answer(&overloaded, 503, "Retry-After: 60\r\n");
        }
        let request = second.expect(method);
        second.answer(&request, 200, "");
        alice.expect(answer);
    }
    first.never("MESSAGE", Duration::from_millis(200));
    sipjab.terminate();
}

#[test]
fn a_server_that_says_nothing_gives_way_to_the_next_of_its_name() {
    let (mut alice, mut first, mut second) = (Phone::bind(), Phone::bind(), Phone::bind());
    let names = NameServer::start(vec![
        ("_sip._udp.pool.example.", srv(1, first.local.port(), "a.pool.example.")),
        ("_sip._udp.pool.example.", srv(2, second.local.port(), "b.pool.example.")),
        ("a.pool.example.", loopback()),
        ("b.pool.example.", loopback()),
    ]);
    let mut setup = Setup::script("fn request_route() { t_set_fr(0, 300); t_relay(); }");
    setup.tables += &names.table();
    let sipjab = Sipjab::start(&setup);
    alice.ask("INVITE", &Dialog::to("sip:b@pool.example"), "", sipjab.udp);
    first.expect("INVITE");
    let invite = second.expect("INVITE");
    second.answer(&invite, 200, "");
    alice.expect("200 INVITE");
    sipjab.terminate();
}

#[test]
fn a_script_that_tries_for_ever_comes_to_an_end() {
    let script = r#"
        fn request_route() { t_on_failure("AGAIN"); t_relay(); }
        fn failure_route_AGAIN() { t_on_failure("AGAIN"); t_relay(); }
    "#;
    let sipjab = Sipjab::start(&Setup::script(script));
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    alice.ask("INVITE", &Dialog::to(&bob.uri()), "", sipjab.udp);
    for _ in 0..100 {
        let invite = bob.expect("INVITE");
        bob.answer(&invite, 486, "");
    }
    alice.expect("486 INVITE");
    sipjab.terminate();
}
