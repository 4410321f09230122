//! Messages of accounts that wait, fail or come back: what is told of them, and that nothing comes twice.

use std::time::{Duration, Instant};

use crate::jabber::{SCRIPT, hears, jabber, parameters, register, row, say, sip_id, stage};
use crate::line::Line;
use crate::peer::{DOMAIN, Peer, SECRET, XmppServer};
use crate::process::PATIENCE;
use crate::sip::{Message, Outgoing};
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::xmpp_client::Client;

const QUEUED: &str = "reply = \"queued\"\n";

/// Alice's account.
fn alice() -> String {
    format!("alice@{DOMAIN}")
}

/// A server that keeps messages for who is not there, and the program with Alice's row.
fn keeping_stage(more: &str) -> (XmppServer, Sipjab) {
    let server = Peer::start_keeping();
    let parameters = parameters(server.client_port) + more;
    let sipjab = Sipjab::start(&Setup::script(SCRIPT).with(&parameters));
    sipjab.sql(&row("alice", SECRET));
    (server, sipjab)
}

/// Bob writes, with an origin id as clients do.
fn write(bob: &mut Client, text: &str) {
    let to = alice();
    bob.send(&format!(
        "<message to='{to}' type='chat' id='{text}'><body>{text}</body>\
         <origin-id xmlns='urn:xmpp:sid:0' id='{text}'/></message>"
    ));
}

/// Alice writes to Bob, and is told that the message is kept.
fn queue(phone: &mut Agent, text: &str, sipjab: &Sipjab) {
    assert_eq!(say(phone, "alice", &jabber("bob"), text, sipjab).status(), 202, "{text}");
}

/// What Bob hears, in order.
fn bob_hears(bob: &mut Client, texts: &[String]) {
    for text in texts {
        assert_eq!(bob.next_message().child_text("body"), Some(&**text));
    }
}

#[test]
fn messages_for_an_account_that_is_connecting_wait_and_outlive_a_restart() {
    let (mut server, sipjab) = keeping_stage(QUEUED);
    server.stop();
    let mut phone = Agent::bind();
    let texts: Vec<_> = (0..50).map(|number| format!("number {number}")).collect();
    texts.iter().for_each(|text| queue(&mut phone, text, &sipjab));
    // Nothing has left, so nothing is uncertain, however the program ends.
    let sipjab = sipjab.kill_and_restart();
    server.start(Peer::Prosody);
    let mut bob = Client::login(&server, "bob");
    bob_hears(&mut bob, &texts);
    let text = "one more".to_owned();
    queue(&mut phone, &text, &sipjab);
    bob_hears(&mut bob, &[text]);
    sipjab.terminate();
}

const OFFLINE: &str = "INFO: Your are now offline";

/// What he wrote before still leaves, and he is offline after that.
#[test]
fn who_goes_offline_while_the_server_is_away_loses_nothing() {
    let (mut server, sipjab) = keeping_stage(QUEUED);
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    // She is online; nothing of hers is under way.
    write(&mut Client::login(&server, "bob"), "before");
    assert_eq!(hears(&mut phone).text(), "before");
    server.stop();
    let texts: Vec<_> = (0..200).map(|number| format!("number {number}")).collect();
    texts.iter().for_each(|text| queue(&mut phone, text, &sipjab));
    queue(&mut phone, ":off", &sipjab);
    server.start(Peer::Prosody);
    let mut bob = Client::login(&server, "bob");
    bob_hears(&mut bob, &texts);
    let told = hears(&mut phone).text();
    assert!(told.starts_with(OFFLINE), "{told}");
    // What comes once her stream has ended waits at the server.
    server.wait_for("Client disconnected");
    write(&mut bob, "too late");
    assert!(phone.serve(200, "OK", Duration::from_secs(3)).is_none(), "online again");
    queue(&mut phone, ":on", &sipjab);
    assert_eq!(hears(&mut phone).text(), "too late");
    sipjab.terminate();
}

