//! Changes to a message, seen at once by every getter.

use std::net::SocketAddr;

use super::error::EditError;
use super::header::HeaderId;
use super::lex;
use super::message::{Header, Kind, Message, Span};
use super::parse;
use super::via::Via;

/// Room for what a proxy writes into one message, so that it allocates once.
const EDITS: usize = 256;

impl Message {
    /// Replaces the Request-URI by another one; the text may be of any scheme.
    pub fn set_request_uri(&mut self, text: &str) -> Result<(), EditError> {
        let Kind::Request { method, .. } = self.start.kind else {
            return Err(EditError::NotRequest);
        };
        if text.is_empty() || text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(EditError::RequestUri);
        }
        if text != self.request_uri() {
            let uri = self.write_edit(&[text])?;
            self.start.kind = Kind::Request { method, uri };
        }
        Ok(())
    }

    /// Adds a header line behind all others.
    pub fn append_header(&mut self, name: &str, value: &str) -> Result<(), EditError> {
        self.insert_header(self.headers.len(), name, value)
    }

    /// Adds a header line in front of the first of its name, or of all others when there is none.
    pub fn prepend_header(&mut self, name: &str, value: &str) -> Result<(), EditError> {
        self.insert_header(self.position(0, name).unwrap_or(0), name, value)
    }

    /// Replaces the first header of this name and removes its other lines; adds it when it is missing.
    pub fn set_header(&mut self, name: &str, value: &str) -> Result<(), EditError> {
        let Some(index) = self.position(0, name) else {
            return self.append_header(name, value);
        };
        self.headers[index] = self.new_header(name, value)?;
        while let Some(other) = self.position(index + 1, name) {
            self.headers.remove(other);
        }
        Ok(())
    }

    /// Removes every header of this name; tells how many lines that were.
    pub fn remove_headers(&mut self, name: &str) -> usize {
        let before = self.headers.len();
        let mut from = 0;
        while let Some(index) = self.position(from, name) {
            self.headers.remove(index);
            from = index;
        }
        self.is_edited |= self.headers.len() < before;
        before - self.headers.len()
    }

    /// Removes the first header line of this name that `is_unwanted` picks by its value.
    pub fn remove_header_if(&mut self, name: &str, is_unwanted: impl Fn(&[u8]) -> bool) -> bool {
        let mut from = 0;
        while let Some(index) = self.position(from, name) {
            if is_unwanted(self.value(&self.headers[index])) {
                self.headers.remove(index);
                self.is_edited = true;
                return true;
            }
            from = index + 1;
        }
        false
    }

    /// Puts a Via value on top of the others.
    pub fn push_via(&mut self, value: &str) -> Result<(), EditError> {
        self.prepend_header(HeaderId::Via.name(), value)
    }

    /// Removes the first value of the header, even from the middle of a line; false when there is none.
    ///
    /// For Route this is the popping of RFC 3261 §16.4, for Via that of §16.7 step 3.
    pub fn pop_value(&mut self, id: HeaderId) -> bool {
        let Some(index) = self.headers.iter().position(|header| header.id == id) else {
            return false;
        };
        self.is_edited = true;
        let value = self.value(&self.headers[index]);
        let rest =
            lex::find_outside(value, b',').map(|comma| lex::trim(&value[comma + 1..]).to_vec());
        match rest.filter(|rest| !rest.is_empty()) {
            Some(rest) => self.headers[index] = self.raw_header(id.name(), &rest),
            None => drop(self.headers.remove(index)),
        }
        true
    }

    /// Removes the top Via value.
    pub fn pop_via(&mut self) -> bool {
        self.pop_value(HeaderId::Via)
    }

    /// Notes in the top Via where the request came from: `received` (RFC 3261 §18.2.1) and, when asked for,
    /// `rport` (RFC 3581 §4).
    pub fn mark_source(&mut self, source: SocketAddr) -> Result<(), EditError> {
        let marked = self.top_via().map_err(|_| EditError::Via)?.marked(source);
        match marked {
            Some(value) => self.replace_top_via(&value),
            None => Ok(()),
        }
    }

    /// Adds a parameter, `name` or `name=value`, to the top Via value.
    pub fn add_via_param(&mut self, param: &str) -> Result<(), EditError> {
        let via: Via<'_> = self.top_via().map_err(|_| EditError::Via)?;
        let value = format!("{};{param}", via.as_str());
        self.replace_top_via(&value)
    }

    /// Replaces the topmost Via value, and no other of the same line.
    pub fn replace_top_via(&mut self, value: &str) -> Result<(), EditError> {
        check_value(value.as_bytes(), true)?;
        let index = self.position(0, HeaderId::Via.name()).ok_or(EditError::Via)?;
        let old = self.value(&self.headers[index]);
        let mut line = value.as_bytes().to_vec();
        if let Some(comma) = lex::find_outside(old, b',') {
            line.extend_from_slice(&old[comma..]);
        }
        self.headers[index] = self.raw_header(HeaderId::Via.name(), &line);
        Ok(())
    }

    fn insert_header(&mut self, at: usize, name: &str, value: &str) -> Result<(), EditError> {
        let header = self.new_header(name, value)?;
        self.headers.insert(at, header);
        Ok(())
    }

    /// Writes a line for `name` and `value` after checking both.
    fn new_header(&mut self, name: &str, value: &str) -> Result<Header, EditError> {
        check_header(name, value)?;
        Ok(self.raw_header(name, value.as_bytes()))
    }

    fn raw_header(&mut self, name: &str, value: &[u8]) -> Header {
        let start = self.edits.len();
        if start == 0 {
            self.edits.reserve(EDITS);
        }
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.edits.extend_from_slice(part);
        }
        self.is_edited = true;
        Header { is_edit: true, ..parse::header(&self.edits, start, self.edits.len()) }
    }

    fn write_edit(&mut self, parts: &[&str]) -> Result<Span, EditError> {
        let start = u32::try_from(self.edits.len()).map_err(|_| EditError::TooLarge)?;
        for part in parts {
            self.edits.extend_from_slice(part.as_bytes());
        }
        let end = u32::try_from(self.edits.len()).map_err(|_| EditError::TooLarge)?;
        self.is_edited = true;
        Ok(Span { start, end, is_edit: true })
    }
}

