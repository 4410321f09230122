//! A script edited while two thousand messages a second pass through it.

use std::time::{Duration, Instant};

use crate::load::{Fate, Link, Pace, deliver};
use crate::process::PATIENCE;
use crate::sip::Outgoing;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};

const RATE: u32 = 2_000;
const SECOND: Duration = Duration::from_secs(1);

const STATELESS: &str = r#"
fn request_route() {
    sl_send_reply(200, "Before");
}
"#;

const STATEFUL: &str = r#"
fn request_route() {
    t_newtran();
    t_reply(200, "Before");
}
"#;

#[test]
fn an_edit_of_a_stateless_route_is_live_within_a_second_and_loses_nothing() {
    an_edit_is_live_within_a_second(STATELESS);
}

#[test]
fn an_edit_of_a_stateful_route_is_live_within_a_second_and_loses_nothing() {
    an_edit_is_live_within_a_second(STATEFUL);
}

fn an_edit_is_live_within_a_second(script: &str) {
    let sipjab = Sipjab::start(&Setup::script(script));
    let mark = sipjab.process.mark();
    let (fates, edited) = load_with_edit(&sipjab, &script.replace("Before", "After"));
    for fate in &fates {
        let reason = reason(fate);
        assert!(["Before", "After"].contains(&reason), "{reason}");
        assert!(fate.sent < edited + SECOND || reason == "After", "still the old script");
    }
    assert!(fates.iter().any(|fate| reason(fate) == "Before"));
    assert!(fates.iter().any(|fate| reason(fate) == "After"));
    assert!(sipjab.logs(mark, "script live", PATIENCE).is_some());
    sipjab.terminate();
}

#[test]
fn a_broken_edit_changes_nothing_and_is_logged() {
    let sipjab = Sipjab::start(&Setup::script(STATELESS));
    let mark = sipjab.process.mark();
    let (fates, _) = load_with_edit(&sipjab, "fn request_route() { sl_send_reply(200, \"After\"");
    assert!(fates.iter().all(|fate| reason(fate) == "Before"));
    assert!(sipjab.logs(mark, "script refused", PATIENCE).is_some());

    let mark = sipjab.process.mark();
    sipjab.write_script(&STATELESS.replace("Before", "Mended"));
    assert!(sipjab.logs(mark, "script live", PATIENCE).is_some());
    let message = Outgoing::new("sip:a@sip.example", "sip:b@sip.example", "again");
    assert_eq!(Agent::bind().ask(&message, sipjab.udp).reason(), "Mended");
    sipjab.terminate();
}

/// Four seconds of load; after the first the script is overwritten. Tells when that was done.
fn load_with_edit(sipjab: &Sipjab, edit: &str) -> (Vec<Fate>, Instant) {
    let messages: Vec<_> = (0..4 * RATE)
        .map(|_| Outgoing::new("sip:a@sip.example", "sip:b@sip.example", "load"))
        .collect();
    let mut edited = Instant::now();
    let mut agent = Agent::bind();
    let link = Link::Udp(sipjab.udp);
    let fates = deliver(&mut agent, link, Pace::Rate(RATE), PATIENCE, &messages, |index| {
        if index == RATE as usize {
            sipjab.write_script(edit);
            edited = Instant::now();
        }
    });
    (fates, edited)
}

fn reason(fate: &Fate) -> &str {
    fate.answer.as_ref().expect("every message is answered").reason()
}
