use super::*;
use crate::xmpp::stream::ladder::{self, Rungs};
use crate::xmpp::stream::test_clock::start_of_time;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' from='sip.example' id='3BF96D32'>";
const CLOSE: &str = "</stream:stream>";

/// A component against a scripted server.
type Ladder = ladder::Ladder<Component>;

impl Rungs for Component {
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
            Event::Ready => "Ready".into(),
            Event::Stanza(stanza) => format!("Stanza {}", stanza.name()),
            Event::Refused(error) => format!("Refused {error}"),
            Event::Closed(reason) => format!("Closed {reason}"),
        })
    }

    /// Names of what stands in `bytes`, short enough for a ladder.
    fn describe(bytes: &[u8]) -> String {
        if bytes == b" " {
            return "space".into();
        }
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
        let names = text.split('<').skip(1).map(|tag| {
            let end = tag.find([' ', '>', '/']).filter(|end| *end > 0);
            match tag.strip_prefix('/') {
                Some(closing) => format!("/{}", closing.trim_end_matches('>')),
                None => tag[..end.unwrap_or(tag.len())].to_owned(),
            }
        });
        let names: Vec<String> = names.filter(|name| name != "?xml").take(4).collect();
        if names.is_empty() { "bytes".into() } else { names.join(",") }
    }
}

impl Ladder {
    fn new(change: impl FnOnce(&mut ComponentConfig)) -> Self {
        let mut config = ComponentConfig::new("sip.example", "test");
        change(&mut config);
        Self::of(|start| Component::new(config, start))
    }

    fn started() -> Self {
        let mut ladder = Self::new(|_| ());
        ladder.stream.start();
        ladder.note("connected".into());
        ladder
    }

    fn ready(change: impl FnOnce(&mut ComponentConfig)) -> Self {
        let mut ladder = Self::new(change);
        ladder.stream.start();
        ladder.stream.handle_bytes(ladder.now, HEADER.as_bytes());
        ladder.stream.handle_bytes(ladder.now, b"<handshake/>");
        assert!(matches!(ladder.stream.poll_event(), Some(Event::Ready)));
        ladder.stream.poll_transmit();
        ladder
    }
}

fn error(condition: &str) -> String {
    format!(
        "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\
         {CLOSE}"
    )
}

#[test]
fn xep_0114_example_handshake() {
    assert_eq!(handshake("3BF96D32", "test"), "aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e");
}

#[test]
fn what_is_sent_first_is_the_header_and_then_the_proof() {
    let mut component =
        Component::new(ComponentConfig::new("sip.example", "test"), start_of_time());
    assert!(component.poll_transmit().is_none());
    component.start();
    let sent = String::from_utf8(component.poll_transmit().unwrap()).unwrap();
    assert_eq!(
        sent,
        "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
         xmlns:stream='http://etherx.jabber.org/streams' to='sip.example'>"
    );
    component.handle_bytes(start_of_time(), HEADER.as_bytes());
    let sent = String::from_utf8(component.poll_transmit().unwrap()).unwrap();
    assert_eq!(sent, "<handshake>aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e</handshake>");
}

#[test]
fn a_good_secret_opens_the_stream() {
    let mut ladder = Ladder::started();
    ladder.at(10).hears(HEADER).at(20).hears("<handshake/>").at(30).hears("<message/> <iq/>");
    ladder.reads(
        "
         0 ms  connected               --> stream:stream
        10 ms  <-- stream:stream       --> handshake,/handshake
        20 ms  <-- handshake           Ready
        30 ms  <-- message,iq          Stanza message  Stanza iq
        ",
    );
}

/// Whatever way TCP cuts the server's bytes, they mean the same.
#[test]
fn single_bytes_open_the_stream_too() {
    let mut ladder = Ladder::started();
    for byte in format!("{HEADER}<handshake></handshake><presence/>").bytes() {
        ladder.stream.handle_bytes(ladder.now, &[byte]);
    }
    ladder.note("<-- all".into());
    ladder.reads(
        "0 ms connected --> stream:stream
         0 ms <-- all --> handshake,/handshake Ready Stanza presence",
    );
}

