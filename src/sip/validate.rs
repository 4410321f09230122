//! What makes a well-framed message unfit to be processed (RFC 3261 §8.1.1, §8.2, §16.3).

use thiserror::Error;

use super::error::{HeaderError, UriError};
use super::header::{Arity, HeaderId};
use super::lex;
use super::message::{Header, Message};
use super::method::Method;
use super::name_addr::NameAddr;
use super::via::Via;

/// The first fault of a message. Answer a request with [`Finding::status`]; drop a reply.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The protocol version is not SIP/2.0.
    #[error("the version is not SIP/2.0")]
    Version,
    /// The request line is not three words with one space between each.
    #[error("the request line is malformed")]
    RequestLine,
    /// The Request-URI is malformed.
    #[error("bad Request-URI: {0}")]
    RequestUri(UriError),
    /// The Request-URI carries headers, which only other URIs may (§19.1.1).
    #[error("the Request-URI carries headers")]
    RequestUriHeaders,
    /// A header line without a colon, or whose name is not a token.
    #[error("a header line is malformed")]
    HeaderLine,
    /// A CR within a line.
    #[error("a carriage return stands within a line")]
    BareCr,
    /// A header that may stand once stands twice.
    #[error("{} stands twice", .0.name())]
    Repeated(HeaderId),
    /// A header is missing or malformed.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The URI of an address is malformed.
    #[error("bad URI in {name}: {1}", name = .0.name())]
    Uri(HeaderId, UriError),
    /// CSeq names another method than the request line.
    #[error("CSeq names another method")]
    CSeqMethod,
    /// Like [`Finding::CSeqMethod`], in a request of unknown method.
    #[error("the method is unknown and CSeq names another")]
    UnknownMethod,
    /// The message ends without the empty line behind its headers.
    #[error("no empty line ends the headers")]
    Unterminated,
    /// The body is shorter than Content-Length.
    #[error("the body is shorter than Content-Length")]
    ShortBody,
}

impl Finding {
    /// The status and reason to answer a request with.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Version => (505, "Version Not Supported"),
            Self::UnknownMethod => (501, "Not Implemented"),
            Self::RequestLine => (400, "Bad Request Line"),
            Self::RequestUri(_) => (400, "Bad Request-URI"),
            Self::RequestUriHeaders => (400, "Headers in Request-URI"),
            Self::HeaderLine | Self::BareCr => (400, "Bad Header Line"),
            Self::CSeqMethod => (400, "CSeq Method Mismatch"),
            Self::Unterminated => (400, "Missing Empty Line"),
            Self::ShortBody => (400, "Content-Length Beyond Body"),
            Self::Repeated(id) => (400, repeated(*id)),
            Self::Header(HeaderError::Missing(id)) => (400, missing(*id)),
            Self::Header(
                HeaderError::Malformed(id) | HeaderError::OutOfRange(id) | HeaderError::NotUtf8(id),
            )
            | Self::Uri(id, _) => (400, bad(*id)),
        }
    }
}

fn missing(id: HeaderId) -> &'static str {
    match id {
        HeaderId::Via => "Missing Via",
        HeaderId::From => "Missing From",
        HeaderId::To => "Missing To",
        HeaderId::CallId => "Missing Call-ID",
        HeaderId::CSeq => "Missing CSeq",
        _ => "Missing Header",
    }
}

fn bad(id: HeaderId) -> &'static str {
    match id {
        HeaderId::Via => "Bad Via",
        HeaderId::From => "Bad From",
        HeaderId::To => "Bad To",
        HeaderId::CallId => "Bad Call-ID",
        HeaderId::CSeq => "Bad CSeq",
        HeaderId::MaxForwards => "Bad Max-Forwards",
        HeaderId::ContentLength => "Bad Content-Length",
        HeaderId::Contact => "Bad Contact",
        HeaderId::Route => "Bad Route",
        HeaderId::RecordRoute => "Bad Record-Route",
        _ => "Bad Header",
    }
}

fn repeated(id: HeaderId) -> &'static str {
    match id {
        HeaderId::From => "Two From Headers",
        HeaderId::To => "Two To Headers",
        HeaderId::CallId => "Two Call-ID Headers",
        HeaderId::CSeq => "Two CSeq Headers",
        HeaderId::MaxForwards => "Two Max-Forwards Headers",
        _ => "Repeated Header",
    }
}

/// Headers with addresses that a hop acts on.
const ADDRESSES: [HeaderId; 3] = [HeaderId::Contact, HeaderId::Route, HeaderId::RecordRoute];

impl Message {
    /// Ok for a message that a proxy or server can process; the first fault otherwise.
    ///
    /// Lenient where the standards are: no Max-Forwards, no From tag, an RFC 2543 branch, and values of headers that no hop acts on.
    /// An unknown URI scheme is for the router to answer with 416, an unknown method for the script.
    ///
    /// A reply must have what it repeats of its request, where that was checked. No hop acts on its addresses (RFC 3261 §16.7), so
    /// that they stay unread.
    pub fn validate(&self) -> Result<(), Finding> {
        self.check_start_line()?;
        self.check_lines()?;
        self.check_repetition()?;
        match self.is_request() {
            true => self.check_request()?,
            false => self.check_reply()?,
        }
        self.check_length()
    }

