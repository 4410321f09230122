//! Many datagrams by one system call.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use bytes::Bytes;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use smallvec::SmallVec;
use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The largest datagram there is.
const DATAGRAM: usize = 64 << 10;
/// Datagrams that one call takes or gives at most.
const BATCH: usize = 16;
/// From one datagram's room to the next's: no power of two, so that their beginnings do not compete for the same lines
/// of the cache.
const ROOM: usize = DATAGRAM + 17 * 64;

/// Room for datagrams that come. Pages that no datagram has touched take no memory.
pub(super) struct Receiver {
    headers: MultiHeaders<SockaddrStorage>,
    buffer: Vec<u8>,
}

impl Receiver {
    pub(super) fn new() -> Self {
        Self { headers: MultiHeaders::preallocate(BATCH, None), buffer: vec![0; BATCH * ROOM] }
    }

    /// Hands over what has come, and says whether there may be more.
    pub(super) fn receive(
        &mut self,
        socket: &AsyncFd<Socket>,
        mut on_datagram: impl FnMut(Bytes, SocketAddr),
    ) -> io::Result<bool> {
        let mut lengths = SmallVec::<[(usize, Option<SocketAddr>); BATCH]>::new();
        let taken = socket.try_io(Interest::READABLE, |_| {
            let mut slices: Vec<_> =
                self.buffer.chunks_mut(ROOM).map(|chunk| [IoSliceMut::new(chunk)]).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            let fd = socket.as_raw_fd();
            let came = recvmmsg(fd, &mut self.headers, slices.iter_mut(), flags, None)?;
            lengths.extend(came.map(|one| (one.bytes, one.address.as_ref().and_then(address_of))));
            // What was not filled has found the socket empty; so tokio must wait for the next event.
            if lengths.len() < BATCH { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        let chunks = self.buffer.chunks(ROOM);
        for (chunk, (length, peer)) in chunks.zip(lengths) {
            if let Some(peer) = peer {
                on_datagram(Bytes::copy_from_slice(&chunk[..length]), peer);
            }
        }
        match taken {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Sends what stands in a queue.
pub(super) struct Sender(MultiHeaders<SockaddrStorage>);

impl Sender {
    pub(super) fn new() -> Self {
        Self(MultiHeaders::preallocate(BATCH, None))
    }

    /// Sends the first datagrams, one at least, and says how many.
    ///
    /// # Errors
    /// The kernel has no room (`WouldBlock`), or the first datagram cannot be sent.
    pub(super) fn send<'a>(
        &mut self,
        socket: &Socket,
        datagrams: impl Iterator<Item = &'a (SocketAddr, Bytes)>,
    ) -> io::Result<usize> {
        let (mut addresses, mut slices) = (Vec::new(), Vec::new());
        for (to, bytes) in datagrams.take(BATCH) {
            addresses.push(Some(SockaddrStorage::from(*to)));
            slices.push([IoSlice::new(bytes)]);
        }
        let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        Ok(sendmmsg(fd, &mut self.0, &slices, &addresses, [], flags)?.count())
    }
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = || address.as_sockaddr_in().map(|it| SocketAddrV4::from(*it).into());
    let v6 = || address.as_sockaddr_in6().map(|it| SocketAddrV6::from(*it).into());
    v4().or_else(v6)
}
