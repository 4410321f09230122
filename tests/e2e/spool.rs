//! Nothing that was accepted is lost, and nothing arrives twice, whatever is killed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::mariadb::{Database, Kind, each_database};
use crate::peer::{Peer, XmppServer};
use crate::process::PATIENCE;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::spool_cast::{Book, Stage};

/// Messages each way; SIPJAB_SPOOL_MESSAGES=20000 for the long run.
const MESSAGES: usize = 2000;

/// Who is killed, in this order, again and again, as long as there are kills left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Prosody,
    Sipjab,
    Mariadb,
}

fn messages() -> usize {
    let asked = std::env::var("SIPJAB_SPOOL_MESSAGES").ok().and_then(|it| it.parse().ok());
    asked.unwrap_or(MESSAGES)
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
    let count = messages();
    let mut prosody = Peer::Prosody.start();
    let mut database = kind.start();
    let mut phones = Agent::bind_udp("127.0.0.1");
    let setup = Setup::gateway(prosody.component_port)
        .reply("queued")
        .outbound_proxy(phones.local)
        .store(&format!("url = \"{}\"\n", database.url()));
    let mut sipjab = Some(Sipjab::start_connected(&setup));
    let stage = Stage {
        count,
        sip: Mutex::new(sipjab.as_ref().unwrap().udp),
        client_port: prosody.client_port,
        to_xmpp: Book::default(),
        to_sip: Book::default(),
        is_over: AtomicBool::new(false),
    };
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
        }
        wait_until(&stage, |stage| {
            [&stage.to_xmpp, &stage.to_sip]
                .iter()
                .all(|book| book.accepted() == count && book.missing() == 0)
        });
        // Whatever would arrive twice has its time.
        thread::sleep(Duration::from_secs(2));
        drop(over);
    });
    println!("{count} each way in {:?}, {} kills", began.elapsed(), kills.len());
    println!("{}", stage.to_xmpp.summary("SIP to XMPP"));
    println!("{}", stage.to_sip.summary("XMPP to SIP"));
    for book in [&stage.to_xmpp, &stage.to_sip] {
        assert_eq!(book.faults(), [""; 0]);
        assert_eq!(book.accepted(), count);
    }
    sipjab.unwrap().terminate();
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
        thread::sleep(Duration::from_millis(20));
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
