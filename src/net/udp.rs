//! Datagrams: one socket per worker and listen address (RFC 3261 §18).

mod batch;
mod steer;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ahash::HashMap;
use bytes::Bytes;
use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task;

use super::log_limit::LogLimit;
use crate::clock;
use batch::{Receiver, Sender};

pub use steer::Requests;
pub(super) use steer::steer;

/// What the kernel is asked to keep for us while a worker is busy.
const KERNEL_BUFFER: usize = 4 << 20;
/// Datagrams that may wait for the kernel; more are dropped, and the transaction repeats them.
const WAITING: usize = 4096;

/// One worker's socket of one listen address.
pub struct UdpPort {
    shared: Rc<Shared>,
    local: SocketAddr,
}

struct Shared {
    /// Watched for what comes only: each datagram that leaves makes room, and nobody should wake up for that.
    socket: AsyncFd<Socket>,
    /// What is sent soon, oldest first.
    waiting: RefCell<VecDeque<(SocketAddr, Bytes)>>,
    sender: RefCell<Sender>,
    /// What waits will be sent: by a task, or by the one that receives.
    is_flushing: Cell<bool>,
    drops: LogLimit,
}

impl UdpPort {
    /// One of the sockets of a [`Group`](super::listen::Group).
    pub fn new(socket: Socket) -> io::Result<Self> {
        enlarge_buffers(&socket);
        let local = address_of(&socket)?;
        let socket = watched(socket, Interest::READABLE)?;
        let shared = Shared {
            socket,
            waiting: RefCell::default(),
            sender: RefCell::new(Sender::new()),
            is_flushing: Cell::new(false),
            drops: LogLimit::default(),
        };
        Ok(Self { shared: Rc::new(shared), local })
    }

    /// The address that the socket is bound to.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends, in order, once the tasks that can run have had their turn, or as soon as the kernel has room. What is sent
    /// until then leaves together.
    ///
    /// A datagram that cannot be sent is logged and lost, as any datagram may be.
    pub fn send(&self, to: SocketAddr, bytes: Bytes) {
        let shared = &self.shared;
        if !shared.is_flushing.replace(true) {
            task::spawn_local(Rc::clone(shared).flush_soon());
        }
        let mut waiting = shared.waiting.borrow_mut();
        if waiting.len() < WAITING {
            waiting.push_back((to, bytes));
        } else if let Some(count) = shared.drops.count() {
            tracing::warn!(local = %self.local, count, "datagrams dropped: the network is too slow");
        }
    }

    /// Has requests to this address go to all of its workers, or to the first; datagrams that have come stay where they are.
    pub fn steer(&self, workers: usize, requests: Requests) {
        if let Err(error) = steer(self.shared.socket.get_ref(), workers, requests) {
            tracing::debug!(local = %self.local, %error, "requests come as before");
        }
    }

    /// Hands over every datagram that comes, until the socket fails.
    pub async fn receive(&self, mut on_datagram: impl FnMut(Bytes, SocketAddr)) -> io::Error {
        let socket = &self.shared.socket;
        let mut receiver = Receiver::new();
        loop {
            if let Err(error) = socket.readable().await {
                return error;
            }
            // Answers leave together, once all that has come is handed over.
            let is_last = !self.shared.is_flushing.replace(true);
            let received = receiver.receive(socket, &mut on_datagram);
            if is_last {
                self.shared.flush_now();
            }
            match received {
                // There may be more, but timers and other tasks have their turn.
                Ok(true) => task::yield_now().await,
                Ok(false) => {}
                Err(error) if is_about_a_peer(&error) => {
                    tracing::debug!(local = %self.local, %error, "datagram not delivered");
                }
                Err(error) => return error,
            }
        }
    }
}

impl Shared {
    /// Sends what waits, and leaves what the kernel has no room for to a task.
    fn flush_now(self: &Rc<Self>) {
        match self.send_waiting() {
            true => self.is_flushing.set(false),
            false => drop(task::spawn_local(Rc::clone(self).flush())),
        }
    }

    /// Sends what waits once all tasks have had their turn: many scripts may hear at once what they have waited for.
    async fn flush_soon(self: Rc<Self>) {
        task::yield_now().await;
        self.flush().await;
    }

    /// Sends what waits, in order, whenever the kernel has room.
    async fn flush(self: Rc<Self>) {
        while !self.send_waiting() {
            if let Err(error) = self.writable().await {
                tracing::debug!(%error, "socket not writable");
                self.waiting.borrow_mut().clear();
            }
        }
        self.is_flushing.set(false);
    }

    /// Waits until the kernel has room.
    async fn writable(&self) -> io::Result<()> {
        let same = self.socket.get_ref().try_clone()?;
        watched(same, Interest::WRITABLE)?.writable().await.map(drop)
    }

