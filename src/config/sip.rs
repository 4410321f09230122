//! `[sip]`: addresses, domains, timers and limits.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};
use thiserror::Error as ThisError;

use super::tls::{TlsConfig, WebSocketConfig};
use super::value::{self, bounded, duration_to};

/// `[sip]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SipConfig {
    /// `listen`: where requests are taken, like `udp:192.0.2.1:5060` or `tls:[2001:db8::1]:5061`.
    ///
    /// The transports are `udp`, `tcp`, `tls`, and `ws` and `wss` for WebSockets (RFC 7118).
    /// Port 0 lets the system choose. Default UDP and TCP on `0.0.0.0:5060`, RFC 3261 §18.2.1.
    #[serde(deserialize_with = "listeners")]
    pub listen: Vec<Listen>,
    /// `domains`: the names that we answer for, in lower case. Default none.
    #[serde(deserialize_with = "domains")]
    pub domains: Vec<Box<str>>,
    /// `server_header`: value of `Server` in our responses; empty leaves the header out.
    ///
    /// Default `sipjab/VERSION`.
    #[serde(deserialize_with = "header_value")]
    pub server_header: Box<str>,
    /// `user_agent`: value of `User-Agent` in our requests; empty leaves the header out.
    ///
    /// Default `sipjab/VERSION`.
    #[serde(deserialize_with = "header_value")]
    pub user_agent: Box<str>,
    /// `[sip.tls]`: without this table nothing is sent over TLS and nothing taken.
    pub tls: Option<TlsConfig>,
    /// `[sip.websocket]`
    pub websocket: WebSocketConfig,
    /// `[sip.timers]`
    pub timers: SipTimers,
    /// `[sip.limits]`
    pub limits: SipLimits,
}

impl Default for SipConfig {
    fn default() -> Self {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 5060));
        let listen = |transport| Listen { transport, address: everywhere };
        let name = concat!("sipjab/", env!("CARGO_PKG_VERSION"));
        Self {
            listen: vec![listen(Transport::Udp), listen(Transport::Tcp)],
            domains: Vec::new(),
            server_header: name.into(),
            user_agent: name.into(),
            tls: None,
            websocket: WebSocketConfig::default(),
            timers: SipTimers::default(),
            limits: SipLimits::default(),
        }
    }
}

/// `[sip.timers]`: the values of RFC 3261 §17 that all other timers follow from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SipTimers {
    /// `t1`: estimate of the round trip; a transaction gives up after 64 of it.
    ///
    /// 1ms to 60s. Default 500ms, RFC 3261 §17.1.1.1.
    #[serde(deserialize_with = "duration_to::<_, 60>")]
    pub t1: Duration,
    /// `t2`: the longest interval between two retransmissions.
    ///
    /// 1ms to 60s. Default 4s, RFC 3261 §17.1.2.2.
    #[serde(deserialize_with = "duration_to::<_, 60>")]
    pub t2: Duration,
    /// `t4`: how long a message may live in the network.
    ///
    /// 1ms to 60s. Default 5s, RFC 3261 §17.1.2.2.
    #[serde(deserialize_with = "duration_to::<_, 60>")]
    pub t4: Duration,
    /// `timer_c`: how long an INVITE that was answered provisionally may go on without a final answer; then it is cancelled.
    ///
    /// 1ms to 86400s. Default 185s; RFC 3261 §16.6 step 11 wants more than three minutes.
    #[serde(deserialize_with = "duration_to::<_, 86_400>")]
    pub timer_c: Duration,
}

impl Default for SipTimers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            timer_c: Duration::from_secs(185),
        }
    }
}

