//! The values of Authorization and Proxy-Authorization (RFC 3261 §20.7, RFC 7616 §3.4).

use std::borrow::Cow;

use super::algorithm::Algorithm;
use crate::sip::error::HeaderError;
use crate::sip::header::HeaderId;
use crate::sip::lex::{self, trim_text};
use crate::sip::message::Message;
use crate::sip::params::unquote;

/// What a response protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qop {
    /// Method and URI.
    Auth,
    /// Method, URI and body.
    AuthInt,
}

/// The nonce count: how often the client has used the nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nc<'a> {
    /// The digits as they stand, since they are part of the digest.
    pub text: &'a str,
    /// Their value.
    pub number: u32,
}

/// The credentials of one header line. Quotes and backslashes are removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// Who the client says it acts for.
    pub username: Cow<'a, str>,
    /// The realm that asked.
    pub realm: Cow<'a, str>,
    /// The nonce that the server gave.
    pub nonce: Cow<'a, str>,
    /// The Request-URI as the client wrote it.
    pub uri: Cow<'a, str>,
    /// The proof; lower- or upper-case hexadecimal digits unless the client errs.
    pub response: Cow<'a, str>,
    /// `None` for an algorithm that is not known here.
    pub algorithm: Option<Algorithm>,
    /// `None` without `qop`, as clients of RFC 2069 leave it.
    pub qop: Option<Qop>,
    /// The client's own nonce; there with `qop`.
    pub cnonce: Option<Cow<'a, str>>,
    /// The nonce count; there with `qop`.
    pub nc: Option<Nc<'a>>,
    /// The username is a hash (RFC 7616 §3.4.4), which we never ask for.
    pub is_userhash: bool,
}

/// The directives of one value as they stand.
#[derive(Default)]
struct Directives<'a> {
    username: Option<&'a str>,
    extended_username: Option<&'a str>,
    realm: Option<&'a str>,
    nonce: Option<&'a str>,
    uri: Option<&'a str>,
    response: Option<&'a str>,
    algorithm: Option<&'a str>,
    qop: Option<&'a str>,
    cnonce: Option<&'a str>,
    nc: Option<&'a str>,
    userhash: Option<&'a str>,
}

impl<'a> Credentials<'a> {
    /// Reads one value of the header `id`; `None` when its scheme is not Digest.
    ///
    /// Unknown directives are skipped. One that stands twice, or one that is missing, is an error.
    pub fn parse(id: HeaderId, text: &'a str) -> Result<Option<Self>, HeaderError> {
        let text = trim_text(text);
        let (scheme, rest) = lex::split_word(text).unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Ok(None);
        }
        let credentials = Directives::read(rest).and_then(Directives::into_credentials);
        credentials.map(Some).ok_or(HeaderError::Malformed(id))
    }

    /// The first credentials of the message for `realm` whose algorithm is known; when there are none with
    /// a known one, the first of all. A line of another realm may be as malformed as it likes.
    ///
    /// Every line is looked at, since each realm on the way has its own (RFC 3261 §22.3).
    pub fn of_realm(
        message: &'a Message,
        id: HeaderId,
        realm: &str,
    ) -> Result<Option<Self>, HeaderError> {
        let (mut unknown, mut malformed) = (None, None);
        for value in message.values(id) {
            let text = std::str::from_utf8(value).map_err(|_| HeaderError::NotUtf8(id));
            match text.and_then(|text| Self::parse(id, text)) {
                Ok(Some(found)) if found.realm != realm => {}
                Ok(Some(found)) if found.algorithm.is_some() => return Ok(Some(found)),
                Ok(Some(found)) => unknown = unknown.or(Some(found)),
                Ok(None) => {}
                Err(error) => malformed = malformed.or(Some(error)),
            }
        }
        match (unknown, malformed) {
            (None, Some(error)) => Err(error),
            (unknown, _) => Ok(unknown),
        }
    }

    /// The client has not been challenged yet: it names itself and proves nothing (RFC 8760 §2.7).
    pub fn is_empty(&self) -> bool {
        self.nonce.is_empty() || self.response.is_empty()
    }

    /// The username without the domain that it may end with: `alice` of `alice@sip.example`.
    pub fn user(&self) -> &str {
        self.username.split_once('@').map_or(&self.username, |(user, _)| user)
    }

    /// The domain that the username ends with, if it does.
    pub fn domain(&self) -> Option<&str> {
        let (_, domain) = self.username.split_once('@')?;
        (!domain.is_empty()).then_some(domain)
    }
}

