//! Connections that carry messages in both directions (RFC 3261 §18).

mod connection;
mod framer;
mod handshake;
mod port;
mod queue;
mod table;

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task;
use tokio::time::timeout;

use self::connection::Connection;
pub use self::handshake::Layers;
use self::handshake::{HandshakeError, Ready};
pub use self::port::TcpPort;
use self::queue::Queue;
use self::table::{Attempt, Entry, Open, Slot, Table};
use crate::sip::certificate::Certificate;
use crate::sip::target::Target;
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
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConnectError {
    /// The peer refused the connection, or it cannot be reached.
    #[error("connection failed: {0}")]
    Failed(io::ErrorKind),
    /// The peer does not come to terms with us, or is not whom we want.
    #[error("{0}")]
    Handshake(Box<str>),
    /// Only the client can open a WebSocket, and it has none open (RFC 7118 §5).
    #[error("the client has no WebSocket open")]
    NoWebSocket,
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

    /// A connection was closed for what it brought, or because it brought too little.
    fn refuse_connection(&self, reason: &'static str, peer: SocketAddr, detail: &dyn Display);
}

/// The open connections of all workers, by transport and peer.
#[derive(Clone)]
pub struct Connections(Arc<Shared>);

struct Shared {
    limits: StreamLimits,
    layers: Layers,
    table: Mutex<Table>,
    /// Tells of every connection that has ended.
    ended: Notify,
    /// Tells that we are about to stop.
    closing: Notify,
}

impl Connections {
    /// No connections yet.
    pub fn new(limits: StreamLimits, layers: Layers) -> Self {
        let (table, ended, closing) = Default::default();
        Self(Arc::new(Shared { limits, layers, table, ended, closing }))
    }

    /// Queues a message on the connection to `to`, if there is one.
    pub fn send(&self, to: Target, bytes: Bytes) -> Result<(), SendError> {
        let queue = match self.lock().peers.get(&to) {
            Some(open) => Arc::clone(&open.queue),
            None => return Err(SendError::NotConnected),
        };
        queue.push(bytes)
    }

    /// Waits for a connection to `to`; at once when one is open.
    ///
    /// Over TLS the server must be the SIP domain `name`, the host of the URI that led to it. All who
    /// wait for one server share one attempt, and `receiver` is that of the first.
    pub async fn connect(
        &self,
        to: Target,
        name: &str,
        receiver: Rc<dyn Receive>,
    ) -> Result<(), ConnectError> {
        let Some(mut attempt) = self.attempt(to, name, receiver)? else { return Ok(()) };
        match attempt.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Err(ConnectError::Closing)),
            // The worker of the attempt has ended.
            Err(_) => Err(ConnectError::Closing),
        }
    }

    /// The certificate that the sender of a message has proved to have; none once its connection is closed.
    pub fn certificate(&self, source: Source) -> Option<Arc<Certificate>> {
        let from = Target { transport: source.transport, addr: source.peer };
        match self.lock().peers.get(&from) {
            Some(open) if open.flow == source.flow => open.certificate.clone(),
            _ => None,
        }
    }

    /// The number of connections that are open or in a handshake.
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
            table.peers.values().for_each(|open| open.queue.close());
        }
        self.0.closing.notify_waiters();
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
        to: Target,
        name: &str,
        receiver: Rc<dyn Receive>,
    ) -> Result<Option<Attempt>, ConnectError> {
        let mut table = self.lock();
        if table.peers.get(&to).is_some_and(|open| open.is_for(to, name)) {
            return Ok(None);
        }
        let name = if to.transport.is_secure() { name.to_ascii_lowercase() } else { String::new() };
        let key = (to, Box::from(name));
        if let Some(attempt) = table.attempts.get(&key) {
            return Ok(Some(attempt.clone()));
        }
        if matches!(to.transport, Transport::Ws | Transport::Wss) {
            return Err(ConnectError::NoWebSocket);
        }
        table.check(&self.0.limits)?;
        let (result, attempt) = watch::channel(None);
        table.attempts.insert(key.clone(), attempt.clone());
        let connections = self.clone();
        task::spawn_local(async move {
            let opened = tokio::select! {
                opened = connections.establish(to, &key.1, receiver) => opened,
                () = connections.closing() => Err(ConnectError::Closing),
            };
            connections.lock().attempts.remove(&key);
            // Nobody may be left to hear it.
            let _ = result.send(Some(opened));
        });
        Ok(Some(attempt))
    }

    async fn establish(
        &self,
        to: Target,
        name: &str,
        receiver: Rc<dyn Receive>,
    ) -> Result<(), ConnectError> {
        let slot = self.slot()?;
        let failed = |error: io::Error| ConnectError::Failed(error.kind());
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(to.addr)).await;
        let stream = connected.map_err(|_| ConnectError::Timeout)?.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let source = self.source(to.transport, to.addr, stream.local_addr().map_err(failed)?);
        let ready = self.0.layers.connect(stream, to.transport, name).await;
        let ready = ready.map_err(|error| match error {
            HandshakeError::Timeout => ConnectError::Timeout,
            error => ConnectError::Handshake(error.to_string().into()),
        })?;
        let entry = self.enter(&ready, source, true)?;
        task::spawn_local(serve(slot, entry, ready, source, receiver));
        Ok(())
    }

    /// Takes a connection that a client has opened; this worker serves it until its end.
    fn adopt(
        &self,
        stream: TcpStream,
        transport: Transport,
        peer: SocketAddr,
        receiver: Rc<dyn Receive>,
    ) -> Result<(), ConnectError> {
        let failed = |error: io::Error| ConnectError::Failed(error.kind());
        let slot = self.slot()?;
        stream.set_nodelay(true).map_err(failed)?;
        let source = self.source(transport, peer, stream.local_addr().map_err(failed)?);
        let connections = self.clone();
        task::spawn_local(async move {
            let ready = tokio::select! {
                ready = connections.0.layers.accept(stream, transport) => ready,
                () = connections.closing() => return,
            };
            match ready {
                Ok(ready) => {
                    let Ok(entry) = connections.enter(&ready, source, false) else { return };
                    serve(slot, entry, ready, source, receiver).await;
                }
                Err(error) => receiver.refuse_connection("handshake", peer, &error),
            }
        });
        Ok(())
    }

    /// Makes a connection known, so that others find it.
    fn enter(&self, ready: &Ready, source: Source, is_ours: bool) -> Result<Entry, ConnectError> {
        let is_websocket = matches!(source.transport, Transport::Ws | Transport::Wss);
        let queue = Arc::new(Queue::new(self.0.limits.queue, is_websocket));
        let to = Target { transport: source.transport, addr: source.peer };
        let certificate = ready.certificate.clone();
        let open = Open { queue: Arc::clone(&queue), flow: source.flow, certificate, is_ours };
        let mut table = self.lock();
        if table.is_closing {
            return Err(ConnectError::Closing);
        }
        // A peer that comes from one port to two of ours keeps the later connection. One of ours goes
        // on beside that to another name, until its replies have come and it is idle.
        if let Some(earlier) = table.peers.insert(to, open)
            && !earlier.is_ours
        {
            earlier.queue.close();
        }
        Ok(Entry { connections: self.clone(), queue, to })
    }

    fn source(&self, transport: Transport, peer: SocketAddr, local: SocketAddr) -> Source {
        let mut table = self.lock();
        table.flow += 1;
        Source { flow: table.flow, ..Source::new(transport, peer, local) }
    }

    /// Room for one more connection.
    fn slot(&self) -> Result<Slot, ConnectError> {
        let mut table = self.lock();
        table.check(&self.0.limits)?;
        table.open += 1;
        Ok(Slot(self.clone()))
    }

    /// Waits until we are about to stop.
    async fn closing(&self) {
        let closing = self.0.closing.notified();
        if !self.lock().is_closing {
            closing.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().expect("nothing panics while it holds the table")
    }
}

async fn serve(_slot: Slot, entry: Entry, ready: Ready, source: Source, receiver: Rc<dyn Receive>) {
    let limits = &entry.connections.0.limits;
    let connection = Connection::new(&entry.queue, source, limits, receiver);
    let end = connection.run(ready.stream, &ready.rest).await;
    tracing::debug!(peer = %source.peer, reason = %end, "connection closed");
}

#[cfg(test)]
pub(super) mod tests;
