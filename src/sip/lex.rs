//! The lexical rules that every element shares (RFC 3261 §25.1): LWS, tokens, quotes, numbers.

/// True for the bytes of `token`.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
        | b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

/// True when `bytes` is one `token`.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// True for the bytes that linear white space is made of, folds included.
pub(crate) const fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `bytes` without white space on either side.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let Some(start) = bytes.iter().position(|&b| !is_lws(b)) else { return &[] };
    let end = bytes.iter().rposition(|&b| !is_lws(b)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// `text` without white space on either side.
pub(crate) fn trim_text(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
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
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at += quoted_end(&bytes[at..])?,
            b'<' => at += memchr::memchr(b'>', &bytes[at..])? + 1,
            byte if byte == separator => return Some(at),
            _ => at += 1,
        }
    }
    None
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
