//! Messages for users who are not there wait in Kamailio's table `silo`.

use std::time::Duration;

use crate::jabber::{parameters, row};
use crate::mariadb::{Kind, Mariadb, each_database};
use crate::peer::{DOMAIN, Peer, SECRET};
use crate::process::PATIENCE;
use crate::sip::Outgoing;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::xmpp_client::Client;

const ALICE: &str = "sip:alice@sip.example";
const BOB: &str = "sip:bob@sip.example";

/// The script that the module's page shows.
const SCRIPT: &str = include_str!("../../modules/msilo/example.rhai");

fn register(phone: &mut Agent, user: &str, sipjab: &Sipjab) {
    let contact = format!("Contact: <sip:me@{}>\r\n", phone.local);
    assert_eq!(phone.ask(&Outgoing::register(user, 1, &contact), sipjab.udp).status(), 200);
}

each_database!(messages_wait_for_who_is_not_there_also_through_a_restart);
fn messages_wait_for_who_is_not_there_also_through_a_restart(kind: Kind) {
    let database = kind.start();
    let store = format!("url = \"{}\"\n", database.url());
    let sipjab = Sipjab::start(&Setup::script(SCRIPT).store(&store));
    let (mut bob, mut alice) = (Agent::bind(), Agent::bind());
    let texts: Vec<_> = (0..5).map(|number| format!("{number}: ohé 🌹 'quoted'")).collect();
    for text in &texts {
        assert_eq!(bob.ask(&Outgoing::new(BOB, ALICE, text), sipjab.udp).status(), 202);
    }
    let sipjab = sipjab.restart();
    register(&mut alice, ALICE, &sipjab);
    for text in &texts {
        let arrived = alice.serve(200, "OK", PATIENCE).expect("a message that waited");
        assert_eq!(arrived.text(), *text);
        assert!(arrived.header("From").contains(BOB) && arrived.header("Date").ends_with("GMT"));
    }
    register(&mut alice, ALICE, &sipjab);
    assert!(alice.serve(200, "OK", Duration::from_millis(300)).is_none(), "delivered twice");
}

/// A table that Kamailio's own script has made, and a message from Jabber.
#[test]
fn compat_kamailio_its_table_takes_what_comes_from_jabber() {
    let database = Mariadb::running();
    database.sql(
        "CREATE TABLE silo (id INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL, \
         src_addr VARCHAR(255) DEFAULT '' NOT NULL, dst_addr VARCHAR(255) DEFAULT '' NOT NULL, \
         username VARCHAR(64) DEFAULT '' NOT NULL, domain VARCHAR(64) DEFAULT '' NOT NULL, \
         inc_time INT DEFAULT 0 NOT NULL, exp_time INT DEFAULT 0 NOT NULL, \
         snd_time INT DEFAULT 0 NOT NULL, ctype VARCHAR(32) DEFAULT 'text/plain' NOT NULL, \
         body BLOB, extra_hdrs TEXT, callid VARCHAR(128) DEFAULT '' NOT NULL, \
         status INT DEFAULT 0 NOT NULL)",
    );
    let server = Peer::Prosody.start();
    let parameters = parameters(server.client_port) + "always_online = true\n";
    let store = format!("url = \"{}\"\n", database.url());
    let sipjab = Sipjab::start(&Setup::script(SCRIPT).with(&parameters).store(&store));
    let mut client = Client::login(&server, "bob");
    database.sql(&row("alice", SECRET));
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut phone = Agent::bind();
    // Before the account is online, Prosody says that nobody is there.
    loop {
        client.message(&format!("alice@{DOMAIN}"), "while you were out");
        if client.message_within(Duration::from_millis(300)).is_none() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the account is not online");
    }
    register(&mut phone, ALICE, &sipjab);
    let arrived = phone.serve(200, "OK", PATIENCE).expect("the message that waited");
    assert_eq!(arrived.text(), "while you were out");
    assert!(arrived.header("From").contains(&format!("bob*{DOMAIN}@jabber.sip.example")));
}
