//! Connections that carry messages in both directions (RFC 3261 §18).

mod connection;
mod port;
mod queue;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ahash::HashMap;
use bytes::Bytes;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task;
use tokio::time::timeout;

use self::connection::Connection;
pub use self::port::TcpPort;
use self::queue::Queue;
use crate::sip::transport::{Source, Transport};
use crate::sip::{self, FramingError};

/// How long a peer may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What one connection, and all of them, may cost.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// The most that one message may hold.
    pub framing: sip::Limits,
    /// How long a connection may bring nothing. Default 10 min, several times the usual gap between pings.
    pub idle: Duration,
    /// How long a message that has begun may take to be whole. Default 30 s.
    pub header: Duration,
    /// Open connections of all workers. Default 10 000.
    pub max_connections: usize,
    /// Messages that may wait for one peer to read. They may hold 1 MiB together. Default 256.
    pub queue: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            framing: sip::Limits::default(),
            idle: Duration::from_secs(600),
            header: Duration::from_secs(30),
            max_connections: 10_000,
            queue: 256,
        }
    }
}

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SendError {
    /// The peer does not read what waits for it already.
    #[error("too much waits for the peer")]
    Full,
    /// No connection to the peer is open.
    #[error("not connected")]
    NotConnected,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ConnectError {
    /// The peer refused the connection, or it cannot be reached.
    #[error("connection failed: {0}")]
    Failed(io::ErrorKind),
    /// The peer did not answer in time.
    #[error("no connection in time")]
    Timeout,
    /// As many connections are open as are allowed.
    #[error("too many connections")]
    Limit,
    /// We are about to stop.
    #[error("shutting down")]
    Closing,
}

/// Where messages go that a connection brings; called on the worker that holds the connection.
pub trait Receive {
    /// Takes one message, its body included.
    fn receive(&self, bytes: Bytes, source: Source);

    /// The reply to what cannot be read on, if it can be answered; the connection is closed then.
    fn refuse(
        &self,
        refused: Option<sip::Message>,
        error: &FramingError,
        source: Source,
    ) -> Option<Bytes>;
}

/// The open connections of all workers, by peer.
#[derive(Clone)]
pub struct Connections(Arc<Shared>);

struct Shared {
    limits: StreamLimits,
    table: Mutex<Table>,
    /// Tells of every connection that has ended.
    ended: Notify,
}

#[derive(Default)]
struct Table {
    peers: HashMap<SocketAddr, Peer>,
    /// Open connections, those included whose place a newer one has taken.
    open: usize,
    is_closing: bool,
}

/// What an attempt to connect will tell.
type Attempt = watch::Receiver<Option<Result<(), ConnectError>>>;

enum Peer {
    Connecting(Attempt),
    Open(Arc<Queue>),
}

impl Connections {
    /// No connections yet.
    pub fn new(limits: StreamLimits) -> Self {
        Self(Arc::new(Shared { limits, table: Mutex::default(), ended: Notify::new() }))
    }

    /// Queues a message on the connection to `peer`, if there is one.
    pub fn send(&self, peer: SocketAddr, bytes: Bytes) -> Result<(), SendError> {
        let queue = match self.lock().peers.get(&peer) {
            Some(Peer::Open(queue)) => Arc::clone(queue),
            _ => return Err(SendError::NotConnected),
        };
        queue.push(bytes)
    }

    /// Waits for a connection to `peer`, at most 5 seconds; at once when one is open.
    ///
    /// All who wait for one peer share one attempt, and `receiver` is that of the first.
    pub async fn connect(
        &self,
        peer: SocketAddr,
        receiver: Rc<dyn Receive>,
    ) -> Result<(), ConnectError> {
        let Some(mut attempt) = self.attempt(peer, receiver)? else { return Ok(()) };
        match attempt.wait_for(Option::is_some).await {
            Ok(result) => result.unwrap_or(Err(ConnectError::Closing)),
            // The worker of the attempt has ended.
            Err(_) => Err(ConnectError::Closing),
        }
    }

    /// The number of open connections.
    pub fn len(&self) -> usize {
        self.lock().open
    }

    /// Whether no connection is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes what waits, closes every connection and lets none in; takes `limit` at most.
    ///
    /// The workers that hold the connections must go on until then.
    pub async fn close_all(&self, limit: Duration) {
        {
            let mut table = self.lock();
            table.is_closing = true;
            for peer in table.peers.values() {
                if let Peer::Open(queue) = peer {
                    queue.close();
                }
            }
        }
        let all_ended = async {
            loop {
                let ended = self.0.ended.notified();
                if self.is_empty() {
                    return;
                }
                ended.await;
            }
        };
        if timeout(limit, all_ended).await.is_err() {
            tracing::warn!(count = self.len(), "connections not closed in time");
        }
    }

    /// The attempt to wait for; `None` when the connection is open.
    fn attempt(
        &self,
        peer: SocketAddr,
        receiver: Rc<dyn Receive>,
    ) -> Result<Option<Attempt>, ConnectError> {
        let mut table = self.lock();
        match table.peers.get(&peer) {
            Some(Peer::Open(queue)) if !queue.is_closed() => return Ok(None),
            Some(Peer::Connecting(attempt)) => return Ok(Some(attempt.clone())),
            _ => {}
        }
        table.check(&self.0.limits)?;
        let (result, attempt) = watch::channel(None);
        table.peers.insert(peer, Peer::Connecting(attempt.clone()));
        let connections = self.clone();
        task::spawn_local(async move {
            // Nobody may be left to hear it.
            let _ = result.send(Some(connections.open(peer, receiver).await));
        });
        Ok(Some(attempt))
    }

    async fn open(&self, peer: SocketAddr, receiver: Rc<dyn Receive>) -> Result<(), ConnectError> {
        let result = match timeout(CONNECT_TIMEOUT, TcpStream::connect(peer)).await {
            Ok(Ok(stream)) => self.adopt(stream, peer, receiver),
            Ok(Err(error)) => Err(ConnectError::Failed(error.kind())),
            Err(_) => Err(ConnectError::Timeout),
        };
        if result.is_err() {
            let mut table = self.lock();
            if matches!(table.peers.get(&peer), Some(Peer::Connecting(_))) {
                table.peers.remove(&peer);
            }
        }
        result
    }

    /// Takes a connection that is open; this worker serves it until its end.
    fn adopt(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        receiver: Rc<dyn Receive>,
    ) -> Result<(), ConnectError> {
        let failed = |error: io::Error| ConnectError::Failed(error.kind());
        stream.set_nodelay(true).map_err(failed)?;
        let local = stream.local_addr().map_err(failed)?;
        let source = Source::new(Transport::Tcp, peer, local);
        let queue = Arc::new(Queue::new(self.0.limits.queue));
        let mut table = self.lock();
        table.check(&self.0.limits)?;
        table.open += 1;
        // A peer that comes from one port to two of ours keeps the later connection.
        if let Some(Peer::Open(earlier)) = table.peers.insert(peer, Peer::Open(Arc::clone(&queue)))
        {
            earlier.close();
        }
        drop(table);
        task::spawn_local(self.clone().serve(stream, queue, source, receiver));
        Ok(())
    }

    async fn serve(
        self,
        stream: TcpStream,
        queue: Arc<Queue>,
        source: Source,
        receiver: Rc<dyn Receive>,
    ) {
        // Also when the worker drops the task.
        let _open = Open { connections: &self, queue: &queue, peer: source.peer };
        let limits = &self.0.limits;
        let connection = Connection { stream: &stream, queue: &queue, source, limits, receiver };
        let end = connection.run().await;
        tracing::debug!(peer = %source.peer, reason = %end, "connection closed");
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().expect("nothing panics while it holds the table")
    }
}

impl Table {
    /// Whether one more connection may be opened.
    fn check(&self, limits: &StreamLimits) -> Result<(), ConnectError> {
        match () {
            () if self.is_closing => Err(ConnectError::Closing),
            () if self.open >= limits.max_connections => Err(ConnectError::Limit),
            () => Ok(()),
        }
    }
}

/// The entry of an open connection, taken out when the connection is dropped.
struct Open<'a> {
    connections: &'a Connections,
    queue: &'a Arc<Queue>,
    peer: SocketAddr,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.queue.close();
        let mut table = self.connections.lock();
        table.open -= 1;
        if let Some(Peer::Open(queue)) = table.peers.get(&self.peer)
            && Arc::ptr_eq(queue, self.queue)
        {
            table.peers.remove(&self.peer);
        }
        drop(table);
        self.connections.0.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
