//! What may stand in XHTML-IM: the recommended profile of XEP-0071 §7, as tables.

/// How an HTML element is written: the XHTML-IM element it becomes, and a style of its own.
pub(super) struct Element {
    pub(super) html: &'static str,
    pub(super) xhtml: &'static str,
    pub(super) style: Option<&'static str>,
}

const fn same(name: &'static str) -> Element {
    Element { html: name, xhtml: name, style: None }
}

const fn becomes(html: &'static str, xhtml: &'static str) -> Element {
    Element { html, xhtml, style: None }
}

const fn styled(html: &'static str, style: &'static str) -> Element {
    Element { html, xhtml: "span", style: Some(style) }
}

/// XEP-0071 §7.7, and the HTML elements that have an equal there. Others lose their tags.
pub(super) const ELEMENTS: &[Element] = &[
    same("a"),
    same("blockquote"),
    same("br"),
    same("cite"),
    same("em"),
    same("img"),
    same("li"),
    same("ol"),
    same("p"),
    same("span"),
    same("strong"),
    same("ul"),
    becomes("b", "strong"),
    becomes("i", "em"),
    becomes("div", "p"),
    becomes("pre", "p"),
    becomes("tr", "p"),
    becomes("h1", "p"),
    becomes("h2", "p"),
    becomes("h3", "p"),
    becomes("h4", "p"),
    becomes("h5", "p"),
    becomes("h6", "p"),
    styled("u", "text-decoration: underline"),
    styled("ins", "text-decoration: underline"),
    styled("s", "text-decoration: line-through"),
    styled("strike", "text-decoration: line-through"),
    styled("del", "text-decoration: line-through"),
    styled("code", "font-family: monospace"),
    styled("kbd", "font-family: monospace"),
    styled("tt", "font-family: monospace"),
];

/// XEP-0071 §7.6: the attributes of each element, besides `style`.
pub(super) const ATTRIBUTES: &[(&str, &str)] = &[
    ("a", "href"),
    ("a", "type"),
    ("img", "alt"),
    ("img", "height"),
    ("img", "src"),
    ("img", "width"),
];

/// XEP-0071 §7.7: elements that take no `style`.
pub(super) const UNSTYLED: &[&str] = &["br", "em", "strong"];

/// XEP-0071 §7.5.
pub(super) const STYLE_PROPERTIES: &[&str] = &[
    "background-color",
    "color",
    "font-family",
    "font-size",
    "font-style",
    "font-weight",
    "margin-left",
    "margin-right",
    "text-align",
    "text-decoration",
];

/// Schemes a link may have (XEP-0071 §11.2: nothing that runs).
pub(super) const LINK_SCHEMES: &[&str] =
    &["http", "https", "ftp", "mailto", "xmpp", "sip", "sips", "tel", "im", "geo"];

/// Schemes an image may have; `cid` is XEP-0231, `data` is not recommended (XEP-0071 §7.4).
pub(super) const IMAGE_SCHEMES: &[&str] = &["http", "https", "cid"];

/// How an element is written, `None` when its tags are dropped.
pub(super) fn element(html: &str) -> Option<&'static Element> {
    ELEMENTS.iter().find(|element| element.html == html)
}

/// Whether the element begins a paragraph of its own, so that no open `<p>` may hold it.
pub(super) fn is_block(xhtml: &str) -> bool {
    matches!(xhtml, "p" | "blockquote" | "ul" | "ol" | "li")
}

/// The value an attribute is written with, `None` when it is dropped.
pub(super) fn attribute(xhtml: &str, name: &str, value: &str) -> Option<String> {
    if name == "style" {
        return (!UNSTYLED.contains(&xhtml)).then(|| style(value)).filter(|s| !s.is_empty());
    }
    if !ATTRIBUTES.contains(&(xhtml, name)) {
        return None;
    }
    match name {
        "href" => uri(value, LINK_SCHEMES),
        "src" => uri(value, IMAGE_SCHEMES),
        "height" | "width" => (!value.is_empty()
            && value.bytes().all(|b| b.is_ascii_digit() || b == b'%'))
        .then(|| value.to_owned()),
        _ => Some(value.to_owned()),
    }
}

/// The absolute URI when its scheme is one of `schemes`.
///
/// White space and control characters are removed before the scheme is read, as browsers do.
pub(super) fn uri(value: &str, schemes: &[&str]) -> Option<String> {
    let uri: String = value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    let (scheme, _) = uri.split_once(':')?;
    schemes.iter().any(|s| scheme.eq_ignore_ascii_case(s)).then_some(uri)
}

/// The declarations of a `style` attribute that are recommended and plain.
fn style(value: &str) -> String {
    let plain = |v: &str| {
        !v.is_empty() && v.bytes().all(|b| b.is_ascii_alphanumeric() || b" #%.,-".contains(&b))
    };
    let declarations = value.split(';').filter_map(|declaration| {
        let (property, value) = declaration.split_once(':')?;
        let (property, value) = (property.trim().to_ascii_lowercase(), value.trim());
        let allowed = STYLE_PROPERTIES.contains(&property.as_str()) && plain(value);
        allowed.then(|| format!("{property}: {value}"))
    });
    declarations.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_element_stands_twice_and_all_become_xhtml_im() {
        for (i, element) in ELEMENTS.iter().enumerate() {
            assert!(ELEMENTS[..i].iter().all(|above| above.html != element.html));
            assert!(ELEMENTS.iter().any(|e| e.html == element.xhtml && e.xhtml == e.html));
        }
    }

    #[test]
    fn every_attribute_belongs_to_an_element_that_is_written() {
        for (name, _) in ATTRIBUTES {
            assert!(ELEMENTS.iter().any(|e| e.xhtml == *name), "{name}");
        }
    }

    #[test]
    fn own_styles_pass_their_own_rule() {
        for own in ELEMENTS.iter().filter_map(|e| e.style) {
            assert_eq!(style(own), own);
        }
    }

    #[test]
    fn styles_are_cut_to_plain_recommended_declarations() {
        let value = "COLOR : #ff0000 ;width:1px; font-size:12pt;color:expression(x);x";
        assert_eq!(style(value), "color: #ff0000; font-size: 12pt");
    }
}
