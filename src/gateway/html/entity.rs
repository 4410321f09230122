//! HTML character references → characters.

use std::borrow::Cow;

/// The longest reference that is looked for, in bytes with `&` and `;`.
const MAX_REFERENCE: usize = 16;

/// `text` with its character references replaced; what is no known reference stays as written.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, reference) = rest.split_at(at);
        out.push_str(before);
        let end = reference.bytes().take(MAX_REFERENCE).position(|b| b == b';');
        let found =
            end.and_then(|end| Some((character(&reference[1..end])?, &reference[end + 1..])));
        rest = match found {
            Some((c, after)) => {
                out.push(c);
                after
            }
            None => {
                out.push('&');
                &reference[1..]
            }
        };
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character of `&name;`, `&#10;` or `&#xA;`.
fn character(name: &str) -> Option<char> {
    let Some(number) = name.strip_prefix('#') else {
        return named(name);
    };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

fn named(name: &str) -> Option<char> {
    if let Some((_, c)) = NAMED.iter().find(|(known, _)| *known == name) {
        return Some(*c);
    }
    let at = LATIN_1.split_ascii_whitespace().position(|known| known == name)?;
    char::from_u32(0xA0 + u32::try_from(at).ok()?)
}

/// HTML 4 §24.4, and of §24.3 what people type.
const NAMED: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("OElig", 'Œ'),
    ("oelig", 'œ'),
    ("Scaron", 'Š'),
    ("scaron", 'š'),
    ("Yuml", 'Ÿ'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("dagger", '†'),
    ("permil", '‰'),
    ("lsaquo", '‹'),
    ("rsaquo", '›'),
    ("euro", '€'),
    ("bull", '•'),
    ("hellip", '…'),
    ("trade", '™'),
    ("larr", '←'),
    ("rarr", '→'),
    ("hearts", '♥'),
];

/// HTML 4 §24.2: the names of U+00A0 to U+00FF, in order.
const LATIN_1: &str = "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr \
    deg plusmn sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest \
    Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml \
    ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig \
    agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml \
    eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_anything_else_stays() {
        for (text, read) in [
            ("a &amp; b", "a & b"),
            ("&lt;&GT;", "<&GT;"),
            ("&#65;&#x42;&#X43;", "ABC"),
            ("&#xD800;&#99999999999;&#;&#x;", "&#xD800;&#99999999999;&#;&#x;"),
            ("&&amp;&", "&&&"),
            ("?a=1&b=2", "?a=1&b=2"),
            ("&nbsp;&yuml;&divide;&szlig;", "\u{A0}ÿ÷ß"),
        ] {
            assert_eq!(decode(text), read, "{text}");
        }
    }

    #[test]
    fn latin_1_is_complete() {
        assert_eq!(LATIN_1.split_ascii_whitespace().count(), 0x60);
    }
}
