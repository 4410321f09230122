//! Nothing that was accepted is lost, and nothing arrives twice, whatever is killed.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::jabber::{SCRIPT, parameters, row};
use crate::mariadb::{Database, Kind, Mariadb, each_database};
use crate::peer::{Peer, SECRET, XmppServer};
use crate::process::PATIENCE;
use crate::sip::Outgoing;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::spool_cast::{PHONES, RESOURCE, Stage, Way};
use crate::xmpp_client::Client;

/// Messages each way; SIPJAB_SPOOL_MESSAGES=20000 for the long run.
const MESSAGES: usize = 2000;
/// As many are enough for accounts, which share all but the streams.
const ACCOUNT_MESSAGES: usize = 1000;

/// Who is killed, in this order, again and again, as long as there are kills left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Prosody,
    Sipjab,
    Mariadb,
}

fn messages(way: Way) -> usize {
    let asked = std::env::var("SIPJAB_SPOOL_MESSAGES").ok().and_then(|it| it.parse().ok());
    asked.unwrap_or(match way {
        Way::Component => MESSAGES,
        Way::Accounts => ACCOUNT_MESSAGES,
    })
}

/// Few kills in a short run; in the long one five of Prosody, five of sipjab, two of MariaDB.
fn kills(kind: Kind, count: usize) -> Vec<Victim> {
    use Victim::{Mariadb, Prosody, Sipjab};
    let is_long = count > MESSAGES;
    let mut kills = [Prosody, Sipjab].repeat(if is_long { 5 } else { 2 });
    if let Kind::Mariadb = kind {
        for _ in 0..if is_long { 2 } else { 1 } {
            kills.push(Mariadb);
        }
    }
    kills
}

each_database!(every_accepted_message_arrives_once_or_comes_back);
fn every_accepted_message_arrives_once_or_comes_back(kind: Kind) {
    play(Way::Component, kind);
}

each_database!(every_accepted_message_of_accounts_arrives_once_or_comes_back);
fn every_accepted_message_of_accounts_arrives_once_or_comes_back(kind: Kind) {
    play(Way::Accounts, kind);
}

fn setup(way: Way, server: &XmppServer, phones: SocketAddr, database: &Database) -> Setup {
    let store = format!("url = \"{}\"\n", database.url());
    match way {
        Way::Component => Setup::gateway(server.component_port)
            .reply("queued")
            .outbound_proxy(phones)
            .store(&store),
        Way::Accounts => {
            let more = format!(
                "reply = \"queued\"\nproxy = \"{phones}\"\nresource = \"{RESOURCE}\"\n\
                 always_online = true\n"
            );
            let parameters = parameters(server.client_port) + more.as_str();
            Setup::script(SCRIPT).with(&parameters).store(&store)
        }
    }
}

fn start(way: Way, setup: &Setup, server: &XmppServer, database: &Database) -> Sipjab {
    if way == Way::Component {
        return Sipjab::start_connected(setup);
    }
    let sipjab = Sipjab::start(setup);
    for number in 0..PHONES {
        let phone = format!("p{number}");
        server.add_account(&phone);
        database.sql(&row(&phone, SECRET));
    }
    sipjab
}

fn play(way: Way, kind: Kind) {
    let count = messages(way);
    let mut prosody = Peer::Prosody.start();
    let mut database = kind.start();
    let mut phones = Agent::bind_udp("127.0.0.1");
    let setup = setup(way, &prosody, phones.local, &database);
    let mut sipjab = Some(start(way, &setup, &prosody, &database));
    let sip = sipjab.as_ref().unwrap().udp;
    let stage = Stage::new(way, count, sip, prosody.client_port);
    let began = Instant::now();
    let kills = kills(kind, count);
    thread::scope(|scope| {
        let over = Over(&stage);
        scope.spawn(|| stage.send_from_sip());
        scope.spawn(|| stage.receive_on_sip(&mut phones));
        scope.spawn(|| stage.receive_on_xmpp());
        scope.spawn(|| stage.send_from_xmpp());
        for (number, victim) in kills.iter().enumerate() {
            let share = count * (number + 1) / (kills.len() + 2);
            wait_until(&stage, |stage| {
                [&stage.to_xmpp, &stage.to_sip].iter().all(|book| book.delivered() >= share)
            });
            println!("after {share} each way: killing {victim:?}");
            kill(*victim, &mut prosody, &mut sipjab, &mut database);
            *stage.sip.lock().unwrap() = sipjab.as_ref().unwrap().udp;
            stage.returned.beat();
        }
        wait_until(&stage, |stage| {
            [&stage.to_xmpp, &stage.to_sip]
                .iter()
                .all(|book| book.accepted() == count && book.missing() == 0)
        });
        // What would arrive twice waits there.
        wait_until(&stage, |_| database.spooled() == 0);
        sipjab.take().unwrap().terminate();
        drop(over);
    });
    println!("{way:?}, {kind:?}: {count} each way in {:?}, {} kills", began.elapsed(), kills.len());
    println!("{}", stage.to_xmpp.summary("SIP to XMPP"));
    println!("{}", stage.to_sip.summary("XMPP to SIP"));
    for book in [&stage.to_xmpp, &stage.to_sip] {
        assert_eq!(book.faults(), [""; 0]);
        assert_eq!(book.accepted(), count);
    }
}

