//! HTML or XHTML → the plain text that says the same.

use super::allow;
use super::tokenizer::{Token, Tokenizer};

/// The text of `html` as a reader without markup wants it: paragraphs and items on lines of their own,
/// list marks, quotes behind `> `, a link's address behind its text where the two differ.
pub fn plain_text(html: &str) -> String {
    let mut plain = Plain::default();
    for token in Tokenizer::new(html) {
        match token {
            Token::Text(text) => plain.text(&text),
            Token::Open { name, attributes, is_empty } => {
                let value = |wanted: &str| {
                    attributes.iter().find(|(n, _)| n == wanted).map(|(_, value)| &**value)
                };
                plain.open(&name, value);
                if is_empty && !matches!(name.as_str(), "br" | "img" | "hr") {
                    plain.close(&name);
                }
            }
            Token::Close { name } => plain.close(&name),
        }
    }
    plain.out.truncate(plain.out.trim_end().len());
    plain.out
}

#[derive(Default)]
struct Plain {
    out: String,
    /// Open lists: the number of the next item, `None` for marks.
    lists: Vec<Option<u32>>,
    quotes: usize,
    preformatted: usize,
    /// Where the text of the open link began, and its address.
    link: Option<(usize, String)>,
    /// A space is due before the next word.
    is_spaced: bool,
}

impl Plain {
    fn text(&mut self, text: &str) {
        if self.preformatted > 0 {
            for (i, line) in text.split('\n').enumerate() {
                if i > 0 {
                    self.line_break();
                }
                self.write(line);
            }
            return;
        }
        let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        for (i, word) in text.split(is_space).enumerate() {
            self.is_spaced |= i > 0;
            if !word.is_empty() {
                self.write(word);
            }
        }
    }

    fn open<'v>(&mut self, name: &str, value: impl Fn(&str) -> Option<&'v str>) {
        match name {
            "br" => self.line_break(),
            "hr" => self.new_line(),
            "img" => self.write(value("alt").unwrap_or("")),
            "td" | "th" => self.is_spaced = true,
            "pre" => {
                self.new_line();
                self.preformatted += 1;
            }
            "ul" | "ol" => {
                self.new_line();
                self.lists.push((name == "ol").then_some(1));
            }
            "li" => self.item(),
            "blockquote" => {
                self.new_line();
                self.quotes += 1;
            }
            "a" => {
                let address = value("href").and_then(|uri| allow::uri(uri, allow::LINK_SCHEMES));
                self.link = address.map(|address| (self.out.len(), address));
            }
            _ if is_line(name) => self.new_line(),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "pre" => self.preformatted = self.preformatted.saturating_sub(1),
            "ul" | "ol" => {
                self.lists.pop();
            }
            "blockquote" => {
                self.new_line();
                self.quotes = self.quotes.saturating_sub(1);
            }
            "a" => return self.end_link(),
            _ => {}
        }
        if is_line(name) {
            self.new_line();
        }
    }

    fn end_link(&mut self) {
        let Some((start, address)) = self.link.take() else { return };
        let text = self.out.get(start..).unwrap_or("").trim();
        let bare = address.split_once(':').map_or("", |(_, rest)| rest.trim_start_matches('/'));
        if text.is_empty() {
            self.write(&address);
        } else if text != address && text != bare {
            let address = format!(" <{address}>");
            self.write(&address);
        }
    }

    fn item(&mut self) {
        self.new_line();
        let depth = self.lists.len().clamp(1, 8);
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!("{}. ", *number - 1)
            }
            _ => "- ".to_owned(),
        };
        self.write(&format!("{}{mark}", "  ".repeat(depth - 1)));
    }

    /// Writes a word, with the quote mark at a line's start and a due space elsewhere.
    fn write(&mut self, word: &str) {
        let is_at_start = self.out.is_empty() || self.out.ends_with('\n');
        if word.is_empty() {
            return;
        }
        if is_at_start {
            self.out.push_str(&"> ".repeat(self.quotes.min(8)));
        } else if self.is_spaced && !self.out.ends_with(' ') {
            self.out.push(' ');
        }
        self.is_spaced = false;
        self.out.push_str(word);
    }

    fn line_break(&mut self) {
        self.out.truncate(self.out.trim_end_matches(' ').len());
        self.out.push('\n');
        self.is_spaced = false;
    }

    /// Starts a line unless one is just started.
    fn new_line(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.line_break();
        }
        self.is_spaced = false;
    }
}

/// Elements that stand on lines of their own.
fn is_line(name: &str) -> bool {
    const LINES: &[&str] =
        &["ul", "ol", "li", "pre", "dl", "dt", "dd", "table", "article", "section"];
    LINES.contains(&name) || allow::element(name).is_some_and(|e| allow::is_block(e.xhtml))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_readable_text() {
        for (html, text) in [
            ("<b>bold</b>, <i> it </i>!", "bold, it !"),
            ("a<br>b<br/>\n c", "a\nb\nc"),
            ("<p>one</p>\n<p>two</p>", "one\ntwo"),
            ("<h1>t</h1>x", "t\nx"),
            ("<ul><li>a<li>b<ol><li>c<li>d</ol></ul>e", "- a\n- b\n  1. c\n  2. d\ne"),
            ("x<blockquote>a<br>b</blockquote>c", "x\n> a\n> b\nc"),
            ("<a href='http://x/'>site</a>", "site <http://x/>"),
            ("<a href='http://x'>x</a> <a href='http://y'>http://y</a>", "x http://y"),
            ("<a href='javascript:x'>l</a>", "l"),
            ("<a href='http://x'></a>", "http://x"),
            ("<img src='x' alt='smile'>", "smile"),
            ("<pre>a  b\n  c</pre>d", "a  b\n  c\nd"),
            ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</table>", "a b\nc"),
            ("a &lt;b&gt; &amp;", "a <b> &"),
            ("<script>x</script>y", "y"),
            ("  just   text\n", "just text"),
            ("", ""),
        ] {
            assert_eq!(plain_text(html), text, "{html}");
        }
    }

    #[test]
    fn hostile_nesting_costs_little() {
        let text = plain_text(&format!("{}x", "<ol><blockquote><li>".repeat(20_000)));
        assert!(text.len() < 2_000_000 && text.ends_with('x'));
    }
}