impl<'a> Directives<'a> {
    /// `name=value` pairs with commas between them.
    fn read(mut rest: &'a str) -> Option<Self> {
        let mut found = Self::default();
        while !rest.is_empty() {
            let piece;
            (piece, rest) = cut_piece(rest);
            if piece.is_empty() {
                continue;
            }
            let (name, value) = lex::cut(piece, b'=')?;
            let (name, value) = (trim_text(name), trim_text(value));
            if !lex::is_token(name.as_bytes()) || !is_value(value) {
                return None;
            }
            if let Some(slot) = found.slot(name)
                && slot.replace(value).is_some()
            {
                return None;
            }
        }
        Some(found)
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<&'a str>> {
        Some(match name.to_ascii_lowercase().as_str() {
            "username" => &mut self.username,
            "username*" => &mut self.extended_username,
            "realm" => &mut self.realm,
            "nonce" => &mut self.nonce,
            "uri" => &mut self.uri,
            "response" => &mut self.response,
            "algorithm" => &mut self.algorithm,
            "qop" => &mut self.qop,
            "cnonce" => &mut self.cnonce,
            "nc" => &mut self.nc,
            "userhash" => &mut self.userhash,
            _ => return None,
        })
    }

    fn into_credentials(self) -> Option<Credentials<'a>> {
        let username = match (self.username, self.extended_username) {
            (Some(username), None) => unquote(username),
            (None, Some(username)) => Cow::Owned(extended(username)?),
            _ => return None,
        };
        let qop = match self.qop.map(unquote) {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => Some(Qop::Auth),
            Some(qop) if qop.eq_ignore_ascii_case("auth-int") => Some(Qop::AuthInt),
            Some(_) => return None,
        };
        let nc = self.nc.map(nonce_count).map_or(Some(None), |nc| nc.map(Some))?;
        let cnonce = self.cnonce.map(unquote);
        if qop.is_some() && (nc.is_none() || cnonce.is_none()) {
            return None;
        }
        let named = self.algorithm.map(unquote);
        let algorithm = named.map_or(Some(Algorithm::MD5), |name| Algorithm::from_name(&name));
        if algorithm.is_some_and(|it| it.is_session) && cnonce.is_none() {
            return None;
        }
        Some(Credentials {
            username,
            realm: unquote(self.realm?),
            nonce: unquote(self.nonce?),
            uri: unquote(self.uri?),
            response: unquote(self.response?),
            algorithm,
            qop,
            cnonce,
            nc,
            is_userhash: self.userhash.is_some_and(|it| unquote(it).eq_ignore_ascii_case("true")),
        })
    }
}

/// What stands before the next comma outside quotes, and what behind it.
fn cut_piece(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(next) = memchr::memchr2(b',', b'"', &bytes[at..]) {
        at += next;
        if bytes[at] == b',' {
            return (trim_text(&text[..at]), trim_text(&text[at + 1..]));
        }
        match lex::quoted_end(&bytes[at..]) {
            Some(length) => at += length,
            None => break,
        }
    }
    (trim_text(text), "")
}

/// A token, a whole quoted string, or what careless clients write instead: anything without quotes and spaces.
fn is_value(value: &str) -> bool {
    match value.as_bytes() {
        quoted @ [b'"', ..] => lex::quoted_end(quoted) == Some(quoted.len()),
        bare => !bare.is_empty() && !bare.iter().any(|&b| b == b'"' || lex::is_lws(b)),
    }
}

/// Up to eight hexadecimal digits. Some clients quote them.
fn nonce_count(value: &str) -> Option<Nc<'_>> {
    let text = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let is_count = (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let number = u32::from_str_radix(text, 16).ok().filter(|_| is_count)?;
    Some(Nc { text, number })
}

/// `UTF-8''J%C3%A4s%C3%B8n`: RFC 8187 §3.2.1.
fn extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, text) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("UTF-8") {
        return None;
    }
    String::from_utf8(crate::sip::unescape(text).into_owned()).ok()
}
