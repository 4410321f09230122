//! Our certificates, and which of them a client is shown.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Fault, KeyFiles, TlsError, TlsSettings, certificates};
use crate::sip::certificate::Certificate;

/// Certificates by the name that clients ask for.
#[derive(Debug)]
pub(super) struct Own {
    fallback: Option<Arc<CertifiedKey>>,
    domains: Vec<(Box<str>, Arc<CertifiedKey>)>,
}

impl Own {
    pub(super) fn load(
        settings: &TlsSettings,
        provider: &CryptoProvider,
        now: Duration,
    ) -> Result<Self, TlsError> {
        let load = |files| certified(files, provider, now).map(Arc::new);
        let fallback = settings.certificate.as_ref().map(load).transpose()?;
        let domains = settings.domains.iter();
        let domains = domains.map(|(name, files)| Ok((name.clone(), load(files)?)));
        Ok(Self { fallback, domains: domains.collect::<Result<_, TlsError>>()? })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fallback.is_none() && self.domains.is_empty()
    }

    /// The certificate that belongs to no domain of the list.
    pub(super) fn fallback(&self) -> Option<&CertifiedKey> {
        self.fallback.as_deref()
    }

    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let named = self
            .domains
            .iter()
            .find(|(domain, _)| name.is_some_and(|name| name.eq_ignore_ascii_case(domain)));
        let first = || self.domains.first().map(|(_, key)| key);
        named.map(|(_, key)| key).or(self.fallback.as_ref()).or_else(first).cloned()
    }
}

impl ResolvesServerCert for Own {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name())
    }
}

fn certified(
    files: &KeyFiles,
    provider: &CryptoProvider,
    now: Duration,
) -> Result<CertifiedKey, TlsError> {
    let file = &files.certificate;
    let chain = certificates(file)?;
    let first = Certificate::parse(&chain[0]).map_err(|error| Fault::from(error).at(file))?;
    first.check_time(now).map_err(|error| Fault::from(error).at(file))?;
    let key = private_key(&files.private_key)?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| Fault::Key(error).at(&files.private_key))
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = fs::read(file).map_err(|error| Fault::from(error).at(file))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| Fault::NoKey.at(file))
}
