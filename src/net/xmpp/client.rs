//! One stream of an account: connects, makes TLS, and carries it to its end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::locate::{self, LocateError, Whereabouts};
use super::until;
use crate::clock;
use crate::net::dns::Resolver;
use crate::xmpp::stream::Client;
use crate::xmpp::stream::client::{ClientConfig, Event, Refusal};
use crate::xmpp::stream::end::CloseReason;
use crate::xmpp::stream::resumption::Resumption;
use crate::xmpp::stream::sasl::{ChannelBinding, Derivation, SaltedPassword};
use crate::xmpp::{FullJid, Stanza};

/// Unsent bytes from which on stanzas wait where they are.
const UNSENT: usize = 64 << 10;
/// Bytes read in one go.
const READ: usize = 16 << 10;
/// How long the last bytes may take.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(2);
/// RFC 9266 §2
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

thread_local! {
    /// What is read lies here until it is cut up; a buffer for each stream would be most of its memory.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// How an account reaches its server.
#[derive(Clone)]
pub struct ClientLink {
    /// The server: a name or an address.
    pub host: String,
    /// The port, where SRV records name none.
    pub port: u16,
    /// Whether to ask for SRV records of the account's domain.
    pub srv: bool,
    /// TLS, shared by all accounts.
    pub tls: Arc<rustls::ClientConfig>,
    /// TLS comes first, without STARTTLS (XEP-0368).
    pub is_direct: bool,
    /// The account.
    pub client: ClientConfig,
}

/// What the stream carries; called on the worker that runs it.
pub trait ClientCarried {
    /// The stream is ready for stanzas.
    fn handle_ready(&self, jid: FullJid, is_resumed: bool);
    /// The server delivers a stanza.
    fn handle_stanza(&self, stanza: Stanza);
    /// The server has taken a stanza, or nobody knows.
    fn handle_fate(&self, token: u64, is_taken: bool);
    /// The server asks whether so many stanzas are taken, [`poll_ack`](Self::poll_ack) tells when they are.
    fn handle_ack_asked(&self, _count: u32) {}
    /// How many stanzas are taken, when the server wants to know; called only while the stream is ready.
    fn poll_ack(&self) -> Option<u32> {
        None
    }
    /// The next stanza to send, with its token; called only while the stream is ready.
    fn poll_stanza(&self) -> Option<(Option<u64>, Vec<u8>)>;
}

/// Why a stream is over, or did not come about.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientEnd {
    /// The server has no address.
    #[error("server not found: {0}")]
    Locate(String),
    /// No connection.
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, io::Error),
    /// No TLS: a certificate that we do not believe, perhaps.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// The stream is over.
    #[error(transparent)]
    Closed(CloseReason),
    /// The server does not let us in.
    #[error("server refuses: {0}")]
    Refused(Refusal),
    /// It was closed as we wished.
    #[error("closed by us")]
    Local,
}

impl From<LocateError> for ClientEnd {
    fn from(error: LocateError) -> Self {
        Self::Locate(error.to_string())
    }
}

/// What is left of a stream: the way to go on with it, or the tokens of what nobody knows about.
pub type Left = Result<Resumption, Vec<u64>>;

/// Opens a stream and carries it until it is over or `closing` is.
///
/// `wake` tells that `carried` has something to send. `keys` keeps the hashed password for the next time.
pub async fn carry(
    link: &ClientLink,
    resolver: Option<&Resolver>,
    resumption: Option<Resumption>,
    keys: &RefCell<Option<SaltedPassword>>,
    (carried, wake): (&dyn ClientCarried, &Notify),
    closing: impl Future<Output = ()>,
) -> (ClientEnd, Left) {
    let mut closing = pin!(closing);
    let opened = tokio::select! {
        biased;
        () = closing.as_mut() => Err(ClientEnd::Local),
        opened = open(link, resolver) => opened,
    };
    let socket = match opened {
        Ok(socket) => socket,
        Err(end) => return (end, resumption.ok_or_else(Vec::new)),
    };
    let mut client = Client::new(link.client.clone(), resumption, clock::now());
    if matches!(socket, Socket::Tls(_)) {
        client.handle_tls(clock::now(), socket.binding());
    }
    client.start(clock::now());
    let (out, sent) = (Vec::new(), 0);
    let mut stream = Carrying { link, socket, client, out, sent, keys, carried };
    let end = stream.run(wake, closing.as_mut()).await;
    stream.farewell().await;
    (end, stream.client.into_resumption())
}

