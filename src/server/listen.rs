//! Addresses to listen on: found free before any worker binds them.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{Listen, ListenTransport};
use crate::sip::transport::Transport;

/// A socket that keeps an address for the workers, which share it.
pub(super) struct Held {
    pub(super) transport: Transport,
    /// The address with its real port.
    pub(super) local: SocketAddr,
    _socket: Socket,
}

/// Finds the address free and holds it.
///
/// Workers share an address, which would also let a second server share it unnoticed. So it is first
/// taken for ourselves alone.
pub(super) fn hold(listen: &Listen) -> io::Result<Held> {
    let transport = match listen.transport {
        ListenTransport::Udp => Transport::Udp,
        ListenTransport::Tcp => Transport::Tcp,
        ListenTransport::Tls => Transport::Tls,
        ListenTransport::Ws => Transport::Ws,
        ListenTransport::Wss => Transport::Wss,
    };
    match transport {
        Transport::Udp => drop(UdpSocket::bind(listen.address)?),
        _ => drop(TcpListener::bind(listen.address)?),
    }
    let (kind, protocol) = match transport {
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
        _ => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(listen.address), kind, Some(protocol))?;
    socket.set_reuse_port(true)?;
    if listen.address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if transport != Transport::Udp {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&listen.address.into())?;
    let local = socket.local_addr()?.as_socket();
    let local = local.ok_or_else(|| io::Error::other("a socket without an address"))?;
    Ok(Held { transport, local, _socket: socket })
}
