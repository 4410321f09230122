//! One top-level element of a stream, read without building a tree.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use memchr::memmem;
use smallvec::SmallVec;

use super::element::Tree;
use super::framer::Limits;
use super::gate::{self, Bound, Malformed, Span, StartTag, Visit};
use super::jid::{self, Jid, JidError};
use super::ns::{ContentNamespace, Scope};
use super::text;

/// What a top-level element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `<message/>` of the stream's content namespace
    Message,
    /// `<presence/>` of the stream's content namespace
    Presence,
    /// `<iq/>` of the stream's content namespace
    Iq,
    /// Anything else: stream errors, features, handshakes, acknowledgements.
    Nonza,
}

/// A gated element with notes on where its parts lie.
///
/// Cloning shares the bytes. Attribute values come unescaped, and borrowed if nothing had to be.
#[derive(Clone, Debug)]
pub struct Stanza {
    text: ByteString,
    scope: Arc<Scope>,
    kind: Kind,
    envelope: Envelope,
}

#[derive(Clone, Debug)]
struct Envelope {
    name: Span,
    namespace: Bound,
    to: Option<Span>,
    from: Option<Span>,
    id: Option<Span>,
    type_attribute: Option<Span>,
    lang: Option<Span>,
    payloads: SmallVec<[Entry; 4]>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: Span,
    namespace: Bound,
    /// From `<` of the start tag to behind the end tag.
    whole: Span,
    /// The end of the start tag, from the start of the stanza.
    start_tag_end: u32,
}

struct Notes<'a> {
    text: &'a str,
    envelope: Envelope,
}

impl Visit for Notes<'_> {
    fn start(&mut self, depth: usize, tag: StartTag<'_>) {
        match depth {
            0 => self.note_outermost(tag),
            1 => self.envelope.payloads.push(Entry {
                name: tag.local,
                namespace: tag.namespace,
                whole: Span { start: tag.start as u32, end: 0 },
                start_tag_end: tag.end as u32,
            }),
            _ => {}
        }
    }

    fn end(&mut self, depth: usize, end: usize) {
        if depth == 1
            && let Some(entry) = self.envelope.payloads.last_mut()
        {
            entry.whole.end = end as u32;
        }
    }
}

impl Notes<'_> {
    fn note_outermost(&mut self, tag: StartTag<'_>) {
        self.envelope.name = tag.local;
        self.envelope.namespace = tag.namespace;
        for attribute in tag.attributes {
            let place = match (attribute.prefix.of(self.text), attribute.local.of(self.text)) {
                ("", "to") => &mut self.envelope.to,
                ("", "from") => &mut self.envelope.from,
                ("", "id") => &mut self.envelope.id,
                ("", "type") => &mut self.envelope.type_attribute,
                ("xml", "lang") => &mut self.envelope.lang,
                _ => continue,
            };
            *place = Some(attribute.value);
        }
    }
}

impl Stanza {
    /// Lets a frame through the gate and reads its envelope.
    pub fn read(bytes: Bytes, scope: &Arc<Scope>, limits: &Limits) -> Result<Self, Malformed> {
        let envelope = Envelope {
            name: Span::default(),
            namespace: Bound::None,
            to: None,
            from: None,
            id: None,
            type_attribute: None,
            lang: None,
            payloads: SmallVec::new(),
        };
        let text = ByteString::try_from(bytes).map_err(|_| Malformed::Utf8)?;
        gate::check_characters(&text)?;
        let mut notes = Notes { text: &text, envelope };
        gate::walk(&text, scope, limits, &mut notes)?;
        let envelope = notes.envelope;
        let namespace = envelope.namespace.name(&text, scope);
        // COMPAT(jabberd2, 2.7): what it routes to a component keeps the client's namespace.
        let is_from_client = scope.content() == ContentNamespace::Component
            && namespace == ContentNamespace::Client.name();
        let in_content = namespace == scope.content().name() || is_from_client;
        let kind = match envelope.name.of(&text) {
            "message" if in_content => Kind::Message,
            "presence" if in_content => Kind::Presence,
            "iq" if in_content => Kind::Iq,
            _ => Kind::Nonza,
        };
        Ok(Self { text, scope: Arc::clone(scope), kind, envelope })
    }

