//! Stream headers (RFC 6120 §4.7), read and written.

use thiserror::Error;

use crate::xmpp::condition::StreamCondition;
use crate::xmpp::framer::Limits;
use crate::xmpp::gate::{self, Malformed, StartTag, Visit};
use crate::xmpp::ns::{self, ContentNamespace, Scope};
use crate::xmpp::text;
use crate::xmpp::writer::escape_attribute;

/// The opening tag of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamHeader {
    /// The declarations that hold for the whole stream.
    pub scope: Scope,
    /// Whom the stream is for.
    pub to: Option<String>,
    /// Who speaks.
    pub from: Option<String>,
    /// The name of the stream, given by the side that accepted it.
    pub id: Option<String>,
    /// Major and minor version; a header without one is of before RFC 3920 and means 0.9.
    pub version: (u32, u32),
    /// The default language of what follows.
    pub lang: Option<String>,
}

/// Why a stream header cannot be accepted.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum HeaderError {
    /// It is no well-formed start tag.
    #[error("stream header: {0}")]
    Malformed(#[from] Malformed),
    /// It is no `<stream/>` of the streams namespace, or its content namespace is none of ours.
    #[error("stream header in a namespace that we do not speak")]
    Namespace,
    /// The version is no version.
    #[error("stream header with a bad version")]
    Version,
}

impl HeaderError {
    /// The stream error to close with (RFC 6120 §4.9.3).
    pub fn condition(self) -> StreamCondition {
        match self {
            Self::Malformed(error) => error.condition(),
            Self::Namespace => StreamCondition::InvalidNamespace,
            Self::Version => StreamCondition::UnsupportedVersion,
        }
    }
}

impl StreamHeader {
    /// A header that opens a stream to `to`, of the version 1.0.
    pub fn new(content: ContentNamespace, to: impl Into<String>) -> Self {
        Self {
            scope: Scope::new(content),
            to: Some(to.into()),
            from: None,
            id: None,
            version: (1, 0),
            lang: None,
        }
    }

    /// Reads the tag that the framer found.
    pub fn read(tag: &[u8]) -> Result<Self, HeaderError> {
        let text = gate::characters(tag)?;
        // Nothing is declared around a header; what it inherits here counts for nothing.
        let outside = Scope::with_prefixes(ContentNamespace::Client, []);
        let mut notes = Name { text, outside: &outside, is_stream: false };
        gate::walk_start_tag(text, &outside, &Limits::DEFAULT, &mut notes)?;
        if !notes.is_stream {
            return Err(HeaderError::Namespace);
        }
        let attribute = |name: &str| {
            let (_, value) = text::attributes(text).find(|(found, _)| *found == name)?;
            Some(text::unescape_attribute(value).into_owned())
        };
        let version = attribute("version");
        Ok(Self {
            scope: scope(text)?,
            to: attribute("to"),
            from: attribute("from"),
            id: attribute("id"),
            version: version.as_deref().map_or(Ok((0, 9)), parse_version)?,
            lang: attribute("xml:lang"),
        })
    }

    /// Writes an XML declaration and the tag.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
        let version = match self.version {
            (0, _) => None,
            (major, minor) => Some(format!("{major}.{minor}")),
        };
        let mut write = |name: &str, value: &str| {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"='");
            escape_attribute(out, value);
            out.push(b'\'');
        };
        write("xmlns", self.scope.content().name());
        for (prefix, name) in self.scope.prefixes() {
            write(&format!("xmlns:{prefix}"), name);
        }
        let attributes = [
            ("to", self.to.as_deref()),
            ("from", self.from.as_deref()),
            ("id", self.id.as_deref()),
            ("version", version.as_deref()),
            ("xml:lang", self.lang.as_deref()),
        ];
        for (name, value) in attributes {
            if let Some(value) = value {
                write(name, value);
            }
        }
        out.push(b'>');
    }
}

struct Name<'a> {
    text: &'a str,
    outside: &'a Scope,
    is_stream: bool,
}

impl Visit for Name<'_> {
    fn start(&mut self, _: usize, tag: StartTag<'_>) {
        self.is_stream = tag.local.of(self.text) == "stream"
            && tag.namespace.name(self.text, self.outside) == ns::STREAM;
    }

    fn end(&mut self, _: usize, _: usize) {}
}

fn scope(text: &str) -> Result<Scope, HeaderError> {
    let mut content = None;
    let mut prefixes = Vec::new();
    for (prefix, name) in text::declarations(text) {
        match prefix {
            "" => content = ContentNamespace::from_name(&name),
            prefix => prefixes.push((prefix.into(), name.into())),
        }
    }
    Ok(Scope::with_prefixes(content.ok_or(HeaderError::Namespace)?, prefixes))
}

/// RFC 6120 §4.7.5: two numbers, leading zeros ignored.
fn parse_version(version: &str) -> Result<(u32, u32), HeaderError> {
    let number = |digits: &str| digits.parse().map_err(|_| HeaderError::Version);
    let (major, minor) = version.split_once('.').ok_or(HeaderError::Version)?;
    Ok((number(major)?, number(minor)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let header = StreamHeader {
            from: Some("a&'b".into()),
            id: Some("x<y".into()),
            lang: Some("en".into()),
            ..StreamHeader::new(ContentNamespace::Component, "sip.example.com")
        };
        let mut out = Vec::new();
        header.write(&mut out);
        let tag = &out[b"<?xml version='1.0'?>".len()..];
        assert_eq!(StreamHeader::read(tag), Ok(header));
    }

    #[test]
    fn either_quote_and_any_prefix_will_do() {
        let header = StreamHeader::read(
            b"<s:stream\n id=\"3BF96D32\" xmlns=\"jabber:component:accept\"\n\
              xmlns:s='http://etherx.jabber.org/streams' from=\"x.example\">",
        )
        .unwrap();
        assert_eq!(header.id.as_deref(), Some("3BF96D32"));
        assert_eq!(header.version, (0, 9));
        assert_eq!(header.scope.resolve("s"), Some(ns::STREAM));
    }

    #[test]
    fn what_is_no_stream_header_is_refused() {
        use HeaderError::{Malformed as Bad, Namespace, Version};
        let stream = "xmlns:stream='http://etherx.jabber.org/streams'";
        let client = "xmlns='jabber:client'";
        for (tag, error) in [
            (format!("<html {client} {stream}>"), Namespace),
            (format!("<stream:stream {stream}>"), Namespace),
            (format!("<stream:stream xmlns='urn:x' {stream}>"), Namespace),
            (format!("<stream:stream {client}>"), Bad(Malformed::UndeclaredPrefix)),
            (format!("<stream {client}>"), Namespace),
            (format!("<stream:stream {client} {stream} version='one'>"), Version),
            (format!("<stream:stream {client} {stream} id='&x;'>"), Bad(Malformed::Entity)),
            (
                format!("<stream:stream {client} {stream}/>"),
                Bad(Malformed::Syntax("not one start tag")),
            ),
        ] {
            assert_eq!(StreamHeader::read(tag.as_bytes()), Err(error), "{tag}");
        }
    }
}
