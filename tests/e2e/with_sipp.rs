//! SIPp plays its own scenario against the program.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

use md5::{Digest, Md5};

use crate::process::{PATIENCE, Process};
use crate::sipjab::{Setup, Sipjab};
use crate::sipp;
use crate::subscriber::hex;

const STATEFUL: &str = r#"
fn request_route() {
    t_newtran();
    t_reply(200, "OK");
}
"#;

#[test]
fn sipp_sends_messages_over_udp() {
    let sipjab = Sipjab::start(&Setup::script(STATEFUL));
    sipp::play("message.xml", "u1", 2_000, 1_000, sipjab.udp);
    sipjab.terminate();
}

#[test]
fn sipp_sends_messages_over_tcp() {
    let sipjab = Sipjab::start(&Setup::script(STATEFUL));
    sipp::play("message.xml", "t1", 2_000, 1_000, sipjab.tcp);
    sipjab.terminate();
}

/// How many calls each play has, and how many begin in a second.
const CALLS: u32 = 100;
const RATE: u32 = 50;

/// The other side of the calls, while it plays.
struct Called(Process, SocketAddr);

impl Called {
    fn by(scenario: &str) -> Self {
        let (process, address) = sipp::answer(scenario, CALLS);
        Self(process, address)
    }

    fn uri(&self) -> String {
        format!("sip:service@{}", self.1)
    }

    /// All its calls have ended as its scenario wants it.
    fn ends_well(mut self) {
        let status = self.0.exit(PATIENCE);
        assert!(status.success(), "the called side ended with {status}");
    }
}

/// A proxy that stays in the way of its calls, and does `initial` with each INVITE that begins one.
fn proxy(initial: &str, routes: &str) -> Setup {
    Setup::script(&format!(
        r#"
        fn request_route() {{
            if has_totag() {{
                if loose_route() {{ t_relay(); }} else if method() != "ACK" {{ sl_send_reply(404, "Not Here"); }}
                return;
            }}
            record_route();
            {initial}
            t_relay();
        }}
        {routes}
        "#
    ))
    // Nothing is lost here, and a machine that is busy must not look as if it were.
    .t1("4s")
}

/// One SIPp calls another through the proxy; both are content.
fn calls_go_through(caller: &str, callee: &str, transport: &str) {
    let called = Called::by(callee);
    let sipjab = Sipjab::start(&proxy(&format!("seturi(\"{}\");", called.uri()), ""));
    let to = if transport == "u1" { sipjab.udp } else { sipjab.tcp };
    sipp::play(caller, transport, CALLS, RATE, to);
    called.ends_well();
    sipjab.terminate();
}

