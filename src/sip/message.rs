//! A SIP message: the bytes it came in, an index of its headers, and the changes made since.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;
use std::slice;

use bytes::Bytes;
use bytestring::ByteString;

use super::edit::check_value;
use super::error::{EditError, HeaderError};
use super::framing::Limits;
use super::header::{Arity, HeaderId};
use super::name_addr::AddressPlaces;
use super::place::Remembered;
use super::uri::UriPlaces;
use super::via::ViaPlaces;
use super::{ParseError, body, lex, parse};

/// A request or reply whose getters see every edit at once.
///
/// What nobody touched leaves byte for byte as it came. A clone shares the received bytes.
#[derive(Clone, Debug)]
pub struct Message {
    /// The message as received.
    pub(super) wire: Bytes,
    /// What of the received head is text from its first byte on: all of it, unless a peer errs.
    pub(super) head: ByteString,
    /// Lines written since; [`Span`]s with `is_edit` point here.
    pub(super) edits: Vec<u8>,
    pub(super) start: StartLine,
    pub(super) headers: Vec<Header>,
    /// The empty line that ends the headers; empty when it is missing.
    pub(super) blank: Span,
    /// The body when it is not the received one.
    pub(super) new_body: Option<Bytes>,
    pub(super) is_edited: bool,
    pub(super) read: Read,
}

/// What was read of the values that every hop looks at more than once.
#[derive(Clone, Debug, Default)]
pub(super) struct Read {
    pub(super) request_uri: Memo<UriPlaces>,
    pub(super) top_via: Memo<ViaPlaces>,
    pub(super) from: Memo<AddressPlaces>,
    pub(super) to: Memo<AddressPlaces>,
}

/// The value that was read last, and where its parts stand in it. No edit changes bytes in place, so that a value that
/// stands where it stood is the same.
pub(super) type Memo<P> = Cell<Option<(Span, P)>>;

/// A range of the received bytes or of the edits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) is_edit: bool,
}

impl Span {
    /// This range of what stands there.
    fn part(self, Range { start, end }: Range<usize>) -> Self {
        Self { start: self.start + start as u32, end: self.start + end as u32, ..self }
    }
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

impl Header {
    pub(super) fn value_span(&self) -> Span {
        Span { start: self.value, end: self.value_end, is_edit: self.is_edit }
    }
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
        Values::of(self, id).map(|value| self.bytes_at(value))
    }

    /// Like [`Message::values`], as texts.
    pub(super) fn texts(&self, id: HeaderId) -> impl Iterator<Item = Result<&str, HeaderError>> {
        Values::of(self, id).map(move |value| self.text_at(value).ok_or(HeaderError::NotUtf8(id)))
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        match &self.new_body {
            Some(body) => body,
            None => &self.wire[self.blank.end as usize..],
        }
    }

    /// The body, sharing the message's buffer.
    pub fn body_bytes(&self) -> Bytes {
        self.new_body.clone().unwrap_or_else(|| self.wire.slice(self.blank.end as usize..))
    }

