//! text/html ⇄ XHTML-IM (XEP-0071) and the plain text of either.
//!
//! Both directions are one walk: a tolerant tokenizer, a table of what may pass, an output that is
//! always well-formed. An HTML parsing crate would bring a DOM and a browser's error recovery for
//! a dozen elements.

mod allow;
mod entity;
mod markup;
mod plain;
mod tokenizer;

pub use plain::plain_text;

use markup::Markup;
use tokenizer::Tokenizer;

/// The namespace of XHTML-IM's `<html/>`.
pub const NAMESPACE: &str = "http://jabber.org/protocol/xhtml-im";

/// The deepest nesting that is written; elements below it lose their tags and keep their text.
pub const MAX_DEPTH: usize = 32;

/// The longest markup that is written, in bytes; a longer message travels as plain text alone.
pub const MAX_MARKUP: usize = 64 * 1024;

/// `html` reduced to the content of an XHTML-IM `<body/>` (XEP-0071 §7.8); `None` above [`MAX_MARKUP`]
/// or when no markup is left in it.
///
/// The input may be HTML of any quality, or XHTML. The output is well-formed XML without a namespace
/// prefix, holds only elements, attributes, style properties and URI schemes of the tables in
/// `html/allow.rs`, and only characters that XML can carry. It is also valid inside an HTML `<body>`.
pub fn xhtml_im(html: &str) -> Option<String> {
    let mut markup = Markup::default();
    for token in Tokenizer::new(html) {
        markup.push(token);
        if markup.len() > MAX_MARKUP {
            return None;
        }
    }
    let written = markup.finish();
    (written.contains('<') && written.len() <= MAX_MARKUP).then_some(written)
}

/// A text/html document with `xhtml`, the content of an XHTML-IM `<body/>`, reduced as by [`xhtml_im`].
pub fn html_document(xhtml: &str) -> Option<String> {
    Some(format!("<html><body>{}</body></html>", xhtml_im(xhtml)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::Stanza;
    use crate::xmpp::ns::ContentNamespace;

    #[test]
    fn html_becomes_xhtml_im() {
        for (html, xhtml) in [
            ("<b>bold</b> and <i>it</i>", "<strong>bold</strong> and <em>it</em>"),
            ("a<BR>b", "a<br/>b"),
            ("<p>one<p>two", "<p>one</p><p>two</p>"),
            ("<ul><li>a<li>b</ul>", "<ul><li>a</li><li>b</li></ul>"),
            ("<b><i>x</b>y</i>", "<strong><em>x</em></strong>y"),
            ("<p><b>x<p>y", "<p><strong>x</strong></p><p>y</p>"),
            ("<a href=http://x/?a&b>l</a>", "<a href='http://x/?a&amp;b'>l</a>"),
            ("<div style='color:red;position:fixed'>x</div>", "<p style='color: red'>x</p>"),
            ("5 < 6 && 7 &lt; 8 <br>", "5 &lt; 6 &amp;&amp; 7 &lt; 8 <br/>"),
            ("&eacute;&#233;&#xE9;&bogus;<br>", "ééé&amp;bogus;<br/>"),
            ("<x:em xmlns:x='u'>y</x:em>", "<em>y</em>"),
            ("<![CDATA[<b>]]><em/>", "&lt;b&gt;<em></em>"),
        ] {
            assert_eq!(xhtml_im(html).as_deref(), Some(xhtml), "{html}");
        }
    }

    #[test]
    fn what_may_run_is_gone() {
        for (html, xhtml) in [
            ("<script>alert('<b>')</script><em>x</em>", "<em>x</em>"),
            ("<style>p{}</style><em>x</em>", "<em>x</em>"),
            ("<em onclick='x()'>x</em>", "<em>x</em>"),
            ("<a href='java\nscript:x()'>x</a>", "<a>x</a>"),
            ("<a href=' JavaScript:x()'>x</a>", "<a>x</a>"),
            ("<a href='&#106;avascript:x()'>x</a>", "<a>x</a>"),
            ("<a href='/relative'>x</a>", "<a>x</a>"),
            ("<img src='data:image/png;base64,AA' alt='i'><br>", "i<br/>"),
            ("<p style='background-color:url(http://x)'>x</p>", "<p>x</p>"),
            ("<p style=\"color:red'/><script>\">x</p>", "<p>x</p>"),
            ("<iframe src='http://x'></iframe><em>x</em>", "<em>x</em>"),
            ("<!-- <b> --><em>x</em><!doctype html><?php x?>", "<em>x</em>"),
            ("<title>t</title><em>x</em>", "<em>x</em>"),
        ] {
            assert_eq!(xhtml_im(html).as_deref(), Some(xhtml), "{html}");
        }
    }

    #[test]
    fn text_without_markup_needs_no_xhtml() {
        assert_eq!(xhtml_im("<html><body>just text</body></html>"), None);
    }

    #[test]
    fn nesting_and_size_are_capped() {
        let deep = xhtml_im(&"<em>".repeat(100_000)).unwrap();
        assert_eq!(deep.matches("<em>").count(), MAX_DEPTH);
        assert_eq!(deep.matches("</em>").count(), MAX_DEPTH);
        assert_eq!(xhtml_im(&"<br>".repeat(MAX_MARKUP)), None);
    }

    #[test]
    fn the_output_is_a_fixed_point() {
        let once = xhtml_im("<p>a<b>c<a href=http://x>d<ul><li>&quot;'\0\u{1}<img alt=z").unwrap();
        assert_eq!(xhtml_im(&once), Some(once.clone()));
    }

    #[test]
    fn a_document_goes_to_sip() {
        assert_eq!(
            html_document("<p style='color: red'>x</p>").as_deref(),
            Some("<html><body><p style='color: red'>x</p></body></html>")
        );
    }

    /// Documents of random pieces, drawn from a fixed sequence.
    #[test]
    fn any_soup_gives_markup_that_the_gate_accepts() {
        const PIECES: &[&str] = &[
            "<",
            ">",
            "</",
            "/>",
            "<p>",
            "</p>",
            "<b",
            "<b>",
            "</b>",
            "<li>",
            "<ul>",
            "</ul>",
            " ",
            "=",
            "'",
            "\"",
            "&",
            "&lt;",
            "&#0;",
            "&#xFFFE;",
            "x",
            "ü",
            "\0",
            "style=",
            "color:red",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "<img src=http://x alt='",
            "<a href=\"http://y?",
            "<x:p",
            "xmlns:a=b",
            "<script>",
            "</script>",
            "<?",
            "<br",
            ";",
            "\u{FFFE}",
            "\r\n",
        ];
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..20_000 {
            let mut html = String::new();
            for _ in 0..=seed % 24 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                html.push_str(PIECES[(seed >> 20) as usize % PIECES.len()]);
            }
            let _ = plain_text(&html);
            let Some(markup) = xhtml_im(&html) else { continue };
            let stanza = format!("<message><html>{markup}</html></message>");
            let gated = Stanza::parse(&stanza, ContentNamespace::Client);
            assert!(gated.is_ok(), "{html:?} became {markup:?}: {gated:?}");
            assert_eq!(xhtml_im(&markup).unwrap_or_default(), markup, "{html:?}");
        }
    }
}
