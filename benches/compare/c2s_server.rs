//! An XMPP server for the clients of many accounts: STARTTLS, SCRAM-SHA-256, one resource each, and acknowledgements
//! (XEP-0198). It lets in whoever knows the password of all, counts the messages that arrive, and sends what it is told to.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use crate::c2s_session::{Next, Session};
use crate::xmpp_server::Arrivals;

/// The domain of all accounts.
pub(crate) const DOMAIN: &str = "xmpp.example";

/// A running server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct C2sServer {
    address: SocketAddr,
    authority: String,
    pub(crate) accounts: Arc<Accounts>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What all sessions share.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    /// Where stanzas for an account go, by its number.
    sessions: Mutex<Vec<Option<mpsc::UnboundedSender<Vec<u8>>>>>,
    online: AtomicU32,
    arrivals: Mutex<Arrivals>,
}

impl Accounts {
    /// Counts a message that an account has sent.
    pub(crate) fn note_message(&self, stanza: &[u8]) {
        lock(&self.arrivals).add_stanza(stanza);
    }

    /// An account is there: what is for it goes to `orders`.
    pub(crate) fn note_online(&self, number: u32, orders: mpsc::UnboundedSender<Vec<u8>>) {
        let (mut sessions, number) = (lock(&self.sessions), number as usize);
        if number >= sessions.len() {
            sessions.resize(number + 1, None);
        }
        if sessions[number].replace(orders).is_none() {
            self.online.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many accounts have been online.
    pub(crate) fn online(&self) -> u32 {
        self.online.load(Ordering::Relaxed)
    }

    /// Forgets what arrived and counts messages of `phase`.
    pub(crate) fn begin(&self, phase: u16) {
        *lock(&self.arrivals) = Arrivals::of(phase);
    }

    /// The messages since [`begin`](Self::begin), each counted once, and how many came again.
    pub(crate) fn arrivals(&self) -> (u32, u32) {
        let arrivals = lock(&self.arrivals);
        (arrivals.distinct, arrivals.duplicates)
    }

    /// Sends a stanza to an account.
    pub(crate) fn send(&self, number: u32, stanza: Vec<u8>) -> io::Result<()> {
        let sessions = lock(&self.sessions);
        let orders = sessions.get(number as usize).and_then(Option::as_ref);
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        orders.ok_or_else(gone)?.send(stanza).map_err(|_| gone())
    }
}

impl C2sServer {
    /// Listens on a free port.
    pub(crate) fn start() -> io::Result<Self> {
        let (authority, tls) = certificates().map_err(io::Error::other)?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let accounts = Arc::<Accounts>::default();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::spawn({
            let accounts = accounts.clone();
            move || {
                runtime.block_on(async {
                    tokio::select! {
                        result = accept(listener, TlsAcceptor::from(tls), accounts) => {
                            eprintln!("bench: XMPP server for accounts: {result:?}");
                        }
                        _ = stopped => {}
                    }
                });
            }
        });
        Ok(Self { address, authority, accounts, stop: Some(stop), thread: Some(thread) })
    }

    /// Where clients connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The authority of its certificate, PEM.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }
}

impl Drop for C2sServer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _panic_was_printed = thread.join();
        }
    }
}

/// An authority, and TLS with a certificate of it for [`DOMAIN`].
fn certificates() -> Result<(String, Arc<ServerConfig>), Box<dyn std::error::Error + Send + Sync>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let own = CertificateParams::new([DOMAIN.to_owned()])?.signed_by(&key, &authority)?;
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = builder.with_no_client_auth().with_single_cert(vec![own.der().clone()], key)?;
    Ok((authority.pem(), Arc::new(config)))
}

async fn accept(
    listener: std::net::TcpListener,
    tls: TlsAcceptor,
    accounts: Arc<Accounts>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (socket, _) = listener.accept().await?;
        let (tls, accounts) = (tls.clone(), accounts.clone());
        tokio::spawn(async move {
            // A program that is ended goes without a word.
            let _ = serve(socket, tls, accounts).await;
        });
    }
}

async fn serve(mut socket: TcpStream, tls: TlsAcceptor, accounts: Arc<Accounts>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let (sender, mut orders) = mpsc::unbounded_channel();
    let mut session = Session::new(accounts, sender);
    if talk(&mut socket, &mut session, &mut orders).await? == Next::Tls {
        let mut secure = tls.accept(socket).await?;
        session.restart();
        talk(&mut secure, &mut session, &mut orders).await?;
    }
    Ok(())
}

/// Brings bytes to the session and back, until TLS or the end comes.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    session: &mut Session,
    orders: &mut mpsc::UnboundedReceiver<Vec<u8>>,
) -> io::Result<Next> {
    let mut buffer = vec![0; 4096];
    loop {
        tokio::select! {
            length = stream.read(&mut buffer) => match length? {
                0 => return Ok(Next::End),
                length => {
                    let next = session.hear(&buffer[..length])?;
                    stream.write_all(&session.answer()).await?;
                    stream.flush().await?;
                    if next != Next::More {
                        return Ok(next);
                    }
                }
            },
            Some(mut stanzas) = orders.recv() => {
                while let Ok(more) = orders.try_recv() {
                    stanzas.extend_from_slice(&more);
                }
                stream.write_all(&stanzas).await?;
                stream.flush().await?;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
