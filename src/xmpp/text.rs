//! Character data as it stands in XML, and as it reads.

use std::borrow::Cow;

use super::gate::Malformed;

/// The character that XML 1.0 §2.2 allows in a document.
pub fn is_xml_char(c: char) -> bool {
    !matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// True for a text of such characters alone.
pub fn is_xml_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let control = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
    // Folded without a branch, so that the compiler can look at many bytes at once.
    !bytes.iter().fold(false, |found, &byte| found | control(byte))
        && !memchr::memchr_iter(0xef, bytes)
            .any(|at| matches!(bytes[at..], [0xef, 0xbf, 0xbe | 0xbf, ..]))
}

/// Reads the reference that `rest` begins with: its character, and its length in bytes.
///
/// XML 1.0 §4.1 and §4.6, without entities that a document declares.
pub(super) fn reference(rest: &str) -> Result<(char, usize), Malformed> {
    const LONGEST: usize = "&#x10ffff;".len();
    let window = &rest.as_bytes()[..rest.len().min(LONGEST)];
    let end = memchr::memchr(b';', window).ok_or(Malformed::Reference)?;
    let name = &rest[1..end];
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => match name.strip_prefix('#') {
            Some(number) => numbered(number).ok_or(Malformed::Reference)?,
            None => return Err(Malformed::Entity),
        },
    };
    Ok((c, end + 1))
}

fn numbered(number: &str) -> Option<char> {
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| (digit as char).is_digit(radix)) {
        return None;
    }
    let c = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    is_xml_char(c).then_some(c)
}

/// What gated character data reads as: references replaced, line ends normalized (XML 1.0 §2.11).
pub fn unescape_text(raw: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'&', b'\r', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    unescape_into(&mut out, raw, false);
    Cow::Owned(out)
}

/// What a gated attribute value reads as: like text, and literal whitespace becomes spaces
/// (XML 1.0 §3.3.3).
pub fn unescape_attribute(raw: &str) -> Cow<'_, str> {
    // Hardly any value has one of these, nor what else comes before `'`; folded without a branch as above.
    let is_plain = raw.bytes().fold(true, |plain, byte| plain & (byte > b'&'));
    if is_plain || !raw.contains(['&', '\r', '\n', '\t']) {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    unescape_into(&mut out, raw, true);
    Cow::Owned(out)
}

fn unescape_into(out: &mut String, mut rest: &str, attribute: bool) {
    while let Some(at) = rest.find(['&', '\r', '\n', '\t']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (c, length) = match rest.as_bytes()[0] {
            b'&' => reference(rest).unwrap_or(('&', 1)),
            b'\r' if rest.as_bytes().get(1) == Some(&b'\n') => ('\n', 2),
            b'\r' => ('\n', 1),
            byte => (byte as char, 1),
        };
        let literal_space = attribute && rest.as_bytes()[0] != b'&';
        out.push(if literal_space { ' ' } else { c });
        rest = &rest[length..];
    }
    out.push_str(rest);
}

/// The character data directly inside gated `content`, without that of child elements.
pub fn direct_text(content: &str) -> Cow<'_, str> {
    if memchr::memchr(b'<', content.as_bytes()).is_none() {
        return unescape_text(content);
    }
    let mut out = String::new();
    let mut depth = 0_usize;
    let mut rest = content;
    while let Some(at) = memchr::memchr(b'<', rest.as_bytes()) {
        if depth == 0 {
            unescape_into(&mut out, &rest[..at], false);
        }
        rest = &rest[at..];
        if let Some(section) = rest.strip_prefix("<![CDATA[") {
            let Some((data, after)) = section.split_once("]]>") else { break };
            if depth == 0 {
                out.push_str(&normalize_lines(data));
            }
            rest = after;
            continue;
        }
        let length = tag_length(rest);
        if rest.as_bytes().get(1) == Some(&b'/') {
            depth = depth.saturating_sub(1);
        } else if !rest[..length].ends_with("/>") {
            depth += 1;
        }
        rest = &rest[length..];
    }
    if depth == 0 {
        unescape_into(&mut out, rest, false);
    }
    Cow::Owned(out)
}

/// Character data with its line ends normalized (XML 1.0 §2.11).
pub(super) fn normalize_lines(data: &str) -> Cow<'_, str> {
    match data.contains('\r') {
        true => Cow::Owned(data.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(data),
    }
}

/// The length of the tag that gated `text` begins with, both brackets included.
pub(super) fn tag_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr::memchr3(b'>', b'"', b'\'', &bytes[at..]) {
        at += found + 1;
        let quote = bytes[at - 1];
        if quote == b'>' {
            return at;
        }
        match memchr::memchr(quote, &bytes[at..]) {
            Some(closing) => at += closing + 1,
            None => break,
        }
    }
    bytes.len()
}

/// The attributes of the gated start tag that `text` begins with: names and raw values.
pub(super) fn attributes(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = &text[tag_name_end(text).min(text.len())..tag_length(text)];
    std::iter::from_fn(move || {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_ascii_start();
        let quote = after.chars().next()?;
        let (value, after) = after[1..].split_once(quote)?;
        rest = after;
        Some((name.trim_ascii(), value))
    })
}

/// The namespace declarations of the gated start tag that `text` begins with: prefix (empty for
/// the default) and name.
pub(super) fn declarations(text: &str) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    attributes(text).filter_map(|(name, value)| {
        let prefix = match name.strip_prefix("xmlns")? {
            "" => "",
            prefixed => prefixed.strip_prefix(':')?,
        };
        Some((prefix, unescape_attribute(value)))
    })
}

/// Where the name of the tag that `text` begins with ends.
pub(super) fn tag_name_end(text: &str) -> usize {
    text.find([' ', '\t', '\r', '\n', '>'])
        .map_or(text.len(), |end| end - usize::from(text[..end].ends_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_as_their_characters() {
        assert_eq!(
            unescape_text("a&amp;b&lt;&gt;&quot;&apos;&#65;&#x1F600;"),
            "a&b<>\"'A\u{1f600}"
        );
    }

    #[test]
    fn plain_text_is_borrowed() {
        assert!(matches!(unescape_text("plain\ttext\n"), Cow::Borrowed(_)));
        assert!(matches!(unescape_attribute("plain text"), Cow::Borrowed(_)));
    }

    #[test]
    fn line_ends_are_normalized_and_references_to_them_are_not() {
        assert_eq!(unescape_text("a\r\nb\rc&#13;d"), "a\nb\nc\rd");
        assert_eq!(unescape_attribute("a\r\nb\tc&#9;d"), "a b c\td");
    }

    #[test]
    fn text_of_child_elements_is_left_out() {
        assert_eq!(direct_text("a<b x='>'>no<c/></b>&amp;<![CDATA[<d>]]>e"), "a&<d>e");
    }

    #[test]
    fn attributes_come_in_order() {
        let found: Vec<_> = attributes("<a:b x = 'y\">' z=\"=/\"/>text").collect();
        assert_eq!(found, [("x", "y\">"), ("z", "=/")]);
        assert_eq!(attributes("<a/>").count(), 0);
    }
}
