//! The name servers' side of RFC 3263: asks what a [`Resolution`] wants to know.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolverConfig, ServerOrderingStrategy,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use thiserror::Error;
use tokio::time::timeout;

use crate::sip::target::{
    Answer, Families, Naptr, Question, Resolution, Srv, Supported, Target, TargetError, TargetQuery,
};

/// How long one question may take before it is asked again.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a name led nowhere.
#[derive(Debug, Error)]
pub enum DnsError {
    /// The text cannot be a domain name.
    #[error("{0:?} is no domain name")]
    BadName(Box<str>),
    /// The URI leads nowhere by itself.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The name servers know no server of that name that we could reach.
    #[error("no server found")]
    NotFound,
    /// The name servers took longer than allowed.
    #[error("the name servers did not answer in time")]
    Timeout,
    /// The name servers refused, failed or could not be reached.
    #[error("the name servers failed")]
    Unavailable(#[source] NetError),
    /// The system's list of name servers cannot be read.
    #[error("the list of name servers cannot be read")]
    SystemConfig(#[source] NetError),
}

impl DnsError {
    /// The reply to the request whose target was looked for.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Self::BadName(_) => (400, "Bad Request"),
            Self::Target(error) => error.status(),
            Self::NotFound => (404, "Not Found"),
            Self::Timeout => (504, "Server Time-out"),
            Self::Unavailable(_) => (502, "Bad Gateway"),
            Self::SystemConfig(_) => (500, "Server Internal Error"),
        }
    }
}

impl From<NetError> for DnsError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Timeout => Self::Timeout,
            error => Self::Unavailable(error),
        }
    }
}

/// Asks name servers and remembers their answers as long as these allow; clones share the memory.
///
/// Its connections live on the runtime that first asked.
#[derive(Clone)]
pub struct Resolver {
    hickory: TokioResolver,
    deadline: Duration,
}

impl Resolver {
    /// Asks the name servers of the system. One resolution takes `deadline` at most.
    pub fn from_system(deadline: Duration) -> Result<Self, DnsError> {
        let mut builder = TokioResolver::builder_tokio().map_err(DnsError::SystemConfig)?;
        builder.options_mut().timeout = QUESTION_TIMEOUT;
        let hickory = builder.build().map_err(DnsError::SystemConfig)?;
        Ok(Self { hickory, deadline })
    }

