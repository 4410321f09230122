//! What a gateway answers to the requests that every entity must answer.

use std::time::Duration;

use super::condition::Condition;
use super::error::StanzaError;
use super::ns;
use super::stanza::{Kind, Payload, Stanza};
use super::writer::Writer;

/// What the gateway says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Responder {
    /// The name in XEP-0030 identities.
    pub name: String,
    /// Features beyond those that the responder itself serves.
    pub features: Vec<String>,
    /// The software's name, for XEP-0092.
    pub software: String,
    /// The software's version, for XEP-0092.
    pub version: String,
}

/// What must be known at the time of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The time since the Unix epoch.
    pub unix_time: Duration,
    /// How long the gateway has been running.
    pub uptime: Duration,
}

/// Features that the responder serves, sorted as XEP-0115 wants them.
const FEATURES: &[&str] =
    &[ns::DISCO_INFO, ns::DISCO_ITEMS, ns::LAST, ns::VERSION, ns::PING, ns::TIME];

impl Responder {
    /// One that says that it is this program, under this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            features: Vec::new(),
            software: "sipjab".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// The reply to an IQ, or `None` if `stanza` is none or may not be answered.
    ///
    /// Requests that nobody here serves get `service-unavailable` (RFC 6120 §8.4).
    pub fn reply(&self, stanza: &Stanza, facts: Facts) -> Option<Vec<u8>> {
        if stanza.kind() != Kind::Iq {
            return None;
        }
        match stanza.type_attribute().as_deref() {
            Some("result" | "error") => return None,
            Some("get" | "set") => {}
            _ => return StanzaError::from(Condition::BadRequest).reply_to(stanza),
        }
        let mut payloads = stanza.payloads();
        let (Some(payload), None) = (payloads.next(), payloads.next()) else {
            return StanzaError::from(Condition::BadRequest).reply_to(stanza);
        };
        if stanza.id().is_none() {
            return StanzaError::from(Condition::BadRequest).reply_to(stanza);
        }
        let mut out = Vec::with_capacity(512);
        match self.write_result(&mut out, stanza, payload, facts) {
            Ok(()) => Some(out),
            Err(condition) => StanzaError::from(condition).reply_to(stanza),
        }
    }

    fn write_result(
        &self,
        out: &mut Vec<u8>,
        stanza: &Stanza,
        payload: Payload<'_>,
        facts: Facts,
    ) -> Result<(), Condition> {
        let is_get = stanza.type_attribute().as_deref() == Some("get");
        let request = (payload.name(), payload.namespace());
        if !is_get || !is_served(request) {
            return Err(Condition::ServiceUnavailable);
        }
        if payload.attribute("node").is_some_and(|node| !node.is_empty()) {
            return Err(Condition::ItemNotFound);
        }
        let mut writer = Writer::new(out);
        writer
            .start("iq")
            .attr("type", "result")
            .attr_if("to", stanza.from().as_deref())
            .attr_if("from", stanza.to().as_deref())
            .attr_if("id", stanza.id().as_deref());
        match request {
            ("query", ns::DISCO_INFO) => self.write_identity(&mut writer),
            ("query", ns::DISCO_ITEMS) => {
                writer.empty("query", ns::DISCO_ITEMS);
            }
            ("query", ns::VERSION) => {
                writer
                    .start_in("query", ns::VERSION)
                    .text_child("name", &self.software)
                    .text_child("version", &self.version);
            }
            ("query", ns::LAST) => {
                let seconds = facts.uptime.as_secs().to_string();
                writer.start_in("query", ns::LAST).attr("seconds", &seconds);
            }
            ("time", ns::TIME) => {
                writer
                    .start_in("time", ns::TIME)
                    .text_child("tzo", "+00:00")
                    .text_child("utc", &utc(facts.unix_time));
            }
            _ => {}
        }
        writer.finish();
        Ok(())
    }

    fn write_identity(&self, writer: &mut Writer<'_>) {
        writer
            .start_in("query", ns::DISCO_INFO)
            .start("identity")
            .attr("category", "gateway")
            .attr("type", "sip")
            .attr("name", &self.name)
            .end();
        for feature in FEATURES.iter().copied().chain(self.features.iter().map(String::as_str)) {
            writer.start("feature").attr("var", feature).end();
        }
    }
}

fn is_served(request: (&str, &str)) -> bool {
    matches!(
        request,
        ("query", ns::DISCO_INFO | ns::DISCO_ITEMS | ns::VERSION | ns::LAST)
            | ("ping", ns::PING)
            | ("time", ns::TIME)
    )
}

