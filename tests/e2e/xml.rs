//! What a server sends on an XMPP stream, as a tree per stanza, read by a thread into a queue.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use quick_xml::{XmlVersion, escape};

/// An element with its attributes, children and the text between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element>,
    pub(crate) text: String,
}

impl Element {
    /// An attribute's value, empty when it is missing.
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The first child of that name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child of that name.
    pub(crate) fn child_text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// The stanza error's condition (RFC 6120 §8.3), if this is an error.
    pub(crate) fn condition(&self) -> Option<&str> {
        let error = self.child("error")?;
        Some(error.children.iter().find(|child| child.name != "text")?.name.as_str())
    }

    fn opened_by(start: &BytesStart) -> Self {
        let attributes = start.attributes().flatten().map(|attribute| {
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).unwrap_or_default();
            (attribute.key.as_ref().to_string(), value.into_owned())
        });
        let attributes = attributes.collect();
        Self { name: start.name().as_ref().to_string(), attributes, ..Self::default() }
    }
}

/// The elements that arrive on a stream; the stream header counts as one, without children.
pub(crate) struct Inbox {
    arriving: Receiver<Element>,
    /// Came before an answer that was waited for, and nobody has seen them yet.
    passed: RefCell<VecDeque<Element>>,
}

impl Inbox {
    /// Reads `source` until it ends.
    pub(crate) fn read(source: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || read_stream(source, &sender));
        Self { arriving: receiver, passed: RefCell::default() }
    }

    /// The next element that `wanted` accepts; others are lost.
    pub(crate) fn next_that(
        &self,
        patience: Duration,
        mut wanted: impl FnMut(&Element) -> bool,
    ) -> Result<Element, RecvTimeoutError> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let passed = self.passed.borrow_mut().pop_front();
            let element = passed.map_or_else(|| self.arriving.recv_timeout(left), Ok)?;
            if wanted(&element) {
                return Ok(element);
            }
        }
    }

    /// The answer that `wanted` accepts; messages that come before it stay for whoever asks next.
    pub(crate) fn answer(
        &self,
        patience: Duration,
        wanted: impl Fn(&Element) -> bool,
    ) -> Result<Element, RecvTimeoutError> {
        let mut messages = VecDeque::new();
        let answer = self.next_that(patience, |element| {
            if element.name == "message" {
                messages.push_back(element.clone());
            }
            wanted(element)
        });
        self.passed.replace(messages);
        answer
    }
}

/// Ends with the stream, at the first syntax error, or when nobody listens any more.
fn read_stream(source: impl Read, sender: &Sender<Element>) -> Option<()> {
    let mut reader = Reader::from_reader(BufReader::new(source));
    let mut open: Vec<Element> = Vec::new();
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer).ok()? {
            Event::Start(start) if start.name().as_ref() == "stream:stream" => {
                sender.send(Element::opened_by(&start)).ok()?;
            }
            Event::Start(start) => open.push(Element::opened_by(&start)),
            Event::Empty(start) => close(Element::opened_by(&start), &mut open, sender)?,
            Event::End(_) => {
                let element = open.pop()?;
                close(element, &mut open, sender)?;
            }
            Event::Text(text) => append(&mut open, &text.xml10_content()),
            Event::CData(text) => append(&mut open, &text.xml10_content()),
            Event::GeneralRef(name) => {
                let character = name.resolve_char_ref().ok()?.map(String::from);
                let entity = || escape::resolve_predefined_entity(&name).map(String::from);
                append(&mut open, &character.or_else(entity)?);
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn close(element: Element, open: &mut [Element], sender: &Sender<Element>) -> Option<()> {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => sender.send(element).ok()?,
    }
    Some(())
}

/// Text made safe for content and attributes; a line end in an attribute would not survive.
pub(crate) fn escaped(text: &str) -> String {
    escape::escape(text).into_owned()
}
