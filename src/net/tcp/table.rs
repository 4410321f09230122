//! The open connections by transport and peer, and the attempts to open more.

use std::sync::Arc;

use ahash::HashMap;
use tokio::sync::watch;

use super::queue::Queue;
use super::{ConnectError, Connections, StreamLimits};
use crate::sip::certificate::Certificate;
use crate::sip::ip;
use crate::sip::target::Target;

#[derive(Default)]
pub(super) struct Table {
    pub(super) peers: HashMap<Target, Open>,
    /// What is being connected to, with the name that TLS must prove; empty without TLS.
    pub(super) attempts: HashMap<(Target, Box<str>), Attempt>,
    /// Connections that are open or in a handshake, those included whose place a newer one has taken.
    pub(super) open: usize,
    /// The number of the last connection.
    pub(super) flow: u64,
    pub(super) is_closing: bool,
}

/// What an attempt to connect will tell.
pub(super) type Attempt = watch::Receiver<Option<Result<(), ConnectError>>>;

/// An open connection as others see it.
pub(super) struct Open {
    pub(super) queue: Arc<Queue>,
    pub(super) flow: u64,
    /// Whom the peer has proved to be.
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) is_ours: bool,
}

impl Open {
    /// May requests for a host of this name take the connection to `to`?
    ///
    /// Over TLS the name must be proved (RFC 5922 §7.3). A client without a certificate is reached by its address,
    /// as the registrar has seen it.
    pub(super) fn is_for(&self, to: Target, name: &str) -> bool {
        let is_proved = match &self.certificate {
            _ if !to.transport.is_secure() => true,
            Some(certificate) if certificate.is_for(name) => true,
            Some(_) if self.is_ours => false,
            None if self.is_ours => true,
            _ => ip(name).is_some(),
        };
        is_proved && !self.queue.is_closed()
    }
}

impl Table {
    /// Whether one more connection may be opened.
    pub(super) fn check(&self, limits: &StreamLimits) -> Result<(), ConnectError> {
        match () {
            () if self.is_closing => Err(ConnectError::Closing),
            () if self.open >= limits.max_connections => Err(ConnectError::Limit),
            () => Ok(()),
        }
    }
}

/// A connection's part of the limit, given back when the connection is dropped.
pub(super) struct Slot(pub(super) Connections);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.lock().open -= 1;
        self.0.0.ended.notify_waiters();
    }
}

/// The entry of an open connection, taken out when the connection is dropped, also by the worker's end.
pub(super) struct Entry {
    pub(super) connections: Connections,
    pub(super) queue: Arc<Queue>,
    pub(super) to: Target,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.queue.close();
        let mut table = self.connections.lock();
        if table.peers.get(&self.to).is_some_and(|open| Arc::ptr_eq(&open.queue, &self.queue)) {
            table.peers.remove(&self.to);
        }
    }
}