    /// Sends what waits; false when the kernel has no room for all.
    fn send_waiting(&self) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        while let Some((first, _)) = waiting.front() {
            let sent = match self.sender.borrow_mut().send(self.socket.get_ref(), waiting.iter()) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    tracing::debug!(peer = %first, %error, "datagram not sent");
                    1
                }
            };
            waiting.drain(..sent);
        }
        true
    }
}

/// A socket that the runtime watches for one thing; tokio's own type is watched for all.
#[expect(unsafe_code, reason = "tokio takes a watched descriptor on trust; see the proof")]
fn watched(socket: Socket, interest: Interest) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a `Socket` owns its descriptor, which stays open and the same until it is dropped, and the `AsyncFd` owns
    // the socket and gives it out by shared reference only.
    unsafe { AsyncFd::register_with_interest(socket, interest) }.map_err(Into::into)
}

/// Where a socket is bound.
fn address_of(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("it has no address of the Internet"))
}

/// The system may allow less; then it is less.
fn enlarge_buffers(socket: &Socket) {
    for set in [Socket::set_recv_buffer_size, Socket::set_send_buffer_size] {
        if let Err(error) = set(socket, KERNEL_BUFFER) {
            tracing::debug!(%error, "socket buffer not enlarged");
        }
    }
}

/// Whether the error came by ICMP and concerns an earlier datagram only.
fn is_about_a_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable,
        PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
    )
}

/// How long a route is believed.
const ROUTE_AGE: Duration = Duration::from_secs(10);
/// Routes that one worker remembers.
const ROUTES: usize = 1024;

thread_local! {
    static ROUTES_KNOWN: RefCell<HashMap<IpAddr, (IpAddr, Instant)>> = RefCell::default();
}

/// Our address that packets to `peer` leave from.
pub fn address_toward(peer: SocketAddr) -> io::Result<IpAddr> {
    let now = clock::now();
    ROUTES_KNOWN.with_borrow_mut(|known| {
        if let Some((ours, until)) = known.get(&peer.ip())
            && now < *until
        {
            return Ok(*ours);
        }
        let ours = ask_route(peer)?;
        if known.len() >= ROUTES {
            known.clear();
        }
        known.insert(peer.ip(), (ours, now + ROUTE_AGE));
        Ok(ours)
    })
}

/// Connecting a datagram socket sends nothing, but the kernel chooses the route.
fn ask_route(peer: SocketAddr) -> io::Result<IpAddr> {
    let any = match peer {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(peer)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::task::LocalSet;

    use super::*;
    use crate::net::listen::Group;
    use crate::sip::transport::Transport;

    fn port() -> UdpPort {
        let loopback = (Ipv4Addr::LOCALHOST, 0).into();
        UdpPort::new(Group::bind(Transport::Udp, loopback, 1).unwrap().take().unwrap()).unwrap()
    }

    /// What a port hears, by way of a task on this worker.
    fn hear(port: &Rc<UdpPort>) -> mpsc::UnboundedReceiver<(Bytes, SocketAddr)> {
        let (sender, heard) = mpsc::unbounded_channel();
        let port = Rc::clone(port);
        task::spawn_local(async move {
            port.receive(|bytes, peer| sender.send((bytes, peer)).unwrap()).await
        });
        heard
    }

    #[tokio::test]
    async fn a_datagram_comes_and_goes() {
        LocalSet::new()
            .run_until(async {
                let one = Rc::new(port());
                let two = Rc::new(port());
                let (mut at_one, mut at_two) = (hear(&one), hear(&two));
                one.send(two.local(), Bytes::from_static(b"ping"));
                let (bytes, peer) = at_two.recv().await.unwrap();
                assert_eq!((&bytes[..], peer), (&b"ping"[..], one.local()));
                two.send(peer, bytes);
                assert_eq!(at_one.recv().await.unwrap().0, "ping");
            })
            .await;
    }

    #[tokio::test]
    async fn what_the_kernel_has_no_room_for_leaves_in_order() {
        LocalSet::new()
            .run_until(async {
                let one = port();
                let two = Rc::new(port());
                let mut at_two = hear(&two);
                // Before its first turn the reactor has not yet said that the socket is writable.
                for number in 0..100_u8 {
                    one.send(two.local(), Bytes::copy_from_slice(&[number]));
                }
                assert!(one.shared.is_flushing.get());
                for number in 0..100 {
                    assert_eq!(at_two.recv().await.unwrap().0[..], [number]);
                }
                assert!(!one.shared.is_flushing.get());
            })
            .await;
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        LocalSet::new()
            .run_until(async {
                let port = port();
                for _ in 0..WAITING + 10 {
                    port.send(port.local(), Bytes::from_static(b"x"));
                }
                assert_eq!(port.shared.waiting.borrow().len(), WAITING);
            })
            .await;
    }

    #[test]
    fn packets_to_loopback_leave_from_loopback() {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 5060));
        for _ in 0..2 {
            assert_eq!(address_toward(peer).unwrap(), Ipv4Addr::LOCALHOST);
        }
    }
}
