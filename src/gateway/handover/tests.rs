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
        self.handover.push(self.now, OutgoingStanza { bytes, id: id.to_owned(), to, from }, id)
    }

    fn sent(&mut self) -> String {
        let mut out = Vec::new();
        self.handover.poll_transmit(self.now, &mut out, 4096);
        String::from_utf8(out).unwrap()
    }

    fn hears(&mut self, stanza: &str) -> bool {
        let stanza = Stanza::parse(stanza, ContentNamespace::Component).unwrap();
        self.handover.handle_stanza(&stanza)
    }

    fn fates(&mut self) -> Vec<(&'static str, Fate)> {
        std::iter::from_fn(|| self.handover.poll_fate()).map(|(id, _, fate)| (id, fate)).collect()
    }
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
    let error = "<message type='error' from='nobody@x.example' id='a'><error type='cancel'>\
                 <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>";
    assert!(wire.hears(error));
    assert!(!wire.hears(error), "it is told once; a late one is for others");
    let fates = wire.fates();
    assert!(
        matches!(&fates[..], [("a", Fate::Failed(e))] if e.condition == Condition::ItemNotFound)
    );
    assert!(wire.hears(&format!("<iq type='error' from='x.example' id='{}'/>", ping_id(&sent))));
    assert_eq!(wire.fates(), []);
    assert!(wire.handover.is_idle());
}

#[test]
fn nobody_else_can_answer() {
    let mut wire = Wire::ready(10);
    wire.push("a", "juliet@x.example").unwrap();
    let sent = wire.sent();
    for from in ["mallory@x.example", "y.example"] {
        assert!(!wire.hears(&format!("<iq type='result' from='{from}' id='{}'/>", ping_id(&sent))));
    }
    assert!(!wire.hears("<iq type='result' from='x.example' id='guess'/>"));
    let forged = "<message type='error' from='mallory@x.example' id='a'><error type='cancel'>\
                  <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>";
    assert!(!wire.hears(forged));
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
    assert_eq!(wire.fates(), [("c", Fate::Expired)]);
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
    assert!(wire.sent().starts_with("<iq/><message id='b'/>"));
}