#[test]
fn who_writes_and_goes_offline_at_once_loses_nothing_and_hears_of_no_doubt() {
    let (server, sipjab) = keeping_stage(QUEUED);
    let (mut phone, mut bob) = (Agent::bind(), Client::login(&server, "bob"));
    register(&mut phone, "alice", &sipjab);
    for round in 0..5 {
        let texts: Vec<_> = (0..20).map(|number| format!("{round}-{number}")).collect();
        texts.iter().for_each(|text| queue(&mut phone, text, &sipjab));
        queue(&mut phone, ":off", &sipjab);
        let told = hears(&mut phone).text();
        assert!(told.starts_with(OFFLINE), "{told}");
        bob_hears(&mut bob, &texts);
    }
    sipjab.terminate();
}

#[test]
fn each_message_of_a_user_without_a_way_is_told_once() {
    let (server, sipjab) = stage(&[("alice", "wrong")], QUEUED);
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    let words = "ERROR: Your message was not sent. Authentication to Jabber server failed.";
    assert_eq!(hears(&mut phone).text(), words, "of going online");
    for text in ["one", "two", "three"] {
        queue(&mut phone, text, &sipjab);
        let told = hears(&mut phone);
        assert_eq!(told.text(), format!("{words}\n> {text}"));
        assert!(told.header("From").contains(&jabber("bob")), "{:?}", told.headers);
    }
    let refused = |line: &&String| line.contains("an account is refused");
    assert_eq!(sipjab.process.lines().iter().filter(refused).count(), 1, "one login");

    sipjab.sql("UPDATE jusers SET type = 1");
    queue(&mut phone, "four", &sipjab);
    let words = "ERROR: Your message was not sent. You do not have permission to use the gateway.";
    assert_eq!(hears(&mut phone).text(), format!("{words}\n> four"));

    // What would be told twice comes before the next message.
    sipjab.sql(&format!("UPDATE jusers SET type = 0, jab_passwd = '{SECRET}'"));
    let mut bob = Client::login(&server, "bob");
    queue(&mut phone, "five", &sipjab);
    bob_hears(&mut bob, &["five".to_owned()]);
    write(&mut bob, "the end");
    assert_eq!(hears(&mut phone).text(), "the end");
    sipjab.terminate();
}

#[test]
fn compat_ser_a_failure_is_told_in_its_words_alone() {
    let (_server, sipjab) = stage(&[], "profile = \"ser\"\n");
    let mut phone = Agent::bind();
    sipjab.write_script(&SCRIPT.replace("{ go_online(); }", "{}"));
    sipjab.process.wait_for("script live");
    register(&mut phone, "alice", &sipjab);
    queue(&mut phone, "hello", &sipjab);
    assert_eq!(
        hears(&mut phone).text(),
        "ERROR: Your message was not sent. You do not have permission to use the gateway."
    );
    sipjab.terminate();
}

#[test]
fn an_account_that_is_lost_fails_what_waits_for_it() {
    let (mut server, sipjab) = stage(&[("alice", SECRET)], QUEUED);
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    let mut bob = Client::login(&server, "bob");
    queue(&mut phone, "there?", &sipjab);
    bob_hears(&mut bob, &["there?".to_owned()]);
    server.stop();
    queue(&mut phone, "hello?", &sipjab);
    sipjab.sql("DELETE FROM jusers");
    let told = hears(&mut phone).text();
    assert!(told.starts_with("INFO: Connection to Jabber server lost."), "{told}");
    assert!(told.ends_with("\n> hello?"), "{told}");
    sipjab.terminate();
}

