//! Numbers, strings and regular expressions: how the old programs read them and how Rhai writes them.

use super::dialect::Dialect;

/// The value of a number that stands without quotes: a leading 0 makes it octal, since SER 0.8.12.
pub(super) fn number(written: &str) -> Option<i64> {
    let digits = written.strip_prefix('-').unwrap_or(written);
    match is_octal(digits).then(|| i64::from_str_radix(digits, 8)) {
        Some(Ok(value)) => Some(if digits.len() < written.len() { -value } else { value }),
        _ => decimal(written),
    }
}

/// Does a number that stands without quotes mean something else than its digits say?
pub(super) fn is_octal(written: &str) -> bool {
    let digits = written.trim_start_matches('-').trim_start_matches('0');
    let is_octal = digits.len() > 1 && digits.chars().all(|c| matches!(c, '0'..='7'));
    is_octal && written.trim_start_matches('-').starts_with('0')
}

/// The value of a number inside a text: a leading 0 says nothing.
pub(super) fn decimal(written: &str) -> Option<i64> {
    let (sign, digits) = match written.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, written),
    };
    let value = if let Some(hex) = digits.strip_prefix("0x") {
        i64::from_str_radix(hex, 16).ok()?
    } else if let Some(bits) = digits.strip_prefix("0b") {
        i64::from_str_radix(bits, 2).ok()?
    } else {
        digits.parse().ok()?
    };
    Some(sign * value)
}

