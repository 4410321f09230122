//! `host [ ":" port ]` of URIs and Via (RFC 3261 §25.1, IPv6 per RFC 5118).

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::UriError;
use super::lex::{ByteSet, number, trim_text};

/// The bytes of host names and IPv4 addresses; `_` occurs in names in the field.
static NAME: ByteSet = ByteSet::alphanumeric().and(b".-_");

/// Cuts `text` into host and port; an IPv6 host keeps its brackets.
pub(crate) fn host_port(text: &str) -> Result<(&str, Option<u16>), UriError> {
    let text = trim_text(text);
    let host_end = match text.as_bytes() {
        [b'[', ..] => text.find(']').ok_or(UriError::Host)? + 1,
        name => NAME.prefix(name),
    };
    let (host, rest) = text.split_at(host_end);
    if host.is_empty() || host.starts_with('[') && ip(host).is_none() {
        return Err(UriError::Host);
    }
    Ok((host, port(trim_text(rest))?))
}

fn port(text: &str) -> Result<Option<u16>, UriError> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.strip_prefix(':').ok_or(UriError::Host)?;
    let port = number(trim_text(digits).as_bytes()).and_then(|port| u16::try_from(port).ok());
    port.map(Some).ok_or(UriError::Port)
}

/// The address that `host` is, with or without brackets, or `None` for a name.
///
/// Three colons, which RFC 3261's grammar allows in front of an embedded IPv4 address, read as two (RFC 5118 §4.10).
pub(crate) fn ip(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if inner.is_none() && !host.contains(':') {
        return host.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let inner = inner.unwrap_or(host);
    let colons = if inner.contains(":::") {
        Cow::Owned(inner.replacen(":::", "::", 1))
    } else {
        Cow::Borrowed(inner)
    };
    colons.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        assert_eq!(host_port("a.example:5060"), Ok(("a.example", Some(5060))));
        assert_eq!(host_port("[2001:db8::10:5070]"), Ok(("[2001:db8::10:5070]", None)));
        assert_eq!(host_port("[2001:db8::10]:5070"), Ok(("[2001:db8::10]", Some(5070))));
        assert_eq!(host_port("a : 1"), Ok(("a", Some(1))));
    }

    #[test]
    fn bad_hosts_and_ports_are_refused() {
        for bad in ["", "[::1", "[::g]", "2001:db8::10", "a:", "a:65536", "a b", "[::1]x", ":1"] {
            assert!(host_port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_read_with_and_without_brackets() {
        assert_eq!(ip("192.0.2.1"), Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
        assert_eq!(ip("[2001:db8:::192.0.2.1]"), ip("2001:db8::192.0.2.1"));
        assert!(ip("2001:db8::1").is_some());
        assert_eq!(ip("example.com"), None);
        assert_eq!(ip("[192.0.2.1]"), None);
    }
}
