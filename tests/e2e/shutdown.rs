//! SIGTERM lets what has begun come to its end.

use nix::sys::signal::Signal;
use std::time::Duration;

use crate::load::{Link, Pace, deliver};
use crate::peer::Peer;
use crate::process::PATIENCE;
use crate::sip::Outgoing;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::xmpp_client::Client;

const RATE: u32 = 1_000;

#[test]
fn sigterm_under_load_leaves_nothing_unanswered() {
    let server = Peer::Prosody.start();
    let setup = Setup::gateway(server.component_port).reply("handed_over");
    let mut sipjab = Sipjab::start_connected(&setup);
    let _alice = Client::login(&server, "alice");
    let (from, to) = ("sip:phone@sip.example", "sip:alice@xmpp.example");
    let messages: Vec<_> = (0..2 * RATE).map(|_| Outgoing::new(from, to, "load")).collect();
    let (mut agent, link) = (Agent::bind(), Link::Udp(sipjab.udp));
    let patience = Duration::from_secs(3);
    let fates = deliver(&mut agent, link, Pace::Rate(RATE), patience, &messages, |index| {
        if index == RATE as usize {
            sipjab.process.signal(Signal::SIGTERM);
        }
    });
    let before = &fates[..RATE as usize];
    let unanswered = before.iter().filter(|fate| fate.answer.is_none()).count();
    assert_eq!(unanswered, 0, "of {RATE} messages sent before the signal");
    assert!(sipjab.process.exit(PATIENCE).success());
}

#[test]
fn sighup_reloads() {
    let script = "fn request_route() { sl_send_reply(200, \"OK\"); }";
    let sipjab = Sipjab::start(&Setup::script(script));
    let mark = sipjab.process.mark();
    sipjab.process.signal(Signal::SIGHUP);
    assert!(sipjab.logs(mark, "script live", PATIENCE).is_some());
    let message = Outgoing::new("sip:a@sip.example", "sip:b@sip.example", "still here");
    assert_eq!(Agent::bind().ask(&message, sipjab.udp).status(), 200);
    sipjab.terminate();
}