#[test]
fn a_full_gateway_says_so_before_it_takes_a_message() {
    let more = format!("{QUEUED}workers = 1\nmax_jobs = 1\n");
    let (server, sipjab) = stage(&[("alice", SECRET), ("carol", SECRET)], &more);
    let mut phone = Agent::bind();
    let mut bob = Client::login(&server, "bob");
    queue(&mut phone, "hello", &sipjab);
    bob_hears(&mut bob, &["hello".to_owned()]);
    let answer = say(&mut phone, "carol", &jabber("bob"), "and I?", &sipjab);
    assert_eq!((answer.status(), answer.reason()), (503, "The Gateway Is Full"));
    sipjab.terminate();
}

#[test]
fn what_the_server_has_kept_comes_once_however_often_the_stream_breaks() {
    let (mut server, sipjab) = keeping_stage("");
    let mut bob = Client::login(&server, "bob");
    ["one", "two", "three"].iter().for_each(|text| write(&mut bob, text));
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    let hears_all = |phone: &mut Agent, texts: &[&str]| {
        texts.iter().for_each(|text| assert_eq!(hears(phone).text(), *text));
    };
    hears_all(&mut phone, &["one", "two", "three"]);
    // The first reconnect is her own wish, the second one a restart of the server.
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":off", &sipjab).status(), 200);
    assert!(hears(&mut phone).text().starts_with("INFO: Your are now offline"));
    ["four", "five"].iter().for_each(|text| write(&mut bob, text));
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":on", &sipjab).status(), 200);
    hears_all(&mut phone, &["four", "five"]);
    server.stop();
    server.start(Peer::Prosody);
    let mut bob = Client::login(&server, "bob");
    write(&mut bob, "six");
    hears_all(&mut phone, &["six"]);
    sipjab.terminate();
}

/// A copy from the server's own store, because our acknowledgement was lost with the process.
#[test]
fn what_was_taken_before_a_kill_comes_once() {
    let more = format!("{QUEUED}always_online = true\n[spool]\nuncertain = \"repeat\"\n");
    let (server, sipjab) = keeping_stage(&more);
    let mut bob = Client::login(&server, "bob");
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    write(&mut bob, "first");
    let first = phone.serve(480, "Not Now", PATIENCE).expect("an attempt");
    assert_eq!(first.text(), "first");
    assert!(bob.next_message().child("error").is_some());
    for number in 0..20 {
        write(&mut bob, &format!("kept-{number}"));
    }
    let sipjab = sipjab.kill_and_restart();
    write(&mut bob, "last");
    let mut heard = Vec::new();
    while heard.last().is_none_or(|text| text != "last") {
        heard.push(hears(&mut phone).text());
    }
    // The one that was under way may come again: that is what `repeat` says.
    if heard[0] == heard[1] {
        heard.remove(0);
    }
    let expected = (0..20).map(|number| format!("kept-{number}"));
    assert_eq!(heard, expected.chain(["last".to_owned()]).collect::<Vec<_>>());
    sipjab.terminate();
}

#[test]
fn a_half_open_connection_is_noticed_and_nothing_is_lost() {
    let server = Peer::Prosody.start();
    let line = Line::to(server.client_port);
    let tables = parameters(line.port) + QUEUED + "ping_interval = 1\n[log]\nlevel = \"debug\"\n";
    let sipjab = Sipjab::start(&Setup::script(SCRIPT).with(&tables));
    sipjab.sql(&row("alice", SECRET));
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    let mut bob = Client::login(&server, "bob");
    queue(&mut phone, "before", &sipjab);
    bob_hears(&mut bob, &["before".to_owned()]);
    let mark = sipjab.process.mark();
    line.freeze();
    let texts: Vec<_> = (0..10).map(|number| format!("into the void {number}")).collect();
    texts.iter().for_each(|text| queue(&mut phone, text, &sipjab));
    write(&mut bob, "still there?");
    assert!(sipjab.logs(mark, "is_resumed=true", 3 * PATIENCE).is_some(), "no resumption");
    bob_hears(&mut bob, &texts);
    assert_eq!(hears(&mut phone).text(), "still there?");
    sipjab.terminate();
}

