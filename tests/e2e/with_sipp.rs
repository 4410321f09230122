//! SIPp plays its own scenario against the program.

use crate::process::PATIENCE;
use crate::sipjab::{Setup, Sipjab};
use crate::sipp;

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

/// So many calls go through with Record-Route; SIPp is content on both sides.
fn calls_go_through(transport: &str, calls: u32) {
    let (mut called, address) = sipp::answer("answer.xml", calls);
    let sipjab = Sipjab::start(&Setup::script(&format!(
        r#"
        fn request_route() {{
            if has_totag() {{
                if loose_route() {{ t_relay(); }} else if method() != "ACK" {{ sl_send_reply(404, "Not Here"); }}
                return;
            }}
            record_route();
            seturi("sip:service@{address}");
            t_relay();
        }}
        "#
    )));
    let to = if transport == "u1" { sipjab.udp } else { sipjab.tcp };
    sipp::play("call.xml", transport, calls, 100, to);
    let status = called.exit(PATIENCE);
    assert!(status.success(), "the called side ended with {status}");
    sipjab.terminate();
}

#[test]
fn sipp_calls_sipp_over_udp() {
    calls_go_through("u1", 300);
}

#[test]
fn sipp_on_tcp_calls_sipp_on_udp() {
    calls_go_through("t1", 300);
}