#[test]
fn sipp_registers_and_unregisters() {
    let sipjab = Sipjab::start(&Setup::script(r#"fn request_route() { save("location"); }"#));
    sipp::play("register.xml", "u1", CALLS, RATE, sipjab.udp);
    sipjab.terminate();
}

#[test]
fn sipp_calls_sipp_along_the_record_route() {
    calls_go_through("call.xml", "answer.xml", "u1");
}

#[test]
fn sipp_on_tcp_calls_sipp_on_udp() {
    calls_go_through("call.xml", "answer.xml", "t1");
}

#[test]
fn sipp_changes_a_call_and_the_called_side_ends_it() {
    calls_go_through("reinvite.xml", "reinvited.xml", "u1");
}

#[test]
fn sipp_refers_a_call_and_is_notified() {
    calls_go_through("refer.xml", "referred.xml", "u1");
}

#[test]
fn sipp_gives_up_while_it_rings() {
    calls_go_through("cancel.xml", "cancelled.xml", "u1");
}

#[test]
fn sipp_gives_up_too_late_and_ends_the_call() {
    calls_go_through("cancel_late.xml", "answer_late.xml", "u1");
}

#[test]
fn sipp_forks_to_one_who_answers_and_others_who_are_cancelled() {
    let (winner, slow, rings) =
        (Called::by("answer.xml"), Called::by("slow.xml"), Called::by("slow.xml"));
    let initial = format!(
        r#"seturi("{}"); append_branch("{}"); append_branch("{}");"#,
        slow.uri(),
        winner.uri(),
        rings.uri()
    );
    let sipjab = Sipjab::start(&proxy(&initial, ""));
    sipp::play("call.xml", "u1", CALLS, RATE, sipjab.udp);
    for side in [winner, slow, rings] {
        side.ends_well();
    }
    sipjab.terminate();
}

/// Calls go to `first`, and when that fails with `status`, or is silent for so many milliseconds, to a SIPp that answers.
fn fail_over(first: &str, status: u16, patience: u16) {
    let second = Called::by("answer.xml");
    let initial =
        format!(r#"seturi("{first}"); t_set_fr(30000, {patience}); t_on_failure("NEXT");"#);
    let next = format!(
        r#"fn failure_route_NEXT() {{
            if !t_check_status("{status}") {{ return; }}
            seturi("{}");
            t_set_fr(30000, 30000);
            t_relay();
        }}"#,
        second.uri()
    );
    let sipjab = Sipjab::start(&proxy(&initial, &next));
    sipp::play("call.xml", "u1", CALLS, RATE, sipjab.udp);
    second.ends_well();
    sipjab.terminate();
}

#[test]
fn sipp_fails_over_from_a_phone_that_says_nothing() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    fail_over(&format!("sip:service@{}", silent.local_addr().unwrap()), 408, 300);
}

#[test]
fn sipp_fails_over_from_a_server_that_is_unavailable() {
    let unavailable = Called::by("unavailable.xml");
    fail_over(&unavailable.uri(), 503, 30_000);
    unavailable.ends_well();
}

#[test]
fn sipp_calls_sipp_over_ipv6() {
    let (mut called, address) =
        sipp::answer_at(IpAddr::V6(Ipv6Addr::LOCALHOST), "answer.xml", CALLS);
    let mut setup = proxy(&format!("seturi(\"sip:service@{address}\");"), "");
    setup.listen = vec!["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "udp:[::1]:0"];
    let sipjab = Sipjab::start(&setup);
    sipp::play("call.xml", "u1", CALLS, RATE, sipjab.listener("udp:["));
    assert!(called.exit(PATIENCE).success());
    sipjab.terminate();
}

/// A proxy that calls nobody for a stranger, nor for a user under another's name.
fn proxy_for_users(called: &Called) -> Sipjab {
    let initial = format!(
        r#"
        if !proxy_authorize("sip.example", "subscriber") {{ proxy_challenge("sip.example", 0); return; }}
        if !check_from() {{ t_reply(403, "Not Your Name"); return; }}
        consume_credentials();
        seturi("{}");
        "#,
        called.uri()
    );
    let sipjab = Sipjab::start(&proxy(&initial, ""));
    // SIPp knows no other algorithm than MD5.
    let ha1 = hex(&Md5::digest("alice:sip.example:open sesame"));
    sipjab.sql(&format!(
        "INSERT INTO subscriber (username, domain, ha1) VALUES ('alice', 'sip.example', '{ha1}');"
    ));
    sipjab
}

const USER: [&str; 6] = ["-au", "alice", "-ap", "open sesame", "-auth_uri", "service@sip.example"];

#[test]
fn sipp_calls_with_a_digest() {
    let called = Called::by("answer.xml");
    let sipjab = proxy_for_users(&called);
    sipp::play_with("call_digest.xml", "u1", CALLS, RATE, sipjab.udp, &USER);
    called.ends_well();
    sipjab.terminate();
}

#[test]
fn sipp_calls_nobody_under_the_name_of_another() {
    let called = Called::by("answer.xml");
    let sipjab = proxy_for_users(&called);
    sipp::play_with("call_forged.xml", "u1", CALLS, RATE, sipjab.udp, &USER);
    sipp::play_with("call_digest.xml", "u1", CALLS, RATE, sipjab.udp, &USER);
    called.ends_well();
    sipjab.terminate();
}