    /// Asks these name servers, in this order. One resolution takes `deadline` at most.
    pub fn with_servers(servers: &[SocketAddr], deadline: Duration) -> Result<Self, DnsError> {
        let servers = servers.iter().map(|server| {
            let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            connections.iter_mut().for_each(|connection| connection.port = server.port());
            NameServerConfig::new(server.ip(), true, connections)
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        builder.options_mut().timeout = QUESTION_TIMEOUT;
        builder.options_mut().server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        Ok(Self { hickory: builder.build().map_err(DnsError::SystemConfig)?, deadline })
    }

    /// The targets of a URI in the order in which to try them; never an empty list.
    ///
    /// A question that fails counts as one without records, because some name servers fail at
    /// NAPTR only; the failure is reported if nothing else leads to a target. What was found
    /// before the deadline is returned at the deadline.
    pub async fn resolve(
        &self,
        query: &TargetQuery<'_>,
        supported: &Supported,
    ) -> Result<Vec<Target>, DnsError> {
        let mut resolution = Resolution::new(query, supported, rand::random())?;
        if resolution.question().is_some() {
            domain_name(query.name())?;
        }
        let mut failure = None;
        let answered = timeout(self.deadline, async {
            while let Some(question) = resolution.question() {
                let (answer, failed) = match self.ask(question, supported.families).await {
                    Ok(answer) => (answer, None),
                    Err(error) => (Answer::Addresses(Vec::new()), Some(error)),
                };
                failure = failure.take().or(failed);
                resolution.handle_answer(answer);
            }
        });
        let is_late = answered.await.is_err();
        let targets = resolution.into_targets();
        if !targets.is_empty() {
            return Ok(targets);
        }
        Err(failure.unwrap_or(if is_late { DnsError::Timeout } else { DnsError::NotFound }))
    }

    /// The SRV records of a name, unsorted; an empty list if it has none.
    pub async fn srv(&self, name: &str) -> Result<Vec<Srv>, DnsError> {
        self.in_time(self.ask_srv(name)).await
    }

    /// The addresses of a name that are of use; an empty list if it has none.
    pub async fn addresses(&self, name: &str, families: Families) -> Result<Vec<IpAddr>, DnsError> {
        self.in_time(self.ask_addresses(name, families)).await
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, DnsError>>,
    ) -> Result<T, DnsError> {
        timeout(self.deadline, answer).await.map_err(|_| DnsError::Timeout)?
    }

    async fn ask(&self, question: Question<'_>, families: Families) -> Result<Answer, DnsError> {
        Ok(match question {
            Question::Naptr(name) => Answer::Naptr(self.ask_naptr(name).await?),
            Question::Srv(name) => Answer::Srv(self.ask_srv(name).await?),
            Question::Addresses(name) => {
                Answer::Addresses(self.ask_addresses(name, families).await?)
            }
        })
    }

    async fn ask_naptr(&self, name: &str) -> Result<Vec<Naptr>, DnsError> {
        self.records(name, RecordType::NAPTR, |data| match data {
            RData::NAPTR(naptr) => Some(Naptr {
                order: naptr.order,
                preference: naptr.preference,
                flags: String::from_utf8_lossy(&naptr.flags).into_owned(),
                service: String::from_utf8_lossy(&naptr.services).into_owned(),
                regexp: String::from_utf8_lossy(&naptr.regexp).into_owned(),
                replacement: naptr.replacement.to_ascii(),
            }),
            _ => None,
        })
        .await
    }

    async fn ask_srv(&self, name: &str) -> Result<Vec<Srv>, DnsError> {
        self.records(name, RecordType::SRV, |data| match data {
            RData::SRV(srv) => Some(Srv {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_ascii(),
            }),
            _ => None,
        })
        .await
    }

    /// Both families are asked for at once; one that fails does not hide the other.
    async fn ask_addresses(&self, name: &str, families: Families) -> Result<Vec<IpAddr>, DnsError> {
        let address = |data: &RData| data.ip_addr();
        let (four, six) = match families {
            Families::V4 => (self.records(name, RecordType::A, address).await, Ok(Vec::new())),
            Families::V6 => (Ok(Vec::new()), self.records(name, RecordType::AAAA, address).await),
            Families::V4First | Families::V6First => tokio::join!(
                self.records(name, RecordType::A, address),
                self.records(name, RecordType::AAAA, address),
            ),
        };
        match (four, six) {
            (Ok(four), Ok(six)) => Ok(four.into_iter().chain(six).collect()),
            (Ok(some), Err(_)) | (Err(_), Ok(some)) if !some.is_empty() => Ok(some),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    async fn records<T>(
        &self,
        name: &str,
        kind: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<Vec<T>, DnsError> {
        match self.hickory.lookup(domain_name(name)?, kind).await {
            Ok(lookup) => Ok(read_all(&lookup, read)),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

fn read_all<T>(lookup: &Lookup, read: impl Fn(&RData) -> Option<T>) -> Vec<T> {
    lookup.answers().iter().filter_map(|record| read(&record.data)).collect()
}

/// The name as asked for. Only one of a single label is sought in the system's search domains.
fn domain_name(text: &str) -> Result<Name, DnsError> {
    let mut name = Name::from_ascii(text).map_err(|_| DnsError::BadName(text.into()))?;
    if name.num_labels() == 0 {
        return Err(DnsError::BadName(text.into()));
    }
    if name.num_labels() > 1 {
        name.set_fqdn(true);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
    use hickory_resolver::proto::rr::Record;
    use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, NAPTR, SRV};
    use tokio::net::UdpSocket;

    use super::*;
    use crate::sip::transport::Transport;

    /// A name server on loopback; `fail` and `hang` stand for names that it fails at.
    struct NameServer {
        addr: SocketAddr,
        asked: Arc<AtomicUsize>,
    }

    impl NameServer {
        async fn start(zone: Vec<(&'static str, RData)>) -> Self {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let addr = socket.local_addr().unwrap();
            let asked = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&asked);
            tokio::spawn(async move {
                let mut buffer = [0; 1500];
                while let Ok((len, peer)) = socket.recv_from(&mut buffer).await {
                    counter.fetch_add(1, Ordering::Relaxed);
                    if let Some(answer) = answer(&zone, &buffer[..len]) {
                        socket.send_to(&answer, peer).await.unwrap();
                    }
                }
            });
            Self { addr, asked }
        }

        fn resolver(&self) -> Resolver {
            Resolver::with_servers(&[self.addr], Duration::from_secs(10)).unwrap()
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    fn answer(zone: &[(&str, RData)], question: &[u8]) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).unwrap();
        let query = question.queries[0].clone();
        let name = query.name().to_ascii();
        if name.starts_with("hang.") {
            return None;
        }
        let mut message = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        message.metadata.recursion_available = true;
        let rows = zone.iter().filter(|(owner, _)| *owner == name);
        message.metadata.response_code = match rows.clone().count() {
            _ if name.starts_with("fail.") => ResponseCode::ServFail,
            0 => ResponseCode::NXDomain,
            _ => ResponseCode::NoError,
        };
        for (_, data) in rows {
            let kind = data.record_type();
            if kind == query.query_type() || kind == RecordType::CNAME {
                message.add_answer(Record::from_rdata(query.name().clone(), 60, data.clone()));
            }
        }
        message.queries.push(query);
        Some(message.to_vec().unwrap())
    }

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn four(last: u8) -> RData {
        RData::A(A(Ipv4Addr::new(192, 0, 2, last)))
    }

    fn six(last: u16) -> RData {
        RData::AAAA(AAAA(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)))
    }

    fn srv(priority: u16, port: u16, target: &str) -> RData {
        RData::SRV(SRV::new(priority, 0, port, name(target)))
    }

    fn naptr(order: u16, service: &str, replacement: &str) -> RData {
        let [flags, service, regexp] = ["s", service, ""].map(|text| text.as_bytes().into());
        RData::NAPTR(NAPTR::new(order, 10, flags, service, regexp, name(replacement)))
    }

    fn supported() -> Supported {
        let transports = vec![Transport::Udp, Transport::Tcp];
        Supported { transports, families: Families::V4First }
    }

    fn sip(host: &str) -> TargetQuery<'_> {
        TargetQuery { is_sips: false, host, port: None, transport: None, maddr: None }
    }

    async fn targets(resolver: &Resolver, query: TargetQuery<'_>) -> Result<String, DnsError> {
        let targets = resolver.resolve(&query, &supported()).await?;
        let targets = targets.iter().map(|t| format!("{}:{}", t.transport, t.addr));
        Ok(targets.collect::<Vec<_>>().join(" "))
    }

    #[tokio::test]
    async fn rfc3263_s4_a_domain_leads_over_naptr_and_srv_to_addresses() {
        let server = NameServer::start(vec![
            ("example.com.", naptr(20, "SIP+D2U", "_sip._udp.example.com.")),
            ("example.com.", naptr(10, "SIP+D2T", "_sip._tcp.example.com.")),
            ("_sip._tcp.example.com.", srv(2, 5062, "two.example.com.")),
            ("_sip._tcp.example.com.", srv(1, 5061, "one.example.com.")),
            ("one.example.com.", four(1)),
            ("one.example.com.", six(1)),
            ("two.example.com.", four(2)),
        ])
        .await;
        let found = targets(&server.resolver(), sip("example.com")).await.unwrap();
        assert_eq!(found, "TCP:192.0.2.1:5061 TCP:[2001:db8::1]:5061 TCP:192.0.2.2:5062");
    }

    #[tokio::test]
    async fn rfc3263_s4_2_a_domain_without_services_is_the_host() {
        let server = NameServer::start(vec![("example.com.", four(3))]).await;
        let resolver = server.resolver();
        let found = targets(&resolver, sip("example.com")).await.unwrap();
        assert_eq!(found, "UDP:192.0.2.3:5060");
        let by_port = TargetQuery { port: Some(5099), ..sip("example.com") };
        assert_eq!(targets(&resolver, by_port).await.unwrap(), "UDP:192.0.2.3:5099");
    }

    #[tokio::test]
    async fn an_alias_is_followed() {
        let alias = RData::CNAME(CNAME(name("real.example.com.")));
        let server =
            NameServer::start(vec![("alias.example.com.", alias), ("real.example.com.", four(4))])
                .await;
        let found = server.resolver().addresses("alias.example.com", Families::V4).await.unwrap();
        assert_eq!(found, [IpAddr::from([192, 0, 2, 4])]);
    }

    #[tokio::test]
    async fn an_answer_is_remembered_and_so_is_its_absence() {
        let server =
            NameServer::start(vec![("_x._tcp.example.com.", srv(1, 2, "a.example.com."))]).await;
        let resolver = server.resolver();
        let found = resolver.srv("_x._tcp.example.com").await.unwrap();
        assert_eq!((found[0].port, found[0].target.as_str()), (2, "a.example.com."));
        let asked = server.asked();
        assert_eq!(resolver.clone().srv("_X._tcp.example.com.").await.unwrap().len(), 1);
        assert_eq!(server.asked(), asked);
        assert_eq!(resolver.srv("_y._tcp.example.com").await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_not_found() {
        let server = NameServer::start(vec![]).await;
        let error = targets(&server.resolver(), sip("example.com")).await.unwrap_err();
        assert!(matches!(error, DnsError::NotFound), "{error:?}");
        assert_eq!(error.status().0, 404);
    }

    #[tokio::test]
    async fn a_failing_name_server_is_told_from_a_missing_name() {
        let server = NameServer::start(vec![]).await;
        let error = targets(&server.resolver(), sip("fail.example.com")).await.unwrap_err();
        assert!(matches!(error, DnsError::Unavailable(_)), "{error:?}");
        assert_eq!(error.status().0, 502);
    }

    #[tokio::test]
    async fn a_silent_name_server_costs_no_more_than_the_deadline() {
        let server = NameServer::start(vec![]).await;
        let resolver = Resolver::with_servers(&[server.addr], Duration::from_millis(50)).unwrap();
        let error = targets(&resolver, sip("hang.example.com")).await.unwrap_err();
        assert!(matches!(error, DnsError::Timeout), "{error:?}");
        let error = resolver.srv("hang.example.com").await.unwrap_err();
        assert_eq!(error.status().0, 504);
    }

    #[tokio::test]
    async fn what_was_found_before_the_deadline_is_not_lost() {
        let server = NameServer::start(vec![
            ("_sip._udp.example.com.", srv(1, 5060, "one.example.com.")),
            ("_sip._udp.example.com.", srv(2, 5060, "hang.example.com.")),
            ("one.example.com.", four(1)),
        ])
        .await;
        let resolver = Resolver::with_servers(&[server.addr], Duration::from_millis(500)).unwrap();
        let query = TargetQuery { transport: Some(Transport::Udp), ..sip("example.com") };
        assert_eq!(targets(&resolver, query).await.unwrap(), "UDP:192.0.2.1:5060");
    }

    #[tokio::test]
    async fn a_numeric_host_is_not_asked_for() {
        let server = NameServer::start(vec![]).await;
        let found = targets(&server.resolver(), sip("[2001:db8::7]")).await.unwrap();
        assert_eq!((found.as_str(), server.asked()), ("UDP:[2001:db8::7]:5060", 0));
    }

    #[tokio::test]
    async fn what_is_no_name_is_not_asked_for() {
        let server = NameServer::start(vec![]).await;
        let resolver = server.resolver();
        let long = "a".repeat(64);
        for text in ["", ".", "a..b", &long, "exämple.com"] {
            let error = targets(&resolver, sip(text)).await.unwrap_err();
            assert!(matches!(error, DnsError::BadName(_)), "{text}: {error:?}");
            assert_eq!(error.status().0, 400);
        }
        assert_eq!(server.asked(), 0);
    }
}
