//! TLS of one stream that keeps no buffers while nothing comes and goes: of thousands of streams, most are silent.

use std::cell::RefCell;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ClientConfig;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::exporter;
use crate::xmpp::stream::sasl::ChannelBinding;

/// Bytes read from the connection in one go.
const READ: usize = 4096;
/// Encrypted bytes from which on no more are taken.
const UNSENT: usize = 64 << 10;
/// The most bytes of one record (RFC 8446 §5.1).
const RECORD: usize = 16 << 10;

thread_local! {
    /// Where records lie while they are read.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection with TLS.
pub(super) struct TlsStream {
    socket: TcpStream,
    tls: UnbufferedClientConnection,
    /// The beginning of a record whose end has not come yet.
    incoming: Vec<u8>,
    waiting: Waiting,
}

/// What waits to be read or sent.
#[derive(Default)]
struct Waiting {
    plain: Vec<u8>,
    /// Encrypted; the first `sent` bytes have left.
    outgoing: Vec<u8>,
    sent: usize,
    /// The server sends no more.
    is_over: bool,
}

/// How far the handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It needs more from the server.
    Blocked,
    /// Data may be sent.
    Ready,
}

type State<'c, 'i> = Result<ConnectionState<'c, 'i, ClientConnectionData>, rustls::Error>;

