//! Lets through one element that is well-formed by XML 1.0 and its namespaces, and nothing else.
//!
//! What has passed may be forwarded without breaking the receiver's stream.

use memchr::{memchr, memchr3, memmem};
use smallvec::SmallVec;
use thiserror::Error;

use super::condition::StreamCondition;
use super::framer::Limits;
use super::ns::{self, Scope};
use super::text;

/// Namespace declarations that may be in scope at once.
const MAX_BINDINGS: usize = 256;

/// Why an element may not pass.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes are not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// A character that XML 1.0 §2.2 excludes.
    #[error("character that XML cannot carry")]
    Character,
    /// Markup that fits no production of XML 1.0.
    #[error("syntax: {0}")]
    Syntax(&'static str),
    /// A character reference that stands for no character, or a lone `&`.
    #[error("bad character reference")]
    Reference,
    /// An attribute appears twice, before or after its prefix is resolved.
    #[error("duplicate attribute")]
    DuplicateAttribute,
    /// An end tag does not match its start tag.
    #[error("tags do not match")]
    Mismatch,
    /// A prefix that nothing binds.
    #[error("undeclared prefix")]
    UndeclaredPrefix,
    /// A declaration that Namespaces in XML §2.2 and §3 forbid.
    #[error("forbidden namespace declaration")]
    Declaration,
    /// An entity other than the five predefined ones (RFC 6120 §11.1).
    #[error("entity reference")]
    Entity,
    /// A comment, processing instruction or document type (RFC 6120 §11.1).
    #[error("restricted XML")]
    Restricted,
    /// More nesting, attributes or declarations than we take.
    #[error("too many {0}")]
    TooMany(&'static str),
}

impl Malformed {
    /// The stream error to close with (RFC 6120 §4.9.3).
    pub fn condition(self) -> StreamCondition {
        match self {
            Self::Utf8 => StreamCondition::UnsupportedEncoding,
            Self::Entity | Self::Restricted => StreamCondition::RestrictedXml,
            Self::TooMany(_) => StreamCondition::PolicyViolation,
            Self::Character
            | Self::Syntax(_)
            | Self::Reference
            | Self::DuplicateAttribute
            | Self::Mismatch
            | Self::UndeclaredPrefix
            | Self::Declaration => StreamCondition::NotWellFormed,
        }
    }
}

/// Checks that `element` is exactly one element, well-formed on a stream with this scope.
pub fn check(element: &[u8], scope: &Scope, limits: &Limits) -> Result<(), Malformed> {
    walk(characters(element)?, scope, limits, &mut Unseen).map(drop)
}

/// `bytes` as text, if every character of it may stand in a document.
pub(super) fn characters(bytes: &[u8]) -> Result<&str, Malformed> {
    let text = str::from_utf8(bytes).map_err(|_| Malformed::Utf8)?;
    check_characters(text).map(|()| text)
}

/// Refuses a text with a character that may not stand in a document.
pub(super) fn check_characters(text: &str) -> Result<(), Malformed> {
    if text::is_xml_text(text) { Ok(()) } else { Err(Malformed::Character) }
}

/// A place in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    fn new(start: usize, end: usize) -> Self {
        let offset = |at| u32::try_from(at).expect("walk refuses texts beyond 4 GB");
        Self { start: offset(start), end: offset(end) }
    }

    pub(super) fn of(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
    }
}

/// Where the name of a namespace is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// No namespace.
    None,
    /// The stream's content namespace.
    Content,
    /// The namespace of a prefix that the stream header declares.
    Header(usize),
    /// `xml`
    Xml,
    /// An attribute value that reads as it stands.
    Here(Span),
    /// An attribute value that had to be unescaped.
    Unescaped(Box<str>),
}