/// Refuses a name that is no token and a value that could break its line.
pub(super) fn check_header(name: &str, value: &str) -> Result<(), EditError> {
    if !lex::is_token(name.as_bytes()) {
        return Err(EditError::Name);
    }
    check_value(value.as_bytes(), false)
}

/// Refuses NUL and line breaks; folds, as received values hold them, only where `may_fold`.
pub(super) fn check_value(value: &[u8], may_fold: bool) -> Result<(), EditError> {
    let is_fold = |at: usize| match value[at] {
        b'\r' => value.get(at + 1) == Some(&b'\n'),
        b'\n' => matches!(value.get(at + 1), Some(b' ' | b'\t')),
        _ => false,
    };
    match memchr::memchr3_iter(b'\r', b'\n', 0, value).all(|at| may_fold && is_fold(at)) {
        true => Ok(()),
        false => Err(EditError::LineBreak),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const WIRE: &str = "OPTIONS sip:a SIP/2.0\r\nv: SIP/2.0/UDP one;rport ,\r\n SIP/2.0/UDP two\r\n\
        ROUTE: <sip:r1;lr>\r\nX: 1\r\nVia: SIP/2.0/UDP three\r\nroute: <sip:r2>\r\nx :2\r\n\r\nbody";

    fn message() -> Message {
        Message::parse(Bytes::from_static(WIRE.as_bytes())).unwrap()
    }

    #[test]
    fn nothing_changes_without_an_edit() {
        let message = message();
        assert_eq!(message.to_bytes().as_ptr(), WIRE.as_ptr());
        let mut out = Vec::new();
        message.write_to(&mut out);
        assert_eq!(out, WIRE.as_bytes());
    }

    #[test]
    fn every_edit_is_seen_at_once_and_leaves_the_rest() {
        let mut message = message();
        message.set_header("x", "3").unwrap();
        assert_eq!(message.header_named("X"), Some(&b"3"[..]));
        message.set_request_uri("tel:1").unwrap();
        assert_eq!(message.request_uri(), "tel:1");
        assert_eq!(message.remove_headers("Route"), 2);
        message.append_header("Y", "ä").unwrap();
        message.push_via("SIP/2.0/TCP zero").unwrap();
        assert_eq!(message.top_via().unwrap().transport, "TCP");
        let expected = "OPTIONS tel:1 SIP/2.0\r\nVia: SIP/2.0/TCP zero\r\nv: SIP/2.0/UDP one;rport ,\r\n \
            SIP/2.0/UDP two\r\nx: 3\r\nVia: SIP/2.0/UDP three\r\nY: ä\r\n\r\nbody";
        assert_eq!(message.to_bytes(), expected);
    }

    #[test]
    fn a_clone_does_not_see_later_edits() {
        let mut first = message();
        first.set_header("X", "first").unwrap();
        let second = first.clone();
        first.set_header("X", "changed").unwrap();
        assert_eq!(second.header_named("X"), Some(&b"first"[..]));
    }

    #[test]
    fn vias_are_popped_one_value_at_a_time() {
        let mut message = message();
        let mut hosts = Vec::new();
        while let Ok(via) = message.top_via() {
            hosts.push(via.host.to_owned());
            assert!(message.pop_via());
        }
        assert_eq!(hosts, ["one", "two", "three"]);
        assert!(!message.pop_via());
        assert!(message.pop_value(HeaderId::Route) && message.pop_value(HeaderId::Route));
        assert!(!message.pop_value(HeaderId::Route));
    }

    #[test]
    fn the_source_is_noted_in_the_top_value_alone() {
        let mut message = message();
        message.mark_source(([192, 0, 2, 9], 999).into()).unwrap();
        let lines: Vec<_> = message.headers().map(|header| header.value.to_vec()).collect();
        assert_eq!(
            lines[0],
            b"SIP/2.0/UDP one;rport=999;received=192.0.2.9,\r\n SIP/2.0/UDP two".as_slice()
        );
        message.add_via_param("i=7").unwrap();
        assert_eq!(message.top_via().unwrap().params.find("i").unwrap().value, Some("7"));
        assert_eq!(message.vias().count(), 3);
    }

    #[test]
    fn one_of_many_headers_can_be_removed() {
        let mut message = message();
        assert!(message.remove_header_if("X", |value| value == b"2"));
        assert!(!message.remove_header_if("X", |value| value == b"2"));
        assert_eq!(message.header_named("X"), Some(&b"1"[..]));
    }

    #[test]
    fn nothing_can_start_a_line_of_its_own() {
        let mut message = message();
        for bad in ["a\r\nb: c", "a\nb", "a\rb", "a\0b", "a\r\n b"] {
            assert_eq!(message.append_header("X", bad), Err(EditError::LineBreak));
            assert_eq!(message.set_header("X", bad), Err(EditError::LineBreak));
            assert_eq!(message.push_via(bad), Err(EditError::LineBreak));
            assert!(message.set_request_uri(bad).is_err());
        }
        assert_eq!(message.add_via_param("a\r\nb"), Err(EditError::LineBreak));
        for bad in ["", "a b", "a:", "a\r\n"] {
            assert_eq!(message.append_header(bad, "1"), Err(EditError::Name));
        }
        assert_eq!(message.set_request_uri("sip:a b"), Err(EditError::RequestUri));
        assert!(!message.is_edited);
    }
}
