//! What a request demands of the proxies on its way (RFC 3261 §16.3 step 5, §20.29).

use crate::sip::{HeaderError, HeaderId, Message};

/// The options in Proxy-Require that are not among `known`, as an Unsupported header lists them; `None` when all are.
///
/// A tag that no header could carry back makes the header malformed.
pub fn unsupported_options(
    request: &Message,
    known: &[Box<str>],
) -> Result<Option<String>, HeaderError> {
    let id = HeaderId::ProxyRequire;
    let mut unknown = String::new();
    for tag in request.values(id) {
        let text = std::str::from_utf8(tag).ok();
        let tag = text.filter(|tag| tag.bytes().all(|byte| byte.is_ascii_graphic()));
        let tag = tag.ok_or(HeaderError::Malformed(id))?;
        if !known.iter().any(|own| own.eq_ignore_ascii_case(tag)) {
            unknown.push_str(if unknown.is_empty() { "" } else { ", " });
            unknown.push_str(tag);
        }
    }
    Ok(Some(unknown).filter(|unknown| !unknown.is_empty()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn unsupported(line: &str, known: &[&str]) -> Result<Option<String>, HeaderError> {
        let text = format!("INVITE sip:a SIP/2.0\r\n{line}\r\n\r\n");
        let known: Vec<_> = known.iter().map(|&tag| tag.into()).collect();
        unsupported_options(&Message::parse(Bytes::from(text)).unwrap(), &known)
    }

    #[test]
    fn s16_3_step_5_the_options_that_are_not_known_are_listed() {
        for (line, known, listed) in [
            ("X: y", &[][..], None),
            ("Proxy-Require:", &[], None),
            ("Proxy-Require: a,b\r\nproxy-require: c", &[], Some("a, b, c")),
            ("Proxy-Require: gin, b", &["GIN"], Some("b")),
            ("Proxy-Require: gin", &["gin"], None),
        ] {
            assert_eq!(unsupported(line, known).unwrap().as_deref(), listed, "{line}");
        }
    }

    #[test]
    fn a_tag_that_cannot_be_told_back_is_malformed() {
        for line in ["Proxy-Require: a b", "Proxy-Require: a\r\n b", "Proxy-Require: \u{fc}"] {
            assert_eq!(
                unsupported(line, &[]),
                Err(HeaderError::Malformed(HeaderId::ProxyRequire)),
                "{line}"
            );
        }
    }
}
