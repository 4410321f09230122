//! One open connection: its reader, its writer and its end.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task;
use tokio::time::{sleep_until, timeout};
use tungstenite::protocol::frame::coding::CloseCode;

use super::framer::Framer;
use super::handshake::ByteStream;
use super::queue::Queue;
use super::{Receive, StreamLimits};
use crate::clock;
use crate::net::ws::{self, Broken};
use crate::sip::transport::Source;
use crate::sip::{Frame, FramingError};

/// How long the peer may take to read one piece.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the peer may take to close its side after we have closed ours.
const LINGER: Duration = Duration::from_secs(1);
/// How long a WebSocket may be silent before we ask whether the client is there: pages cannot send pings,
/// and what lies between forgets a connection that is silent.
const PING: Duration = Duration::from_secs(30);
/// Bytes read in one go.
const SCRATCH: usize = 64 << 10;

thread_local! {
    /// One for all connections of the worker, so that an idle one costs no memory.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// A connection that belongs to this worker; other workers reach it through its queue.
pub(super) struct Connection<'a> {
    pub(super) queue: &'a Queue,
    pub(super) source: Source,
    pub(super) limits: &'a StreamLimits,
    pub(super) receiver: Rc<dyn Receive>,
    /// What a WebSocket's peer is told at the end.
    close_code: Cell<CloseCode>,
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error(transparent)]
    Framing(#[from] FramingError),
    #[error(transparent)]
    WebSocket(#[from] Broken),
    #[error("a message was not completed in time")]
    SlowMessage,
    #[error("peer does not read")]
    SlowReader,
    #[error("idle")]
    Idle,
    #[error("peer closed")]
    Peer,
    #[error("closed by us")]
    Local,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<'a> Connection<'a> {
    pub(super) fn new(
        queue: &'a Queue,
        source: Source,
        limits: &'a StreamLimits,
        receiver: Rc<dyn Receive>,
    ) -> Self {
        let close_code = Cell::new(CloseCode::Away);
        Self { queue, source, limits, receiver, close_code }
    }

    /// Reads and writes until the end; what waits is written before the connection is closed.
    /// `rest` has been read already.
    pub(super) async fn run(&self, stream: Box<dyn ByteStream>, rest: &[u8]) -> End {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut writing = pin!(self.write(&mut writer));
        let end = tokio::select! {
            end = self.read(&mut reader, rest) => end,
            end = &mut writing => return linger(end, &mut reader).await,
        };
        self.queue.close();
        match writing.await {
            End::Local => linger(end, &mut reader).await,
            _ => end,
        }
    }

    async fn read(&self, reader: &mut (impl AsyncRead + Unpin), rest: &[u8]) -> End {
        let mut framer = Framer::new(self.source.transport, self.limits);
        framer.push(rest);
        if let Err(end) = self.deliver(&mut framer) {
            return end;
        }
        let mut heard = clock::now();
        let deadline = self.deadline(framer.is_inside_message(), false);
        let mut timer = pin!(sleep_until(deadline.unwrap_or(heard + self.quiet()).into()));
        loop {
            let was_inside = framer.is_inside_message();
            let taken = tokio::select! {
                taken = take(reader, &mut framer) => taken,
                () = &mut timer => match clock::now() - heard {
                    _ if was_inside => return End::SlowMessage,
                    silence if silence >= self.limits.idle => return End::Idle,
                    silence => {
                        // A client that does not read will not answer, either.
                        let _ = self.queue.push_frame(ws::ping_frame());
                        let wait = self.quiet().min(self.limits.idle - silence);
                        timer.as_mut().reset((clock::now() + wait).into());
                        continue;
                    }
                },
            };
            heard = clock::now();
            let len = match taken {
                Ok(0) => return End::Peer,
                Ok(len) => len,
                Err(error) => return error.into(),
            };
            let delivered = match self.deliver(&mut framer) {
                Ok(delivered) => delivered,
                Err(end) => return end,
            };
            let goes_on = was_inside && delivered == 0;
            if let Some(deadline) = self.deadline(framer.is_inside_message(), goes_on) {
                timer.as_mut().reset(deadline.into());
            }
            if len == SCRATCH {
                task::yield_now().await;
            }
        }
    }

    /// Hands over the messages that are whole; returns the number of frames.
    fn deliver(&self, framer: &mut Framer) -> Result<usize, End> {
        let mut frames = 0;
        loop {
            let polled = framer.poll();
            if let Some(output) = framer.take_output() {
                // A peer that does not read its pongs goes without.
                let _ = self.queue.push_frame(output);
            }
            match polled {
                Ok(Some(Frame::Message(bytes))) => self.receiver.receive(bytes, self.source),
                Ok(Some(Frame::Ping)) => drop(self.queue.push(Bytes::from_static(b"\r\n"))),
                Ok(Some(Frame::Pong)) => {}
                Ok(None) => return Ok(frames),
                Err(end) => {
                    self.refuse(framer, &end);
                    return Err(end);
                }
            }
            frames += 1;
        }
    }

    /// Tells whom it concerns that the connection cannot be read on.
    fn refuse(&self, framer: &Framer, end: &End) {
        match end {
            End::Framing(error) => {
                let reply = self.receiver.refuse(framer.refused(), error, self.source);
                if let Some(reply) = reply {
                    // A peer that does not read goes without.
                    let _ = self.queue.push(reply);
                }
            }
            End::WebSocket(broken) => {
                self.close_code.set(broken.code());
                if matches!(broken, Broken::Rule(_)) {
                    self.receiver.refuse_connection("WebSocket framing", self.source.peer, broken);
                }
            }
            _ => {}
        }
    }

    /// The deadline after bytes have come; `None` leaves it as the begun message has set it.
    fn deadline(&self, is_inside: bool, goes_on: bool) -> Option<Instant> {
        match (is_inside, goes_on) {
            (true, true) => None,
            (true, false) => Some(clock::now() + self.limits.header),
            (false, _) => Some(clock::now() + self.quiet()),
        }
    }

    /// How long nothing may come before something is done.
    fn quiet(&self) -> Duration {
        match self.queue.is_websocket() {
            true => PING.min(self.limits.idle / 2),
            false => self.limits.idle,
        }
    }

    /// Writes until the queue is closed, and closes our side then.
    async fn write(&self, writer: &mut (impl AsyncWrite + Unpin)) -> End {
        let mut piece = Vec::new();
        while self.queue.next(&mut piece).await.is_some() {
            match timeout(WRITE_TIMEOUT, write_all(writer, &piece)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.into(),
                Err(_) => return End::SlowReader,
            }
        }
        let close = async {
            if self.queue.is_websocket() {
                writer.write_all(&ws::close_frame(self.close_code.get())).await?;
            }
            writer.shutdown().await
        };
        match timeout(LINGER, close).await {
            Ok(Ok(())) => End::Local,
            Ok(Err(error)) => error.into(),
            Err(_) => End::SlowReader,
        }
    }
}

async fn take(reader: &mut (impl AsyncRead + Unpin), framer: &mut Framer) -> io::Result<usize> {
    poll_fn(|context| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *reader).poll_read(context, &mut buffer))?;
            framer.push(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    })
    .await
}

/// TLS may keep what it was given until it is flushed.
async fn write_all(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

/// Waits a little until the peer closes its side.
///
/// Closing with unread bytes would reset the connection, and the peer would lose our reply.
async fn linger(end: End, reader: &mut (impl AsyncRead + Unpin)) -> End {
    if !matches!(end, End::Peer | End::Io(_) | End::SlowReader) {
        // Whether the peer has closed or not, it has had its time.
        let _ = timeout(LINGER, discard(reader)).await;
    }
    end
}

async fn discard(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    loop {
        let read = poll_fn(|context| {
            BUFFER.with_borrow_mut(|buffer| {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(&mut *reader).poll_read(context, &mut buffer))?;
                Poll::Ready(io::Result::Ok(buffer.filled().len()))
            })
        });
        if read.await? == 0 {
            return Ok(());
        }
        task::yield_now().await;
    }
}
