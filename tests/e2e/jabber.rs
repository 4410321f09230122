//! Every SIP user with his own Jabber account, on a real Prosody, with the users in MariaDB or SQLite.

use std::time::{Duration, Instant};

use crate::peer::{DOMAIN, Peer, SECRET, XmppServer, each_peer};
use crate::process::PATIENCE;
use crate::sip::{Message, Outgoing};
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::xmpp_client::Client;

/// The script that ships.
pub(crate) const SCRIPT: &str = include_str!("../../scripts/jabber.rhai");

/// The parameters of the module; SER's users have their accounts at a server without TLS.
pub(crate) fn parameters(port: u16) -> String {
    format!(
        "[modules.jabber]\n\
         jdomain = \"jabber.sip.example=*\"\n\
         jaddress = \"127.0.0.1\"\n\
         jport = {port}\n\
         domain = \"{DOMAIN}\"\n\
         tls = \"where_offered\"\n\
         sleep_time = 1\n\
         registrar = \"gateway@sip.example\"\n"
    )
}

pub(crate) fn sip_id(user: &str) -> String {
    format!("sip:{user}@sip.example")
}

/// The SIP address of a Jabber user.
pub(crate) fn jabber(user: &str) -> String {
    format!("sip:{user}*{DOMAIN}@jabber.sip.example")
}

pub(crate) fn row(user: &str, password: &str) -> String {
    format!(
        "INSERT INTO jusers (jab_id, jab_passwd, sip_id, type) \
         VALUES ('{user}', '{password}', '{}', 0);",
        sip_id(user)
    )
}

/// Program and Prosody, with rows for these users.
pub(crate) fn stage(rows: &[(&str, &str)], more: &str) -> (XmppServer, Sipjab) {
    stage_at(Peer::Prosody, rows, more)
}

fn stage_at(peer: Peer, rows: &[(&str, &str)], more: &str) -> (XmppServer, Sipjab) {
    let server = peer.start();
    let parameters = parameters(server.client_port) + more;
    let sipjab = Sipjab::start(&Setup::script(SCRIPT).with(&parameters));
    for (user, password) in rows {
        sipjab.sql(&row(user, password));
    }
    (server, sipjab)
}

pub(crate) fn register(phone: &mut Agent, user: &str, sipjab: &Sipjab) {
    let contact = format!("Contact: <sip:{user}@{}>\r\n", phone.local);
    let answer = phone.ask(&Outgoing::register(&sip_id(user), 1, &contact), sipjab.udp);
    assert_eq!(answer.status(), 200);
}

pub(crate) fn say(phone: &mut Agent, from: &str, to: &str, text: &str, sipjab: &Sipjab) -> Message {
    phone.ask(&Outgoing::new(&sip_id(from), to, text), sipjab.udp)
}

/// Alice says `words` to Bob until the status is this one.
pub(crate) fn until_status(phone: &mut Agent, words: &str, status: u16, sipjab: &Sipjab) {
    until(phone, "alice", words, status, sipjab);
}

/// `user` says `words` until the status is this one.
pub(crate) fn until(phone: &mut Agent, user: &str, words: &str, status: u16, sipjab: &Sipjab) {
    let deadline = Instant::now() + 3 * PATIENCE;
    loop {
        let answer = say(phone, user, &jabber("bob"), words, sipjab);
        if answer.status() == status {
            return;
        }
        assert!(Instant::now() < deadline, "{} instead of {status}", answer.start);
    }
}

pub(crate) fn hears(phone: &mut Agent) -> Message {
    phone.serve(200, "OK", PATIENCE).expect("a MESSAGE for the phone")
}

each_peer!(a_phone_and_a_jabber_client_write_to_each_other);

