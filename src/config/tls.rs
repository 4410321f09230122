//! `[sip.tls]` and `[sip.websocket]`: certificates, whom to believe, and who may open a WebSocket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::value::{self, duration_to};

/// `[sip.tls]`: TLS 1.2 and 1.3.
///
/// Paths begin in the folder of the configuration. The files are read again when they change and on
/// SIGHUP; what cannot be used then is refused, and the certificates before go on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// `certificate`: our certificate and those between it and its authority, PEM.
    ///
    /// `tls:` and `wss:` listeners need it, or one of `domains`. Peers that ask for a certificate
    /// of ours are shown it as well. Default none.
    pub certificate: Option<PathBuf>,
    /// `private_key`: the key of `certificate`, PEM. Default the file of `certificate`.
    pub private_key: Option<PathBuf>,
    /// `[[sip.tls.domains]]`: further certificates, for clients that name the domain (RFC 6066 §3).
    pub domains: Vec<TlsDomain>,
    /// `client_certificate`: whether clients must have one: `no`, `ask` or `require`. Default `no`.
    pub client_certificate: ClientCertificate,
    /// `client_ca`: the authorities of clients, PEM; needed with `ask` and `require`.
    pub client_ca: Option<PathBuf>,
    /// `ca`: the authorities of servers that we connect to, PEM. Default those of the system.
    pub ca: Option<PathBuf>,
    /// `verify_server`: whether a server must have a certificate of its SIP domain (RFC 5922 §7.3).
    ///
    /// Default true. With false, whoever sits between us and the server can read along.
    pub verify_server: bool,
    /// `handshake_timeout`: a connection must be ready for SIP after this, that of a WebSocket too.
    ///
    /// 1ms to 600s. Default 10s, a few round trips over the slowest of links.
    #[serde(deserialize_with = "duration_to::<_, 600>")]
    pub handshake_timeout: Duration,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificate: None,
            private_key: None,
            domains: Vec::new(),
            client_certificate: ClientCertificate::No,
            client_ca: None,
            ca: None,
            verify_server: true,
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

impl TlsConfig {
    pub(super) fn resolve(&mut self, base_dir: &Path) {
        let own = [&mut self.certificate, &mut self.private_key];
        let authorities = [&mut self.client_ca, &mut self.ca];
        for path in own.into_iter().chain(authorities).flatten() {
            *path = base_dir.join(&path);
        }
        for domain in &mut self.domains {
            domain.certificate = base_dir.join(&domain.certificate);
            domain.private_key = domain.private_key.as_ref().map(|path| base_dir.join(path));
        }
    }
}

/// `[[sip.tls.domains]]`: the certificate of one domain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsDomain {
    /// `name`: the name that clients ask for, whole and without regard to case.
    pub name: Box<str>,
    /// `certificate`: as above.
    pub certificate: PathBuf,
    /// `private_key`: as above. Default the file of `certificate`.
    pub private_key: Option<PathBuf>,
}

/// Whether a client needs a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    /// It is not asked for one.
    #[default]
    No,
    /// It may have none, but one that it shows must be good.
    Ask,
    /// It must show a good one.
    Require,
}

/// `[sip.websocket]`: who may open a WebSocket (RFC 6455 §4.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocketConfig {
    /// `path`: the path that clients must ask for, like `/sip`. Default any.
    #[serde(deserialize_with = "path")]
    pub path: Option<Box<str>>,
    /// `origins`: the web sites whose pages may connect, like `https://phone.example`.
    ///
    /// Only browsers name their site, so programs are not kept out. Default none: any may.
    pub origins: Vec<Box<str>>,
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<str>>, D::Error> {
    value::text(deserializer, "a path like \"/sip\"", |path| match path.starts_with('/') {
        true => Ok(Some(path.into())),
        false => Err(format!("`{path}` must begin with `/`")),
    })
}
