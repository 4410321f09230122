//! Bad company in dialogs and forks: what belongs to nothing, leads nowhere, comes back for ever or too often. Each
//! costs its sender, and the next call is served.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use crate::phone::{Dialog, Phone};
use crate::sip::{Message, Outgoing};
use crate::sip_agent::{Agent, T1};
use crate::sipjab::{Setup, Sipjab};

const MOMENT: Duration = Duration::from_millis(300);

/// What a flood may leave in memory, which the allocator does not always give back.
const LEFT_BY_A_FLOOD: u64 = 24 * 1024;

const ROUTE: &str = r#"
fn request_route() {
    if is_method("REGISTER") { save("location"); return; }
    if has_totag() {
        if loose_route() { t_relay(); }
        else if !is_method("ACK") { sl_send_reply(481, "No Such Dialog"); }
        return;
    }
    if is_method("CANCEL") { return; }
    if is_method("INVITE") { record_route(); }
    if is_myself(ruri()) && !lookup("location") { sl_send_reply(404, "Not Found"); return; }
    t_relay();
}
"#;

/// A call from one to the other, from the INVITE to the BYE.
fn a_call_is_served(sipjab: &Sipjab) {
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let dialog = Dialog::to(&bob.uri());
    // A flood may have filled the socket: she asks again, as phones do.
    let mut ask = || {
        alice.ask("INVITE", &dialog, "", sipjab.udp);
        bob.find("INVITE", T1)
    };
    let invite = (0..40).find_map(|_| ask()).expect("the INVITE");
    bob.answer(&invite, 200, "");
    let answer = alice.expect("200 INVITE");
    let after = dialog.after(&answer);
    alice.ask("ACK", &Dialog { cseq: 1, ..after.next() }, "", sipjab.udp);
    bob.expect("ACK");
    alice.ask("BYE", &after, "", sipjab.udp);
    let bye = bob.expect("BYE");
    bob.answer(&bye, 200, "");
    alice.expect("200 BYE");
}

/// Resident memory in KiB.
fn memory(sipjab: &Sipjab) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", sipjab.process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a running process");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A dialog that nobody knows, to a URI and along a Route.
fn torn(uri: &str, routes: &[String]) -> Dialog {
    let dialog = Dialog::to(uri);
    Dialog { to: "<sip:b@sip.example>;tag=gone".into(), routes: routes.to_vec(), ..dialog }
}

#[test]
fn requests_of_torn_dialogs_are_told_so() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let (mut mallory, mut bob) = (Phone::bind(), Phone::bind());
    let own = [format!("<sip:{};lr>", sipjab.udp)];
    for method in ["BYE", "INVITE", "INFO", "UPDATE"] {
        // Without a Route it is for us, who know no dialog.
        let dialog = torn("sip:b@sip.example", &[]);
        mallory.ask(method, &dialog, "", sipjab.udp);
        let refusal = mallory.expect(&format!("481 {method}"));
        if method == "INVITE" {
            mallory.ack_rejection(&dialog, &refusal, sipjab.udp);
        }
        // With one it is for Bob, who knows none, either.
        let dialog = torn(&bob.uri(), &own);
        mallory.ask(method, &dialog, "", sipjab.udp);
        let request = bob.expect(method);
        bob.answer(&request, 481, "");
        let refusal = mallory.expect(&format!("481 {method}"));
        if method == "INVITE" {
            mallory.ack_rejection(&dialog, &refusal, sipjab.udp);
            bob.expect("ACK");
        }
    }
    // An ACK has no answer: it reaches Bob, or nobody.
    mallory.ask("ACK", &torn("sip:b@sip.example", &[]), "", sipjab.udp);
    mallory.ask("ACK", &torn(&bob.uri(), &own), "", sipjab.udp);
    bob.expect("ACK");
    bob.never("ACK", MOMENT);
    mallory.never("481 ACK", MOMENT);
    a_call_is_served(&sipjab);
    let logs = sipjab.terminate().join("\n");
    assert!(!logs.contains("script failed"), "{logs}");
}

/// In each pass we take one of them away, and the next one is ours, too.
#[test]
fn a_route_that_leads_back_to_us_for_ever_ends_when_its_hops_are_used_up() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let mut mallory = Phone::bind();
    let us = sipjab.udp;
    // Where no Route is left, the Request-URI is ours, and there is no such dialog.
    let routes = vec![format!("<sip:{us};lr>"); 80];
    let strict = vec![format!("<sip:{us}>"); 3];
    for (method, routes, end) in
        [("INFO", &routes, 483), ("INVITE", &routes, 483), ("INFO", &strict, 481)]
    {
        let dialog = torn(&format!("sip:loop@{us};lr"), routes);
        mallory.ask(method, &dialog, "", us);
        let refusal = mallory.expect(&format!("{end} {method}"));
        if method == "INVITE" {
            mallory.ack_rejection(&dialog, &refusal, us);
        }
    }
    a_call_is_served(&sipjab);
    sipjab.terminate();
}

