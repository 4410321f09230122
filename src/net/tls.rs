//! TLS: our certificates, whom we believe, and both again when the files change.

mod own;
mod verify;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use self::own::Own;
use self::verify::Verifier;
use super::xmpp::exporter::Exporter;
use crate::sip::certificate::CertificateError;

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFiles {
    /// The certificate and those between it and its authority, PEM.
    pub certificate: PathBuf,
    /// The key, PEM.
    pub private_key: PathBuf,
}

/// Whether clients must show a certificate, and who signs for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Clients {
    /// They are not asked.
    #[default]
    Any,
    /// They may have none, but what they show must be signed by an authority in this file.
    Asked(PathBuf),
    /// They must have one that is signed by an authority in this file.
    Required(PathBuf),
}

/// What TLS is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Shown to clients that name no domain of `domains`, and to servers that ask.
    pub certificate: Option<KeyFiles>,
    /// Shown to clients that name the domain (RFC 6066 §3).
    pub domains: Vec<(Box<str>, KeyFiles)>,
    /// What is asked of clients.
    pub clients: Clients,
    /// The authorities of servers; `None` for those that the system trusts.
    pub authorities: Option<PathBuf>,
    /// Servers must have a certificate of their SIP domain (RFC 5922 §7.3).
    pub verifies_servers: bool,
    /// A connection must be ready for SIP after this. Default 10 s.
    pub handshake: Duration,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            certificate: None,
            domains: Vec::new(),
            clients: Clients::Any,
            authorities: None,
            verifies_servers: true,
            handshake: Duration::from_secs(10),
        }
    }
}

/// A file that TLS cannot be made of.
#[derive(Debug, Error)]
#[error("{}: {fault}", file.display())]
pub struct TlsError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Fault {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    /// It has no certificate in PEM.
    #[error("there is no PEM certificate in it")]
    NoCertificate,
    /// It has no private key in PEM.
    #[error("there is no PEM private key in it")]
    NoKey,
    /// Its first certificate is of no use.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The key does not belong to the certificate, or either is of a kind that TLS does not use.
    #[error("{}", misfit(.0))]
    Key(rustls::Error),
    /// An authority is of no use.
    #[error("an authority: {0}")]
    Authority(rustls::Error),
    /// The authorities cannot be used for clients.
    #[error("{0}")]
    Clients(rustls::server::VerifierBuilderError),
}

fn misfit(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "this key is not that of the certificate".to_owned(),
        other => format!("the certificate and its key: {other}"),
    }
}

impl Fault {
    fn at(self, file: &Path) -> TlsError {
        TlsError { file: file.to_owned(), fault: self }
    }
}

/// TLS as it is configured; new connections see a change, open ones do not.
pub struct Tls {
    settings: TlsSettings,
    live: RwLock<Live>,
    /// Tells a changed file from one that was only touched.
    hasher: ahash::RandomState,
}

struct Live {
    /// `None` without a certificate.
    server: Option<Arc<ServerConfig>>,
    client: Arc<ClientConfig>,
    /// Of what all files hold.
    hash: u64,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads all files. `now` is counted from 1970; an own certificate that is not valid then is refused.
    pub fn load(settings: TlsSettings, now: Duration) -> Result<Self, TlsError> {
        let hasher = ahash::RandomState::new();
        let hash = hash_of(&settings, &hasher);
        let live = RwLock::new(settings.live(hash, now)?);
        Ok(Self { settings, live, hasher })
    }

    /// Reads the files again. Says whether they hold something new; after an error nothing has changed.
    pub fn reload(&self, now: Duration) -> Result<bool, TlsError> {
        let hash = hash_of(&self.settings, &self.hasher);
        if self.live.read().unwrap_or_else(PoisonError::into_inner).hash == hash {
            return Ok(false);
        }
        let live = self.settings.live(hash, now)?;
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
        Ok(true)
    }

