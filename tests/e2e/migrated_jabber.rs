//! A SER configuration with the module `jabber`, carried over and run: every request is answered as the old rules say.

use std::path::Path;
use std::time::Instant;

use crate::jabber_users::SER_TABLES;
use crate::mariadb::{Database, Kind, each_database};
use crate::migrated::{Server, own, shipped, translated_for};
use crate::peer::{DOMAIN, Peer, SECRET, XmppServer};
use crate::process::PATIENCE;
use crate::sip::{Message, Outgoing};
use crate::sip_agent::{Agent, T1};
use crate::xmpp_client::Client;

/// The old server's domains.
struct Domains {
    sip: &'static str,
    jabber: &'static str,
}

const OURS: Domains = Domains { sip: "sip.example", jabber: "jabber.sip.example" };

impl Domains {
    fn sip_id(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.sip)
    }

    fn user(&self, user: &str) -> String {
        format!("sip:{user}*{DOMAIN}@{}", self.jabber)
    }

    fn room(&self, nick: &str) -> String {
        format!("sip:{nick}*lounge*conference.{DOMAIN}@{}", self.jabber)
    }
}

/// The database as SER's manual makes it, with an account for `alice`.
fn fill(database: &Database, domains: &Domains) {
    let tables = SER_TABLES.replace("sip.example", domains.sip);
    match database {
        Database::Mariadb(server) => server.sql(&tables),
        Database::Sqlite(folder) => {
            let keys = [
                ", KEY(jab_id), KEY(sip_id)",
                ", KEY(icq_id)",
                ", KEY(msn_id)",
                ", KEY(aim_id)",
                ", KEY(yahoo_id)",
            ];
            let tables = keys.iter().fold(tables, |tables, key| tables.replace(key, ""));
            let id = "juid INT NOT NULL AUTO_INCREMENT";
            let tables = tables.replace(id, "juid INTEGER PRIMARY KEY AUTOINCREMENT").replacen(
                ",\n  PRIMARY KEY(juid) ",
                " ",
                1,
            );
            let file = folder.path().join("sip.db");
            rusqlite::Connection::open(file).unwrap().execute_batch(&tables).unwrap();
        }
    }
}

/// The translation, with the Jabber server of the test in the place of the old one.
fn run(file: &Path, database: &Database, server: &XmppServer) -> Server {
    translated_for(file, &database.url(), |config| {
        let kept = config.lines().filter(|line| !line.starts_with("jport ="));
        let moved = kept.map(|line| match line.strip_prefix("jaddress =") {
            Some(_) => format!(
                "jaddress = \"127.0.0.1\"\njport = {}\ndomain = \"{DOMAIN}\"",
                server.client_port
            ),
            None => line.to_owned(),
        });
        moved.collect::<Vec<_>>().join("\n") + "\n"
    })
}

/// A phone whose requests are answered.
struct Phone<'s> {
    agent: Agent,
    server: &'s Server,
}

impl Phone<'_> {
    #[track_caller]
    fn is_answered(&mut self, message: &Outgoing, expected: (u16, &str)) {
        let answer = self.agent.ask(message, self.server.address);
        let said = (answer.status(), answer.reason());
        assert_eq!(said, expected, "{} to {}", message.body, message.to);
    }

    #[track_caller]
    fn writes(&mut self, from: &str, to: &str, body: &str, expected: (u16, &str)) {
        self.is_answered(&Outgoing::new(from, to, body), expected);
    }

    /// A REGISTER with these header lines; a contact is added to them.
    #[track_caller]
    fn registers(&mut self, user: &str, cseq: u32, headers: &str) {
        let contact = format!("Contact: <sip:alice@{}>\r\n{headers}", self.agent.local);
        self.is_answered(&Outgoing::register(user, cseq, &contact), (200, "OK"));
    }

    /// A request of another method.
    #[track_caller]
    fn asks(&mut self, method: &str, from: &str, to: &str) -> Message {
        let message = Outgoing::new(from, to, "");
        let text = String::from_utf8(message.to_bytes("UDP", self.agent.local)).unwrap();
        let bytes = text.replace("MESSAGE", method).into_bytes();
        for _ in 0..10 {
            self.agent.send_udp(&bytes, self.server.address);
            if let Some(answer) = self.agent.final_response(&message.branch, T1) {
                return answer;
            }
        }
        panic!("no answer to {method}");
    }

    #[track_caller]
    fn hears(&mut self) -> Message {
        self.agent.serve(200, "OK", PATIENCE).expect("a MESSAGE for the phone")
    }
}

const ACCEPTED: (u16, &str) = (200, "Accepted");
const NOT_FOUND: (u16, &str) = (404, "Not found");

/// Joins the room as soon as the other one is in it, since whoever comes first must furnish it.
fn enters_the_lounge(bob: &mut Client) {
    let room = format!("lounge@conference.{DOMAIN}");
    let question = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    let deadline = Instant::now() + PATIENCE;
    while bob.iq(&room, "get", question).attribute("type") != "result" {
        assert!(Instant::now() < deadline, "there is no room");
    }
    let own = format!("{room}/bob");
    // Nobody else comes in until it is furnished.
    while Instant::now() < deadline {
        let join = "<x xmlns='http://jabber.org/protocol/muc'/>";
        bob.send(&format!("<presence to='{own}'>{join}</presence>"));
        let mut elements = std::iter::from_fn(|| bob.next_element(T1).ok());
        let answer = elements.find(|it| it.name == "presence" && it.attribute("from") == own);
        if answer.is_some_and(|answer| answer.attribute("type") != "error") {
            return;
        }
    }
    panic!("the room is closed");
}

