//! Where a request goes: the decisions of RFC 3263, which ask DNS through whoever drives them.

mod service;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use thiserror::Error;

use super::transport::Transport;
use service::Random;
pub use service::{Naptr, Srv, ordered};

/// The most targets that one resolution yields, and the most names that one answer may add.
const MAX_TARGETS: usize = 16;

/// One place to send a request to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// How it travels.
    pub transport: Transport,
    /// Where to.
    pub addr: SocketAddr,
}

/// The parts of a SIP URI that say where it leads.
///
/// The sent-by and transport of a Via fit as well, for a response that cannot return the way
/// that its request came (RFC 3263 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TargetQuery<'a> {
    /// Whether the scheme is `sips`.
    pub is_sips: bool,
    /// A domain or a numeric address; IPv6 with or without brackets.
    pub host: &'a str,
    /// The port, if the URI names one.
    pub port: Option<u16>,
    /// The `transport` parameter.
    pub transport: Option<Transport>,
    /// The `maddr` parameter, which replaces the host.
    pub maddr: Option<&'a str>,
}

impl<'a> TargetQuery<'a> {
    /// The name that is looked for, which RFC 3263 §4 calls TARGET.
    pub fn name(&self) -> &'a str {
        self.maddr.unwrap_or(self.host)
    }
}

/// Which addresses are of use, and which of them come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Families {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both, IPv4 first.
    #[default]
    V4First,
    /// Both, IPv6 first.
    V6First,
}

impl Families {
    /// Whether an address is of use.
    pub fn has(self, addr: IpAddr) -> bool {
        match self {
            Self::V4 => addr.is_ipv4(),
            Self::V6 => addr.is_ipv6(),
            Self::V4First | Self::V6First => true,
        }
    }

    /// Leaves the addresses that are of use, in the order of preference.
    fn sift(self, addrs: &mut Vec<IpAddr>) {
        addrs.retain(|addr| self.has(*addr));
        addrs.sort_by_key(|addr| addr.is_ipv6() != (self == Self::V6First));
    }
}

/// What this element can send with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supported {
    /// The transports, the preferred one first; it counts where the domain leaves the choice.
    pub transports: Vec<Transport>,
    /// The address families.
    pub families: Families,
}

/// Why a URI leads nowhere before DNS was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// The URI wants TLS on the way, which is not configured (RFC 5630 §5.3).
    #[error("sips needs TLS, which is not configured")]
    NoTls,
    /// The URI contradicts itself: `sips` is never sent over UDP (RFC 3261 §26.2.2).
    #[error("sips over UDP")]
    SipsOverUdp,
    /// The URI needs a transport that is not configured.
    #[error("the transport is not supported")]
    Transport,
    /// The URI's address is of a family that is not configured.
    #[error("the address family is not supported")]
    Family,
}

impl TargetError {
    /// The reply to the request that has this URI.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Self::NoTls => (480, "Temporarily Unavailable"),
            Self::SipsOverUdp => (400, "Bad Request"),
            Self::Transport | Self::Family => (502, "Bad Gateway"),
        }
    }
}

/// What to ask DNS next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// The NAPTR records of a name.
    Naptr(&'a str),
    /// The SRV records of a name.
    Srv(&'a str),
    /// The A and AAAA records of a name, as far as the families are of use.
    Addresses(&'a str),
}

/// What DNS said; a list is empty if the name or the records do not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Naptr`].
    Naptr(Vec<Naptr>),
    /// To [`Question::Srv`].
    Srv(Vec<Srv>),
    /// To [`Question::Addresses`].
    Addresses(Vec<IpAddr>),
}

/// One question that stands or may come.
#[derive(Debug)]
enum Ask {
    Naptr { name: String },
    Srv { transport: Transport, name: String },
    Addresses { transport: Transport, name: String, port: u16 },
}

/// The way from a URI to its targets.
///
/// Ask [`question`](Self::question), bring the answer to [`handle_answer`](Self::handle_answer),
/// and so on until there is no question; then [`into_targets`](Self::into_targets).
#[derive(Debug)]
pub struct Resolution<'a> {
    supported: &'a Supported,
    is_sips: bool,
    /// The question that stands, and those that come after it unless its answer is better.
    asks: VecDeque<Ask>,
    targets: Vec<Target>,
    random: Random,
}

impl<'a> Resolution<'a> {
    /// Begins with a URI. A numeric address needs no question at all (RFC 3263 §4.2).
    ///
    /// `seed` is a random number; it decides between servers of equal priority.
    pub fn new(
        query: &TargetQuery<'_>,
        supported: &'a Supported,
        seed: u64,
    ) -> Result<Self, TargetError> {
        let transport = chosen(query, supported)?;
        let mut resolution = Self {
            supported,
            is_sips: query.is_sips,
            asks: VecDeque::new(),
            targets: Vec::new(),
            random: Random(seed),
        };
        let name = query.name();
        let port = query.port.unwrap_or(transport.default_port());
        if let Some(ip) = numeric(name) {
            if !supported.families.has(ip) {
                return Err(TargetError::Family);
            }
            resolution.targets.push(Target { transport, addr: SocketAddr::new(ip, port) });
            return Ok(resolution);
        }
        let asks = &mut resolution.asks;
        match (query.transport, query.port) {
            (_, Some(_)) => {}
            (Some(_), None) => asks.extend(srv(transport, name)),
            (None, None) => asks.push_back(Ask::Naptr { name: name.to_owned() }),
        }
        asks.push_back(Ask::Addresses { transport, name: name.to_owned(), port });
        Ok(resolution)
    }