    fn check_request(&self) -> Result<(), Finding> {
        self.check_via()?;
        self.check_end(HeaderId::From, self.from())?;
        self.check_end(HeaderId::To, self.to())?;
        self.call_id()?;
        self.check_cseq()?;
        self.max_forwards()?;
        let all_of = |id| self.addresses(id).try_for_each(|address| check_address(id, address));
        ADDRESSES.into_iter().try_for_each(all_of)
    }

    fn check_reply(&self) -> Result<(), Finding> {
        let is_missing = |id: &HeaderId| self.header(*id).is_none_or(<[u8]>::is_empty);
        if let Some(id) = [HeaderId::Via, HeaderId::From, HeaderId::To].into_iter().find(is_missing)
        {
            return Err(HeaderError::Missing(id).into());
        }
        self.call_id()?;
        self.cseq()?;
        Ok(())
    }

    fn check_start_line(&self) -> Result<(), Finding> {
        let (version, uri) = (self.version(), self.request_uri());
        if self.is_request() && (version.is_empty() || uri.is_empty() || uri.contains(' ')) {
            return Err(Finding::RequestLine);
        }
        if !version.eq_ignore_ascii_case("SIP/2.0") {
            let is_sip = version.get(..4).is_some_and(|v| v.eq_ignore_ascii_case("SIP/"));
            return Err(if is_sip { Finding::Version } else { Finding::RequestLine });
        }
        if self.is_request() {
            let uri = self.uri().map_err(Finding::RequestUri)?;
            if uri.headers().is_some() {
                return Err(Finding::RequestUriHeaders);
            }
        }
        Ok(())
    }

    fn check_lines(&self) -> Result<(), Finding> {
        let head = &self.wire[..self.blank.end as usize];
        // Folded without a branch, so that the compiler can look at many bytes at once.
        let pairs = head.iter().zip(head.get(1..).unwrap_or_default());
        let has_bare = pairs.fold(false, |found, (a, b)| found | (*a == b'\r') & (*b != b'\n'));
        if has_bare || head.last() == Some(&b'\r') {
            return Err(Finding::BareCr);
        }
        let is_named = |header: &Header| {
            header.id != HeaderId::Other
                || lex::is_token(self.name(header))
                    && self.line(header)[self.name(header).len()..].contains(&b':')
        };
        if self.headers.iter().all(is_named) { Ok(()) } else { Err(Finding::HeaderLine) }
    }

    fn check_repetition(&self) -> Result<(), Finding> {
        let mut seen = 0u128;
        for id in self.headers.iter().map(|header| header.id) {
            // Content-Length may be repeated as long as the values agree, which check_length sees to.
            if id.arity() == Arity::One && id != HeaderId::ContentLength {
                let bit = 1 << id as u8;
                if seen & bit != 0 {
                    return Err(Finding::Repeated(id));
                }
                seen |= bit;
            }
        }
        Ok(())
    }

    fn check_via(&self) -> Result<(), Finding> {
        if self.header(HeaderId::Via).is_none() {
            return Err(HeaderError::Missing(HeaderId::Via).into());
        }
        let mut values = self.texts(HeaderId::Via);
        values.next().ok_or(HeaderError::Malformed(HeaderId::Via))??;
        self.top_via()?;
        Ok(values.try_for_each(|value| Via::parse(value?).map(drop))?)
    }

    /// Checks the one address that every request has in From and in To.
    fn check_end(&self, id: HeaderId, address: Address<'_>) -> Result<(), Finding> {
        if self.header(id).is_none_or(<[u8]>::is_empty) {
            return Err(HeaderError::Missing(id).into());
        }
        check_address(id, address)
    }

    fn check_cseq(&self) -> Result<(), Finding> {
        let (cseq, method) = (self.cseq()?, self.method());
        match method {
            _ if cseq.method == method => Ok(()),
            Method::Other(_) => Err(Finding::UnknownMethod),
            _ => Err(Finding::CSeqMethod),
        }
    }

    fn check_length(&self) -> Result<(), Finding> {
        if self.bytes_at(self.blank).is_empty() {
            return Err(Finding::Unterminated);
        }
        match self.content_length()? {
            Some(length) if length > self.body().len() => Err(Finding::ShortBody),
            _ => Ok(()),
        }
    }
}

/// An address as a header has it.
type Address<'m> = Result<NameAddr<'m>, HeaderError>;

