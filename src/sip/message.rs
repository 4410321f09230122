//! A SIP message: the bytes it came in, an index of its headers, and the changes made since.

use std::borrow::Cow;

use bytes::Bytes;
use smallvec::SmallVec;

use super::framing::Limits;
use super::header::{Arity, HeaderId};
use super::{ParseError, body, lex, parse};

/// A request or reply whose getters see every edit at once.
///
/// What nobody touched leaves byte for byte as it came. A clone shares the received bytes.
#[derive(Clone, Debug)]
pub struct Message {
    /// The message as received.
    pub(super) wire: Bytes,
    /// Lines written since; [`Span`]s with `is_edit` point here.
    pub(super) edits: Vec<u8>,
    pub(super) start: StartLine,
    pub(super) headers: SmallVec<[Header; 24]>,
    /// The empty line that ends the headers; empty when it is missing.
    pub(super) blank: Span,
    pub(super) body: Bytes,
    pub(super) is_edited: bool,
}

/// A range of the received bytes or of the edits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) is_edit: bool,
}

/// The parts of the first line.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartLine {
    pub(super) version: Span,
    pub(super) kind: Kind,
    /// The line with its line break, as received.
    pub(super) line: Span,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Request { method: Span, uri: Span },
    Reply { status: u16, reason: Span },
}

/// One header line, folds and line break included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) id: HeaderId,
    pub(super) is_edit: bool,
    pub(super) start: u32,
    pub(super) name_end: u32,
    pub(super) value: u32,
    pub(super) value_end: u32,
    pub(super) end: u32,
}

/// One header line as it stands in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderRef<'a> {
    /// The name as on the wire; the whole line when it has no colon.
    pub name: &'a [u8],
    /// What the name means.
    pub id: HeaderId,
    /// The value without surrounding white space; may hold folds.
    pub value: &'a [u8],
}

impl Message {
    /// The message in `buffer`, with the default [`Limits`]; everything behind the empty line is body.
    ///
    /// Only the frame is read: a bad URI, an unknown version or a bad value stays readable, so that it can be answered.
    pub fn parse(buffer: Bytes) -> Result<Self, ParseError> {
        parse::message(buffer, &Limits::default())
    }

    /// Like [`Message::parse`] with limits of the caller's.
    pub fn parse_within(buffer: Bytes, limits: &Limits) -> Result<Self, ParseError> {
        parse::message(buffer, limits)
    }

    /// The bytes that it was parsed from, without any edit.
    pub fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// True for a request, false for a reply.
    pub fn is_request(&self) -> bool {
        matches!(self.start.kind, Kind::Request { .. })
    }

    /// The protocol version of the start line; `SIP/2.0` unless the peer errs.
    pub fn version(&self) -> &str {
        self.str_at(self.start.version)
    }

    /// The Request-URI; empty for a reply and for a URI that is not UTF-8.
    pub fn request_uri(&self) -> &str {
        match self.start.kind {
            Kind::Request { uri, .. } => self.str_at(uri),
            Kind::Reply { .. } => "",
        }
    }

    /// The status code of a reply.
    pub fn status(&self) -> Option<u16> {
        match self.start.kind {
            Kind::Request { .. } => None,
            Kind::Reply { status, .. } => Some(status),
        }
    }

    /// The reason phrase; empty for a request and for a phrase that is not UTF-8.
    pub fn reason(&self) -> &str {
        match self.start.kind {
            Kind::Request { .. } => "",
            Kind::Reply { reason, .. } => self.str_at(reason),
        }
    }

    /// The first value of this header as it stands, without surrounding white space; may hold folds.
    pub fn header(&self, id: HeaderId) -> Option<&[u8]> {
        self.headers.iter().find(|header| header.id == id).map(|header| self.value(header))
    }

