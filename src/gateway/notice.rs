//! What a sender is told when a message failed: a reply, a later MESSAGE, or an error stanza.

use std::borrow::Cow;

use super::address::percent_encoded;
use super::condition::{Scope, code_from_condition, condition_from_code};
use super::dialect::Side;
use super::error::MessageError;
use super::imdn::{Asked, Disposition, Receipt};
use super::mapping::Mapping;
use super::request::{OutgoingRequest, Pager, RequestIds};
use super::text::{head, one_line, xml_text};
use crate::sip::{Message, Uri, standard_reason};
use crate::xmpp::{Condition, Jid, Stanza, StanzaError, jid};

/// The final reply to a MESSAGE whose stanza failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The status code.
    pub code: u16,
    /// The Reason-Phrase: one line of text.
    pub reason: Cow<'static, str>,
    /// The Contact that a 301 or 302 names, a SIP URI.
    pub contact: Option<String>,
}

/// The SIP reply for a stanza error (RFC 7247 §7.1).
///
/// `to` is the recipient of the failed stanza: a full JID makes the error one of a device. A new address counts
/// only when it has a SIP form; `<text/>` becomes the Reason-Phrase.
pub fn failure_from_error(error: &StanzaError, to: &Jid, mapping: &Mapping) -> Failure {
    let scope = if to.is_full() { Scope::Device } else { Scope::User };
    let contact = error.address.as_deref().and_then(|address| contact(address, mapping));
    let code = code_from_condition(error.condition, scope, contact.is_some());
    let contact = contact.filter(|_| matches!(code, 301 | 302));
    let text = error.text.as_deref().map(one_line).filter(|text| !text.is_empty());
    let reason = text.map_or(Cow::Borrowed(standard_reason(code)), Cow::Owned);
    Failure { code, reason, contact }
}

/// The SIP URI of a new address, which XMPP writes as an `xmpp:` URI, some servers as a bare JID.
fn contact(address: &str, mapping: &Mapping) -> Option<String> {
    let address = address.trim();
    if let Some(uri) = Uri::parse(address).ok().filter(Uri::is_sip) {
        return Some(uri.as_str().to_owned());
    }
    let path = address.strip_prefix("xmpp:").unwrap_or(address).split(['?', '#']).next()?;
    let path = String::from_utf8(crate::sip::unescape(path).into_owned()).ok()?;
    let jid = jid::parse(&path).ok()?;
    mapping.addressing.sip_from_jid(&jid, Side::Xmpp).ok()
}

/// The error to return to an XMPP sender for a final SIP reply, `None` for a success (RFC 7247 §7.2).
///
/// `contact` is the URI of the reply's first Contact: with 301 and 302 it becomes the new address. A 410 names
/// none. The Reason-Phrase becomes `<text/>`.
pub fn error_from_response(
    code: u16,
    reason: &str,
    contact: Option<&str>,
    mapping: &Mapping,
) -> Option<StanzaError> {
    let condition = condition_from_code(code, mapping.error_map)?;
    let takes_address = code != 410 && matches!(condition, Condition::Gone | Condition::Redirect);
    let address = contact.filter(|_| takes_address).and_then(|uri| {
        let uri = Uri::parse(uri).ok()?;
        let jid = mapping.addressing.jid_from_sip(&uri, Side::Sip).ok()?;
        Some(xmpp_uri(&jid))
    });
    let reason = one_line(&xml_text(reason));
    let mut error = StanzaError::from(condition);
    error.address = address;
    error.text = Some(reason).filter(|reason| !reason.is_empty());
    Some(error)
}

/// RFC 5122 §2.2: what a URI cannot hold is percent-encoded.
fn xmpp_uri(jid: &Jid) -> String {
    let mut uri = String::from("xmpp:");
    for c in jid.as_str().chars() {
        if c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(c) {
            uri.push(c);
        } else {
            uri.push_str(&percent_encoded(c));
        }
    }
    uri
}

/// The texts of notices; operators write their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wording {
    /// The text to a SIP user whose message failed after it was accepted.
    ///
    /// `{to}` stands for the recipient as the user wrote it, `{reason}` for the reason, `{text}` for
    /// the beginning of the message.
    pub undelivered: String,
}

impl Default for Wording {
    fn default() -> Self {
        let undelivered = "Your message to {to} was not delivered: {reason}.\n> {text}";
        Self { undelivered: undelivered.to_owned() }
    }
}

impl Wording {
    /// The text of a notice about `text`, a message to `to` that failed for `reason`.
    pub fn undelivered(&self, to: &str, reason: &str, text: &str) -> String {
        const MAX_QUOTE: usize = 160;
        let quote = one_line(text);
        let shown = head(&quote, MAX_QUOTE);
        let more = if shown.len() < quote.len() { "…" } else { "" };
        let mut out = String::new();
        let mut rest = self.undelivered.as_str();
        while let Some(at) = rest.find('{') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let known = [("{to}", to), ("{reason}", reason), ("{text}", shown)];
            match known.iter().find(|(name, _)| rest.starts_with(name)) {
                Some((name, value)) => {
                    out.push_str(value);
                    out.push_str(if *name == "{text}" { more } else { "" });
                    rest = &rest[name.len()..];
                }
                None => {
                    out.push('{');
                    rest = &rest[1..];
                }
            }
        }
        out + rest
    }
}

