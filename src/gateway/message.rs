//! Pager-mode messages: MESSAGE ⇄ `<message/>` (RFC 7572).

use std::borrow::Cow;

use super::address::{AddressError, SipsPolicy};
use super::composing::{self, Composing};
use super::content::Content;
use super::delay::{date_of, stamp};
use super::dialect::Side;
use super::envelope::{Envelope, asks_receipt, nick_of};
use super::error::MessageError;
use super::html;
use super::imdn;
use super::mapping::{ImType, LargeMessages, Mapping};
use super::request::{MAX_PAGER, OutgoingRequest, Pager, RequestIds};
use super::text::{head, one_line};
use crate::sip::{HeaderId, Message, NameAddr, Scheme, Uri};
use crate::xmpp::{Jid, Stanza, StanzaError};

/// What every server accepts (RFC 6120 §13.12); beyond it markup is left out first.
const SAFE_STANZA: usize = 10_000;

/// A `<message/>` made from a MESSAGE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingStanza {
    /// The stanza, in the content namespace of whatever stream it is written to.
    pub bytes: Vec<u8>,
    /// Its `id`, by which an error or a receipt will name it.
    pub id: String,
    /// The recipient.
    pub to: Jid,
    /// The sender, in one of our domains.
    pub from: Jid,
    /// It asks the recipient's device to confirm it.
    pub asks_receipt: bool,
}

/// Why a message has nothing to say to the other network; no error, and nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// No text: an empty MESSAGE; a chat state, a receipt, a marker.
    Empty,
    /// A message of a room, which is no message of a person; rooms are not carried as MESSAGE.
    Groupchat,
}

/// What a MESSAGE becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A stanza to send.
    Stanza(OutgoingStanza),
    /// Nothing to send.
    Nothing(Nothing),
}

/// What a `<message/>` becomes.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// A MESSAGE to send.
    Request(Box<OutgoingRequest>),
    /// The fate of a stanza that we sent (RFC 7247 §7.1); it goes back to that stanza's sender.
    Error {
        /// The `id` of that stanza.
        id: Option<String>,
        /// What went wrong.
        error: StanzaError,
    },
    /// Nothing to send.
    Nothing(Nothing),
}

/// The stanza for a MESSAGE request (RFC 7572 §5, Table 2).
///
/// The destination is the Request-URI, or To where the dialect finds no recipient in the Request-URI.
/// The `id` begins with the transaction identifier, the branch of the top Via, and ends with `unique`, a
/// word that no other stanza of ours has; the same value is the XEP-0359 origin id. The display name of From
/// goes along as nickname (XEP-0172), an isComposing document becomes a chat state.
pub fn stanza_from_message(
    request: &Message,
    unique: &str,
    mapping: &Mapping,
) -> Result<Outgoing, MessageError> {
    let to = recipient(request, mapping)?;
    let written_from = request.from().map_err(|_| MessageError::BadHeader { header: "From" })?;
    let from = sender(&written_from, mapping)?;
    let (nick, im_type) = (display_name(&written_from), mapping.im_type);
    Ok(match written(request, (Some(&from), nick), &to, im_type, unique, mapping)? {
        Some(AccountStanza { bytes, id, asks_receipt }) => {
            Outgoing::Stanza(OutgoingStanza { bytes, id, to, from, asks_receipt })
        }
        None => Outgoing::Nothing(Nothing::Empty),
    })
}

/// The stanza for a MESSAGE request to `to` on the stream of the sender's own account, which says by itself who writes.
/// `None` when there is nothing to say. The rest is as [`stanza_from_message`] has it.
pub fn stanza_to(
    request: &Message,
    to: &Jid,
    im_type: ImType,
    unique: &str,
    mapping: &Mapping,
) -> Result<Option<AccountStanza>, MessageError> {
    let nick = request.from().ok().and_then(|from| display_name(&from));
    written(request, (None, nick), to, im_type, unique, mapping)
}

/// A stanza for a MESSAGE, on the stream of the account that it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountStanza {
    /// The stanza.
    pub bytes: Vec<u8>,
    /// Its `id`, by which an error or a receipt will name it.
    pub id: String,
    /// It asks the recipient's device to confirm it.
    pub asks_receipt: bool,
}