    /// The files that it is made of.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.settings.files()
    }

    /// How long a connection may take to be ready.
    pub(super) fn handshake(&self) -> Duration {
        self.settings.handshake
    }

    /// What makes TLS of an accepted connection; `None` without a certificate.
    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.server.clone().map(TlsAcceptor::from)
    }

    /// What makes TLS of a connection of ours.
    pub(super) fn connector(&self) -> TlsConnector {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        TlsConnector::from(live.client.clone())
    }

    /// Whether the name of a server means something.
    pub(super) fn verifies_servers(&self) -> bool {
        self.settings.verifies_servers
    }
}

/// The name that a server must have, from the host of a URI.
pub(super) fn server_name(host: &str) -> Option<ServerName<'static>> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    ServerName::try_from(bare.to_owned()).ok()
}

/// TLS toward XMPP servers, who must have a certificate of the account's domain (RFC 6120 §13.7) from an authority in
/// `ca`, else from one that the system trusts.
pub fn for_xmpp(ca: Option<&Path>, verifies: bool) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring has the suites of both versions");
    let builder = match (verifies, ca) {
        (false, _) => {
            let algorithms = provider.signature_verification_algorithms;
            let anybody = Verifier { roots: None, algorithms };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(anybody))
        }
        (true, Some(file)) => builder.with_root_certificates(authorities(file)?),
        (true, None) => builder.with_root_certificates(authorities_of_system()),
    };
    let mut config = builder.with_no_client_auth();
    config.key_log = Arc::new(Exporter);
    Ok(Arc::new(config))
}

impl TlsSettings {
    fn live(&self, hash: u64, now: Duration) -> Result<Live, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let own = Own::load(self, &provider, now)?;
        let client = self.client(own.fallback(), &provider)?;
        let server = match own.is_empty() {
            true => None,
            false => Some(Arc::new(self.server(own, &provider)?)),
        };
        Ok(Live { server, client: Arc::new(client), hash })
    }

    fn server(&self, own: Own, provider: &Arc<CryptoProvider>) -> Result<ServerConfig, TlsError> {
        let verifier = match &self.clients {
            Clients::Any => Arc::new(NoClientAuth),
            Clients::Asked(file) | Clients::Required(file) => {
                let roots = Arc::new(authorities(file)?);
                let builder = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
                let builder = match &self.clients {
                    Clients::Asked(_) => builder.allow_unauthenticated(),
                    _ => builder,
                };
                builder.build().map_err(|error| Fault::Clients(error).at(file))?
            }
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("ring has the suites of both versions");
        Ok(builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(own)))
    }

    fn client(
        &self,
        own: Option<&rustls::sign::CertifiedKey>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("ring has the suites of both versions")
            .dangerous();
        let algorithms = provider.signature_verification_algorithms;
        let roots = match (self.verifies_servers, &self.authorities) {
            (false, _) => None,
            (true, Some(file)) => Some(authorities(file)?),
            (true, None) => Some(authorities_of_system()),
        };
        let verifier = Arc::new(Verifier { roots, algorithms });
        let builder = builder.with_custom_certificate_verifier(verifier);
        Ok(match own {
            Some(own) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.clone())))
            }
            None => builder.with_no_client_auth(),
        })
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        let own = self.certificate.iter().chain(self.domains.iter().map(|(_, files)| files));
        let own = own.flat_map(|files| [&files.certificate, &files.private_key]);
        let clients = match &self.clients {
            Clients::Any => None,
            Clients::Asked(file) | Clients::Required(file) => Some(file),
        };
        own.chain(clients).chain(&self.authorities).map(PathBuf::as_path)
    }
}

/// A file that cannot be read counts as one that has changed.
fn hash_of(settings: &TlsSettings, hasher: &ahash::RandomState) -> u64 {
    hasher.hash_one(settings.files().map(|file| fs::read(file).ok()).collect::<Vec<_>>())
}

/// All certificates in a file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = fs::read(file).map_err(|error| Fault::from(error).at(file))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Fault::NoCertificate.at(file)),
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| Fault::Authority(error).at(file))?;
    }
    Ok(roots)
}

fn authorities_of_system() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!("the system trusts no authority, so no TLS server is believed: set `ca`");
    }
    roots
}

#[cfg(test)]
pub(super) mod tests;