/// What a user did with this configuration, from his first REGISTER to his last.
fn play(file: &Path, kind: Kind, of: &Domains) {
    let (database, xmpp) = (kind.start(), Peer::Prosody.start());
    fill(&database, of);
    let server = run(file, &database, &xmpp);
    let mut bob = Client::login(&xmpp, "bob");
    let mut phone = Phone { agent: Agent::bind(), server: &server };
    let alice = of.sip_id("alice");

    // save() has answered; the phone is online in Jabber when it says the word.
    phone.registers(&alice, 1, "Subject: registration\r\n");
    phone.writes(&alice, &of.user("bob"), "hello", ACCEPTED);
    let heard = bob.next_message();
    assert_eq!(heard.child_text("body"), Some("hello"));
    assert_eq!(heard.attribute("from"), format!("alice@{DOMAIN}/serXjab"));
    bob.message(&format!("alice@{DOMAIN}"), "hello yourself");
    let heard = phone.hears();
    assert_eq!(heard.text(), "hello yourself");
    assert!(heard.header("From").contains(&of.user("bob")), "{:?}", heard.headers);

    // Bodies that begin with a word for the gateway; `:online` does, too.
    phone.writes(&alice, &of.user("bob"), ":on", ACCEPTED);
    phone.writes(&alice, &of.user("bob"), ":online", ACCEPTED);
    phone.writes(&alice, &of.room(""), ":join", ACCEPTED);
    enters_the_lounge(&mut bob);
    // Who is not in the room yet is told so by a text, as ever.
    let said = (0..20).find_map(|_| {
        phone.writes(&alice, &of.room(""), "good evening", ACCEPTED);
        let said = bob.message_within(T1);
        said.filter(|said| said.child_text("body") == Some("good evening"))
    });
    let said = said.expect("a message in the room");
    assert_eq!(said.attribute("from"), format!("lounge@conference.{DOMAIN}/alice"));
    phone.writes(&alice, &of.room(""), ":exit", ACCEPTED);
    while phone.hears().text() != "INFO: You have just left the conference." {}

    // Other networks behind the server; what is no message is swallowed.
    phone.writes(&alice, &format!("sip:1234567@icq.{}", of.jabber), "hello", ACCEPTED);
    for method in ["OPTIONS", "INFO"] {
        let answer = phone.asks(method, &alice, &of.user("bob"));
        assert_eq!((answer.status(), answer.reason()), (202, "Accepted"), "{method}");
    }

    // Who has no session cannot leave one.
    phone.writes(&alice, &of.user("bob"), ":off", ACCEPTED);
    phone.writes(&alice, &of.user("bob"), ":off", NOT_FOUND);
    let answer = Outgoing::new(&alice, &of.room(""), ":exit");
    let answer = phone.agent.ask(&answer, server.address);
    assert_eq!(answer.status(), 404);
    // A stranger is accepted and told later, where he has no phone not at all.
    phone.writes(&of.sip_id("mallory"), &of.user("bob"), "let me in", ACCEPTED);

    // Between phones it is a SIP server like any other.
    let (carol, other) = (of.sip_id("carol"), Agent::bind());
    phone.writes(&carol, &of.sip_id("nobody"), "hello", NOT_FOUND);
    let sent = Outgoing::new(&carol, &alice, "from phone to phone");
    other.send_udp(&sent.to_bytes("UDP", other.local), server.address);
    assert_eq!(phone.hears().text(), "from phone to phone");

    // A REGISTER without the word says good-bye to Jabber, if there was a session or not.
    phone.registers(&alice, 2, "");
    phone.writes(&alice, &of.user("bob"), ":off", NOT_FOUND);
    bob.message(&format!("alice@{DOMAIN}"), "are you there?");
    // The gateway's own texts come late, as they did.
    while let Some(heard) = phone.agent.serve(200, "OK", T1) {
        assert_ne!(heard.text(), "are you there?", "nobody is online");
    }
    assert!(server.process.lines().iter().all(|line| !line.contains(SECRET)));
}

each_database!(compat_ser_a_jabber_configuration_answers_as_it_did);

fn compat_ser_a_jabber_configuration_answers_as_it_did(kind: Kind) {
    play(&own("jabber.cfg"), kind, &OURS);
}

/// SER's own sample, where it is at hand.
#[test]
fn compat_ser_the_sample_of_the_module_answers_as_it_did() {
    let of = Domains { sip: "sip.server.com", jabber: "jabber.server.com" };
    for name in ["ser-0.8.12-jabber-xxjab.cfg", "ser-0.9-jabber-xxjab.cfg"] {
        if let Some(file) = shipped(name) {
            play(&file, Kind::Mariadb, &of);
        }
    }
}