/// What a string of the configuration means: its escapes are read, unknown ones stay.
pub(super) fn unescape(raw: &str, quote: char, dialect: Dialect) -> String {
    if quote == '\'' {
        return raw.to_owned();
    }
    let mut out = String::with_capacity(raw.len());
    let mut letters = raw.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('a') => out.push('\u{7}'),
            Some('\\') => out.push('\\'),
            Some('"') if dialect.escapes_quotes() => out.push('"'),
            Some('\n') if dialect.escapes_quotes() => {}
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// A text as a Rhai literal.
pub(super) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => {
                out.push_str(&format!("\\x{:02x}", u32::from(control) & 0xff))
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A POSIX extended expression as Rust's `regex` writes it, and what is worth telling about it.
///
/// With `are_lines_apart`, as `search` has it, `[^…]` does not match the end of a line.
pub(super) fn regex(posix: &str, are_lines_apart: bool) -> (String, Option<&'static str>) {
    let mut out = String::with_capacity(posix.len());
    let mut note = None;
    let letters: Vec<char> = posix.chars().collect();
    let mut at = 0;
    while at < letters.len() {
        let next = letters.get(at + 1).copied();
        match letters[at] {
            '[' => at = bracket(&letters, at, &mut out, are_lines_apart),
            '\\' => {
                match next {
                    Some('<') => out.push_str("\\b{start}"),
                    Some('>') => out.push_str("\\b{end}"),
                    Some(class @ ('d' | 'D' | 'w' | 'W' | 's' | 'S' | 'b' | 'B')) => {
                        out.extend(['\\', class])
                    }
                    Some(digit @ '1'..='9') => {
                        note = Some(
                            "a back reference cannot be expressed; the pattern is as written otherwise",
                        );
                        out.push(digit);
                    }
                    Some(other) if other.is_alphanumeric() || !other.is_ascii() => out.push(other),
                    Some('\n') => out.push_str("\\n"),
                    Some(other) => out.extend(['\\', other]),
                    None => out.push_str("\\\\"),
                }
                at += 2;
            }
            '{' if !next.is_some_and(|it| it.is_ascii_digit()) => {
                out.push_str("\\{");
                at += 1;
            }
            quantifier @ ('+' | '*' | '?') if begins_branch(&out) => {
                note = Some("a quantifier without anything before it was taken for a plain sign");
                out.extend(['\\', quantifier]);
                at += 1;
            }
            quantifier @ ('+' | '?')
                if matches!(out.chars().last(), Some('+' | '*' | '?')) && !out.ends_with("\\+") =>
            {
                // `a*+` repeats a repetition in POSIX and is possessive elsewhere.
                let _ = quantifier;
                at += 1;
            }
            other => {
                out.push(other);
                at += 1;
            }
        }
    }
    (out, note)
}

fn begins_branch(out: &str) -> bool {
    out.is_empty()
        || out.ends_with('|') && !out.ends_with("\\|")
        || out.ends_with('(') && !out.ends_with("\\(")
}

/// `[…]`: a backslash is a letter in POSIX; with `newline`, `[^…]` does not match the end of a line.
fn bracket(letters: &[char], start: usize, out: &mut String, newline: bool) -> usize {
    let mut at = start + 1;
    let mut inside = String::from("[");
    let negated = letters.get(at) == Some(&'^');
    if negated {
        inside.push('^');
        at += 1;
    }
    if letters.get(at) == Some(&']') {
        inside.push_str("\\]");
        at += 1;
    }
    while let Some(letter) = letters.get(at).copied() {
        match letter {
            ']' => {
                if negated && newline {
                    inside.push_str("\\n");
                }
                inside.push(']');
                out.push_str(&inside);
                return at + 1;
            }
            '[' if letters.get(at + 1) == Some(&':') => {
                let class: String = letters[at..].iter().take_while(|c| **c != ']').collect();
                inside.push_str(&class);
                inside.push(']');
                at += class.chars().count() + 1;
                continue;
            }
            // People write `[\.]` and `[\]`: the sign behind it stays itself either way.
            '\\' => inside.push_str("\\\\"),
            '[' | '&' | '~' => inside.extend(['\\', letter]),
            '-' if inside.ends_with(['[', '^']) => inside.push_str("\\-"),
            '-' if letters.get(at + 1) == Some(&']') => inside.push_str("\\-"),
            '-' if !is_range(letters, at) => inside.push_str("\\-"),
            other => inside.push(other),
        }
        at += 1;
    }
    // Not closed: a plain sign.
    out.push_str("\\[");
    start + 1
}

/// Does `-` at `at` stand between two ends of a range that goes upward?
fn is_range(letters: &[char], at: usize) -> bool {
    match (letters.get(at.wrapping_sub(1)), letters.get(at + 1)) {
        (Some(low), Some(high)) => low <= high && *low != '[' && *high != '\\' && *low != '\\',
        _ => false,
    }
}

/// `%`-specifiers of SER's `xlog` as variables.
pub(super) fn percent_to_dollar(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let specifier = rest.get(at + 1..at + 3).unwrap_or_default();
        let row = PERCENT.iter().find(|(name, _)| *name == specifier);
        if let Some((_, variable)) = row {
            out.push_str(variable);
            rest = &rest[at + 3..];
        } else {
            out.push('%');
            rest = &rest[at + 1..];
        }
    }
    out.push_str(rest);
    out
}

const PERCENT: &[(&str, &str)] = &[
    ("rm", "$rm"),
    ("ru", "$ru"),
    ("rs", "$rs"),
    ("rr", "$rr"),
    ("fu", "$fu"),
    ("ft", "$ft"),
    ("tu", "$tu"),
    ("tt", "$tt"),
    ("ci", "$ci"),
    ("cs", "$cs"),
    ("ct", "$ct"),
    ("is", "$si"),
    ("si", "$si"),
    ("sp", "$sp"),
    ("ua", "$ua"),
    ("mb", "$mb"),
    ("ml", "$ml"),
    ("ou", "$ou"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_0_means_octal_outside_of_texts() {
        for (written, bare, quoted) in [
            ("0666", Some(438), Some(666)),
            ("-010", Some(-8), Some(-10)),
            ("07", Some(7), Some(7)),
            ("0x10", Some(16), Some(16)),
            ("-2", Some(-2), Some(-2)),
            ("08", Some(8), Some(8)),
            ("x", None, None),
        ] {
            assert_eq!((number(written), decimal(written)), (bare, quoted), "{written}");
            let differs = bare != quoted;
            assert_eq!(is_octal(written), differs, "{written}");
        }
    }

    #[test]
    fn unknown_escapes_keep_their_backslash() {
        assert_eq!(unescape(r"a\.b\n\t\\", '"', Dialect::Ser0), "a\\.b\n\t\\");
        assert_eq!(unescape(r#"a\"b"#, '"', Dialect::Kamailio), "a\"b");
        assert_eq!(unescape(r"a\n", '\'', Dialect::Kamailio), "a\\n");
    }

    #[test]
    fn literals_are_safe_in_rhai() {
        assert_eq!(literal("a\\.b\"${x}`\n"), "\"a\\\\.b\\\"${x}`\\n\"");
    }

    #[test]
    fn posix_expressions_compile() {
        for (posix, rust) in [
            (r"[@:]sip\.server\.com([;:].*)*", r"[@:]sip\.server\.com([;:].*)*"),
            (r"[@:\.]x", r"[@:\\.]x"),
            (r"[^0-9]", r"[^0-9\n]"),
            (r"\=\-\%", r"\=\-\%"),
            (r"^sip:+[^0]", r"^sip:+[^0\n]"),
            ("a{x", r"a\{x"),
            ("*12", r"\*12"),
            ("(+49)", r"(\+49)"),
            ("[[:digit:]]+", "[[:digit:]]+"),
            (r"\<a\>", r"\b{start}a\b{end}"),
            ("[a-]", r"[a\-]"),
            ("[", r"\["),
        ] {
            let (made, _) = regex(posix, true);
            assert_eq!(made, rust, "{posix}");
            assert!(::regex::Regex::new(&made).is_ok(), "{made}");
        }
    }

    #[test]
    fn percent_signs_become_variables() {
        assert_eq!(percent_to_dollar("%rm from %fu, 100%"), "$rm from $fu, 100%");
        for (name, variable) in PERCENT {
            assert_eq!(percent_to_dollar(&format!("%{name}")), *variable);
        }
    }
}
