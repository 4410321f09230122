//! Substitutions as `sed` writes them: `/pattern/replacement/flags`.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

use ahash::AHashMap;
use regex::{Captures, Regex, RegexBuilder};
use rhai::{Dynamic, ImmutableString};
use thiserror::Error;

use super::error::RouteError;
use super::export::ParamType;
use super::module::Argument;

/// A pattern and what comes in the place of what it finds.
///
/// The first character of the text divides its parts, and stands in them behind a backslash. In the replacement `\0` is
/// what was found, `\1` to `\9` its groups, `\t` a tab and `\\` a backslash. The flag `i` ignores case, `g` replaces all,
/// and `s` lets `.` cross the end of a line, and `^` and `$` hold at the ends of the text alone.
#[derive(Debug)]
pub struct Substitution {
    pattern: Regex,
    replacement: Vec<Piece>,
    is_global: bool,
}

/// A part of a replacement.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

/// Why a text is no substitution.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SubstitutionError {
    /// One of the three dividers is missing.
    #[error("a substitution is /pattern/replacement/flags")]
    Form,
    /// The pattern does not compile.
    #[error("not a valid regular expression: {0}")]
    Pattern(String),
    /// The flags go beyond `g`, `i` and `s`.
    #[error("unknown flag `{0}`; there are g, i and s")]
    Flag(char),
    /// The replacement names a group that the pattern lacks.
    #[error("the pattern has no group {0}")]
    Group(usize),
}

impl Substitution {
    /// Reads `/pattern/replacement/flags`.
    pub fn parse(text: &str) -> Result<Self, SubstitutionError> {
        let mut chars = text.chars();
        let divider = chars.next().filter(|c| !c.is_alphanumeric() && *c != '\\');
        let divider = divider.ok_or(SubstitutionError::Form)?;
        let [pattern, replacement, flags] = split(chars.as_str(), divider)?;
        let mut builder =
            RegexBuilder::new(&pattern.replace(&format!("\\{divider}"), &plain(divider)));
        let mut is_global = false;
        builder.multi_line(true).crlf(true);
        for flag in flags.chars() {
            match flag {
                'g' => is_global = true,
                'i' => drop(builder.case_insensitive(true)),
                's' => drop(builder.dot_matches_new_line(true).multi_line(false).crlf(false)),
                other => return Err(SubstitutionError::Flag(other)),
            }
        }
        let pattern = builder.build().map_err(|error| {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            SubstitutionError::Pattern(reason.to_owned())
        })?;
        let replacement = pieces(replacement);
        let missing = replacement.iter().find_map(|piece| match piece {
            Piece::Group(group) if *group >= pattern.captures_len() => Some(*group),
            _ => None,
        });
        match missing {
            Some(group) => Err(SubstitutionError::Group(group)),
            None => Ok(Self { pattern, replacement, is_global }),
        }
    }

    /// The text with what was found replaced; `None` when nothing was found.
    pub fn apply(&self, text: &str) -> Option<String> {
        let limit = if self.is_global { 0 } else { 1 };
        if !self.pattern.is_match(text) {
            return None;
        }
        let written = |found: &Captures<'_>| {
            let mut out = String::new();
            for piece in &self.replacement {
                let piece = match piece {
                    Piece::Text(text) => text,
                    Piece::Group(group) => found.get(*group).map_or("", |it| it.as_str()),
                };
                let _ = out.write_str(piece);
            }
            out
        };
        Some(self.pattern.replacen(text, limit, written).into_owned())
    }
}

/// The three parts between dividers that have no backslash before them.
fn split(text: &str, divider: char) -> Result<[&str; 3], SubstitutionError> {
    let mut ends = Vec::new();
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == divider => ends.push(at),
            _ => {}
        }
    }
    match ends[..] {
        [first, second] => {
            let width = divider.len_utf8();
            Ok([&text[..first], &text[first + width..second], &text[second + width..]])
        }
        _ => Err(SubstitutionError::Form),
    }
}

/// The divider as a character of a pattern: `\|` means the divider, not an alternative.
fn plain(divider: char) -> String {
    regex::escape(divider.encode_utf8(&mut [0; 4]))
}

