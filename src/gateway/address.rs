//! The parts of an address: user ⇄ localpart, host ⇄ domain, `gr` ⇄ resource (RFC 7247 §6).

use std::borrow::Cow;
use std::net::Ipv6Addr;

use ::jid::{NodePart, ResourcePart};
use idna::AsciiDenyList;
use thiserror::Error;

use crate::sip::{Scheme, Uri, escape_user, unescape};
use crate::xmpp::jid::{escape_local, unescape_local};
use crate::xmpp::{Condition, Jid};

/// Why an address has no counterpart in the other network, sorted by blame.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// Escapes that do not decode to UTF-8.
    #[error("the user part is not UTF-8")]
    NotUtf8,
    /// A localpart, domain or resource that XMPP does not allow.
    #[error("{part} {value:?} is not allowed in a JID")]
    InvalidPart {
        /// Which part.
        part: &'static str,
        /// The part as it was tried.
        value: String,
    },
    /// A domain that is neither a host name nor an IP address.
    #[error("{domain:?} is no host")]
    InvalidHost {
        /// The domain as received.
        domain: String,
    },
    /// An address without a user where the dialect needs one.
    #[error("the address has no user part")]
    MissingUser,
    /// A user part without the separator that the dialect puts before the other network's domain.
    #[error("{user:?} has no {separator:?} before a domain")]
    MissingSeparator {
        /// The user part, decoded.
        user: String,
        /// The configured separator.
        separator: char,
    },
    /// A domain that stands for no one in the other network.
    #[error("{domain} is not served here")]
    ForeignDomain {
        /// The domain as received.
        domain: String,
    },
    /// A telephone number that is not global, or is none.
    #[error("{number:?} is no global telephone number")]
    LocalNumber {
        /// The number as received.
        number: String,
    },
    /// A secure address, which XMPP cannot honour on each hop (RFC 7247 §8).
    #[error("sips addresses may not leave for XMPP")]
    Sips,
    /// A scheme without a mapping, or `tel` without a configured domain.
    #[error("{scheme} addresses have no mapping to XMPP")]
    UnsupportedScheme {
        /// The scheme as received.
        scheme: String,
    },
}

impl AddressError {
    /// The reply to a SIP sender.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Self::NotUtf8 | Self::InvalidPart { .. } | Self::InvalidHost { .. } => {
                (400, "Bad Request")
            }
            Self::MissingUser | Self::MissingSeparator { .. } | Self::ForeignDomain { .. } => {
                (404, "Not Found")
            }
            Self::LocalNumber { .. } => (484, "Address Incomplete"),
            Self::Sips | Self::UnsupportedScheme { .. } => (416, "Unsupported URI Scheme"),
        }
    }

    /// The error to an XMPP sender.
    pub fn condition(&self) -> Condition {
        match self {
            Self::NotUtf8 | Self::InvalidPart { .. } | Self::InvalidHost { .. } => {
                Condition::JidMalformed
            }
            Self::MissingUser
            | Self::MissingSeparator { .. }
            | Self::ForeignDomain { .. }
            | Self::LocalNumber { .. } => Condition::ItemNotFound,
            Self::Sips | Self::UnsupportedScheme { .. } => Condition::NotAcceptable,
        }
    }
}

/// What happens to sips addresses on their way to XMPP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SipsPolicy {
    /// Refused with 416, as RFC 7247 §8 demands.
    #[default]
    Refuse,
    /// Treated as sip; for operators who secure every hop by agreement.
    Allow,
}

/// A SIP address taken apart and decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SipAddress<'a> {
    /// The decoded user part.
    pub(super) user: Option<Cow<'a, str>>,
    pub(super) host: &'a str,
    /// The decoded value of `gr` (RFC 5627 §5.4); a temporary GRUU has none (RFC 7247 §6.3).
    pub(super) instance: Option<Cow<'a, str>>,
}

