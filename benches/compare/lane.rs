//! The way of a message through a program, seen from outside: in at one end, out at the other.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;

use crate::template::Token;

/// The socket buffer asked for, so that a pause of ours does not look like a loss of theirs.
const RECEIVE_BUFFER: usize = 4 << 20;

/// The message named by `token` was answered with `code`, or arrived (200).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) token: Token,
    pub(crate) code: u16,
}

/// Sends messages and sees what becomes of them.
pub(crate) trait Lane {
    /// Takes one message; it leaves with [`Lane::flush`] at the latest.
    fn send(&mut self, token: Token) -> io::Result<()>;

    /// Sends what was taken.
    fn flush(&mut self) -> io::Result<()>;

    /// Waits for answers, at most `wait`, and adds them to `answers`.
    fn receive(&mut self, wait: Duration, answers: &mut Vec<Answer>) -> io::Result<()>;
}

/// A non-blocking UDP socket on a loopback port of the system's choice.
pub(crate) fn loopback_socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    Ok(socket)
}

/// Waits until one of `sockets` can be read, at most `wait`.
pub(crate) fn wait_readable(sockets: &[UdpSocket], wait: Duration) -> io::Result<()> {
    let mut polled: Vec<_> =
        sockets.iter().map(|s| PollFd::new(s.as_fd(), PollFlags::POLLIN)).collect();
    match ppoll(&mut polled, Some(TimeSpec::from_duration(wait)), None) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// What a non-blocking call brought; `None` when nothing is there, or the peer is not listening.
pub(crate) fn ready<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    use io::ErrorKind::{ConnectionRefused, Interrupted, WouldBlock};
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.kind(), WouldBlock | ConnectionRefused | Interrupted) => Ok(None),
        Err(e) => Err(e),
    }
}
