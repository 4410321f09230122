//! Addresses of XMPP (RFC 7622), and the escaping of their local parts (XEP-0106).

use std::borrow::Cow;

pub use ::jid::{BareJid, Error as JidError, FullJid, Jid};

/// Reads an address as it stands in an attribute, prepared for comparison.
///
/// A dot at the end of the domain is dropped (RFC 7622 §3.2).
pub fn parse(address: &str) -> Result<Jid, JidError> {
    // `Jid::new` drops the dot only from its idea of where the parts lie.
    let end = address.find('/').unwrap_or(address.len());
    match address[..end].strip_suffix('.') {
        Some(before) => Jid::new(&format!("{before}{}", &address[end..])),
        None => Jid::new(address),
    }
}

/// Escapes a name of another network so that it can be a local part (XEP-0106 §4.2).
///
/// A space at either end cannot be written in a local part and is left as it is.
pub fn escape_local(name: &str) -> Cow<'_, str> {
    if !name.bytes().any(|byte| NEEDS_ESCAPE[usize::from(byte)]) {
        return Cow::Borrowed(name);
    }
    let mut out = String::new();
    let mut copied = 0;
    for (at, c) in name.char_indices() {
        let at_edge = at == 0 || at + 1 == name.len();
        let Some(escape) = ESCAPES.iter().find(|(plain, _)| *plain == c) else { continue };
        if c == ' ' && at_edge || c == '\\' && escaped_at(&name[at..]).is_none() {
            continue;
        }
        out.push_str(&name[copied..at]);
        out.push_str(escape.1);
        copied = at + c.len_utf8();
    }
    if copied == 0 {
        return Cow::Borrowed(name);
    }
    out.push_str(&name[copied..]);
    Cow::Owned(out)
}

/// The name that an escaped local part stands for (XEP-0106 §4.3).
///
/// Sequences that no escaping produces stay as they are.
pub fn unescape_local(local: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    for (at, _) in local.match_indices('\\') {
        let Some((plain, escaped)) = escaped_at(&local[at..]) else { continue };
        let at_edge = at == 0 || at + escaped.len() == local.len();
        if *plain == ' ' && at_edge {
            continue;
        }
        out.push_str(&local[copied..at]);
        out.push(*plain);
        copied = at + escaped.len();
    }
    if copied == 0 {
        return Cow::Borrowed(local);
    }
    out.push_str(&local[copied..]);
    Cow::Owned(out)
}

const ESCAPES: &[(char, &str)] = &[
    (' ', "\\20"),
    ('"', "\\22"),
    ('&', "\\26"),
    ('\'', "\\27"),
    ('/', "\\2f"),
    (':', "\\3a"),
    ('<', "\\3c"),
    ('>', "\\3e"),
    ('@', "\\40"),
    ('\\', "\\5c"),
];

/// True at the characters of [`ESCAPES`].
static NEEDS_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut row = 0;
    while row < ESCAPES.len() {
        table[ESCAPES[row].0 as usize] = true;
        row += 1;
    }
    table
};

/// The escape sequence that `text` begins with.
fn escaped_at(text: &str) -> Option<&'static (char, &'static str)> {
    ESCAPES.iter().find(|(_, escaped)| text.starts_with(escaped))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// XEP-0106 §5.1, table 3.
    const NATIVE: &[(&str, &str)] = &[
        ("space cadet", "space\\20cadet"),
        ("call me \"ishmael\"", "call\\20me\\20\\22ishmael\\22"),
        ("at&t guy", "at\\26t\\20guy"),
        ("d'artagnan", "d\\27artagnan"),
        ("/.fanboy", "\\2f.fanboy"),
        ("::foo::", "\\3a\\3afoo\\3a\\3a"),
        ("<foo>", "\\3cfoo\\3e"),
        ("user@host", "user\\40host"),
        ("c:\\net", "c\\3a\\net"),
        ("c:\\\\net", "c\\3a\\\\net"),
        ("c:\\cool stuff", "c\\3a\\cool\\20stuff"),
        ("c:\\5commas", "c\\3a\\5c5commas"),
        ("\\2plus\\2is\\4", "\\2plus\\2is\\4"),
        ("foo\\bar", "foo\\bar"),
        ("foob\\41r", "foob\\41r"),
    ];

    #[test]
    fn the_examples_of_the_xep_hold_both_ways() {
        for (name, local) in NATIVE {
            assert_eq!(escape_local(name), *local);
            assert_eq!(unescape_local(local), *name);
        }
    }

    #[test]
    fn spaces_at_the_ends_are_not_escaped() {
        assert_eq!(escape_local(" a b "), " a\\20b ");
        assert_eq!(unescape_local("\\20a\\20b\\20"), "\\20a b\\20");
    }

    /// Names of up to eight pieces of what escaping is about, drawn from a fixed sequence.
    #[test]
    fn every_name_survives_the_round_trip() {
        let pieces = [
            "\\", "2", "0", "5", "c", "f", "\\5c", "\\20", "\\27", "\\5c5c", " ", "@", "/", ":",
            "'", "é", "日", "a", "&", "<", ">", "\"", "7",
        ];
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..100_000 {
            let mut name = String::new();
            for _ in 0..=seed % 8 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                name.push_str(pieces[(seed >> 20) as usize % pieces.len()]);
            }
            let escaped = escape_local(&name);
            assert_eq!(unescape_local(&escaped), name, "{name:?} escaped to {escaped:?}");
            let inner = escaped.trim_matches(' ');
            assert!(!inner.contains([' ', '"', '&', '\'', '/', ':', '<', '>', '@']), "{escaped:?}");
        }
    }

    #[test]
    fn parts_are_prepared_for_comparison() {
        let jid = parse("Juliet@EXAMPLE.com./Balcony").unwrap();
        assert_eq!(jid.as_str(), "juliet@example.com/Balcony");
        assert_eq!(jid.resource().unwrap().as_str(), "Balcony");
        assert_eq!(parse("a@b./r").unwrap().resource().unwrap().as_str(), "r");
        assert_eq!(parse("b.").unwrap().as_str(), "b");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = "a".repeat(1024);
        for text in ["", "@b", "a@", "a@b/", "a b@c", "a@b@c", &format!("{long}@b"), "a'b@c"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&"a".repeat(200_000)).is_err());
    }
}