    /// Reads one stanza from text, as it would stand on a stream of ours with `content`.
    pub fn parse(stanza: &str, content: ContentNamespace) -> Result<Self, Malformed> {
        let bytes = Bytes::copy_from_slice(stanza.as_bytes());
        Self::read(bytes, &Arc::new(Scope::new(content)), &Limits::DEFAULT)
    }

    /// Message, presence, IQ or something else.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The local name of the element.
    pub fn name(&self) -> &str {
        self.slice(self.envelope.name)
    }

    /// The namespace of the element.
    pub fn namespace(&self) -> &str {
        self.resolve(&self.envelope.namespace)
    }

    /// The content namespace of the stream it came on.
    pub fn content(&self) -> ContentNamespace {
        self.scope.content()
    }

    /// The element as it came. It is well-formed on a stream with the same scope.
    pub fn bytes(&self) -> &Bytes {
        self.text.as_bytes()
    }

    /// The `to` attribute.
    pub fn to(&self) -> Option<Cow<'_, str>> {
        self.attribute(self.envelope.to)
    }

    /// The `from` attribute.
    pub fn from(&self) -> Option<Cow<'_, str>> {
        self.attribute(self.envelope.from)
    }

    /// The `to` attribute as an address.
    pub fn to_jid(&self) -> Option<Result<Jid, JidError>> {
        self.to().map(|to| jid::parse(&to))
    }

    /// The `from` attribute as an address.
    pub fn from_jid(&self) -> Option<Result<Jid, JidError>> {
        self.from().map(|from| jid::parse(&from))
    }

    /// The `id` attribute.
    pub fn id(&self) -> Option<Cow<'_, str>> {
        self.attribute(self.envelope.id)
    }

    /// The `type` attribute.
    pub fn type_attribute(&self) -> Option<Cow<'_, str>> {
        self.attribute(self.envelope.type_attribute)
    }

    /// Whether the `type` attribute is `error`.
    pub fn is_error(&self) -> bool {
        self.type_attribute().as_deref() == Some("error")
    }

    /// The `xml:lang` attribute.
    pub fn lang(&self) -> Option<Cow<'_, str>> {
        self.attribute(self.envelope.lang)
    }

    /// The child elements, in order.
    pub fn payloads(&self) -> impl Iterator<Item = Payload<'_>> {
        self.envelope.payloads.iter().map(|entry| Payload { stanza: self, entry })
    }

    /// The first child element with this name and namespace.
    pub fn payload(&self, name: &str, namespace: &str) -> Option<Payload<'_>> {
        self.payloads().find(|payload| payload.name() == name && payload.namespace() == namespace)
    }

    /// The first child element with this name in the namespace of the stanza.
    pub fn child(&self, name: &str) -> Option<Payload<'_>> {
        self.payload(name, self.namespace())
    }

    /// The text of the first child element with this name in the namespace of the stanza.
    pub fn child_text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.child(name).map(Payload::text)
    }

    /// The whole element as a tree.
    pub fn tree(&self) -> Tree {
        let whole = Span { start: 0, end: self.text.len() as u32 };
        Tree::read(&self.with_declarations(whole, "", true))
    }

    fn attribute(&self, value: Option<Span>) -> Option<Cow<'_, str>> {
        value.map(|span| text::unescape_attribute(self.slice(span)))
    }

    fn slice(&self, span: Span) -> &str {
        span.of(&self.text)
    }

    fn resolve<'a>(&'a self, bound: &'a Bound) -> &'a str {
        match bound {
            Bound::Here(span) => self.slice(*span),
            bound => bound.name("", &self.scope),
        }
    }

    /// The element at `whole` with the declarations that it takes from outside: those of the
    /// stream header, and those of `parent`, a start tag.
    fn with_declarations(&self, whole: Span, parent: &str, default: bool) -> Cow<'_, str> {
        let raw = self.slice(whole);
        let mut declarations: Vec<(Cow<'_, str>, Cow<'_, str>)> =
            vec![("".into(), self.content().name().into())];
        let header = self.scope.prefixes().map(|(prefix, name)| (prefix.into(), name.into()));
        declarations.extend(header);
        for (prefix, name) in text::declarations(parent) {
            declarations.retain(|(known, _)| *known != prefix);
            declarations.push((prefix.to_owned().into(), name.into_owned().into()));
        }
        declarations.retain(|(prefix, name)| match &**prefix {
            "" => default || *name != self.content().name(),
            prefix => memmem::find(raw.as_bytes(), format!("{prefix}:").as_bytes()).is_some(),
        });
        for (own, _) in text::declarations(raw) {
            declarations.retain(|(prefix, _)| *prefix != own);
        }
        if declarations.is_empty() {
            return Cow::Borrowed(raw);
        }
        let name_end = text::tag_name_end(raw);
        let mut out = Vec::with_capacity(raw.len() + 64);
        out.extend_from_slice(&raw.as_bytes()[..name_end]);
        for (prefix, name) in &declarations {
            let colon = if prefix.is_empty() { "" } else { ":" };
            out.extend_from_slice(format!(" xmlns{colon}{prefix}='").as_bytes());
            super::writer::escape_attribute(&mut out, name);
            out.push(b'\'');
        }
        out.extend_from_slice(&raw.as_bytes()[name_end..]);
        Cow::Owned(String::from_utf8(out).expect("made of text"))
    }
}