#[test]
fn nothing_is_sent_before_the_handshake_is_acknowledged() {
    let mut ladder = Ladder::started();
    assert_eq!(ladder.stream.send(b"<message/>"), Err(NotReady));
    ladder.hears(HEADER);
    assert_eq!(ladder.stream.send(b"<message/>"), Err(NotReady));
    ladder.hears("<handshake/>");
    assert_eq!(ladder.stream.send(b"<message/>"), Ok(()));
    assert_eq!(ladder.stream.send(b"<iq/>"), Ok(()));
    assert_eq!(ladder.stream.poll_transmit().unwrap(), b"<message/><iq/>");
    ladder.closes();
    assert_eq!(ladder.stream.send(b"<message/>"), Err(NotReady));
}

#[test]
fn a_wrong_secret_is_a_refusal() {
    let mut ladder = Ladder::started();
    ladder.at(10).hears(HEADER).at(20).hears(error("not-authorized")).loses_the_connection();
    ladder.reads(
        "
         0 ms  connected               --> stream:stream
        10 ms  <-- stream:stream       --> handshake,/handshake
        20 ms  <-- stream:error,not-authorized,/stream:error,/stream:stream
                                       --> /stream:stream  Refused not-authorized
        20 ms  <-- EOF
        ",
    );
    assert!(ladder.stream.is_closed());
    assert_eq!(ladder.stream.poll_timeout(), None);
}

#[test]
fn an_unknown_domain_is_a_refusal() {
    let mut ladder = Ladder::started();
    ladder.hears(format!("{HEADER}{}", error("host-unknown")));
    assert!(ladder.lines[1].ends_with("Refused host-unknown"), "{:?}", ladder.lines);
}

#[test]
fn a_server_that_shuts_down_is_no_refusal() {
    let mut ladder = Ladder::ready(|_| ());
    ladder.at(50).hears(error("system-shutdown"));
    ladder.reads(
        "50 ms <-- stream:error,system-shutdown,/stream:error,/stream:stream
                  --> /stream:stream  Closed peer reported system-shutdown",
    );
}

#[test]
fn a_server_that_closes_gets_our_closing_tag() {
    let mut ladder = Ladder::ready(|_| ());
    ladder.at(50).hears(CLOSE).loses_the_connection();
    ladder.reads(
        "
        50 ms  <-- /stream:stream      --> /stream:stream  Closed peer closed the stream
        50 ms  <-- EOF
        ",
    );
}

#[test]
fn we_close_in_order_and_still_take_what_is_under_way() {
    let mut ladder = Ladder::ready(|_| ());
    ladder.stream.send(b"<message/>").unwrap();
    ladder.at(50).closes().at(60).hears("<message/>").at(70).hears(CLOSE);
    ladder.reads(
        "
        50 ms  close                   --> message,/stream:stream
        60 ms  <-- message             Stanza message
        70 ms  <-- /stream:stream      Closed closed by us
        ",
    );
}

#[test]
fn a_server_that_does_not_close_is_not_waited_for() {
    let mut ladder = Ladder::ready(|_| ());
    ladder.at(50).closes().waits(60_000);
    ladder.reads(
        "
          50 ms  close                 --> /stream:stream
        5050 ms  timeout               Closed closed by us
        ",
    );
}

#[test]
fn a_connection_that_is_lost_is_reported_once() {
    let mut ladder = Ladder::ready(|_| ());
    ladder.at(9).loses_the_connection().loses_the_connection();
    ladder.reads("9 ms <-- EOF Closed connection lost  9 ms <-- EOF");
}

