//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966), read in place; other schemes stay opaque.

use std::fmt;
use std::net::IpAddr;

use super::error::UriError;
use super::escape::escape_at;
use super::host;
use super::lex::{ByteSet, cut};
use super::params::{Param, Params};
use super::place::{Place, Remembered};
use super::uri_equivalence::is_same_name;

/// The scheme of a URI.
#[derive(Clone, Copy, Debug)]
pub enum Scheme<'a> {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other, in the spelling of the URI.
    Other(&'a str),
}

/// A URI and its parts, borrowed from the text it was read from.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    text: &'a str,
    scheme: Scheme<'a>,
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    params: Params<'a>,
    headers: Option<&'a str>,
    opaque: &'a str,
}

/// Where the parts of a URI stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct UriPlaces {
    scheme: Scheme<'static>,
    user: Option<Place>,
    password: Option<Place>,
    host: Place,
    port: Option<u16>,
    params: Place,
    headers: Option<Place>,
    opaque: Place,
}

impl<'a> Remembered<'a> for Uri<'a> {
    type Places = UriPlaces;

    fn places(&self, text: &str) -> Option<UriPlaces> {
        let scheme = match self.scheme {
            Scheme::Sip => Scheme::Sip,
            Scheme::Sips => Scheme::Sips,
            Scheme::Tel => Scheme::Tel,
            Scheme::Other(_) => return None,
        };
        Some(UriPlaces {
            scheme,
            user: Place::of_some(text, self.user)?,
            password: Place::of_some(text, self.password)?,
            host: Place::of(text, self.host)?,
            port: self.port,
            params: Place::of(text, self.params.as_str())?,
            headers: Place::of_some(text, self.headers)?,
            opaque: Place::of(text, self.opaque)?,
        })
    }

    fn cut(text: &'a str, places: UriPlaces) -> Self {
        Self {
            text,
            scheme: places.scheme,
            user: places.user.map(|user| user.cut(text)),
            password: places.password.map(|password| password.cut(text)),
            host: places.host.cut(text),
            port: places.port,
            params: Params::new(places.params.cut(text)),
            headers: places.headers.map(|headers| headers.cut(text)),
            opaque: places.opaque.cut(text),
        }
    }
}

impl<'a> Uri<'a> {
    /// Reads `text`, which is the URI alone: no angle brackets, no white space.
    pub fn parse(text: &'a str) -> Result<Self, UriError> {
        let (name, opaque) = cut(text, b':').ok_or(UriError::Scheme)?;
        let uri = Self {
            text,
            scheme: Scheme::from_name(name)?,
            user: None,
            password: None,
            host: "",
            port: None,
            params: Params::default(),
            headers: None,
            opaque,
        };
        match uri.scheme {
            Scheme::Sip | Scheme::Sips => uri.with_sip_parts(),
            Scheme::Tel => uri.with_tel_parts(),
            Scheme::Other(_) => check_characters(opaque).map(|()| uri),
        }
    }

    fn with_sip_parts(mut self) -> Result<Self, UriError> {
        let seams = Seams::of(self.opaque)?;
        let (mut host, mut end) = (0, self.opaque.len());
        if let Some(at) = seams.userinfo {
            let userinfo = &self.opaque[..at];
            let (user, password) = match cut(userinfo, b':') {
                Some((user, password)) => (user, Some(password)),
                None => (userinfo, None),
            };
            if user.is_empty() {
                return Err(UriError::User);
            }
            (self.user, self.password, host) = (Some(user), password, at + 1);
        }
        if let Some(at) = seams.query {
            let headers = &self.opaque[at + 1..];
            check_count(headers.split('&').count())?;
            (self.headers, end) = (Some(headers), at);
        }
        if let Some(at) = seams.params {
            (self.params, end) = (checked_params(&self.opaque[at + 1..end])?, at);
        }
        (self.host, self.port) = host::host_port(&self.opaque[host..end])?;
        Ok(self)
    }

    fn with_tel_parts(mut self) -> Result<Self, UriError> {
        check_characters(self.opaque)?;
        check_escapes(self.opaque)?;
        let number = match cut(self.opaque, b';') {
            Some((number, params)) => {
                self.params = checked_params(params)?;
                number
            }
            None => self.opaque,
        };
        self.user = Some(number).filter(|number| !number.is_empty());
        self.user.map(|_| self).ok_or(UriError::User)
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme<'a> {
        self.scheme
    }

