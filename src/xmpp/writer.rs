//! Writes stanzas straight into a buffer, so that no value can break the stream.

use smallvec::SmallVec;

use super::stanza::Payload;
use super::text::is_xml_char;

/// Writes elements to the end of a buffer.
///
/// Names are literals of the program; every value is escaped. A character that XML 1.0 cannot
/// carry is replaced by U+FFFD.
///
/// ```
/// # use sipjab::xmpp::Writer;
/// let mut out = Vec::new();
/// Writer::new(&mut out)
///     .start("message")
///     .attr("to", "juliet@example.com")
///     .text_child("body", "1 < 2")
///     .end();
/// assert_eq!(out, b"<message to='juliet@example.com'><body>1 &lt; 2</body></message>");
/// ```
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    open: SmallVec<[&'static str; 8]>,
    /// The start tag of the innermost element still lacks its `>`.
    in_tag: bool,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, open: SmallVec::new(), in_tag: false }
    }

    /// Begins an element inside the current one.
    pub fn start(&mut self, name: &'static str) -> &mut Self {
        self.close_tag();
        self.out.push(b'<');
        self.out.extend_from_slice(name.as_bytes());
        self.open.push(name);
        self.in_tag = true;
        self
    }

    /// Begins an element that declares its namespace as default.
    pub fn start_in(&mut self, name: &'static str, namespace: &str) -> &mut Self {
        self.start(name).attr("xmlns", namespace)
    }

    /// Adds an attribute to the element that has just begun; later it is too late and does nothing.
    pub fn attr(&mut self, name: &'static str, value: &str) -> &mut Self {
        debug_assert!(self.in_tag, "attribute {name} behind the start tag");
        if self.in_tag {
            self.out.push(b' ');
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(b"='");
            escape_attribute(self.out, value);
            self.out.push(b'\'');
        }
        self
    }

    /// Adds an attribute if there is a value for it.
    pub fn attr_if(&mut self, name: &'static str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// Writes character data.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.close_tag();
        escape_text(self.out, text);
        self
    }

    /// Writes an element that holds only text, in the namespace of the current one.
    pub fn text_child(&mut self, name: &'static str, text: &str) -> &mut Self {
        self.start(name).text(text).end()
    }

    /// Writes an empty element with a namespace of its own.
    pub fn empty(&mut self, name: &'static str, namespace: &str) -> &mut Self {
        self.start_in(name, namespace).end()
    }

    /// Copies a payload of a received stanza.
    pub fn payload(&mut self, payload: Payload<'_>) -> &mut Self {
        self.close_tag();
        self.out.extend_from_slice(payload.portable().as_bytes());
        self
    }

    /// Ends the current element.
    pub fn end(&mut self) -> &mut Self {
        let Some(name) = self.open.pop() else { return self };
        if std::mem::take(&mut self.in_tag) {
            self.out.extend_from_slice(b"/>");
        } else {
            self.out.extend_from_slice(b"</");
            self.out.extend_from_slice(name.as_bytes());
            self.out.push(b'>');
        }
        self
    }

    /// Ends every element that is still open.
    pub fn finish(&mut self) {
        while !self.open.is_empty() {
            self.end();
        }
    }

    fn close_tag(&mut self) {
        if std::mem::take(&mut self.in_tag) {
            self.out.push(b'>');
        }
    }
}