impl Bound {
    pub(super) fn name<'a>(&'a self, text: &'a str, scope: &'a Scope) -> &'a str {
        match self {
            Self::None => "",
            Self::Content => scope.content().name(),
            Self::Header(index) => scope.prefixes().nth(*index).map_or("", |(_, name)| name),
            Self::Xml => ns::XML,
            Self::Here(span) => span.of(text),
            Self::Unescaped(name) => name,
        }
    }
}

/// One attribute as it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute {
    /// Empty if there is none.
    pub(super) prefix: Span,
    pub(super) local: Span,
    pub(super) value: Span,
}

/// A start tag that has been checked, shown to a [`Visit`].
pub(super) struct StartTag<'a> {
    /// Where `<` stands.
    pub(super) start: usize,
    /// Behind `>`.
    pub(super) end: usize,
    pub(super) local: Span,
    pub(super) namespace: Bound,
    pub(super) attributes: &'a [Attribute],
}

/// Takes notes while the gate walks.
pub(super) trait Visit {
    /// An element begins; the outermost has depth 0.
    fn start(&mut self, depth: usize, tag: StartTag<'_>);
    /// An element ends, its end tag (or empty-element tag) included, at `end`.
    fn end(&mut self, depth: usize, end: usize);
}

struct Unseen;

impl Visit for Unseen {
    fn start(&mut self, _: usize, _: StartTag<'_>) {}
    fn end(&mut self, _: usize, _: usize) {}
}

/// Checks the structure of `text`, whose characters are known to be good.
pub(super) fn walk(
    text: &str,
    scope: &Scope,
    limits: &Limits,
    visit: &mut impl Visit,
) -> Result<(), Malformed> {
    let mut walker = Walker::new(text, scope, limits)?;
    walker.markup(visit)?;
    while !walker.open.is_empty() {
        walker.content(visit)?;
    }
    match walker.at == text.len() {
        true => Ok(()),
        false => Err(Malformed::Syntax("text behind the element")),
    }
}

/// Checks a start tag that stands alone, as a stream header does.
pub(super) fn walk_start_tag(
    text: &str,
    scope: &Scope,
    limits: &Limits,
    visit: &mut impl Visit,
) -> Result<(), Malformed> {
    let mut walker = Walker::new(text, scope, limits)?;
    walker.markup(visit)?;
    match walker.at == text.len() && walker.open.len() == 1 {
        true => Ok(()),
        false => Err(Malformed::Syntax("not one start tag")),
    }
}

struct Walker<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    scope: &'a Scope,
    limits: &'a Limits,
    open: SmallVec<[Open; 12]>,
    bindings: SmallVec<[(Span, Bound); 8]>,
    attributes: SmallVec<[Attribute; 8]>,
}

/// An element whose end tag has not come.
struct Open {
    name: Span,
    /// How many bindings were in scope around it.
    bindings: usize,
}

impl<'a> Walker<'a> {
    fn new(text: &'a str, scope: &'a Scope, limits: &'a Limits) -> Result<Self, Malformed> {
        if u32::try_from(text.len()).is_err() {
            return Err(Malformed::TooMany("bytes"));
        }
        Ok(Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            scope,
            limits,
            open: SmallVec::new(),
            bindings: SmallVec::new(),
            attributes: SmallVec::new(),
        })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return Err(Malformed::Syntax(what));
        }
        self.at += 1;
        Ok(())
    }

    fn skip_space(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.at > start
    }

    /// Character data up to the next markup, then that markup.
    fn content(&mut self, visit: &mut impl Visit) -> Result<(), Malformed> {
        loop {
            let rest = &self.bytes[self.at..];
            let found = memchr3(b'<', b'&', b']', rest).ok_or(Malformed::Syntax("no end tag"))?;
            self.at += found;
            match rest[found] {
                b'<' => return self.markup(visit),
                b'&' => self.at += text::reference(&self.text[self.at..])?.1,
                _ if rest[found..].starts_with(b"]]>") => {
                    return Err(Malformed::Syntax("]]> in text"));
                }
                _ => self.at += 1,
            }
        }
    }

    fn markup(&mut self, visit: &mut impl Visit) -> Result<(), Malformed> {
        let start = self.at;
        self.expect(b'<', "no element")?;
        match self.peek() {
            Some(b'/') => self.end_tag(visit),
            Some(b'!') => self.cdata(),
            Some(b'?') => Err(Malformed::Restricted),
            _ => self.start_tag(start, visit),
        }
    }

    fn cdata(&mut self) -> Result<(), Malformed> {
        const OPENING: &[u8] = b"![CDATA[";
        let rest = &self.bytes[self.at..];
        if self.open.is_empty() || !rest.starts_with(OPENING) {
            return Err(Malformed::Restricted);
        }
        let end = memmem::find(rest, b"]]>").ok_or(Malformed::Syntax("no end of CDATA section"))?;
        self.at += end + 3;
        Ok(())
    }

    fn end_tag(&mut self, visit: &mut impl Visit) -> Result<(), Malformed> {
        self.at += 1;
        let Some(open) = self.open.pop() else {
            return Err(Malformed::Mismatch);
        };
        let name = open.name.of(self.text).as_bytes();
        if !self.bytes[self.at..].starts_with(name) {
            return Err(Malformed::Mismatch);
        }
        self.at += name.len();
        self.skip_space();
        self.expect(b'>', "end tag")?;
        self.bindings.truncate(open.bindings);
        visit.end(self.open.len(), self.at);
        Ok(())
    }

    fn start_tag(&mut self, start: usize, visit: &mut impl Visit) -> Result<(), Malformed> {
        let depth = self.open.len();
        if depth == self.limits.depth {
            return Err(Malformed::TooMany("nested elements"));
        }
        let (prefix, local) = self.qualified_name()?;
        let name = Span::new(start + 1, self.at);
        self.read_attributes()?;
        let empty = self.peek() == Some(b'/');
        self.at += usize::from(empty);
        self.expect(b'>', "start tag")?;

        let bindings = self.bindings.len();
        self.declare()?;
        let namespace = self.element_namespace(prefix)?;
        self.check_attribute_namespaces()?;
        let (end, attributes) = (self.at, self.attributes.as_slice());
        visit.start(depth, StartTag { start, end, local, namespace, attributes });
        if empty {
            self.bindings.truncate(bindings);
            visit.end(depth, self.at);
        } else {
            self.open.push(Open { name, bindings });
        }
        Ok(())
    }

    fn read_attributes(&mut self) -> Result<(), Malformed> {
        self.attributes.clear();
        while self.skip_space() {
            if matches!(self.peek(), Some(b'>' | b'/')) {
                break;
            }
            if self.attributes.len() == self.limits.attributes {
                return Err(Malformed::TooMany("attributes"));
            }
            let (prefix, local) = self.qualified_name()?;
            self.skip_space();
            self.expect(b'=', "attribute without a value")?;
            self.skip_space();
            let value = self.attribute_value()?;
            let same = |name: Span, other: Span| name.of(self.text) == other.of(self.text);
            if self.attributes.iter().any(|a| same(a.local, local) && same(a.prefix, prefix)) {
                return Err(Malformed::DuplicateAttribute);
            }
            self.attributes.push(Attribute { prefix, local, value });
        }
        Ok(())
    }

    fn attribute_value(&mut self) -> Result<Span, Malformed> {
        let quote = self.peek().filter(|byte| matches!(byte, b'"' | b'\''));
        let quote = quote.ok_or(Malformed::Syntax("attribute value without quotes"))?;
        self.at += 1;
        let start = self.at;
        let length = memchr(quote, &self.bytes[start..]).ok_or(Malformed::Syntax("no quote"))?;
        let end = start + length;
        let mut rest = start;
        while let Some(found) = memchr::memchr2(b'<', b'&', &self.bytes[rest..end]) {
            rest += found;
            if self.bytes[rest] == b'<' {
                return Err(Malformed::Syntax("< in an attribute value"));
            }
            rest += text::reference(&self.text[rest..end])?.1;
        }
        self.at = end + 1;
        Ok(Span::new(start, end))
    }

    /// QName, Namespaces in XML §4: prefix (empty if none) and local part.
    fn qualified_name(&mut self) -> Result<(Span, Span), Malformed> {
        let first = self.unprefixed_name()?;
        if self.peek() != Some(b':') {
            return Ok((Span::default(), first));
        }
        self.at += 1;
        Ok((first, self.unprefixed_name()?))
    }

    fn unprefixed_name(&mut self) -> Result<Span, Malformed> {
        let start = self.at;
        while let Some(byte) = self.peek() {
            let class = NAME_CLASS[byte as usize];
            if class == OTHER || (class == NAME && self.at == start) {
                break;
            }
            if class == NOT_ASCII {
                let c = self.text[self.at..].chars().next().unwrap_or('\0');
                if !(is_name_start(c) || self.at > start && is_name_inner(c)) {
                    break;
                }
                self.at += c.len_utf8();
                continue;
            }
            self.at += 1;
        }
        match self.at > start {
            true => Ok(Span::new(start, self.at)),
            false => Err(Malformed::Syntax("name")),
        }
    }

    /// Puts the declarations of the current tag into scope.
    fn declare(&mut self) -> Result<(), Malformed> {
        for attribute in &self.attributes {
            let (prefix, local) = (attribute.prefix.of(self.text), attribute.local.of(self.text));
            let declared = match (prefix, local) {
                ("", "xmlns") => Span::default(),
                ("xmlns", _) => attribute.local,
                _ => continue,
            };
            let name = text::unescape_attribute(attribute.value.of(self.text));
            check_declaration(declared.of(self.text), &name)?;
            if self.bindings.len() == MAX_BINDINGS {
                return Err(Malformed::TooMany("namespace declarations"));
            }
            let bound = match name {
                std::borrow::Cow::Borrowed("") => Bound::None,
                std::borrow::Cow::Borrowed(_) => Bound::Here(attribute.value),
                std::borrow::Cow::Owned(name) => Bound::Unescaped(name.into()),
            };
            self.bindings.push((declared, bound));
        }
        Ok(())
    }

    fn lookup(&self, prefix: &str) -> Option<Bound> {
        let declared = self.bindings.iter().rev().find(|(span, _)| span.of(self.text) == prefix);
        if let Some((_, bound)) = declared {
            return Some(bound.clone());
        }
        match prefix {
            "" => Some(Bound::Content),
            "xml" => Some(Bound::Xml),
            _ => self.scope.prefixes().position(|(known, _)| known == prefix).map(Bound::Header),
        }
    }

    fn element_namespace(&self, prefix: Span) -> Result<Bound, Malformed> {
        self.lookup(prefix.of(self.text)).ok_or(Malformed::UndeclaredPrefix)
    }

    /// Namespaces in XML §6.3: no two attributes have the same expanded name.
    fn check_attribute_namespaces(&self) -> Result<(), Malformed> {
        let mut seen: SmallVec<[(Bound, Span); 4]> = SmallVec::new();
        for attribute in &self.attributes {
            let prefix = attribute.prefix.of(self.text);
            if prefix.is_empty() || prefix == "xmlns" {
                continue;
            }
            let bound = self.lookup(prefix).ok_or(Malformed::UndeclaredPrefix)?;
            let name = bound.name(self.text, self.scope);
            let local = attribute.local.of(self.text);
            if seen.iter().any(|(other, span)| {
                span.of(self.text) == local && other.name(self.text, self.scope) == name
            }) {
                return Err(Malformed::DuplicateAttribute);
            }
            seen.push((bound, attribute.local));
        }
        Ok(())
    }
}

