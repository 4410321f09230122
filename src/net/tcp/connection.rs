//! One open connection: its reader, its writer and its end.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task;
use tokio::time::{sleep_until, timeout};

use super::queue::Queue;
use super::{Receive, StreamLimits};
use crate::clock;
use crate::sip::transport::Source;
use crate::sip::{Frame, FramingError, StreamFramer};

/// How long the peer may take to read one piece.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the peer may take to close its side after we have closed ours.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes read in one go.
const SCRATCH: usize = 64 << 10;

thread_local! {
    /// One for all connections of the worker, so that an idle one costs no memory.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// A connection that belongs to this worker; other workers reach it through its queue.
pub(super) struct Connection<'a> {
    pub(super) stream: &'a TcpStream,
    pub(super) queue: &'a Queue,
    pub(super) source: Source,
    pub(super) limits: &'a StreamLimits,
    pub(super) receiver: Rc<dyn Receive>,
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error(transparent)]
    Framing(#[from] FramingError),
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

impl Connection<'_> {
    /// Reads and writes until the end; what waits is written before the connection is closed.
    pub(super) async fn run(&self) -> End {
        let mut writer = pin!(self.write());
        let end = tokio::select! {
            end = self.read() => end,
            end = &mut writer => return self.linger(end).await,
        };
        self.queue.close();
        match writer.await {
            End::Local => self.linger(end).await,
            _ => end,
        }
    }

    async fn read(&self) -> End {
        let mut framer = StreamFramer::new(self.limits.framing);
        let mut timer = pin!(sleep_until((clock::now() + self.limits.idle).into()));
        loop {
            tokio::select! {
                ready = self.stream.readable() => if let Err(error) = ready { return error.into() },
                () = &mut timer => {
                    return if framer.is_inside_message() { End::SlowMessage } else { End::Idle };
                }
            }
            let was_inside = framer.is_inside_message();
            let len = match self.take(&mut framer) {
                Ok(0) => return End::Peer,
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return error.into(),
            };
            let delivered = match self.deliver(&mut framer) {
                Ok(delivered) => delivered,
                Err(error) => return error.into(),
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

    fn take(&self, framer: &mut StreamFramer) -> io::Result<usize> {
        BUFFER.with_borrow_mut(|buffer| {
            let len = self.stream.try_read(buffer)?;
            framer.push(&buffer[..len]);
            Ok(len)
        })
    }

    /// Hands over the messages that are whole; returns the number of frames.
    fn deliver(&self, framer: &mut StreamFramer) -> Result<usize, FramingError> {
        let mut frames = 0;
        loop {
            match framer.poll() {
                Ok(Some(Frame::Message(bytes))) => self.receiver.receive(bytes, self.source),
                // A peer that does not read its pongs goes without.
                Ok(Some(Frame::Ping)) => drop(self.queue.push(Bytes::from_static(b"\r\n"))),
                Ok(Some(Frame::Pong)) => {}
                Ok(None) => return Ok(frames),
                Err(error) => {
                    let reply = self.receiver.refuse(framer.refused(), &error, self.source);
                    if let Some(reply) = reply {
                        // A peer that does not read goes without.
                        let _ = self.queue.push(reply);
                    }
                    return Err(error);
                }
            }
            frames += 1;
        }
    }

    /// The deadline after bytes have come; `None` leaves it as the begun message has set it.
    fn deadline(&self, is_inside: bool, goes_on: bool) -> Option<Instant> {
        match (is_inside, goes_on) {
            (true, true) => None,
            (true, false) => Some(clock::now() + self.limits.header),
            (false, _) => Some(clock::now() + self.limits.idle),
        }
    }

    async fn write(&self) -> End {
        let mut piece = Vec::new();
        while self.queue.next(&mut piece).await.is_some() {
            match timeout(WRITE_TIMEOUT, self.write_all(&piece)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.into(),
                Err(_) => return End::SlowReader,
            }
        }
        End::Local
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(len) => bytes = &bytes[len..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Closes our side and waits a little for the peer's.
    ///
    /// Closing with unread bytes would reset the connection, and the peer would lose our reply.
    async fn linger(&self, end: End) -> End {
        if matches!(end, End::Peer | End::Io(_) | End::SlowReader) {
            return end;
        }
        if SockRef::from(self.stream).shutdown(Shutdown::Write).is_ok() {
            // Whether the peer has closed or not, it has had its time.
            let _ = timeout(LINGER, self.discard()).await;
        }
        end
    }

    async fn discard(&self) -> io::Result<()> {
        loop {
            self.stream.readable().await?;
            match BUFFER.with_borrow_mut(|buffer| self.stream.try_read(buffer)) {
                Ok(0) => return Ok(()),
                Ok(_) => task::yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}
