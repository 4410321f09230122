//! Text that both protocols can carry: XML characters only, one kind of line end, one-line reasons.

use std::borrow::Cow;

use crate::xmpp::text::{is_xml_char, is_xml_text};

/// The longest Reason-Phrase or Subject we write, in bytes.
pub const MAX_LINE: usize = 256;

/// `text` as an XMPP body may hold it: CR LF and lone CR become LF (XML 1.0 §2.11), and each character
/// that XML cannot carry (XML 1.0 §2.2; NUL among them) becomes U+FFFD, so that the loss is visible.
pub fn xml_text(text: &str) -> Cow<'_, str> {
    if is_xml_text(text) && !text.contains('\r') {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => clean.push('\n'),
            c if is_xml_char(c) => clean.push(c),
            _ => clean.push(char::REPLACEMENT_CHARACTER),
        }
    }
    Cow::Owned(clean)
}

/// `text` as one header line: control characters (CR, LF and NUL among them) become a space, runs of
/// white space become one, and at most [`MAX_LINE`] bytes stay.
///
/// This is the guard against header injection; every text that a stanza brings into a header passes here.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_LINE));
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() && line.len() < MAX_LINE {
            line.push(' ');
        }
        line.push_str(head(word, MAX_LINE - line.len()));
        if line.len() >= MAX_LINE {
            break;
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// The longest beginning of `text` that has at most `max` bytes and ends between characters.
pub(super) fn head(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_lf_and_forbidden_characters_become_visible() {
        assert_eq!(xml_text("a\r\nb\rc\nd\r"), "a\nb\nc\nd\n");
        assert_eq!(xml_text("x\0y\u{1}\u{FFFE}\u{8}z"), "x\u{FFFD}y\u{FFFD}\u{FFFD}\u{FFFD}z");
        assert!(matches!(xml_text("tab\tand 😀\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_header_line_cannot_be_broken_out_of() {
        assert_eq!(one_line("a\r\nContact: <sip:evil>\0\u{85}b"), "a Contact: <sip:evil> b");
        assert_eq!(one_line(" \n "), "");
    }

    #[test]
    fn a_header_line_is_capped_between_characters() {
        let line = one_line(&"ü".repeat(1000));
        assert_eq!(line.len(), MAX_LINE);
        let odd = one_line(&format!("x{}", "ü".repeat(1000)));
        assert_eq!(odd.len(), MAX_LINE - 1);
        assert!(one_line(&"word ".repeat(200)).len() <= MAX_LINE);
    }
}
