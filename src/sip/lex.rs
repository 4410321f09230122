//! The lexical rules that every element shares (RFC 3261 §25.1): LWS, tokens, quotes, numbers.

use std::ops::Range;

/// A set of bytes, asked by one look into a table.
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// These bytes.
    pub(crate) const fn of(bytes: &[u8]) -> Self {
        Self([false; 256]).and(bytes)
    }

    /// The letters and digits of ASCII.
    pub(crate) const fn alphanumeric() -> Self {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        Self(table)
    }

    /// These bytes, too.
    pub(crate) const fn and(mut self, bytes: &[u8]) -> Self {
        let mut at = 0;
        while at < bytes.len() {
            self.0[bytes[at] as usize] = true;
            at += 1;
        }
        self
    }

    /// True for a byte of the set.
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }

    /// How many bytes of the set `text` begins with.
    pub(crate) fn prefix(&self, text: &[u8]) -> usize {
        text.iter().position(|&byte| !self.has(byte)).unwrap_or(text.len())
    }
}

/// The bytes of `token`.
static TOKEN: ByteSet = ByteSet::alphanumeric().and(b"-.!%*_+`'~");

/// True for the bytes of `token`.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN.has(byte)
}

/// True when `bytes` is one `token`.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && TOKEN.prefix(bytes) == bytes.len()
}

/// The `token` that `text` begins with, and what stands behind it; `None` when it begins with none.
pub(crate) fn token(text: &str) -> Option<(&str, &str)> {
    let end = TOKEN.prefix(text.as_bytes());
    (end > 0).then(|| text.split_at(end))
}

/// True for the bytes that linear white space is made of, folds included.
pub(crate) const fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `bytes` without white space on either side.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    &bytes[trimmed(bytes, 0..bytes.len())]
}

/// This range of `bytes` without the white space on either side of it.
pub(crate) fn trimmed(bytes: &[u8], Range { mut start, mut end }: Range<usize>) -> Range<usize> {
    while start < end && is_lws(bytes[start]) {
        start += 1;
    }
    while end > start && is_lws(bytes[end - 1]) {
        end -= 1;
    }
    start..end
}

/// `text` without white space on either side.
#[inline]
pub(crate) fn trim_text(text: &str) -> &str {
    // Nearly all that is read has none.
    match text.as_bytes() {
        [] => text,
        [first, .., last] if !is_lws(*first) && !is_lws(*last) => text,
        _ => trim_spaced(text),
    }
}

fn trim_spaced(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// What stands in front of the first `separator` and behind it.
pub(crate) fn cut(text: &str, separator: u8) -> Option<(&str, &str)> {
    // These texts are short: a plain loop beats a vectorized search.
    let at = text.bytes().position(|byte| byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

/// `text` cut at its first white space, which both parts lose.
pub(crate) fn split_word(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(is_lws)?;
    Some((&text[..end], trim_text(&text[end..])))
}

/// Decimal digits and nothing else, or `None`; also `None` above `u32::MAX`. Leading zeros are fine.
pub(crate) fn number(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u32, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        sum.checked_mul(10)?.checked_add(u32::from(digit))
    })
}

/// The end of the quoted string that opens at `bytes[0]`: the index after its closing quote.
pub(crate) fn quoted_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// The index of the first `separator` outside quotes and angle brackets.
///
/// What an unclosed quote or bracket holds belongs to the value in front of it.
pub(crate) fn find_outside(bytes: &[u8], separator: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr3(separator, b'"', b'<', &bytes[at..])?;
        at += match bytes[at] {
            b'"' => quoted_end(&bytes[at..])?,
            b'<' => memchr::memchr(b'>', &bytes[at..])? + 1,
            _ => return Some(at),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_within_32_bits() {
        assert_eq!(number(b"0009"), Some(9));
        assert_eq!(number(b"4294967295"), Some(u32::MAX));
        for bad in [&b""[..], b"-1", b"4294967296", b"five", b"1 2", b"+1"] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn separators_inside_quotes_and_brackets_do_not_count() {
        assert_eq!(find_outside(br#""a,\",b" <sip:c,d>,e"#, b','), Some(18));
        assert_eq!(find_outside(br#""a,b"#, b','), None);
        assert_eq!(find_outside(b"<a,b", b','), None);
    }

    #[test]
    fn trimming_removes_folds() {
        assert_eq!(trim(b" \r\n a b\t\r\n"), b"a b");
        assert_eq!(trim(b" \r\n "), b"");
    }
}