/// Makes TLS with the server of this name. Also gives what binds to the connection, where there is something.
pub(super) async fn connect(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    socket: TcpStream,
) -> io::Result<(TlsStream, Option<ChannelBinding>)> {
    let tls = UnbufferedClientConnection::new(config, name).map_err(io::Error::other)?;
    let (incoming, waiting) = (Vec::new(), Waiting::default());
    let mut stream = TlsStream { socket, tls, incoming, waiting };
    let mut incoming = Vec::with_capacity(READ);
    loop {
        let progress = stream.process(&mut incoming);
        let binding = exporter::take_binding();
        let outgoing = mem::take(&mut stream.waiting.outgoing);
        let written = stream.socket.write_all(&outgoing).await;
        // A failure has a reason, which matters more than that the server does not hear it.
        match progress? {
            Progress::Ready => {
                stream.incoming = incoming.as_slice().to_vec();
                return written.map(|()| (stream, binding));
            }
            Progress::Blocked => written?,
        }
        if stream.socket.read_buf(&mut incoming).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

impl TlsStream {
    /// Takes whole records off the front of `incoming`.
    fn process(&mut self, incoming: &mut Vec<u8>) -> io::Result<Progress> {
        loop {
            let UnbufferedStatus { discard, state, .. } = self.tls.process_tls_records(incoming);
            let (more, progress) = match self.waiting.take(state) {
                Ok(taken) => taken,
                Err(error) => {
                    // The server hears what we do not like, if it can be said.
                    let alert = self.tls.process_tls_records(&mut []).state;
                    let _ = self.waiting.take(alert);
                    return Err(error);
                }
            };
            incoming.drain(..discard + more);
            if let Some(progress) = progress {
                return Ok(progress);
            }
        }
    }

    /// Encrypts data, or with none the notice that no more comes.
    fn encrypt(&mut self, plain: Option<&[u8]>) -> io::Result<()> {
        let mut incoming = mem::take(&mut self.incoming);
        // What rustls itself has to send goes first.
        self.process(&mut incoming)?;
        let UnbufferedStatus { discard, state, .. } = self.tls.process_tls_records(&mut incoming);
        let encrypted = self.waiting.encrypt(state, plain);
        incoming.drain(..discard);
        self.incoming = incoming;
        encrypted
    }

    /// Sends what there is.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Waiting { outgoing, sent, .. } = &mut self.waiting;
        while *sent < outgoing.len() {
            *sent += ready!(Pin::new(&mut self.socket).poll_write(context, &outgoing[*sent..]))?;
        }
        (*outgoing, *sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Reads what has come and takes it apart.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let before = self.incoming.len();
            scratch.clear();
            scratch.extend_from_slice(&self.incoming);
            scratch.resize(before + READ, 0);
            let mut buffer = ReadBuf::new(&mut scratch[before..]);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer))?;
            let length = buffer.filled().len();
            if length == 0 {
                self.waiting.is_over = true;
                return Poll::Ready(Ok(()));
            }
            scratch.truncate(before + length);
            let progress = self.process(scratch);
            self.incoming = scratch.as_slice().to_vec();
            Poll::Ready(progress.map(drop))
        })
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        while stream.waiting.plain.is_empty() && !stream.waiting.is_over {
            let received = ready!(stream.poll_receive(context));
            // What rustls answers, or an alert; the writer finds out when that cannot be sent.
            let _ = stream.poll_send(context);
            received?;
        }
        let plain = &mut stream.waiting.plain;
        let length = plain.len().min(buffer.remaining());
        buffer.put_slice(&plain[..length]);
        plain.drain(..length);
        if plain.is_empty() {
            *plain = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        if stream.waiting.outgoing.len() - stream.waiting.sent >= UNSENT {
            ready!(stream.poll_send(context))?;
        }
        let some = &bytes[..bytes.len().min(RECORD)];
        stream.encrypt(Some(some))?;
        Poll::Ready(Ok(some.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        // The second time there is nothing to say any more.
        if stream.waiting.is_empty() {
            let _ = stream.encrypt(None);
        }
        ready!(stream.poll_send(context))?;
        Pin::new(&mut stream.socket).poll_shutdown(context)
    }
}

impl Waiting {
    /// Does what a state asks for: how many more bytes of what came are done with, and the progress when there is no more to do.
    fn take(&mut self, state: State<'_, '_>) -> io::Result<(usize, Option<Progress>)> {
        let mut done = 0;
        match state.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
            ConnectionState::EncodeTlsData(mut data) => {
                self.append(0, |out| match data.encode(out) {
                    Err(EncodeError::InsufficientSize(size)) => Err(Some(size.required_size)),
                    other => other.map_err(|_| None),
                })?;
            }
            // It lies in `outgoing`, in front of all that follows.
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(io::Error::other)?;
                    done += record.discard;
                    self.plain.extend_from_slice(record.payload);
                }
            }
            ConnectionState::PeerClosed => self.is_over = true,
            ConnectionState::WriteTraffic(_) | ConnectionState::Closed => {
                return Ok((done, Some(Progress::Ready)));
            }
            ConnectionState::BlockedHandshake => return Ok((done, Some(Progress::Blocked))),
            other => return Err(io::Error::other(format!("TLS: {other:?}"))),
        }
        Ok((done, None))
    }

    fn encrypt(&mut self, state: State<'_, '_>, plain: Option<&[u8]>) -> io::Result<()> {
        let Ok(ConnectionState::WriteTraffic(mut traffic)) = state else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        // Header, tag and nonce of TLS 1.2 and 1.3 take less.
        let guess = plain.map_or(0, <[u8]>::len) + 64;
        self.append(guess, |out| {
            let written = match plain {
                Some(plain) => traffic.encrypt(plain, out),
                None => traffic.queue_close_notify(out),
            };
            match written {
                Err(EncryptError::InsufficientSize(size)) => Err(Some(size.required_size)),
                other => other.map_err(|_| None),
            }
        })
    }

    /// Appends what `write` has to send; it says how much room it needs when that is too little.
    fn append(
        &mut self,
        guess: usize,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
    ) -> io::Result<()> {
        let out = &mut self.outgoing;
        let before = out.len();
        out.resize(before + guess, 0);
        let mut written = write(&mut out[before..]);
        if let Err(Some(needed)) = written {
            out.resize(before + needed, 0);
            written = write(&mut out[before..]);
        }
        out.truncate(before + written.unwrap_or(0));
        written.map(drop).map_err(|_| io::Error::other("TLS cannot encrypt any more"))
    }

    fn is_empty(&self) -> bool {
        self.outgoing.is_empty()
    }
}