    /// Appends the message to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        if !self.is_edited {
            return out.extend_from_slice(&self.wire);
        }
        // Exactly: a transaction keeps what it has sent.
        out.reserve_exact(self.size());
        self.write_start_line(out);
        self.write_lines(&self.headers, out);
        self.write_blank_and_body(out);
    }

    /// The message as it goes out with one more Via value on top.
    pub fn to_bytes_with_via(&self, via: &str) -> Result<Bytes, EditError> {
        check_value(via.as_bytes(), false)?;
        let line: [&[u8]; 4] = [HeaderId::Via.name().as_bytes(), b": ", via.as_bytes(), b"\r\n"];
        let top = self.headers.iter().position(|header| header.id == HeaderId::Via);
        let (above, below) = self.headers.split_at(top.unwrap_or(0));
        let mut out =
            Vec::with_capacity(self.size() + line.iter().map(|part| part.len()).sum::<usize>());
        self.write_start_line(&mut out);
        self.write_lines(above, &mut out);
        line.iter().for_each(|part| out.extend_from_slice(part));
        self.write_lines(below, &mut out);
        self.write_blank_and_body(&mut out);
        Ok(out.into())
    }

    /// Writes header lines; those that stand one behind the other already, in one piece.
    fn write_lines(&self, lines: &[Header], out: &mut Vec<u8>) {
        for run in lines.chunk_by(|a, b| a.is_edit == b.is_edit && a.end == b.start) {
            let [first, ..] = run else { continue };
            let end = run.last().map_or(first.end, |last| last.end);
            out.extend_from_slice(self.part(first, first.start, end));
        }
    }

    fn write_blank_and_body(&self, out: &mut Vec<u8>) {
        let blank = self.bytes_at(self.blank);
        out.extend_from_slice(if blank.is_empty() { b"\r\n" } else { blank });
        out.extend_from_slice(self.body());
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
        let headers: usize = self.headers.iter().map(|line| (line.end - line.start) as usize).sum();
        start + headers + self.bytes_at(self.blank).len().max(2) + self.body().len()
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
        self.text_at(span).unwrap_or_default()
    }

    /// What stands there, when it is text.
    fn text_at(&self, span: Span) -> Option<&str> {
        let of_head = match span.is_edit {
            false => self.head.get(span.start as usize..span.end as usize),
            true => None,
        };
        of_head.or_else(|| std::str::from_utf8(self.bytes_at(span)).ok())
    }

    /// The view of the value there, which `read` makes where `memo` does not have it; `None` when it is no text.
    pub(super) fn view<'m, V: Remembered<'m>, E>(
        &'m self,
        memo: &Memo<V::Places>,
        value: Span,
        read: impl FnOnce(&'m str) -> Result<V, E>,
    ) -> Option<Result<V, E>> {
        let text = self.text_at(value)?;
        if let Some((_, places)) = memo.get().filter(|(of, _)| *of == value) {
            return Some(Ok(V::cut(text, places)));
        }
        let view = read(text);
        if let Ok(view) = &view {
            memo.set(view.places(text).map(|places| (value, places)));
        }
        Some(view)
    }

    pub(super) fn name(&self, header: &Header) -> &[u8] {
        self.part(header, header.start, header.name_end)
    }

    pub(super) fn value(&self, header: &Header) -> &[u8] {
        self.bytes_at(header.value_span())
    }

    /// The header's value, when it is text.
    pub(super) fn value_text(&self, header: &Header) -> Result<&str, HeaderError> {
        self.text_at(header.value_span()).ok_or(HeaderError::NotUtf8(header.id))
    }

    /// Name and value in one piece, when `: ` and nothing else stands between them.
    pub(super) fn plain(&self, header: &Header) -> Option<&[u8]> {
        let between = self.part(header, header.name_end, header.value);
        (between == b": ").then(|| self.part(header, header.start, header.value_end))
    }

    /// The header's line with its line break.
    pub(super) fn line(&self, header: &Header) -> &[u8] {
        self.part(header, header.start, header.end)
    }

    fn part(&self, header: &Header, start: u32, end: u32) -> &[u8] {
        self.bytes_at(Span { start, end, is_edit: header.is_edit })
    }
}

/// Where the values of a header stand, empty ones left out.
struct Values<'a> {
    message: &'a Message,
    /// Its lines among those that are still to come.
    id: HeaderId,
    lines: slice::Iter<'a, Header>,
    /// What is left of a line.
    rest: Span,
}

impl<'a> Values<'a> {
    fn of(message: &'a Message, id: HeaderId) -> Self {
        Self { message, id, lines: message.headers.iter(), rest: Span::default() }
    }
}

impl Iterator for Values<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        loop {
            while self.rest.start < self.rest.end {
                let bytes = self.message.bytes_at(self.rest);
                let is_list = self.id.arity() == Arity::List;
                let comma = if is_list { lex::find_outside(bytes, b',') } else { None };
                let value = lex::trimmed(bytes, 0..comma.unwrap_or(bytes.len()));
                let value = self.rest.part(value);
                self.rest.start = comma.map_or(self.rest.end, |at| self.rest.start + at as u32 + 1);
                if value.start < value.end {
                    return Some(value);
                }
            }
            self.rest = self.lines.find(|line| line.id == self.id)?.value_span();
        }
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
