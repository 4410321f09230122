//! One pass over a message that finds its lines; nothing is interpreted but names and the status code.

use bytes::Bytes;
use bytestring::ByteString;
use memchr::memchr;

use super::error::ParseError;
use super::framing::Limits;
use super::header::HeaderId;
use super::lex;
use super::message::{Header, Kind, Message, Read, Span, StartLine};

/// Room for the headers of most messages, and for those that a proxy adds.
const HEADERS: usize = 24;

/// Indexes the message in `wire`.
pub(super) fn message(wire: Bytes, limits: &Limits) -> Result<Message, ParseError> {
    let window = &wire[..wire.len().min(limits.header_block.min(u32::MAX as usize))];
    let start_end = memchr(b'\n', window).ok_or_else(|| unterminated(&wire, window))? + 1;
    if start_end > limits.line {
        return Err(ParseError::Line);
    }
    let start = start_line(&window[..start_end])?;
    check_not_folded(&window[start_end..])?;

    let mut headers = Vec::with_capacity(HEADERS);
    let mut at = start_end;
    let blank = loop {
        match window.get(at..).unwrap_or_default() {
            [b'\n', ..] => break Span::new(at, at + 1),
            [b'\r', b'\n', ..] => break Span::new(at, at + 2),
            [] if window.len() == wire.len() => break Span::new(at, at),
            _ => {}
        }
        let end = line_end(window, at).ok_or_else(|| unterminated(&wire, window))?;
        if end - at > limits.line {
            return Err(ParseError::Line);
        }
        if headers.len() == limits.headers {
            return Err(ParseError::HeaderCount);
        }
        headers.push(header(window, at, end));
        at = end;
    };
    let head = text_of(&wire, blank.end as usize);
    Ok(Message {
        wire,
        head,
        edits: Vec::new(),
        start,
        headers,
        blank,
        new_body: None,
        is_edited: false,
        read: Read::default(),
    })
}

/// What of the first `end` bytes is text from the first one on. Asked once, since every header is looked at as text.
fn text_of(wire: &Bytes, end: usize) -> ByteString {
    ByteString::try_from(wire.slice(..end))
        .or_else(|error| ByteString::try_from(wire.slice(..error.valid_up_to())))
        .unwrap_or_default()
}

impl Span {
    /// A range of the received bytes, which the limits keep below 4 GiB.
    fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32, is_edit: false }
    }
}

fn unterminated(wire: &[u8], window: &[u8]) -> ParseError {
    if wire.len() > window.len() { ParseError::HeaderBlock } else { ParseError::Unterminated }
}

/// The end of the header line at `at`, behind its folds and its line break.
pub(super) fn line_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr(b'\n', &bytes[at..])? + 1;
        if !matches!(bytes.get(at), Some(b' ' | b'\t')) {
            return Some(at);
        }
    }
}

/// Indexes the header line `bytes[start..end]`; without a colon, all of it is name.
#[inline]
pub(super) fn header(bytes: &[u8], start: usize, end: usize) -> Header {
    let line = &bytes[start..end];
    // Names are short: a plain loop beats a vectorized search.
    let colon = line.iter().position(|&byte| byte == b':');
    let name_end = trimmed_end(line, 0, colon.unwrap_or(line.len()));
    let id = if colon.is_some() { HeaderId::from_name(&line[..name_end]) } else { HeaderId::Other };
    let value = lex::trimmed(line, colon.map_or(line.len(), |colon| colon + 1)..line.len());
    let offset = |within: usize| (start + within) as u32;
    Header {
        id,
        is_edit: false,
        start: offset(0),
        name_end: offset(name_end),
        value: offset(value.start),
        value_end: offset(value.end),
        end: offset(line.len()),
    }
}

/// `end` moved back over white space, not below `start`.
fn trimmed_end(line: &[u8], start: usize, mut end: usize) -> usize {
    while end > start && lex::is_lws(line[end - 1]) {
        end -= 1;
    }
    end
}

/// Refuses white space behind the start line: the line in front of a fold must not change with an edit.
pub(super) fn check_not_folded(rest: &[u8]) -> Result<(), ParseError> {
    match rest {
        [b' ' | b'\t', ..] => Err(ParseError::StartLine),
        _ => Ok(()),
    }
}

/// Refuses a line that cannot start a message.
pub(super) fn check_start_line(line: &[u8]) -> Result<(), ParseError> {
    start_line(line).map(drop)
}