fn written(
    request: &Message,
    (from, nick): (Option<&Jid>, Option<String>),
    to: &Jid,
    im_type: ImType,
    unique: &str,
    mapping: &Mapping,
) -> Result<Option<AccountStanza>, MessageError> {
    let content_type = request.content_type();
    let encoding = request.text(HeaderId::ContentEncoding);
    let content = Content::parse(request.body(), content_type.as_deref(), encoding.as_deref())?;
    let subject = subject(request, &content);
    if content.is_empty() && subject.is_none() {
        return Ok(None);
    }
    let id = stanza_id(request, unique);
    let call_id = request.call_id().map_err(|_| MessageError::BadHeader { header: "Call-ID" })?;
    let language = request.text(HeaderId::ContentLanguage);
    let is_text = content.composing.is_none() && content.receipt.is_none();
    let wants = content.asked.as_ref().is_some_and(|asked| asked.delivered);
    // In a room everybody would confirm it.
    let is_personal = im_type != ImType::Groupchat;
    let asks_receipt = is_personal && is_text && (mapping.receipts || wants);
    let envelope = Envelope {
        asks_receipt,
        to,
        from,
        id: &id,
        thread: call_id,
        subject: subject.as_deref(),
        nick: nick.as_deref(),
        lang: language.as_deref().and_then(first_language),
        im_type,
    };
    let mut bytes = match (content.composing, &content.receipt) {
        (Some(state), _) => envelope.write_state(state),
        (None, Some(receipt)) => match envelope.write_receipt(receipt) {
            Some(bytes) => bytes,
            None => return Ok(None),
        },
        (None, None) => envelope.write(&content),
    };
    if bytes.len() > SAFE_STANZA && content.xhtml.is_some() {
        bytes = envelope.write(&Content { xhtml: None, ..content });
    }
    if bytes.len() > mapping.max_stanza {
        return Err(MessageError::TooLarge { size: bytes.len(), max: mapping.max_stanza });
    }
    Ok(Some(AccountStanza { bytes, id, asks_receipt }))
}

/// The MESSAGE for a `<message/>` (RFC 7572 §4, Table 1).
///
/// A `thread` that can be a Call-ID is one; `id` maps to the branch, which the transaction chooses.
/// The type has no mapping: `normal`, `chat` and `headline` are sent alike. Beside the table, a nickname becomes
/// the display name of From, and the time of a delayed stanza becomes Date.
pub fn message_from_stanza(
    stanza: &Stanza,
    ids: RequestIds<'_>,
    mapping: &Mapping,
) -> Result<Incoming, MessageError> {
    if let Some(error) = StanzaError::read(stanza) {
        return Ok(Incoming::Error { id: stanza.id().map(Cow::into_owned), error });
    }
    if stanza.type_attribute().as_deref() == Some("groupchat") {
        return Ok(Incoming::Nothing(Nothing::Groupchat));
    }
    let (from, to) = ends(stanza)?;
    let addressing = &mapping.addressing;
    let from = addressing.sip_from_jid(&from, Side::Xmpp).map_err(MessageError::Sender)?;
    let target = addressing.sip_from_jid(&to, Side::Sip).map_err(MessageError::Recipient)?;
    request_between(stanza, &from, &target, "", ids, mapping)
}

/// The MESSAGE for a `<message/>` whose ends in SIP are known, with `prefix` before its text. The rest is as
/// [`message_from_stanza`] has it.
pub fn request_between(
    stanza: &Stanza,
    from: &str,
    target: &str,
    prefix: &str,
    ids: RequestIds<'_>,
    mapping: &Mapping,
) -> Result<Incoming, MessageError> {
    let body = stanza.child_text("body").unwrap_or_default();
    let subject = subject_of(stanza);
    let state = Composing::read(stanza).filter(|_| mapping.chat_states);
    let is_empty = body.is_empty() && subject.is_none();
    if is_empty && state.is_none() {
        return Ok(Incoming::Nothing(Nothing::Empty));
    }
    let call_id = stanza.child_text("thread").filter(|thread| is_call_id(thread));
    let language = language_of(stanza);
    let (content_type, mut body) = match state.filter(|_| is_empty) {
        Some(state) => (composing::CONTENT_TYPE, Cow::Borrowed(state.document())),
        None => body_for_sip(stanza, &body, mapping),
    };
    if !prefix.is_empty() {
        body = Cow::Owned(format!("{prefix}{body}"));
    }
    let confirmed = stanza.id().filter(|_| mapping.imdn && !is_empty && asks_receipt(stanza));
    let (content_type, body) = match confirmed {
        Some(id) => {
            let inside = (content_type, &*body);
            let asking = imdn::asking(from, target, &id, &stamp(ids.unix_time), inside);
            ("message/cpim", Cow::Owned(asking))
        }
        None => (content_type, body),
    };
    let request = Pager {
        target,
        from,
        display_name: nick_of(stanza).map(|nick| one_line(&nick)).as_deref(),
        date: date_of(stanza).as_deref(),
        ids: RequestIds { call_id: call_id.as_deref().unwrap_or(ids.call_id), ..ids },
        subject: subject.as_deref(),
        language: language.as_deref().and_then(first_language),
        content_type,
        body: &body,
    }
    .build()?;
    if request.is_large() && mapping.large_messages == LargeMessages::Refuse {
        return Err(MessageError::TooLarge { size: request.size, max: MAX_PAGER });
    }
    Ok(Incoming::Request(Box::new(request)))
}

/// A MESSAGE with a text of the gateway's own.
pub fn text_message(
    from: &str,
    target: &str,
    text: &str,
    ids: RequestIds<'_>,
) -> Result<OutgoingRequest, MessageError> {
    Pager {
        target,
        from,
        display_name: None,
        date: None,
        ids,
        subject: None,
        language: None,
        content_type: "text/plain;charset=UTF-8",
        body: text,
    }
    .build()
}

