//! One connection to a server: brings bytes and time to the stream's machine, and takes its answers.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task;
use tokio::time::timeout;

use super::{End, Worker, until};
use crate::clock;
use crate::xmpp::backoff::Backoff;
use crate::xmpp::stream::Component;
use crate::xmpp::stream::component::Event;

/// Unsent bytes from which on stanzas wait where they are.
const UNSENT: usize = 256 << 10;
/// Bytes read in one go.
const READ: usize = 64 << 10;
/// How long a server may read nothing of what waits for it.
const STALL: Duration = Duration::from_secs(60);
/// How long the last bytes may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// A stream on its connection.
pub(super) struct ServerStream<'a> {
    socket: TcpStream,
    component: Component,
    worker: &'a Worker<'a>,
    backoff: &'a mut Backoff,
    /// What is to be sent; the first `sent` bytes are.
    out: Vec<u8>,
    sent: usize,
    /// When the server has read nothing for too long.
    stalled: Option<Instant>,
    end: Option<End>,
}

impl<'a> ServerStream<'a> {
    pub(super) fn new(
        socket: TcpStream,
        component: Component,
        worker: &'a Worker<'a>,
        backoff: &'a mut Backoff,
    ) -> Self {
        let (out, sent) = (Vec::new(), 0);
        Self { socket, component, worker, backoff, out, sent, stalled: None, end: None }
    }

    /// Carries the stream to its end; `shutdown` closes it in order.
    pub(super) async fn run(mut self, mut shutdown: Pin<&mut impl Future<Output = ()>>) -> End {
        if let Err(error) = self.socket.set_nodelay(true) {
            tracing::debug!(%error, "Nagle's algorithm stays on");
        }
        let mut buffer = vec![0; READ];
        let mut is_closing = false;
        loop {
            self.take_events();
            self.transmit();
            if let Some(end) = self.end.take() {
                self.farewell().await;
                return if is_closing { End::Shutdown } else { end };
            }
            let deadline = self.deadline();
            tokio::select! {
                () = shutdown.as_mut(), if !is_closing => {
                    is_closing = true;
                    self.component.close(clock::now());
                }
                ready = self.socket.ready(self.interest()) => match ready {
                    Ok(ready) if ready.is_readable() => self.read(&mut buffer).await,
                    Ok(_) => {}
                    Err(_) => self.component.handle_closed(),
                },
                () = self.worker.wake.notified() => {}
                () = until(deadline) => self.handle_timeout(),
            }
        }
    }

    fn interest(&self) -> Interest {
        match self.unsent() {
            0 => Interest::READABLE,
            _ => Interest::READABLE | Interest::WRITABLE,
        }
    }

    fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    async fn read(&mut self, buffer: &mut [u8]) {
        match self.socket.try_read(buffer) {
            Ok(0) => self.component.handle_closed(),
            Ok(len) => {
                self.component.handle_bytes(clock::now(), &buffer[..len]);
                if len == buffer.len() {
                    task::yield_now().await;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.component.handle_closed(),
        }
    }

    fn take_events(&mut self) {
        let carried = self.worker.carried;
        while let Some(event) = self.component.poll_event() {
            match event {
                Event::Ready => {
                    self.backoff.handle_ready(clock::now());
                    tracing::info!(domain = self.component.domain(), "component ready");
                    carried.handle_ready();
                }
                Event::Stanza(stanza) => carried.handle_stanza(stanza),
                Event::Refused(error) => self.end = Some(End::Refused(error)),
                Event::Closed(reason) => self.end = Some(End::Closed(reason)),
            }
        }
    }

    /// Sends what there is until the kernel has no room or nothing is left.
    fn transmit(&mut self) {
        loop {
            self.fill();
            if self.unsent() == 0 {
                self.stalled = None;
                return;
            }
            match self.try_write() {
                Ok(()) => self.stalled = None,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stalled.get_or_insert_with(|| clock::now() + STALL);
                    return;
                }
                // The reader finds out, after what has come before.
                Err(_) => return self.forget(),
            }
        }
    }

    /// Collects what may be sent: first the stream's own, then stanzas while not too much waits.
    fn fill(&mut self) {
        if let Some(bytes) = self.component.poll_transmit() {
            self.out.extend_from_slice(&bytes);
        }
        while self.component.is_ready() && self.unsent() < UNSENT {
            let before = self.out.len();
            self.worker.carried.poll_transmit(&mut self.out);
            if self.out.len() == before {
                return;
            }
        }
    }

    fn try_write(&mut self) -> io::Result<()> {
        self.sent += self.socket.try_write(&self.out[self.sent..])?;
        if self.sent == self.out.len() {
            self.forget();
        } else if self.sent >= UNSENT {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.out.clear();
        self.sent = 0;
    }

    fn deadline(&self) -> Option<Instant> {
        let carried = self.worker.carried.next_deadline();
        [self.component.poll_timeout(), carried, self.stalled].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self) {
        let now = clock::now();
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        self.component.handle_timeout(now);
        if is_due(self.worker.carried.next_deadline()) {
            self.worker.carried.handle_timeout(now);
        }
        if is_due(self.stalled) {
            self.end = Some(End::Stalled);
        }
    }

    /// Writes the stream's last words, such as the error that ends it, and closes our side.
    async fn farewell(&mut self) {
        // A server that does not read them does without.
        let _ = timeout(FAREWELL, async {
            while self.unsent() > 0 {
                if self.socket.writable().await.is_err() {
                    return;
                }
                self.transmit();
            }
        })
        .await;
        // The connection is dropped next, so a failure changes nothing.
        let _ = SockRef::from(&self.socket).shutdown(Shutdown::Write);
    }
}