/// Appends `text` as character data. `]]>` cannot arise, since `>` is always escaped.
pub fn escape_text(out: &mut Vec<u8>, text: &str) {
    escape(out, text, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

/// Appends `value` as it may stand between quotes of either kind.
pub fn escape_attribute(out: &mut Vec<u8>, value: &str) {
    escape(out, value, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'"' => Some("&quot;"),
        b'\'' => Some("&apos;"),
        b'\t' => Some("&#9;"),
        b'\n' => Some("&#10;"),
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

/// Does a byte always stand for itself? Most of every text do. Asked without a branch, so that the compiler can ask
/// many bytes at once.
const fn is_plain_byte(byte: u8) -> bool {
    let is_markup = (byte == b'&') | (byte == b'<') | (byte == b'>');
    let is_quote = (byte == b'"') | (byte == b'\'');
    !((byte < 0x20) | is_markup | is_quote | (byte == 0xef))
}

/// The same for one byte at a time.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < plain.len() {
        plain[byte] = is_plain_byte(byte as u8);
        byte += 1;
    }
    plain
};

/// Holds `text` plain bytes alone?
fn is_plain(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<16>() else {
        return text.iter().all(|byte| PLAIN[usize::from(*byte)]);
    };
    let (chunks, _) = text.as_chunks();
    let is_plain = |chunk: &[u8; 16]| chunk.iter().fold(true, |all, &it| all & is_plain_byte(it));
    chunks.iter().chain([last]).all(is_plain)
}

fn escape(out: &mut Vec<u8>, text: &str, replacement: impl Fn(u8) -> Option<&'static str>) {
    let bytes = text.as_bytes();
    if is_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    let (mut copied, mut at) = (0, 0);
    while let Some(ahead) = bytes[at..].iter().position(|byte| !PLAIN[usize::from(*byte)]) {
        let found = at + ahead;
        at = found + 1;
        let (length, instead) = match bytes[found] {
            0xef if text[found..].starts_with(is_xml_char) => continue,
            0xef => (3, "\u{fffd}"),
            byte => match replacement(byte) {
                Some(instead) => (1, instead),
                None if is_xml_char(byte as char) => continue,
                None => (1, "\u{fffd}"),
            },
        };
        out.extend_from_slice(&bytes[copied..found]);
        out.extend_from_slice(instead.as_bytes());
        copied = found + length;
    }
    out.extend_from_slice(&bytes[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::Stanza;
    use crate::xmpp::ns::ContentNamespace;

    fn written(write: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn elements_nest_and_empty_ones_are_short() {
        let text = written(|writer| {
            writer.start("iq").attr("type", "result").empty("ping", "urn:xmpp:ping").finish();
        });
        assert_eq!(text, "<iq type='result'><ping xmlns='urn:xmpp:ping'/></iq>");
    }

    #[test]
    fn every_character_comes_back_as_it_was_or_as_a_replacement() {
        let all: String = (0..=0x11_0000_u32).filter_map(char::from_u32).collect();
        let expected: String =
            all.chars().map(|c| if is_xml_char(c) { c } else { '\u{fffd}' }).collect();
        let mut from = all.chars();
        let mut to = expected.chars();
        loop {
            let piece: String = from.by_ref().take(20_000).collect();
            let wanted: String = to.by_ref().take(20_000).collect();
            if piece.is_empty() {
                break;
            }
            let text = written(|writer| {
                writer.start("message").attr("id", &piece).text_child("body", &piece).end();
            });
            let stanza = Stanza::parse(&text, ContentNamespace::Client).unwrap();
            assert!(stanza.id().unwrap() == wanted);
            assert!(stanza.child_text("body").unwrap() == wanted);
        }
    }

    #[test]
    fn the_end_of_a_cdata_section_cannot_be_written() {
        let text = written(|writer| writer.start("a").text("]]>").finish());
        assert_eq!(text, "<a>]]&gt;</a>");
    }

    #[test]
    fn a_payload_keeps_its_meaning_on_another_stream() {
        let text = "<message xmlns:x='urn:x'><body>b</body><x:y/></message>";
        let stanza = Stanza::parse(text, ContentNamespace::Client).unwrap();
        let copy = written(|writer| {
            writer.start("message");
            for payload in stanza.payloads() {
                writer.payload(payload);
            }
            writer.finish();
        });
        assert_eq!(copy, "<message><body>b</body><x:y xmlns:x='urn:x'/></message>");
    }

    #[test]
    fn many_bytes_at_a_time_are_plain_when_each_is() {
        for byte in 0..=u8::MAX {
            let is_special = byte < 0x20 || b"&<>\"'\xef".contains(&byte);
            assert_eq!(is_plain(&[byte; 16]), !is_special, "{byte}");
            for (length, at) in [(15, 3), (16, 0), (17, 16), (33, 20), (40, 39)] {
                let mut text = vec![b'x'; length];
                text[at] = byte;
                assert_eq!(is_plain(&text), !is_special, "{byte} in {length}");
            }
        }
    }
}
