//! What a message is known by, whoever asks and however often it comes.

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::sip::{Message, hex};
use crate::xmpp::Stanza;

/// The namespace of XEP-0359.
const STANZA_IDS: &str = "urn:xmpp:sid:0";

/// What a message is known by: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(u128);

impl MessageId {
    /// The id of a request: the same for every copy that its sender makes of it.
    ///
    /// Copies agree in the URIs, in From tag, Call-ID and CSeq (RFC 3261 §8.2.2.2), and in the body, since there are
    /// phones whose identifiers do not change.
    pub fn of_request(request: &Message) -> Self {
        let from = request.from().ok();
        let number = request.cseq().map(|cseq| cseq.number).unwrap_or_default();
        Self::of(&[
            b"sip",
            request.request_uri().as_bytes(),
            from.as_ref().map_or("", |from| from.uri).as_bytes(),
            from.as_ref().and_then(|from| from.tag()).unwrap_or_default().as_bytes(),
            request.call_id().unwrap_or_default().as_bytes(),
            &number.to_be_bytes(),
            request.body(),
        ])
    }

    /// The id of a stanza: the same for every copy with the same origin id (XEP-0359) from the same user.
    ///
    /// A stanza without one gets the id that `unique` makes, since its `id` may come again in the next session.
    pub fn of_stanza(stanza: &Stanza, unique: impl FnOnce() -> String) -> Self {
        let Some(origin) = origin_of(stanza) else {
            return Self::of(&[b"unique", unique().as_bytes()]);
        };
        let from = stanza.from().unwrap_or_default();
        let user = from.split('/').next().unwrap_or_default();
        let to = stanza.to().unwrap_or_default();
        Self::of(&[b"xmpp", user.as_bytes(), to.as_bytes(), origin.as_bytes()])
    }

    /// The id of a stanza that has come to an account; the same for every copy that comes to that account.
    ///
    /// In a room everybody is somebody else, so that nobody's words pass for a copy of another's.
    pub fn of_account_stanza(
        stanza: &Stanza,
        account: &str,
        unique: impl FnOnce() -> String,
    ) -> Self {
        let Some(origin) = origin_of(stanza) else {
            return Self::of(&[b"unique", unique().as_bytes()]);
        };
        let from = stanza.from().unwrap_or_default();
        let is_groupchat = stanza.type_attribute().as_deref() == Some("groupchat");
        let bare = from.split('/').next().unwrap_or_default();
        let user = if is_groupchat { &*from } else { bare };
        let to = stanza.to().unwrap_or_default();
        let kind = stanza.type_attribute().unwrap_or_default();
        Self::of(&["account", account, user, &to, &kind, &*origin].map(str::as_bytes))
    }

    /// The id of the same message where it leaves from the account of its sender.
    pub fn from_account(self) -> Self {
        Self::of(&[b"from account", &self.0.to_be_bytes()])
    }

    /// The id of the report about a message.
    pub fn of_report(about: Self) -> Self {
        Self::of(&[b"report", &about.0.to_be_bytes()])
    }

    /// The id of the receipt for a stanza of ours.
    pub fn of_receipt(stanza_id: &str) -> Self {
        Self::of(&[b"receipt", stanza_id.as_bytes()])
    }

    fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(u128::from_be_bytes(bytes))
    }

    /// Its digits, as [`hex::text`] reads them.
    pub fn digits(self) -> [u8; 32] {
        let mut digits = [0; 32];
        hex::write(&mut digits[..16], (self.0 >> 64) as u64);
        hex::write(&mut digits[16..], self.0 as u64);
        digits
    }

    /// The id that 32 hexadecimal digits name.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }

    /// The id that the `id` of a stanza of ours ends with.
    pub fn of_stanza_id(id: &str) -> Option<Self> {
        Self::parse(id.rsplit('.').next()?)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex::text(&self.digits()))
    }
}

/// The origin id of a stanza, if it has one.
fn origin_of(stanza: &Stanza) -> Option<Cow<'_, str>> {
    let origin = stanza.payload("origin-id", STANZA_IDS)?.attribute("id")?;
    Some(origin).filter(|origin| !origin.is_empty())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::xmpp::ns::ContentNamespace;

    fn request(branch: &str, tag: &str, cseq: u32, body: &str) -> MessageId {
        let text = format!(
            "MESSAGE sip:r@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch={branch}\r\n\
             From: <sip:j@y>;tag={tag}\r\nTo: <sip:r@x>\r\nCall-ID: c\r\nCSeq: {cseq} MESSAGE\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        MessageId::of_request(&Message::parse(Bytes::from(text)).unwrap())
    }

    #[test]
    fn a_copy_of_a_request_has_its_id_and_another_request_has_not() {
        let first = request("z9hG4bKa", "1", 1, "x");
        assert_eq!(first, request("z9hG4bKb", "1", 1, "x"), "another branch");
        for other in
            [request("a", "2", 1, "x"), request("a", "1", 2, "x"), request("a", "1", 1, "y")]
        {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn only_an_origin_id_makes_two_stanzas_one() {
        let id = |from: &str, inside: &str, unique: &str| {
            let text = format!("<message from='{from}' to='a@b' id='1'>{inside}</message>");
            let stanza = Stanza::parse(&text, ContentNamespace::Component).unwrap();
            MessageId::of_stanza(&stanza, || unique.to_owned())
        };
        let origin = "<origin-id xmlns='urn:xmpp:sid:0' id='o1'/>";
        assert_eq!(id("j@x/1", origin, "u1"), id("j@x/2", origin, "u2"));
        assert_ne!(id("j@x/1", origin, "u1"), id("k@x/1", origin, "u1"));
        assert_ne!(id("j@x/1", "", "u1"), id("j@x/1", "", "u2"));
    }

    #[test]
    fn each_account_has_a_copy_of_its_own() {
        let id = |account: &str, from: &str, kind: &str, unique: &str| {
            let text = format!(
                "<message from='{from}' to='a@b' type='{kind}'>\
                 <origin-id xmlns='urn:xmpp:sid:0' id='o1'/></message>"
            );
            let stanza = Stanza::parse(&text, ContentNamespace::Client).unwrap();
            MessageId::of_account_stanza(&stanza, account, || unique.to_owned())
        };
        assert_eq!(id("sip:a@b", "j@x/1", "chat", "u1"), id("sip:a@b", "j@x/2", "chat", "u2"));
        assert_ne!(id("sip:a@b", "j@x/1", "chat", "u1"), id("sip:c@b", "j@x/1", "chat", "u1"));
        assert_ne!(id("sip:a@b", "j@x/1", "chat", "u1"), id("sip:a@b", "j@x/1", "error", "u1"));
        let (one, two) = ("room@x/one", "room@x/two");
        assert_ne!(id("sip:a@b", one, "groupchat", "u"), id("sip:a@b", two, "groupchat", "u"));
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = request("a", "1", 1, "x");
        assert_eq!(MessageId::parse(&id.to_string()), Some(id));
        assert_eq!(MessageId::of_stanza_id(&format!("z9hG4bK.1.{id}")), Some(id));
        assert_ne!(MessageId::of_report(id), id);
        for wrong in ["", "x", "+0000000000000000000000000000001", &format!("{id}0")] {
            assert_eq!(MessageId::parse(wrong), None, "{wrong}");
        }
    }
}
