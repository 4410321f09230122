//! From the configuration to TLS and WebSockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::clock;
use crate::config::{ClientCertificate, Listen, ListenTransport, SipConfig, TlsConfig};
use crate::net::tcp::Layers;
use crate::net::tls::{Clients, KeyFiles, Tls, TlsError, TlsSettings};
use crate::net::ws;

/// Why there is no TLS as it is configured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LayersError {
    /// A listener has no certificate.
    #[error("`{0}` needs `certificate` in [sip.tls]")]
    NoCertificate(Listen),
    /// Nobody can say whether a client's certificate is good.
    #[error("`client_certificate` needs `client_ca` in [sip.tls]")]
    NoClientAuthority,
    /// A file is of no use.
    #[error("[sip.tls] {0}")]
    File(#[from] TlsError),
}

/// What lies between TCP and SIP; reads the files of certificates.
pub(super) fn layers(sip: &SipConfig) -> Result<Layers, LayersError> {
    let has_certificate = |tls: &TlsConfig| tls.certificate.is_some() || !tls.domains.is_empty();
    let needs_certificate =
        |listen: &&Listen| matches!(listen.transport, ListenTransport::Tls | ListenTransport::Wss);
    if let Some(listen) = sip.listen.iter().find(needs_certificate)
        && !sip.tls.as_ref().is_some_and(has_certificate)
    {
        return Err(LayersError::NoCertificate(*listen));
    }
    let tls = match &sip.tls {
        Some(tls) => Some(Arc::new(Tls::load(settings(tls)?, clock::unix_time())?)),
        None => None,
    };
    let (path, origins) = (sip.websocket.path.clone(), sip.websocket.origins.clone());
    Ok(Layers { tls, websocket: ws::Rules { path, origins } })
}

fn settings(tls: &TlsConfig) -> Result<TlsSettings, LayersError> {
    let client_ca = || tls.client_ca.clone().ok_or(LayersError::NoClientAuthority);
    let certificate = tls.certificate.as_deref();
    let domain = |domain: &crate::config::TlsDomain| {
        (domain.name.clone(), files(&domain.certificate, domain.private_key.as_ref()))
    };
    Ok(TlsSettings {
        certificate: certificate.map(|file| files(file, tls.private_key.as_ref())),
        domains: tls.domains.iter().map(domain).collect(),
        clients: match tls.client_certificate {
            ClientCertificate::No => Clients::Any,
            ClientCertificate::Ask => Clients::Asked(client_ca()?),
            ClientCertificate::Require => Clients::Required(client_ca()?),
        },
        authorities: tls.ca.clone(),
        verifies_servers: tls.verify_server,
        handshake: tls.handshake_timeout,
    })
}

fn files(certificate: &Path, private_key: Option<&PathBuf>) -> KeyFiles {
    let private_key = private_key.map_or(certificate, PathBuf::as_path).to_owned();
    KeyFiles { certificate: certificate.to_owned(), private_key }
}
