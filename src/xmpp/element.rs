//! A read-only tree of one gated element, for what is too intricate to read in place.

use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;

use super::text;

/// An element with everything inside it, in one flat list: no recursion to build, walk or drop it.
#[derive(Clone, Debug)]
pub struct Tree {
    /// In document order, so that the descendants of a node follow it.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
enum Node {
    Element {
        name: String,
        namespace: String,
        attributes: Vec<(String, String)>,
        /// Behind the last descendant.
        end: usize,
    },
    Text(String),
}

impl Tree {
    /// Reads a document of which every byte has passed the gate.
    pub(super) fn read(document: &str) -> Self {
        let mut reader = NsReader::from_str(document);
        // The gate has its own cap, and a tree must not end where another one is reached.
        reader.resolver_mut().set_max_namespace_bindings(usize::MAX);
        let mut tree = Self { nodes: Vec::new() };
        let mut open = Vec::new();
        let mut text = String::new();
        while let Ok((namespace, event)) = reader.read_resolved_event() {
            match event {
                Event::Text(raw) => text.push_str(&text::unescape_text(&raw)),
                Event::CData(raw) => text.push_str(&text::normalize_lines(&raw)),
                Event::GeneralRef(name) => {
                    text.push_str(&text::unescape_text(&format!("&{};", &*name)));
                }
                Event::Start(tag) => {
                    tree.push_text(&mut text);
                    open.push(tree.nodes.len());
                    tree.push_element(&namespace, &tag);
                }
                Event::Empty(tag) => {
                    tree.push_text(&mut text);
                    tree.push_element(&namespace, &tag);
                }
                Event::End(_) => {
                    tree.push_text(&mut text);
                    if let Some(start) = open.pop() {
                        tree.close(start);
                    }
                }
                Event::Eof => break,
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
        if tree.nodes.is_empty() {
            // Cannot be behind the gate; `root` shall have something to stand on all the same.
            tree.nodes.push(Node::Text(String::new()));
        }
        tree
    }

    /// The outermost element.
    pub fn root(&self) -> Element<'_> {
        Element { tree: self, at: 0 }
    }

    fn push_element(&mut self, namespace: &ResolveResult<'_>, tag: &BytesStart<'_>) {
        let namespace = match namespace {
            ResolveResult::Bound(name) => text::unescape_attribute(name.as_ref()).into_owned(),
            ResolveResult::Unbound | ResolveResult::Unknown(_) => String::new(),
        };
        let mut attributes = tag.attributes();
        let attributes = attributes.with_checks(false).flatten().map(|attribute| {
            let value = attribute.value;
            let name = attribute.key.as_ref().to_owned();
            (name, text::unescape_attribute(&value).into_owned())
        });
        let end = self.nodes.len() + 1;
        let name = tag.local_name().as_ref().to_owned();
        self.nodes.push(Node::Element { name, namespace, attributes: attributes.collect(), end });
    }

    /// Ends the run of `text` that has come since the last tag.
    fn push_text(&mut self, text: &mut String) {
        if !text.is_empty() {
            self.nodes.push(Node::Text(std::mem::take(text)));
        }
    }

    fn close(&mut self, start: usize) {
        let behind = self.nodes.len();
        if let Node::Element { end, .. } = &mut self.nodes[start] {
            *end = behind;
        }
    }
}

/// A piece of an element's content.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// A child element.
    Element(Element<'a>),
    /// Character data up to the next tag.
    Text(&'a str),
}

/// One element of a [`Tree`].
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    tree: &'a Tree,
    at: usize,
}

impl<'a> Element<'a> {
    /// The local name.
    pub fn name(self) -> &'a str {
        match &self.tree.nodes[self.at] {
            Node::Element { name, .. } => name,
            Node::Text(_) => "",
        }
    }

    /// The namespace.
    pub fn namespace(self) -> &'a str {
        match &self.tree.nodes[self.at] {
            Node::Element { namespace, .. } => namespace,
            Node::Text(_) => "",
        }
    }

    /// Whether the element has this name and namespace.
    pub fn is(self, name: &str, namespace: &str) -> bool {
        self.name() == name && self.namespace() == namespace
    }

    /// Names as they stand (`xml:lang`, `node`) and values, declarations included.
    pub fn attributes(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let attributes = match &self.tree.nodes[self.at] {
            Node::Element { attributes, .. } => attributes.as_slice(),
            Node::Text(_) => &[],
        };
        attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of an attribute, by its name as it stands.
    pub fn attribute(self, name: &str) -> Option<&'a str> {
        self.attributes().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Elements and text directly inside, in order.
    pub fn content(self) -> impl Iterator<Item = Content<'a>> {
        let tree = self.tree;
        let mut at = self.at + 1;
        let end = tree.end(self.at);
        std::iter::from_fn(move || {
            let here = at;
            if here >= end {
                return None;
            }
            at = tree.end(here);
            Some(match &tree.nodes[here] {
                Node::Element { .. } => Content::Element(Element { tree, at: here }),
                Node::Text(text) => Content::Text(text),
            })
        })
    }

    /// Child elements, in order.
    pub fn children(self) -> impl Iterator<Item = Element<'a>> {
        self.content().filter_map(|content| match content {
            Content::Element(element) => Some(element),
            Content::Text(_) => None,
        })
    }

    /// The first child element with this name and namespace.
    pub fn child(self, name: &str, namespace: &str) -> Option<Element<'a>> {
        self.children().find(|child| child.is(name, namespace))
    }

    /// The character data directly inside.
    pub fn text(self) -> String {
        self.content()
            .filter_map(|content| match content {
                Content::Text(text) => Some(text),
                Content::Element(_) => None,
            })
            .collect()
    }
}

impl Tree {
    fn end(&self, at: usize) -> usize {
        match &self.nodes[at] {
            Node::Element { end, .. } => *end,
            Node::Text(_) => at + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::xmpp::Stanza;
    use crate::xmpp::ns::ContentNamespace;

    #[test]
    fn a_tree_reads_like_the_document() {
        let text = "<iq type='result' xmlns:p='urn:p'><query xmlns='urn:q' node='a&amp;b'>\
            <item p:x='1'>one &lt; <![CDATA[<two>]]></item><p:item/>tail</query></iq>";
        let stanza = Stanza::parse(text, ContentNamespace::Client).unwrap();
        let tree = stanza.payload("query", "urn:q").unwrap().tree();
        let query = tree.root();
        assert!(query.is("query", "urn:q"));
        assert_eq!(query.attribute("node"), Some("a&b"));
        assert_eq!(query.text(), "tail");
        let item = query.child("item", "urn:q").unwrap();
        assert_eq!((item.text().as_str(), item.attribute("p:x")), ("one < <two>", Some("1")));
        assert!(query.child("item", "urn:p").is_some());
        assert_eq!(query.children().count(), 2);
        assert!(stanza.tree().root().is("iq", "jabber:client"));
    }

    #[test]
    fn as_many_declarations_as_pass_the_gate_can_be_read() {
        let open = |level: usize| -> String {
            let declarations: String =
                (0..60).map(|i| format!(" xmlns:p{level}n{i}='urn:{i}'")).collect();
            format!("<a{declarations}>")
        };
        let text =
            format!("<iq>{}{}{}{}x</a></a></a></a></iq>", open(0), open(1), open(2), open(3));
        let tree = Stanza::parse(&text, ContentNamespace::Client).unwrap().tree();
        let mut element = tree.root();
        for _ in 0..4 {
            element = element.children().next().unwrap();
        }
        assert_eq!(element.text(), "x");
    }
}
