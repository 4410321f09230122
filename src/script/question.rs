//! Requests of our own that ask whether somebody is there, and how the configuration words them.

use bytes::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::sip::{Message, Uri};

/// A request of this method and From to `uri`, which has no Via yet; `id` is a word that no other message has, and `path`
/// the value of a Route header or empty. `None` when these make no message.
pub fn question(method: &str, from: &str, uri: &str, path: &str, id: &str) -> Option<Message> {
    let route = if path.is_empty() { String::new() } else { format!("Route: {path}\r\n") };
    let text = format!(
        "{method} {uri} SIP/2.0\r\n{route}Max-Forwards: 70\r\nFrom: <{from}>;tag={id}\r\n\
         To: <{uri}>\r\nCall-ID: {id}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    );
    Message::parse(Bytes::from(text)).ok()
}

/// Is the text a URI that requests can be sent to?
pub fn is_destination(text: &str) -> bool {
    Uri::parse(text).is_ok_and(|uri| uri.is_sip() && uri.headers().is_none())
}

/// Reads a URI that requests can be sent to or come from.
pub fn destination<'de, D: Deserializer<'de>>(d: D) -> Result<Box<str>, D::Error> {
    let text = Box::<str>::deserialize(d)?;
    match is_destination(&text) {
        true => Ok(text),
        false => Err(D::Error::custom("expected a URI such as sip:192.0.2.1:5060")),
    }
}

/// Reads the method of a question; no INVITE, which would ring.
pub fn method<'de, D: Deserializer<'de>>(d: D) -> Result<Box<str>, D::Error> {
    let text = Box::<str>::deserialize(d)?;
    let is_plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    match is_plain(&text) && !matches!(&*text, "INVITE" | "ACK" | "CANCEL") {
        true => Ok(text),
        false => Err(D::Error::custom("expected a method such as OPTIONS or INFO")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::HeaderId;

    #[test]
    fn a_question_follows_the_path() {
        let asked = question("OPTIONS", "sip:a@h", "sip:b@10.0.0.9", "<sip:edge;lr>", "x").unwrap();
        assert_eq!((asked.method().as_str(), asked.request_uri()), ("OPTIONS", "sip:b@10.0.0.9"));
        assert_eq!(asked.text(HeaderId::Route).as_deref(), Some("<sip:edge;lr>"));
        let plain = question("INFO", "sip:a@h", "sip:b@h", "", "x").unwrap();
        assert_eq!(plain.text(HeaderId::Route), None);
    }
}
