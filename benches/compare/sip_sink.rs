//! The SIP side of MESSAGEs from the program: a server that answers 200 to each.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use memchr::memmem;

use crate::lane::{Answer, loopback_socket, ready, wait_readable};
use crate::template::{BODY_MARK, Token};

/// A user agent server for everybody.
#[derive(Debug)]
pub(crate) struct SipSink {
    socket: [UdpSocket; 1],
    buffer: Vec<u8>,
    reply: Vec<u8>,
    /// Hashes of the branches answered so far: a request that comes again is a retransmission.
    branches: HashSet<u64>,
    hasher: RandomState,
}

impl SipSink {
    /// Listens on a free port.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            socket: [loopback_socket()?],
            buffer: vec![0; 65536],
            reply: Vec::new(),
            branches: HashSet::new(),
            hasher: RandomState::new(),
        })
    }

    /// Where the program sends MESSAGEs to.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket[0].local_addr()
    }

    /// Answers the requests that come within `wait` and adds their arrival to `answers`;
    /// retransmissions are answered again and do not count.
    pub(crate) fn serve(&mut self, wait: Duration, answers: &mut Vec<Answer>) -> io::Result<()> {
        wait_readable(&self.socket, wait)?;
        while let Some((length, from)) = ready(self.socket[0].recv_from(&mut self.buffer))? {
            let request = &self.buffer[..length];
            if write_reply(request, &mut self.reply) {
                ready(self.socket[0].send_to(&self.reply, from))?;
            }
            if self.branches.insert(self.hasher.hash_one(branch(request))) {
                let token = Token::after(BODY_MARK, request);
                answers.extend(token.map(|token| Answer { token, code: 200 }));
            }
        }
        Ok(())
    }
}

/// The branch of the topmost Via, which names the transaction (RFC 3261 §17.2.3).
fn branch(request: &[u8]) -> &[u8] {
    let start = memmem::find(request, b";branch=").map_or(0, |at| at + 8);
    let length = request[start..].iter().position(|byte| b";,\r\n".contains(byte));
    length.map_or(request, |length| &request[start..start + length])
}

/// Writes 200 with what RFC 3261 §8.2.6.2 copies from the request; false when it is none.
fn write_reply(request: &[u8], reply: &mut Vec<u8>) -> bool {
    let Some(end) = memmem::find(request, b"\r\n\r\n") else { return false };
    if !request.starts_with(b"MESSAGE ") {
        return false;
    }
    reply.clear();
    reply.extend_from_slice(b"SIP/2.0 200 OK\r\n");
    for line in request[..end].split(|&byte| byte == b'\n').map(|line| line.trim_ascii_end()) {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default().trim_ascii_end();
        if !COPIED.iter().any(|copied| name.eq_ignore_ascii_case(copied)) {
            continue;
        }
        reply.extend_from_slice(line);
        let is_to = name.eq_ignore_ascii_case(b"To") || name.eq_ignore_ascii_case(b"t");
        reply.extend_from_slice(if is_to { b";tag=sink\r\n" } else { b"\r\n" });
    }
    reply.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    true
}

const COPIED: [&[u8]; 9] = [b"Via", b"v", b"From", b"f", b"To", b"t", b"Call-ID", b"i", b"CSeq"];
