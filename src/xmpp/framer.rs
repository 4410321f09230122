//! Cuts a byte stream into stream header, top-level elements and stream end, within caps.

use bytes::Bytes;
use memchr::{memchr, memchr3};
use thiserror::Error;

use super::condition::StreamCondition;

/// How much a peer may send before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the XML declaration and the stream header together. Default 4 KB.
    pub header: usize,
    /// Bytes of one top-level element. Default 256 KB.
    pub stanza: usize,
    /// Nested elements, the top-level element included. Default 100.
    pub depth: usize,
    /// Attributes of one element. Default 64.
    pub attributes: usize,
}

impl Limits {
    /// The defaults, which leave room for every stanza that a sane peer sends.
    pub const DEFAULT: Self =
        Self { header: 4 * 1024, stanza: 256 * 1024, depth: 100, attributes: 64 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a stream's buffer may keep between frames.
const KEPT: usize = 4 * 1024;

/// One piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The opening tag of the stream, without the XML declaration before it.
    StreamOpen(Bytes),
    /// One whole top-level element. Nothing but its boundaries has been looked at.
    Stanza(Bytes),
    /// Whitespace between elements, however much of it (RFC 6120 §4.6.1).
    Whitespace,
    /// The closing tag of the stream.
    StreamClose,
}

/// Why a stream cannot be cut further.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The bytes are no XML.
    #[error("not well-formed: {0}")]
    NotWellFormed(&'static str),
    /// The XML is none that XMPP allows (RFC 6120 §11.1).
    #[error("restricted XML: {0}")]
    Restricted(&'static str),
    /// The stream holds something between its elements.
    #[error("bad format: {0}")]
    BadFormat(&'static str),
    /// The XML declaration names another encoding than UTF-8 (RFC 6120 §11.6).
    #[error("encoding is not UTF-8")]
    Encoding,
    /// A cap of [`Limits`] is exceeded.
    #[error("too large: {0}")]
    TooLarge(&'static str),
}

impl FrameError {
    /// The stream error to close with (RFC 6120 §4.9.3).
    pub fn condition(self) -> StreamCondition {
        match self {
            Self::NotWellFormed(_) => StreamCondition::NotWellFormed,
            Self::Restricted(_) => StreamCondition::RestrictedXml,
            Self::BadFormat(_) => StreamCondition::BadFormat,
            Self::Encoding => StreamCondition::UnsupportedEncoding,
            Self::TooLarge(_) => StreamCondition::PolicyViolation,
        }
    }
}

/// Finds the boundaries of elements, looking at each byte once.
///
/// What it buffers is never more than one element, and never more than the cap.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    stage: Stage,
    lexer: Lexer,
    /// The beginning of a frame whose end has not come yet.
    partial: Vec<u8>,
    /// The name of the stream's opening tag, as it must come back in the closing tag.
    stream_name: Vec<u8>,
    failed: Option<FrameError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing has come but perhaps the XML declaration.
    BeforeHeader { declared: bool },
    /// Inside the stream.
    Open,
    /// After the closing tag.
    Closed,
}

/// Where in the markup the next byte lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between top-level elements.
    Outside,
    /// Behind `<`.
    Markup,
    /// In a start tag. The flag says that the last byte was `/`.
    StartTag(bool),
    /// In an attribute value with this quote.
    Quoted(u8),
    /// In an end tag.
    EndTag,
    /// In character data.
    Text,
    /// Behind `<!`, with so many bytes of `[CDATA[` seen.
    Bang(usize),
    /// In a CDATA section, behind so many `]` (counted to two).
    Cdata(u8),
    /// In an XML declaration. The flag says that the last byte was `?`.
    Declaration(bool),
}

/// What the lexer has reached the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Declaration,
    /// A start tag at the top level of a stream that is not open yet.
    Header,
    Element,
    Close,
}

#[derive(Debug)]
struct Lexer {
    state: State,
    depth: usize,
    attributes: usize,
}

impl Framer {
    /// A framer for a stream that has not begun.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            stage: Stage::BeforeHeader { declared: false },
            lexer: Lexer { state: State::Outside, depth: 0, attributes: 0 },
            partial: Vec::new(),
            stream_name: Vec::new(),
            failed: None,
        }
    }

    /// Expects a new stream header, as after TLS or SASL (RFC 6120 §4.3.3).
    pub fn restart(&mut self) {
        *self = Self::new(self.limits);
    }

    /// Gives its buffer back when no frame has begun.
    pub fn rest(&mut self) {
        if self.partial.is_empty() {
            self.partial = Vec::new();
        }
    }

    /// Takes bytes off the front of `input` up to the end of the next frame.
    ///
    /// `None` means that `input` is used up. After an error the stream is lost, and every further
    /// call gives the same error.
    pub fn poll(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, FrameError> {
        match self.failed {
            Some(error) => Err(error),
            None => self.advance(input).inspect_err(|error| {
                self.failed = Some(*error);
                self.partial = Vec::new();
            }),
        }
    }

    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, FrameError> {
        while !input.is_empty() {
            if self.lexer.state == State::Outside {
                if let Some(frame) = self.between(input)? {
                    return Ok(Some(frame));
                }
                continue;
            }
            let Some(frame) = self.within(input)? else { continue };
            return Ok(Some(frame));
        }
        Ok(None)
    }

    /// Passes whitespace and stops behind the next `<`.
    fn between(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, FrameError> {
        if self.stage == Stage::Closed {
            return Err(FrameError::BadFormat("data after the end of the stream"));
        }
        let blank = input.iter().take_while(|byte| is_space(**byte)).count();
        *input = &input[blank..];
        if blank > 0 {
            if self.stage == Stage::Open {
                return Ok(Some(Frame::Whitespace));
            }
            // An XML declaration may only be the very first thing.
            self.stage = Stage::BeforeHeader { declared: true };
        }
        match input.first() {
            None => Ok(None),
            Some(b'<') => {
                self.partial.push(b'<');
                self.lexer.state = State::Markup;
                *input = &input[1..];
                Ok(None)
            }
            Some(_) if self.stage == Stage::Open => {
                Err(FrameError::BadFormat("text between elements"))
            }
            Some(_) => Err(FrameError::NotWellFormed("text before the stream header")),
        }
    }

    /// Goes on in a frame that has begun.
    fn within(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, FrameError> {
        let (limit, what) = match self.stage {
            Stage::BeforeHeader { .. } => (self.limits.header, "stream header"),
            Stage::Open | Stage::Closed => (self.limits.stanza, "stanza"),
        };
        let room = limit.saturating_sub(self.partial.len());
        let window = &input[..input.len().min(room)];
        let Some((end, reached)) = self.lexer.scan(window, self.stage, &self.limits)? else {
            self.partial.extend_from_slice(window);
            *input = &input[window.len()..];
            let full = self.partial.len() >= limit;
            return if full { Err(FrameError::TooLarge(what)) } else { Ok(None) };
        };
        let (frame, rest) = input.split_at(end);
        *input = rest;
        self.finish(reached, frame)
    }

    fn finish(&mut self, reached: Reached, last: &[u8]) -> Result<Option<Frame>, FrameError> {
        self.partial.extend_from_slice(last);
        let frame = match reached {
            Reached::Declaration => {
                check_declaration(&self.partial)?;
                self.stage = Stage::BeforeHeader { declared: true };
                None
            }
            Reached::Header => {
                self.stream_name = tag_name(&self.partial[1..]).to_vec();
                self.stage = Stage::Open;
                Some(Frame::StreamOpen(Bytes::copy_from_slice(&self.partial)))
            }
            Reached::Element => Some(Frame::Stanza(Bytes::copy_from_slice(&self.partial))),
            Reached::Close => {
                let name = self.partial[2..self.partial.len() - 1].trim_ascii_end();
                if self.stage != Stage::Open || name != self.stream_name {
                    return Err(FrameError::NotWellFormed("unexpected end tag"));
                }
                self.stage = Stage::Closed;
                Some(Frame::StreamClose)
            }
        };
        if self.partial.capacity() > KEPT {
            self.partial = Vec::new();
        }
        self.partial.clear();
        Ok(frame)
    }
}

impl Lexer {
    /// Runs over `input` and says where it came to the end of something.
    fn scan(
        &mut self,
        input: &[u8],
        stage: Stage,
        limits: &Limits,
    ) -> Result<Option<(usize, Reached)>, FrameError> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            let rest = &input[at..];
            let (length, reached) = match self.state {
                State::Text => self.skip_to(b'<', rest),
                State::Quoted(quote) => self.skip_to(quote, rest),
                State::EndTag => self.skip_to(b'>', rest),
                State::StartTag(slash) => self.start_tag(rest, slash, stage, limits)?,
                State::Markup => (1, self.open_markup(byte, stage, limits)?),
                State::Bang(seen) => (1, self.in_bang(byte, seen)?),
                State::Cdata(brackets) => (1, self.in_cdata(byte, brackets)),
                State::Declaration(question) => (1, self.in_declaration(byte, question)),
                State::Outside => return Ok(None),
            };
            at += length;
            if let Some(reached) = reached {
                return Ok(Some((at, reached)));
            }
        }
        Ok(None)
    }

    /// Passes everything up to the byte that the state waits for.
    fn skip_to(&mut self, sought: u8, rest: &[u8]) -> (usize, Option<Reached>) {
        let Some(found) = memchr(sought, rest) else { return (rest.len(), None) };
        let reached = match self.state {
            State::EndTag => self.end_of_end_tag(),
            State::Text => {
                self.state = State::Markup;
                None
            }
            _ => {
                self.state = State::StartTag(false);
                None
            }
        };
        (found + 1, reached)
    }

    /// Passes everything up to a quote or the end of the tag.
    fn start_tag(
        &mut self,
        rest: &[u8],
        slash: bool,
        stage: Stage,
        limits: &Limits,
    ) -> Result<(usize, Option<Reached>), FrameError> {
        let Some(found) = memchr3(b'>', b'"', b'\'', rest) else {
            self.state = State::StartTag(rest.last() == Some(&b'/'));
            return Ok((rest.len(), None));
        };
        let slash = if found == 0 { slash } else { rest[found - 1] == b'/' };
        Ok((found + 1, self.in_start_tag(rest[found], slash, stage, limits)?))
    }

    fn open_markup(
        &mut self,
        byte: u8,
        stage: Stage,
        limits: &Limits,
    ) -> Result<Option<Reached>, FrameError> {
        self.state = match byte {
            b'/' if self.depth == 0 && stage != Stage::Open => {
                return Err(FrameError::NotWellFormed("end tag before the stream header"));
            }
            b'/' => State::EndTag,
            b'?' if stage == (Stage::BeforeHeader { declared: false }) => State::Declaration(false),
            b'?' => return Err(FrameError::Restricted("processing instruction")),
            b'!' if self.depth == 0 => return Err(FrameError::Restricted("markup declaration")),
            b'!' => State::Bang(0),
            b'>' | b'<' | b'"' | b'\'' | b'=' | b'&' => {
                return Err(FrameError::NotWellFormed("tag without a name"));
            }
            byte if is_space(byte) => return Err(FrameError::NotWellFormed("tag without a name")),
            _ if self.depth == limits.depth => return Err(FrameError::TooLarge("depth")),
            _ => State::StartTag(false),
        };
        self.attributes = 0;
        Ok(None)
    }

    fn in_start_tag(
        &mut self,
        byte: u8,
        slash: bool,
        stage: Stage,
        limits: &Limits,
    ) -> Result<Option<Reached>, FrameError> {
        if byte != b'>' {
            self.attributes += 1;
            if self.attributes > limits.attributes {
                return Err(FrameError::TooLarge("attributes"));
            }
            self.state = State::Quoted(byte);
            return Ok(None);
        }
        if stage != Stage::Open {
            self.state = State::Outside;
            return match slash {
                true => Err(FrameError::BadFormat("the stream ends where it begins")),
                false => Ok(Some(Reached::Header)),
            };
        }
        self.depth += usize::from(!slash);
        self.state = if self.depth == 0 { State::Outside } else { State::Text };
        Ok((self.depth == 0).then_some(Reached::Element))
    }

    fn end_of_end_tag(&mut self) -> Option<Reached> {
        if self.depth == 0 {
            self.state = State::Outside;
            return Some(Reached::Close);
        }
        self.depth -= 1;
        self.state = if self.depth == 0 { State::Outside } else { State::Text };
        (self.depth == 0).then_some(Reached::Element)
    }

    fn in_bang(&mut self, byte: u8, seen: usize) -> Result<Option<Reached>, FrameError> {
        const OPENING: &[u8] = b"[CDATA[";
        self.state = match (byte == OPENING[seen], seen + 1 == OPENING.len()) {
            (true, true) => State::Cdata(0),
            (true, false) => State::Bang(seen + 1),
            (false, _) => return Err(FrameError::Restricted("comment or markup declaration")),
        };
        Ok(None)
    }

    fn in_cdata(&mut self, byte: u8, brackets: u8) -> Option<Reached> {
        self.state = match (byte, brackets) {
            (b'>', 2) => State::Text,
            (b']', _) => State::Cdata((brackets + 1).min(2)),
            _ => State::Cdata(0),
        };
        None
    }

    fn in_declaration(&mut self, byte: u8, question: bool) -> Option<Reached> {
        let ends = question && byte == b'>';
        self.state = if ends { State::Outside } else { State::Declaration(byte == b'?') };
        ends.then_some(Reached::Declaration)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The name at the front of a tag's inside.
fn tag_name(inside: &[u8]) -> &[u8] {
    let end = inside.iter().position(|byte| is_space(*byte) || matches!(byte, b'>' | b'/'));
    &inside[..end.unwrap_or(inside.len())]
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// RFC 6120 §11.5 and §11.6: XML 1.0, in UTF-8.
fn check_declaration(declaration: &[u8]) -> Result<(), FrameError> {
    const MALFORMED: FrameError = FrameError::NotWellFormed("XML declaration");
    let text = str::from_utf8(declaration).map_err(|_| MALFORMED)?;
    let inside = text.strip_prefix("<?xml").and_then(|text| text.strip_suffix("?>"));
    let named_xml = inside.filter(|inside| inside.is_empty() || inside.starts_with(is_blank));
    let Some(mut rest) = named_xml else {
        return Err(FrameError::Restricted("processing instruction"));
    };
    let mut expected: &[&str] = &["version", "encoding", "standalone"];
    while !rest.trim_ascii().is_empty() {
        if !rest.starts_with(is_blank) {
            return Err(MALFORMED);
        }
        let (name, after) = rest.split_once('=').ok_or(MALFORMED)?;
        let position = expected.iter().position(|known| *known == name.trim_ascii());
        let position = position.ok_or(MALFORMED)?;
        if expected.len() == 3 && position != 0 {
            return Err(MALFORMED);
        }
        let after = after.trim_ascii_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or(MALFORMED)?;
        let (value, after) = after[1..].split_once(quote).ok_or(MALFORMED)?;
        match expected[position] {
            "version" if value != "1.0" => return Err(MALFORMED),
            "encoding" if !value.eq_ignore_ascii_case("utf-8") => return Err(FrameError::Encoding),
            "standalone" if !matches!(value, "yes" | "no") => return Err(MALFORMED),
            _ => {}
        }
        expected = &expected[position + 1..];
        rest = after;
    }
    if expected.len() == 3 { Err(MALFORMED) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
