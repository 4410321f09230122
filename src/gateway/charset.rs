//! Bytes of a labelled charset → Unicode text, or a refusal; never replacement characters for what did not decode.

use std::borrow::Cow;

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, X_USER_DEFINED};

use super::content::ContentError;

/// The text in `bytes`, read as `charset`; UTF-8 when there is no label (RFC 3261 §7.4.1).
///
/// A byte order mark outranks the label and is removed. An unknown charset is refused with 415,
/// bytes that are invalid in their charset with 400.
pub(super) fn decode<'a>(
    bytes: &'a [u8],
    charset: Option<&str>,
) -> Result<Cow<'a, str>, ContentError> {
    let label = charset.unwrap_or("utf-8").trim();
    let encoding = encoding(label)
        .ok_or_else(|| ContentError::UnknownCharset { charset: label.to_owned() })?;
    let (text, _, had_errors) = encoding.decode(bytes);
    if had_errors {
        return Err(ContentError::UndecodableText { charset: label.to_owned() });
    }
    Ok(text)
}

/// The encoding a label stands for.
///
/// The labels are those of the WHATWG Encoding Standard, with two readings of our own: US-ASCII is
/// read as UTF-8, because a byte above 127 makes it a mislabelled message and not windows-1252; and
/// UTF-16 without a byte order mark is big-endian (RFC 2781 §4.3).
fn encoding(label: &str) -> Option<&'static Encoding> {
    if ["utf-8", "us-ascii", "ascii", "ansi_x3.4-1968"]
        .iter()
        .any(|l| label.eq_ignore_ascii_case(l))
    {
        return Some(UTF_8);
    }
    if label.eq_ignore_ascii_case("utf-16") {
        return Some(UTF_16BE);
    }
    let found = Encoding::for_label(label.as_bytes())?;
    (found != REPLACEMENT && found != X_USER_DEFINED).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_is_decoded() {
        let rows: [(&[u8], Option<&str>, &str); 9] = [
            ("žluť".as_bytes(), None, "žluť"),
            (b"\xEF\xBB\xBFbom", Some("utf-8"), "bom"),
            (b"na\xEFve", Some("ISO-8859-1"), "naïve"),
            (b"\xA4", Some("iso-8859-15"), "€"),
            (b"\xCF\xF0\xE8", Some("windows-1251"), "При"),
            (b"\x93\xFA\x96{", Some("Shift_JIS"), "日本"),
            (b"\x00h\x00i", Some("UTF-16"), "hi"),
            (b"\xFF\xFEh\x00i\x00", Some("utf-16"), "hi"),
            ("ü".as_bytes(), Some("us-ascii"), "ü"),
        ];
        for (bytes, label, text) in rows {
            assert_eq!(decode(bytes, label).unwrap(), text, "{label:?}");
        }
    }

    #[test]
    fn unknown_charsets_are_refused_with_415() {
        for label in ["utf-7", "klingon", "hz-gb-2312", "x-user-defined", ""] {
            assert_eq!(decode(b"x", Some(label)).unwrap_err().status().0, 415, "{label}");
        }
    }

    #[test]
    fn invalid_bytes_are_refused_with_400() {
        for (bytes, label) in
            [(&b"\xC3"[..], None), (b"\xE9t\xE9", Some("us-ascii")), (b"\xD8\x00", Some("utf-16"))]
        {
            assert_eq!(decode(bytes, label).unwrap_err().status().0, 400, "{label:?}");
        }
    }

    #[test]
    fn valid_utf_8_is_not_copied() {
        assert!(matches!(decode(b"plain", None), Ok(Cow::Borrowed("plain"))));
    }
}
