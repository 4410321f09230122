//! Percent escapes of URIs (RFC 3261 §19.1.2, RFC 3986 §2.1).

use std::borrow::Cow;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The value of the escape at the start of `bytes`, if there is one.
pub(crate) fn escape_at(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// `text` with every escape replaced once by its byte; a `%` that starts none stays.
pub fn unescape(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    let Some(first) = memchr::memchr(b'%', bytes) else { return Cow::Borrowed(bytes) };
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(&bytes[..first]);
    let mut at = first;
    while at < bytes.len() {
        match escape_at(&bytes[at..]) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(out)
}

/// Like [`unescape`], as text; bytes that are not UTF-8 become U+FFFD.
pub fn unescape_text(text: &str) -> Cow<'_, str> {
    match unescape(text) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
    }
}

/// `text` escaped so that it can stand as the user part of a SIP URI.
pub fn escape_user(text: &str) -> Cow<'_, str> {
    escaped(text, b"-_.!~*'()&=+$,;?/")
}

/// `text` escaped so that it can stand as the value of a SIP URI's parameter.
pub fn escape_param(text: &str) -> Cow<'_, str> {
    escaped(text, b"-_.!~*'()[]/:&+$")
}

/// `text` with all escaped but letters, digits and `marks`.
fn escaped<'t>(text: &'t str, marks: &[u8]) -> Cow<'t, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || marks.contains(&byte);
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_once() {
        assert_eq!(unescape_text("value%25%34%31"), "value%41");
        assert_eq!(unescape("null-%00-null").as_ref(), b"null-\0-null");
        assert_eq!(unescape_text("100%"), "100%");
        assert_eq!(unescape_text("%Zx%4"), "%Zx%4");
        assert_eq!(unescape_text("%ff"), "\u{fffd}");
    }

    #[test]
    fn an_escaped_user_reads_as_before() {
        for user in ["alice", "J Q", "a@b", "жир", "100%", "a:b#c", "\0"] {
            assert_eq!(unescape_text(&escape_user(user)), user);
        }
        assert_eq!(escape_user("a@b c"), "a%40b%20c");
    }
}
