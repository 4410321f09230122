//! The SIP side of MESSAGEs toward the program: sends requests, matches replies by branch.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::lane::{Answer, Lane, loopback_socket, ready, wait_readable};
use crate::template::{ACCOUNT, BODY_LENGTH, TOKEN, Template, Token, USER, body};

/// Source ports, so that a program that spreads flows over its workers can do so.
pub(crate) const SOCKETS: usize = 8;
/// What every branch starts with (RFC 3261 §8.1.1.7).
pub(crate) const BRANCH: &str = "branch=z9hG4bK";

/// User agent clients on several ports, 1,000 users each.
#[derive(Debug)]
pub(crate) struct Uac {
    sockets: Vec<UdpSocket>,
    requests: Vec<Template>,
    buffer: Vec<u8>,
}

impl Uac {
    /// Clients of the program at `server` that write to `uri`.
    pub(crate) fn new(server: SocketAddr, uri: &str) -> io::Result<Self> {
        Self::with_hops(server, uri, 70)
    }

    /// Clients whose messages may go over so many hops: with 0, every proxy answers them itself.
    pub(crate) fn with_hops(server: SocketAddr, uri: &str, hops: u8) -> io::Result<Self> {
        Self::with(server, |local| Template::new(&request(uri, local, hops, USER)))
    }

    /// Clients for so many users with accounts.
    pub(crate) fn with_accounts(server: SocketAddr, uri: &str, count: u32) -> io::Result<Self> {
        let text = |local| request(uri, local, 70, ACCOUNT);
        Self::with(server, |local| Template::with_accounts(&text(local), count))
    }

    fn with(server: SocketAddr, template: impl Fn(SocketAddr) -> Template) -> io::Result<Self> {
        let mut uac = Self { sockets: Vec::new(), requests: Vec::new(), buffer: vec![0; 65536] };
        for _ in 0..SOCKETS {
            let socket = loopback_socket()?;
            socket.connect(server)?;
            uac.requests.push(template(socket.local_addr()?));
            uac.sockets.push(socket);
        }
        Ok(uac)
    }
}

impl Lane for Uac {
    fn send(&mut self, token: Token) -> io::Result<()> {
        let index = token.sequence as usize % SOCKETS;
        ready(self.sockets[index].send(self.requests[index].stamp(token)))?;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, wait: Duration, answers: &mut Vec<Answer>) -> io::Result<()> {
        wait_readable(&self.sockets, wait)?;
        for socket in &self.sockets {
            while let Some(length) = ready(socket.recv(&mut self.buffer))? {
                answers.extend(answer(&self.buffer[..length]));
            }
        }
        Ok(())
    }
}

fn request(uri: &str, local: SocketAddr, hops: u8, user: &str) -> String {
    let body = body();
    format!(
        "MESSAGE {uri} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {local};rport;{BRANCH}{TOKEN}\r\n\
         Max-Forwards: {hops}\r\n\
         From: <sip:user{user}@sip.example>;tag={TOKEN}\r\n\
         To: <{uri}>\r\n\
         Call-ID: {TOKEN}@127.0.0.1\r\n\
         CSeq: 1 MESSAGE\r\n\
         User-Agent: sipjab-bench\r\n\
         Content-Type: text/plain\r\n\
         Content-Length: {BODY_LENGTH}\r\n\
         \r\n\
         {body}"
    )
}

fn answer(reply: &[u8]) -> Option<Answer> {
    Some(Answer { token: Token::after(BRANCH, reply)?, code: status(reply)? })
}

/// The status code of a response.
pub(crate) fn status(reply: &[u8]) -> Option<u16> {
    std::str::from_utf8(reply.strip_prefix(b"SIP/2.0 ")?.get(..3)?).ok()?.parse().ok()
}
