//! Responses come to the worker that sent the request, requests to whom they shall.
//!
//! The workers' sockets of one address are a group, in which the kernel chooses by the peer's address. A response
//! that it gives to another worker must be passed on, which wakes two threads for one message: dearer than the message.
//! So the group gets a small program (classic BPF, `SO_ATTACH_REUSEPORT_CBPF`) that reads the worker from the
//! branch of a response. Where it finds none, and for requests, the first worker is chosen, or the kernel chooses as before.

use std::io;

use nix::libc::{self, sock_filter, sock_fprog};
use nix::sys::socket::{setsockopt, sockopt::AttachReusePortCbpf};
use socket2::Socket;

use crate::sip::transaction::Branch;

/// How a response begins.
const RESPONSE: u32 = u32::from_be_bytes(*b"SIP/");
/// Where the cookie of the first Via may begin: `SIP/2.0 200 \r\nv:SIP/2.0/UDP h;branch=` is the shortest before it …
const FIRST: u32 = 35;
/// … and this leaves room for a long reason phrase, an IPv6 address, and `rport` and `received` before the branch.
const LAST: u32 = 127;

/// Who gets requests, and what else is no response to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requests {
    /// The first worker.
    ToFirst,
    /// All, chosen by the address of the peer.
    ToAll,
}

impl Requests {
    /// The number of the socket that gets them; no socket has the greatest, which leaves the choice to the kernel.
    fn socket(self) -> u32 {
        match self {
            Self::ToFirst => 0,
            Self::ToAll => u32::MAX,
        }
    }
}

/// Makes responses come to the socket whose number is that of the worker, in the order in which these were bound, and everything else
/// to whom `requests` says. `socket` is one of the group.
///
/// # Errors
/// The system does not know such programs. Then datagrams come anywhere.
pub(crate) fn steer(socket: &Socket, workers: usize, requests: Requests) -> io::Result<()> {
    if workers < 2 {
        return Ok(());
    }
    let mut program = program(u16::try_from(workers).unwrap_or(u16::MAX), requests.socket());
    let len = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = sock_fprog { len, filter: program.as_mut_ptr() };
    Ok(setsockopt(socket, AttachReusePortCbpf, &program)?)
}

fn program(workers: u16, other: u32) -> Vec<sock_filter> {
    let cookie = u32::from_be_bytes(*b"z9hG");
    let load_length = statement(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0);
    let load = |at| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at);
    let answer = |socket| statement(libc::BPF_RET | libc::BPF_K, socket);
    let digits = Branch::WORKER_AT as u32;
    let mut program = vec![
        load_length,
        jump(libc::BPF_JGE, LAST + digits + 4, 1, 0),
        answer(other),
        load(0),
        jump(libc::BPF_JEQ, RESPONSE, 1, 0),
        answer(other),
    ];
    // Each place takes four instructions, and one stands between the last place and what all of them jump to.
    for at in FIRST..=LAST {
        program.push(load(at));
        program.push(jump(libc::BPF_JEQ, cookie, 0, 2));
        program.push(statement(libc::BPF_LDX | libc::BPF_IMM, at));
        program.push(statement(libc::BPF_JMP | libc::BPF_JA, (LAST - at) * 4 + 1));
    }
    program.push(answer(other));
    program.push(statement(libc::BPF_LD | libc::BPF_W | libc::BPF_IND, digits));
    for worker in 0..workers {
        program.push(jump(libc::BPF_JEQ, u32::from_be_bytes(Branch::worker_digits(worker)), 0, 1));
        program.push(answer(u32::from(worker)));
    }
    program.push(answer(other));
    program
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Compares what was loaded; `then` and `other` say how many instructions are skipped.
fn jump(code: u32, k: u32, then: u8, other: u8) -> sock_filter {
    let code = libc::BPF_JMP | code | libc::BPF_K;
    sock_filter { jt: then, jf: other, ..statement(code, k) }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};
    use std::time::Duration;

    use super::*;
    use crate::net::listen::Group;
    use crate::sip::transaction::BranchMint;
    use crate::sip::transport::Transport;

    fn workers(count: usize) -> Vec<UdpSocket> {
        let loopback = (Ipv4Addr::LOCALHOST, 0).into();
        let mut group = Group::bind(Transport::Udp, loopback, count).unwrap();
        std::iter::from_fn(|| group.take())
            .map(|socket| {
                socket.set_nonblocking(false).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                socket.into()
            })
            .collect()
    }

    /// Sends to the workers, each time from another port.
    fn send(workers: &[UdpSocket], text: &str) {
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        peer.send_to(text.as_bytes(), workers[0].local_addr().unwrap()).unwrap();
    }

    fn hear(worker: &UdpSocket) -> String {
        let mut buffer = [0; 2000];
        let (len, _) = worker.recv_from(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    #[test]
    fn a_response_comes_to_the_worker_that_sent_the_request() {
        let workers = workers(17);
        let mint = BranchMint::new();
        let before = [
            "SIP/2.0 200 \r\nv:SIP/2.0/UDP h;branch=",
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=",
            "SIP/2.0 183 Session Progress\r\nVia: SIP/2.0/UDP \
             [2001:db8:85a3:8d3:1319:8a2e:370:7348]:65535;rport=65535;branch=",
        ];
        let after = "\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@b>;tag=2\r\nCall-ID: 1@h\r\nCSeq: 1 INVITE\r\n\r\n";
        for (id, before) in (0..).zip(before) {
            for number in [0, 1, 9, 10, 16_u16] {
                let text = format!("{before}{}{after}", mint.mint(number, id));
                send(&workers, &text);
                assert_eq!(hear(&workers[usize::from(number)]), text);
            }
        }
    }

    /// How many of these many requests, each from another port, come to each of two workers.
    fn share(workers: &[UdpSocket], requests: Requests) -> [usize; 2] {
        const MANY: usize = 64;
        steer(&workers[1].try_clone().unwrap().into(), 2, requests).unwrap();
        (0..MANY).for_each(|_| send(workers, "OPTIONS sip:a@b SIP/2.0\r\n\r\n"));
        let mut came = [0, 0];
        while came[0] + came[1] < MANY {
            for (worker, came) in workers.iter().zip(&mut came) {
                worker.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                *came += usize::from(worker.recv_from(&mut [0; 2000]).is_ok());
            }
        }
        came
    }

    #[test]
    fn requests_come_to_the_first_worker_or_to_all() {
        let workers = workers(2);
        assert_eq!(share(&workers, Requests::ToFirst), [64, 0]);
        let [first, second] = share(&workers, Requests::ToAll);
        assert!(first > 0 && second > 0, "{first} and {second}");
        assert_eq!(share(&workers, Requests::ToFirst), [64, 0]);
    }

    #[test]
    fn anything_else_comes_to_some_worker() {
        let workers = workers(2);
        let long = format!("SIP/2.0 200 OK\r\n{}", "x".repeat(1000));
        let of_another =
            format!("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h:5060;branch=z9hG4bKffff{long}");
        let texts =
            ["", "SIP", "\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n", "OPTIONS sip:a@b SIP/2.0\r\n\r\n"];
        for text in texts.into_iter().chain([&*long, &*of_another]) {
            send(&workers, text);
            let mut arrived = Vec::new();
            while arrived.is_empty() {
                for worker in &workers {
                    worker.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                    let mut buffer = [0; 2000];
                    if let Ok((len, _)) = worker.recv_from(&mut buffer) {
                        arrived.push(buffer[..len].to_vec());
                    }
                }
            }
            assert_eq!(arrived, [text.as_bytes()]);
        }
    }
}
