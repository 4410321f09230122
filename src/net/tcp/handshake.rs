//! What makes a connection ready for SIP: nothing, TLS, the upgrade to a WebSocket, or both.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::CommonState;
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::net::tls::{Tls, server_name};
use crate::net::ws::{self, Asked, MAX_HEAD};
use crate::sip::certificate::Certificate;
use crate::sip::transport::Transport;

/// How long a connection without TLS may take to become a WebSocket.
const UPGRADE: Duration = Duration::from_secs(10);
/// How long a client that is refused may take to close its side.
const LINGER: Duration = Duration::from_secs(1);

/// What may lie between TCP and SIP.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// TLS, when it is configured.
    pub tls: Option<Arc<Tls>>,
    /// Who may open a WebSocket.
    pub websocket: ws::Rules,
}

/// What SIP is read from and written to.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> ByteStream for T {}

/// A connection that is ready for SIP.
pub(super) struct Ready {
    pub(super) stream: Box<dyn ByteStream>,
    /// What came behind the handshake.
    pub(super) rest: Vec<u8>,
    /// Whom the peer has proved to be.
    pub(super) certificate: Option<Arc<Certificate>>,
}

/// Why a connection does not become ready.
#[derive(Debug, Error)]
pub(super) enum HandshakeError {
    #[error("{0}")]
    Tls(io::Error),
    #[error("the WebSocket is refused with {0}")]
    Upgrade(ws::Refused),
    #[error("peer closed")]
    Closed,
    #[error("the handshake takes too long")]
    Timeout,
    #[error("there is no certificate")]
    NoCertificate,
    #[error("the host is no name that a certificate could have")]
    BadName,
    #[error("no connection is made over this transport")]
    Unsupported,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Layers {
    /// Does our part of the handshake with a client.
    pub(super) async fn accept(
        &self,
        tcp: TcpStream,
        transport: Transport,
    ) -> Result<Ready, HandshakeError> {
        let limit = self.tls.as_ref().map_or(UPGRADE, |tls| tls.handshake());
        let accept = async {
            let mut ready = match transport.is_secure() {
                true => self.accept_tls(tcp).await?,
                false => Ready { stream: Box::new(tcp), rest: Vec::new(), certificate: None },
            };
            if matches!(transport, Transport::Ws | Transport::Wss) {
                ready.rest = self.upgrade(&mut ready.stream).await?;
            }
            Ok(ready)
        };
        timeout(limit, accept).await.unwrap_or(Err(HandshakeError::Timeout))
    }

    /// Does our part of the handshake with a server, which must be the SIP domain `name`.
    pub(super) async fn connect(
        &self,
        tcp: TcpStream,
        transport: Transport,
        name: &str,
    ) -> Result<Ready, HandshakeError> {
        match transport {
            Transport::Tcp => {
                Ok(Ready { stream: Box::new(tcp), rest: Vec::new(), certificate: None })
            }
            Transport::Tls => {
                let tls = self.tls.as_ref().ok_or(HandshakeError::Unsupported)?;
                let connect = connect_tls(tls, tcp, name);
                timeout(tls.handshake(), connect).await.unwrap_or(Err(HandshakeError::Timeout))
            }
            Transport::Udp | Transport::Ws | Transport::Wss => Err(HandshakeError::Unsupported),
        }
    }

    async fn accept_tls(&self, tcp: TcpStream) -> Result<Ready, HandshakeError> {
        let acceptor = self.tls.as_ref().and_then(|tls| tls.acceptor());
        let acceptor = acceptor.ok_or(HandshakeError::NoCertificate)?;
        let stream = acceptor.accept(tcp).await.map_err(HandshakeError::Tls)?;
        // What a client shows has been verified, or there would be no connection.
        let certificate = shown(stream.get_ref().1);
        Ok(Ready { stream: Box::new(stream), rest: Vec::new(), certificate })
    }

    /// Answers the client's request; returns what came behind it.
    async fn upgrade(&self, stream: &mut dyn ByteStream) -> Result<Vec<u8>, HandshakeError> {
        let mut head = Vec::new();
        loop {
            let room = MAX_HEAD.saturating_sub(head.len()).max(1) as u64;
            if (&mut *stream).take(room).read_buf(&mut head).await? == 0 {
                return Err(HandshakeError::Closed);
            }
            match ws::answer(&head, &self.websocket) {
                Asked::More => {}
                Asked::Open { answer, length } => {
                    stream.write_all(&answer).await?;
                    stream.flush().await?;
                    return Ok(head.split_off(length));
                }
                Asked::No(refused) => {
                    stream.write_all(refused.response().as_bytes()).await?;
                    stream.shutdown().await?;
                    // With bytes unread the connection would be reset, and the answer lost.
                    let mut sink = tokio::io::sink();
                    let _ = timeout(LINGER, tokio::io::copy(&mut *stream, &mut sink)).await;
                    return Err(HandshakeError::Upgrade(refused));
                }
            }
        }
    }
}

async fn connect_tls(tls: &Tls, tcp: TcpStream, name: &str) -> Result<Ready, HandshakeError> {
    let name = server_name(name).ok_or(HandshakeError::BadName)?;
    let stream = tls.connector().connect(name, tcp).await.map_err(HandshakeError::Tls)?;
    let certificate = match tls.verifies_servers() {
        true => shown(stream.get_ref().1),
        false => None,
    };
    Ok(Ready { stream: Box::new(stream), rest: Vec::new(), certificate })
}

/// The certificate that the peer has shown.
fn shown(state: &CommonState) -> Option<Arc<Certificate>> {
    let first: &CertificateDer<'_> = state.peer_certificates()?.first()?;
    Certificate::parse(first).ok().map(Arc::new)
}