/// Namespaces in XML §2.2 and §3: which declarations are legal.
fn check_declaration(prefix: &str, name: &str) -> Result<(), Malformed> {
    let legal = match prefix {
        "xmlns" => false,
        "xml" => name == ns::XML,
        _ if name == ns::XML || name == ns::XMLNS => false,
        "" => true,
        _ => !name.is_empty(),
    };
    if legal { Ok(()) } else { Err(Malformed::Declaration) }
}

const OTHER: u8 = 0;
const NAME_START: u8 = 1;
const NAME: u8 = 2;
const NOT_ASCII: u8 = 3;

/// NCNameStartChar and NCNameChar for each byte.
const NAME_CLASS: [u8; 256] = {
    let mut table = [OTHER; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => NAME_START,
            b'0'..=b'9' | b'-' | b'.' => NAME,
            0x80.. => NOT_ASCII,
            _ => OTHER,
        };
        byte += 1;
    }
    table
};

/// XML 1.0 §2.3 [4], beyond ASCII.
fn is_name_start(c: char) -> bool {
    matches!(c,
        '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}'
        | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}'
        | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

/// XML 1.0 §2.3 [4a], beyond ASCII and beyond [`is_name_start`].
fn is_name_inner(c: char) -> bool {
    matches!(c, '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

#[cfg(test)]
mod mutations;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::ns::ContentNamespace;

    fn verdict(element: &str) -> Result<(), Malformed> {
        check(element.as_bytes(), &Scope::new(ContentNamespace::Client), &Limits::DEFAULT)
    }

    #[test]
    fn each_offence_has_its_name() {
        use Malformed::*;
        for (element, error) in [
            ("<a>\x01</a>", Character),
            ("<a>\u{ffff}</a>", Character),
            ("<a b='1' b='2'/>", DuplicateAttribute),
            ("<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>", DuplicateAttribute),
            ("<a xmlns:x='u&amp;' xmlns:y='u&#38;' x:b='1' y:b='2'/>", DuplicateAttribute),
            ("<a></b>", Mismatch),
            ("<a><b></a></b>", Mismatch),
            ("<x:a/>", UndeclaredPrefix),
            ("<a x:b='1'/>", UndeclaredPrefix),
            ("<a><b xmlns:x='u'/><x:c/></a>", UndeclaredPrefix),
            ("<a xmlns:x=''/>", Declaration),
            ("<a xmlns:xmlns='u'/>", Declaration),
            ("<a xmlns='http://www.w3.org/2000/xmlns/'/>", Declaration),
            ("<a>&nbsp;</a>", Entity),
            ("<a>&#0;</a>", Reference),
            ("<a>& b</a>", Reference),
            ("<a><!-- --></a>", Restricted),
            ("<a><?b?></a>", Restricted),
            ("<!DOCTYPE a>", Restricted),
            ("<a>]]></a>", Syntax("]]> in text")),
            ("<a b='<'/>", Syntax("< in an attribute value")),
            ("<a/><b/>", Syntax("text behind the element")),
        ] {
            assert_eq!(verdict(element), Err(error), "{element}");
        }
        let latin_1 = b"<a>\xe9</a>";
        let scope = Scope::new(ContentNamespace::Client);
        assert_eq!(check(latin_1, &scope, &Limits::DEFAULT), Err(Utf8));
    }

    #[test]
    fn nesting_and_declarations_are_bounded() {
        let nested = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        assert_eq!(verdict(&nested(100)), Ok(()));
        assert_eq!(verdict(&nested(101)), Err(Malformed::TooMany("nested elements")));
        let declaring: String = (0..300).map(|i| format!("<a xmlns:p{i}='u'/>")).collect();
        assert_eq!(verdict(&format!("<a>{declaring}</a>")), Ok(()));
        let attributes: String = (0..65).map(|i| format!(" a{i}=''")).collect();
        assert_eq!(verdict(&format!("<a{attributes}/>")), Err(Malformed::TooMany("attributes")));
    }
}