/// A script that sends what is ours to where it came to, without looking.
#[test]
fn a_request_to_ourselves_ends_when_its_hops_are_used_up() {
    let sipjab =
        Sipjab::start(&Setup::script(r#"fn request_route() { info("passes"); t_relay(); }"#));
    let mut mallory = Phone::bind();
    for method in ["MESSAGE", "INVITE"] {
        let dialog = Dialog::to(&format!("sip:loop@{}", sipjab.udp));
        mallory.ask(method, &dialog, "", sipjab.udp);
        let refusal = mallory.expect(&format!("483 {method}"));
        if method == "INVITE" {
            mallory.ack_rejection(&dialog, &refusal, sipjab.udp);
        }
    }
    a_call_is_served(&sipjab);
    let logs = sipjab.terminate();
    let passes = logs.iter().filter(|line| line.contains("passes")).count();
    assert!((140..=160).contains(&passes), "{passes} passes of 70 hops each");
}

/// RFC 5393 §3: each of these sends every request to all of them. Loop detection alone lets them be visited in every
/// order, a hundred thousand times.
#[test]
fn a_spiral_of_forks_is_bounded() {
    let script = r#"
        fn request_route() {
            if has_totag() || ruri_user() == "b" { t_relay(); return; }
            info("forks");
            for user in ["two", "three", "four", "five", "six", "seven", "eight"] {
                setuser(user);
                if is_method("INVITE") { append_branch(); } else { append_branch(ruri(), 0.5); }
            }
            setuser("one");
            t_relay();
        }
    "#;
    for method in ["MESSAGE", "INVITE"] {
        let sipjab = Sipjab::start(&Setup::script(script));
        let mut mallory = Phone::bind();
        let dialog = Dialog::to(&format!("sip:one@{}", sipjab.udp));
        mallory.ask(method, &dialog, "", sipjab.udp);
        let refusal = mallory.expect(&format!("482 {method}"));
        if method == "INVITE" {
            mallory.ack_rejection(&dialog, &refusal, sipjab.udp);
        }
        a_call_is_served(&sipjab);
        let logs = sipjab.terminate();
        let forks = logs.iter().filter(|line| line.contains("forks")).count();
        assert!((8..=1_000).contains(&forks), "{forks} forks of one {method}");
    }
}

#[test]
fn a_flood_of_cancels_leaves_nothing_behind() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let (mut alice, mut bob, mut mallory) = (Phone::bind(), Phone::bind(), Phone::bind());
    let ringing = Dialog::to(&bob.uri());
    alice.ask("INVITE", &ringing, "", sipjab.udp);
    let invite = bob.expect("INVITE");
    bob.answer(&invite, 180, "");
    alice.expect("180 INVITE");
    let flood = |mallory: &mut Phone, count: usize| {
        for number in 0..count {
            let nothing = Dialog::to(&bob.uri());
            mallory.ask("CANCEL", &nothing, "", sipjab.udp);
            // The same for a call of others, by another branch.
            let guessed = Dialog { branch: nothing.branch.clone(), ..ringing.clone() };
            mallory.ask("CANCEL", &guessed, "", sipjab.udp);
            // No faster than it is answered: what overflows a socket costs others more than us.
            let is_told = |message: Message| message.header("Call-ID") == nothing.call_id;
            while number % 50 == 49
                && !std::iter::from_fn(|| mallory.find("481 CANCEL", T1)).any(is_told)
            {
                mallory.ask("CANCEL", &nothing, "", sipjab.udp);
            }
        }
    };
    flood(&mut mallory, 500);
    let before = memory(&sipjab);
    flood(&mut mallory, 5_000);
    let after = memory(&sipjab);
    assert!(after < before + LEFT_BY_A_FLOOD, "from {before} to {after} KiB");
    bob.never("CANCEL", MOMENT);
    bob.answer(&invite, 200, "");
    alice.expect("200 INVITE");
    a_call_is_served(&sipjab);
    sipjab.terminate();
}

#[test]
fn a_bomb_of_contacts_is_refused() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let mut mallory = Agent::bind();
    let contacts = |count: usize| -> String {
        let all: Vec<_> = (0..count).map(|it| format!("<sip:{it}@192.0.2.1>")).collect();
        format!("Contact: {}\r\n", all.join(","))
    };
    // As many as a line may hold, and as a datagram may.
    let bomb = Outgoing::register("sip:mallory@sip.example", 1, &contacts(300));
    let answer = mallory.ask(&bomb, sipjab.udp);
    assert_eq!((answer.status(), answer.reason()), (403, "Too Many Contacts"));
    let bomb = Outgoing::register("sip:mallory@sip.example", 1, &contacts(2_000));
    mallory.send_udp(&bomb.to_bytes("UDP", mallory.local), sipjab.udp);
    sipjab.process.wait_for("a line is too long");
    // More, over a connection.
    let bomb = Outgoing::register("sip:mallory@sip.example", 2, &contacts(10_000));
    let mut stream = mallory.connect(sipjab.tcp);
    let _refused_midway = stream.write_all(&bomb.to_bytes("TCP", mallory.local));
    sipjab.process.wait_for("stream framing");
    // As many as there may be, and then one at a time.
    let most = Outgoing::register("sip:mallory@sip.example", 3, &contacts(10));
    assert_eq!(mallory.ask(&most, sipjab.udp).status(), 200);
    for number in 10..30 {
        let one = format!("Contact: <sip:{number}@192.0.2.1>\r\n");
        let more = Outgoing::register("sip:mallory@sip.example", number, &one);
        assert_eq!(mallory.ask(&more, sipjab.udp).status(), 403);
    }
    a_call_is_served(&sipjab);
    sipjab.terminate();
}

#[test]
fn a_fork_to_more_than_there_may_be_is_refused() {
    let script = r#"
        fn request_route() {
            if has_totag() || ruri_user() == "b" { t_relay(); return; }
            for number in 0..10000 { append_branch(`sip:${number}@127.0.0.1:9`); }
            t_relay();
        }
    "#;
    let sipjab = Sipjab::start(&Setup::script(script));
    let mut mallory = Phone::bind();
    mallory.ask("MESSAGE", &Dialog::to("sip:bomb@127.0.0.1:9"), "", sipjab.udp);
    mallory.expect("503 MESSAGE");
    sipjab.process.wait_for("the number of branches is at its limit");
    a_call_is_served(&sipjab);
    sipjab.terminate();
}
