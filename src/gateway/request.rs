//! Builds the MESSAGE requests that the gateway originates (RFC 3428 §4).

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use rsip::common::uri::param::{OtherParam, OtherParamValue};
use rsip::common::uri::{Auth, Host, HostWithPort, Param};
use rsip::headers::{
    CSeq, CallId, ContentLanguage, ContentLength, ContentType, Date, From, MaxForwards, Subject,
    To, UntypedHeader,
};

use crate::sip::{Message, Scheme, Uri};

use super::error::MessageError;

/// The longest MESSAGE that any transport may carry (RFC 3428 §8).
pub const MAX_PAGER: usize = 1300;

/// Bytes set aside for what the transport adds: our Via with its branch, and `rport`.
pub const VIA_RESERVE: usize = 120;

/// Bytes that the headers of most MESSAGEs take besides their URIs, so that one allocation holds the request.
const HEADERS: usize = 400;

/// The identifiers of one request; the caller makes them unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestIds<'a> {
    /// The From tag, new for each request.
    pub tag: &'a str,
    /// The Call-ID, used when the stanza brings no thread that can be one.
    pub call_id: &'a str,
    /// The CSeq number.
    ///
    /// 1 is right by the standard, since each request has a tag of its own. A number that grows also serves peers
    /// that take a Call-ID (a thread repeats it) and a CSeq for one message.
    pub cseq: u32,
    /// The time since 1970.
    pub unix_time: Duration,
}

impl<'a> RequestIds<'a> {
    /// Those of a message that is known by `name`, 32 digits, the same in every attempt, so that the recipient can tell a
    /// second copy (RFC 3261 §8.2.2.2).
    pub fn of_message(name: &'a str, unix_time: Duration) -> Self {
        Self { tag: &name[..16], call_id: name, cseq: 1, unix_time }
    }
}

/// A MESSAGE ready for a client transaction; the transport adds the Via.
#[derive(Clone, Debug)]
pub struct OutgoingRequest {
    /// The request without Via.
    pub message: Message,
    /// Its length in bytes once the Via is there, estimated generously.
    pub size: usize,
    /// It says something about this moment, such as that somebody is writing.
    pub is_transient: bool,
}

impl OutgoingRequest {
    /// Longer than 1300 bytes: only a congestion-controlled transport may carry it (RFC 3428 §8).
    pub fn is_large(&self) -> bool {
        self.size > MAX_PAGER
    }
}

/// What a MESSAGE of ours is made of. Each text is free of control characters.
pub(super) struct Pager<'a> {
    /// The Request-URI, and To.
    pub(super) target: &'a str,
    pub(super) from: &'a str,
    pub(super) display_name: Option<&'a str>,
    pub(super) date: Option<&'a str>,
    pub(super) ids: RequestIds<'a>,
    pub(super) subject: Option<&'a str>,
    pub(super) language: Option<&'a str>,
    pub(super) content_type: &'a str,
    pub(super) body: &'a str,
}

impl Pager<'_> {
    /// The request: no Contact (RFC 3428 §4), Max-Forwards 70 (RFC 3261 §8.1.1.6).
    pub(super) fn build(&self) -> Result<OutgoingRequest, MessageError> {
        let bad_target = MessageError::BadHeader { header: "Request-URI" };
        Uri::parse(self.from).map_err(|_| MessageError::BadHeader { header: "From" })?;
        let uri = Uri::parse(self.target).ok().and_then(|uri| request_uri(&uri));
        let uri = uri.ok_or_else(|| bad_target.clone())?;
        let fixed = self.body.len() + self.from.len() + 2 * self.target.len() + HEADERS;
        let mut text = String::with_capacity(fixed);
        text.extend(["MESSAGE ", &*uri, " SIP/2.0\r\n"]);
        self.put_headers(&mut text);
        text.push_str("\r\n");
        text.push_str(self.body);
        let bytes = Bytes::from(text);
        let size = bytes.len() + VIA_RESERVE;
        let message = Message::parse(bytes).map_err(|_| bad_target)?;
        let is_transient = self.content_type == super::composing::CONTENT_TYPE;
        Ok(OutgoingRequest { message, size, is_transient })
    }

    fn put_headers(&self, text: &mut String) {
        let RequestIds { tag, call_id, cseq, .. } = self.ids;
        let from = [&*self.quoted_name(), "<", self.from, ">;tag=", tag].concat();
        put(text, "Max-Forwards", &MaxForwards::from(70));
        put(text, "From", &From::new(from));
        put(text, "To", &To::new(["<", self.target, ">"].concat()));
        put(text, "Call-ID", &CallId::new(call_id));
        put(text, "CSeq", &CSeq::new([&*cseq.to_string(), " MESSAGE"].concat()));
        if let Some(date) = self.date {
            put(text, "Date", &Date::new(date));
        }
        if let Some(subject) = self.subject {
            put(text, "Subject", &Subject::new(subject));
        }
        if let Some(tag) = self.language {
            put(text, "Content-Language", &ContentLanguage::new(tag));
        }
        put(text, "Content-Type", &ContentType::new(self.content_type));
        put(text, "Content-Length", &ContentLength::from(self.body.len() as u32));
    }

    /// The display name as a quoted string with its space behind (RFC 3261 §25.1).
    fn quoted_name(&self) -> String {
        match self.display_name {
            Some(name) if !name.is_empty() => {
                format!("\"{}\" ", name.replace('\\', "\\\\").replace('"', "\\\""))
            }
            _ => String::new(),
        }
    }
}

/// Appends a header line. rsip's own way to write a request formats and allocates for each part of each header, which
/// took a tenth of what it costs to deliver a message.
fn put<'h>(text: &mut String, name: &str, header: &impl UntypedHeader<'h>) {
    text.extend([name, ": ", header.value(), "\r\n"]);
}

/// A URI as it may stand in a request line (RFC 3261 §19.1.1): without password and headers.
fn request_uri<'u>(uri: &Uri<'u>) -> Option<Cow<'u, str>> {
    match (uri.password(), uri.headers()) {
        _ if !uri.is_sip() => None,
        (None, None) => Some(Cow::Borrowed(uri.as_str())),
        _ => typed(uri).map(|uri| Cow::Owned(uri.to_string())),
    }
}

/// rsip's form of a URI.
///
/// Built from parts, since rsip's parser knows no IPv6 host and splits the user at characters that RFC 3261
/// allows in it.
fn typed(uri: &Uri<'_>) -> Option<rsip::Uri> {
    let scheme = match uri.scheme() {
        Scheme::Sip => rsip::Scheme::Sip,
        Scheme::Sips => rsip::Scheme::Sips,
        Scheme::Tel | Scheme::Other(_) => return None,
    };
    let param = |name: &str, value: Option<&str>| {
        Param::Other(OtherParam::new(name), value.map(OtherParamValue::new))
    };
    Some(rsip::Uri {
        scheme: Some(scheme),
        auth: uri.user().map(|user| Auth { user: user.to_owned(), password: None }),
        host_with_port: HostWithPort {
            host: Host::Domain(uri.host().into()),
            port: uri.port().map(Into::into),
        },
        params: uri.params().iter().map(|p| param(p.name, p.value)).collect(),
        headers: Vec::new(),
    })
}