/// Sends the cast home, also when the director fails.
struct Over<'s>(&'s Stage);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

fn wait_until(stage: &Stage, is_so: impl Fn(&Stage) -> bool) {
    // As long as something moves, it goes on.
    let mut deadline = Instant::now() + PATIENCE * 3;
    let mut before = (0, 0, 0, 0);
    while !is_so(stage) {
        let (x, s) = (&stage.to_xmpp, &stage.to_sip);
        let now = (x.accepted(), x.delivered(), s.accepted(), s.delivered());
        if now != before {
            (before, deadline) = (now, Instant::now() + PATIENCE * 3);
        }
        let summary = || format!("{}\n{}", x.summary("SIP to XMPP"), s.summary("XMPP to SIP"));
        let faults = || [x.faults(), s.faults()].concat().into_iter().take(20).collect::<Vec<_>>();
        assert!(Instant::now() < deadline, "nothing moves\n{}\n{:?}", summary(), faults());
        stage.changed.wait(Duration::from_millis(100));
    }
}

fn kill(
    victim: Victim,
    prosody: &mut XmppServer,
    sipjab: &mut Option<Sipjab>,
    database: &mut Database,
) {
    match victim {
        Victim::Prosody => {
            prosody.stop();
            prosody.start(Peer::Prosody);
        }
        Victim::Sipjab => *sipjab = sipjab.take().map(Sipjab::kill_and_restart),
        Victim::Mariadb => {
            if let Database::Mariadb(server) = database {
                server.stop();
                server.start();
            }
        }
    }
}

const PHONE: &str = "sip:phone@sip.example";
const ALICE: &str = "sip:alice@xmpp.example";

/// No server takes the messages: they wait, as many as may.
#[test]
fn a_full_spool_refuses_and_says_when_to_come_again() {
    let port = crate::port::free();
    let setup = Setup::gateway(port).reply("queued").with("[spool]\nmax_messages = 3\n");
    let sipjab = Sipjab::start(&setup);
    let mut agent = Agent::bind();
    let mut statuses = Vec::new();
    for number in 0..5 {
        let message = Outgoing::new(PHONE, ALICE, &format!("number {number}"));
        let answer = agent.ask(&message, sipjab.udp);
        statuses.push(answer.status());
        if answer.status() == 503 {
            assert_eq!(answer.header("Retry-After"), "10");
        }
    }
    assert_eq!(statuses, [202, 202, 202, 503, 503]);
    sipjab.terminate();
}

/// What was accepted while nobody was there arrives in order, after a restart, too.
#[test]
fn what_waits_outlives_a_restart_and_arrives_in_order() {
    let mut server = Peer::Prosody.start();
    server.stop();
    let sipjab = Sipjab::start(&Setup::gateway(server.component_port).reply("queued"));
    let mut agent = Agent::bind();
    let texts: Vec<_> = (0..50).map(|number| format!("number {number}")).collect();
    for text in &texts {
        assert_eq!(agent.ask(&Outgoing::new(PHONE, ALICE, text), sipjab.udp).status(), 202);
    }
    let sipjab = sipjab.restart();
    server.start(Peer::Prosody);
    let mut alice = Client::login(&server, "alice");
    let arrived: Vec<_> = (0..texts.len()).map(|_| alice.next_message()).collect();
    let bodies: Vec<_> = arrived.iter().filter_map(|it| it.child_text("body")).collect();
    assert_eq!(bodies, texts);
    sipjab.terminate();
}

/// Fates are remembered for an hour, but no more of them than the spool has room for.
#[test]
fn no_more_fates_are_remembered_than_there_is_room_for_messages() {
    const MOST: usize = 5;
    let (server, database) = (Peer::Prosody.start(), Kind::Sqlite.start());
    let setup = Setup::gateway(server.component_port)
        .reply("queued")
        .store(&format!("url = \"{}\"\n", database.url()))
        .with(&format!("[spool]\nmax_messages = {MOST}\n"));
    let sipjab = Sipjab::start_connected(&setup);
    let (mut agent, mut alice) = (Agent::bind(), Client::login(&server, "alice"));
    let until = Instant::now() + PATIENCE;
    for number in 0..3 * MOST {
        let message = Outgoing::new(PHONE, ALICE, &format!("number {number}"));
        assert_eq!(agent.ask(&message, sipjab.udp).status(), 202);
        alice.next_message();
        let remembered = MOST.min(number + 1);
        while (database.spooled(), database.fates()) != (0, remembered) {
            assert!(Instant::now() < until, "{number}: {} fates", database.fates());
            thread::yield_now();
        }
    }
    sipjab.terminate();
}