fn pieces(replacement: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut chars = replacement.chars();
    while let Some(character) = chars.next() {
        let escaped = if character == '\\' { chars.next() } else { None };
        match escaped {
            Some(digit) if digit.is_ascii_digit() => {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Group(digit as usize - '0' as usize));
            }
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('n') => text.push('\n'),
            Some(other) => text.push(other),
            None => text.push(character),
        }
    }
    pieces.push(Piece::Text(text));
    pieces.retain(|piece| *piece != Piece::Text(String::new()));
    pieces
}

/// Substitutions that scripts compute are kept up to this many; then the store starts anew.
const MAX_KEPT: usize = 1000;

thread_local! {
    static KEPT: RefCell<AHashMap<ImmutableString, Rc<Substitution>>> = RefCell::default();
}

impl Argument for Rc<Substitution> {
    const TYPE: ParamType = ParamType::Substitution;
    type Rhai = ImmutableString;

    fn read(value: &Dynamic) -> Result<Self, RouteError> {
        let text: ImmutableString = value.clone().cast();
        KEPT.with_borrow_mut(|kept| {
            if let Some(known) = kept.get(&text) {
                return Ok(known.clone());
            }
            let parsed = Substitution::parse(&text).map(Rc::new).map_err(|error| {
                RouteError::BadArgument { argument: "expression", reason: error.to_string() }
            })?;
            if kept.len() >= MAX_KEPT {
                kept.clear();
            }
            kept.insert(text, parsed.clone());
            Ok(parsed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(expression: &str, text: &str) -> Option<String> {
        Substitution::parse(expression).unwrap().apply(text)
    }

    #[test]
    fn the_first_or_all_are_replaced() {
        assert_eq!(applied("/a/b/", "aaa").as_deref(), Some("baa"));
        assert_eq!(applied("/a/b/g", "aaa").as_deref(), Some("bbb"));
        assert_eq!(applied("/A/b/", "aaa"), None);
        assert_eq!(applied("/A/b/ig", "aAa").as_deref(), Some("bbb"));
    }

    #[test]
    fn groups_return_in_the_replacement() {
        let swapped = applied(r"/^sip:([0-9]+)@(.*)$/sip:\2@\1.example\/\0/", "sip:12@x");
        assert_eq!(swapped.as_deref(), Some("sip:x@12.example/sip:12@x"));
        assert_eq!(applied(r"/(a)|(b)/<\1\2>/g", "ab").as_deref(), Some("<a><b>"));
        assert_eq!(applied("/a/$1$0/", "a").as_deref(), Some("$1$0"), "a dollar is a dollar");
    }

    #[test]
    fn any_sign_divides() {
        assert_eq!(applied("#a/b#c/d#", "a/b").as_deref(), Some("c/d"));
        assert_eq!(applied(r"|a\|b|c\|d|", "a|b").as_deref(), Some("c|d"));
        assert_eq!(applied(r"/a\/b/c/", "a/b").as_deref(), Some("c"));
    }

    #[test]
    fn lines_end_where_sip_ends_them() {
        assert_eq!(applied("/^b.*$/c/", "a\r\nbb\r\nd").as_deref(), Some("a\r\nc\r\nd"));
        assert_eq!(applied("/^b.*$/c/s", "a\r\nbb\r\nd"), None);
        assert_eq!(applied("/^a.*$/c/s", "a\r\nbb\r\nd").as_deref(), Some("c"));
    }

    #[test]
    fn what_is_no_substitution_is_refused() {
        use SubstitutionError::{Flag, Form, Group};
        for (text, error) in [
            ("", Form),
            ("a", Form),
            ("/a/b", Form),
            ("/a/b/c/", Form),
            ("abba", Form),
            (r"\a\b\", Form),
            ("/a/b/x", Flag('x')),
            (r"/a/\1/", Group(1)),
        ] {
            assert_eq!(Substitution::parse(text).unwrap_err(), error, "{text}");
        }
        let error = Substitution::parse("/a(/b/").unwrap_err().to_string();
        assert_eq!(error, "not a valid regular expression: unclosed group");
    }
}
