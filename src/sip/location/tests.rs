use std::net::SocketAddr;

use bytes::Bytes;

use super::*;
use crate::sip::Message;
use crate::sip::transaction::ladder::origin;
use crate::sip::transport::{Source, Transport};

mod extensions;
mod store;

const ALICE: &str = "alice@sip.example";

fn phone() -> SocketAddr {
    "192.0.2.9:5060".parse().unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn request(to: &str, call_id: &str, cseq: u32, headers: &str) -> Message {
    let text = format!(
        "REGISTER sip:sip.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
         From: <{to}>;tag=1\r\nTo: <{to}>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\n\
         {headers}Content-Length: 0\r\n\r\n"
    );
    Message::parse(Bytes::from(text)).unwrap()
}

struct Registrar {
    location: Location,
    now: Instant,
}

type Headers = Result<Vec<(&'static str, String)>, RegisterError>;
type Outcome = Result<Vec<String>, RegisterError>;

impl Registrar {
    fn new() -> Self {
        let address = AddressRules { is_case_sensitive: true, uses_domain: true };
        let rules = Rules { address, max_contacts: 2, max_addresses: 2, ..Default::default() };
        Self { location: Location::new(rules, "run", true), now: origin() }
    }

    fn hears(&mut self, request: &Message) -> Outcome {
        let is_contact = |(name, value)| if name == "Contact" { Some(value) } else { None };
        let headers = self.hears_as(request, Manner::default())?;
        Ok(headers.into_iter().filter_map(is_contact).collect())
    }

    fn hears_as(&mut self, request: &Message, manner: Manner<'_>) -> Headers {
        let source = Source::new(Transport::Udp, phone(), "192.0.2.1:5060".parse().unwrap());
        let asks = Registration::read(request, source, &self.location.rules, manner)?;
        self.location.register(self.now, asks)
    }

    fn takes(&mut self, cseq: u32, headers: &str) -> Outcome {
        self.hears(&request("sip:alice@sip.example", "one", cseq, headers))
    }

    fn takes_other(&mut self, cseq: u32, headers: &str) -> Outcome {
        self.hears(&request("sip:alice@sip.example", "two", cseq, headers))
    }

    fn uris(&self) -> Vec<&str> {
        self.location.contacts(self.now, ALICE).map(|binding| binding.uri.as_str()).collect()
    }
}

fn expires_of(outcome: Outcome) -> u32 {
    let values = outcome.unwrap();
    values[0].rsplit_once("expires=").unwrap().1.parse().unwrap()
}

#[test]
fn s10_3_step_5_case_counts_in_the_user_and_not_in_the_host() {
    let mut registrar = Registrar::new();
    let alice = request("sip:Alice@SIP.example;x=y", "one", 1, "Contact: <sip:a@h>\r\n");
    registrar.hears(&alice).unwrap();
    assert!(registrar.uris().is_empty());
    assert_eq!(registrar.location.contacts(registrar.now, "Alice@sip.example").count(), 1);
}

#[test]
fn s10_3_step_5_what_is_no_address_of_record_is_refused() {
    let outcome = Registrar::new().hears(&request("tel:+1", "one", 1, ""));
    assert_eq!(outcome.unwrap_err().status().0, 400);
}

#[test]
fn s10_3_step_6_without_contact_what_is_known_is_told() {
    let mut registrar = Registrar::new();
    assert_eq!(registrar.takes(1, "").unwrap(), [""; 0]);
    let added = registrar.takes(2, "Contact: <sip:a@h>\r\n").unwrap();
    assert_eq!(registrar.takes(1, "").unwrap(), added, "asking has no order");
}

#[test]
fn s10_3_step_6_a_star_forgets_all() {
    let mut registrar = Registrar::new();
    registrar.takes(1, "Contact: <sip:a@h>\r\n").unwrap();
    registrar.takes_other(7, "Contact: <sip:b@h>\r\n").unwrap();
    for bad in [
        "Contact: *\r\n",
        "Contact: *\r\nExpires: 60\r\n",
        "Contact: *\r\nExpires: x\r\n",
        "Contact: *, <sip:a@h>\r\nExpires: 0\r\n",
        "Contact: <sip:a@h>\r\nContact: *\r\nExpires: 0\r\n",
    ] {
        let error = registrar.takes(2, bad).unwrap_err();
        assert_eq!((error.status().0, &error), (400, &RegisterError::Wildcard), "{bad}");
    }
    let star = "Contact: *\r\nExpires: 0\r\n";
    assert_eq!(registrar.takes(1, star), Err(RegisterError::OutOfOrder));
    assert_eq!(registrar.uris(), ["sip:b@h", "sip:a@h"]);
    assert_eq!(registrar.takes(2, star).unwrap(), [""; 0]);
    assert!(registrar.location.is_empty());
    assert!(registrar.takes(3, star).is_ok(), "there may be nothing to forget");
}

#[test]
fn s10_3_step_7_the_time_is_that_of_the_contact_then_of_expires_then_the_default() {
    for (headers, expires) in [
        ("Contact: <sip:a@h>;expires=90\r\nExpires: 120\r\n", 90),
        ("Contact: <sip:a@h>;expires=\"90\"\r\n", 90),
        ("Contact: <sip:a@h>\r\nExpires: 120\r\n", 120),
        ("Contact: <sip:a@h>\r\n", 1800),
        ("Contact: <sip:a@h>;expires=x\r\nExpires: 120\r\n", 3600),
        ("Contact: <sip:a@h>\r\nExpires: x\r\n", 3600),
        ("Contact: <sip:a@h>;expires=4294967295\r\n", 7200),
    ] {
        let mut registrar = Registrar::new();
        registrar.location.rules.default_expires = 1800;
        registrar.location.rules.max_expires = 7200;
        assert_eq!(expires_of(registrar.takes(1, headers)), expires, "{headers}");
    }
}

#[test]
fn s10_3_step_7_too_brief_is_told_the_minimum() {
    let mut registrar = Registrar::new();
    let brief = "Contact: <sip:a@h>, <sip:b@h>;expires=59\r\n";
    let error = registrar.takes(1, brief).unwrap_err();
    assert_eq!((error.status().0, error.header()), (423, Some(("Min-Expires", "60".into()))));
    assert!(registrar.uris().is_empty(), "all or nothing");
    registrar.location.rules.min_expires = 7200;
    assert!(registrar.takes(1, "Contact: <sip:a@h>;expires=3600\r\n").is_ok());
}

#[test]
fn s10_3_step_7_equivalent_contacts_are_replaced() {
    let mut registrar = Registrar::new();
    registrar.takes(1, "Contact: <sip:%61@H;x=1>, <sip:b@h>\r\n").unwrap();
    let values = registrar.takes(2, "Contact: <sip:a@h>;q=0.5;expires=90\r\n").unwrap();
    assert_eq!(values, ["<sip:b@h>;expires=3600", "<sip:a@h>;q=0.5;expires=90"]);
    let values = registrar.takes(3, "Contact: <sip:b@h>;expires=0\r\n").unwrap();
    assert_eq!(values, ["<sip:a@h>;q=0.5;expires=90"]);
    let twice = "Contact: <sip:a@h>;expires=60, <sip:a@h>;expires=70\r\n";
    assert_eq!(expires_of(registrar.takes(4, twice)), 70, "the last of a request counts");
}

#[test]
fn s10_3_step_7_an_older_request_changes_nothing() {
    let mut registrar = Registrar::new();
    registrar.takes(5, "Contact: <sip:a@h>\r\n").unwrap();
    for cseq in [4, 5] {
        let headers = "Contact: <sip:b@h>, <sip:a@h>;expires=0\r\n";
        let error = registrar.takes(cseq, headers).unwrap_err();
        assert_eq!((error.status().0, &error), (500, &RegisterError::OutOfOrder));
        assert_eq!(registrar.uris(), ["sip:a@h"]);
    }
    registrar.takes_other(1, "Contact: <sip:a@h>;expires=90\r\n").unwrap();
    let binding = registrar.location.contacts(registrar.now, ALICE).next().unwrap();
    assert_eq!((binding.call_id.as_str(), binding.cseq), ("two", 1), "another client is another");
}

#[test]
fn s10_3_step_7_contacts_that_cannot_be_read_are_refused() {
    for headers in ["Contact: nobody\r\n", "Contact: <sip:a@h>;q=2\r\n", "Contact: <sip:a@h\r\n"] {
        let error = Registrar::new().takes(1, headers).unwrap_err();
        assert_eq!(error.status().0, 400, "{headers}");
    }
}

#[test]
fn s10_3_step_8_the_time_that_is_left_is_told() {
    let mut registrar = Registrar::new();
    registrar.takes(1, "Contact: <sip:a@h>;expires=90\r\n").unwrap();
    registrar.now += seconds(30);
    assert_eq!(expires_of(registrar.takes(2, "")), 60);
    registrar.now += Duration::from_millis(59_500);
    assert_eq!(expires_of(registrar.takes(3, "")), 1, "zero would say that it is gone");
    registrar.now += Duration::from_millis(500);
    assert_eq!(registrar.takes(4, "").unwrap(), [""; 0]);
}

#[test]
fn limits_are_answered_and_change_nothing() {
    let mut registrar = Registrar::new();
    let many = "Contact: <sip:a@h>, <sip:b@h>, <sip:c@h>\r\n";
    let error = registrar.takes(1, many).unwrap_err();
    assert_eq!((error.status().0, &error), (403, &RegisterError::TooManyContacts));
    assert!(registrar.location.is_empty());
    registrar.takes(1, "Contact: <sip:a@h>, <sip:b@h>\r\n").unwrap();
    assert!(registrar.takes(2, "Contact: <sip:c@h>\r\n").is_err());
    assert!(registrar.takes(2, "Contact: <sip:a@h>;expires=0, <sip:c@h>\r\n").is_ok());
    let contact = "Contact: <sip:a@h>\r\n";
    assert!(registrar.hears(&request("sip:b@h", "b", 1, contact)).is_ok());
    let full = registrar.hears(&request("sip:c@h", "c", 1, contact)).unwrap_err();
    assert_eq!((full.status().0, &full), (503, &RegisterError::Full));
    assert!(registrar.hears(&request("sip:c@h", "c", 2, "")).is_ok(), "asking needs no room");
    assert!(registrar.hears(&request("sip:b@h", "b", 2, contact)).is_ok(), "nor does refreshing");
}

#[test]
fn the_best_comes_first_and_then_the_newest() {
    let mut registrar = Registrar::new();
    registrar.location.rules.max_contacts = 4;
    registrar.takes(1, "Contact: <sip:a@h>, <sip:b@h>;q=0.1\r\n").unwrap();
    registrar.takes(2, "Contact: <sip:c@h>;expires=60\r\n").unwrap();
    registrar.takes(3, "Contact: <sip:d@h>;q=0.9\r\n").unwrap();
    assert_eq!(registrar.uris(), ["sip:c@h", "sip:a@h", "sip:d@h", "sip:b@h"]);
    registrar.now += seconds(60);
    assert_eq!(registrar.uris(), ["sip:a@h", "sip:d@h", "sip:b@h"]);
    assert!(!registrar.location.sweep(registrar.now, 10));
    assert_eq!(registrar.location.records[ALICE].bindings.len(), 3);
    assert!(!registrar.location.sweep(registrar.now + seconds(3600), 10));
    assert!(registrar.location.alarms.is_empty());
    assert!(registrar.location.is_empty());
}

#[test]
fn a_phone_behind_a_nat_is_found_where_it_sent_from() {
    let source = Some((Transport::Udp, phone()));
    for (uri, received) in [
        ("sip:a@192.0.2.9", None),
        ("sip:a@192.0.2.9:5060", None),
        ("sip:a@192.0.2.9:5062", source),
        ("sip:a@10.0.0.1", source),
        ("sip:a@x.invalid", source),
        ("mailto:a@h", None),
    ] {
        let mut registrar = Registrar::new();
        registrar.takes(1, &format!("Contact: <{uri}>\r\n")).unwrap();
        let binding = registrar.location.contacts(registrar.now, ALICE).next().unwrap();
        assert_eq!(binding.received, received, "{uri}");
    }
}
