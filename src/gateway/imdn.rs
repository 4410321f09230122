//! Receipts: message/imdn+xml in message/cpim (RFC 5438) ⇄ XEP-0184, and XEP-0333 for what was read.

use std::fmt::Write;

use super::content::ContentError;
use super::cpim::Cpim;
use super::media_type::MediaType;
use super::text::xml_text;
use crate::sip::Message;
use crate::xmpp::ns::ContentNamespace;
use crate::xmpp::{Stanza, Writer, escape_text};

/// The media type of receipts.
pub(super) const MEDIA_TYPE: (&str, &str) = ("message", "imdn+xml");

/// The namespace of their headers in message/cpim (RFC 5438 §6).
const HEADERS: &str = "urn:ietf:params:imdn";
/// The namespace of the documents (RFC 5438 §11.2).
const DOCUMENT: &str = "urn:ietf:params:xml:ns:imdn";
/// XEP-0184.
pub(super) const RECEIPTS: &str = "urn:xmpp:receipts";
/// XEP-0333.
const MARKERS: &str = "urn:xmpp:chat-markers:0";

/// What the sender of a message wants to be told (RFC 5438 §7.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// His name for the message.
    pub message_id: String,
    /// When he wrote it, as he says.
    pub date_time: String,
    /// That it was delivered.
    pub delivered: bool,
    /// That it was not.
    pub failed: bool,
}

impl Asked {
    /// What the sender of a MESSAGE wants to be told, when that is anything and he has said what a receipt needs.
    pub fn of_request(request: &Message) -> Option<Self> {
        let content_type = request.content_type()?;
        let media = MediaType::parse(&content_type).ok()?;
        Self::of_cpim(&media.is("message", "cpim").then(|| Cpim::parse(request.body()).ok())??)
    }

    /// What the sender of a message/cpim wants to be told.
    pub(super) fn of_cpim(cpim: &Cpim<'_>) -> Option<Self> {
        // RFC 5438 §6.2: a receipt asks for none.
        let (kind, subtype) = MEDIA_TYPE;
        if cpim.media_type().ok()?.is(kind, subtype) {
            return None;
        }
        let wanted = cpim.extension(HEADERS, "Disposition-Notification")?;
        let wants = |what: &str| wanted.split(',').any(|it| it.trim().eq_ignore_ascii_case(what));
        let (delivered, failed) = (wants("positive-delivery"), wants("negative-delivery"));
        let message_id = cpim.extension(HEADERS, "Message-ID")?.to_owned();
        let date_time = cpim.date_time()?.to_owned();
        (delivered || failed).then_some(Self { message_id, date_time, delivered, failed })
    }
}

/// What a receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The recipient's device has the message.
    Delivered,
    /// It did not arrive.
    Failed,
    /// The recipient has seen it.
    Displayed,
    /// Something that the other network has no word for.
    Other,
}

/// First match wins; a pair of elements of RFC 5438 §11.1.7, `*` for any other status.
const DISPOSITIONS: &[(&str, &str, Disposition)] = &[
    ("delivery-notification", "delivered", Disposition::Delivered),
    ("delivery-notification", "failed", Disposition::Failed),
    ("delivery-notification", "forbidden", Disposition::Other),
    ("delivery-notification", "error", Disposition::Other),
    ("display-notification", "displayed", Disposition::Displayed),
    ("display-notification", "*", Disposition::Other),
    ("processing-notification", "*", Disposition::Other),
];

/// A receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The sender's name for the message that it is about.
    pub message_id: String,
    /// What it says.
    pub disposition: Disposition,
}

impl Receipt {
    /// Reads a message/imdn+xml document.
    pub fn parse(document: &[u8]) -> Result<Self, ContentError> {
        let malformed = || ContentError::MalformedDocument { media_type: "imdn+xml" };
        let text = std::str::from_utf8(document).map_err(|_| malformed())?.trim();
        let root = match text.strip_prefix("<?xml") {
            Some(declared) => declared.split_once("?>").map_or("", |(_, root)| root.trim()),
            None => text,
        };
        let root = Stanza::parse(root, ContentNamespace::Client).map_err(|_| malformed())?;
        if root.name() != "imdn" || root.namespace() != DOCUMENT {
            return Err(malformed());
        }
        let id = root.payload("message-id", DOCUMENT).ok_or_else(malformed)?;
        let kinds = DISPOSITIONS.iter().map(|(kind, ..)| *kind);
        let found = kinds.into_iter().find_map(|kind| root.payload(kind, DOCUMENT));
        let disposition = match found {
            Some(notification) => {
                let standalone = notification.standalone();
                let inside = Stanza::parse(&standalone, ContentNamespace::Client);
                let inside = inside.map_err(|_| malformed())?;
                let status = inside.payload("status", DOCUMENT).ok_or_else(malformed)?;
                let status = status.standalone();
                let status = Stanza::parse(&status, ContentNamespace::Client);
                let status = status.map_err(|_| malformed())?;
                let word = status.payloads().next().map(|it| it.name().to_owned());
                disposition(notification.name(), word.as_deref().unwrap_or_default())
            }
            None => Disposition::Other,
        };
        Ok(Self { message_id: id.text().trim().to_owned(), disposition })
    }