/// `[sip.limits]`: what one peer, or all together, may cost us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SipLimits {
    /// `max_udp_message`: bytes of one datagram; longer ones are dropped and counted.
    ///
    /// 1300 to 65535. Default 65535, all that UDP can carry (RFC 3261 §18.1.1).
    #[serde(deserialize_with = "bounded::<_, 1300, 65_535>")]
    pub max_udp_message: usize,
    /// `max_tcp_message`: bytes of one message on a stream; above that, 513 and the stream closes.
    ///
    /// 1300 to 16,777,216. Default 262,144, which holds any presence document seen in practice.
    #[serde(deserialize_with = "bounded::<_, 1300, 16_777_216>")]
    pub max_tcp_message: usize,
    /// `max_tcp_header`: bytes of one message's start line and headers on a stream.
    ///
    /// 1024 to 1,048,576. Default 65,536.
    #[serde(deserialize_with = "bounded::<_, 1024, 1_048_576>")]
    pub max_tcp_header: usize,
    /// `tcp_idle_timeout`: a stream without traffic closes after this.
    ///
    /// 1ms to 86400s. Default 10m, longer than the keep-alives of RFC 5626 §4.4.1.
    #[serde(deserialize_with = "duration_to::<_, 86_400>")]
    pub tcp_idle_timeout: Duration,
    /// `tcp_header_timeout`: a message that has begun must be complete after this.
    ///
    /// 1ms to 600s. Default 32s, 64 times T1: by then the sender has given up.
    #[serde(deserialize_with = "duration_to::<_, 600>")]
    pub tcp_header_timeout: Duration,
    /// `max_connections`: streams open at once.
    ///
    /// 1 to 1,000,000. Default 10,000.
    #[serde(deserialize_with = "bounded::<_, 1, 1_000_000>")]
    pub max_connections: usize,
    /// `max_transactions`: transactions open at once in one worker; above that, 503.
    ///
    /// 1 to 10,000,000. Default 1,000,000: 30,000 requests a second for the 32s of timer J, some 800 MB.
    #[serde(deserialize_with = "bounded::<_, 1, 10_000_000>")]
    pub max_transactions: usize,
}

impl Default for SipLimits {
    fn default() -> Self {
        Self {
            max_udp_message: 65_535,
            max_tcp_message: 262_144,
            max_tcp_header: 65_536,
            tcp_idle_timeout: Duration::from_secs(600),
            tcp_header_timeout: Duration::from_secs(32),
            max_connections: 10_000,
            max_transactions: 1_000_000,
        }
    }
}

/// How SIP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
    /// TLS over streams.
    Tls,
    /// WebSockets.
    Ws,
    /// WebSockets over TLS.
    Wss,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        })
    }
}

/// One address that we listen on: a transport, a colon, and an address with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listen {
    /// The transport.
    pub transport: Transport,
    /// The address; port 0 lets the system choose.
    pub address: SocketAddr,
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.address)
    }
}

/// Why a text is no [`Listen`].
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum ListenError {
    /// No transport stands in front.
    #[error("`{0}` must begin with `udp:`, `tcp:`, `tls:`, `ws:` or `wss:`")]
    Transport(String),
    /// Behind the transport is no address with a port.
    #[error("`{0}` is not an address with a port, like `192.0.2.1:5060` or `[2001:db8::1]:5060`")]
    Address(String),
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let (transport, address) = match text.split_once(':') {
            Some(("udp", address)) => (Transport::Udp, address),
            Some(("tcp", address)) => (Transport::Tcp, address),
            Some(("tls", address)) => (Transport::Tls, address),
            Some(("ws", address)) => (Transport::Ws, address),
            Some(("wss", address)) => (Transport::Wss, address),
            _ => return Err(ListenError::Transport(text.to_owned())),
        };
        let address = address.parse().map_err(|_| ListenError::Address(address.to_owned()))?;
        Ok(Self { transport, address })
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        value::text(deserializer, "an address like \"udp:192.0.2.1:5060\"", Self::from_str)
    }
}

fn listeners<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Listen>, D::Error> {
    let listen = Vec::<Listen>::deserialize(deserializer)?;
    if listen.is_empty() {
        return Err(D::Error::custom("at least one address is needed"));
    }
    let mut seen = BTreeSet::new();
    match listen.iter().find(|at| at.address.port() != 0 && !seen.insert(**at)) {
        Some(twice) => Err(D::Error::custom(format!("`{twice}` stands here twice"))),
        None => Ok(listen),
    }
}

fn domains<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Box<str>>, D::Error> {
    let domains = Vec::<Domain>::deserialize(deserializer)?;
    Ok(domains.into_iter().map(|domain| domain.0).collect())
}

/// A host name or a literal address, in lower case.
struct Domain(Box<str>);

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        value::text(deserializer, "a domain like \"sip.example\"", |domain| {
            let allowed =
                |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
            match !domain.is_empty() && domain.chars().all(allowed) {
                true => Ok(Self(domain.to_lowercase().into())),
                false => Err(format!("`{domain}` is not a domain, like `sip.example`")),
            }
        })
    }
}

fn header_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<str>, D::Error> {
    let value = String::deserialize(deserializer)?;
    match value.chars().any(char::is_control) {
        true => Err(D::Error::custom("a header may not contain control characters")),
        false => Ok(value.into()),
    }
}
