//! Contacts that name an address where their phone is not reached.

use std::net::{IpAddr, SocketAddr};

use crate::script::error::RouteError;
use crate::sip::transport::{Source, Transport, peer_uri};
use crate::sip::{HeaderError, HeaderId, Message, NameAddr, Uri, UriError};

/// Kamailio's numbers of the transports in `alias`.
const NUMBERS: [(Transport, &str); 5] = [
    (Transport::Udp, "1"),
    (Transport::Tcp, "2"),
    (Transport::Tls, "3"),
    (Transport::Ws, "5"),
    (Transport::Wss, "6"),
];

/// How many contacts a function changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    First,
    All,
}

/// Replaces the URIs of contacts by what `change` makes of them, until one fails; tells whether one changed.
///
/// Contacts that are no SIP URI stay as they are.
pub(super) fn rewrite(
    message: &mut Message,
    which: Which,
    change: impl Fn(&Uri<'_>) -> Result<Option<String>, UriError>,
) -> Result<bool, RouteError> {
    let mut values = Vec::new();
    let mut has_changed = false;
    for contact in message.contacts() {
        let contact = contact?;
        let uri = contact.parsed_uri().ok().filter(Uri::is_sip);
        let is_meant = which == Which::All || values.is_empty();
        let changed = match uri.filter(|_| is_meant) {
            Some(uri) => change(&uri).map_err(|source| RouteError::Uri { part: "Contact", source }),
            None => Ok(None),
        }?;
        has_changed |= changed.is_some();
        values.push(written(&contact, changed.as_deref().unwrap_or(contact.uri)));
    }
    if has_changed {
        let malformed = |_| HeaderError::Malformed(HeaderId::Contact);
        message.set_header(HeaderId::Contact.name(), &values.join(", ")).map_err(malformed)?;
    }
    Ok(has_changed)
}

fn written(contact: &NameAddr<'_>, uri: &str) -> String {
    if contact.is_wildcard() {
        return uri.to_owned();
    }
    let name = contact.display_name().replace('\\', "\\\\").replace('"', "\\\"");
    let name = if name.is_empty() { name } else { format!("\"{name}\" ") };
    let params = contact.params.as_str().replace(['\r', '\n'], " ");
    let semicolon = if params.is_empty() { "" } else { ";" };
    format!("{name}<{uri}>{semicolon}{params}")
}

/// The URI with the address of its peer.
pub(super) fn at(uri: &Uri<'_>, peer: SocketAddr) -> Result<Option<String>, UriError> {
    if is_at(uri, peer) {
        return Ok(None);
    }
    let moved = uri.with_host(&host_of(peer.ip()))?;
    Uri::parse(&moved)?.with_port(Some(peer.port())).map(Some)
}

/// The URI with `alias=address~port~transport` instead of such a parameter of its own.
pub(super) fn aliased(
    uri: &Uri<'_>,
    transport: Transport,
    peer: SocketAddr,
) -> Result<Option<String>, UriError> {
    let (_, number) = NUMBERS[transport as usize];
    let alias = format!("alias={}~{}~{number}", host_of(peer.ip()), peer.port());
    let bare = uri.without_param("alias")?;
    Uri::parse(&bare)?.with_param(&alias).map(Some)
}

/// Does the URI lead where the message came from: address, port and transport?
pub(super) fn is_of_source(uri: &Uri<'_>, source: &Source) -> bool {
    let transport = uri.param("transport").and_then(|param| param.value);
    let transport = transport.map_or(Some(Transport::Udp), |name| name.parse().ok());
    is_at(uri, source.peer) && transport == Some(source.transport)
}

fn is_at(uri: &Uri<'_>, peer: SocketAddr) -> bool {
    uri.host_ip() == Some(peer.ip().to_canonical()) && port(uri) == peer.port()
}

/// The port that the URI means.
pub(super) fn port(uri: &Uri<'_>) -> u16 {
    let named = uri.param("transport").and_then(|param| param.value?.parse::<Transport>().ok());
    let transport = named.unwrap_or(Transport::Udp);
    uri.port().unwrap_or(transport.default_port())
}

/// The URI without its alias, and the next hop that the alias names; `None` without a readable one.
pub(super) fn resolved(uri: &Uri<'_>) -> Option<(String, String)> {
    let mut parts = uri.param("alias")?.value?.split('~');
    let (host, port, number) = (parts.next()?, parts.next()?, parts.next()?);
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let peer = SocketAddr::new(bare.parse().ok()?, port.parse().ok().filter(|port| *port > 0)?);
    let (transport, _) = NUMBERS.iter().find(|(_, known)| *known == number)?;
    let is_whole = parts.next().is_none();
    let without = uri.without_param("alias").ok().filter(|_| is_whole)?;
    Some((without, peer_uri(*transport, peer)))
}

fn host_of(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text).unwrap()
    }

    const PEER: &str = "192.0.2.9:40000";

    #[test]
    fn each_transport_has_its_number() {
        for transport in Transport::ALL {
            assert_eq!(NUMBERS[transport as usize].0, transport);
        }
    }

    #[test]
    fn an_alias_leads_back_where_it_was_made() {
        for peer in [PEER, "[2001:db8::9]:5062"] {
            for transport in Transport::ALL {
                let peer = peer.parse().unwrap();
                let contact = uri("sip:me@10.0.0.9;alias=old~1~1;ob");
                let made = aliased(&contact, transport, peer).unwrap().unwrap();
                let (bare, next_hop) = resolved(&uri(&made)).unwrap();
                assert_eq!(bare, "sip:me@10.0.0.9;ob");
                assert_eq!(next_hop, peer_uri(transport, peer));
                assert!(Uri::parse(&next_hop).is_ok());
            }
        }
    }

    #[test]
    fn an_alias_that_cannot_be_read_is_none() {
        for bad in [
            "",
            ";alias",
            ";alias=",
            ";alias=192.0.2.9",
            ";alias=192.0.2.9~5060",
            ";alias=h.example~5060~1",
            ";alias=192.0.2.9~0~1",
            ";alias=192.0.2.9~70000~1",
            ";alias=192.0.2.9~5060~4",
            ";alias=192.0.2.9~5060~1~x",
            ";alias=~~",
        ] {
            assert_eq!(resolved(&uri(&format!("sip:me@10.0.0.9{bad}"))), None, "{bad}");
        }
    }

    #[test]
    fn only_what_leads_elsewhere_is_moved() {
        let peer = PEER.parse().unwrap();
        let moved = at(&uri("sip:me@10.0.0.9;transport=tcp"), peer).unwrap();
        assert_eq!(moved.as_deref(), Some("sip:me@192.0.2.9:40000;transport=tcp"));
        assert_eq!(at(&uri("sip:me@192.0.2.9:40000"), peer), Ok(None));
        let default = "192.0.2.9:5060".parse().unwrap();
        assert_eq!(at(&uri("sip:me@192.0.2.9"), default), Ok(None));
    }
}