fn a_phone_and_a_jabber_client_write_to_each_other(peer: Peer) {
    // jabberd2 has no SCRAM, and without TLS PLAIN is nothing for us.
    let more = if matches!(peer, Peer::Jabberd2) { "legacy_auth = true\n" } else { "" };
    let (server, sipjab) = stage_at(peer, &[("alice", SECRET)], more);
    let mut bob = Client::login(&server, "bob");
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);

    let answer = say(&mut phone, "alice", &jabber("bob"), "hello & good-bye", &sipjab);
    assert_eq!((answer.status(), answer.reason()), (200, "OK"));
    let arrived = bob.next_message();
    assert_eq!(arrived.child_text("body"), Some("hello & good-bye"));
    assert!(arrived.attribute("from").starts_with(&format!("alice@{DOMAIN}/sipjab-")));

    bob.message(&format!("alice@{DOMAIN}"), "ohé <there>");
    let arrived = hears(&mut phone);
    assert_eq!(arrived.text(), "ohé <there>");
    assert!(arrived.header("From").contains(&jabber("bob")), "{:?}", arrived.headers);
    assert_eq!(arrived.request_uri(), format!("sip:alice@{}", phone.local));
}

#[test]
fn a_wrong_password_is_told_once_and_not_tried_again() {
    let (_server, sipjab) = stage(&[("alice", "wrong")], "");
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    let told = hears(&mut phone);
    assert_eq!(
        told.text(),
        "ERROR: Your message was not sent. Authentication to Jabber server failed."
    );
    assert!(told.header("From").contains("sip:gateway@sip.example"));
    for _ in 0..3 {
        let answer = say(&mut phone, "alice", &jabber("bob"), "hello", &sipjab);
        assert_eq!(answer.status(), 403);
    }
    assert!(phone.serve(200, "OK", Duration::from_millis(500)).is_none(), "told again");
    let refused = |line: &&String| line.contains("an account is refused");
    assert_eq!(sipjab.process.lines().iter().filter(refused).count(), 1);

    // The operator mends the row, and nothing must be restarted.
    sipjab.sql(&format!("UPDATE jusers SET jab_passwd = '{SECRET}'"));
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":on", &sipjab).status(), 200);
}

#[test]
fn a_stranger_and_a_disabled_user_hear_no() {
    let (_server, sipjab) = stage(&[("alice", SECRET)], "");
    let mut phone = Agent::bind();
    assert_eq!(say(&mut phone, "mallory", &jabber("bob"), "hello", &sipjab).status(), 403);
    sipjab.sql("UPDATE jusers SET type = 1");
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), "hello", &sipjab).status(), 403);
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":off", &sipjab).status(), 480);
}

#[test]
fn a_user_who_is_disabled_or_removed_while_online_is_online_no_more() {
    for change in ["UPDATE jusers SET type = 1", "DELETE FROM jusers"] {
        let (_server, sipjab) = stage(&[("alice", SECRET)], "");
        let mut phone = Agent::bind();
        register(&mut phone, "alice", &sipjab);
        assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":on", &sipjab).status(), 200);
        sipjab.sql(change);
        let told = hears(&mut phone).text();
        assert!(told.starts_with("INFO: Connection to Jabber server lost."), "{change}: {told}");
        assert_eq!(say(&mut phone, "alice", &jabber("bob"), "hello", &sipjab).status(), 403);
    }
}

#[test]
fn a_server_that_is_killed_is_found_again() {
    let (mut server, sipjab) = stage(&[("alice", SECRET)], "");
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":on", &sipjab).status(), 200);
    server.stop();
    let answer = say(&mut phone, "alice", &jabber("bob"), "hello?", &sipjab);
    assert_eq!((answer.status(), answer.reason()), (504, "The Jabber Server Cannot Be Reached"));
    server.start(Peer::Prosody);
    let mut bob = Client::login(&server, "bob");
    until_status(&mut phone, "hello", 200, &sipjab);
    assert_eq!(bob.next_message().child_text("body"), Some("hello"));
    bob.message(&format!("alice@{DOMAIN}"), "back");
    assert_eq!(hears(&mut phone).text(), "back");
}

#[test]
fn a_login_elsewhere_takes_the_account_and_no_fight_begins() {
    let (server, sipjab) = stage(&[("alice", SECRET)], "resource = \"e2e\"\n");
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":on", &sipjab).status(), 200);
    let mut elsewhere = Client::login(&server, "alice");
    assert!(hears(&mut phone).text().starts_with("INFO: Connection to Jabber server lost."));
    let mut bob = Client::login(&server, "bob");
    bob.message(&format!("alice@{DOMAIN}"), "who is there?");
    assert_eq!(elsewhere.next_message().child_text("body"), Some("who is there?"));
}

