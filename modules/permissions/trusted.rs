//! Peers that are trusted by address, transport and the URIs of their requests.

use std::net::IpAddr;

use ahash::AHashMap;
use regex::{Regex, RegexBuilder};

use crate::sip::transport::Transport;
use crate::store::{Column, ColumnType, Row, Statement, Table};

/// Kamailio's `trusted`.
pub(super) static TRUSTED: Table = Table::new(
    "trusted",
    6,
    &[
        Column::new("id", ColumnType::Id),
        Column::new("src_ip", ColumnType::Text(50)),
        Column::new("proto", ColumnType::Text(4)),
        Column::new("from_pattern", ColumnType::Text(64)).nullable(),
        Column::new("ruri_pattern", ColumnType::Text(64)).nullable(),
        Column::new("tag", ColumnType::Text(64)).nullable(),
        Column::new("priority", ColumnType::Int).default("0"),
    ],
)
.indexes(&[&["src_ip"]]);

/// The most memory that a pattern may take, compiled.
const MAX_PATTERN: usize = 1 << 20;

/// The question for every peer.
pub(super) fn question(table: &str) -> Statement {
    Statement::new(format!(
        "SELECT src_ip, proto, from_pattern, ruri_pattern, tag FROM {table} \
         ORDER BY priority DESC, id"
    ))
}

/// One row: who is trusted.
#[derive(Debug)]
pub(super) struct Peer {
    ip: IpAddr,
    /// Any when there is none.
    transport: Option<Transport>,
    from: Option<Regex>,
    request_uri: Option<Regex>,
    tag: Box<str>,
}

/// Every peer, by address.
#[derive(Debug, Default)]
pub(super) struct Peers(AHashMap<IpAddr, Vec<Peer>>);

impl Peers {
    pub(super) fn new(peers: Vec<Peer>) -> Self {
        let mut by_address = AHashMap::<_, Vec<_>>::new();
        for peer in peers {
            by_address.entry(peer.ip).or_default().push(peer);
        }
        Self(by_address)
    }

    /// The tag of the first peer that fits.
    pub(super) fn find(
        &self,
        ip: IpAddr,
        transport: Transport,
        from: &str,
        request_uri: &str,
    ) -> Option<&str> {
        let peers = self.0.get(&ip.to_canonical())?;
        let is_it = |pattern: &Option<Regex>, text: &str| {
            pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
        };
        let fits = |peer: &&Peer| {
            peer.transport.is_none_or(|wanted| wanted == transport)
                && is_it(&peer.from, from)
                && is_it(&peer.request_uri, request_uri)
        };
        peers.iter().find(fits).map(|peer| &*peer.tag)
    }
}

/// The peer of a row, or nothing when it makes no sense.
pub(super) fn peer(row: &Row) -> Option<Peer> {
    let ip: IpAddr = row.text(0)?.trim().parse().ok()?;
    let transport = match row.text(1)?.trim() {
        any if any.eq_ignore_ascii_case("any") => None,
        name => Some(name.parse().ok()?),
    };
    let pattern = |column: usize| match row.text(column).filter(|text| !text.is_empty()) {
        None => Some(None),
        Some(text) => RegexBuilder::new(text).size_limit(MAX_PATTERN).build().ok().map(Some),
    };
    Some(Peer {
        ip: ip.to_canonical(),
        transport,
        from: pattern(2)?,
        request_uri: pattern(3)?,
        tag: row.text(4).unwrap_or("").into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Value;

    fn row(ip: &str, proto: &str, from: Option<&str>, ruri: Option<&str>, tag: &str) -> Row {
        Row(vec![ip.into(), proto.into(), Value::from(from), Value::from(ruri), tag.into()])
    }

    #[test]
    fn a_peer_is_trusted_for_what_its_row_says() {
        let rows = [
            row("192.0.2.7", "udp", Some("^sip:alice@"), Some("@sip\\.example$"), "one"),
            row("192.0.2.7", "ANY", Some("^sip:bob@"), Some(""), "two"),
            row("2001:db8::7", "tls", None, None, "six"),
        ];
        let peers = Peers::new(rows.iter().filter_map(peer).collect());
        let find = |ip: &str, transport, from: &str, uri: &str| {
            peers.find(ip.parse().unwrap(), transport, from, uri).map(str::to_owned)
        };
        let (udp, tcp, tls) = (Transport::Udp, Transport::Tcp, Transport::Tls);
        let (alice, bob, uri) = ("sip:alice@a", "sip:bob@a", "sip:x@sip.example");
        assert_eq!(find("192.0.2.7", udp, alice, uri).as_deref(), Some("one"));
        assert_eq!(find("::ffff:192.0.2.7", udp, alice, uri).as_deref(), Some("one"));
        assert_eq!(find("192.0.2.7", tcp, alice, uri), None);
        assert_eq!(find("192.0.2.7", udp, alice, "sip:x@other"), None);
        assert_eq!(find("192.0.2.7", tcp, bob, "sip:x@other").as_deref(), Some("two"));
        assert_eq!(find("192.0.2.8", udp, bob, uri), None);
        assert_eq!(find("2001:db8::7", tls, "", "").as_deref(), Some("six"));
    }

    #[test]
    fn rows_that_make_no_sense_are_none() {
        for bad in [
            row("host", "any", None, None, ""),
            row("192.0.2.7", "none", None, None, ""),
            row("192.0.2.7", "any", Some("("), None, ""),
            row("192.0.2.7", "any", None, Some("(a{1000}){1000}"), ""),
        ] {
            assert!(peer(&bad).is_none(), "{bad:?}");
        }
    }
}
