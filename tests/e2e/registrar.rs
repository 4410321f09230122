//! Phones register, are found, and outlive a restart and a database that does not answer.

use std::net::{TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::{Link, Pace, deliver};
use crate::process::PATIENCE;
use crate::sip::{Message, Outgoing};
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};

const ALICE: &str = "sip:alice@sip.example";
const BOB: &str = "sip:bob@sip.example";

const ROUTE: &str = r#"
fn request_route() {
    if method() == "REGISTER" { save("location"); return; }
    if method() == "MESSAGE" && ruri_user() == "gone" {
        if unregister("location", ruri()) { t_reply(200, "Forgotten"); } else { t_reply(404, "Nobody"); }
        return;
    }
    if !lookup("location") { t_reply(404, "Not Found"); return; }
    t_relay();
}
"#;

fn setup(parameters: &str) -> Setup {
    let tables = format!("[modules.registrar]\n{parameters}\n");
    Setup { tables, ..Setup::script(ROUTE) }
}

fn contact_of(agent: &Agent) -> String {
    format!("Contact: <sip:me@{}>\r\n", agent.local)
}

/// Sends a MESSAGE that nobody needs to answer but `phone`, which does; gives what arrived there.
fn reaches(alice: &mut Agent, phone: &mut Agent, to: &str, sipjab: &Sipjab) -> Message {
    thread::scope(|scope| {
        let served = scope.spawn(|| phone.serve(200, "OK", PATIENCE).expect("the MESSAGE"));
        let answer = alice.ask(&Outgoing::new(ALICE, to, "hello"), sipjab.udp);
        assert_eq!(answer.status(), 200);
        served.join().unwrap()
    })
}

fn finds_nobody(alice: &mut Agent, to: &str, sipjab: &Sipjab) {
    assert_eq!(alice.ask(&Outgoing::new(ALICE, to, "hello?"), sipjab.udp).status(), 404);
}

