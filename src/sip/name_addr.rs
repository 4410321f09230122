//! `name-addr` and `addr-spec` with header parameters: From, To, Contact, Route and their kind (RFC 3261 §20.10).

use std::borrow::Cow;

use super::error::{HeaderError, UriError};
use super::header::HeaderId;
use super::params::{Params, is_generic_param, unquote};
use super::place::{Place, Remembered};
use super::uri::{Uri, UriPlaces};
use super::{lex, lex::trim_text};

/// One address of a header, borrowed from the message.
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'a> {
    /// The URI as it stands, without angle brackets; `*` in a Contact that removes all bindings.
    pub uri: &'a str,
    /// The header's parameters, not the URI's.
    pub params: Params<'a>,
    display: &'a str,
    tag: Option<&'a str>,
    /// Where the parts of the URI stand, once it was read.
    uri_places: Option<UriPlaces>,
}

/// Where the parts of an address stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct AddressPlaces {
    uri: Place,
    params: Place,
    display: Place,
    tag: Option<Place>,
    uri_places: Option<UriPlaces>,
}

impl<'a> Remembered<'a> for NameAddr<'a> {
    type Places = AddressPlaces;

    fn places(&self, text: &str) -> Option<AddressPlaces> {
        Some(AddressPlaces {
            uri: Place::of(text, self.uri)?,
            params: Place::of(text, self.params.as_str())?,
            display: Place::of(text, self.display)?,
            tag: Place::of_some(text, self.tag)?,
            uri_places: self.uri_places,
        })
    }

    fn cut(text: &'a str, places: AddressPlaces) -> Self {
        Self {
            uri: places.uri.cut(text),
            params: Params::new(places.params.cut(text)),
            display: places.display.cut(text),
            tag: places.tag.map(|tag| tag.cut(text)),
            uri_places: places.uri_places,
        }
    }
}

impl<'a> NameAddr<'a> {
    /// Reads one value of the header `id`.
    ///
    /// Without angle brackets, everything behind the first `;` belongs to the header, and the URI holds neither `,` nor `?` (§20).
    pub fn parse(id: HeaderId, text: &'a str) -> Result<Self, HeaderError> {
        let text = trim_text(text);
        let parts = split(text).ok_or(HeaderError::Malformed(id))?;
        let (display, uri, rest) = parts;
        let rest = trim_text(rest);
        let params = match rest.strip_prefix(';') {
            Some(params) => Params::new(params),
            None if rest.is_empty() => {
                let params = Params::default();
                return Ok(Self { uri, params, display, tag: None, uri_places: None });
            }
            None => return Err(HeaderError::Malformed(id)),
        };
        let mut tag = None;
        if trim_text(params.as_str()).is_empty() {
            return Err(HeaderError::Malformed(id));
        }
        for param in params.iter() {
            if !is_generic_param(&param) {
                return Err(HeaderError::Malformed(id));
            }
            if tag.is_none() && param.name.eq_ignore_ascii_case("tag") {
                tag = param.value;
            }
        }
        Ok(Self { uri, params, display, tag, uri_places: None })
    }

    /// The display name without quotes; empty when there is none.
    pub fn display_name(&self) -> Cow<'a, str> {
        unquote(self.display)
    }

    /// The URI, read.
    pub fn parsed_uri(&self) -> Result<Uri<'a>, UriError> {
        match self.uri_places {
            Some(places) => Ok(Uri::cut(self.uri, places)),
            None => Uri::parse(self.uri),
        }
    }

    /// The same address with its URI read, if it can be.
    pub(super) fn with_parsed_uri(self) -> Self {
        let uri_places = self.parsed_uri().ok().and_then(|uri| uri.places(self.uri));
        Self { uri_places, ..self }
    }

    /// The `tag` parameter of From and To.
    pub fn tag(&self) -> Option<&'a str> {
        self.tag
    }

    /// True for the Contact `*` (RFC 3261 §10.2.2).
    pub fn is_wildcard(&self) -> bool {
        self.uri == "*"
    }
}

/// Cuts a value into display name, URI and what stands behind it.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (display, bracketed) = match text.as_bytes() {
        quoted @ [b'"', ..] => {
            let (display, rest) = text.split_at(lex::quoted_end(quoted)?);
            (display, trim_text(rest))
        }
        plain => match memchr::memchr3(b'<', b';', b'"', plain) {
            Some(at) if plain[at] == b'<' => (trim_text(&text[..at]), &text[at..]),
            _ => return addr_spec(text),
        },
    };
    let is_of_name = |b: u8| lex::is_token_byte(b) || lex::is_lws(b) || !b.is_ascii();
    if !display.starts_with('"') && !display.bytes().all(is_of_name) {
        return None;
    }
    let (uri, rest) = lex::cut(bracketed.strip_prefix('<')?, b'>')?;
    (!uri.is_empty()).then_some((display, uri, rest))
}

fn addr_spec(text: &str) -> Option<(&str, &str, &str)> {
    let end = text.find(';').unwrap_or(text.len());
    let uri = trim_text(&text[..end]);
    let is_bare = !uri.is_empty()
        && !uri.bytes().any(|b| lex::is_lws(b) || matches!(b, b',' | b'?' | b'<' | b'>' | b'"'));
    is_bare.then_some(("", uri, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<NameAddr<'_>, HeaderError> {
        NameAddr::parse(HeaderId::From, text)
    }

    #[test]
    fn display_names_come_in_three_forms() {
        let quoted =
            read("\"J Rosenberg \\\\\\\"\"  <sip:j@example.com>\r\n  ;\r\n  tag = 98asjd8")
                .unwrap();
        assert_eq!(quoted.display_name(), "J Rosenberg \\\"");
        assert_eq!((quoted.uri, quoted.tag()), ("sip:j@example.com", Some("98asjd8")));
        assert_eq!(read("A. Bell <sip:a@b>").unwrap().display_name(), "A. Bell");
        assert_eq!(read("caller<sip:a@b>").unwrap().display_name(), "caller");
        assert_eq!(read("Jürgen <sip:a@b>").unwrap().display_name(), "Jürgen");
        assert_eq!(read("<sip:a@b>").unwrap().display_name(), "");
    }

    #[test]
    fn without_brackets_parameters_belong_to_the_header() {
        let bare = read("sip:a@b;user=phone;tag=1").unwrap();
        assert_eq!((bare.uri, bare.tag()), ("sip:a@b", Some("1")));
        assert!(bare.params.find("user").is_some());
        let bracketed = read("<sip:a@b;user=phone>;tag=1").unwrap();
        assert!(bracketed.params.find("user").is_none());
        assert!(bracketed.parsed_uri().unwrap().has_param("user"));
        assert_eq!(read("<sip:a;tag=2@b>").unwrap().tag(), None);
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for bad in [
            "",
            "\"Mr. J. User <sip:a@b>",
            "Bell, Alexander <sip:a@b>",
            "\"Joe\" <sip:a@b>;;;;",
            "<sip:a@b>;",
            "<sip:a@b> x",
            "<sip:a@b",
            "<>",
            "sip:a@b?Route=%3Csip:c%3E",
            "sip:a@b, sip:c@d",
            "a b",
            "\"a\" sip:b@c",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_wildcard_is_an_address() {
        assert!(read("*").unwrap().is_wildcard());
    }
}
