//! Where the server of a component is: SRV records, then addresses of both families.

use std::io;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;
use tokio::net::lookup_host;

use super::ComponentLink;
use crate::net::dns::{DnsError, Resolver};
use crate::sip::target::{Families, ordered};

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
    link: &ComponentLink,
    resolver: Option<&Resolver>,
) -> Result<Vec<SocketAddr>, LocateError> {
    let host = link.host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![(ip, link.port).into()]);
    }
    let Some(resolver) = resolver else {
        return Ok(lookup_host((host, link.port)).await?.collect());
    };
    let (mut found, mut failure) = (Vec::new(), None);
    for (host, port) in servers(link, host, resolver).await? {
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
    link: &ComponentLink,
    host: &str,
    resolver: &Resolver,
) -> Result<Vec<(String, u16)>, LocateError> {
    let mut records = Vec::new();
    if link.srv {
        records = resolver.srv(&format!("_xmpp-component._tcp.{host}")).await?;
    }
    if records.is_empty() {
        return Ok(vec![(host.to_owned(), link.port)]);
    }
    records.retain(|record| record.target != ".");
    let records = ordered(records, rand::random());
    Ok(records.into_iter().map(|record| (record.target, record.port)).collect())
}