    /// True for `sip:` and `sips:`.
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The user part as it stands, without the password; the number of a tel URI.
    pub fn user(&self) -> Option<&'a str> {
        self.user
    }

    /// The password as it stands.
    pub fn password(&self) -> Option<&'a str> {
        self.password
    }

    /// The host; an IPv6 address in its brackets; empty unless the scheme is `sip` or `sips`.
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// The address when the host is one.
    pub fn host_ip(&self) -> Option<IpAddr> {
        host::ip(self.host)
    }

    /// True when the host is an IPv4 or IPv6 address.
    pub fn is_ip_host(&self) -> bool {
        self.host_ip().is_some()
    }

    /// The port, if the URI names one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The parameter of this name, without regard to case or escapes.
    pub fn param(&self, name: &str) -> Option<Param<'a>> {
        self.params.iter().find(|param| is_same_name(param.name, name))
    }

    /// True for a parameter of this name, with or without a value: `has_param("lr")`.
    pub fn has_param(&self, name: &str) -> bool {
        self.param(name).is_some()
    }

    /// Every parameter.
    pub fn params(&self) -> Params<'a> {
        self.params
    }

    /// The headers behind `?` as they stand, `name=value&name=value`.
    pub fn headers(&self) -> Option<&'a str> {
        self.headers
    }

    /// Everything behind the scheme's colon.
    pub fn opaque(&self) -> &'a str {
        self.opaque
    }

    /// The URI as it stands.
    pub fn as_str(&self) -> &'a str {
        self.text
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl<'a> Scheme<'a> {
    fn from_name(name: &'a str) -> Result<Self, UriError> {
        let is_mark = |byte: u8| matches!(byte, b'+' | b'-' | b'.');
        let is_name = || {
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
        };
        match name {
            _ if name.eq_ignore_ascii_case("sip") => Ok(Self::Sip),
            _ if name.eq_ignore_ascii_case("sips") => Ok(Self::Sips),
            _ if name.eq_ignore_ascii_case("tel") => Ok(Self::Tel),
            _ if is_name() => Ok(Self::Other(name)),
            _ => Err(UriError::Scheme),
        }
    }

    /// The scheme's name.
    pub fn as_str(&self) -> &'a str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
            Self::Tel => "tel",
            Self::Other(name) => name,
        }
    }

    /// True for the same scheme in any case.
    pub fn is_same(&self, other: &Scheme<'_>) -> bool {
        self.as_str().eq_ignore_ascii_case(other.as_str())
    }
}

/// The bytes that no URI holds: controls, the space, quotes and angle brackets.
static FORBIDDEN: ByteSet = forbidden();

/// The bytes that [`Seams::of`] stops at.
static SEAMS: ByteSet = forbidden().and(b"@?;%");

const fn forbidden() -> ByteSet {
    let mut controls_and_space = [0; 0x21];
    let mut byte = 0;
    while byte < controls_and_space.len() {
        controls_and_space[byte] = byte as u8;
        byte += 1;
    }
    ByteSet::of(&controls_and_space).and(b"\x7f\"<>")
}

/// Where the parts of a `sip` or `sips` URI meet, found in one pass.
#[derive(Default)]
struct Seams {
    /// The `@` behind user and password.
    userinfo: Option<usize>,
    /// The `;` in front of the parameters.
    params: Option<usize>,
    /// The `?` in front of the headers.
    query: Option<usize>,
}

impl Seams {
    fn of(opaque: &str) -> Result<Self, UriError> {
        let mut seams = Self::default();
        let mut has_escapes = false;
        for (at, &byte) in opaque.as_bytes().iter().enumerate() {
            if !SEAMS.has(byte) {
                continue;
            }
            match byte {
                // `;` and `?` in front of it belong to the user.
                b'@' if seams.userinfo.is_none() => {
                    seams = Self { userinfo: Some(at), ..Self::default() };
                }
                b'?' => seams.query = seams.query.or(Some(at)),
                b';' if seams.query.is_none() => seams.params = seams.params.or(Some(at)),
                b'@' | b';' => {}
                b'%' => has_escapes = true,
                _ => return Err(UriError::Character),
            }
        }
        if has_escapes {
            check_escapes(opaque)?;
        }
        Ok(seams)
    }
}