#[test]
fn each_step_to_a_ready_stream_has_a_deadline() {
    let mut connecting = Ladder::new(|_| ());
    connecting.waits(60_000).reads("10000 ms timeout Closed no connection in time");

    let mut silent = Ladder::started();
    silent.waits(60_000);
    silent.reads(
        "
            0 ms  connected            --> stream:stream
        10000 ms  timeout              --> stream:error,connection-timeout,/stream:error,/stream:stream
                                       Closed no stream header in time
        ",
    );

    let mut stalling = Ladder::started();
    stalling.at(9000).hears(HEADER).waits(60_000);
    stalling.reads(
        "
            0 ms  connected            --> stream:stream
         9000 ms  <-- stream:stream    --> handshake,/handshake
        10000 ms  timeout              --> stream:error,connection-timeout,/stream:error,/stream:stream
                                       Closed no handshake in time
        ",
    );
}

#[test]
fn a_silent_server_gets_whitespace() {
    let mut ladder = Ladder::ready(|_| ());
    ladder.waits(130_000);
    ladder.reads("60000 ms timeout --> space  120000 ms timeout --> space");
}

#[test]
fn a_server_that_answers_pings_lives_and_one_that_does_not_is_dead() {
    let mut ladder = Ladder::ready(|config| config.ping = Some("example".into()));
    ladder.waits(60_000).at(60_500).hears("<iq type='result' id='sipjab-probe-1'/>");
    ladder.waits(200_000);
    ladder.reads(
        "
         60000 ms  timeout             --> iq,ping,/iq
         60500 ms  <-- iq
        120500 ms  timeout             --> iq,ping,/iq
        140500 ms  timeout             --> stream:error,connection-timeout,/stream:error,/stream:stream
                                       Closed no answer to a ping in time
        ",
    );
}

#[test]
fn stanzas_put_off_the_probe() {
    let mut ladder = Ladder::ready(|_| ());
    ladder.at(59_000).hears("<message/>").waits(118_000).waits(119_000);
    ladder.reads(
        "
         59000 ms  <-- message         Stanza message
        119000 ms  timeout             --> space
        ",
    );
}

/// What a hostile or broken server sends, and what it is told.
#[test]
fn broken_streams_end_with_the_condition_that_fits() {
    let nested = "<a>".repeat(100_000);
    let bomb = "<!DOCTYPE a [<!ENTITY b 'c'><!ENTITY d '&b;&b;&b;'>]><message>&d;</message>";
    for (bytes, condition) in [
        (b"\x16\x03\x01\x02\x00\x01\x00".as_slice(), "bad-format"),
        (nested.as_bytes(), "policy-violation"),
        (bomb.as_bytes(), "restricted-xml"),
        (b"<message><body>&lol9;</body></message>", "restricted-xml"),
        (b"<message><body>\xff\xfe</body></message>", "unsupported-encoding"),
        (b"<message><body>\x01</body></message>", "not-well-formed"),
        (b"<message to='a' to='b'/>", "not-well-formed"),
        (b"<message><body></message></body>", "not-well-formed"),
    ] {
        let mut ladder = Ladder::ready(|_| ());
        ladder.stream.handle_bytes(ladder.now, bytes);
        let sent = ladder.stream.poll_transmit().unwrap();
        assert_eq!(String::from_utf8(sent).unwrap(), error(condition));
        let Some(Event::Closed(reason)) = ladder.stream.poll_event() else {
            panic!("not closed after {}", bytes.escape_ascii());
        };
        assert_eq!(reason.condition().map(StreamCondition::name), Some(condition));
        assert!(ladder.stream.is_closed() && ladder.stream.poll_event().is_none());
    }
}

#[test]
fn a_stanza_of_100_megabytes_is_refused_early() {
    let mut ladder = Ladder::ready(|_| ());
    ladder.stream.handle_bytes(ladder.now, b"<message><body>");
    let piece = [b'x'; 64 * 1024];
    let mut taken = 0;
    while !ladder.stream.is_closed() {
        ladder.stream.handle_bytes(ladder.now, &piece);
        taken += piece.len();
    }
    assert!(taken <= Limits::DEFAULT.stanza + piece.len());
    ladder.note("<-- bytes".into());
    ladder.reads(
        "0 ms <-- bytes --> stream:error,policy-violation,/stream:error,/stream:stream
         Closed peer broke the stream: too large: stanza",
    );
}

