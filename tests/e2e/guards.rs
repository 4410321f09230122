//! What guards the server, and what spreads requests, asked through the running program.

use std::thread;

use crate::process::PATIENCE;
use crate::sip::{Message, Outgoing};
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};

const ALICE: &str = "sip:alice@sip.example";
const BOB: &str = "sip:bob@sip.example";

/// Each guard by the text that asks for it.
const GUARDS: &str = r#"
fn request_route() {
    append_to_reply("X-Seen", sht_inc("seen", from_user()).to_string());
    if !sanity_check(17895, 7) { return; }
    switch body() {
        "who" => sl_send_reply(if allow_source_address(2) { 200 } else { 403 }, ""),
        "rate" => if rl_check(7) { send_reply(200, "") } else { rl_drop(30) },
        "pike" => if pike_check_req() { send_reply(200, "") } else { send_reply(403, "") },
        "subst" => {
            subst("/^Subject: .*$/Subject: changed/");
            subst_user("/^b(.*)$/x\\1/");
            send_reply(200, hdr("Subject") + " " + ruri_user());
        },
        "error" => try { setport(70000); } catch { send_reply_error(); },
        _ => send_reply(404, ""),
    }
}
"#;

const TABLES: &str = r#"
[[modules.htable.table]]
name = "seen"
size = 10

[[modules.permissions.address]]
group = 2
ip = "127.0.0.0/8"

[modules.ratelimit]
timer_interval = 60

[[modules.ratelimit.pipe]]
id = 7
limit = 1

[modules.pike]
sampling_time_unit = 60
reqs_density_per_unit = 3
"#;

fn with_tables(script: &str, tables: &str) -> Sipjab {
    Sipjab::start(&Setup { tables: tables.to_owned(), ..Setup::script(script) })
}

#[test]
fn every_guard_answers_through_the_running_server() {
    let sipjab = with_tables(GUARDS, TABLES);
    let mut alice = Agent::bind();
    let mut ask = |text: &str| alice.ask(&Outgoing::new(ALICE, BOB, text), sipjab.udp);
    let statuses = |answers: Vec<Message>| answers.iter().map(Message::status).collect::<Vec<_>>();
    assert_eq!(statuses(vec![ask("who"), ask("nothing"), ask("error")]), [200, 404, 500]);
    let floods: Vec<_> = (0..5).map(|_| ask("pike")).collect();
    assert_eq!(statuses(floods), [200, 200, 200, 403, 403]);
    let rates: Vec<_> = (0..62).map(|_| ask("rate")).collect();
    assert!(rates[..60].iter().all(|answer| answer.status() == 200));
    assert_eq!((rates[60].status(), rates[61].header("Retry-After")), (503, "30"));
    assert_eq!(rates[61].header("X-Seen"), "70", "every worker counts in one table");
    assert_eq!(ask("subst").reason(), " xob");
    sipjab.terminate();
}

const SPREAD: &str = r#"
fn request_route() {
    if !ds_select_dst(1, 8) { sl_send_reply(503, "No Destination"); return; }
    t_on_failure("NEXT");
    t_relay();
}

fn failure_route_NEXT() {
    ds_mark_dst("ip");
    if ds_next_dst() { t_relay(); }
}
"#;

#[test]
fn a_destination_that_fails_is_left_out_and_asked_until_it_lives() {
    let (mut first, mut second, mut alice) = (Agent::bind(), Agent::bind(), Agent::bind());
    let tables = format!(
        "[modules.dispatcher]\nds_ping_interval = 1\n\
         [[modules.dispatcher.destination]]\nuri = \"sip:{}\"\npriority = 9\n\
         [[modules.dispatcher.destination]]\nuri = \"sip:{}\"\n",
        first.local, second.local
    );
    let sipjab = with_tables(SPREAD, &tables);
    thread::scope(|scope| {
        let failing = scope.spawn(|| first.serve(503, "Away", PATIENCE).expect("the MESSAGE"));
        let serving = scope.spawn(|| second.serve(200, "OK", PATIENCE).expect("the MESSAGE"));
        let answer = alice.ask(&Outgoing::new(ALICE, BOB, "one"), sipjab.udp);
        assert_eq!(answer.status(), 200);
        assert_eq!(failing.join().unwrap().text(), "one");
        assert_eq!(serving.join().unwrap().text(), "one");
    });
    let probe = first.serve(200, "OK", PATIENCE).expect("an OPTIONS");
    assert!(probe.request_uri().ends_with(&first.local.to_string()));
    assert!(sipjab.logs(0, "dispatcher: active", PATIENCE).is_some());
    thread::scope(|scope| {
        let serving = scope.spawn(|| first.serve(200, "OK", PATIENCE).expect("the MESSAGE"));
        let answer = alice.ask(&Outgoing::new(ALICE, BOB, "two"), sipjab.udp);
        assert_eq!((answer.status(), serving.join().unwrap().text()), (200, "two".into()));
    });
    sipjab.terminate();
}