    /// The receipt in a stanza.
    pub fn read(stanza: &Stanza) -> Option<Self> {
        let is = |name, namespace, disposition| {
            let id = stanza.payload(name, namespace)?.attribute("id")?.into_owned();
            Some(Self { message_id: id, disposition })
        };
        if stanza.is_error() {
            return None;
        }
        is("received", RECEIPTS, Disposition::Delivered)
            .or_else(|| is("displayed", MARKERS, Disposition::Displayed))
    }

    /// The payload of a stanza that says so; false when XMPP has no word for it.
    pub(super) fn write(&self, writer: &mut Writer<'_>) -> bool {
        let (name, namespace) = match self.disposition {
            Disposition::Delivered => ("received", RECEIPTS),
            Disposition::Displayed => ("displayed", MARKERS),
            Disposition::Failed | Disposition::Other => return false,
        };
        writer.start_in(name, namespace).attr("id", &self.message_id).end();
        true
    }

    /// The message/cpim body of a receipt from `from` to `to` for what was `asked`; `id` is its own.
    pub fn body(asked: &Asked, disposition: Disposition, from: &str, to: &str, id: &str) -> String {
        let (kind, status) = match disposition {
            Disposition::Delivered | Disposition::Other => ("delivery-notification", "delivered"),
            Disposition::Failed => ("delivery-notification", "failed"),
            Disposition::Displayed => ("display-notification", "displayed"),
        };
        let document = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<imdn xmlns=\"{DOCUMENT}\">\
             <message-id>{}</message-id><datetime>{}</datetime>\
             <recipient-uri>{from}</recipient-uri>\
             <original-recipient-uri>{from}</original-recipient-uri>\
             <{kind}><status><{status}/></status></{kind}></imdn>\r\n",
            escaped(&asked.message_id),
            escaped(&asked.date_time),
            from = escaped(from),
        );
        let length = document.len();
        format!(
            "From: <{from}>\r\nTo: <{to}>\r\nNS: imdn <{HEADERS}>\r\nimdn.Message-ID: {id}\r\n\r\n\
             Content-Type: message/imdn+xml\r\nContent-Disposition: notification\r\n\
             Content-Length: {length}\r\n\r\n{document}"
        )
    }
}

fn disposition(kind: &str, status: &str) -> Disposition {
    let is = |row: &&(&str, &str, Disposition)| row.0 == kind && (row.1 == status || row.1 == "*");
    DISPOSITIONS.iter().find(is).map_or(Disposition::Other, |(.., disposition)| *disposition)
}

fn escaped(text: &str) -> String {
    let mut out = Vec::new();
    escape_text(&mut out, &xml_text(text));
    String::from_utf8(out).expect("what is escaped is text")
}

/// A text in message/cpim whose recipient is asked to confirm it; `id` is the sender's name for it.
pub(super) fn asking(
    from: &str,
    to: &str,
    id: &str,
    date_time: &str,
    (content_type, text): (&str, &str),
) -> String {
    let mut body = format!("From: <{from}>\r\nTo: <{to}>\r\nDateTime: {date_time}\r\n");
    // Writing to a String cannot fail.
    let _ = write!(
        body,
        "NS: imdn <{HEADERS}>\r\nimdn.Message-ID: {}\r\n\
         imdn.Disposition-Notification: positive-delivery\r\n\r\n\
         Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{text}",
        one_word(id),
        text.len()
    );
    body
}

/// A header value: RFC 3862 §2.3 escapes what is not plain.
fn one_word(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && c != '\\' { Some(c) } else { None };
    let mut out = String::new();
    for c in text.chars() {
        match plain(c) {
            Some(c) => out.push(c),
            None => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn asking_message(body: &str) -> Message {
        let text = format!(
            "MESSAGE sip:a@b SIP/2.0\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\n\
             CSeq: 1 MESSAGE\r\nContent-Type: message/cpim\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    #[test]
    fn what_is_asked_is_what_is_answered() {
        let body =
            asking("sip:c@d", "sip:a@b", "ü <1>", "2026-01-01T00:00:00Z", ("text/plain", "x"));
        let asked = Asked::of_request(&asking_message(&body)).unwrap();
        assert_eq!(
            (asked.message_id.as_str(), asked.delivered, asked.failed),
            ("ü <1>", true, false)
        );
        for disposition in [Disposition::Delivered, Disposition::Failed, Disposition::Displayed] {
            let body = Receipt::body(&asked, disposition, "sip:a@b?x=1&y", "sip:c@d", "r1");
            let cpim = Cpim::parse(body.as_bytes()).unwrap();
            assert!(cpim.media_type().unwrap().is(MEDIA_TYPE.0, MEDIA_TYPE.1));
            let receipt = Receipt::parse(&cpim.body().unwrap()).unwrap();
            assert_eq!(receipt, Receipt { message_id: "ü <1>".to_owned(), disposition });
            assert_eq!(Asked::of_request(&asking_message(&body)), None, "a receipt asks for none");
        }
    }

    #[test]
    fn no_row_is_hidden_by_an_earlier_one() {
        for (row, (kind, status, _)) in DISPOSITIONS.iter().enumerate() {
            let hides =
                |above: &(&str, &str, _)| above.0 == *kind && [*status, "*"].contains(&above.1);
            assert!(!DISPOSITIONS[..row].iter().any(hides), "row {row}");
        }
    }

    #[test]
    fn what_is_no_receipt_is_refused() {
        for document in ["", "<imdn/>", "<imdn xmlns='urn:ietf:params:xml:ns:imdn'/>", "\u{0}"] {
            assert!(Receipt::parse(document.as_bytes()).is_err(), "{document}");
        }
    }
}