impl<'a> SipAddress<'a> {
    /// RFC 7247 §6.4 steps 1 to 4; `tel_domain` is the host of telephone numbers.
    pub(super) fn parse(
        uri: &Uri<'a>,
        sips: SipsPolicy,
        tel_domain: Option<&'a str>,
    ) -> Result<Self, AddressError> {
        let unsupported =
            || AddressError::UnsupportedScheme { scheme: uri.scheme().as_str().to_owned() };
        match uri.scheme() {
            Scheme::Sips if sips == SipsPolicy::Refuse => Err(AddressError::Sips),
            Scheme::Sip | Scheme::Sips => {
                let instance = uri.param("gr").and_then(|gr| gr.value).filter(|gr| !gr.is_empty());
                Ok(Self {
                    user: uri.user().map(decoded).transpose()?,
                    host: uri.host(),
                    instance: instance.map(decoded).transpose()?,
                })
            }
            Scheme::Tel => {
                let host = tel_domain.ok_or_else(unsupported)?;
                let user = Some(Cow::Owned(global_number(uri.user().unwrap_or(""))?));
                Ok(Self { user, host, instance: None })
            }
            Scheme::Other(name) if is_abstract(name) => {
                let address = uri.opaque().split('?').next().unwrap_or("");
                let (user, host) = address.split_once('@').ok_or(AddressError::MissingUser)?;
                Ok(Self { user: Some(decoded(user)?), host, instance: None })
            }
            Scheme::Other(_) => Err(unsupported()),
        }
    }
}

/// The schemes of RFC 3859 and RFC 3860, which RFC 7247 §6 maps as it maps sip.
fn is_abstract(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("im") || scheme.eq_ignore_ascii_case("pres")
}

/// `text` with its percent escapes replaced.
pub(super) fn decoded(text: &str) -> Result<Cow<'_, str>, AddressError> {
    match unescape(text) {
        Cow::Borrowed(_) => Ok(Cow::Borrowed(text)),
        Cow::Owned(bytes) => {
            String::from_utf8(bytes).map(Cow::Owned).map_err(|_| AddressError::NotUtf8)
        }
    }
}

/// The digits of a global number behind their `+` (RFC 3966 §5.1.4), visual separators removed.
fn global_number(subscriber: &str) -> Result<String, AddressError> {
    let number = subscriber.split(';').next().unwrap_or("");
    let digits: String = number.chars().filter(|c| !"-.()".contains(*c)).collect();
    let is_global = digits
        .strip_prefix('+')
        .is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
    if is_global {
        return Ok(digits);
    }
    Err(AddressError::LocalNumber { number: number.to_owned() })
}

/// A JID from decoded parts; the localpart is escaped by XEP-0106, each part prepared and checked.
pub(super) fn jid_from_parts(
    user: Option<&str>,
    host: &str,
    resource: Option<&str>,
) -> Result<Jid, AddressError> {
    let local = user.map(escape_local);
    let domain = domain_from_host(host)?;
    // A dot at its end is no part of it (RFC 7622 §3.2).
    let domain = domain.strip_suffix('.').unwrap_or(&domain);
    let mut address = String::with_capacity(
        local.as_ref().map_or(0, |local| local.len() + 1)
            + domain.len()
            + resource.map_or(0, |resource| 1 + resource.len()),
    );
    if let Some(local) = &local {
        address.extend([local, "@"]);
    }
    address.push_str(domain);
    if let Some(resource) = resource {
        address.extend(["/", resource]);
    }
    // Its separators are those written here: XEP-0106 leaves none in a localpart.
    let is_torn = domain.contains(['@', '/']) || domain.ends_with('.');
    let jid = if is_torn { None } else { Jid::new(&address).ok() };
    jid.ok_or_else(|| invalid_part(local.as_deref(), host, resource))
}

/// The part that is to blame for an address that is no JID.
fn invalid_part(local: Option<&str>, host: &str, resource: Option<&str>) -> AddressError {
    let (part, value) = match (local, resource) {
        (Some(local), _) if NodePart::new(local).is_err() => ("localpart", local),
        (_, Some(resource)) if ResourcePart::new(resource).is_err() => ("resource", resource),
        _ => ("domain", host),
    };
    AddressError::InvalidPart { part, value: value.to_owned() }
}

/// The XMPP domain of a SIP host: A-labels become U-labels, IP addresses stay.
///
/// RFC 7247 §6.1 leaves domains open; U-labels are how XMPP writes them (RFC 7622 §3.2).
pub(super) fn domain_from_host(host: &str) -> Result<Cow<'_, str>, AddressError> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if is_plain(host) {
        return Ok(Cow::Borrowed(host));
    }
    if is_ipv6(host) {
        return Ok(Cow::Owned(host.to_ascii_lowercase()));
    }
    let (domain, valid) = idna::domain_to_unicode(host);
    match valid {
        Ok(()) if !domain.is_empty() => Ok(Cow::Owned(domain)),
        _ => Err(AddressError::InvalidHost { domain: host.to_owned() }),
    }
}

