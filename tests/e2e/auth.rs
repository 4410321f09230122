//! Who registers must prove who it is: SIPp with digests of its own, and a phone that tries what it may not.

use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use md5::Md5;
use sha2::Digest;

use crate::process::PATIENCE;
use crate::sip::Message;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::sipp;
use crate::subscriber::{Credentials, hex, parameter};

const ROUTE: &str = r#"
fn request_route() {
    if !www_authorize("sip.example", "subscriber") {
        info("refused: " + auth_result());
        www_challenge("sip.example", 0);
        return;
    }
    if !check_to() || !check_from() { sl_send_reply(403, "Not Your Address"); return; }
    save("location");
}
"#;

/// A user whose HA1 goes where the `%` stands.
const ALICE_HA1: &str = "INSERT INTO subscriber (username, domain, ha1) VALUES \
                         ('alice', 'sip.example', '%');";
const ALICE_PASSWORD: &str = "INSERT INTO subscriber (username, domain, password) VALUES \
                              ('alice', 'sip.example', 'open sesame');";

/// The program with one user, whose HA1 or, where it computes that, whose password is in the database.
fn start(parameters: &str) -> Sipjab {
    let table = format!("[modules.auth]\n{parameters}\n");
    let sipjab = Sipjab::start(&Setup::script(ROUTE).with(&table));
    match parameters.contains("calculate_ha1") {
        true => sipjab.sql(ALICE_PASSWORD),
        false => {
            let ha1 = hex(&Md5::digest("alice:sip.example:open sesame"));
            sipjab.sql(&ALICE_HA1.replace('%', &ha1));
        }
    }
    sipjab
}

#[test]
fn sipp_registers_with_a_digest() {
    let sipjab = start("");
    let user = ["-au", "alice", "-ap", "open sesame", "-auth_uri", "sip.example"];
    sipp::play_with("register_digest.xml", "u1", 200, 100, sipjab.udp, &user);
    sipjab.terminate();
}

/// A phone that answers challenges with what it believes its password is.
struct Phone {
    agent: Agent,
    username: &'static str,
    password: &'static str,
}

/// The headers and their values that a REGISTER has besides the usual.
type Extra<'a> = &'a [(&'a str, &'a str)];

impl Phone {
    fn new(username: &'static str, password: &'static str) -> Self {
        Self { agent: Agent::bind(), username, password }
    }

