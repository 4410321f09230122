//! Content-Type values: type, subtype and parameters, as RFC 3261 §20.15 and RFC 2045 §5.1 write them.

use std::borrow::Cow;

use super::content::ContentError;

/// A parsed Content-Type; names compare without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    kind: &'a str,
    subtype: &'a str,
    parameters: Vec<(&'a str, Cow<'a, str>)>,
}

impl<'a> MediaType<'a> {
    /// The media type a header value names, quoted parameters unquoted.
    pub fn parse(value: &'a str) -> Result<Self, ContentError> {
        let malformed = || ContentError::MalformedMediaType { value: value.to_owned() };
        let (essence, rest) = value.split_once(';').unwrap_or((value, ""));
        let (kind, subtype) = essence.split_once('/').ok_or_else(malformed)?;
        let (kind, subtype) = (kind.trim(), subtype.trim());
        if !is_token(kind) || !is_token(subtype) {
            return Err(malformed());
        }
        let parameters = parameters(rest).ok_or_else(malformed)?;
        Ok(Self { kind, subtype, parameters })
    }

    /// Whether this is the type `kind/subtype`.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// The value of the first parameter called `name`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_ref())
    }

    /// `type/subtype` in lower case, for logs and refusals.
    pub fn essence(&self) -> String {
        format!("{}/{}", self.kind, self.subtype).to_ascii_lowercase()
    }
}

/// Reads `name=value;name="value"`; `None` when it is not that.
fn parameters(mut rest: &str) -> Option<Vec<(&str, Cow<'_, str>)>> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ';']);
        if rest.is_empty() {
            return Some(found);
        }
        let (name, after) = rest.split_once('=')?;
        let name = name.trim();
        if !is_token(name) {
            return None;
        }
        let (value, after) = parameter_value(after.trim_start())?;
        if !after.is_empty() && !after.starts_with(';') {
            return None;
        }
        found.push((name, value));
        rest = after;
    }
}

/// One parameter value and what follows it.
fn parameter_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let value = text[..end].trim();
        return is_token(value).then_some((Cow::Borrowed(value), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Cow::Owned(value), quoted[at + 1..].trim_start())),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

/// RFC 3261 §25.1 `token`, widened by the `:` and `/` that peers leave unquoted in parameters.
fn is_token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~:/#$&^{|}".contains(&b);
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_case_and_values_lose_their_quotes() {
        let media = MediaType::parse("Text/PLAIN ; Charset=\"utf\\-8\"; format=flowed").unwrap();
        assert!(media.is("text", "plain"));
        assert_eq!(media.parameter("charset"), Some("utf-8"));
        assert_eq!(media.parameter("FORMAT"), Some("flowed"));
        assert_eq!(media.parameter("delsp"), None);
        assert_eq!(media.essence(), "text/plain");
    }

    #[test]
    fn a_semicolon_inside_quotes_belongs_to_the_value() {
        let media = MediaType::parse("multipart/mixed;boundary=\"a;b=c\" ;x=y").unwrap();
        assert_eq!(media.parameter("boundary"), Some("a;b=c"));
        assert_eq!(media.parameter("x"), Some("y"));
    }

    #[test]
    fn stray_semicolons_are_tolerated() {
        assert!(MediaType::parse("text/plain;").unwrap().is("text", "plain"));
        assert!(MediaType::parse("text/plain;;charset=utf-8;").is_ok());
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        for bad in ["", "text", "/", "text/", "te xt/plain", "text/plain;charset", "a/b;c=\"d"] {
            assert!(MediaType::parse(bad).is_err(), "{bad:?}");
        }
    }
}
