//! Unfolding, and what the body says of itself: its type and its length.

use std::borrow::Cow;

use bytes::Bytes;

use super::header::HeaderId;
use super::message::Message;
use super::{EditError, HeaderError, lex};

/// `value` as text: each fold reads as one space, bytes that are not UTF-8 as U+FFFD.
pub(super) fn unfold(value: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(value);
    if memchr::memchr(b'\n', value).is_none() {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for line in text.split('\n') {
        if !out.is_empty() {
            out.truncate(out.trim_end_matches(['\r', ' ', '\t']).len());
            out.push(' ');
        }
        out.push_str(line.trim_start_matches([' ', '\t']));
    }
    Cow::Owned(out)
}

impl Message {
    /// The Content-Length, if the header is there; several lines must agree.
    pub fn content_length(&self) -> Result<Option<usize>, HeaderError> {
        let id = HeaderId::ContentLength;
        let mut length = None;
        for header in self.headers.iter().filter(|header| header.id == id) {
            let number =
                lex::number(self.value(header)).ok_or(HeaderError::Malformed(id))? as usize;
            if length.is_some_and(|earlier| earlier != number) {
                return Err(HeaderError::Malformed(id));
            }
            length = Some(number);
        }
        Ok(length)
    }

    /// The Content-Type as it stands, parameters included.
    pub fn content_type(&self) -> Option<Cow<'_, str>> {
        self.text(HeaderId::ContentType)
    }

    /// Replaces the body and keeps Content-Type and Content-Length true; an empty type removes the header.
    pub fn set_body(&mut self, content_type: &str, body: Bytes) -> Result<(), EditError> {
        if u32::try_from(body.len()).is_err() {
            return Err(EditError::TooLarge);
        }
        if content_type.is_empty() {
            self.remove_headers(HeaderId::ContentType.name());
        } else {
            self.set_header(HeaderId::ContentType.name(), content_type)?;
        }
        self.set_header(HeaderId::ContentLength.name(), &body.len().to_string())?;
        self.new_body = Some(body);
        Ok(())
    }

    /// Drops what stands behind the first `length` bytes of the body, as if it had never come.
    pub(super) fn cut_body(&mut self, length: usize) {
        self.wire.truncate((self.blank.end as usize).saturating_add(length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_read_as_one_space() {
        assert_eq!(unfold(b"a \r\n\t b\n c"), "a b c");
        assert_eq!(unfold(b"a  b"), "a  b");
        assert_eq!(unfold(b"a\xffb"), "a\u{fffd}b");
    }

    #[test]
    fn a_new_body_brings_its_type_and_length() {
        let wire = Bytes::from_static(b"OPTIONS sip:a SIP/2.0\r\nl: 3\r\nTo: b\r\n\r\nabc");
        let mut message = Message::parse(wire).unwrap();
        message.set_body("text/plain", Bytes::from_static(b"hello")).unwrap();
        let text = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 5\r\nTo: b\r\n\
                    Content-Type: text/plain\r\n\r\nhello";
        assert_eq!(message.to_bytes(), text);
        message.set_body("", Bytes::new()).unwrap();
        assert_eq!(
            message.to_bytes(),
            "OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\nTo: b\r\n\r\n"
        );
    }

    #[test]
    fn lengths_that_disagree_are_no_length() {
        let read = |text: &'static [u8]| Message::parse(text.into()).unwrap().content_length();
        assert_eq!(read(b"OPTIONS sip:a SIP/2.0\r\nl: 3\r\nContent-Length:3\r\n\r\n"), Ok(Some(3)));
        assert!(read(b"OPTIONS sip:a SIP/2.0\r\nl: 3\r\nl: 4\r\n\r\n").is_err());
        assert!(read(b"OPTIONS sip:a SIP/2.0\r\nl: -3\r\n\r\n").is_err());
    }
}
