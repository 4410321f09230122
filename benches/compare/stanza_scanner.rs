//! Finds in a component's stream what the benchmark's server must count or answer.
//!
//! A scanner of tags, not an XML parser: it knows the programs whose stream it reads.

use memchr::{memchr, memmem};

use crate::template::{BODY_MARK, Token};

/// Something a component said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// The stream's header (XEP-0114 §3, step 1), with its `to`.
    Header { to: &'a str },
    /// The digest of the shared secret (step 3); the benchmark believes it.
    Handshake,
    /// The text of a message, with the token found in it.
    Body(Token),
    /// A query to be answered, such as a ping (XEP-0199); addresses may be missing.
    Query { id: &'a str, from: &'a str, to: &'a str },
    /// The end of the stream.
    End,
}

/// Bytes that are not scanned yet.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    rest: Vec<u8>,
}

impl Scanner {
    /// Takes bytes from the stream and hands over what they say.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut handle: impl FnMut(Said<'_>)) {
        self.rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some((tag, text, length)) = next_tag(&self.rest[at..]) {
            if let Some(said) = said(tag, text) {
                handle(said);
            }
            at += length;
        }
        self.rest.drain(..at);
    }
}

/// The next tag without its brackets, the text after it, and the length of both; text is needed
/// only after `<body>`, so that only there the next tag is waited for.
fn next_tag(bytes: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let open = memchr(b'<', bytes)?;
    let close = open + memchr(b'>', &bytes[open..])?;
    let tag = &bytes[open + 1..close];
    if name(tag) != b"body" || tag.ends_with(b"/") {
        return Some((tag, &[], close + 1));
    }
    let end = close + memchr(b'<', &bytes[close..])?;
    Some((tag, &bytes[close + 1..end], end))
}

fn said<'a>(tag: &'a [u8], text: &'a [u8]) -> Option<Said<'a>> {
    let attribute = |name| attribute(tag, name).unwrap_or_default();
    match name(tag) {
        b"body" => Token::after(BODY_MARK, text).map(Said::Body),
        b"iq" if matches!(attribute("type"), "get" | "set") => {
            Some(Said::Query { id: attribute("id"), from: attribute("from"), to: attribute("to") })
        }
        b"stream:stream" => Some(Said::Header { to: attribute("to") }),
        b"handshake" => Some(Said::Handshake),
        b"/stream:stream" => Some(Said::End),
        _ => None,
    }
}

fn name(tag: &[u8]) -> &[u8] {
    let end = tag.iter().skip(1).position(|&b| b.is_ascii_whitespace() || b == b'/');
    end.map_or(tag, |end| &tag[..end + 1])
}

fn attribute<'a>(tag: &'a [u8], name: &str) -> Option<&'a str> {
    memmem::find_iter(tag, name).find_map(|at| {
        let quote = tag.get(at + name.len() + 1).filter(|quote| b"'\"".contains(quote))?;
        let is_whole = tag[at - 1].is_ascii_whitespace() && tag[at + name.len()] == b'=';
        let value = &tag[at + name.len() + 2..];
        let value = &value[..memchr(*quote, value).filter(|_| is_whole)?];
        std::str::from_utf8(value).ok()
    })
}