    /// Like [`Message::header`] as text: folds read as one space, bytes that are not UTF-8 as U+FFFD.
    pub fn text(&self, id: HeaderId) -> Option<Cow<'_, str>> {
        self.header(id).map(body::unfold)
    }

    /// The first value of the header of this name, long or compact, in any case.
    pub fn header_named(&self, name: &str) -> Option<&[u8]> {
        let index = self.position(0, name)?;
        Some(self.value(&self.headers[index]))
    }

    /// Every header line in order.
    pub fn headers(&self) -> impl Iterator<Item = HeaderRef<'_>> {
        self.headers.iter().map(|header| HeaderRef {
            name: self.name(header),
            id: header.id,
            value: self.value(header),
        })
    }

    /// Every value of this header over all its lines; lists are cut at commas outside quotes and angle brackets.
    pub fn values(&self, id: HeaderId) -> impl Iterator<Item = &[u8]> {
        let is_list = id.arity() == Arity::List;
        let lines = self.headers.iter().filter(move |header| header.id == id);
        lines.flat_map(move |header| Values { rest: Some(self.value(header)), is_list })
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body, sharing the message's buffer.
    pub fn body_bytes(&self) -> Bytes {
        self.body.clone()
    }

    /// Appends the message to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        if !self.is_edited {
            return out.extend_from_slice(&self.wire);
        }
        // Exactly: a transaction keeps what it has sent.
        out.reserve_exact(self.size());
        self.write_start_line(out);
        for header in &self.headers {
            out.extend_from_slice(self.line(header));
        }
        let blank = self.bytes_at(self.blank);
        out.extend_from_slice(if blank.is_empty() { b"\r\n" } else { blank });
        out.extend_from_slice(&self.body);
    }

    /// The message as it goes out; the received buffer itself when nothing was changed.
    pub fn to_bytes(&self) -> Bytes {
        if !self.is_edited {
            return self.wire.clone();
        }
        let mut out = Vec::new();
        self.write_to(&mut out);
        out.into()
    }

    /// The bytes that it has with its edits, counting ends of lines as CRLF.
    pub fn size(&self) -> usize {
        if !self.is_edited {
            return self.wire.len();
        }
        let start = match self.start.kind {
            Kind::Request { method, uri } if uri.is_edit => {
                let parts = [method, uri, self.start.version].map(|part| self.bytes_at(part).len());
                parts.iter().sum::<usize>() + b"  \r\n".len()
            }
            _ => self.bytes_at(self.start.line).len(),
        };
        let headers: usize = self.headers.iter().map(|header| self.line(header).len()).sum();
        start + headers + self.bytes_at(self.blank).len().max(2) + self.body.len()
    }

    fn write_start_line(&self, out: &mut Vec<u8>) {
        match self.start.kind {
            Kind::Request { method, uri } if uri.is_edit => {
                let line = self.bytes_at(self.start.line);
                let ending = if line.ends_with(b"\r\n") { &b"\r\n"[..] } else { b"\n" };
                let version = self.bytes_at(self.start.version);
                for part in [self.bytes_at(method), b" ", self.bytes_at(uri), b" ", version, ending]
                {
                    out.extend_from_slice(part);
                }
            }
            _ => out.extend_from_slice(self.bytes_at(self.start.line)),
        }
    }

    /// The index of the first header line from `from` on that has this name.
    pub(super) fn position(&self, from: usize, name: &str) -> Option<usize> {
        let id = HeaderId::from_name(name.as_bytes());
        let is_match = |header: &Header| match id {
            HeaderId::Other => {
                header.id == id && self.name(header).eq_ignore_ascii_case(name.as_bytes())
            }
            known => header.id == known,
        };
        Some(from + self.headers.get(from..)?.iter().position(is_match)?)
    }

    pub(super) fn bytes_at(&self, span: Span) -> &[u8] {
        let source = if span.is_edit { &self.edits[..] } else { &self.wire[..] };
        &source[span.start as usize..span.end as usize]
    }

    pub(super) fn str_at(&self, span: Span) -> &str {
        std::str::from_utf8(self.bytes_at(span)).unwrap_or_default()
    }

    pub(super) fn name(&self, header: &Header) -> &[u8] {
        self.part(header, header.start, header.name_end)
    }

    pub(super) fn value(&self, header: &Header) -> &[u8] {
        self.part(header, header.value, header.value_end)
    }

    /// The header's line with its line break.
    pub(super) fn line(&self, header: &Header) -> &[u8] {
        self.part(header, header.start, header.end)
    }

    fn part(&self, header: &Header, start: u32, end: u32) -> &[u8] {
        self.bytes_at(Span { start, end, is_edit: header.is_edit })
    }
}

