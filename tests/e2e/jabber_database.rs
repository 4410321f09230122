//! Accounts whose database is away, silent or killed, for longer than anything waits for it: times are made short enough.

use std::time::{Duration, Instant};

use crate::jabber::{SCRIPT, hears, jabber, parameters, register, row, say, until_status};
use crate::mariadb::Mariadb;
use crate::peer::{DOMAIN, Peer, SECRET};
use crate::process::PATIENCE;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::xmpp_client::Client;

/// How long the database is away: several looks at the rows, pauses of the spool and timeouts of the store, and twice as long as
/// an account without traffic stays online.
const AWAY: Duration = Duration::from_secs(4);

/// What is shortened, and success as soon as a message is kept.
const SHORT: &str = "reply = \"queued\"\ncache_time = 2\n";

fn start(port: u16, database: &Mariadb, more: &str) -> Sipjab {
    let store = format!("url = \"{}\"\ntimeout = \"300ms\"\n", database.url());
    let tables = parameters(port) + SHORT + more;
    let sipjab = Sipjab::start(&Setup::script(SCRIPT).with(&tables).store(&store));
    for user in ["alice", "carol"] {
        database.sql(&row(user, SECRET));
    }
    sipjab
}

/// Tries until the message is taken: what was refused is sent anew, what was accepted is not.
fn insist(phone: &mut Agent, text: &str, sipjab: &Sipjab) {
    until_status(phone, text, 202, sipjab);
}

/// Bob writes to Alice until it does not come back. A ping behind it says when nothing more can.
fn bob_insists(bob: &mut Client, text: &str) {
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        bob.message(&format!("alice@{DOMAIN}"), text);
        match bob.message_within(Duration::from_millis(1500)) {
            None => return,
            Some(error) => assert_eq!(error.condition(), Some("resource-constraint")),
        }
        assert!(Instant::now() < deadline, "{text} is not taken");
    }
}

#[test]
fn nothing_is_lost_or_doubled_while_the_database_is_silent_or_killed() {
    let mut database = Mariadb::running();
    let server = Peer::Prosody.start();
    let sipjab = start(server.client_port, &database, "");
    let (mut phone, mut writer) = (Agent::bind(), Agent::bind());
    register(&mut phone, "alice", &sipjab);
    let mut bob = Client::login(&server, "bob");
    let mut carol = Agent::bind();
    let (mut written, mut said) = (Vec::new(), Vec::new());
    for (round, is_killed) in [false, true, false].into_iter().enumerate() {
        insist(&mut writer, &format!("{round} before"), &sipjab);
        written.push(format!("{round} before"));
        register(&mut carol, "carol", &sipjab);
        let mark = sipjab.process.mark();
        match is_killed {
            true => database.stop(),
            false => database.freeze(),
        }
        let since = Instant::now();
        let mut refused = Vec::new();
        while since.elapsed() < AWAY {
            let text = format!("{round} from alice {}", refused.len());
            match say(&mut writer, "alice", &jabber("bob"), &text, &sipjab).status() {
                202 => written.push(text),
                status => {
                    assert_eq!(status, 503, "{text}");
                    refused.push(text);
                }
            }
            bob.message(&format!("alice@{DOMAIN}"), "refused");
            let back = bob.next_message();
            // What he gets meanwhile is what was accepted before.
            if back.child("error").is_none() {
                assert_eq!(back.child_text("body"), Some(&*written.remove(0)));
            }
        }
        assert!(sipjab.logs(mark, "accounts are not looked at", PATIENCE).is_some());
        assert!(refused.len() > 1, "the database was not away");
        match is_killed {
            true => database.start(),
            false => database.thaw(),
        }
        for text in refused {
            insist(&mut writer, &text, &sipjab);
            written.push(text);
        }
        for text in written.drain(..) {
            assert_eq!(next_text(&mut bob), text);
        }
        let text = format!("{round} from bob");
        bob_insists(&mut bob, &text);
        said.push(text);
    }
    assert_eq!(heard_by(&mut phone, said.len()), said);

    // What was refused is not found in the database by the next process either.
    let sipjab = sipjab.kill_and_restart();
    insist(&mut writer, "the end", &sipjab);
    assert_eq!(next_text(&mut bob), "the end");
    bob_insists(&mut bob, "the end");
    assert_eq!(heard_by(&mut phone, 1), ["the end"]);
    sipjab.terminate();
}

/// What Bob hears next, errors for what was refused aside.
fn next_text(bob: &mut Client) -> String {
    loop {
        let message = bob.next_message();
        if message.child("error").is_none() {
            return message.child_text("body").expect("a text").to_owned();
        }
    }
}

/// So many messages of people, without the gateway's own texts.
fn heard_by(phone: &mut Agent, count: usize) -> Vec<String> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let message = hears(phone);
        if message.header("From").contains(DOMAIN) {
            heard.push(message.text());
        }
    }
    let more = phone.serve(200, "OK", Duration::from_millis(300));
    assert!(more.is_none_or(|more| !more.header("From").contains(DOMAIN)), "one more");
    heard
}

/// The sender of each hears it once, as soon as that can be kept.
#[test]
fn what_grows_too_old_while_the_database_is_away_is_told_once() {
    let database = Mariadb::running();
    let mut server = Peer::Prosody.start();
    let sipjab = start(server.client_port, &database, "[spool]\nexpire = \"2s\"\n");
    let (mut phone, mut writer) = (Agent::bind(), Agent::bind());
    register(&mut phone, "alice", &sipjab);
    server.stop();
    let texts: Vec<_> = (0..5).map(|number| format!("number {number}")).collect();
    texts.iter().for_each(|text| insist(&mut writer, text, &sipjab));
    let mark = sipjab.process.mark();
    database.freeze();
    let since = Instant::now();
    while since.elapsed() < AWAY {
        assert_ne!(say(&mut writer, "alice", &jabber("bob"), "refused", &sipjab).status(), 202);
    }
    assert!(sipjab.logs(mark, "the spool takes nothing", PATIENCE).is_some());
    database.thaw();
    let told = heard_by(&mut phone, texts.len());
    for text in &texts {
        let about = told.iter().filter(|told| told.ends_with(&format!("> {text}"))).count();
        assert_eq!(about, 1, "{told:?}");
    }
    let sipjab = sipjab.kill_and_restart();
    server.start(Peer::Prosody);
    let mut bob = Client::login(&server, "bob");
    insist(&mut writer, "the end", &sipjab);
    assert_eq!(next_text(&mut bob), "the end");
    assert!(heard_by(&mut phone, 0).is_empty());
    sipjab.terminate();
}