fn check_characters(text: &str) -> Result<(), UriError> {
    let is_forbidden = text.bytes().any(|byte| FORBIDDEN.has(byte));
    if is_forbidden { Err(UriError::Character) } else { Ok(()) }
}

fn check_escapes(text: &str) -> Result<(), UriError> {
    let bytes = text.as_bytes();
    let is_whole = |at: usize| escape_at(&bytes[at..]).is_some();
    if memchr::memchr_iter(b'%', bytes).all(is_whole) { Ok(()) } else { Err(UriError::Escape) }
}

/// The most parameters, and the most headers, of one URI; comparing two costs the product.
const MOST_PARAMS: usize = 64;

fn check_count(count: usize) -> Result<(), UriError> {
    if count > MOST_PARAMS { Err(UriError::TooManyParams) } else { Ok(()) }
}

fn checked_params(text: &str) -> Result<Params<'_>, UriError> {
    let params = Params::new(text);
    let (mut count, mut has_gap) = (0, text.is_empty());
    for param in params.iter() {
        count += 1;
        has_gap |= param.name.is_empty();
    }
    check_count(count)?;
    if has_gap { Err(UriError::Param) } else { Ok(params) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text).unwrap()
    }

    #[test]
    fn every_part_is_found() {
        let uri = uri("sips:al%69ce:pw@[2001:db8::1]:5061;transport=tcp;lr?Subject=a%20b&x=y");
        assert_eq!(uri.scheme().as_str(), "sips");
        assert_eq!((uri.user(), uri.password()), (Some("al%69ce"), Some("pw")));
        assert_eq!((uri.host(), uri.port()), ("[2001:db8::1]", Some(5061)));
        assert_eq!(uri.param("Transport").unwrap().value, Some("tcp"));
        assert!(uri.has_param("lr") && !uri.has_param("maddr") && uri.is_ip_host());
        assert_eq!(uri.headers(), Some("Subject=a%20b&x=y"));
        assert_eq!(uri.to_string(), uri.as_str());
    }

    #[test]
    fn unusual_but_legal_uris_are_read() {
        let odd = "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*\
                   :&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com";
        assert_eq!(uri(odd).user(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
        assert_eq!(uri(odd).password(), Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
        assert_eq!(uri("sip:user;par=u%40example.net@example.com").host(), "example.com");
        assert_eq!(uri("tel:+1-201-555-0123;phone-context=x").user(), Some("+1-201-555-0123"));
        assert_eq!(uri("soap.beep://192.0.2.103:3002").opaque(), "//192.0.2.103:3002");
        assert_eq!(uri("SIP:EXAMPLE.com").host(), "EXAMPLE.com");
    }

    #[test]
    fn parameters_and_headers_are_counted() {
        for (text, is_fine) in [
            (format!("sip:a{}", ";b".repeat(64)), true),
            (format!("sip:a{}", ";b".repeat(65)), false),
            (format!("sip:a?b{}", "&b".repeat(63)), true),
            (format!("sip:a?b{}", "&b".repeat(64)), false),
        ] {
            assert_eq!(Uri::parse(&text).is_ok(), is_fine, "{text}");
        }
    }

    #[test]
    fn what_is_no_uri_is_told_why() {
        for (text, error) in [
            ("", UriError::Scheme),
            ("example.com", UriError::Scheme),
            ("<sip:a>", UriError::Scheme),
            ("1sip:a", UriError::Scheme),
            ("sip:a b@c", UriError::Character),
            ("sip:a@b>", UriError::Character),
            ("sip:a%4@b", UriError::Escape),
            ("sip:@b", UriError::User),
            ("tel:", UriError::User),
            ("sip:", UriError::Host),
            ("sip:2001:db8::10", UriError::Port),
            ("sip:a@[::1", UriError::Host),
            ("sip:a:66000", UriError::Port),
            ("sip:a;", UriError::Param),
            ("sip:a;=b", UriError::Param),
        ] {
            assert_eq!(Uri::parse(text).unwrap_err(), error, "{text}");
        }
    }
}
