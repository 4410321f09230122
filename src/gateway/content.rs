//! The body of a MESSAGE → text for a stanza, whatever it was wrapped in.

use thiserror::Error;

use super::composing::{self, Composing};
use super::cpim::Cpim;
use super::html;
use super::imdn::{self, Asked, Receipt};
use super::media_type::MediaType;
use super::{charset, text};
use crate::xmpp::Condition;

/// What the gateway reads, as an Accept header says it (RFC 3261 §20.1).
pub const ACCEPT: &str =
    "text/plain, text/html, message/cpim, application/im-iscomposing+xml, message/imdn+xml";

/// The text of a message body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// What a stanza's `<body/>` holds: LF line ends, XML characters only; empty when there is no text.
    pub text: String,
    /// The content of the XHTML-IM `<body/>`, when the message had markup (RFC 7572 §7).
    pub xhtml: Option<String>,
    /// The subject and its language, when the wrapping had one (RFC 3862 §4.5).
    pub subject: Option<(String, Option<String>)>,
    /// What the sender is doing, when the body was an isComposing document (RFC 3994).
    pub composing: Option<Composing>,
    /// What became of a message of the recipient's, when the body was a receipt (RFC 5438).
    pub receipt: Option<Receipt>,
    /// What the sender wants to be told, when the wrapping says it (RFC 5438).
    pub asked: Option<Asked>,
}

impl Content {
    /// Whether there is nothing in it for a stanza.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.composing.is_none() && self.receipt.is_none()
    }

    /// Reads a body by its Content-Type and Content-Encoding (RFC 7572 §7).
    ///
    /// A missing Content-Type is read as text/plain, since the sender of a MESSAGE meant text.
    pub fn parse(
        body: &[u8],
        content_type: Option<&str>,
        content_encoding: Option<&str>,
    ) -> Result<Self, ContentError> {
        let encoding = content_encoding.map_or("", str::trim);
        if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            let encoding = text::head(encoding, 64).to_owned();
            return Err(ContentError::UnsupportedContentEncoding { encoding });
        }
        if body.is_empty() {
            return Ok(Self::default());
        }
        let media = MediaType::parse(content_type.unwrap_or("text/plain"))?;
        if !media.is("message", "cpim") {
            return Self::from_text(body, &media);
        }
        let cpim = Cpim::parse(body)?;
        let content = Self::from_text(&cpim.body()?, &cpim.media_type()?)?;
        let subject = cpim
            .subject()
            .map(|(subject, lang)| (text::xml_text(subject).into_owned(), lang.map(str::to_owned)));
        Ok(Self { subject, asked: Asked::of_cpim(&cpim), ..content })
    }

    /// text/plain, text/html and isComposing; anything else is refused with 415.
    fn from_text(body: &[u8], media: &MediaType<'_>) -> Result<Self, ContentError> {
        let (kind, subtype) = composing::MEDIA_TYPE;
        if media.is(kind, subtype) {
            return Ok(Self { composing: Some(Composing::parse(body)?), ..Self::default() });
        }
        let (kind, subtype) = imdn::MEDIA_TYPE;
        if media.is(kind, subtype) {
            return Ok(Self { receipt: Some(Receipt::parse(body)?), ..Self::default() });
        }
        let is_html = media.is("text", "html");
        if !is_html && !media.is("text", "plain") {
            return Err(ContentError::UnsupportedMediaType { media_type: media.essence() });
        }
        let decoded = charset::decode(body, media.parameter("charset"))?;
        if is_html {
            let plain = html::plain_text(&decoded);
            let text = text::xml_text(&plain).into_owned();
            return Ok(Self { text, xhtml: html::xhtml_im(&decoded), ..Self::default() });
        }
        Ok(Self { text: text::xml_text(&decoded).into_owned(), ..Self::default() })
    }
}

