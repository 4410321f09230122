//! What one route says of a request is there in those that follow: other ways, later tries, our own replies.

use crate::phone::{Dialog, Phone};
use crate::process::PATIENCE;
use crate::sip::{Message, Outgoing};
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};

/// The values of a header.
fn values(message: &Message, name: &str) -> Vec<String> {
    let lines = message.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    lines.flat_map(|(_, value)| value.split(',').map(|it| it.trim().to_owned())).collect()
}

#[test]
fn record_route_and_headers_of_replies_reach_later_ways_and_replies() {
    let (mut alice, mut bob, mut mail) = (Phone::bind(), Phone::bind(), Phone::bind());
    let script = format!(
        r#"
        fn request_route() {{
            add_rr_param(";first=1");
            append_to_reply("X-Request", "1");
            t_on_branch("RECORD");
            t_on_failure("NEXT");
            t_relay();
        }}
        fn branch_route_RECORD() {{
            add_rr_param(";of=branch");
            record_route();
            append_to_reply("X-Branch", "1");
        }}
        fn failure_route_NEXT() {{
            add_rr_param(";second=2");
            append_to_reply("X-Failure", "1");
            seturi("{}");
            t_set_fr(300, 300);
            t_relay();
        }}
        "#,
        mail.uri()
    );
    let sipjab = Sipjab::start(&Setup::script(&script));
    let dialog = Dialog::to(&bob.uri());
    alice.ask("INVITE", &dialog, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    let recorded = invite.header("Record-Route");
    assert!(recorded.contains(";first=1;of=branch") && !recorded.contains("second"), "{recorded}");
    bob.answer(&invite, 486, "");
    let recorded = mail.expect("INVITE").header("Record-Route").to_owned();
    assert!(recorded.contains(";first=1;second=2;of=branch"), "{recorded}");
    let busy = alice.expect("486 INVITE");
    assert_eq!(busy.header("X-Request"), "", "it is Bob's");
    alice.ack_rejection(&dialog, &busy, sipjab.udp);
    sipjab.terminate();
}

/// Those of every route stand in a reply of ours.
#[test]
fn a_failure_of_our_own_carries_the_headers_that_the_routes_have_added() {
    let mut alice = Phone::bind();
    let (bob, mail) = (Phone::bind(), Phone::bind());
    let script = format!(
        r#"
        fn request_route() {{
            append_to_reply("X-Request", "1");
            t_on_branch("WAY");
            t_on_failure("NEXT");
            t_set_fr(300, 300);
            t_relay();
            append_to_reply("X-Later", "1");
        }}
        fn branch_route_WAY() {{
            if ruri() != "{0}" {{ return; }}
            append_to_reply("X-Branch", "1");
            setflag(7);
            set_avp("way", "seen");
        }}
        fn failure_route_NEXT() {{
            if isflagset(7) && avp("way") == "seen" {{ append_to_reply("X-Flag", "1"); }}
            append_to_reply("X-Failure", "1");
            if ruri_user() == "end" {{ t_reply(480, "The End"); return; }}
            seturi("{1}");
            t_set_fr(300, 300);
            t_relay();
        }}
        "#,
        bob.uri(),
        mail.uri()
    );
    let sipjab = Sipjab::start(&Setup::script(&script));
    alice.ask("INVITE", &Dialog::to(&bob.uri()), "", sipjab.udp);
    let end = alice.expect("408 INVITE");
    for name in ["X-Request", "X-Branch", "X-Failure", "X-Later", "X-Flag"] {
        assert_eq!(values(&end, name), ["1"], "{name}");
    }
    alice.ask("INVITE", &Dialog::to(&mail.uri().replace("sip:b@", "sip:end@")), "", sipjab.udp);
    let end = alice.expect("480 INVITE");
    let found =
        ["X-Request", "X-Branch", "X-Failure", "X-Flag"].map(|name| values(&end, name).len());
    assert_eq!(found, [1, 0, 1, 0]);
    sipjab.terminate();
}

#[test]
fn a_failure_route_that_changes_nothing_tries_the_same_way_and_may_revert_the_uri() {
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let script = format!(
        r#"
        fn request_route() {{
            seturi("sip:desk@192.0.2.99");
            setdsturi("{0}");
            t_on_failure("AGAIN");
            t_relay();
        }}
        fn failure_route_AGAIN() {{ t_on_failure("BACK"); t_relay(); }}
        fn failure_route_BACK() {{ revert_uri(); t_relay(); }}
        "#,
        bob.uri()
    );
    let sipjab = Sipjab::start(&Setup::script(&script));
    let came = bob.uri().replace("sip:b@", "sip:came@");
    alice.ask("INVITE", &Dialog::to(&came), "", sipjab.udp);
    for uri in ["sip:desk@192.0.2.99", "sip:desk@192.0.2.99", &came] {
        let invite = bob.expect("INVITE");
        assert_eq!(invite.request_uri(), uri);
        bob.answer(&invite, 486, "");
        bob.expect("ACK");
    }
    alice.expect("486 INVITE");
    sipjab.terminate();
}

#[test]
fn each_way_of_a_fork_has_the_path_of_its_contact() {
    let script = r#"
        fn request_route() {
            if method() == "REGISTER" { save("location"); return; }
            if !lookup("location") { t_reply(404, "Not Found"); return; }
            t_relay();
        }
    "#;
    let sipjab = Sipjab::start(&Setup::script(script));
    let mut edges = [Agent::bind(), Agent::bind()];
    let mut paths = Vec::new();
    for (number, edge) in edges.iter_mut().enumerate() {
        let path = format!("<sip:edge{number}@{};lr>", edge.local);
        let headers = format!(
            "Supported: path\r\nPath: {path}, <sip:core{number}.example;lr>\r\nContact: <sip:me@192.0.2.{number}>\r\n"
        );
        let register = Outgoing::register("sip:bob@sip.example", 1, &headers);
        assert_eq!(edge.ask(&register, sipjab.udp).status(), 200);
        paths.push([path, format!("<sip:core{number}.example;lr>")]);
    }
    let (alice, dialog) = (Phone::bind(), Dialog::to("sip:bob@sip.example"));
    alice.ask("INVITE", &dialog, "Route: <sip:chosen.example;lr>\r\n", sipjab.udp);
    for (number, edge) in edges.iter_mut().enumerate() {
        let invite = edge.serve(486, "Busy Here", PATIENCE).expect("an INVITE");
        assert_eq!(invite.request_uri(), format!("sip:me@192.0.2.{number}"));
        assert_eq!(values(&invite, "Route")[..2], paths[number]);
    }
    sipjab.terminate();
}

/// Two addresses, of which only the first takes connections.
fn two_sockets(script: &str) -> Sipjab {
    let listen = vec!["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "udp:127.0.0.2:0"];
    Sipjab::start(&Setup { listen, ..Setup::script(script) })
}

#[test]
fn a_request_leaves_from_the_listener_that_the_script_names() {
    let script = r#"
        fn request_route() {
            record_route();
            if ruri_user() == "b" { force_send_socket("udp:127.0.0.2"); }
            t_on_branch("WAY");
            t_relay();
        }
        fn branch_route_WAY() { if ruri_user() == "way" { force_send_socket("127.0.0.2"); } }
    "#;
    let sipjab = two_sockets(script);
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let (usual, chosen) = (sipjab.listener("udp:127.0.0.1"), sipjab.listener("udp:127.0.0.2"));
    for (user, socket) in [("b", chosen), ("way", chosen), ("usual", usual)] {
        let dialog = Dialog::to(&bob.uri().replace("sip:b@", &format!("sip:{user}@")));
        alice.ask("INVITE", &dialog, "", sipjab.udp);
        let invite = bob.expect("INVITE");
        assert!(invite.header("Via").starts_with(&format!("SIP/2.0/UDP {socket};")), "{user}");
        let records = values(&invite, "Record-Route");
        assert!(records[0].starts_with(&format!("<sip:{socket};")), "{records:?}");
        let is_double = records.get(1).is_some_and(|it| it.starts_with(&format!("<sip:{usual};")));
        assert_eq!(is_double, socket != usual, "{records:?}");
        bob.answer(&invite, 180, "");
        alice.expect("180 INVITE");
        alice.ask("CANCEL", &dialog, "", sipjab.udp);
        let cancel = bob.expect("CANCEL");
        assert!(cancel.header("Via").starts_with(&format!("SIP/2.0/UDP {socket};")), "{user}");
        bob.answer(&cancel, 200, "");
        bob.answer(&invite, 487, "");
        alice.expect("487 INVITE");
    }
    sipjab.terminate();
}

#[test]
fn a_listener_that_is_not_ours_or_cannot_reach_the_next_hop_is_named() {
    let script = r#"
        fn request_route() {
            let socket = if ruri_user() == "foreign" { "udp:127.0.0.3:5060" } else { "udp:127.0.0.2" };
            force_send_socket(socket);
            t_relay();
        }
    "#;
    let sipjab = two_sockets(script);
    let (mut alice, bob) = (Phone::bind(), Agent::bind());
    alice.ask("MESSAGE", &Dialog::to("sip:foreign@sip.example"), "", sipjab.udp);
    alice.expect("500 MESSAGE");
    sipjab.process.wait_for("`udp:127.0.0.3:5060` is no listener of ours");
    let over_tcp = Dialog::to(&format!("sip:bob@{};transport=tcp", bob.local));
    alice.ask("MESSAGE", &over_tcp, "", sipjab.udp);
    alice.expect("503 MESSAGE");
    sipjab.process.wait_for("no TCP listener at 127.0.0.2");
    sipjab.terminate();
}

/// RFC 3261 §18.1.1 wants TCP for it, which the listener does not offer.
#[test]
fn a_long_request_stays_with_the_listener_that_the_script_names() {
    let script = r#"fn request_route() { force_send_socket("udp:127.0.0.2"); t_relay(); }"#;
    let sipjab = two_sockets(script);
    let (mut alice, mut bob) = (Agent::bind(), Agent::bind());
    let to = format!("sip:bob@{}", bob.local);
    let message = Outgoing::new("sip:alice@sip.example", &to, &"long ".repeat(400));
    alice.send_udp(&message.to_bytes("UDP", alice.local), sipjab.udp);
    let arrived = bob.serve(200, "OK", PATIENCE).expect("the MESSAGE");
    let chosen = sipjab.listener("udp:127.0.0.2");
    assert!(arrived.header("Via").starts_with(&format!("SIP/2.0/UDP {chosen};")));
    assert_eq!(alice.final_response(&message.branch, PATIENCE).unwrap().status(), 200);
    sipjab.terminate();
}
