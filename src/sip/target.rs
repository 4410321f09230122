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
mod tests {
    use super::*;
    use Transport::{Tcp, Tls, Udp, Ws, Wss};

    /// A zone as text, one record per line, and the questions that it was asked.
    struct Zone(&'static str);

    impl Zone {
        fn records(&self, name: &str, kind: &str) -> Vec<Vec<&'static str>> {
            let rows = self.0.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let rows = rows.filter(|row| row.len() > 2 && row[0] == name && row[1] == kind);
            rows.map(|row| row[2..].to_vec()).collect()
        }

        fn answer(&self, question: Question<'_>) -> Answer {
            match question {
                Question::Naptr(name) => {
                    let rows = self.records(name, "NAPTR").into_iter();
                    Answer::Naptr(rows.map(|row| naptr(&row)).collect())
                }
                Question::Srv(name) => {
                    let rows = self.records(name, "SRV").into_iter();
                    Answer::Srv(rows.map(|row| server(&row)).collect())
                }
                Question::Addresses(name) => {
                    let rows = self.records(name, "A").into_iter();
                    Answer::Addresses(rows.map(|row| row[0].parse().unwrap()).collect())
                }
            }
        }

        /// The targets as text, after the questions that led to them.
        fn resolve(&self, query: TargetQuery<'_>, supported: &Supported) -> String {
            let mut resolution = match Resolution::new(&query, supported, 1) {
                Ok(resolution) => resolution,
                Err(error) => return error.to_string(),
            };
            let mut words = Vec::new();
            while let Some(question) = resolution.question() {
                words.push(match question {
                    Question::Naptr(name) => format!("naptr {name}"),
                    Question::Srv(name) => format!("srv {name}"),
                    Question::Addresses(name) => format!("a {name}"),
                });
                let answer = self.answer(question);
                resolution.handle_answer(answer);
            }
            let targets = resolution.into_targets();
            words.extend(targets.iter().map(|t| format!("{}:{}", t.transport, t.addr)));
            words.join(" | ")
        }
    }

    fn naptr(row: &[&str]) -> Naptr {
        Naptr {
            order: row[0].parse().unwrap(),
            preference: row[1].parse().unwrap(),
            flags: row[2].into(),
            service: row[3].into(),
            regexp: row.get(5).copied().unwrap_or_default().into(),
            replacement: row[4].into(),
        }
    }

    fn server(row: &[&str]) -> Srv {
        Srv {
            priority: row[0].parse().unwrap(),
            weight: row[1].parse().unwrap(),
            port: row[2].parse().unwrap(),
            target: row[3].into(),
        }
    }

    /// The example of RFC 3263 §4.1, with addresses.
    const EXAMPLE: Zone = Zone(
        "
        example.com            NAPTR 50  50 s SIPS+D2T _sips._tcp.example.com
        example.com            NAPTR 100 50 s SIP+D2U  _sip._udp.example.com
        example.com            NAPTR 90  50 s SIP+D2T  _sip._tcp.example.com
        _sip._tcp.example.com  SRV   2 0 5060 backup.example.com
        _sip._tcp.example.com  SRV   1 0 5070 server1.example.com
        _sip._udp.example.com  SRV   1 0 5080 server1.example.com
        _sips._tcp.example.com SRV   1 0 5071 server1.example.com
        server1.example.com    A     192.0.2.1
        server1.example.com    A     2001:db8::1
        backup.example.com     A     192.0.2.2
        example.com            A     192.0.2.3
        ",
    );