/// Connects to the first address that lets us.
async fn open(link: &ClientLink, resolver: Option<&Resolver>) -> Result<Socket, ClientEnd> {
    let service = if link.is_direct { "_xmpps-client._tcp" } else { "_xmpp-client._tcp" };
    let srv = link.srv.then_some((service, link.client.domain.as_str()));
    let server = Whereabouts { host: &link.host, port: link.port, srv };
    let mut failure = ClientEnd::Locate("it has no address".to_owned());
    for address in locate::addresses(server, resolver).await? {
        let connected = timeout(link.client.step_timeout, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(socket) => {
                // Without it stanzas are only slower.
                let _ = socket.set_nodelay(true);
                return match link.is_direct {
                    true => tls(link, socket).await,
                    false => Ok(Socket::Plain(socket)),
                };
            }
            Err(error) => failure = ClientEnd::Connect(address, error),
        }
    }
    Err(failure)
}

async fn tls(link: &ClientLink, socket: TcpStream) -> Result<Socket, ClientEnd> {
    let wrong = |what: &str| ClientEnd::Tls(io::Error::other(what.to_owned()));
    let name = ServerName::try_from(link.client.domain.clone());
    let name = name.map_err(|_| wrong("the account's domain is no host name"))?;
    let handshake = TlsConnector::from(link.tls.clone()).connect(name, socket);
    let made = timeout(link.client.step_timeout, handshake).await;
    let made = made.map_err(|_| wrong("the handshake takes too long"))?;
    made.map(|socket| Socket::Tls(Box::new(socket))).map_err(ClientEnd::Tls)
}

/// The connection.
enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// TLS is being made.
    Changing,
}

trait Wire: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Wire for T {}

impl Socket {
    fn wire(&mut self) -> Option<&mut dyn Wire> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(socket) => Some(socket),
            Self::Changing => None,
        }
    }

    /// What SCRAM can bind to: the exporter of TLS 1.3 alone is unique (RFC 9266 §4.2).
    fn binding(&self) -> Option<ChannelBinding> {
        let Self::Tls(socket) = self else { return None };
        let (_, tls) = socket.get_ref();
        if tls.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3) {
            return None;
        }
        tls.export_keying_material([0; 32], EXPORTER, Some(&[])).ok()
    }
}

/// A stream on its connection.
struct Carrying<'a> {
    link: &'a ClientLink,
    socket: Socket,
    client: Client,
    /// What is to be sent; the first `sent` bytes are.
    out: Vec<u8>,
    sent: usize,
    keys: &'a RefCell<Option<SaltedPassword>>,
    carried: &'a dyn ClientCarried,
}