/// The values of one header line, empty ones left out.
pub(super) struct Values<'a> {
    rest: Option<&'a [u8]>,
    is_list: bool,
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let Some(rest) = self.rest {
            let comma = if self.is_list { lex::find_outside(rest, b',') } else { None };
            let value = match comma {
                Some(end) => {
                    self.rest = Some(&rest[end + 1..]);
                    lex::trim(&rest[..end])
                }
                None => {
                    self.rest = None;
                    lex::trim(rest)
                }
            };
            if !value.is_empty() {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &'static str) -> Message {
        Message::parse(Bytes::from_static(text.as_bytes())).unwrap()
    }

    #[test]
    fn start_lines_are_read() {
        let request = message("INVITE sip:a@b SIP/2.0\r\n\r\n");
        assert!(request.is_request());
        assert_eq!((request.request_uri(), request.version()), ("sip:a@b", "SIP/2.0"));
        assert_eq!((request.status(), request.reason()), (None, ""));
        let reply = message("SIP/2.0 486 Busy Here\r\nCSeq: 1 INVITE\r\n\r\n");
        assert!(!reply.is_request());
        assert_eq!((reply.status(), reply.reason()), (Some(486), "Busy Here"));
        assert_eq!((reply.request_uri(), reply.method().as_str()), ("", "INVITE"));
        assert_eq!(message("SIP/2.0 200\r\n\r\n").status(), Some(200));
    }

    #[test]
    fn a_request_uri_that_is_no_text_reads_as_empty() {
        let wire = Bytes::from_static(b"INVITE sip:\xff@b SIP/2.0\r\n\r\n");
        let message = Message::parse(wire.clone()).unwrap();
        assert_eq!(message.request_uri(), "");
        assert!(message.validate().is_err());
        assert_eq!(message.to_bytes(), wire);
    }

    #[test]
    fn headers_are_found_by_id_and_by_any_name() {
        let message = message("X y SIP/2.0\r\nm : a\r\nX-One:\tb \r\n\tc\r\nContact:\r\n\r\n");
        assert_eq!(message.header(HeaderId::Contact), Some(&b"a"[..]));
        assert_eq!(message.header_named("CONTACT"), Some(&b"a"[..]));
        assert_eq!(message.header_named("M"), Some(&b"a"[..]));
        assert_eq!(message.header_named("x-one"), Some(&b"b \r\n\tc"[..]));
        assert_eq!(message.header_named("x-two"), None);
        let names: Vec<_> = message.headers().map(|header| (header.name, header.id)).collect();
        assert_eq!(names[0], (&b"m"[..], HeaderId::Contact));
        assert_eq!(names[1], (&b"X-One"[..], HeaderId::Other));
    }

    #[test]
    fn only_lists_are_cut_at_commas() {
        let message = message(
            "X y SIP/2.0\r\nContact: \"a,b\" <sip:c,d@e>;q=1 , <sip:f>,\r\nm: <sip:g>\r\n\
             Date: Sat, 1 Jan\r\nContact:\r\n\r\n",
        );
        let contacts: Vec<_> = message.values(HeaderId::Contact).collect();
        assert_eq!(contacts, [&b"\"a,b\" <sip:c,d@e>;q=1"[..], b"<sip:f>", b"<sip:g>"]);
        assert_eq!(message.values(HeaderId::Date).collect::<Vec<_>>(), [b"Sat, 1 Jan"]);
        assert_eq!(message.values(HeaderId::Route).count(), 0);
    }
}
