//! The connection to an XMPP server, kept up: connects, carries a component's stream, comes back.

pub mod client;
pub(super) mod exporter;
mod locate;
mod stream;
mod tls;

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until, timeout_at};

use self::locate::{LocateError, Whereabouts};
use self::stream::ServerStream;
use super::dns;
use crate::clock;
use crate::xmpp::Stanza;
use crate::xmpp::backoff::{Backoff, BackoffConfig};
use crate::xmpp::stream::Component;
use crate::xmpp::stream::component::ComponentConfig;
use crate::xmpp::stream::end::{CloseReason, StreamError};

/// How a component reaches its server.
#[derive(Clone)]
pub struct ComponentLink {
    /// The server: a name or an address.
    pub host: String,
    /// The port for components, where SRV records name none.
    pub port: u16,
    /// Whether to ask for SRV records of `_xmpp-component._tcp`.
    pub srv: bool,
    /// The component.
    pub component: ComponentConfig,
    /// The waits between attempts.
    pub backoff: BackoffConfig,
}

/// What the stream carries; called on the worker that runs it.
pub trait Carried {
    /// The stream is ready for stanzas.
    fn handle_ready(&self);
    /// The server delivers a stanza.
    fn handle_stanza(&self, stanza: Stanza);
    /// The stream is over, or an attempt to open it has failed.
    fn handle_closed(&self, why: &str);
    /// Appends the stanzas that may leave now; called only while the stream is ready.
    fn poll_transmit(&self, out: &mut Vec<u8>);
    /// When `handle_timeout` must be called at the latest; asked again after every wake-up.
    fn next_deadline(&self) -> Option<Instant>;
    /// Tells that time has passed, whether there is a stream or not.
    fn handle_timeout(&self, now: Instant);
}

/// Why a stream is over, or did not come about.
#[derive(Debug, Error)]
enum End {
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, std::io::Error),
    #[error("{0} does not accept the connection in time")]
    ConnectTimeout(SocketAddr),
    #[error(transparent)]
    Closed(CloseReason),
    #[error("server does not read")]
    Stalled,
    #[error("server refuses: {0}")]
    Refused(StreamError),
    #[error("closed by us")]
    Shutdown,
}

/// Keeps a component connected until `shutdown`, which closes its stream in order.
///
/// `wake` tells that `carried` has something to transmit, or another deadline.
pub async fn run(
    link: ComponentLink,
    resolver: Option<dns::Resolver>,
    carried: Rc<dyn Carried>,
    wake: Rc<Notify>,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let mut backoff = Backoff::new(link.backoff);
    let worker = Worker { carried: &*carried, wake: &wake };
    loop {
        let end = attempt(&link, resolver.as_ref(), &worker, &mut backoff, shutdown.as_mut()).await;
        carried.handle_closed(&end.to_string());
        let wait = match end {
            End::Shutdown => return,
            End::Refused(_) => backoff.after_refusal(rand::random()),
            _ => backoff.after_failure(clock::now(), rand::random()),
        };
        log(&link, &end, wait);
        if worker.during(sleep(wait), shutdown.as_mut()).await.is_none() {
            return;
        }
    }
}

/// One connection from beginning to end.
async fn attempt(
    link: &ComponentLink,
    resolver: Option<&dns::Resolver>,
    worker: &Worker<'_>,
    backoff: &mut Backoff,
    mut shutdown: Pin<&mut impl Future<Output = ()>>,
) -> End {
    let opening = open(link, resolver);
    match worker.during(opening, shutdown.as_mut()).await {
        None => End::Shutdown,
        Some(Err(end)) => end,
        Some(Ok((socket, component))) => {
            ServerStream::new(socket, component, worker, backoff).run(shutdown).await
        }
    }
}

/// Connects to the first address that lets us.
async fn open(
    link: &ComponentLink,
    resolver: Option<&dns::Resolver>,
) -> Result<(TcpStream, Component), End> {
    let mut failure = LocateError::NotFound.into();
    let srv = link.srv.then_some(("_xmpp-component._tcp", link.host.as_str()));
    let server = Whereabouts { host: &link.host, port: link.port, srv };
    for address in locate::addresses(server, resolver).await? {
        let mut component = Component::new(link.component.clone(), clock::now());
        let deadline = component.poll_timeout().expect("a new stream is not over");
        match timeout_at(deadline.into(), TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                component.start();
                return Ok((socket, component));
            }
            Ok(Err(error)) => failure = End::Connect(address, error),
            Err(_) => failure = End::ConnectTimeout(address),
        }
    }
    Err(failure)
}

fn log(link: &ComponentLink, end: &End, wait: Duration) {
    let domain = &link.component.domain;
    match end {
        End::Refused(error) => tracing::warn!(
            domain, host = %link.host, condition = %error, retry = ?wait,
            "component refused: check xmpp_domain and xmpp_password against the server's configuration"
        ),
        reason => {
            tracing::warn!(domain, host = %link.host, %reason, retry = ?wait, "component closed");
        }
    }
}

/// What goes on in every phase: deadlines and wake-ups.
struct Worker<'a> {
    carried: &'a dyn Carried,
    wake: &'a Notify,
}

impl Worker<'_> {
    /// Serves the deadlines of what is carried while `work` goes on; `None` at the shutdown.
    async fn during<T>(
        &self,
        work: impl Future<Output = T>,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Option<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                () = shutdown.as_mut() => return None,
                done = &mut work => return Some(done),
                () = until(self.carried.next_deadline()) => {
                    self.carried.handle_timeout(clock::now());
                }
                // Only the deadline can have changed: there is no stream.
                () = self.wake.notified() => {}
            }
        }
    }
}

/// Waits for a deadline, for ever without one.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
