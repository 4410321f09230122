//! Cuts HTML or XHTML into tags and text; every input has a reading, none is an error.

use std::borrow::Cow;

use super::entity;

/// One piece of a document. Names are in lower case and without a namespace prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Text(Cow<'a, str>),
    Open { name: String, attributes: Vec<(String, Cow<'a, str>)>, is_empty: bool },
    Close { name: String },
}

/// Elements whose content is no text for a reader; it is skipped up to the closing tag.
const HIDDEN: &[&str] =
    &["script", "style", "title", "head", "iframe", "object", "textarea", "noscript", "template"];

/// Iterator over the tokens of a document, up to the end of its first `<body>`.
///
/// XHTML-IM repeats the body in other languages (XEP-0071 §8 rule 4); one is enough.
pub(super) struct Tokenizer<'a> {
    rest: &'a str,
}

impl<'a> Tokenizer<'a> {
    pub(super) fn new(html: &'a str) -> Self {
        Self { rest: html }
    }

    /// Takes the text up to the next `<` that starts markup.
    fn text(&mut self) -> Token<'a> {
        let from = usize::from(self.rest.starts_with('<'));
        let end = self.rest[from..].find('<').map_or(self.rest.len(), |at| at + from);
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        Token::Text(entity::decode(text))
    }

    /// Takes `<!…>`, `<?…>`, a comment or a CDATA section; only the last is text.
    fn declaration(&mut self) -> Option<Token<'a>> {
        for (open, close) in [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<", ">")] {
            let Some(inside) = self.rest.strip_prefix(open) else { continue };
            let (inside, rest) = inside.split_once(close).unwrap_or((inside, ""));
            self.rest = rest;
            return (open == "<![CDATA[").then_some(Token::Text(Cow::Borrowed(inside)));
        }
        None
    }

    fn closing_tag(&mut self) -> Token<'a> {
        let (name, rest) = split_name(&self.rest[2..]);
        self.rest = rest.split_once('>').map_or("", |(_, after)| after);
        if name == "body" {
            self.rest = "";
        }
        Token::Close { name }
    }

    fn opening_tag(&mut self) -> Token<'a> {
        let (name, mut rest) = split_name(&self.rest[1..]);
        let mut attributes = Vec::new();
        let mut is_empty = false;
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
            if let Some(after) = rest.strip_prefix('/') {
                is_empty = after.starts_with('>');
                rest = after;
            } else if rest.is_empty() || rest.starts_with('>') {
                break;
            } else {
                let (attribute, after) = attribute(rest);
                attributes.push(attribute);
                rest = after;
            }
        }
        self.rest = rest.strip_prefix('>').unwrap_or("");
        if HIDDEN.contains(&name.as_str()) && !is_empty {
            self.skip_hidden(&name);
        }
        Token::Open { name, attributes, is_empty }
    }

    /// Moves behind the closing tag of a hidden element, or to the end when there is none.
    fn skip_hidden(&mut self, name: &str) {
        while let Some(at) = self.rest.find("</") {
            let (found, after) = split_name(&self.rest[at + 2..]);
            self.rest = after;
            if found == name {
                self.rest = after.split_once('>').map_or("", |(_, after)| after);
                return;
            }
        }
        self.rest = "";
    }
}

impl<'a> Iterator for Tokenizer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        while !self.rest.is_empty() {
            let mut after = self.rest.chars().skip(1);
            let starts_tag = self.rest.starts_with('<');
            match (starts_tag, after.next(), after.next()) {
                (true, Some('!' | '?'), _) => match self.declaration() {
                    Some(text) => return Some(text),
                    None => continue,
                },
                (true, Some('/'), Some(c)) if c.is_ascii_alphabetic() => {
                    return Some(self.closing_tag());
                }
                (true, Some(c), _) if c.is_ascii_alphabetic() => return Some(self.opening_tag()),
                _ => return Some(self.text()),
            }
        }
        None
    }
}

/// A tag or attribute name in lower case, its namespace prefix cut, and what follows.
fn split_name(text: &str) -> (String, &str) {
    let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/' | '=');
    let (name, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
    let local = name.rsplit(':').next().unwrap_or(name);
    (local.to_ascii_lowercase(), rest)
}

/// One attribute and what follows; an attribute without a value has the empty value.
///
/// A prefixed attribute (`xml:lang`, `xmlns:x`) keeps its prefix, so that it equals no plain one.
fn attribute(text: &str) -> ((String, Cow<'_, str>), &str) {
    let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/' | '=');
    // A name has at least one character, whatever it is, so that reading always goes on.
    let first = text.chars().next().map_or(0, char::len_utf8);
    let end = text[first..].find(ends).map_or(text.len(), |at| at + first);
    let name = text[..end].to_ascii_lowercase();
    let rest = text[end..].trim_start_matches(|c: char| c.is_ascii_whitespace());
    let Some(value) = rest.strip_prefix('=') else {
        return ((name, Cow::Borrowed("")), &text[end..]);
    };
    let value = value.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let (value, rest) = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
        _ => {
            let ends = |c: char| c.is_ascii_whitespace() || c == '>';
            value.split_at(value.find(ends).unwrap_or(value.len()))
        }
    };
    ((name, entity::decode(value)), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(html: &str) -> String {
        let mut out = String::new();
        for token in Tokenizer::new(html) {
            out += &match token {
                Token::Text(text) => format!("[{text}]"),
                Token::Close { name } => format!("-{name}"),
                Token::Open { name, attributes, is_empty } => {
                    let end = if is_empty { "/" } else { "" };
                    let attributes =
                        attributes.iter().map(|(n, v)| format!(" {n}={v}")).collect::<String>();
                    format!("+{name}{attributes}{end}")
                }
            };
        }
        out
    }

    #[test]
    fn every_input_has_a_reading() {
        for (html, read) in [
            ("a<b>c</b>", "[a]+b[c]-b"),
            ("<A Href = \"x>y\" checked>", "+a href=x>y checked="),
            ("<br/><br /><p a=/x/>", "+br/+br/+p a=/x/"),
            ("1 < 2 <3 </ 4", "[1 ][< 2 ][<3 ][</ 4]"),
            ("<", "[<]"),
            ("<a href='x", "+a href=x"),
            ("<!-- > --><!x><?y?>z<!--", "[z]"),
            ("<![CDATA[a<b]]>c", "[a<b][c]"),
            ("<script>a</b></SCRIPT>x", "+script[x]"),
            ("<script>never closed", "+script"),
            ("<p =x>y", "+p =x=[y]"),
            ("<p xml:lang='de'>", "+p xml:lang=de"),
            ("<body>a</body><body>b</body>", "+body[a]-body"),
        ] {
            assert_eq!(words(html), read, "{html}");
        }
    }
}
