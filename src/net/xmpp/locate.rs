//! Where a server is: SRV records, then addresses of both families.

use std::io;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;
use tokio::net::lookup_host;

use crate::net::dns::{DnsError, Resolver};
use crate::sip::target::{Families, ordered};

/// What is said of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whereabouts<'a> {
    /// A name or an address.
    pub(super) host: &'a str,
    /// The port where SRV records name none.
    pub(super) port: u16,
    /// The service whose SRV records are asked for, as `_xmpp-client._tcp`, at this domain.
    pub(super) srv: Option<(&'static str, &'a str)>,
}

/// Why the server is not found.
#[derive(Debug, Error)]
pub(super) enum LocateError {
    #[error("server not found")]
    NotFound,
    #[error("server not found: {0}")]
    Dns(#[from] DnsError),
    #[error("server not found: {0}")]
    System(#[from] io::Error),
}

/// The addresses to try, in this order; without a resolver the system is asked, which knows no SRV.
pub(super) async fn addresses(
    server: Whereabouts<'_>,
    resolver: Option<&Resolver>,
) -> Result<Vec<SocketAddr>, LocateError> {
    let host = server.host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = host.parse::<IpAddr>()
        && server.srv.is_none_or(|(_, domain)| domain == server.host)
    {
        return Ok(vec![(ip, server.port).into()]);
    }
    let Some(resolver) = resolver else {
        return Ok(lookup_host((host, server.port)).await?.collect());
    };
    let (mut found, mut failure) = (Vec::new(), None);
    for (host, port) in servers(server, host, resolver).await? {
        if let Ok(ip) = host.parse::<IpAddr>() {
            found.push((ip, port).into());
            continue;
        }
        match resolver.addresses(&host, Families::V4First).await {
            Ok(addresses) => {
                found.extend(addresses.into_iter().map(|ip| SocketAddr::from((ip, port))))
            }
            Err(error) => failure = Some(error),
        }
    }
    match failure.filter(|_| found.is_empty()) {
        Some(error) => Err(error.into()),
        None => Ok(found),
    }
}

/// The servers that SRV records name; the host itself where there are none.
async fn servers(
    server: Whereabouts<'_>,
    host: &str,
    resolver: &Resolver,
) -> Result<Vec<(String, u16)>, LocateError> {
    let mut records = Vec::new();
    if let Some((service, domain)) = server.srv {
        records = resolver.srv(&format!("{service}.{domain}")).await?;
    }
    if records.is_empty() {
        return Ok(vec![(host.to_owned(), server.port)]);
    }
    records.retain(|record| record.target != ".");
    let records = ordered(records, rand::random());
    Ok(records.into_iter().map(|record| (record.target, record.port)).collect())
}
