use super::*;
use crate::xmpp::stream::ladder::{self, Rungs};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' \
    xmlns:stream='http://etherx.jabber.org/streams' from='xmpp.example' id='s1'>";
const OLD_HEADER: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' from='xmpp.example' id='3EE948B0'>";
const CLOSE: &str = "</stream:stream>";
const TLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const BIND: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
const SM: &str = "<sm xmlns='urn:xmpp:sm:3'/>";
const BOUND: &str = "<iq type='result' id='sipjab-bind'><bind \
    xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@xmpp.example/r</jid></bind></iq>";
const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='old' resume='true'/>";

fn features(inside: &str) -> String {
    format!("<stream:features>{inside}</stream:features>")
}

fn mechanisms(names: &str) -> String {
    let names: String =
        names.split(' ').map(|name| format!("<mechanism>{name}</mechanism>")).collect();
    format!("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{names}</mechanisms>")
}

fn error(condition: &str) -> String {
    format!(
        "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\
         {CLOSE}"
    )
}

/// A client against a scripted server.
type Ladder = ladder::Ladder<Client>;

impl Rungs for Client {
    fn hear(&mut self, now: Instant, bytes: &[u8]) {
        self.handle_bytes(now, bytes);
    }

    fn close(&mut self, now: Instant) {
        self.close(now);
    }

    fn lose(&mut self) {
        self.handle_closed();
    }

