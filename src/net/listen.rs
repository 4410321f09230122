//! The sockets of one address to listen on, one for each worker.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::vec;

use socket2::{Domain, Protocol, Socket, Type};

use super::udp::{Requests, steer};
use crate::sip::transport::Transport;

/// Sockets that share an address, in the order of the workers.
///
/// What comes before a worker has started waits in its socket.
pub struct Group {
    transport: Transport,
    local: SocketAddr,
    sockets: vec::IntoIter<Socket>,
}

impl Group {
    /// Finds the address free and takes it.
    ///
    /// Sockets that share an address would also let a second server share it unnoticed. So it is first
    /// taken for ourselves alone.
    pub fn bind(transport: Transport, address: SocketAddr, workers: usize) -> io::Result<Self> {
        match transport {
            Transport::Udp => drop(UdpSocket::bind(address)?),
            _ => drop(TcpListener::bind(address)?),
        }
        let first = bind(transport, address)?;
        let local = first.local_addr()?.as_socket();
        let local = local.ok_or_else(|| io::Error::other("a socket without an address"))?;
        let mut sockets = vec![first];
        for _ in 1..workers {
            sockets.push(bind(transport, local)?);
        }
        if transport == Transport::Udp
            && let Err(error) = steer(&sockets[0], workers, Requests::ToFirst)
        {
            tracing::debug!(%local, %error, "datagrams come to any worker");
        }
        Ok(Self { transport, local, sockets: sockets.into_iter() })
    }

    /// What is spoken there.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The address, with its real port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The next worker's socket; `None` when each has its own.
    pub fn take(&mut self) -> Option<Socket> {
        self.sockets.next()
    }
}

fn bind(transport: Transport, address: SocketAddr) -> io::Result<Socket> {
    let (kind, protocol) = match transport {
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
        _ => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if transport != Transport::Udp {
        socket.set_reuse_address(true)?;
    }
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn group(transport: Transport, workers: usize) -> Group {
        Group::bind(transport, (Ipv4Addr::LOCALHOST, 0).into(), workers).unwrap()
    }

    #[test]
    fn every_worker_has_its_socket_of_one_address() {
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut group = group(transport, 3);
            let local = group.local();
            let sockets = std::iter::from_fn(|| group.take()).collect::<Vec<_>>();
            assert_eq!(sockets.len(), 3);
            for socket in sockets {
                assert_eq!(socket.local_addr().unwrap().as_socket(), Some(local));
            }
        }
    }

    #[test]
    fn an_address_that_is_in_use_is_refused() {
        for transport in [Transport::Udp, Transport::Tcp] {
            let group = group(transport, 1);
            if transport != Transport::Udp {
                group.sockets.as_slice()[0].listen(1).unwrap();
            }
            let error = Group::bind(transport, group.local(), 1).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        }
    }
}