/// Why a body cannot be carried to XMPP, sorted by blame.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentError {
    /// The Content-Type is not `type/subtype` with parameters.
    #[error("Content-Type {value:?} is malformed")]
    MalformedMediaType {
        /// The value as received.
        value: String,
    },
    /// A message/cpim body that is none.
    #[error("message/cpim {reason}")]
    MalformedCpim {
        /// What is wrong with it, as a predicate.
        reason: &'static str,
    },
    /// A structured body that is not what its type says.
    #[error("the body is no {media_type} document")]
    MalformedDocument {
        /// The claimed subtype.
        media_type: &'static str,
    },
    /// Bytes that are invalid in the transfer encoding they claim.
    #[error("the body is not {encoding}")]
    MalformedTransferEncoding {
        /// The claimed encoding.
        encoding: &'static str,
    },
    /// Bytes that are invalid in the charset they claim.
    #[error("the body is not {charset}")]
    UndecodableText {
        /// The claimed charset.
        charset: String,
    },
    /// A media type the gateway has no mapping for.
    #[error("{media_type} has no mapping to XMPP")]
    UnsupportedMediaType {
        /// `type/subtype`.
        media_type: String,
    },
    /// A charset nobody knows.
    #[error("charset {charset:?} is unknown")]
    UnknownCharset {
        /// The label as received.
        charset: String,
    },
    /// A content or transfer encoding other than those of the text itself.
    #[error("encoding {encoding:?} is not supported")]
    UnsupportedContentEncoding {
        /// The encoding's name.
        encoding: String,
    },
    /// A message/cpim `Require` we do not understand.
    #[error("message/cpim requires {name:?}")]
    UnsupportedRequirement {
        /// The required header or feature.
        name: String,
    },
}

impl ContentError {
    /// The reply to the SIP sender.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Self::MalformedMediaType { .. }
            | Self::MalformedCpim { .. }
            | Self::MalformedDocument { .. }
            | Self::MalformedTransferEncoding { .. }
            | Self::UndecodableText { .. } => (400, "Bad Request"),
            Self::UnsupportedMediaType { .. }
            | Self::UnknownCharset { .. }
            | Self::UnsupportedContentEncoding { .. } => (415, "Unsupported Media Type"),
            Self::UnsupportedRequirement { .. } => (420, "Bad Extension"),
        }
    }

    /// The same refusal as a stanza error.
    pub fn condition(&self) -> Condition {
        match self.status().0 {
            400 => Condition::BadRequest,
            420 => Condition::FeatureNotImplemented,
            _ => Condition::NotAcceptable,
        }
    }

    /// The header that a 415 must carry so that the sender can do better (RFC 3261 §21.4.13).
    pub fn header(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::UnsupportedMediaType { .. } => Some(("Accept", ACCEPT)),
            Self::UnknownCharset { .. } => Some(("Accept", "text/plain;charset=utf-8")),
            Self::UnsupportedContentEncoding { .. } => Some(("Accept-Encoding", "identity")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &[u8], content_type: &str) -> Content {
        Content::parse(body, Some(content_type), None).unwrap()
    }

    #[test]
    fn plain_text_is_read_in_its_charset() {
        assert_eq!(text(b"h\xE9\r\nx", "text/plain;charset=ISO-8859-1").text, "hé\nx");
        assert_eq!(Content::parse(b"x\0", None, None).unwrap().text, "x\u{FFFD}");
    }

    #[test]
    fn html_gives_text_and_markup() {
        let content = text(b"<p>a <b>b</b></p>", "text/html; charset=utf-8");
        assert_eq!(content.text, "a b");
        assert_eq!(content.xhtml.as_deref(), Some("<p>a <strong>b</strong></p>"));
    }

    #[test]
    fn cpim_is_unwrapped_and_its_subject_kept() {
        let cpim = b"From: <im:a@b>\r\nSubject:;lang=fr beau\r\n\r\n\
            Content-Type: text/plain; charset=utf-8\r\n\r\nhello";
        let content = text(cpim, "Message/CPIM");
        assert_eq!(content.text, "hello");
        assert_eq!(content.subject, Some(("beau".to_owned(), Some("fr".to_owned()))));
    }

    #[test]
    fn an_empty_body_is_empty_text_whatever_its_type() {
        assert_eq!(text(b"", "image/png"), Content::default());
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_can() {
        let rows: [(&str, Option<&str>, u16, Option<&str>); 6] = [
            ("image/png", None, 415, Some("Accept")),
            ("text/plain;charset=klingon", None, 415, Some("Accept")),
            ("text/plain", Some("gzip"), 415, Some("Accept-Encoding")),
            ("text/plain;charset=utf-8", Some("identity"), 400, None),
            ("text", None, 400, None),
            ("message/cpim", None, 400, None),
        ];
        for (content_type, encoding, status, header) in rows {
            let error = Content::parse(b"\xFF", Some(content_type), encoding).unwrap_err();
            assert_eq!(error.status().0, status, "{content_type}");
            assert_eq!(error.header().map(|(name, _)| name), header, "{content_type}");
        }
    }
}
