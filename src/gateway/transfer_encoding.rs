//! Content-Transfer-Encoding inside message/cpim (RFC 2045 §6), read tolerantly.

use std::borrow::Cow;

use super::content::ContentError;

/// `bytes` without their transfer encoding; a missing or identity encoding changes nothing.
pub(super) fn decode<'a>(
    bytes: &'a [u8],
    encoding: Option<&str>,
) -> Result<Cow<'a, [u8]>, ContentError> {
    let name = encoding.unwrap_or("8bit").trim().to_ascii_lowercase();
    match name.as_str() {
        "7bit" | "8bit" | "binary" | "identity" | "none" => Ok(Cow::Borrowed(bytes)),
        "base64" => base64(bytes)
            .map(Cow::Owned)
            .ok_or(ContentError::MalformedTransferEncoding { encoding: "base64" }),
        "quoted-printable" => Ok(Cow::Owned(quoted_printable(bytes))),
        _ => Err(ContentError::UnsupportedContentEncoding { encoding: name }),
    }
}

/// RFC 2045 §6.8: white space is skipped, padding may be missing; `None` for any other character.
fn base64(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    let mut bits = 0u32;
    let mut sextets = 0u32;
    let end = bytes.iter().position(|&b| b == b'=').unwrap_or(bytes.len());
    let is_tail = |b: &u8| *b == b'=' || b.is_ascii_whitespace();
    if !bytes[end..].iter().all(is_tail) {
        return None;
    }
    for &byte in bytes[..end].iter().filter(|b| !b.is_ascii_whitespace()) {
        bits = bits << 6 | u32::from(sextet(byte)?);
        sextets += 1;
        if sextets.is_multiple_of(4) {
            out.extend_from_slice(&bits.to_be_bytes()[1..]);
            bits = 0;
        }
    }
    match sextets % 4 {
        0 => {}
        2 => out.push((bits >> 4) as u8),
        3 => out.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
        _ => return None,
    }
    Some(out)
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// RFC 2045 §6.7: an `=` that starts no escape stays as it is.
fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'=' {
            out.push(byte);
        } else if let Some(line) = after.strip_prefix(b"\r\n").or(after.strip_prefix(b"\n")) {
            rest = line;
        } else if let [high, low, line @ ..] = after
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            out.push(high << 4 | low);
            rest = line;
        } else {
            out.push(byte);
        }
    }
    out
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_with_breaks_and_without_padding() {
        for (encoded, plain) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zg", "f"),
            ("Zm8=", "fo"),
            ("Zm9v\r\n", "foo"),
            ("Zm9v\r\nYmFy=\n=", "fooba\u{72}"),
        ] {
            let Ok(found) = decode(encoded.as_bytes(), Some("BASE64")) else {
                panic!("{encoded:?} refused")
            };
            assert_eq!(String::from_utf8_lossy(&found), plain, "{encoded:?}");
        }
    }

    #[test]
    fn base64_of_anything_else_is_refused() {
        for bad in ["Z", "Zm9v!", "Zg=x", "Zg==Zg"] {
            assert_eq!(decode(bad.as_bytes(), Some("base64")).unwrap_err().status().0, 400);
        }
    }

    #[test]
    fn quoted_printable_is_read_tolerantly() {
        let found = decode(b"1=3D1 =C3=BC so=\r\nft=\n!=zz=", Some("Quoted-Printable")).unwrap();
        assert_eq!(String::from_utf8_lossy(&found), "1=1 ü soft!=zz=");
    }

    #[test]
    fn unknown_encodings_are_refused_with_415() {
        assert_eq!(decode(b"", Some("x-uuencode")).unwrap_err().status().0, 415);
    }
}