    /// Sends a REGISTER of alice and waits for its answer.
    fn register(&mut self, sipjab: &Sipjab, extra: Extra<'_>) -> Message {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let (local, branch) = (self.agent.local, format!("z9hG4bK-auth{number}"));
        let mut text = format!(
            "REGISTER sip:sip.example SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch={branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@sip.example>;tag=1\r\nTo: <sip:alice@sip.example>\r\n\
             Call-ID: auth{number}\r\nCSeq: 1 REGISTER\r\nContact: <sip:alice@{local}>\r\n"
        );
        for (name, value) in extra {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        self.agent.send_udp((text + "Content-Length: 0\r\n\r\n").as_bytes(), sipjab.udp);
        self.agent.final_response(&branch, PATIENCE).expect("a REGISTER is answered")
    }

    /// What follows from the challenge with this algorithm.
    fn credentials(&self, challenge: &Message, algorithm: &str, count: u32) -> String {
        let is_asked =
            challenges(challenge).any(|it| it.contains(&format!("algorithm={algorithm}")));
        assert!(is_asked, "{algorithm} is not offered");
        let Self { username, password, .. } = *self;
        let (method, uri) = ("REGISTER", "sip:sip.example");
        let user = Credentials { username, password, method, uri };
        user.answer(challenge.header("WWW-Authenticate"), algorithm, count)
    }

    /// A challenge, and the answer to the credentials for it.
    fn log_in(&mut self, sipjab: &Sipjab, algorithm: &str) -> (Message, Message) {
        let challenge = self.register(sipjab, &[]);
        assert_eq!(challenge.status(), 401);
        let credentials = self.credentials(&challenge, algorithm, 1);
        let answer = self.register(sipjab, &[("Authorization", &credentials)]);
        (challenge, answer)
    }
}

fn challenges(message: &Message) -> impl Iterator<Item = &str> {
    let is_challenge = |name: &str| name.eq_ignore_ascii_case("WWW-Authenticate");
    message.headers.iter().filter(move |(name, _)| is_challenge(name)).map(|(_, value)| &**value)
}

#[test]
fn a_phone_takes_either_algorithm_and_the_stronger_stands_first() {
    let sipjab = start("calculate_ha1 = true");
    let mut alice = Phone::new("alice", "open sesame");
    for algorithm in ["SHA-256", "MD5"] {
        let (challenge, answer) = alice.log_in(&sipjab, algorithm);
        let offered: Vec<_> = challenges(&challenge).collect();
        assert_eq!(offered.len(), 2, "{offered:?}");
        assert!(offered[0].contains("SHA-256") && offered[1].contains("MD5"), "{offered:?}");
        assert_eq!(answer.status(), 200, "{algorithm}");
    }
    sipjab.terminate();
}

#[test]
fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let sipjab = start("");
    let answers = [("alice", "guess"), ("nobody", "open sesame")].map(|(user, password)| {
        let (_, answer) = Phone::new(user, password).log_in(&sipjab, "MD5");
        let challenge = answer.header("WWW-Authenticate");
        let nonce = parameter(challenge, "nonce");
        let names: Vec<_> = answer.headers.iter().map(|(name, _)| name.clone()).collect();
        (answer.start.clone(), names, challenge.replace(nonce, ""))
    });
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].0.contains("401") && !answers[0].2.contains("stale"), "{answers:?}");
    let log = sipjab.terminate().join("\n");
    assert!(log.contains("refused: wrong_password") && log.contains("refused: unknown_user"));
    assert!(!log.contains("sesame"), "{log}");
}

#[test]
fn a_replay_is_refused_and_its_owner_goes_on() {
    let sipjab = start("");
    let mut alice = Phone::new("alice", "open sesame");
    let (challenge, answer) = alice.log_in(&sipjab, "MD5");
    assert_eq!(answer.status(), 200);
    let seen = alice.credentials(&challenge, "MD5", 1);
    let mut mallory = Phone::new("alice", "unknown");
    let replayed = mallory.register(&sipjab, &[("Authorization", &seen)]);
    assert_eq!(replayed.status(), 401);
    assert!(replayed.header("WWW-Authenticate").contains("stale=true"));
    let next = alice.credentials(&challenge, "MD5", 2);
    assert_eq!(alice.register(&sipjab, &[("Authorization", &next)]).status(), 200);
    sipjab.terminate();
}

#[test]
fn garbage_for_credentials_is_a_bad_request() {
    let sipjab = start("");
    let mut mallory = Phone::new("alice", "");
    for (value, status) in [
        ("Digest realm=\"sip.example\", username", 400),
        ("Digest realm=\"sip.example", 400),
        ("Basic YWxpY2U6b3BlbiBzZXNhbWU=", 401),
        ("", 401),
        ("\"", 401),
    ] {
        assert_eq!(
            mallory.register(&sipjab, &[("Authorization", value)]).status(),
            status,
            "{value}"
        );
    }
    sipjab.terminate();
}

#[test]
fn one_user_does_not_register_for_another() {
    let sipjab = start("");
    sipjab.sql(
        &ALICE_HA1
            .replace("'alice'", "'bob'")
            .replace('%', &hex(&Md5::digest("bob:sip.example:his own"))),
    );
    let (_, answer) = Phone::new("bob", "his own").log_in(&sipjab, "MD5");
    assert_eq!((answer.status(), answer.reason()), (403, "Not Your Address"));
    sipjab.terminate();
}