#[test]
fn a_server_of_another_kind_is_told_so() {
    let mut ladder = Ladder::started();
    ladder.hears(HEADER.replace("jabber:component:accept", "jabber:client"));
    assert!(ladder.lines[1].contains("invalid-namespace"), "{:?}", ladder.lines);
    let mut ladder = Ladder::started();
    ladder.hears("HTTP/1.1 400 Bad Request\r\n\r\n");
    assert!(ladder.lines[1].contains("not-well-formed"), "{:?}", ladder.lines);
}

#[test]
fn a_stanza_before_the_handshake_is_misbehaviour() {
    let mut ladder = Ladder::started();
    ladder.hears(HEADER).hears("<message/>");
    assert!(ladder.lines[2].contains("stanza before the handshake"), "{:?}", ladder.lines);
}

/// What the servers really send, as far as it differs.
struct Server {
    header: &'static str,
    acknowledgement: &'static str,
    refusal: &'static str,
}

const PROSODY: Server = Server {
    header: "<?xml version='1.0'?><stream:stream xml:lang='en' from='sip.localhost' \
        xmlns:stream='http://etherx.jabber.org/streams' id='561c87b3-0477-4368-b29e' \
        xmlns='jabber:component:accept'>",
    acknowledgement: "<handshake/>",
    refusal: "<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
        <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>Given token does not match calculated \
        token</text></stream:error></stream:stream>",
};

const EJABBERD: Server = Server {
    header: "<?xml version='1.0'?><stream:stream id='14194412341919269217' xml:lang='en' \
        xmlns:stream='http://etherx.jabber.org/streams' from='sip.localhost' \
        xmlns='jabber:component:accept'>",
    acknowledgement: "<handshake/>",
    refusal: "<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
        </stream:error>",
};

const JABBERD2: Server = Server {
    header: "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' \
        xmlns='jabber:component:accept' from='sip.localhost' id='nssnvls9x8arpc9o4w4hnf5r922'>",
    acknowledgement: "<handshake xmlns='jabber:component:accept'></handshake>",
    refusal: "<stream:error xmlns:stream='http://etherx.jabber.org/streams'><not-authorized \
        xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text \
        xmlns='urn:ietf:params:xml:ns:xmpp-streams'>hash didn't match, auth failed</text>\
        </stream:error></stream:stream>",
};

#[test]
fn compat_prosody_ejabberd_and_jabberd2_let_us_in_and_refuse_us() {
    for server in [PROSODY, EJABBERD, JABBERD2] {
        let mut ladder = Ladder::started();
        ladder.hears(server.header).hears(server.acknowledgement);
        assert!(ladder.stream.is_ready(), "{:?}", ladder.lines);
        let mut ladder = Ladder::started();
        ladder.hears(server.header).hears(server.refusal);
        assert!(ladder.lines[2].contains("Refused not-authorized"), "{:?}", ladder.lines);
    }
}

/// Prosody 0.12 gives no id to a stream for a domain that it does not know, and ends it at once.
#[test]
fn compat_prosody_header_and_error_in_one_piece() {
    let mut ladder = Ladder::started();
    ladder.hears(format!(
        "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' \
         id='' xmlns='jabber:component:accept' version='1.0'>{}",
        error("host-unknown")
    ));
    assert!(ladder.lines[1].ends_with("Refused host-unknown"), "{:?}", ladder.lines);
}

#[test]
fn compat_jabberd_14_errors_have_text_and_nothing_else() {
    let mut ladder = Ladder::started();
    ladder.hears(HEADER).hears("<stream:error>Invalid handshake</stream:error></stream:stream>");
    let refusal = "Refused undefined-condition: Invalid handshake";
    assert!(ladder.lines[2].ends_with(refusal), "{:?}", ladder.lines);
}

#[test]
fn a_conflict_with_our_own_lost_connection_is_no_refusal() {
    let mut ladder = Ladder::started();
    ladder.hears(HEADER).hears(error("conflict"));
    assert!(ladder.lines[2].ends_with("Closed peer reported conflict"), "{:?}", ladder.lines);
}