/// Reads `Request-Line` or `Status-Line` (RFC 3261 §7.1, §7.2), line break included.
fn start_line(line: &[u8]) -> Result<StartLine, ParseError> {
    let text = line.strip_suffix(b"\r\n").or(line.strip_suffix(b"\n")).unwrap_or(line);
    let first = memchr(b' ', text).ok_or(ParseError::StartLine)?;
    let whole = Span::new(0, line.len());
    if text.len() >= 4 && text[..4].eq_ignore_ascii_case(b"SIP/") {
        let version = Span::new(0, first);
        return Ok(StartLine { version, kind: status(text, first + 1)?, line: whole });
    }
    if !lex::is_token(&text[..first]) {
        return Err(ParseError::StartLine);
    }
    let method = Span::new(0, first);
    let last = memchr::memrchr(b' ', text).unwrap_or(first);
    let (uri, version) = if last > first {
        (Span::new(first + 1, last), Span::new(last + 1, text.len()))
    } else {
        (Span::new(first + 1, text.len()), Span::new(text.len(), text.len()))
    };
    Ok(StartLine { version, kind: Kind::Request { method, uri }, line: whole })
}

/// Reads the code at `at` and the reason phrase behind it.
fn status(text: &[u8], at: usize) -> Result<Kind, ParseError> {
    let code_end = memchr(b' ', &text[at..]).map_or(text.len(), |length| at + length);
    let status = lex::number(&text[at..code_end])
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| code_end - at == 3 && (100..700).contains(code))
        .ok_or(ParseError::StatusCode)?;
    Ok(Kind::Reply { status, reason: Span::new(text.len().min(code_end + 1), text.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &[u8]) -> ParseError {
        Message::parse(Bytes::copy_from_slice(text)).unwrap_err()
    }

    #[test]
    fn what_is_not_framed_as_sip_is_refused() {
        assert_eq!(refused(b""), ParseError::Unterminated);
        assert_eq!(refused(b"\r\n\r\n"), ParseError::StartLine);
        assert_eq!(refused(b"OPTIONS\r\n\r\n"), ParseError::StartLine);
        assert_eq!(refused(b"GET(x) / HTTP/1.1\r\n\r\n"), ParseError::StartLine);
        assert_eq!(refused(b"OPTIONS sip:a SIP/2.0\r\n To: b\r\n\r\n"), ParseError::StartLine);
        assert_eq!(refused(b"SIP/2.0 99 No\r\n\r\n"), ParseError::StatusCode);
        assert_eq!(refused(b"SIP/2.0 0200 OK\r\n\r\n"), ParseError::StatusCode);
        assert_eq!(refused(b"OPTIONS sip:a SIP/2.0\r\nTo: b"), ParseError::Unterminated);
        assert_eq!(refused(b"OPTIONS sip:a SIP/2.0\r\nTo: b\r\n "), ParseError::Unterminated);
    }

    #[test]
    fn a_thousand_headers_and_a_huge_line_are_refused() {
        let start = "OPTIONS sip:a SIP/2.0\r\n".to_owned();
        let many = format!("{start}{}\r\n", "A: b\r\n".repeat(1000));
        assert_eq!(refused(many.as_bytes()), ParseError::HeaderCount);
        let long = format!("{start}A: {}\r\n\r\n", "b".repeat(20_000));
        assert_eq!(refused(long.as_bytes()), ParseError::Line);
        let uri = format!("OPTIONS sip:{} SIP/2.0\r\n\r\n", "b".repeat(20_000));
        assert_eq!(refused(uri.as_bytes()), ParseError::Line);
        let huge = format!("{start}A: {}\r\n\r\n", "b".repeat(1 << 20));
        assert_eq!(refused(huge.as_bytes()), ParseError::HeaderBlock);
    }

    #[test]
    fn bare_line_feeds_end_lines_too() {
        let message = Message::parse(Bytes::from_static(b"OPTIONS sip:a SIP/2.0\nTo: b\n\nbody"));
        let message = message.unwrap();
        assert_eq!(message.header(HeaderId::To), Some(&b"b"[..]));
        assert_eq!(message.body(), b"body");
    }

    #[test]
    fn a_request_line_without_version_stays_readable() {
        let message = Message::parse(Bytes::from_static(b"OPTIONS sip:a\r\n\r\n")).unwrap();
        assert_eq!((message.request_uri(), message.version()), ("sip:a", ""));
    }
}
