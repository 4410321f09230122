//! What a text is made of.

use rhai::ImmutableString;

use super::Config;
use crate::script::error::RouteError;
use crate::script::export::ANY;
use crate::script::module::ModuleExports;
use crate::script::route::Route;
use crate::sip::HeaderId;

pub(super) fn export(siputils: &mut ModuleExports<'_, Config>) {
    siputils
        .export("is_e164", ["text"], ANY, is_e164)
        .export("is_tel_number", ["text"], ANY, is_tel_number)
        .export("is_numeric", ["text"], ANY, is_numeric)
        .export("is_alphanum", ["text"], ANY, is_alphanum)
        .export("is_alphanumex", ["text", "more"], ANY, is_alphanumex)
        .export("cmp_hdr_name", ["one", "other"], ANY, cmp_hdr_name);
}

/// Is the text of these characters, and at least one?
fn is_all(text: &str, is_fit: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(is_fit)
}

/// Is the text an international number: `+` and 3 to `e164_max_len` digits (RFC 3966 §5.1.4)?
pub(super) fn is_international(text: &str, config: &Config) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    let lengths = 3..=usize::from(config.e164_max_len).max(3);
    lengths.contains(&digits.len()) && is_all(digits, |c| c.is_ascii_digit())
}

/// Is the text an international number, `+` and 3 to `e164_max_len` digits?
///
/// ```rhai
/// if is_e164(from_user()) { info("$fU calls from abroad"); }
/// ```
fn is_e164(_: &mut Route, config: &Config, text: ImmutableString) -> Result<bool, RouteError> {
    Ok(is_international(&text, config))
}

/// Is the text a telephone number: digits, after one `+` or none?
///
/// ```rhai
/// if !is_tel_number(ruri_user()) { sl_send_reply(484, "Address Incomplete"); }
/// ```
fn is_tel_number(_: &mut Route, _: &Config, text: ImmutableString) -> Result<bool, RouteError> {
    Ok(is_all(text.strip_prefix('+').unwrap_or(&text), |c| c.is_ascii_digit()))
}

/// Are there only digits in the text?
///
/// ```rhai
/// if is_numeric(ruri_user()) { prefix("+"); }
/// ```
fn is_numeric(_: &mut Route, _: &Config, text: ImmutableString) -> Result<bool, RouteError> {
    Ok(is_all(&text, |c| c.is_ascii_digit()))
}

/// Are there only ASCII letters and digits in the text?
///
/// ```rhai
/// if !is_alphanum(from_user()) { sl_send_reply(403, "Strange Name"); }
/// ```
fn is_alphanum(_: &mut Route, _: &Config, text: ImmutableString) -> Result<bool, RouteError> {
    Ok(is_all(&text, |c| c.is_ascii_alphanumeric()))
}

/// Are there only ASCII letters, digits and the characters of `more` in the text?
///
/// ```rhai
/// if !is_alphanumex(from_user(), "._-") { sl_send_reply(403, "Strange Name"); }
/// ```
fn is_alphanumex(
    _: &mut Route,
    _: &Config,
    text: ImmutableString,
    more: ImmutableString,
) -> Result<bool, RouteError> {
    Ok(is_all(&text, |c| c.is_ascii_alphanumeric() || more.contains(c)))
}

/// Do both texts name one header? Case does not count, and short and long names are the same.
///
/// ```rhai
/// if cmp_hdr_name("v", "Via") { info("of course"); }
/// ```
fn cmp_hdr_name(
    _: &mut Route,
    _: &Config,
    one: ImmutableString,
    other: ImmutableString,
) -> Result<bool, RouteError> {
    let id = |name: &str| HeaderId::from_name(name.as_bytes());
    Ok(match id(&one) {
        HeaderId::Other => one.eq_ignore_ascii_case(&other),
        known => known == id(&other),
    })
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::script::router::recording::message_route;

    #[test]
    fn texts_are_told_by_their_characters() {
        let mut route = message_route(&Rc::default());
        let mut config = Config::default();
        // Text; then: E.164, telephone number, numeric, alphanumeric, the same with `.-`.
        for (text, expected) in [
            ("+123", [true, true, false, false, false]),
            ("+12", [false, true, false, false, false]),
            ("+", [false; 5]),
            ("123", [false, true, true, true, true]),
            ("a1", [false, false, false, true, true]),
            ("a-1.b", [false, false, false, false, true]),
            ("ä", [false; 5]),
            ("1 2", [false; 5]),
            ("", [false; 5]),
        ] {
            let found = [
                is_e164(&mut route, &config, text.into()),
                is_tel_number(&mut route, &config, text.into()),
                is_numeric(&mut route, &config, text.into()),
                is_alphanum(&mut route, &config, text.into()),
                is_alphanumex(&mut route, &config, text.into(), ".-".into()),
            ];
            assert_eq!(found, expected.map(Ok), "{text}");
        }
        config.e164_max_len = 5;
        assert!(is_international("+12345", &config) && !is_international("+123456", &config));
    }

    #[test]
    fn short_and_long_names_are_one_header() {
        let mut route = message_route(&Rc::default());
        for (one, other, is_same) in [
            ("v", "VIA", true),
            ("X-Own", "x-own", true),
            ("X-Own", "X-Other", false),
            ("v", "To", false),
            ("Via", "X-Own", false),
        ] {
            let found = cmp_hdr_name(&mut route, &Config::default(), one.into(), other.into());
            assert_eq!(found, Ok(is_same), "{one} {other}");
        }
    }
}
