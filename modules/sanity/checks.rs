//! The checks, each with the bit that asks for it.

use super::Config;
use crate::script::error::Refusal;
use crate::sip::proxy::unsupported_options;
use crate::sip::{Finding, HeaderError, HeaderId, Message, NameAddr, Scheme, Uri};

/// One check.
pub(super) struct Row {
    /// Its number in the sum that the script gives; Kamailio's.
    pub(super) bit: u16,
    pub(super) check: fn(&Message, &Config) -> Option<Refusal>,
}

/// The number that asks for the checks of URIs.
pub(super) const PARSE_URIS: u16 = 1024;

/// The number that asks for the check of Proxy-Require.
pub(super) const PROXY_REQUIRE: u16 = 512;

/// In the order in which they are made. What is not here, 16, no message shows that has come this far.
pub(super) const MESSAGE_CHECKS: &[Row] = &[
    Row { bit: 1, check: version },
    Row { bit: 2, check: scheme },
    Row { bit: 4, check: required_headers },
    Row { bit: 8, check: via },
    Row { bit: 16384, check: via },
    Row { bit: 32, check: cseq_method },
    Row { bit: 64, check: cseq_value },
    Row { bit: 128, check: content_length },
    Row { bit: 256, check: expires },
    Row { bit: PROXY_REQUIRE, check: proxy_require },
    Row { bit: 2048, check: digest },
    Row { bit: 4096, check: duplicate_tags },
    Row { bit: 8192, check: authorization },
];

pub(super) const URI_CHECKS: &[Row] = &[
    Row { bit: 1, check: request_uri },
    Row { bit: 2, check: |message, _| address(message, HeaderId::From, "Bad From URI") },
    Row { bit: 4, check: |message, _| address(message, HeaderId::To, "Bad To URI") },
    Row { bit: 8, check: |message, _| address(message, HeaderId::Contact, "Bad Contact URI") },
];

fn fault(status: u16, reason: &'static str) -> Option<Refusal> {
    Some(Refusal { status, reason, header: None })
}

fn bad(is_bad: bool, reason: &'static str) -> Option<Refusal> {
    if is_bad { fault(400, reason) } else { None }
}

fn version(message: &Message, _: &Config) -> Option<Refusal> {
    match message.version().eq_ignore_ascii_case("SIP/2.0") {
        true => None,
        false => fault(505, "Version Not Supported"),
    }
}

fn scheme(message: &Message, _: &Config) -> Option<Refusal> {
    match Uri::parse(message.request_uri()).ok()?.scheme() {
        Scheme::Sip | Scheme::Sips | Scheme::Tel => None,
        Scheme::Other(name) if name.eq_ignore_ascii_case("urn") => None,
        Scheme::Other(_) => fault(416, "Unsupported URI Scheme"),
    }
}

fn required_headers(message: &Message, _: &Config) -> Option<Refusal> {
    use HeaderId::{CSeq, CallId, From, To, Via};
    let missing = [From, To, CSeq, CallId, Via].iter().find(|id| message.header(**id).is_none())?;
    let (status, reason) = Finding::Header(HeaderError::Missing(*missing)).status();
    fault(status, reason)
}

fn via(message: &Message, _: &Config) -> Option<Refusal> {
    bad(message.top_via().is_err(), "Bad Via")
}

fn cseq_method(message: &Message, _: &Config) -> Option<Refusal> {
    let is_other = message.cseq().is_ok_and(|cseq| cseq.method != message.method());
    bad(is_other, "CSeq Method Mismatch")
}

/// RFC 3261 §8.1.1.5: less than 2^31.
fn cseq_value(message: &Message, _: &Config) -> Option<Refusal> {
    bad(
        message.cseq().is_ok_and(|cseq| cseq.number >= 1 << 31) || message.cseq().is_err(),
        "Bad CSeq",
    )
}

fn content_length(message: &Message, _: &Config) -> Option<Refusal> {
    match message.content_length() {
        Err(_) => fault(400, "Bad Content-Length"),
        Ok(None) => None,
        Ok(Some(length)) => bad(length != message.body().len(), "Content-Length Mismatch"),
    }
}

fn expires(message: &Message, _: &Config) -> Option<Refusal> {
    bad(message.expires().is_err(), "Bad Expires")
}

/// RFC 3261 §16.3 step 5: a 420 that names what is not understood.
fn proxy_require(message: &Message, config: &Config) -> Option<Refusal> {
    match unsupported_options(message, &config.proxy_require) {
        Ok(None) => None,
        Ok(Some(unknown)) => Some(Refusal {
            status: 420,
            reason: "Bad Extension",
            header: Some(("Unsupported", unknown)),
        }),
        Err(_) => fault(400, "Bad Proxy-Require"),
    }
}

/// The parameters that RFC 7616 §3.4 demands of every answer to a challenge.
const CREDENTIALS: [&str; 5] = ["username", "realm", "nonce", "uri", "response"];

fn digest(message: &Message, _: &Config) -> Option<Refusal> {
    credentials(message, HeaderId::Authorization, "Bad Authorization")
        .or_else(|| credentials(message, HeaderId::ProxyAuthorization, "Bad Proxy-Authorization"))
}

fn authorization(message: &Message, _: &Config) -> Option<Refusal> {
    credentials(message, HeaderId::Authorization, "Bad Authorization")
}

/// Other schemes than Digest are for those who know them.
fn credentials(message: &Message, id: HeaderId, reason: &'static str) -> Option<Refusal> {
    let lacks = |value: &[u8]| {
        let value = String::from_utf8_lossy(value);
        let value = value.trim();
        let (scheme, params) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
        let names = parameter_names(params);
        scheme.eq_ignore_ascii_case("Digest")
            && !CREDENTIALS.iter().all(|name| names.iter().any(|it| it.eq_ignore_ascii_case(name)))
    };
    bad(message.values(id).any(lacks), reason)
}

/// The names in `name=value, name="value"`, where values in quotes may hold commas.
fn parameter_names(params: &str) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let is_end = |character: char| {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => return true,
            _ => {}
        }
        false
    };
    let names = params.split(is_end).filter_map(|param| param.split_once('='));
    names.map(|(name, _)| name.trim()).collect()
}

fn duplicate_tags(message: &Message, _: &Config) -> Option<Refusal> {
    let has_two = |address: &NameAddr<'_>| {
        let tags = address.params.iter().filter(|param| param.name.eq_ignore_ascii_case("tag"));
        tags.count() > 1
    };
    bad(message.from().is_ok_and(|from| has_two(&from)), "Two From Tags")
        .or_else(|| bad(message.to().is_ok_and(|to| has_two(&to)), "Two To Tags"))
}

fn request_uri(message: &Message, _: &Config) -> Option<Refusal> {
    bad(Uri::parse(message.request_uri()).is_err(), "Bad Request-URI")
}

fn address(message: &Message, id: HeaderId, reason: &'static str) -> Option<Refusal> {
    let is_bad = |address: Result<NameAddr<'_>, HeaderError>| match address {
        Ok(address) if id == HeaderId::Contact && address.is_wildcard() => false,
        Ok(address) => address.parsed_uri().is_err(),
        Err(_) => true,
    };
    bad(message.addresses(id).any(is_bad), reason)
}
