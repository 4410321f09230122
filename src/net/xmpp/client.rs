//! One stream of an account: connects, makes TLS, and carries it to its end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{timeout, timeout_at};

use super::locate::{self, LocateError, Whereabouts};
use super::tls::{self, TlsStream};
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
    pub client: Arc<ClientConfig>,
}

/// What the stream carries; called on the worker that runs it.
pub trait ClientCarried {
    /// The stream is ready for stanzas.
    fn handle_ready(&self, jid: FullJid, is_resumed: bool);
    /// The server delivers a stanza.
    fn handle_stanza(&self, stanza: Stanza);
    /// The server has taken a stanza, or nobody knows.
    fn handle_fate(&self, token: u64, is_taken: bool);
    /// Whether the account is in use, when that has changed; called only while the stream is ready.
    fn poll_active(&self) -> Option<bool> {
        None
    }
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
    mut closing: Pin<&mut impl Future<Output = ()>>,
) -> (ClientEnd, Left) {
    // What only the beginning and the end need has a box of its own, so that the long time in between does not carry it.
    let opened = tokio::select! {
        biased;
        () = closing.as_mut() => Err(ClientEnd::Local),
        opened = Box::pin(open(link, resolver)) => opened,
    };
    let socket = match opened {
        Ok(socket) => socket,
        Err(end) => return (end, resumption.ok_or_else(Vec::new)),
    };
    let mut stream = Box::new(Carrying::new(link, socket, resumption, keys, carried));
    let end = stream.run(wake, closing).await;
    Box::pin(stream.farewell()).await;
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
    let handshake = tls::connect(link.tls.clone(), name, socket);
    let made = timeout(link.client.step_timeout, handshake).await;
    let made = made.map_err(|_| wrong("the handshake takes too long"))?;
    let (stream, binding) = made.map_err(ClientEnd::Tls)?;
    Ok(Socket::Tls(Box::new(stream), binding))
}

/// The connection.
enum Socket {
    Plain(TcpStream),
    /// With what binds to it.
    Tls(Box<TlsStream>, Option<ChannelBinding>),
    /// TLS is being made.
    Changing,
}

trait Wire: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Wire for T {}

impl Socket {
    fn wire(&mut self) -> Option<&mut dyn Wire> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(socket, _) => Some(socket),
            Self::Changing => None,
        }
    }

    /// What SCRAM can bind to.
    fn binding(&self) -> Option<ChannelBinding> {
        match self {
            Self::Tls(_, binding) => *binding,
            _ => None,
        }
    }
}

/// What the stream waits for.
enum Work {
    Tls,
    Derive(Derivation),
    /// It is over.
    Nothing(ClientEnd),
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

impl<'a> Carrying<'a> {
    fn new(
        link: &'a ClientLink,
        socket: Socket,
        resumption: Option<Resumption>,
        keys: &'a RefCell<Option<SaltedPassword>>,
        carried: &'a dyn ClientCarried,
    ) -> Self {
        let mut client = Client::new(link.client.clone(), resumption, clock::now());
        if matches!(socket, Socket::Tls(..)) {
            client.handle_tls(clock::now(), socket.binding());
        }
        client.start(clock::now());
        Self { link, socket, client, out: Vec::new(), sent: 0, keys, carried }
    }

    async fn run(
        &mut self,
        wake: &Notify,
        mut closing: Pin<&mut impl Future<Output = ()>>,
    ) -> ClientEnd {
        let mut is_closing = false;
        loop {
            while let Some(work) = self.take_events() {
                // These wait in boxes of their own, too.
                let done = match work {
                    Work::Tls => Box::pin(self.make_tls()).await,
                    Work::Derive(derivation) => Box::pin(self.derive(derivation)).await,
                    Work::Nothing(end) => Err(end),
                };
                if let Err(end) = done {
                    return if is_closing { ClientEnd::Local } else { end };
                }
            }
            self.fill();
            self.client.rest();
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

    /// Reports what has happened, up to what must be waited for.
    fn take_events(&mut self) -> Option<Work> {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::StartTls => return Some(Work::Tls),
                Event::Derive(derivation) => return Some(Work::Derive(derivation)),
                Event::Ready { jid, is_resumed } => self.carried.handle_ready(jid, is_resumed),
                Event::Stanza(stanza) => self.carried.handle_stanza(stanza),
                Event::AckAsked(count) => self.carried.handle_ack_asked(count),
                Event::Acked(token) => self.carried.handle_fate(token, true),
                Event::Lost(token) => self.carried.handle_fate(token, false),
                Event::Refused(refusal) => {
                    return Some(Work::Nothing(ClientEnd::Refused(refusal)));
                }
                Event::Closed(reason) => return Some(Work::Nothing(ClientEnd::Closed(reason))),
            }
        }
        None
    }

    async fn make_tls(&mut self) -> Result<(), ClientEnd> {
        // `<starttls/>` has left: the server has answered it.
        if let Socket::Plain(socket) = std::mem::replace(&mut self.socket, Socket::Changing) {
            self.socket = tls(self.link, socket).await?;
            self.client.handle_tls(clock::now(), self.socket.binding());
        }
        Ok(())
    }

    /// Hashes the password where nobody waits for the thread, unless it was hashed before.
    async fn derive(&mut self, derivation: Derivation) -> Result<(), ClientEnd> {
        let known = self.keys.borrow().clone().filter(|keys| derivation.gives(keys));
        let keys = match known {
            Some(keys) => keys,
            None => match tokio::task::spawn_blocking(move || derivation.run()).await {
                Ok(keys) => keys,
                Err(_) => return Err(ClientEnd::Local),
            },
        };
        self.client.handle_keys(clock::now(), &keys);
        self.keys.replace(Some(keys));
        Ok(())
    }

    fn fill(&mut self) {
        if self.client.is_ready()
            && let Some(is_active) = self.carried.poll_active()
        {
            self.client.set_active(is_active);
        }
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