impl Carrying<'_> {
    async fn run(
        &mut self,
        wake: &Notify,
        mut closing: Pin<&mut impl Future<Output = ()>>,
    ) -> ClientEnd {
        let mut is_closing = false;
        loop {
            if let Some(end) = self.take_events().await {
                return if is_closing { ClientEnd::Local } else { end };
            }
            self.fill();
            let deadline = self.client.poll_timeout();
            tokio::select! {
                biased;
                () = closing.as_mut(), if !is_closing => {
                    is_closing = true;
                    self.fill();
                    self.client.close(clock::now());
                }
                alive = poll_fn(|context| self.poll_io(context)) => if !alive {
                    self.client.handle_closed();
                },
                () = wake.notified() => {}
                () = until(deadline) => self.client.handle_timeout(clock::now()),
            }
        }
    }

    /// Does what the stream asks for, and reports; the end, when it has come.
    async fn take_events(&mut self) -> Option<ClientEnd> {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::StartTls => {
                    // `<starttls/>` has left: the server has answered it.
                    let Socket::Plain(socket) =
                        std::mem::replace(&mut self.socket, Socket::Changing)
                    else {
                        continue;
                    };
                    match tls(self.link, socket).await {
                        Ok(socket) => self.socket = socket,
                        Err(end) => return Some(end),
                    }
                    self.client.handle_tls(clock::now(), self.socket.binding());
                }
                Event::Derive(derivation) => self.derive(derivation).await,
                Event::Ready { jid, is_resumed } => self.carried.handle_ready(jid, is_resumed),
                Event::Stanza(stanza) => self.carried.handle_stanza(stanza),
                Event::AckAsked(count) => self.carried.handle_ack_asked(count),
                Event::Acked(token) => self.carried.handle_fate(token, true),
                Event::Lost(token) => self.carried.handle_fate(token, false),
                Event::Refused(refusal) => return Some(ClientEnd::Refused(refusal)),
                Event::Closed(reason) => return Some(ClientEnd::Closed(reason)),
            }
        }
        None
    }

    /// Hashes the password where nobody waits for the thread, unless it was hashed before.
    async fn derive(&mut self, derivation: Derivation) {
        let known = self.keys.borrow().clone().filter(|keys| derivation.gives(keys));
        let keys = match known {
            Some(keys) => keys,
            None => match tokio::task::spawn_blocking(move || derivation.run()).await {
                Ok(keys) => keys,
                // The server is being stopped.
                Err(_) => return,
            },
        };
        self.client.handle_keys(clock::now(), &keys);
        self.keys.replace(Some(keys));
    }

    fn fill(&mut self) {
        if self.client.is_ready()
            && let Some(count) = self.carried.poll_ack()
        {
            self.client.acknowledge(count);
        }
        while self.client.is_ready()
            && self.out.len() - self.sent < UNSENT
            && let Some((token, stanza)) = self.carried.poll_stanza()
        {
            // It is ready.
            let _ = self.client.send(token, stanza);
        }
        if let Some(bytes) = self.client.poll_transmit() {
            self.out.extend_from_slice(&bytes);
        }
    }

    /// Writes and reads what can be now; false at the end of the connection.
    fn poll_io(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let Some(wire) = self.socket.wire() else { return Poll::Pending };
        let mut wire = Pin::new(wire);
        let mut has_written = false;
        while self.sent < self.out.len() {
            match wire.as_mut().poll_write(context, &self.out[self.sent..]) {
                Poll::Ready(Ok(count)) => {
                    self.sent += count;
                    has_written = true;
                }
                // The reader finds out, after what has come before.
                Poll::Ready(Err(_)) => self.sent = self.out.len(),
                Poll::Pending => break,
            }
        }
        if self.sent == self.out.len() && self.sent > 0 {
            self.out = Vec::new();
            self.sent = 0;
        }
        if wire.as_mut().poll_flush(context).is_ready() && has_written {
            return Poll::Ready(true);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match wire.poll_read(context, &mut buffer) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.client.handle_bytes(clock::now(), buffer.filled());
                    Poll::Ready(true)
                }
                Poll::Ready(_) => Poll::Ready(false),
            }
        })
    }

    /// Writes the stream's last words, such as the error that ends it, and closes our side.
    async fn farewell(&mut self) {
        self.fill();
        let rest = self.out.split_off(self.sent);
        let Some(wire) = self.socket.wire() else { return };
        // A server that does not read them does without.
        let end = clock::now() + FAREWELL;
        let _ = timeout_at(end.into(), async {
            wire.write_all(&rest).await?;
            wire.shutdown().await
        })
        .await;
    }
}
