use super::*;
use crate::sip::transaction::ladder::origin;
use crate::xmpp::ns::ContentNamespace;
use crate::xmpp::{Condition, jid};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A stream and what crosses it.
struct Wire {
    handover: Handover<&'static str>,
    now: Instant,
}

impl Wire {
    fn ready(limit: usize) -> Self {
        let mut handover = Handover::new("sip.example", limit, TIMEOUT);
        handover.handle_ready();
        Self { handover, now: origin() }
    }

    fn push(&mut self, id: &'static str, to: &str) -> Result<(), &'static str> {
        let to = jid::parse(to).unwrap();
        let from = jid::parse("romeo@sip.example").unwrap();
        let bytes = format!("<message id='{id}'/>").into_bytes();
        let id_ = id.to_owned();
        let stanza = OutgoingStanza { bytes, id: id_, to, from, asks_receipt: false };
        self.handover.push(self.now, stanza, id)
    }

    fn sent(&mut self) -> String {
        let mut out = Vec::new();
        self.handover.poll_transmit(self.now, &mut out, 4096);
        String::from_utf8(out).unwrap()
    }

    fn hears(&mut self, stanza: &str) -> bool {
        let stanza = Stanza::parse(stanza, ContentNamespace::Component).unwrap();
        self.handover.handle_stanza(self.now, &stanza)
    }

    fn fates(&mut self) -> Vec<(&'static str, Fate)> {
        let told = std::iter::from_fn(|| self.handover.poll_fate());
        told.inspect(|(id, stanza, _)| assert_eq!(stanza.id, *id))
            .map(|(id, _, fate)| (id, fate))
            .collect()
    }

    fn pong(&mut self, domain: &str, sent: &str) -> bool {
        self.hears(&format!("<iq type='result' from='{domain}' id='{}'/>", ping_id(sent)))
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
        self.handover.handle_timeout(self.now);
    }
}

fn error(id: &str, from: &str) -> String {
    format!(
        "<message type='error' from='{from}' id='{id}'><error type='cancel'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    )
}

fn not_found() -> Fate {
    Fate::Failed(Condition::ItemNotFound.into())
}

fn ping_id(sent: &str) -> &str {
    let at = sent.find("<iq").expect("a ping was sent");
    let quote = if sent[at..].contains("id=\"") { '"' } else { '\'' };
    sent[at..].split(&format!("id={quote}")).nth(1).unwrap().split(quote).next().unwrap()
}

#[test]
fn the_answer_to_the_ping_hands_over_what_was_before_it() {
    let mut wire = Wire::ready(10);
    wire.push("a", "juliet@x.example").unwrap();
    wire.push("b", "nurse@x.example").unwrap();
    let sent = wire.sent();
    assert!(sent.starts_with("<message id='a'/><message id='b'/><iq"), "{sent}");
    wire.push("c", "juliet@x.example").unwrap();
    assert_eq!(wire.sent(), "<message id='c'/>", "one ping is out at a time");
    let pong = format!("<iq type='result' from='x.example' id='{}'/>", ping_id(&sent));
    assert!(wire.hears(&pong));
    assert_eq!(wire.fates(), [("a", Fate::HandedOver), ("b", Fate::HandedOver)]);
    assert!(wire.sent().contains("<ping"), "the next ping covers c");
    assert!(!wire.handover.is_idle());
}

#[test]
fn an_error_before_the_answer_is_the_fate() {
    let mut wire = Wire::ready(10);
    wire.push("a", "nobody@x.example").unwrap();
    let sent = wire.sent();
    let error = error("a", "nobody@x.example");
    assert!(wire.hears(&error));
    assert!(!wire.hears(&error), "it is told once; a late one is for others");
    assert_eq!(wire.fates(), [("a", not_found())]);
    assert!(wire.hears(&format!("<iq type='error' from='x.example' id='{}'/>", ping_id(&sent))));
    assert_eq!(wire.fates(), []);
    assert!(wire.handover.is_idle());
}

#[test]
fn nobody_else_can_answer() {
    let mut wire = Wire::ready(10);
    wire.push("a", "juliet@x.example").unwrap();
    let sent = wire.sent();
    for from in ["mallory@x.example", "x.example/mallory", "y.example", "sip.example", ""] {
        assert!(!wire.pong(from, &sent), "{from}");
    }
    assert!(!wire.hears("<iq type='result' from='x.example' id='guess'/>"));
    assert!(!wire.hears(&error("a", "mallory@x.example")));
    assert_eq!(wire.fates(), []);
}

#[test]
fn domains_do_not_wait_for_each_other() {
    let mut wire = Wire::ready(10);
    wire.push("a", "juliet@x.example").unwrap();
    wire.push("b", "nurse@y.example").unwrap();
    let sent = wire.sent();
    assert_eq!(sent.matches("<ping").count(), 2);
    let of_y = sent.split("<iq").find(|iq| iq.contains("y.example")).unwrap();
    let id = ping_id(&format!("<iq{of_y}")).to_owned();
    assert!(wire.hears(&format!("<iq type='result' from='y.example' id='{id}'/>")));
    assert_eq!(wire.fates(), [("b", Fate::HandedOver)]);
}

#[test]
fn a_broken_stream_loses_what_was_written_and_keeps_the_rest() {
    let mut wire = Wire::ready(10);
    wire.push("a", "juliet@x.example").unwrap();
    wire.sent();
    wire.handover.handle_closed();
    wire.push("b", "juliet@x.example").unwrap();
    assert_eq!(wire.fates(), [("a", Fate::Lost)]);
    assert_eq!(wire.sent(), "");
    wire.handover.handle_ready();
    assert!(wire.sent().starts_with("<message id='b'/><iq"));
}

#[test]
fn nothing_waits_for_ever() {
    let mut wire = Wire::ready(10);
    wire.push("a", "juliet@x.example").unwrap();
    let sent = wire.sent();
    wire.handover.handle_closed();
    wire.push("b", "juliet@x.example").unwrap();
    wire.now += TIMEOUT;
    assert_eq!(wire.handover.next_deadline(), Some(wire.now));
    wire.handover.handle_timeout(wire.now);
    assert_eq!(wire.fates(), [("a", Fate::Lost), ("b", Fate::Expired)]);
    wire.handover.handle_ready();
    wire.push("c", "juliet@x.example").unwrap();
    assert_ne!(wire.sent(), sent, "an old ping is not repeated");
    wire.now += TIMEOUT;
    wire.handover.handle_timeout(wire.now);
    assert_eq!(wire.fates(), [("c", Fate::Unanswered)]);
    assert!(wire.handover.is_idle() && wire.handover.domains.is_empty());
}

#[test]
fn what_does_not_fit_comes_back() {
    let mut wire = Wire::ready(2);
    wire.push("a", "juliet@x.example").unwrap();
    wire.sent();
    wire.push("b", "juliet@x.example").unwrap();
    assert_eq!(wire.push("c", "juliet@x.example"), Err("c"), "written and waiting count");
    assert!(wire.handover.push_reply(b"<iq/>".to_vec()), "replies have their own room");
    assert_eq!(wire.sent(), "<message id='b'/><iq/>", "in the order of pushing");
}

#[test]
fn the_answer_may_be_an_error_or_lack_its_sender() {
    for (kind, from) in
        [("error", "from='x.example'"), ("result", ""), ("result", "from='X.Example.'")]
    {
        let mut wire = Wire::ready(10);
        wire.push("a", "juliet@x.example").unwrap();
        let sent = wire.sent();
        assert!(wire.hears(&format!("<iq type='{kind}' {from} id='{}'/>", ping_id(&sent))));
        assert_eq!(wire.fates(), [("a", Fate::HandedOver)], "{kind} {from}");
        assert!(wire.handover.is_idle());
    }
}

#[test]
fn a_request_or_a_message_with_the_ids_of_ours_is_no_answer() {
    let mut wire = Wire::ready(10);
    wire.push("a", "juliet@x.example").unwrap();
    let id = ping_id(&wire.sent()).to_owned();
    assert!(!wire.hears(&format!("<iq type='get' from='x.example' id='{id}'/>")));
    assert!(!wire.hears(&error(&id, "x.example")));
    assert!(!wire.hears("<message from='juliet@x.example' id='a'/>"));
    assert!(!wire.hears("<iq type='error' from='juliet@x.example' id='a'/>"));
    assert_eq!(wire.fates(), []);
}

#[test]
fn an_error_after_the_answer_is_for_others() {
    let mut wire = Wire::ready(10);
    wire.push("a", "juliet@x.example").unwrap();
    let sent = wire.sent();
    assert!(wire.pong("x.example", &sent));
    assert!(!wire.hears(&error("a", "juliet@x.example")));
    assert_eq!(wire.fates(), [("a", Fate::HandedOver)]);
}

#[test]
fn the_domain_may_return_what_it_was_not_yet_asked_about() {
    let mut wire = Wire::ready(10);
    wire.push("a", "juliet@x.example").unwrap();
    let sent = wire.sent();
    for id in ["b", "c", "d"] {
        wire.push(id, "nurse@x.example/r").unwrap();
    }
    wire.sent();
    assert!(wire.hears(&error("c", "x.example")));
    assert!(wire.pong("x.example", &sent));
    assert_eq!(wire.fates(), [("c", not_found()), ("a", Fate::HandedOver)]);
    let sent = wire.sent();
    assert!(wire.pong("x.example", &sent));
    assert_eq!(wire.fates(), [("b", Fate::HandedOver), ("d", Fate::HandedOver)]);
    assert!(wire.handover.is_idle() && wire.handover.ids.is_empty());
}

#[test]
fn a_pong_from_before_the_stream_broke_counts_no_more() {
    let mut wire = Wire::ready(10);
    wire.push("a", "juliet@x.example").unwrap();
    let sent = wire.sent();
    wire.handover.handle_closed();
    wire.handover.handle_ready();
    wire.push("b", "juliet@x.example").unwrap();
    wire.sent();
    assert!(!wire.pong("x.example", &sent));
    assert_eq!(wire.fates(), [("a", Fate::Lost)]);
}

#[test]
fn a_ping_that_is_not_answered_holds_up_nobody_for_ever() {
    let mut wire = Wire::ready(10);
    wire.push("a", "juliet@x.example").unwrap();
    wire.sent();
    wire.passes(TIMEOUT / 2);
    wire.push("b", "juliet@x.example").unwrap();
    assert_eq!(wire.sent(), "<message id='b'/>");
    wire.passes(TIMEOUT / 2);
    assert_eq!(wire.fates(), [("a", Fate::Unanswered)]);
    assert_eq!(wire.handover.next_deadline(), Some(wire.now + TIMEOUT / 2));
    let sent = wire.sent();
    assert!(wire.pong("x.example", &sent));
    assert_eq!(wire.fates(), [("b", Fate::HandedOver)]);
    assert_eq!(wire.handover.next_deadline(), None);
}

#[test]
fn what_is_over_leaves_the_queue_and_the_replies_stay() {
    let mut wire = Wire::ready(10);
    wire.handover.handle_closed();
    wire.handover.push_reply(b"<iq id='1'/>".to_vec());
    wire.push("a", "juliet@x.example").unwrap();
    wire.handover.push_reply(b"<iq id='2'/>".to_vec());
    wire.passes(TIMEOUT / 2);
    wire.push("b", "juliet@x.example").unwrap();
    wire.now += TIMEOUT / 2;
    wire.handover.handle_ready();
    assert_eq!(wire.sent(), "<iq id='1'/>", "nothing leaves when its time is over");
    wire.passes(Duration::ZERO);
    assert_eq!(wire.fates(), [("a", Fate::Expired)]);
    assert!(wire.sent().starts_with("<iq id='2'/><message id='b'/><iq type='get'"));
}

#[test]
fn no_more_leaves_than_was_asked_for() {
    let mut wire = Wire::ready(10);
    for id in ["a", "b", "c"] {
        wire.push(id, "juliet@x.example").unwrap();
    }
    let mut out = b"before".to_vec();
    wire.handover.poll_transmit(wire.now, &mut out, 20);
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with("before<message id='a'/><message id='b'/><iq"), "{out}");
    assert!(wire.pong("x.example", &out));
    assert_eq!(wire.fates(), [("a", Fate::HandedOver), ("b", Fate::HandedOver)]);
    assert!(wire.sent().starts_with("<message id='c'/><iq"));
}

#[test]
fn a_domain_that_fails_everything_and_answers_nothing_stays_within_the_limit() {
    let mut wire = Wire::ready(3);
    for id in ["a", "b", "c"] {
        wire.push(id, "juliet@x.example").unwrap();
        wire.sent();
        assert!(wire.hears(&error(id, "x.example")));
    }
    assert_eq!(wire.handover.len(), 3);
    assert_eq!(wire.push("d", "juliet@y.example"), Err("d"));
    wire.fates();
    wire.passes(TIMEOUT);
    assert_eq!(wire.fates(), []);
    assert!(wire.handover.is_idle() && wire.handover.domains.is_empty());
}

#[test]
fn replies_that_do_not_fit_are_dropped() {
    let mut wire = Wire::ready(1);
    assert!((0..MAX_REPLIES).all(|_| wire.handover.push_reply(b" ".to_vec())));
    assert!(!wire.handover.push_reply(b" ".to_vec()));
    wire.push("a", "juliet@x.example").unwrap();
    assert!(!wire.handover.is_idle());
}

#[test]
fn one_who_settles_late_waits_for_a_second_ping() {
    let mut wire = Wire::ready(10);
    wire.handover = Handover::new("sip.example", 10, TIMEOUT).settling_late();
    wire.handover.handle_ready();
    wire.push("a", "juliet@x.example").unwrap();
    let first = wire.sent();
    assert!(wire.pong("x.example", &first));
    assert_eq!(wire.fates(), []);
    wire.push("b", "juliet@x.example").unwrap();
    assert_eq!(wire.sent(), "<message id='b'/>", "few stanzas share a ping");
    wire.passes(PING_PAUSE);
    let second = wire.sent();
    assert!(wire.pong("x.example", &second));
    assert_eq!(wire.fates(), [("a", Fate::HandedOver)]);
    wire.passes(PING_PAUSE);
    let third = wire.sent();
    assert!(third.starts_with("<iq"), "{third}");
    assert!(wire.pong("x.example", &third));
    assert_eq!(wire.fates(), [("b", Fate::HandedOver)]);
    assert_eq!(wire.sent(), "");
    assert!(wire.handover.is_idle());
}

#[test]
fn one_who_settles_late_pings_at_once_for_many() {
    let mut wire = Wire::ready(100);
    wire.handover = Handover::new("sip.example", 100, TIMEOUT).settling_late();
    wire.handover.handle_ready();
    wire.push("a", "juliet@x.example").unwrap();
    let first = wire.sent();
    assert!(wire.pong("x.example", &first));
    for _ in 2..PING_AT {
        wire.push("b", "juliet@x.example").unwrap();
    }
    assert!(!wire.sent().contains("<iq"));
    wire.push("b", "juliet@x.example").unwrap();
    let second = wire.sent();
    assert!(second.contains("<iq"));
    wire.push("c", "juliet@x.example").unwrap();
    wire.sent();
    assert!(wire.pong("x.example", &second));
    assert!(wire.sent().contains("<iq"), "many wait for the second ping");
}

#[test]
fn what_is_not_written_can_be_taken_back() {
    let mut wire = Wire::ready(10);
    wire.push("a", "juliet@x.example").unwrap();
    wire.sent();
    wire.handover.handle_closed();
    for id in ["b", "c"] {
        wire.push(id, "juliet@x.example").unwrap();
    }
    assert_eq!(wire.handover.withdraw(|id| *id != "c"), ["b"]);
    assert_eq!((wire.fates(), wire.handover.len()), (vec![("a", Fate::Lost)], 1));
}