#[test]
fn a_slow_server_gets_everything_in_order() {
    let server = Peer::Prosody.start();
    let line = Line::slow(server.client_port, 2000, Duration::from_millis(5));
    let sipjab = Sipjab::start(&Setup::script(SCRIPT).with(&(parameters(line.port) + QUEUED)));
    sipjab.sql(&row("alice", SECRET));
    let (mut phone, mut bob) = (Agent::bind(), Client::login(&server, "bob"));
    let texts: Vec<_> =
        (0..300).map(|number| format!("{number} {}", "slow ".repeat(150))).collect();
    texts.iter().for_each(|text| queue(&mut phone, text, &sipjab));
    bob_hears(&mut bob, &texts);
    sipjab.terminate();
}

#[test]
fn rows_that_make_no_sense_hurt_nobody_else() {
    let (server, sipjab) = stage(&[("alice", SECRET)], "always_online = true\n");
    for (sip_id, jab_id, password) in [
        ("", "carol", "secret"),
        ("nonsense", "carol", "secret"),
        ("sip:empty@sip.example", "", ""),
        ("sip:two@sip.example", "a@b@c", "secret"),
        ("sip:space@sip.example", " ", " "),
        ("sip:sealed@sip.example", "carol", "{sealed}nonsense"),
        ("sip:bad@sip.example", "\\u0007@/", "secret"),
        ("sip:far@sip.example", "bob@nowhere.invalid", "secret"),
    ] {
        sipjab.sql(&format!(
            "INSERT INTO jusers (jab_id, jab_passwd, sip_id) VALUES ('{jab_id}', '{password}', '{sip_id}')"
        ));
    }
    sipjab.sql("INSERT INTO jusers (jab_id, sip_id) VALUES ('carol', 'sip:none@sip.example')");
    let mut phone = Agent::bind();
    for user in ["empty", "two", "space", "bad", "far", "none"] {
        let answer = say(&mut phone, user, &jabber("bob"), "hello", &sipjab);
        assert!([403, 504].contains(&answer.status()), "{user}: {}", answer.start);
    }
    let mut bob = Client::login(&server, "bob");
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), "hello", &sipjab).status(), 200);
    bob_hears(&mut bob, &["hello".to_owned()]);
    sipjab.terminate();
}

#[test]
fn names_beyond_ascii_are_users_like_all_others() {
    let (server, sipjab) = stage(&[], QUEUED);
    server.add_account("jürgen");
    sipjab.sql(&format!(
        "INSERT INTO jusers (jab_id, jab_passwd, sip_id) VALUES ('jürgen', '{SECRET}', 'sip:j%C3%BCrgen@sip.example')"
    ));
    let mut phone = Agent::bind();
    register(&mut phone, "j%C3%BCrgen", &sipjab);
    let mut bob = Client::login(&server, "bob");
    let answer = say(&mut phone, "j%C3%BCrgen", &jabber("bob"), "grüß dich", &sipjab);
    assert_eq!(answer.status(), 202);
    let arrived = bob.next_message();
    assert_eq!(arrived.child_text("body"), Some("grüß dich"));
    assert!(arrived.attribute("from").starts_with(&format!("jürgen@{DOMAIN}/")));
    bob.message(&format!("jürgen@{DOMAIN}"), "danke");
    assert_eq!(hears(&mut phone).text(), "danke");
    let answer = say(&mut phone, "j%C3%BCrgen", &jabber("j%C3%BCrgen"), "to himself", &sipjab);
    assert_eq!(answer.status(), 202);
    let arrived = hears(&mut phone);
    assert_eq!(arrived.text(), "to himself");
    assert!(arrived.header("From").contains(&jabber("j%C3%BCrgen")), "{:?}", arrived.headers);
    sipjab.terminate();
}

/// SER's words for what comes back.
const ERROR: &str = "{Error (503 - service-unavailable) when trying to send following message}";

