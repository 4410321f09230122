//! Parameter lists, `;name=value`, of URIs and header values.

use std::borrow::Cow;

use super::lex::{self, ByteSet};

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// The name; compare it without regard to case.
    pub name: &'a str,
    /// The value as it stands, quotes included; `None` for a flag.
    pub value: Option<&'a str>,
}

impl<'a> Param<'a> {
    /// The value with quotes and backslashes removed; empty for a flag.
    pub fn text(&self) -> Cow<'a, str> {
        unquote(self.value.unwrap_or_default())
    }
}

/// The parameters of one URI or header value, in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a> {
    /// What follows the first `;`, or nothing.
    text: &'a str,
}

impl<'a> Params<'a> {
    /// The list in `text`, which stands behind the first `;`.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// The first parameter of this name, without regard to case.
    pub fn find(&self, name: &str) -> Option<Param<'a>> {
        self.iter().find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// Every parameter in order.
    pub fn iter(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        Pieces { rest: (!self.text.is_empty()).then_some(self.text) }.map(param)
    }

    /// The list as it stands, without the leading `;`.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// True when there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// Text cut at every `;` outside quotes and angle brackets.
struct Pieces<'a> {
    rest: Option<&'a str>,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        match lex::find_outside(rest.as_bytes(), b';') {
            Some(end) => {
                self.rest = Some(&rest[end + 1..]);
                Some(&rest[..end])
            }
            None => {
                self.rest = None;
                Some(rest)
            }
        }
    }
}

fn param(piece: &str) -> Param<'_> {
    match piece.bytes().position(|byte| byte == b'=') {
        Some(at) => Param {
            name: lex::trim_text(&piece[..at]),
            value: Some(lex::trim_text(&piece[at + 1..])),
        },
        None => Param { name: lex::trim_text(piece), value: None },
    }
}

/// True when a header parameter follows `generic-param`: a token, then nothing, a token, a host or a quoted string.
pub(crate) fn is_generic_param(param: &Param<'_>) -> bool {
    lex::is_token(param.name.as_bytes())
        && param.value.is_none_or(|value| match value.as_bytes() {
            [] => false,
            quoted @ [b'"', ..] => lex::quoted_end(quoted) == Some(quoted.len()),
            plain => !plain.iter().any(|&byte| QUOTED_ONLY.has(byte)),
        })
}

/// What a value without quotes cannot hold.
static QUOTED_ONLY: ByteSet = ByteSet::of(b" \t\r\n\"<>");

/// `text` without the quotes and backslashes of a quoted string, folds read as one space.
pub(crate) fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !inner.bytes().any(|b| matches!(b, b'\\' | b'\r' | b'\n')) {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' => out.extend(chars.next()),
            '\r' | '\n' => {
                while chars.next_if(|c| matches!(c, '\r' | '\n' | ' ' | '\t')).is_some() {}
                out.push(' ');
            }
            plain => out.push(plain),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_may_be_spaced_quoted_and_flags() {
        let params = Params::new(" tag\r\n = 1 ;lr; note=\"a;b=\\\"c\" ");
        let all: Vec<_> = params.iter().collect();
        assert_eq!(all[0], Param { name: "tag", value: Some("1") });
        assert_eq!(all[1], Param { name: "lr", value: None });
        assert_eq!(all[2].text(), "a;b=\"c");
        assert_eq!(params.find("TAG").unwrap().value, Some("1"));
        assert_eq!(Params::new("").iter().count(), 0);
    }

    #[test]
    fn an_empty_parameter_is_not_generic() {
        let bad = |text| Params::new(text).iter().any(|param| !is_generic_param(&param));
        assert!(
            bad("a;;b") && bad("a;") && bad("a=") && bad("a=\"b") && bad("a b") && bad("a=b c")
        );
        assert!(!bad("a;b=c;d=\"e f\";maddr=[2001:db8::1]"));
    }

    #[test]
    fn quoted_pairs_and_folds_are_read() {
        assert_eq!(unquote("\"J \\\\\\\"\""), "J \\\"");
        assert_eq!(unquote("\"a\r\n  b\""), "a b");
        assert_eq!(unquote("plain"), "plain");
    }
}