/// A MESSAGE that tells the sender of `failed` that it was not delivered.
///
/// It comes from the address that the user wrote to, so that it appears in the same conversation, with a Call-ID of
/// its own. `text` is what the failed message said.
pub fn notice_to_sender(
    failed: &Message,
    reason: &str,
    text: &str,
    ids: RequestIds<'_>,
    mapping: &Mapping,
) -> Result<OutgoingRequest, MessageError> {
    let sender = failed.from().map_err(|_| MessageError::BadHeader { header: "From" })?;
    let recipient = failed.to().map_err(|_| MessageError::BadHeader { header: "To" })?;
    notice([sender.uri, recipient.uri], reason, text, ids, mapping)
}

/// A MESSAGE that tells the sender of `request`, who has `asked` for it, what became of it (RFC 5438 §7.2).
pub fn receipt_to_sender(
    request: &Message,
    asked: &Asked,
    disposition: Disposition,
    ids: RequestIds<'_>,
) -> Result<OutgoingRequest, MessageError> {
    let sender = request.from().map_err(|_| MessageError::BadHeader { header: "From" })?;
    let recipient = request.to().map_err(|_| MessageError::BadHeader { header: "To" })?;
    let body = Receipt::body(asked, disposition, recipient.uri, sender.uri, ids.call_id);
    Pager {
        target: sender.uri,
        from: recipient.uri,
        display_name: None,
        date: None,
        ids,
        subject: None,
        language: None,
        content_type: "message/cpim",
        body: &body,
    }
    .build()
}

/// The same notice for an error stanza that came after its message was taken for delivered: its addresses say whose it
/// was, and `text` what it said, else the error itself does where it has brought that along.
pub fn notice_from_error(
    stanza: &Stanza,
    error: &StanzaError,
    text: Option<String>,
    ids: RequestIds<'_>,
    mapping: &Mapping,
) -> Result<OutgoingRequest, MessageError> {
    let bad = |attribute| MessageError::BadAttribute { attribute };
    let from = stanza.from_jid().and_then(Result::ok).ok_or_else(|| bad("from"))?;
    let to = stanza.to_jid().and_then(Result::ok).ok_or_else(|| bad("to"))?;
    let addressing = &mapping.addressing;
    let recipient = addressing.sip_from_jid(&from, Side::Xmpp).map_err(MessageError::Sender)?;
    let sender = addressing.sip_from_jid(&to, Side::Sip).map_err(MessageError::Recipient)?;
    let failure = failure_from_error(error, &from, mapping);
    let text = text.or_else(|| stanza.child_text("body").map(Into::into)).unwrap_or_default();
    notice([&sender, &recipient], &failure.reason, &text, ids, mapping)
}

fn notice(
    [sender, recipient]: [&str; 2],
    reason: &str,
    text: &str,
    ids: RequestIds<'_>,
    mapping: &Mapping,
) -> Result<OutgoingRequest, MessageError> {
    let shown = recipient.split_once(':').map_or(recipient, |(_, address)| address);
    let shown = shown.split([';', '?']).next().unwrap_or(shown);
    let notice = mapping.wording.undelivered(shown, &one_line(reason), text);
    Pager {
        target: sender,
        from: recipient,
        display_name: None,
        date: None,
        ids,
        subject: None,
        language: None,
        content_type: "text/plain;charset=UTF-8",
        body: &notice,
    }
    .build()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use bytes::Bytes;

    fn failed(from: &str, to: &str) -> Message {
        let text = format!(
            "MESSAGE sip:x@y SIP/2.0\r\nFrom: {from};tag=1\r\nTo: {to}\r\nCall-ID: a\r\n\
             CSeq: 7 MESSAGE\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    const IDS: RequestIds<'static> =
        RequestIds { tag: "t", call_id: "c", cseq: 1, unix_time: Duration::ZERO };

    #[test]
    fn a_notice_comes_from_the_address_that_was_written_to() {
        let failed = failed("\"Romeo\" <sip:romeo@example.net>", "<sip:juliet@example.com;user=x>");
        let mapping = Mapping::default();
        let notice = notice_to_sender(&failed, "Not\r\nFound", "Wilt thou?\nI", IDS, &mapping);
        let message = notice.unwrap().message;
        assert_eq!(message.request_uri(), "sip:romeo@example.net");
        assert_eq!(message.to().unwrap().uri, "sip:romeo@example.net");
        assert_eq!(message.from().unwrap().uri, "sip:juliet@example.com;user=x");
        let body =
            "Your message to juliet@example.com was not delivered: Not Found.\n> Wilt thou? I";
        assert_eq!(message.body(), body.as_bytes());
    }

    #[test]
    fn a_notice_needs_addresses_that_can_be_written() {
        let folded = failed("<sip:romeo@example.net>", "<sip:juliet@\r\n example.com>");
        assert!(notice_to_sender(&folded, "", "", IDS, &Mapping::default()).is_err());
        let tel = failed("<tel:+123>", "<sip:juliet@example.com>");
        assert!(notice_to_sender(&tel, "", "", IDS, &Mapping::default()).is_err());
    }

    #[test]
    fn operators_write_their_own_notices() {
        let wording = Wording { undelivered: "{reason}: {to} {text} {code} {".to_owned() };
        assert_eq!(wording.undelivered("{text}", "weg", "x"), "weg: {text} x {code} {");
        let quote = wording.undelivered("t", "r", &"ü".repeat(500));
        assert!(quote.contains("ü… {code}") && quote.len() < 200);
    }
}