    const SIP: TargetQuery<'_> = TargetQuery {
        is_sips: false,
        host: "example.com",
        port: None,
        transport: None,
        maddr: None,
    };
    const SIPS: TargetQuery<'_> = TargetQuery { is_sips: true, ..SIP };

    fn supported(transports: &[Transport]) -> Supported {
        Supported { transports: transports.to_vec(), families: Families::V4 }
    }

    #[track_caller]
    fn leads(zone: &Zone, query: TargetQuery<'_>, transports: &[Transport], expected: &str) {
        assert_eq!(zone.resolve(query, &supported(transports)), expected, "{query:?}");
    }

    #[test]
    fn s4_2_a_numeric_host_needs_no_question() {
        let all = Transport::ALL;
        let host = |host| TargetQuery { host, ..SIP };
        leads(&EXAMPLE, host("192.0.2.9"), &all, "UDP:192.0.2.9:5060");
        leads(
            &EXAMPLE,
            TargetQuery { port: Some(5099), ..host("192.0.2.9") },
            &all,
            "UDP:192.0.2.9:5099",
        );
        leads(
            &EXAMPLE,
            TargetQuery { is_sips: true, ..host("192.0.2.9") },
            &all,
            "TLS:192.0.2.9:5061",
        );
        leads(
            &EXAMPLE,
            TargetQuery { transport: Some(Ws), ..host("192.0.2.9") },
            &all,
            "WS:192.0.2.9:80",
        );
        leads(
            &EXAMPLE,
            TargetQuery { maddr: Some("192.0.2.8"), ..SIP },
            &all,
            "UDP:192.0.2.8:5060",
        );
        let both = Supported { transports: vec![Udp], families: Families::V6First };
        for six in ["[2001:db8::9]", "2001:db8::9"] {
            assert_eq!(EXAMPLE.resolve(host(six), &both), "UDP:[2001:db8::9]:5060");
            leads(&EXAMPLE, host(six), &all, "the address family is not supported");
        }
    }

    #[test]
    fn s4_1_naptr_chooses_the_transport_that_both_sides_know() {
        leads(
            &EXAMPLE,
            SIP,
            &[Udp, Tcp],
            "naptr example.com | srv _sip._tcp.example.com | a server1.example.com \
             | a backup.example.com | TCP:192.0.2.1:5070 | TCP:192.0.2.2:5060",
        );
        leads(
            &EXAMPLE,
            SIP,
            &[Udp, Tcp, Tls],
            "naptr example.com | srv _sips._tcp.example.com | a server1.example.com \
             | TLS:192.0.2.1:5071",
        );
    }

    #[test]
    fn s4_1_sips_discards_every_service_without_tls() {
        let zone = Zone(
            "
            example.com           NAPTR 10 10 s SIP+D2T _sip._tcp.example.com
            _sip._tcp.example.com SRV   1 0 5060 plain.example.com
            plain.example.com     A     192.0.2.1
            ",
        );
        leads(
            &zone,
            SIPS,
            &[Udp, Tcp, Tls],
            "naptr example.com | srv _sips._tcp.example.com | a example.com",
        );
    }

    #[test]
    fn s4_1_records_of_other_kinds_are_passed_over() {
        let zone = Zone(
            "
            example.com            NAPTR 1 1 u E2U+sip  ignored.example.com !^.*$!sip:x!
            example.com            NAPTR 1 2 a SIP+D2U  ignored.example.com
            example.com            NAPTR 1 3 s SIP+D2S  ignored.example.com
            example.com            NAPTR 9 9 S sip+d2u  _sip._udp.example.net
            _sip._udp.example.net  SRV   1 0 5060 server.example.net
            server.example.net     A     192.0.2.1
            ",
        );
        leads(
            &zone,
            SIP,
            &[Udp],
            "naptr example.com | srv _sip._udp.example.net | a server.example.net \
             | UDP:192.0.2.1:5060",
        );
    }

    #[test]
    fn s4_1_without_naptr_each_transport_is_asked_for_in_our_order() {
        let zone = Zone(
            "
            _sip._udp.example.com SRV 1 0 5060 server.example.com
            server.example.com    A   192.0.2.1
            ",
        );
        leads(
            &zone,
            SIP,
            &[Tls, Tcp, Udp, Ws],
            "naptr example.com | srv _sips._tcp.example.com | srv _sip._tcp.example.com \
             | srv _sip._udp.example.com | a server.example.com | UDP:192.0.2.1:5060",
        );
    }

    #[test]
    fn s4_1_without_any_service_record_the_domain_is_the_host() {
        let zone = Zone("example.com A 192.0.2.3");
        leads(
            &zone,
            SIP,
            &[Tcp, Udp],
            "naptr example.com | srv _sip._tcp.example.com | srv _sip._udp.example.com \
             | a example.com | UDP:192.0.2.3:5060",
        );
        leads(
            &zone,
            SIPS,
            &[Udp, Tls],
            "naptr example.com | srv _sips._tcp.example.com | a example.com | TLS:192.0.2.3:5061",
        );
    }

    #[test]
    fn s4_2_a_port_leads_straight_to_the_addresses() {
        let query = TargetQuery { port: Some(5060), ..SIP };
        leads(&EXAMPLE, query, &[Udp, Tcp], "a example.com | UDP:192.0.2.3:5060");
        let query = TargetQuery { port: Some(5061), transport: Some(Tcp), ..SIPS };
        leads(&EXAMPLE, query, &[Udp, Tcp, Tls], "a example.com | TLS:192.0.2.3:5061");
    }

    #[test]
    fn s4_2_a_transport_leads_straight_to_its_servers() {
        let query = TargetQuery { transport: Some(Udp), ..SIP };
        leads(
            &EXAMPLE,
            query,
            &[Tcp, Udp],
            "srv _sip._udp.example.com | a server1.example.com | UDP:192.0.2.1:5080",
        );
        let query = TargetQuery { transport: Some(Wss), ..SIP };
        leads(&EXAMPLE, query, &[Wss], "a example.com | WSS:192.0.2.3:443");
    }

    #[test]
    fn rfc2782_a_service_declared_absent_is_not_sought_at_the_domain() {
        let zone = Zone(
            "
            _sip._udp.example.com SRV 0 0 0 .
            example.com           A   192.0.2.3
            ",
        );
        let query = TargetQuery { transport: Some(Udp), ..SIP };
        leads(&zone, query, &[Udp], "srv _sip._udp.example.com");
        leads(
            &zone,
            SIP,
            &[Udp, Tcp],
            "naptr example.com | srv _sip._udp.example.com | srv _sip._tcp.example.com",
        );
    }

    #[test]
    fn a_uri_that_we_cannot_follow_says_why() {
        leads(
            &EXAMPLE,
            TargetQuery { transport: Some(Udp), ..SIPS },
            &Transport::ALL,
            "sips over UDP",
        );
        let unsupported = "the transport is not supported";
        leads(&EXAMPLE, TargetQuery { transport: Some(Tls), ..SIP }, &[Udp, Tcp], unsupported);
        let insecure = "sips needs TLS, which is not configured";
        leads(&EXAMPLE, SIPS, &[Udp, Tcp], insecure);
        leads(&EXAMPLE, SIP, &[], unsupported);
    }

    #[test]
    fn both_families_come_in_the_order_of_preference() {
        let query = TargetQuery { host: "server1.example.com", port: Some(1), ..SIP };
        let resolve =
            |families| EXAMPLE.resolve(query, &Supported { transports: vec![Udp], families });
        let (asked, four, six) =
            ("a server1.example.com", "UDP:192.0.2.1:1", "UDP:[2001:db8::1]:1");
        assert_eq!(resolve(Families::V4), format!("{asked} | {four}"));
        assert_eq!(resolve(Families::V6), format!("{asked} | {six}"));
        assert_eq!(resolve(Families::V4First), format!("{asked} | {four} | {six}"));
        assert_eq!(resolve(Families::V6First), format!("{asked} | {six} | {four}"));
    }

    #[test]
    fn a_flood_of_records_is_cut() {
        let supported = supported(&[Udp]);
        let query = TargetQuery { port: Some(1), ..SIP };
        let mut resolution = Resolution::new(&query, &supported, 1).unwrap();
        let many = (0..=u8::MAX).map(|last| IpAddr::from([192, 0, 2, last])).collect();
        resolution.handle_answer(Answer::Addresses(many));
        assert_eq!(resolution.into_targets().len(), MAX_TARGETS);
    }

    #[test]
    fn an_answer_to_another_question_counts_as_empty() {
        let supported = supported(&[Udp]);
        let mut resolution = Resolution::new(&SIP, &supported, 1).unwrap();
        for _ in 0..3 {
            resolution.handle_answer(Answer::Srv(Vec::new()));
        }
        assert_eq!(resolution.question(), None);
        resolution.handle_answer(Answer::Addresses(Vec::new()));
        assert_eq!(resolution.into_targets(), []);
    }
}
