//! SIPp plays its own scenario against the program.

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