fn check_address(id: HeaderId, address: Address<'_>) -> Result<(), Finding> {
    let address = address?;
    if !(id == HeaderId::Contact && address.is_wildcard()) {
        address.parsed_uri().map_err(|error| Finding::Uri(id, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const LINES: [&str; 6] = [
        "OPTIONS sip:a SIP/2.0",
        "Via: SIP/2.0/UDP h;branch=z9hG4bK1",
        "From: <sip:b@h>;tag=1",
        "To: <sip:c@h>",
        "Call-ID: d",
        "CSeq: 1 OPTIONS",
    ];

    /// The verdict on the valid request with line `index` replaced; an index behind it adds the line.
    fn verdict(index: usize, line: &str) -> Result<(), Finding> {
        let mut lines = LINES.to_vec();
        lines.resize(lines.len().max(index + 1), line);
        lines[index] = line;
        lines.retain(|line| !line.is_empty());
        let text = lines.join("\r\n") + "\r\n\r\n";
        Message::parse(Bytes::from(text)).unwrap().validate()
    }

    #[test]
    fn five_headers_are_enough() {
        assert_eq!(verdict(0, LINES[0]), Ok(()));
        for id in
            [(1, HeaderId::Via), (2, HeaderId::From), (3, HeaderId::To), (4, HeaderId::CallId)]
        {
            assert_eq!(verdict(id.0, ""), Err(HeaderError::Missing(id.1).into()));
        }
        assert_eq!(verdict(5, ""), Err(HeaderError::Missing(HeaderId::CSeq).into()));
    }

    #[test]
    fn the_start_line_is_checked_first() {
        assert_eq!(verdict(0, "OPTIONS sip:a SIP/3.0"), Err(Finding::Version));
        assert_eq!(verdict(0, "OPTIONS sip:a"), Err(Finding::RequestLine));
        assert_eq!(verdict(0, "OPTIONS sip:a HTTP/1.1"), Err(Finding::RequestLine));
        assert_eq!(verdict(0, "OPTIONS sip: SIP/2.0"), Err(Finding::RequestUri(UriError::Host)));
        assert_eq!(verdict(0, "OPTIONS sip:a sip/2.0"), Ok(()));
        assert_eq!(verdict(0, "OPTIONS urn:x SIP/2.0"), Ok(()));
    }

    #[test]
    fn headers_that_a_hop_acts_on_are_checked() {
        use HeaderId::{CSeq, CallId, Contact, ContentLength, MaxForwards, Route, To};
        let malformed = |id| Err(HeaderError::Malformed(id).into());
        assert_eq!(verdict(6, "Max-Forwards: x"), malformed(MaxForwards));
        assert_eq!(
            verdict(6, "Max-Forwards: 256"),
            Err(HeaderError::OutOfRange(MaxForwards).into())
        );
        assert_eq!(verdict(6, "l: -1"), malformed(ContentLength));
        assert_eq!(verdict(6, "l: 1"), Err(Finding::ShortBody));
        assert_eq!(verdict(6, "Contact: *"), Ok(()));
        assert_eq!(verdict(6, "Contact: a b"), malformed(Contact));
        assert_eq!(verdict(6, "Route: <x>"), Err(Finding::Uri(Route, UriError::Scheme)));
        assert_eq!(verdict(6, "t: <sip:x>"), Err(Finding::Repeated(To)));
        assert_eq!(verdict(6, "Via:"), Ok(()));
        assert_eq!(verdict(4, "Call-ID: a b"), malformed(CallId));
        assert_eq!(verdict(5, "CSeq: 1"), malformed(CSeq));
        assert_eq!(verdict(5, "CSeq: 1 INFO"), Err(Finding::CSeqMethod));
    }

    #[test]
    fn a_reply_must_have_what_it_repeats_and_its_addresses_stay_unread() {
        let mut lines = LINES.to_vec();
        lines[0] = "SIP/2.0 200 OK";
        lines[3] = "To: what <else";
        let read = |lines: &[&str]| {
            Message::parse(Bytes::from(lines.join("\r\n") + "\r\n\r\n")).unwrap().validate()
        };
        assert_eq!(read(&lines), Ok(()));
        for (at, id) in [
            (1, HeaderId::Via),
            (2, HeaderId::From),
            (3, HeaderId::To),
            (4, HeaderId::CallId),
            (5, HeaderId::CSeq),
        ] {
            let without: Vec<_> =
                lines.iter().filter(|line| **line != lines[at]).copied().collect();
            assert_eq!(read(&without), Err(HeaderError::Missing(id).into()));
        }
    }

    #[test]
    fn broken_lines_are_found() {
        assert_eq!(verdict(6, "no colon"), Err(Finding::HeaderLine));
        assert_eq!(verdict(6, "a b: c"), Err(Finding::HeaderLine));
        assert_eq!(verdict(6, ": c"), Err(Finding::HeaderLine));
        assert_eq!(verdict(6, "a: b\rc: d"), Err(Finding::BareCr));
    }

    #[test]
    fn the_reason_names_the_header() {
        assert_eq!(verdict(5, "").unwrap_err().status(), (400, "Missing CSeq"));
        assert_eq!(verdict(6, "l: x").unwrap_err().status(), (400, "Bad Content-Length"));
        assert_eq!(Finding::Version.status(), (505, "Version Not Supported"));
    }
}