    /// The question to ask now; `None` at the end.
    pub fn question(&self) -> Option<Question<'_>> {
        Some(match self.asks.front()? {
            Ask::Naptr { name } => Question::Naptr(name),
            Ask::Srv { name, .. } => Question::Srv(name),
            Ask::Addresses { name, .. } => Question::Addresses(name),
        })
    }

    /// Takes the answer to the question that stands; one to another question counts as empty.
    pub fn handle_answer(&mut self, answer: Answer) {
        match (self.asks.pop_front(), answer) {
            (Some(Ask::Naptr { name }), Answer::Naptr(records)) => self.follow(&name, records),
            (Some(Ask::Naptr { name }), _) => self.ask_all_services(&name),
            (Some(Ask::Srv { transport, .. }), Answer::Srv(records)) => {
                self.take_servers(transport, records);
            }
            (Some(Ask::Addresses { transport, port, .. }), Answer::Addresses(addrs)) => {
                self.take_addresses(transport, port, addrs);
            }
            _ => {}
        }
    }

    /// The targets in the order in which to try them; none if the URI leads nowhere.
    pub fn into_targets(self) -> Vec<Target> {
        self.targets
    }

    /// Asks for the servers that the applicable NAPTR records name, the most preferred first, or
    /// for those of each transport if no record applies (RFC 3263 §4.1).
    fn follow(&mut self, domain: &str, mut records: Vec<Naptr>) {
        records.retain(|record| record.flags.eq_ignore_ascii_case("s") && record.regexp.is_empty());
        records.sort_by_key(|record| (record.order, record.preference));
        records.truncate(MAX_TARGETS);
        let before = self.asks.len();
        for Naptr { service, replacement: name, .. } in records.into_iter().rev() {
            if let Some(transport) = Transport::from_naptr(&service)
                && self.may_use(transport)
            {
                self.asks.push_front(Ask::Srv { transport, name });
            }
        }
        if self.asks.len() == before {
            self.ask_all_services(domain);
        }
    }

    /// Asks for the servers of each transport, because no NAPTR record chose one.
    fn ask_all_services(&mut self, domain: &str) {
        for &transport in self.supported.transports.iter().rev() {
            if self.may_use(transport)
                && let Some(ask) = srv(transport, domain)
            {
                self.asks.push_front(ask);
            }
        }
    }

    /// Asks for the servers' addresses and for nothing else (RFC 3263 §4.2).
    ///
    /// A transport that the domain declares absent is not tried at the domain itself, either.
    fn take_servers(&mut self, transport: Transport, mut records: Vec<Srv>) {
        let existed = !records.is_empty();
        records.retain(|record| record.target != ".");
        if !records.is_empty() {
            self.asks.clear();
            let servers = self.random.order(records).into_iter().take(MAX_TARGETS);
            self.asks.extend(servers.map(|Srv { target: name, port, .. }| Ask::Addresses {
                transport,
                name,
                port,
            }));
        } else if existed {
            let is_same =
                |ask: &Ask| matches!(ask, Ask::Addresses { transport: t, .. } if *t == transport);
            self.asks.retain(|ask| !is_same(ask));
        }
    }

    fn take_addresses(&mut self, transport: Transport, port: u16, mut addrs: Vec<IpAddr>) {
        self.supported.families.sift(&mut addrs);
        for ip in addrs {
            let target = Target { transport, addr: SocketAddr::new(ip, port) };
            if self.targets.len() < MAX_TARGETS && !self.targets.contains(&target) {
                self.targets.push(target);
            }
        }
        if self.targets.len() == MAX_TARGETS {
            self.asks.clear();
        }
    }

    fn may_use(&self, transport: Transport) -> bool {
        self.supported.transports.contains(&transport) && (transport.is_secure() || !self.is_sips)
    }
}

/// The transport that the URI names or that is the default where DNS chooses none.
fn chosen(query: &TargetQuery<'_>, supported: &Supported) -> Result<Transport, TargetError> {
    let transports = &supported.transports;
    let transport = match (query.transport, query.is_sips) {
        (Some(named), true) => named.secured().ok_or(TargetError::SipsOverUdp)?,
        (Some(named), false) => named,
        (None, true) if transports.contains(&Transport::Tls) => Transport::Tls,
        (None, true) => Transport::Wss,
        (None, false) if transports.contains(&Transport::Udp) => Transport::Udp,
        (None, false) => *transports.first().ok_or(TargetError::Transport)?,
    };
    let missing = if query.is_sips { TargetError::NoTls } else { TargetError::Transport };
    transports.contains(&transport).then_some(transport).ok_or(missing)
}

fn srv(transport: Transport, domain: &str) -> Option<Ask> {
    Some(Ask::Srv { transport, name: transport.srv_name(domain)? })
}

/// The address that a host is, if it is one.
fn numeric(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

#[cfg(test)]
mod tests;