/// The time of a message passes while nobody takes it.
#[test]
fn what_is_of_no_use_any_more_comes_back() {
    let mut server = Peer::Prosody.start();
    server.stop();
    let mut agent = Agent::bind();
    let setup = Setup::gateway(server.component_port).reply("queued").outbound_proxy(agent.local);
    let sipjab = Sipjab::start(&setup.with("[spool]\nexpire = \"500ms\"\n"));
    let message = Outgoing::new(PHONE, ALICE, "are you there?");
    assert_eq!(agent.ask(&message, sipjab.udp).status(), 202);
    let report = agent.serve(200, "OK", PATIENCE).expect("a MESSAGE about the failure");
    assert!(report.text().contains("its time was over"), "{}", report.text());
    assert!(report.text().contains("are you there?"), "{}", report.text());
    sipjab.terminate();
}

/// A phone that is overloaded, and one that has moved meanwhile: the route runs anew for each attempt.
#[test]
fn a_phone_that_was_out_of_reach_is_tried_again_where_it_is_then() {
    let server = Peer::Prosody.start();
    let sipjab = Sipjab::start_connected(&Setup::gateway(server.component_port));
    let register = |agent: &mut Agent, cseq| {
        let contact = format!("Contact: <sip:phone@{}>;expires=600\r\n", agent.local);
        let register =
            Outgoing { call_id: "one".into(), ..Outgoing::register(PHONE, cseq, &contact) };
        assert_eq!(agent.ask(&register, sipjab.udp).status(), 200);
    };
    let (mut old, mut new) = (Agent::bind(), Agent::bind());
    register(&mut old, 1);
    let mut alice = Client::login(&server, "alice");
    alice.message("phone@sip.example", "where are you?");
    let first = old.serve(503, "Overloaded", PATIENCE).expect("the first attempt");
    let gone = Outgoing::register(PHONE, 2, "Contact: *\r\nExpires: 0\r\n");
    let gone = Outgoing { call_id: "one".into(), ..gone };
    assert_eq!(old.ask(&gone, sipjab.udp).status(), 200);
    register(&mut new, 3);
    let second = new.serve(200, "OK", PATIENCE).expect("the second attempt");
    for header in ["Call-ID", "From", "CSeq"] {
        assert_eq!(first.header(header), second.header(header), "{header}");
    }
    assert_eq!(second.text(), "where are you?");
    sipjab.terminate();
}

/// Without the database nothing is accepted, and everybody hears so; then it goes on.
#[test]
fn a_database_that_is_away_accepts_nothing() {
    let server = Peer::Prosody.start();
    let mut database = Mariadb::running();
    let mut agent = Agent::bind();
    let setup = Setup::gateway(server.component_port).reply("queued").outbound_proxy(agent.local);
    let sipjab = Sipjab::start_connected(&setup.store(&format!("url = \"{}\"\n", database.url())));
    let mut alice = Client::login(&server, "alice");
    database.stop();
    let message = |text| Outgoing::new(PHONE, ALICE, text);
    assert_eq!(agent.ask(&message("refused"), sipjab.udp).status(), 503);
    alice.message("phone@sip.example", "refused");
    assert_eq!(alice.next_message().condition(), Some("resource-constraint"));
    database.start();
    let deadline = Instant::now() + PATIENCE;
    while agent.ask(&message("accepted"), sipjab.udp).status() != 202 {
        assert!(Instant::now() < deadline, "the spool does not come back");
    }
    assert_eq!(alice.next_message().child_text("body"), Some("accepted"));
    sipjab.terminate();
}

#[test]
fn in_memory_a_message_is_carried_as_well_and_leaves_no_file() {
    let server = Peer::Prosody.start();
    let mut agent = Agent::bind();
    let setup = Setup::gateway(server.component_port).reply("queued").outbound_proxy(agent.local);
    let sipjab = Sipjab::start_connected(&setup.with("[spool]\ndurable = false\n"));
    let mut alice = Client::login(&server, "alice");
    assert_eq!(agent.ask(&Outgoing::new(PHONE, ALICE, "one"), sipjab.udp).status(), 202);
    assert_eq!(alice.next_message().child_text("body"), Some("one"));
    alice.message("phone@sip.example", "two");
    assert_eq!(agent.serve(200, "OK", PATIENCE).expect("a MESSAGE").text(), "two");
    assert!(!sipjab.database().with_file_name("sipjab-spool.db").exists());
    sipjab.terminate();
}