/// What is registered for `user`, as the registrar tells it.
fn contacts(agent: &mut Agent, user: &str, sipjab: &Sipjab) -> Vec<String> {
    let answer = agent.ask(&Outgoing::register(user, 1, ""), sipjab.udp);
    assert_eq!(answer.status(), 200);
    let is_contact = |name: &str| name.eq_ignore_ascii_case("Contact");
    answer
        .headers
        .into_iter()
        .filter(|(name, _)| is_contact(name))
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn a_phone_is_found_after_a_restart_until_it_leaves() {
    let sipjab = Sipjab::start(&setup(""));
    let (mut alice, mut bob) = (Agent::bind(), Agent::bind());
    let headers = format!("User-Agent: Bob's\r\nAllow: MESSAGE\r\n{}", contact_of(&bob));
    let mut register = Outgoing::register(BOB, 1, &headers);
    assert_eq!(bob.ask(&register, sipjab.udp).status(), 200);

    let sipjab = sipjab.restart();
    let arrived = reaches(&mut alice, &mut bob, BOB, &sipjab);
    assert_eq!(arrived.request_uri(), format!("sip:me@{}", bob.local));
    let call_id = register.call_id.clone();
    register = Outgoing { call_id, ..Outgoing::register(BOB, 1, &headers) };
    let stale = bob.ask(&register, sipjab.udp);
    assert_eq!(stale.status(), 200, "the same REGISTER again is no older one");

    let leave = Outgoing::register(BOB, 2, "Contact: *\r\nExpires: 0\r\n");
    assert_eq!(bob.ask(&leave, sipjab.udp).status(), 200);
    finds_nobody(&mut alice, BOB, &sipjab);
    let sipjab = sipjab.restart();
    finds_nobody(&mut alice, BOB, &sipjab);
    sipjab.terminate();
}

#[test]
fn a_register_storm_is_answered_and_outlives_a_restart() {
    const USERS: usize = 10_000;
    let sipjab = Sipjab::start(&setup(""));
    let mut agent = Agent::bind();
    let user = |number: usize| format!("sip:user{number}@sip.example");
    let contact = |number: usize| format!("Contact: <sip:user{number}@192.0.2.9:5062>\r\n");
    let storm: Vec<_> =
        (0..USERS).map(|number| Outgoing::register(&user(number), 1, &contact(number))).collect();
    let began = Instant::now();
    let pace = Pace::Rate(1000);
    let fates = deliver(&mut agent, Link::Udp(sipjab.udp), pace, PATIENCE * 3, &storm, |_| {});
    let answered = |status: u16| {
        let is = |answer: &Message| answer.status() == status;
        fates.iter().filter(|fate| fate.answer.as_ref().is_some_and(is)).count()
    };
    assert_eq!(answered(200), USERS, "after {:?}", began.elapsed());

    let sipjab = sipjab.restart();
    let restored = sipjab.logs(0, "contacts restored", PATIENCE).expect("they are restored");
    assert!(restored.contains("count=10000"), "{restored}");
    for number in (0..USERS).step_by(97) {
        let found = contacts(&mut agent, &user(number), &sipjab);
        assert!(found[0].starts_with(&format!("<sip:user{number}@192.0.2.9:5062>")), "{found:?}");
    }
    sipjab.terminate();
}

#[test]
fn a_contact_is_gone_when_its_time_is_over() {
    let sipjab = Sipjab::start(&setup("min_expires = 1"));
    let (mut alice, mut bob) = (Agent::bind(), Agent::bind());
    let brief = format!("{}Expires: 1\r\n", contact_of(&bob));
    assert_eq!(bob.ask(&Outgoing::register(BOB, 1, &brief), sipjab.udp).status(), 200);
    let deadline = Instant::now() + PATIENCE;
    while !contacts(&mut bob, BOB, &sipjab).is_empty() {
        assert!(Instant::now() < deadline, "a second is over");
    }
    finds_nobody(&mut alice, BOB, &sipjab);
    sipjab.terminate();
}

#[test]
fn a_script_may_forget_a_phone() {
    let sipjab = Sipjab::start(&setup(""));
    let mut bob = Agent::bind();
    let user = "sip:gone@sip.example";
    let register = Outgoing::register(user, 1, &contact_of(&bob));
    assert_eq!(bob.ask(&register, sipjab.udp).status(), 200);
    for status in [200, 404] {
        assert_eq!(bob.ask(&Outgoing::new(ALICE, user, "go"), sipjab.udp).status(), status);
    }
    assert!(contacts(&mut bob, user, &sipjab).is_empty());
    sipjab.terminate();
}

#[test]
fn a_gruu_and_a_flow_lead_to_their_phone() {
    const INSTANCE: &str = "<urn:uuid:00000000-0000-1000-8000-000a95a0e128>";
    let sipjab = Sipjab::start(&setup("flow_timer = 30"));
    let (mut alice, mut bob, mut other) = (Agent::bind(), Agent::bind(), Agent::bind());
    let headers = format!(
        "Supported: gruu, outbound, path\r\n\
         Contact: <sip:me@192.0.2.200>;reg-id=1;+sip.instance=\"{INSTANCE}\";q=0.1\r\n"
    );
    let answer = bob.ask(&Outgoing::register(BOB, 1, &headers), sipjab.udp);
    assert_eq!((answer.status(), answer.header("Require")), (200, "outbound"));
    assert_eq!(answer.header("Flow-Timer"), "30");
    let contact = answer.header("Contact");
    let gruu = contact.split("pub-gruu=\"").nth(1).and_then(|rest| rest.split('"').next());
    let gruu = gruu.unwrap_or_else(|| panic!("no GRUU in {contact}"));
    let better = Outgoing::register(BOB, 1, &contact_of(&other));
    assert_eq!(other.ask(&better, sipjab.udp).status(), 200);

    let arrived = reaches(&mut alice, &mut bob, gruu, &sipjab);
    assert_eq!(arrived.request_uri(), "sip:me@192.0.2.200", "along the flow");
    let unknown = "sip:bob@sip.example;gr=urn:uuid:1";
    finds_nobody(&mut alice, unknown, &sipjab);
    sipjab.terminate();
}

/// RFC 5626 §8: on the port that takes SIP, a phone asks whether its flow lives.
#[test]
fn a_flow_is_kept_alive_by_stun() {
    let sipjab = Sipjab::start(&setup(""));
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    phone.set_read_timeout(Some(PATIENCE)).unwrap();
    let transaction = b"twelve bytes";
    let request = [&b"\x00\x01\x00\x00\x21\x12\xa4\x42"[..], transaction].concat();
    phone.send_to(&request, sipjab.udp).unwrap();
    let mut buffer = [0; 100];
    let (length, from) = phone.recv_from(&mut buffer).unwrap();
    assert_eq!((length, from), (32, sipjab.udp));
    assert_eq!(buffer[..2], [1, 1], "a Binding Response");
    assert_eq!(buffer[8..20], transaction[..]);
    let port = u16::from_be_bytes([buffer[26], buffer[27]]) ^ 0x2112;
    assert_eq!(port, phone.local_addr().unwrap().port());
    assert!(!sipjab.terminate().iter().any(|line| line.contains("refused")));
}

/// RFC 5627 §5.1
#[test]
fn temporary_gruus_reach_the_phone_until_its_call_id_changes() {
    const INSTANCE: &str = "<urn:uuid:00000000-0000-1000-8000-000a95a0e129>";
    let sipjab = Sipjab::start(&setup(""));
    let (mut alice, mut bob) = (Agent::bind(), Agent::bind());
    let contact = format!("<sip:me@{}>;+sip.instance=\"{INSTANCE}\"", bob.local);
    let headers = format!("Supported: gruu\r\nContact: {contact}\r\n");
    let registers = |bob: &mut Agent, call_id: &str, cseq| {
        let call_id = call_id.to_owned();
        let register = Outgoing { call_id, ..Outgoing::register(BOB, cseq, &headers) };
        let answer = bob.ask(&register, sipjab.udp);
        let contact = answer.header("Contact").to_owned();
        let gruu = contact.split("temp-gruu=\"").nth(1).and_then(|rest| rest.split('"').next());
        gruu.unwrap_or_else(|| panic!("no temporary GRUU in {contact}")).to_owned()
    };
    let old = [registers(&mut bob, "one", 1), registers(&mut bob, "one", 2)];
    assert_ne!(old[0], old[1]);
    for gruu in &old {
        assert!(!gruu.contains("bob"), "{gruu}");
        let arrived = reaches(&mut alice, &mut bob, gruu, &sipjab);
        assert_eq!(arrived.request_uri(), format!("sip:me@{}", bob.local));
    }
    let new = registers(&mut bob, "two", 1);
    for gruu in &old {
        finds_nobody(&mut alice, gruu, &sipjab);
    }
    reaches(&mut alice, &mut bob, &new, &sipjab);
    sipjab.terminate();
}

#[test]
fn a_path_is_the_way_back() {
    let sipjab = Sipjab::start(&setup(""));
    let (mut alice, mut edge) = (Agent::bind(), Agent::bind());
    let path = format!("<sip:edge@{};lr>", edge.local);
    let contact = "Contact: <sip:me@192.0.2.200>\r\n";
    let unsupported = Outgoing::register(BOB, 1, &format!("Path: {path}\r\n{contact}"));
    let answer = edge.ask(&unsupported, sipjab.udp);
    assert_eq!((answer.status(), answer.header("Unsupported")), (420, "path"));
    let headers = format!("Supported: path\r\nPath: {path}\r\n{contact}");
    let answer = edge.ask(&Outgoing::register(BOB, 2, &headers), sipjab.udp);
    assert_eq!((answer.status(), answer.header("Path")), (200, &*path));
    let sipjab = sipjab.restart();
    let arrived = reaches(&mut alice, &mut edge, BOB, &sipjab);
    assert_eq!(arrived.request_uri(), "sip:me@192.0.2.200");
    assert_eq!(arrived.header("Route"), path);
    sipjab.terminate();
}

#[test]
fn a_database_that_was_locked_gets_what_is_true_once_it_is_free() {
    let sipjab = Sipjab::start(&setup(""));
    let (mut alice, mut bob) = (Agent::bind(), Agent::bind());
    let gone = Outgoing::register(ALICE, 1, &contact_of(&alice));
    assert_eq!(alice.ask(&gone, sipjab.udp).status(), 200);

    let other = rusqlite::Connection::open(sipjab.database()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let leave = Outgoing::register(ALICE, 2, "Contact: *\r\nExpires: 0\r\n");
    let stay = Outgoing::register(BOB, 1, &contact_of(&bob));
    for (agent, register) in [(&mut alice, &leave), (&mut bob, &stay)] {
        let began = Instant::now();
        assert_eq!(agent.ask(register, sipjab.udp).status(), 200);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    let waits = sipjab.logs(0, "kept in memory until the store takes them", PATIENCE);
    assert!(waits.is_some(), "the store is locked");
    other.execute_batch("COMMIT").unwrap();
    drop(other);

    let sipjab = sipjab.restart();
    finds_nobody(&mut alice, ALICE, &sipjab);
    reaches(&mut alice, &mut bob, BOB, &sipjab);
    sipjab.terminate();
}

/// A database that takes connections and never says a word.
#[test]
fn a_database_that_stalls_delays_no_registration() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = format!("url = \"mysql://u:p@{}/sip\"\n", silent.local_addr().unwrap());
    let sipjab = Sipjab::start(&setup("").store(&store));
    let (mut alice, mut bob) = (Agent::bind(), Agent::bind());
    let register = Outgoing::register(BOB, 1, &contact_of(&bob));
    let began = Instant::now();
    assert_eq!(bob.ask(&register, sipjab.udp).status(), 200);
    reaches(&mut alice, &mut bob, BOB, &sipjab);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    drop(sipjab);
}