/// The SIP host of an XMPP domain: U-labels become A-labels, IP addresses stay.
pub(super) fn host_from_domain(domain: &str) -> Result<Cow<'_, str>, AddressError> {
    if is_plain(domain) {
        return Ok(Cow::Borrowed(domain));
    }
    if is_ipv6(domain) {
        return Ok(Cow::Owned(domain.to_ascii_lowercase()));
    }
    let is_host = |host: &str| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    match idna::domain_to_ascii_cow(domain.as_bytes(), AsciiDenyList::URL) {
        Ok(host) if is_host(&host) => Ok(host),
        _ => Err(AddressError::InvalidHost { domain: domain.to_owned() }),
    }
}

/// True for a name that is the same in both networks, whatever IDNA says: of lower case letters, digits and dots.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.'))
}

fn is_ipv6(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// A SIP URI from decoded parts (RFC 7247 §6.5 steps 5 to 8).
pub(super) fn sip_from_parts(
    user: Option<&str>,
    domain: &str,
    instance: Option<&str>,
) -> Result<String, AddressError> {
    let host = host_from_domain(domain)?;
    let user = user.map(escape_user);
    let length = user.as_ref().map_or(0, |user| user.len() + 1) + host.len();
    let mut uri = String::with_capacity("sip:".len() + length);
    uri.push_str("sip:");
    if let Some(user) = &user {
        uri.extend([user, "@"]);
    }
    uri.push_str(&host);
    if let Some(instance) = instance {
        uri.push_str(";gr=");
        escape_parameter(&mut uri, instance);
    }
    Ok(uri)
}

/// The decoded localpart of a JID.
///
/// A localpart that XEP-0106 would have escaped otherwise (`\5cx` for `\x`) is refused: its SIP address would be
/// that of another JID, and answers would go to a stranger.
pub(super) fn user_of(jid: &Jid) -> Result<Option<String>, AddressError> {
    let Some(local) = jid.node().map(|node| node.as_str()) else { return Ok(None) };
    let user = unescape_local(local);
    if escape_local(&user) == local {
        return Ok(Some(user.into_owned()));
    }
    Err(AddressError::InvalidPart { part: "localpart", value: local.to_owned() })
}

/// `c` percent-encoded.
pub(super) fn percent_encoded(c: char) -> String {
    c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Appends `text` as RFC 3261 §25.1 `paramchar`s.
fn escape_parameter(out: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || "-_.!~*'()[]/:&+$".contains(c) {
            out.push(c);
        } else {
            out.push_str(&percent_encoded(c));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_domains_are_each_others_inverse() {
        for (host, domain) in [
            ("sip.example", "sip.example"),
            ("xn--bcher-kva.example", "bücher.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:db8::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(domain_from_host(host).unwrap(), domain);
            assert_eq!(host_from_domain(domain).unwrap(), host);
        }
        assert_eq!(domain_from_host("SIP.Example.").unwrap(), "sip.example");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for domain in ["", "a b", "a\r\nContact:x", "a>b", "a;b", "a@b", "[::x]", "host:5060"] {
            assert!(host_from_domain(domain).is_err(), "{domain:?}");
        }
    }

    #[test]
    fn telephone_numbers_lose_their_separators() {
        assert_eq!(global_number("+1-201-555.0(1)23;ext=4").unwrap(), "+12015550123");
        for local in ["7042;phone-context=example.com", "+", "+1a", ""] {
            assert_eq!(global_number(local).unwrap_err().status().0, 484, "{local}");
        }
    }

    #[test]
    fn the_parts_of_an_address_are_those_that_were_given() {
        for host in ["b@c", "b/c", "b..c", "b...", "..", ""] {
            assert!(jid_from_parts(Some("a"), host, None).is_err(), "{host:?}");
        }
        assert_eq!(jid_from_parts(Some("a"), "b..", None).unwrap().as_str(), "a@b");
        assert_eq!(
            jid_from_parts(Some("a@c/d"), "b", Some("e@f/g")).unwrap().as_str(),
            "a\\40c\\2fd@b/e@f/g"
        );
    }

    #[test]
    fn a_localpart_may_not_begin_or_end_with_a_space() {
        assert!(jid_from_parts(Some(" a"), "b", None).is_err());
        assert!(jid_from_parts(Some("a "), "b", None).is_err());
        assert_eq!(jid_from_parts(Some("a b"), "b", None).unwrap().as_str(), "a\\20b@b");
    }
}
