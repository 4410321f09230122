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

const SIP: TargetQuery<'_> =
    TargetQuery { is_sips: false, host: "example.com", port: None, transport: None, maddr: None };
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
    leads(&EXAMPLE, TargetQuery { is_sips: true, ..host("192.0.2.9") }, &all, "TLS:192.0.2.9:5061");
    leads(
        &EXAMPLE,
        TargetQuery { transport: Some(Ws), ..host("192.0.2.9") },
        &all,
        "WS:192.0.2.9:80",
    );
    leads(&EXAMPLE, TargetQuery { maddr: Some("192.0.2.8"), ..SIP }, &all, "UDP:192.0.2.8:5060");
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
    leads(&EXAMPLE, TargetQuery { transport: Some(Udp), ..SIPS }, &Transport::ALL, "sips over UDP");
    let unsupported = "the transport is not supported";
    leads(&EXAMPLE, TargetQuery { transport: Some(Tls), ..SIP }, &[Udp, Tcp], unsupported);
    let insecure = "sips needs TLS, which is not configured";
    leads(&EXAMPLE, SIPS, &[Udp, Tcp], insecure);
    leads(&EXAMPLE, SIP, &[], unsupported);
}

#[test]
fn both_families_come_in_the_order_of_preference() {
    let query = TargetQuery { host: "server1.example.com", port: Some(1), ..SIP };
    let resolve = |families| EXAMPLE.resolve(query, &Supported { transports: vec![Udp], families });
    let (asked, four, six) = ("a server1.example.com", "UDP:192.0.2.1:1", "UDP:[2001:db8::1]:1");
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
