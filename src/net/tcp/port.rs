//! Where peers connect to.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use socket2::Socket;
use tokio::net::TcpListener;
use tokio::task;
use tokio::time::sleep;

use super::{Connections, Receive};
use crate::net::log_limit::LogLimit;
use crate::sip::transport::Transport;

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: i32 = 1024;
/// The wait after the system has refused us another connection.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// One worker's listening socket of one address.
pub struct TcpPort {
    listener: TcpListener,
    transport: Transport,
    local: SocketAddr,
}

impl TcpPort {
    /// Listens with this socket, beside the other workers, for what `transport` makes of TCP.
    pub fn listen(socket: Socket, transport: Transport) -> io::Result<Self> {
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        Ok(Self { local: listener.local_addr()?, transport, listener })
    }

    /// The address that is listened at.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Takes in every connection that comes, until the socket fails.
    ///
    /// A connection beyond the limit is closed at once, and so is one while we are closing.
    pub async fn accept(&self, connections: &Connections, receiver: Rc<dyn Receive>) -> io::Error {
        let (refusals, failures) = (LogLimit::default(), LogLimit::default());
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let adopted =
                        connections.adopt(stream, self.transport, peer, Rc::clone(&receiver));
                    if let Err(reason) = adopted
                        && let Some(count) = refusals.count()
                    {
                        tracing::warn!(%peer, %reason, count, "connections refused");
                    }
                    task::yield_now().await;
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return error,
                Err(error) => {
                    if let Some(count) = failures.count() {
                        tracing::warn!(local = %self.local, %error, count, "connections not accepted");
                    }
                    sleep(EXHAUSTED).await;
                }
            }
        }
    }
}
