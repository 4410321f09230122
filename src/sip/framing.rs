//! Where a message ends: datagrams and streams (RFC 3261 §7.5, §18.3; keep-alive of RFC 5626 §4.4.1).

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::error::{FramingError, ParseError};
use super::header::HeaderId;
use super::message::Message;
use super::{lex, parse};

/// The most that one message may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of start line and headers with the empty line. Default 64 KiB, the size of a datagram.
    pub header_block: usize,
    /// Bytes of the start line, and of one header line with its folds. Default 16 KiB, enough for a signed identity.
    pub line: usize,
    /// Header lines. Default 256; a message through 70 proxies has about 150.
    pub headers: usize,
    /// Bytes of a body on a stream. Default 1 MiB.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_block: 64 << 10, line: 16 << 10, headers: 256, body: 1 << 20 }
    }
}

/// What a datagram holds.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every datagram is a message, moved out at once"
)]
pub enum Framed {
    /// A message, its body cut to Content-Length.
    Message(Message),
    /// Line breaks and NULs, which peers send to keep a binding in a NAT alive.
    KeepAlive,
}

/// Reads a datagram, or a WebSocket message (RFC 7118 §5).
///
/// Line breaks in front of the message are skipped, and bytes behind Content-Length are dropped. A Content-Length that is
/// too large or unreadable leaves the body whole: [`Message::validate`] finds it, and the message can be answered.
pub fn datagram(bytes: Bytes) -> Result<Framed, FramingError> {
    let Some(start) = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n' | 0)) else {
        return Ok(Framed::KeepAlive);
    };
    let mut message = Message::parse(if start == 0 { bytes } else { bytes.slice(start..) })?;
    if let Ok(Some(length)) = message.content_length() {
        message.cut_body(length);
    }
    Ok(Framed::Message(message))
}

/// What a stream brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole message.
    Message(Bytes),
    /// Two line breaks: answer with one (RFC 5626 §4.4.1).
    Ping,
    /// One line break, the answer to a ping, or the first half of one.
    Pong,
}

/// Cuts a stream into messages; the search goes on where it stopped.
#[derive(Debug)]
pub struct StreamFramer {
    limits: Limits,
    buffer: BytesMut,
    /// Where the header line under search starts; its folds belong to it.
    header: usize,
    /// Where the physical line under search starts.
    line: usize,
    /// Bytes known to hold no line break behind `line`.
    searched: usize,
    headers: usize,
    /// Where the headers end and the message ends, once known.
    message: Option<(usize, usize)>,
    /// True after a lone line break that the next may complete to a ping.
    is_half_ping: bool,
    failure: Option<FramingError>,
}