/// A time as XEP-0082 writes it, to the second.
pub fn utc(unix_time: Duration) -> String {
    let seconds = unix_time.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The Gregorian date of a day counted from 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last of its year, and from 0000, so
/// that the eras of 400 years begin with it.
fn date(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::ns::ContentNamespace::Component;

    fn ask(request: &str) -> Option<Stanza> {
        let responder = Responder {
            name: "SIP & more".into(),
            features: vec!["jid\\20escaping".into()],
            software: "sipjab".into(),
            version: "1".into(),
        };
        let facts =
            Facts { unix_time: Duration::from_secs(951_827_696), uptime: Duration::from_secs(42) };
        let stanza = Stanza::parse(request, Component).unwrap();
        let reply = responder.reply(&stanza, facts)?;
        Some(Stanza::parse(str::from_utf8(&reply).unwrap(), Component).unwrap())
    }

    fn get(payload: &str) -> Stanza {
        let request = format!("<iq type='get' id='1' from='a@x/r' to='sip.y'>{payload}</iq>");
        let reply = ask(&request).unwrap();
        assert_eq!(reply.to().unwrap(), "a@x/r");
        assert_eq!(reply.from().unwrap(), "sip.y");
        assert_eq!(reply.id().unwrap(), "1");
        reply
    }

    #[test]
    fn xep_0030_says_who_we_are() {
        let reply = get("<query xmlns='http://jabber.org/protocol/disco#info'/>");
        let tree = reply.payload("query", ns::DISCO_INFO).unwrap().tree();
        let identity = tree.root().child("identity", ns::DISCO_INFO).unwrap();
        assert_eq!(identity.attribute("category"), Some("gateway"));
        assert_eq!(identity.attribute("type"), Some("sip"));
        assert_eq!(identity.attribute("name"), Some("SIP & more"));
        let features: Vec<_> =
            tree.root().children().filter_map(|child| child.attribute("var")).collect();
        assert_eq!(features.len(), FEATURES.len() + 1);
        assert!(features.contains(&ns::PING) && features.contains(&"jid\\20escaping"));
    }

    #[test]
    fn xep_0030_has_no_items_and_no_nodes() {
        let reply = get("<query xmlns='http://jabber.org/protocol/disco#items'/>");
        assert_eq!(reply.payload("query", ns::DISCO_ITEMS).unwrap().inner(), "");
        let reply = get("<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>");
        assert_eq!(StanzaError::read(&reply).unwrap().condition, Condition::ItemNotFound);
    }

    #[test]
    fn xep_0199_0092_0202_and_0012_are_served() {
        assert_eq!(get("<ping xmlns='urn:xmpp:ping'/>").payloads().count(), 0);
        let reply = get("<query xmlns='jabber:iq:version'/>");
        let version = reply.payload("query", ns::VERSION).unwrap();
        assert_eq!(version.inner(), "<name>sipjab</name><version>1</version>");
        let reply = get("<time xmlns='urn:xmpp:time'/>");
        let time = reply.payload("time", ns::TIME).unwrap();
        assert_eq!(time.inner(), "<tzo>+00:00</tzo><utc>2000-02-29T12:34:56Z</utc>");
        let reply = get("<query xmlns='jabber:iq:last'/>");
        assert_eq!(reply.payload("query", ns::LAST).unwrap().attribute("seconds").unwrap(), "42");
    }

    #[test]
    fn the_rest_is_unavailable() {
        for request in [
            "<iq type='get' id='1' from='a@x'><query xmlns='jabber:iq:roster'/></iq>",
            "<iq type='set' id='1' from='a@x'><ping xmlns='urn:xmpp:ping'/></iq>",
        ] {
            let error = StanzaError::read(&ask(request).unwrap()).unwrap();
            assert_eq!(error.condition, Condition::ServiceUnavailable, "{request}");
        }
    }

    /// RFC 6120 §8.2.3.
    #[test]
    fn s8_2_3_a_malformed_request_is_bad() {
        for request in [
            "<iq type='get' id='1'/>",
            "<iq type='get' id='1'><a/><b/></iq>",
            "<iq type='other' id='1'><a/></iq>",
            "<iq id='1'><a/></iq>",
            "<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
        ] {
            let error = StanzaError::read(&ask(request).unwrap()).unwrap();
            assert_eq!(error.condition, Condition::BadRequest, "{request}");
        }
    }

    #[test]
    fn answers_are_not_answered() {
        assert!(ask("<iq type='result' id='1'/>").is_none());
        assert!(ask("<iq type='error' id='1'/>").is_none());
        assert!(ask("<message/>").is_none());
    }

    #[test]
    fn times_are_written_as_xep_0082_has_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (68_169_599, "1972-02-28T23:59:59Z"),
            (68_169_600, "1972-02-29T00:00:00Z"),
            (68_256_000, "1972-03-01T00:00:00Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(Duration::from_secs(seconds)), text);
        }
    }
}