#[test]
fn both_phones_of_a_user_see_one_conversation() {
    let (server, sipjab) = stage(&[("alice", SECRET)], "");
    let (mut one, mut two) = (Agent::bind(), Agent::bind());
    register(&mut one, "alice", &sipjab);
    register(&mut two, "alice", &sipjab);
    assert_eq!(say(&mut one, "alice", &jabber("bob"), ":on", &sipjab).status(), 200);
    let mut bob = Client::login(&server, "bob");
    bob.message(&format!("alice@{DOMAIN}"), "for both");
    assert_eq!(hears(&mut one).text(), "for both");
    assert_eq!(hears(&mut two).text(), "for both");

    // What she writes at her computer is seen on her phones.
    let mut computer = Client::login(&server, "alice");
    computer.message(&format!("bob@{DOMAIN}"), "from my desk");
    let copy = hears(&mut one);
    assert_eq!(copy.text(), "[alice] from my desk");
    assert!(copy.header("From").contains(&jabber("bob")));
    assert_eq!(hears(&mut two).text(), "[alice] from my desk");
}

#[test]
fn a_room_is_joined_spoken_in_and_left_by_message() {
    let (server, sipjab) = stage(&[("alice", SECRET), ("carol", SECRET)], "");
    let room = |nick: &str| format!("sip:{nick}*lounge*conference.{DOMAIN}@jabber.sip.example");
    let (mut alice, mut carol) = (Agent::bind(), Agent::bind());
    register(&mut alice, "alice", &sipjab);
    register(&mut carol, "carol", &sipjab);
    let answer = say(&mut alice, "alice", &room(""), "too early", &sipjab);
    assert_eq!((answer.status(), answer.reason()), (403, "Not In The Conference"));
    assert_eq!(say(&mut alice, "alice", &room(""), ":join", &sipjab).status(), 200);
    let taken = say(&mut carol, "carol", &room("alice"), ":join", &sipjab);
    assert_eq!((taken.status(), taken.reason()), (486, "The Nickname Is Taken"));
    assert_eq!(say(&mut carol, "carol", &room("cc"), ":join", &sipjab).status(), 200);

    assert_eq!(say(&mut alice, "alice", &room(""), "good evening", &sipjab).status(), 200);
    let heard = hears(&mut carol);
    assert_eq!(heard.text(), "[alice] good evening");
    assert!(heard.header("From").contains(&room("cc")), "{:?}", heard.headers);
    assert!(alice.serve(200, "OK", Duration::from_millis(300)).is_none(), "an echo");

    assert_eq!(say(&mut carol, "carol", &room("cc"), ":exit", &sipjab).status(), 200);
    assert_eq!(hears(&mut carol).text(), "INFO: You have just left the conference.");
    drop(server);
}

/// The sample of SER's manual, with its words for success.
#[test]
fn compat_ser_profile_answers_at_once_and_tells_the_rest_by_text() {
    let (server, sipjab) = stage(&[("alice", SECRET)], "profile = \"ser\"\n");
    let (mut phone, _bob) = (Agent::bind(), Client::login(&server, "bob"));
    register(&mut phone, "mallory", &sipjab);
    let told = hears(&mut phone);
    assert_eq!(
        told.text(),
        "ERROR: Your message was not sent. You do not have permission to use the gateway."
    );
    let mut alice = Agent::bind();
    register(&mut alice, "alice", &sipjab);
    assert_eq!(say(&mut alice, "alice", &jabber("bob"), "hello", &sipjab).status(), 202);
    assert_eq!(say(&mut alice, "alice", &jabber("bob"), ":off", &sipjab).status(), 202);
    let text = hears(&mut alice).text();
    assert_eq!(
        text,
        "INFO: Your are now offline in Jabber network. Thank you for using SIP-Jabber gateway."
    );
}