impl StreamFramer {
    /// A framer at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            header: 0,
            line: 0,
            searched: 0,
            headers: 0,
            message: None,
            is_half_ping: false,
            failure: None,
        }
    }

    /// Takes bytes from the stream; poll until nothing comes before pushing more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failure.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next frame, or `None` until more bytes come. After an error the stream cannot be read on: answer and close.
    pub fn poll(&mut self) -> Result<Option<Frame>, FramingError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let result = self.next_frame();
        self.failure = result.as_ref().err().copied();
        result
    }

    /// True while the start of a message waits for its rest.
    pub fn is_inside_message(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The headers of the message that failed, when they are complete, to answer it before closing.
    pub fn refused(&self) -> Option<Message> {
        let (end, _) = self.message.filter(|_| self.failure.is_some())?;
        Message::parse_within(Bytes::copy_from_slice(&self.buffer[..end]), &self.limits).ok()
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, FramingError> {
        if let Some(frame) = self.keep_alive() {
            return Ok(Some(frame));
        }
        if self.message.is_none() && !self.find_headers_end()? {
            return Ok(None);
        }
        let Some((_, end)) = self.message.filter(|(_, end)| *end <= self.buffer.len()) else {
            return Ok(None);
        };
        let message = self.buffer.split_to(end).freeze();
        (self.header, self.line, self.searched) = (0, 0, 0);
        (self.headers, self.message) = (0, None);
        Ok(Some(Frame::Message(message)))
    }

    /// Line breaks between messages. One in front of a message is skipped (RFC 3261 §7.5).
    fn keep_alive(&mut self) -> Option<Frame> {
        while self.line == 0 && self.searched == 0 {
            let was_half = std::mem::take(&mut self.is_half_ping);
            let (frame, length) = match &self.buffer[..] {
                [b'\r', b'\n', ..] if was_half => (Some(Frame::Ping), 2),
                [b'\r', b'\n', b'\r', b'\n', ..] => (Some(Frame::Ping), 4),
                [b'\r', b'\n'] => {
                    self.is_half_ping = true;
                    (Some(Frame::Pong), 2)
                }
                [b'\r', b'\n', b'\r'] | [] | [b'\r'] => {
                    self.is_half_ping = was_half;
                    return None;
                }
                [b'\r', b'\n', ..] => (None, 2),
                [b'\n', ..] => (None, 1),
                _ => return None,
            };
            self.buffer.advance(length);
            if frame.is_some() {
                return frame;
            }
        }
        None
    }

    /// Goes line by line to the empty one; true when it is found and the body's length is known.
    fn find_headers_end(&mut self) -> Result<bool, FramingError> {
        if self.line == 0 && b"\r\n\r".starts_with(&self.buffer) {
            return Ok(false);
        }
        let window = self.buffer.len().min(self.limits.header_block);
        while let Some(found) = memchr(b'\n', &self.buffer[self.searched..window]) {
            let end = self.searched + found + 1;
            let line = &self.buffer[self.line..end];
            if self.line == 0 {
                parse::check_start_line(line)?;
            } else if matches!(line, b"\r\n" | b"\n") {
                return self.set_length(end);
            } else if !self.is_fold() {
                parse::check_not_folded(line)?;
                self.headers += 1;
                self.header = self.line;
            }
            self.check_limits(self.header, end)?;
            (self.line, self.searched) = (end, end);
        }
        self.searched = window;
        self.check_limits(if self.is_fold() { self.header } else { self.line }, window)?;
        match self.buffer.len() >= self.limits.header_block {
            true => Err(ParseError::HeaderBlock.into()),
            false => Ok(false),
        }
    }

    /// True when the line under search goes on with the header in front of it.
    fn is_fold(&self) -> bool {
        self.header > 0 && matches!(self.buffer.get(self.line), Some(b' ' | b'\t'))
    }

    /// Refuses one header more, or a header line from `start` to `end` longer, than allowed.
    fn check_limits(&self, start: usize, end: usize) -> Result<(), ParseError> {
        match () {
            () if end - start > self.limits.line => Err(ParseError::Line),
            () if self.headers > self.limits.headers => Err(ParseError::HeaderCount),
            () => Ok(()),
        }
    }

    /// Learns from the complete header block where the message ends.
    fn set_length(&mut self, headers_end: usize) -> Result<bool, FramingError> {
        self.message = Some((headers_end, headers_end));
        let length = content_length(&self.buffer[..headers_end])?;
        if length > self.limits.body {
            return Err(FramingError::BodyTooLarge);
        }
        let end = headers_end.checked_add(length).ok_or(FramingError::BodyTooLarge)?;
        self.message = Some((headers_end, end));
        Ok(true)
    }
}

/// The Content-Length in a complete header block; several must agree.
fn content_length(block: &[u8]) -> Result<usize, FramingError> {
    let mut length = None;
    let mut at = 0;
    while let Some(end) = memchr(b'\n', &block[at..]) {
        let start = at + end + 1;
        at = start;
        if !matches!(block.get(start), Some(b'c' | b'C' | b'l' | b'L')) {
            continue;
        }
        let Some(line_end) = parse::line_end(block, start) else { break };
        let header = parse::header(block, start, line_end);
        if header.id == HeaderId::ContentLength {
            let value = &block[header.value as usize..header.value_end as usize];
            let number = lex::number(value).ok_or(FramingError::BadLength)?;
            if length.replace(number).is_some_and(|earlier| earlier != number) {
                return Err(FramingError::BadLength);
            }
        }
    }
    length.map(|length| length as usize).ok_or(FramingError::NoLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limits = Limits { header_block: 200, line: 60, headers: 4, body: 20 };

    fn cut(limits: Limits, chunks: &[&str]) -> Result<Vec<Frame>, FramingError> {
        let mut framer = StreamFramer::new(limits);
        let mut frames = Vec::new();
        for chunk in chunks {
            framer.push(chunk.as_bytes());
            while let Some(frame) = framer.poll()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    fn message(text: &'static str) -> Frame {
        Frame::Message(Bytes::from_static(text.as_bytes()))
    }

    const TWO: &str = "OPTIONS sip:a SIP/2.0\r\nl:\r\n 2\r\n\r\nab";
    const NONE: &str = "SIP/2.0 200 OK\r\nContent-Length : 0\r\n\r\n";

    #[test]
    fn messages_may_come_in_any_pieces() {
        assert_eq!(cut(SMALL, &[TWO, NONE]), Ok(vec![message(TWO), message(NONE)]));
        let all = [TWO, NONE, TWO].concat();
        let letters: Vec<&str> = all.split_inclusive(|_: char| true).collect();
        let expected = vec![message(TWO), message(NONE), message(TWO)];
        assert_eq!(cut(SMALL, &letters), Ok(expected.clone()));
        assert_eq!(cut(SMALL, &[&all]), Ok(expected));
    }

    #[test]
    fn a_ping_is_told_from_a_line_break_in_front_of_a_message() {
        assert_eq!(cut(SMALL, &["\r\n\r\n"]), Ok(vec![Frame::Ping]));
        assert_eq!(cut(SMALL, &["\r\n"]), Ok(vec![Frame::Pong]));
        assert_eq!(cut(SMALL, &["\r", "\n", "\r", "\n"]), Ok(vec![Frame::Pong, Frame::Ping]));
        assert_eq!(cut(SMALL, &["\r\n\r", "\n"]), Ok(vec![Frame::Ping]));
        let late = ["\r\n", NONE].concat();
        assert_eq!(cut(SMALL, &[&late]), Ok(vec![message(NONE)]));
        assert_eq!(cut(SMALL, &["\r\n", NONE]), Ok(vec![Frame::Pong, message(NONE)]));
    }

    #[test]
    fn every_limit_holds_before_the_message_is_whole() {
        let start = "OPTIONS sip:a SIP/2.0\r\n";
        let refused = |rest: &str| cut(SMALL, &[start, rest]).unwrap_err();
        assert_eq!(refused(&["A: ", &"b".repeat(70)].concat()), ParseError::Line.into());
        assert_eq!(
            refused("A: b\r\n 345678901234567890\r\n 345678901234567890\r\n 34567890123456789\r\n"),
            ParseError::Line.into()
        );
        assert_eq!(refused(&"A: b\r\n".repeat(5)), ParseError::HeaderCount.into());
        let block = format!("A: {}\r\n", "b".repeat(50)).repeat(4);
        assert_eq!(refused(&block), ParseError::HeaderBlock.into());
        assert_eq!(refused("l: 21\r\n\r\n"), FramingError::BodyTooLarge);
        assert_eq!(refused("l: 4294967295\r\n\r\n"), FramingError::BodyTooLarge);
        assert_eq!(refused("l: 99999999999\r\n\r\n"), FramingError::BadLength);
        assert_eq!(refused("l: 1\r\nl: 2\r\n\r\n"), FramingError::BadLength);
        assert_eq!(refused("A: b\r\n\r\n"), FramingError::NoLength);
        assert_eq!(refused(" A: b\r\n\r\n"), ParseError::StartLine.into());
        assert_eq!(cut(SMALL, &["\rX\r\n"]).unwrap_err(), ParseError::StartLine.into());
    }

    #[test]
    fn a_refused_message_can_be_answered_and_ends_the_stream() {
        let mut framer = StreamFramer::new(SMALL);
        framer.push(b"OPTIONS sip:a SIP/2.0\r\nl: 50\r\nCall-ID: c\r\n\r\n");
        assert_eq!(framer.poll(), Err(FramingError::BodyTooLarge));
        assert_eq!(framer.refused().unwrap().call_id(), Ok("c"));
        framer.push(NONE.as_bytes());
        assert_eq!(framer.poll(), Err(FramingError::BodyTooLarge));
        assert_eq!(FramingError::BodyTooLarge.status().0, 413);
    }

    #[test]
    fn datagrams_lose_what_surrounds_the_message() {
        let read = |text: &'static str| datagram(Bytes::from_static(text.as_bytes())).unwrap();
        let Framed::Message(message) = read("\r\n\r\nOPTIONS sip:a SIP/2.0\r\nl: 1\r\n\r\nabc")
        else {
            panic!("a message")
        };
        assert_eq!(message.body(), b"a");
        assert_eq!(message.to_bytes(), "OPTIONS sip:a SIP/2.0\r\nl: 1\r\n\r\na");
        for idle in ["", "\r\n\r\n", "\0\0\0\0"] {
            assert!(matches!(read(idle), Framed::KeepAlive));
        }
        assert!(datagram(Bytes::from_static(b"stun?")).is_err());
    }
}
