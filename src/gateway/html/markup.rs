//! Tokens → well-formed XHTML-IM.

use std::borrow::Cow;

use super::MAX_DEPTH;
use super::allow::{self, Element};
use super::tokenizer::Token;
use crate::gateway::text::xml_text;

/// The markup written so far and the elements that are open in it.
#[derive(Default)]
pub(super) struct Markup {
    out: String,
    /// Each open tag: its name in the source and the element it was written as.
    open: Vec<(String, &'static str)>,
}

impl Markup {
    /// Writes one token, or drops what XHTML-IM has no place for.
    pub(super) fn push(&mut self, token: Token<'_>) {
        match token {
            Token::Text(text) => self.text(&text),
            Token::Close { name } => self.close(&name),
            Token::Open { name, attributes, is_empty } => {
                let Some(element) = allow::element(&name) else { return };
                match element.xhtml {
                    "br" => self.out.push_str("<br/>"),
                    "img" => self.image(&attributes),
                    _ => self.open(name, element, &attributes, is_empty),
                }
            }
        }
    }

    /// How many bytes are written.
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Closes what is open and hands the markup over.
    pub(super) fn finish(mut self) -> String {
        self.close_down_to(0);
        self.out
    }

    fn text(&mut self, text: &str) {
        escape(&mut self.out, text);
    }

    fn open(
        &mut self,
        name: String,
        element: &'static Element,
        attributes: &[(String, Cow<'_, str>)],
        is_empty: bool,
    ) {
        self.close_implied(element.xhtml);
        if self.open.len() >= MAX_DEPTH {
            return;
        }
        self.out.push('<');
        self.out.push_str(element.xhtml);
        if let Some(style) = element.style {
            self.attribute("style", style);
        }
        let has_own_style = element.style.is_some();
        let mut written: Vec<&str> = Vec::new();
        for (name, value) in attributes {
            let is_repeated =
                written.contains(&name.as_str()) || (has_own_style && name == "style");
            if is_repeated {
                continue;
            }
            if let Some(value) = allow::attribute(element.xhtml, name, value) {
                self.attribute(name, &value);
                written.push(name);
            }
        }
        self.out.push('>');
        self.open.push((name, element.xhtml));
        if is_empty {
            self.close_down_to(self.open.len() - 1);
        }
    }

    /// An image needs a source; without one its `alt` text stands for it (XEP-0071 §7.4).
    fn image(&mut self, attributes: &[(String, Cow<'_, str>)]) {
        let find = |wanted: &str| attributes.iter().find(|(name, _)| name == wanted);
        let alt = find("alt").map_or("", |(_, value)| value);
        let Some(src) = find("src").and_then(|(_, v)| allow::uri(v, allow::IMAGE_SCHEMES)) else {
            return self.text(alt);
        };
        self.out.push_str("<img");
        self.attribute("src", &src);
        self.attribute("alt", alt);
        for name in ["height", "width"] {
            let value = find(name).and_then(|(_, value)| allow::attribute("img", name, value));
            if let Some(value) = value {
                self.attribute(name, &value);
            }
        }
        self.out.push_str("/>");
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("='");
        escape(&mut self.out, value);
        self.out.push('\'');
    }

    /// HTML leaves out end tags: a block ends an open paragraph, an item the item before it.
    fn close_implied(&mut self, next: &str) {
        if !allow::is_block(next) {
            return;
        }
        let ended = if next == "li" { &["li"][..] } else { &["p"] };
        let list =
            self.open.iter().rposition(|(_, e)| matches!(*e, "ul" | "ol")).map_or(0, |at| at + 1);
        let found = self.open[list..].iter().position(|(_, element)| ended.contains(element));
        if let Some(at) = found {
            self.close_down_to(list + at);
        }
    }

    /// Closes the innermost `name` and all inside it; a stray end tag closes nothing.
    fn close(&mut self, name: &str) {
        if let Some(at) = self.open.iter().rposition(|(open, _)| open == name) {
            self.close_down_to(at);
        }
    }

    fn close_down_to(&mut self, depth: usize) {
        for (_, element) in self.open.drain(depth..).rev() {
            self.out.push_str("</");
            self.out.push_str(element);
            self.out.push('>');
        }
    }
}

/// Appends `text` escaped for content and for attributes in single quotes.
fn escape(out: &mut String, text: &str) {
    for c in xml_text(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            _ => out.push(c),
        }
    }
}
