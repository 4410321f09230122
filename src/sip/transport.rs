//! The transports of SIP and what the standards say of each.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use thiserror::Error;

/// How a message travels (RFC 3261 §18, RFC 7118).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A plain stream.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// A WebSocket (RFC 7118).
    Ws,
    /// A WebSocket over TLS (RFC 7118).
    Wss,
}

/// Where a message came from, and the way that replies to it take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// How it came.
    pub transport: Transport,
    /// The address that it was sent from.
    pub peer: SocketAddr,
    /// Our address that it came to.
    pub local: SocketAddr,
    /// Where a reply goes over an unreliable transport: the peer, until the top Via says otherwise.
    pub reply_to: SocketAddr,
    /// The connection that it came over, never the same twice while we run; 0 without a connection.
    pub flow: u64,
}

impl Source {
    /// A message that has come from `peer` to `local`.
    pub fn new(transport: Transport, peer: SocketAddr, local: SocketAddr) -> Self {
        Self { transport, peer, local, reply_to: peer, flow: 0 }
    }

    /// The URI that leads back to the peer.
    pub fn uri(&self) -> String {
        peer_uri(self.transport, self.peer)
    }
}

/// The URI of an address over a transport; UDP, which is what none means, is not named.
pub fn peer_uri(transport: Transport, peer: SocketAddr) -> String {
    match transport {
        Transport::Udp => format!("sip:{peer}"),
        _ => format!("sip:{peer};transport={}", transport.token().to_ascii_lowercase()),
    }
}

/// A transport that we do not know, such as `sctp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("unknown transport")]
pub struct UnknownTransport;

/// What is fixed for one transport.
struct Row {
    transport: Transport,
    /// In Via, and without regard to case in the URI parameter and in configuration.
    token: &'static str,
    is_reliable: bool,
    is_secure: bool,
    port: u16,
    /// The NAPTR service (RFC 3263 §4.1, RFC 7118 §5.5).
    naptr: &'static str,
    /// The first labels of its SRV names (RFC 3263 §4.2); WebSockets have none.
    srv: Option<&'static str>,
}

/// In the order of [`Transport`].
#[rustfmt::skip]
const ROWS: [Row; 5] = [
    Row { transport: Transport::Udp, token: "UDP", is_reliable: false, is_secure: false, port: 5060, naptr: "SIP+D2U", srv: Some("_sip._udp.") },
    Row { transport: Transport::Tcp, token: "TCP", is_reliable: true, is_secure: false, port: 5060, naptr: "SIP+D2T", srv: Some("_sip._tcp.") },
    Row { transport: Transport::Tls, token: "TLS", is_reliable: true, is_secure: true, port: 5061, naptr: "SIPS+D2T", srv: Some("_sips._tcp.") },
    Row { transport: Transport::Ws, token: "WS", is_reliable: true, is_secure: false, port: 80, naptr: "SIP+D2W", srv: None },
    Row { transport: Transport::Wss, token: "WSS", is_reliable: true, is_secure: true, port: 443, naptr: "SIPS+D2W", srv: None },
];

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// The token in the sent-protocol of Via.
    pub fn token(self) -> &'static str {
        self.row().token
    }

    /// Whether the transport repeats what was lost, so that transactions need not.
    pub fn is_reliable(self) -> bool {
        self.row().is_reliable
    }

    /// Whether TLS protects the hop, as `sips` demands.
    pub fn is_secure(self) -> bool {
        self.row().is_secure
    }

    /// The port of a URI that names none (RFC 3261 §19.1.2, RFC 7118 §5.5).
    pub fn default_port(self) -> u16 {
        self.row().port
    }

    /// The transport over TLS that a `sips` URI means when it names this one; none over UDP.
    pub fn secured(self) -> Option<Self> {
        match self {
            Self::Udp => None,
            Self::Tcp | Self::Tls => Some(Self::Tls),
            Self::Ws | Self::Wss => Some(Self::Wss),
        }
    }

    /// The transport that a NAPTR service field names (RFC 3263 §4.1).
    pub fn from_naptr(service: &str) -> Option<Self> {
        let row = ROWS.iter().find(|row| row.naptr.eq_ignore_ascii_case(service))?;
        Some(row.transport)
    }

    /// The name of the domain's SRV records for this transport, if it has such.
    pub fn srv_name(self, domain: &str) -> Option<String> {
        Some(format!("{}{domain}", self.row().srv?))
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

impl FromStr for Transport {
    type Err = UnknownTransport;

    fn from_str(text: &str) -> Result<Self, UnknownTransport> {
        let row = ROWS.iter().find(|row| row.token.eq_ignore_ascii_case(text));
        row.map(|row| row.transport).ok_or(UnknownTransport)
    }
}

/// How a request of some size leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The transport to try first; the topmost Via must name it.
    pub first: Transport,
    /// The transport to try, with a new Via, when the first is refused.
    pub fallback: Option<Transport>,
}

/// The transport for a request of `len` bytes (RFC 3261 §18.1.1).
///
/// What is too large for a datagram goes by TCP, and back to UDP if TCP is refused: larger than
/// 1300 bytes, or within 200 bytes of the path MTU where it is known. A transport that the URI
/// names is kept.
pub fn for_size(
    transport: Transport,
    is_explicit: bool,
    len: usize,
    path_mtu: Option<usize>,
) -> Choice {
    let limit = path_mtu.map_or(1300, |mtu| mtu.saturating_sub(200));
    if transport == Transport::Udp && !is_explicit && len > limit {
        return Choice { first: Transport::Tcp, fallback: Some(Transport::Udp) };
    }
    Choice { first: transport, fallback: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transport_has_its_own_row() {
        for (transport, row) in Transport::ALL.into_iter().zip(&ROWS) {
            assert_eq!(transport.row().token, row.token);
            assert_eq!(row.transport, transport);
            assert_eq!(transport.to_string().parse(), Ok(transport));
            assert_eq!(row.token.to_ascii_lowercase().parse(), Ok(transport));
            assert_eq!(Transport::from_naptr(row.naptr), Some(transport));
        }
        assert_eq!("sctp".parse::<Transport>(), Err(UnknownTransport));
        assert_eq!("".parse::<Transport>(), Err(UnknownTransport));
    }

    #[test]
    fn rfc3263_s4_1_unknown_naptr_services_name_no_transport() {
        for service in ["", "SIP+D2S", "SIPS+D2U", "E2U+sip", "SIP+D2"] {
            assert_eq!(Transport::from_naptr(service), None, "{service}");
        }
    }

    #[test]
    fn a_secured_transport_is_secure() {
        for transport in Transport::ALL {
            assert!(transport.secured().is_none_or(Transport::is_secure));
            assert!(!transport.is_secure() || transport.secured() == Some(transport));
        }
    }

    #[test]
    fn s18_1_1_large_requests_leave_by_tcp_first() {
        let by_tcp = Choice { first: Transport::Tcp, fallback: Some(Transport::Udp) };
        let by_udp = Choice { first: Transport::Udp, fallback: None };
        assert_eq!(for_size(Transport::Udp, false, 1300, None), by_udp);
        assert_eq!(for_size(Transport::Udp, false, 1301, None), by_tcp);
        assert_eq!(for_size(Transport::Udp, true, 9000, None), by_udp);
        assert_eq!(for_size(Transport::Udp, false, 1400, Some(1600)), by_udp);
        assert_eq!(for_size(Transport::Udp, false, 1401, Some(1600)), by_tcp);
        let by_tls = Choice { first: Transport::Tls, fallback: None };
        assert_eq!(for_size(Transport::Tls, false, 9000, None), by_tls);
    }
}
