//! Why bytes are no message, a value cannot be read, or an edit is refused.

use thiserror::Error;

use super::header::HeaderId;

/// Why bytes could not be indexed as a SIP message.
///
/// There is no message, so there is nothing to answer: drop and count.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// The first line is neither a request line nor a status line.
    #[error("the first line is no SIP start line")]
    StartLine,
    /// A status line without a code from 100 to 699.
    #[error("the status code is not between 100 and 699")]
    StatusCode,
    /// The last header line has no line break.
    #[error("the message ends within a line")]
    Unterminated,
    /// The header block is longer than allowed.
    #[error("the header block is too long")]
    HeaderBlock,
    /// The start line, or one header line with its folds, is longer than allowed.
    #[error("a line is too long")]
    Line,
    /// There are more header lines than allowed.
    #[error("there are too many header lines")]
    HeaderCount,
}

/// Why one header value could not be read as its type.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// The message has no such header.
    #[error("{} is missing", .0.name())]
    Missing(HeaderId),
    /// The value does not follow the header's grammar.
    #[error("{} is malformed", .0.name())]
    Malformed(HeaderId),
    /// A number is outside the range of its field.
    #[error("{} is out of range", .0.name())]
    OutOfRange(HeaderId),
    /// The value is not UTF-8.
    #[error("{} is not UTF-8", .0.name())]
    NotUtf8(HeaderId),
}

/// Why a text is not a URI.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum UriError {
    /// There is no scheme, or its name is not one.
    #[error("the URI has no scheme")]
    Scheme,
    /// White space, control characters, quotes or angle brackets.
    #[error("the URI holds a forbidden character")]
    Character,
    /// `%` without two hexadecimal digits.
    #[error("the URI holds a broken % escape")]
    Escape,
    /// The user part is empty although `@` stands behind it.
    #[error("the URI has an empty user part")]
    User,
    /// The host is neither a name nor an IPv4 or bracketed IPv6 address.
    #[error("the URI has no valid host")]
    Host,
    /// The port is not a number up to 65535.
    #[error("the URI has no valid port")]
    Port,
    /// A parameter or header without a name.
    #[error("the URI has an empty parameter")]
    Param,
    /// More than 64 parameters or headers.
    #[error("the URI has too many parameters")]
    TooManyParams,
    /// The operation has no meaning for a URI of this scheme.
    #[error("only sip: and sips: URIs have this part")]
    NotSip,
}

/// Why a message could not be changed; the caller passed something that cannot stand in a message.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EditError {
    /// CR, LF or NUL in a value, which could start a header of its own.
    #[error("CR, LF and NUL cannot stand in a header value")]
    LineBreak,
    /// The header name is not a token.
    #[error("a header name must be a token")]
    Name,
    /// The Request-URI is empty or holds white space.
    #[error("a Request-URI cannot be empty or hold white space")]
    RequestUri,
    /// A reply has no Request-URI.
    #[error("a reply has no Request-URI")]
    NotRequest,
    /// There is no readable top Via to change.
    #[error("there is no readable top Via")]
    Via,
    /// The message has grown beyond 4 GiB.
    #[error("the message is too large")]
    TooLarge,
}

/// Why bytes from a datagram or stream are not framed as messages.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FramingError {
    /// The bytes do not start with a message within the limits.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A message on a stream has no Content-Length (RFC 3261 §18.3).
    #[error("Content-Length is missing")]
    NoLength,
    /// Content-Length is no number, or several disagree.
    #[error("Content-Length is malformed")]
    BadLength,
    /// The body is longer than allowed.
    #[error("the body is too large")]
    BodyTooLarge,
}

impl FramingError {
    /// The status and reason to answer with before the connection is closed.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Self::BodyTooLarge => (413, "Request Entity Too Large"),
            Self::Parse(ParseError::HeaderBlock | ParseError::Line | ParseError::HeaderCount) => {
                (513, "Message Too Large")
            }
            Self::NoLength => (400, "Missing Content-Length"),
            Self::BadLength => (400, "Bad Content-Length"),
            Self::Parse(_) => (400, "Bad Request"),
        }
    }
}