/// One child element of a stanza.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    stanza: &'a Stanza,
    entry: &'a Entry,
}

impl<'a> Payload<'a> {
    /// The local name.
    pub fn name(self) -> &'a str {
        self.stanza.slice(self.entry.name)
    }

    /// The namespace.
    pub fn namespace(self) -> &'a str {
        self.stanza.resolve(&self.entry.namespace)
    }

    /// The value of an attribute, by its name as it stands (`xml:lang`, `code`).
    pub fn attribute(self, name: &str) -> Option<Cow<'a, str>> {
        let (_, value) = text::attributes(self.raw()).find(|(found, _)| *found == name)?;
        Some(text::unescape_attribute(value))
    }

    /// The character data directly inside the element.
    pub fn text(self) -> Cow<'a, str> {
        text::direct_text(self.inner())
    }

    /// The element as it came. Prefixes and default namespace may be declared outside of it.
    pub fn raw(self) -> &'a str {
        self.stanza.slice(self.entry.whole)
    }

    /// What stands between start tag and end tag.
    pub fn inner(self) -> &'a str {
        let behind = (self.entry.start_tag_end - self.entry.whole.start) as usize;
        let rest = &self.raw()[behind..];
        // Behind a start tag, the last `<` is that of the end tag.
        &rest[..memchr::memrchr(b'<', rest.as_bytes()).unwrap_or(0)]
    }

    /// The element as a document of its own, with every declaration that it needs.
    pub fn standalone(self) -> Cow<'a, str> {
        self.stanza.with_declarations(self.entry.whole, self.stanza_tag(), true)
    }

    /// The element as it may stand in a stanza of another stream: with every declaration that it
    /// needs but that of the content namespace, so that `<body/>` stays in that of its stream.
    pub fn portable(self) -> Cow<'a, str> {
        self.stanza.with_declarations(self.entry.whole, self.stanza_tag(), false)
    }

    /// The element as a tree.
    pub fn tree(self) -> Tree {
        Tree::read(&self.standalone())
    }

    fn stanza_tag(self) -> &'a str {
        &self.stanza.text[..text::tag_length(&self.stanza.text)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &str = "<message from='juliet@example.com/balcony' to='d&amp;a@sip.example' \
        type=\"chat\" id='a1' xml:lang='en' xmlns:x='urn:x'><body>Art &lt;thou&gt; not\r\n \
        Romeo?</body><active xmlns='http://jabber.org/protocol/chatstates'/>\
        <x:y><x:z/>t</x:y></message>";

    fn chat() -> Stanza {
        Stanza::parse(CHAT, ContentNamespace::Component).unwrap()
    }

    #[test]
    fn the_envelope_is_read() {
        let stanza = chat();
        assert_eq!(stanza.kind(), Kind::Message);
        assert_eq!(stanza.from().unwrap(), "juliet@example.com/balcony");
        assert_eq!(stanza.to().unwrap(), "d&a@sip.example");
        assert_eq!(stanza.id().unwrap(), "a1");
        assert_eq!(stanza.type_attribute().unwrap(), "chat");
        assert_eq!(stanza.lang().unwrap(), "en");
        assert!(!stanza.is_error());
    }

    #[test]
    fn compat_jabberd2_keeps_the_clients_namespace() {
        let text = "<message xmlns='jabber:client' from='a@b' to='c'><body>x</body></message>";
        let of = |content| Stanza::parse(text, content).unwrap();
        let stanza = of(ContentNamespace::Component);
        assert_eq!((stanza.kind(), &*stanza.child_text("body").unwrap()), (Kind::Message, "x"));
        assert_eq!(of(ContentNamespace::Server).kind(), Kind::Nonza);
    }

    #[test]
    fn payloads_are_found_by_name_and_namespace() {
        let stanza = chat();
        assert_eq!(stanza.child_text("body").unwrap(), "Art <thou> not\n Romeo?");
        let active = stanza.payload("active", "http://jabber.org/protocol/chatstates").unwrap();
        assert_eq!(active.text(), "");
        assert!(stanza.payload("active", "urn:x").is_none());
        let y = stanza.payload("y", "urn:x").unwrap();
        assert_eq!((y.inner(), &*y.text()), ("<x:z/>t", "t"));
    }

    #[test]
    fn a_standalone_payload_declares_what_it_needs() {
        let stanza = chat();
        let y = stanza.payload("y", "urn:x").unwrap();
        assert_eq!(
            y.standalone(),
            "<x:y xmlns='jabber:component:accept' xmlns:x='urn:x'><x:z/>t</x:y>"
        );
        assert_eq!(y.portable(), "<x:y xmlns:x='urn:x'><x:z/>t</x:y>");
        let active = stanza.payloads().nth(1).unwrap();
        assert_eq!(active.standalone(), active.raw());
        assert_eq!(stanza.child("body").unwrap().portable(), stanza.child("body").unwrap().raw());
    }

    #[test]
    fn a_stanza_outside_the_content_namespace_is_none() {
        let kind = |text| Stanza::parse(text, ContentNamespace::Client).unwrap().kind();
        assert_eq!(kind("<message/>"), Kind::Message);
        assert_eq!(kind("<c:iq xmlns:c='jabber:client'/>"), Kind::Iq);
        assert_eq!(kind("<message xmlns='jabber:server'/>"), Kind::Nonza);
        assert_eq!(kind("<stream:error/>"), Kind::Nonza);
    }

    #[test]
    fn prefixes_of_the_stream_header_resolve() {
        let stanza = Stanza::parse("<stream:error/>", ContentNamespace::Client).unwrap();
        assert_eq!((stanza.name(), stanza.namespace()), ("error", super::super::ns::STREAM));
        assert_eq!(
            Stanza::parse("<db:result/>", ContentNamespace::Server).unwrap_err(),
            Malformed::UndeclaredPrefix
        );
    }
}