    fn wake(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn due(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn said(&mut self) -> Option<Vec<u8>> {
        self.poll_transmit()
    }

    fn reported(&mut self) -> Option<String> {
        Some(match self.poll_event()? {
            Event::StartTls => "StartTls".into(),
            Event::Derive(_) => "Derive".into(),
            Event::Ready { jid, is_resumed: false } => format!("Ready {jid}"),
            Event::Ready { .. } => "Resumed".into(),
            Event::Stanza(stanza) => format!("Stanza {}", stanza.name()),
            Event::AckAsked(count) => format!("AckAsked {count}"),
            Event::Acked(token) => format!("Acked {token}"),
            Event::Lost(token) => format!("Lost {token}"),
            Event::Refused(refusal) => format!("Refused {refusal}"),
            Event::Closed(reason) => format!("Closed {reason}"),
        })
    }

    /// The names of the outermost elements in `bytes`.
    fn describe(bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let (mut names, mut depth) = (Vec::new(), 0_i32);
        for tag in text.split('<').skip(1).filter(|tag| !tag.starts_with('?')) {
            let name = tag.split([' ', '>', '/']).next().unwrap_or_default();
            if name == "stream:stream" {
                names.push(name.to_owned());
            } else if let Some(closing) = tag.strip_prefix('/') {
                depth -= 1;
                if closing.starts_with("stream:stream") {
                    depth = 0;
                    names.push("/stream:stream".into());
                }
            } else {
                if depth == 0 {
                    names.push(name.to_owned());
                }
                depth += i32::from(!tag.split('>').next().unwrap_or_default().ends_with('/'));
            }
        }
        if names.is_empty() { "bytes".into() } else { names.join(",") }
    }
}

impl Ladder {
    fn resuming(resumption: Option<Resumption>, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = ClientConfig::new("alice", "xmpp.example", "secret");
        config.security = Security::WhereOffered;
        change(&mut config);
        Self::of(|start| Client::new(config, resumption, start))
    }

    fn new(change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut ladder = Self::resuming(None, change);
        ladder.stream.start(ladder.now);
        ladder.note("connected".into());
        ladder
    }

    /// Authenticated by PLAIN on a connection that had TLS before; `offered` comes next.
    fn authenticated(resumption: Option<Resumption>, offered: &str) -> Self {
        let mut ladder = Self::resuming(resumption, |_| ());
        ladder.stream.handle_tls(ladder.now, None);
        ladder.stream.start(ladder.now);
        ladder.hears(HEADER).hears(features(&mechanisms("PLAIN"))).hears(SUCCESS).hears(HEADER);
        ladder.hears(features(offered));
        ladder
    }

    /// Ready, and nothing noted yet.
    fn ready(offered: &str) -> Self {
        let mut ladder = Self::authenticated(None, &format!("{BIND}{offered}"));
        ladder.hears(BOUND);
        if offered.contains(SM) {
            ladder.hears(ENABLED);
        }
        assert!(ladder.stream.is_ready());
        ladder.lines.clear();
        ladder.sent.clear();
        ladder
    }

    fn sends(&mut self, token: u64) -> &mut Self {
        let stanza = format!("<message id='{token}'/>");
        self.stream.send(Some(token), stanza.into_bytes()).unwrap();
        self.note(format!("send {token}"))
    }

    fn makes_tls(&mut self) -> &mut Self {
        self.stream.handle_tls(self.now, Some([7; 32]));
        self.note("TLS".into())
    }
}

#[test]
fn tls_then_sasl_then_a_resource() {
    let mut ladder = Ladder::new(|_| ());
    ladder.at(10).hears(HEADER).hears(features(TLS)).at(20).hears(PROCEED).at(30).makes_tls();
    ladder.at(40).hears(HEADER).hears(features(&mechanisms("PLAIN"))).at(50).hears(SUCCESS);
    ladder.at(60).hears(HEADER).hears(features(&format!("{BIND}{SM}"))).at(70).hears(BOUND);
    ladder.at(80).hears(ENABLED);
    ladder.reads(
        "
         0 ms  connected           --> stream:stream
        10 ms  <-- stream:stream
        10 ms  <-- stream:features --> starttls
        20 ms  <-- proceed         StartTls
        30 ms  TLS                 --> stream:stream
        40 ms  <-- stream:stream
        40 ms  <-- stream:features --> auth
        50 ms  <-- success         --> stream:stream
        60 ms  <-- stream:stream
        60 ms  <-- stream:features --> iq
        70 ms  <-- iq              --> enable
        80 ms  <-- enabled         --> iq,iq,presence,r  Ready alice@xmpp.example/r
        ",
    );
}

#[test]
fn the_whole_of_scram_with_a_server_that_knows_the_password() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let mut ladder = Ladder::new(|_| ());
    ladder.hears(HEADER).hears(features(&mechanisms("SCRAM-SHA-1")));
    let initial = ladder.sent.split("mechanism='SCRAM-SHA-1'>").nth(1).unwrap();
    let initial = STANDARD.decode(initial.split('<').next().unwrap()).unwrap();
    let nonce = String::from_utf8(initial).unwrap().split("r=").nth(1).unwrap().to_owned();
    let challenge = STANDARD.encode(format!("r={nonce}x,s=QSXCR+Q6sek8bf92,i=4096"));
    let text =
        format!("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{challenge}</challenge>");
    ladder.stream.handle_bytes(ladder.now, text.as_bytes());
    let Some(Event::Derive(derivation)) = ladder.stream.poll_event() else { panic!("no work") };
    ladder.stream.handle_keys(ladder.now, &derivation.run());
    ladder.note("keys".into());
    // Who does not know the password cannot say what the server must.
    ladder.hears(SUCCESS);
    ladder.lines.drain(..3);
    ladder.reads(
        "
        0 ms  keys         --> response
        0 ms  <-- success  --> /stream:stream Refused authentication: the server does not know
                           the password, and may be a false one
        ",
    );
}

#[test]
fn what_follows_proceed_in_clear_is_not_believed() {
    let mut ladder = Ladder::new(|_| ());
    ladder.hears(HEADER).hears(features(TLS));
    ladder.hears(format!("{PROCEED}<message/>")).makes_tls().hears(HEADER);
    ladder.lines.drain(..3);
    ladder.reads(
        "0 ms <-- proceed,message StartTls
         0 ms TLS --> stream:stream
         0 ms <-- stream:stream",
    );
}

#[test]
fn who_wants_tls_says_no_password_without_it() {
    let mut ladder = Ladder::new(|config| config.security = Security::Required);
    ladder.hears(HEADER).hears(features(&mechanisms("PLAIN SCRAM-SHA-256")));
    ladder.lines.drain(..2);
    ladder.reads("0 ms <-- stream:features --> /stream:stream Refused the server offers no TLS");
}

#[test]
fn plain_is_not_said_in_clear() {
    let mut ladder = Ladder::new(|_| ());
    ladder.hears(HEADER).hears(features(&mechanisms("PLAIN")));
    ladder.lines.drain(..2);
    ladder.reads(
        "0 ms <-- stream:features --> /stream:stream Refused authentication: the server offers no
         mechanism that we may use: PLAIN",
    );
}

#[test]
fn a_wrong_password_is_a_refusal_and_a_server_in_trouble_is_none() {
    let failure = |condition: &str| {
        let mut ladder = Ladder::new(|_| ());
        ladder.stream.handle_tls(ladder.now, None);
        ladder.hears(HEADER).hears(features(&mechanisms("PLAIN"))).hears(format!(
            "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{condition}/></failure>"
        ));
        ladder.lines.pop().unwrap()
    };
    assert!(failure("not-authorized").contains("Refused authentication: not-authorized"));
    assert!(failure("account-disabled").contains("Refused authentication: account-disabled"));
    assert!(failure("temporary-auth-failure").contains("Closed"));
}

#[test]
fn refusals_of_the_stream_are_told_apart_from_ends() {
    let said = |condition: &str| {
        let mut ladder = Ladder::new(|_| ());
        ladder.hears(HEADER).hears(error(condition));
        ladder.lines.pop().unwrap()
    };
    assert!(said("host-unknown").contains("Refused host-unknown"));
    assert!(said("not-authorized").contains("Refused not-authorized"));
    assert!(said("conflict").contains("Closed peer reported conflict"));
    assert!(said("system-shutdown").contains("Closed peer reported system-shutdown"));
}

/// A login elsewhere with our resource takes the stream, and what was on it cannot be resumed.
#[test]
fn a_conflict_ends_a_ready_stream_for_good() {
    let mut ladder = Ladder::ready(SM);
    ladder.sends(1).hears(error("conflict"));
    ladder.reads(
        "0 ms send 1 --> message
         0 ms <-- stream:error,/stream:stream --> /stream:stream Closed peer reported conflict",
    );
    assert_eq!(ladder.stream.into_resumption().unwrap_err(), [1]);
}

#[test]
fn acknowledgements_tell_what_the_server_has_taken() {
    let mut ladder = Ladder::ready(SM);
    // Roster, carbons and presence come first.
    ladder.at(10).hears("<a xmlns='urn:xmpp:sm:3' h='3'/>").sends(1).sends(2);
    ladder.at(20).hears("<a xmlns='urn:xmpp:sm:3' h='4'/>");
    ladder.at(30).hears("<a xmlns='urn:xmpp:sm:3' h='5'/>");
    ladder.at(40).hears("<message/><iq/>").hears("<r xmlns='urn:xmpp:sm:3'/>");
    ladder.reads(
        "
        10 ms  <-- a
        10 ms  send 1           --> message,r
        10 ms  send 2           --> message
        20 ms  <-- a            --> r  Acked 1
        30 ms  <-- a            Acked 2
        40 ms  <-- message,iq   Stanza message Stanza iq
        40 ms  <-- r            --> a
        ",
    );
    assert!(ladder.sent.ends_with("<a xmlns='urn:xmpp:sm:3' h='2'/>"), "{}", ladder.sent);
}

#[test]
fn who_keeps_stanzas_says_when_they_are_taken() {
    let mut ladder = Ladder::ready(SM);
    Arc::make_mut(&mut ladder.stream.config).keeps = true;
    ladder.hears("<message/>").hears("<r xmlns='urn:xmpp:sm:3'/>");
    ladder.at(10).stream.acknowledge(1);
    ladder.note("taken".into());
    ladder.reads(
        "
         0 ms  <-- message  Stanza message
         0 ms  <-- r        AckAsked 1
        10 ms  taken        --> a
        ",
    );
    assert!(ladder.sent.ends_with("<a xmlns='urn:xmpp:sm:3' h='1'/>"), "{}", ladder.sent);
}

#[test]
fn who_settles_late_asks_twice() {
    let mut ladder = Ladder::ready(SM);
    Arc::make_mut(&mut ladder.stream.config).settles_late = true;
    ladder.hears("<a xmlns='urn:xmpp:sm:3' h='3'/>").sends(1);
    ladder.at(10).hears("<a xmlns='urn:xmpp:sm:3' h='4'/>");
    ladder.at(20).hears("<a xmlns='urn:xmpp:sm:3' h='4'/>");
    ladder.at(30).sends(2).hears("<a xmlns='urn:xmpp:sm:3' h='5'/>");
    ladder.reads(
        "
         0 ms  <-- a
         0 ms  send 1  --> message,r
        10 ms  <-- a   --> r
        20 ms  <-- a   Acked 1
        30 ms  send 2  --> message,r
        30 ms  <-- a   --> r
        ",
    );
    // A stream that breaks leaves it open; one that is closed in order does not.
    ladder.loses_the_connection();
    assert_eq!(ladder.stream.into_resumption().unwrap().give_up(), [2]);
    let mut ladder = Ladder::ready(SM);
    Arc::make_mut(&mut ladder.stream.config).settles_late = true;
    ladder.hears("<a xmlns='urn:xmpp:sm:3' h='3'/>").sends(1);
    ladder.hears("<a xmlns='urn:xmpp:sm:3' h='4'/>");
    ladder.stream.close(ladder.now);
    ladder.note("close".into()).hears(CLOSE).lines.drain(..3);
    ladder.reads(
        "0 ms close --> a,/stream:stream 0 ms <-- /stream:stream Acked 1 Closed closed by us",
    );
}

#[test]
fn a_count_of_what_was_never_sent_ends_the_stream() {
    let mut ladder = Ladder::ready(SM);
    ladder.hears("<a xmlns='urn:xmpp:sm:3' h='9'/>");
    ladder.reads(
        "0 ms <-- a --> stream:error,/stream:stream
         Closed peer misbehaved: acknowledged what was never sent",
    );
}

#[test]
fn without_acknowledgements_a_ping_asks() {
    let mut ladder = Ladder::ready("");
    ladder.sends(1).sends(2).at(10).hears("<iq type='result' id='sipjab-ping-1'/>");
    ladder.at(20).hears("<iq type='error' id='sipjab-ping-2'/>");
    ladder.reads(
        "
         0 ms  send 1  --> message,iq
         0 ms  send 2  --> message
        10 ms  <-- iq  --> iq  Acked 1
        20 ms  <-- iq  Acked 2
        ",
    );
}

#[test]
fn a_stream_that_broke_goes_on_and_sends_again_what_was_not_taken() {
    let mut broken = Ladder::ready(SM);
    broken.sends(1).sends(2).sends(3).hears("<message/>").loses_the_connection();
    let resumption = broken.stream.into_resumption().unwrap();
    let mut ladder = Ladder::authenticated(Some(resumption), &format!("{BIND}{SM}"));
    assert!(ladder.sent.ends_with("<resume xmlns='urn:xmpp:sm:3' previd='old' h='1'/>"));
    ladder.lines.clear();
    ladder.hears("<resumed xmlns='urn:xmpp:sm:3' previd='old' h='4'/>");
    ladder.hears("<a xmlns='urn:xmpp:sm:3' h='6'/>");
    ladder.reads(
        "0 ms <-- resumed --> message,message,r Acked 1 Resumed
         0 ms <-- a Acked 2 Acked 3",
    );
    assert!(ladder.sent.contains("<message id='2'/><message id='3'/>"));
}

#[test]
fn a_server_that_has_forgotten_gets_a_new_stream_and_the_fates_are_unknown() {
    let mut broken = Ladder::ready(SM);
    broken.sends(1).sends(2).loses_the_connection();
    let resumption = broken.stream.into_resumption().unwrap();
    let mut ladder = Ladder::authenticated(Some(resumption), &format!("{BIND}{SM}"));
    ladder.lines.clear();
    ladder.hears("<failed xmlns='urn:xmpp:sm:3' h='4'/>").hears(BOUND).hears(ENABLED);
    ladder.reads(
        "0 ms <-- failed --> iq Acked 1 Lost 2
         0 ms <-- iq --> enable
         0 ms <-- enabled --> iq,iq,presence,r Ready alice@xmpp.example/r",
    );
}

#[test]
fn an_attempt_that_fails_early_keeps_the_old_stream() {
    let mut broken = Ladder::ready(SM);
    broken.sends(1).loses_the_connection();
    let resumption = broken.stream.into_resumption().unwrap();
    let mut ladder = Ladder::resuming(Some(resumption), |_| ());
    ladder.loses_the_connection();
    assert_eq!(ladder.stream.into_resumption().unwrap().give_up(), [1]);
}

#[test]
fn a_silent_server_is_probed_and_then_given_up() {
    for (offered, question) in [(SM, "r"), ("", "iq")] {
        let mut ladder = Ladder::ready(offered);
        if !offered.is_empty() {
            ladder.hears("<a xmlns='urn:xmpp:sm:3' h='3'/>");
        }
        ladder.lines.clear();
        ladder.waits(200_000);
        ladder.reads(&format!(
            "120000 ms timeout --> {question}
             150000 ms timeout --> stream:error,/stream:stream
             Closed no answer to a ping in time",
        ));
    }
}

#[test]
fn every_step_has_its_time() {
    let mut ladder = Ladder::new(|_| ());
    ladder.waits(60_000);
    assert!(ladder.lines[1].contains("20000 ms timeout"));
    assert!(ladder.lines[1].contains("Closed no stream header in time"));
    let mut ladder = Ladder::authenticated(None, BIND);
    ladder.waits(60_000);
    assert!(ladder.lines.pop().unwrap().contains("Closed no resource in time"));
}

#[test]
fn a_server_without_tls_and_sasl_is_spoken_to_by_setting_only() {
    let mut ladder = Ladder::new(|config| {
        config.legacy_auth = true;
        config.resource = Some("serXjab".into());
    });
    ladder.hears(OLD_HEADER).hears(
        "<iq type='result' id='sipjab-auth-1'><query xmlns='jabber:iq:auth'><username/>\
         <password/><digest/><resource/></query></iq>",
    );
    ladder.hears("<iq type='result' id='sipjab-auth-2'/>");
    ladder.reads(
        "0 ms connected --> stream:stream
         0 ms <-- stream:stream --> iq
         0 ms <-- iq --> iq
         0 ms <-- iq --> iq,iq,presence Ready alice@xmpp.example/serXjab",
    );
    // SHA1("3EE948B0" + "secret")
    assert!(
        ladder.sent.contains("<digest>9b825444a6724723ce364240e754cbc51ecca203<"),
        "{}",
        ladder.sent
    );
    let mut ladder = Ladder::new(|_| ());
    ladder.hears(OLD_HEADER);
    assert!(ladder.lines[1].contains("Refused"), "{:?}", ladder.lines);
}

#[test]
fn no_resource_is_a_refusal() {
    let mut ladder = Ladder::authenticated(None, BIND);
    ladder.hears(
        "<iq type='error' id='sipjab-bind'><error type='cancel'><conflict \
         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    );
    assert!(ladder.lines.pop().unwrap().contains("Refused no resource: conflict"));
}

#[test]
fn nobody_looks_unless_the_server_wants_to_know() {
    let mut ladder = Ladder::ready("<csi xmlns='urn:xmpp:csi:0'/>");
    assert!(ladder.stream.set_active(false));
    ladder.note("inactive".into());
    assert!(ladder.sent.ends_with("<inactive xmlns='urn:xmpp:csi:0'/>"));
    assert!(!Ladder::ready("").stream.set_active(false));
}

/// Whatever way TCP cuts the server's bytes, they mean the same.
#[test]
fn single_bytes_mean_the_same() {
    let mut ladder = Ladder::authenticated(None, BIND);
    ladder.lines.clear();
    for byte in format!("{BOUND}<message/>").bytes() {
        ladder.stream.handle_bytes(ladder.now, &[byte]);
    }
    ladder.note("<-- all".into());
    ladder.reads("0 ms <-- all --> iq,iq,presence Ready alice@xmpp.example/r Stanza message");
}

#[test]
fn a_stream_that_we_close_cannot_be_resumed() {
    let mut ladder = Ladder::ready(SM);
    ladder.stream.close(ladder.now);
    ladder.note("close".into()).hears(format!("<message/>{CLOSE}"));
    ladder.reads(
        "0 ms close --> a,/stream:stream
         0 ms <-- message,/stream:stream Stanza message Closed closed by us",
    );
    assert!(ladder.stream.into_resumption().is_err());
}

#[test]
fn no_password_is_shown() {
    let ladder = Ladder::new(|_| ());
    assert!(!format!("{:?}", ladder.stream).contains("secret"));
}