/// The JID of the destination; sips in To forbids the message as it does in the Request-URI (RFC 7247 §8).
fn recipient(request: &Message, mapping: &Mapping) -> Result<Jid, MessageError> {
    let bad = |header| MessageError::BadHeader { header };
    let jid = |uri: &Uri<'_>| {
        mapping.addressing.jid_from_sip(uri, Side::Xmpp).map_err(MessageError::Recipient)
    };
    let to = request.to().map_err(|_| bad("To"))?;
    let to = to.parsed_uri().map_err(|_| bad("To"));
    let is_refused = mapping.addressing.sips == SipsPolicy::Refuse;
    if is_refused && to.as_ref().is_ok_and(|to| matches!(to.scheme(), Scheme::Sips)) {
        return Err(MessageError::Recipient(AddressError::Sips));
    }
    let target = request.uri().map_err(|_| bad("Request-URI"))?;
    match jid(&target) {
        Err(MessageError::Recipient(error)) if error.status().0 == 404 => {
            to.and_then(|to| jid(&to)).map_err(|_| MessageError::Recipient(error))
        }
        found => found,
    }
}

/// The JID of the sender, which must be in one of our domains.
fn sender(from: &NameAddr<'_>, mapping: &Mapping) -> Result<Jid, MessageError> {
    let uri = from.parsed_uri().map_err(|_| MessageError::BadHeader { header: "From" })?;
    let jid = mapping.addressing.jid_from_sip(&uri, Side::Sip).map_err(MessageError::Sender)?;
    if mapping.is_ours(&jid) {
        return Ok(jid);
    }
    Err(MessageError::ForeignSender { domain: jid.domain().as_str().to_owned() })
}

/// Subject of the request, else of the message/cpim inside.
fn subject(request: &Message, content: &Content) -> Option<String> {
    let header = request.text(HeaderId::Subject).map(|subject| one_line(&subject));
    let inside = || content.subject.as_ref().map(|(subject, _)| one_line(subject));
    header.filter(|s| !s.is_empty()).or_else(inside).filter(|s| !s.is_empty())
}

/// The display name of From.
fn display_name(from: &NameAddr<'_>) -> Option<String> {
    let name = one_line(&from.display_name());
    Some(name).filter(|name| !name.is_empty())
}

fn stanza_id(request: &Message, unique: &str) -> String {
    const MAX_BRANCH: usize = 128;
    let via = request.top_via().ok();
    match via.as_ref().and_then(|via| via.branch) {
        Some(branch) => [head(branch, MAX_BRANCH), ".", unique].concat(),
        None => unique.to_owned(),
    }
}

/// The first language tag of a Content-Language or `xml:lang` value, when it has the form of one (RFC 5646 §2.1).
fn first_language(value: &str) -> Option<&str> {
    let tag = value.split(',').next()?.trim();
    let is_subtag =
        |part: &str| matches!(part.len(), 1..=8) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    (tag.len() <= 64 && tag.split('-').all(is_subtag)).then_some(tag)
}

fn subject_of(stanza: &Stanza) -> Option<String> {
    let subject = one_line(&stanza.child_text("subject")?);
    Some(subject).filter(|subject| !subject.is_empty())
}

/// The language of the body that is carried, else of the stanza.
fn language_of(stanza: &Stanza) -> Option<Cow<'_, str>> {
    stanza.child("body").and_then(|body| body.attribute("xml:lang")).or_else(|| stanza.lang())
}

fn ends(stanza: &Stanza) -> Result<(Jid, Jid), MessageError> {
    let bad = |attribute| MessageError::BadAttribute { attribute };
    let from = stanza.from_jid().and_then(Result::ok).ok_or_else(|| bad("from"))?;
    let to = stanza.to_jid().and_then(Result::ok).ok_or_else(|| bad("to"))?;
    Ok((from, to))
}

/// The body and its Content-Type: HTML when the operator wants it and the stanza has markup.
fn body_for_sip<'a>(
    stanza: &Stanza,
    text: &'a str,
    mapping: &Mapping,
) -> (&'static str, Cow<'a, str>) {
    let markup = stanza.payload("html", html::NAMESPACE).filter(|_| mapping.html);
    match markup.and_then(|markup| html::html_document(markup.inner())) {
        Some(document) => ("text/html;charset=UTF-8", Cow::Owned(document)),
        None => ("text/plain;charset=UTF-8", Cow::Borrowed(text)),
    }
}

/// RFC 3261 §25.1 `callid`, at most 256 bytes long.
fn is_call_id(text: &str) -> bool {
    let is_word = |word: &str| {
        let allowed =
            |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~()<>:\\\"/[]?{}".contains(&b);
        !word.is_empty() && word.bytes().all(allowed)
    };
    let (local, host) = text.split_once('@').unwrap_or((text, "x"));
    text.len() <= 256 && is_word(local) && is_word(host)
}