/// The phone hears it at once when it waits, and by a message when the server has said it has the message.
#[test]
fn an_unknown_recipient_is_the_final_reply() {
    let (server, sipjab) = stage(&[("alice", SECRET)], "");
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    let answer = say(&mut phone, "alice", &jabber("nobody"), "hello?", &sipjab);
    assert!(answer.status() >= 400, "{}", answer.start);
    // What would be told twice comes before the next message.
    let mut bob = Client::login(&server, "bob");
    write(&mut bob, "the end");
    assert_eq!(hears(&mut phone).text(), "the end");

    // An error that comes late says whose it is, and for what.
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), "hello", &sipjab).status(), 200);
    let arrived = bob.next_message();
    let (id, to) = (arrived.attribute("id"), arrived.attribute("from"));
    bob.send(&format!(
        "<message to='{to}' id='{id}' type='error'><error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    ));
    let told = hears(&mut phone);
    assert_eq!(told.text(), ERROR.to_owned() + "hello");
    assert!(told.header("From").contains(&jabber("bob")), "{:?}", told.headers);
    sipjab.terminate();
}

/// What comes back names the message, and its fate is known.
#[test]
fn an_unknown_recipient_is_told_and_the_fate_says_so() {
    let script = SCRIPT.replace(
        "    send_message();\n",
        "    send_message();\n    append_to_reply(\"X-Id\", message_id());\n",
    );
    let server = Peer::Prosody.start();
    let tables = parameters(server.client_port) + QUEUED;
    let sipjab = Sipjab::start(&Setup::script(&script).with(&tables));
    sipjab.sql(&row("alice", SECRET));
    let mut phone = Agent::bind();
    register(&mut phone, "alice", &sipjab);
    let mut bob = Client::login(&server, "bob");
    let id = |answer: &Message| answer.header("X-Id").to_owned();
    let answer = say(&mut phone, "alice", &jabber("bob"), "hello", &sipjab);
    bob_hears(&mut bob, &["hello".to_owned()]);
    fate_becomes(&sipjab, &id(&answer), "state     handed_over");
    let answer = say(&mut phone, "alice", &jabber("nobody"), "hello?", &sipjab);
    assert_eq!(answer.status(), 202);
    let told = hears(&mut phone).text();
    assert_eq!(told, ERROR.to_owned() + "hello?");
    fate_becomes(&sipjab, &id(&answer), "state     failed");
    sipjab.terminate();
}

fn fate_becomes(sipjab: &Sipjab, id: &str, words: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, said) = sipjab.command(&["fate", id], "");
        if said.contains(words) {
            return;
        }
        assert!(Instant::now() < deadline, "{said}");
    }
}

#[test]
fn with_delivered_a_phone_hears_200_once_the_device_has_the_message() {
    let (server, sipjab) = stage(&[("alice", SECRET)], "reply = \"delivered\"\n");
    let mut phone = Agent::bind();
    let mut bob = Client::login(&server, "bob");
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), ":on", &sipjab).status(), 200);
    let message = Outgoing::new(&sip_id("alice"), &jabber("bob"), "are you there?");
    phone.send_udp(&message.to_bytes("UDP", phone.local), sipjab.udp);
    let arrived = bob.next_message();
    assert!(arrived.child("request").is_some(), "nobody asks for a receipt: {arrived:?}");
    let early = phone.final_response(&message.branch, Duration::from_millis(300));
    assert!(early.is_none(), "answered before the receipt: {early:?}");
    let (id, to) = (arrived.attribute("id"), arrived.attribute("from"));
    bob.send(&format!(
        "<message to='{to}' id='r1'><received xmlns='urn:xmpp:receipts' id='{id}'/></message>"
    ));
    let answer = phone.final_response(&message.branch, PATIENCE).expect("an answer");
    assert_eq!(answer.status(), 200);
    // A device that does not know receipts.
    assert_eq!(say(&mut phone, "alice", &jabber("bob"), "and now?", &sipjab).status(), 202);
    sipjab.terminate();
}
