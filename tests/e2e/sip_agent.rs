//! A SIP user agent on UDP and TCP of one loopback port: it sends MESSAGEs and answers them.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::port;
use crate::process::PATIENCE;
use crate::sip::{Message, Outgoing, cut_message};

/// RFC 3261 §17.1.1.1: how long before an unanswered request over UDP is sent again.
pub(crate) const T1: Duration = Duration::from_millis(500);

/// Where a message came from and where its answer goes.
pub(crate) enum Flow {
    Udp(SocketAddr),
    Tcp(TcpStream),
}

/// A user agent; both its ports are closed when it is dropped.
pub(crate) struct Agent {
    /// The address of both sockets.
    pub(crate) local: SocketAddr,
    udp: UdpSocket,
    inbox: Receiver<(Message, Flow)>,
    sender: Sender<(Message, Flow)>,
    seen: HashSet<String>,
}

impl Agent {
    /// Opens both sockets.
    pub(crate) fn bind() -> Self {
        Self::bind_at("127.0.0.1")
    }

    /// Opens both sockets at an address of this machine.
    pub(crate) fn bind_at(ip: &str) -> Self {
        // A port that is free for UDP may be that of a TCP connection.
        let (agent, listener) = std::iter::repeat_with(|| Self::bind_udp(ip))
            .take(100)
            .find_map(|agent| TcpListener::bind(agent.local).ok().map(|it| (agent, it)))
            .expect("a port that is free for both");
        let queue = agent.sender.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let queue = queue.clone();
                thread::spawn(move || read_stream(stream, &queue));
            }
        });
        agent
    }

    /// Opens the socket for datagrams only; connections are refused.
    pub(crate) fn bind_udp(ip: &str) -> Self {
        let ip: IpAddr = ip.parse().unwrap();
        let local = SocketAddr::new(ip, port::free());
        let udp = UdpSocket::bind(local).unwrap();
        let (sender, inbox) = channel();
        let (socket, queue) = (udp.try_clone().unwrap(), sender.clone());
        thread::spawn(move || read_datagrams(&socket, &queue));
        Self { local, udp, inbox, sender, seen: HashSet::new() }
    }

    /// Sends bytes in one datagram.
    pub(crate) fn send_udp(&self, bytes: &[u8], to: SocketAddr) {
        self.udp.send_to(bytes, to).expect("loopback takes a datagram");
    }

    /// A connection whose answers reach this agent.
    pub(crate) fn connect(&self, to: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        let (reader, queue) = (stream.try_clone().unwrap(), self.sender.clone());
        thread::spawn(move || read_stream(reader, &queue));
        stream
    }

    /// Sends a MESSAGE over UDP, again until it is answered, and returns the final response.
    pub(crate) fn ask(&mut self, message: &Outgoing, to: SocketAddr) -> Message {
        let bytes = message.to_bytes("UDP", self.local);
        let deadline = Instant::now() + PATIENCE + PATIENCE;
        while Instant::now() < deadline {
            self.send_udp(&bytes, to);
            if let Some(response) = self.final_response(&message.branch, T1) {
                return response;
            }
        }
        panic!("no answer to {} of {}", message.to, message.from);
    }

    /// Sends a MESSAGE over a connection and returns the final response.
    pub(crate) fn ask_over(&mut self, message: &Outgoing, mut stream: &TcpStream) -> Message {
        stream.write_all(&message.to_bytes("TCP", self.local)).unwrap();
        self.final_response(&message.branch, PATIENCE).expect("an answer over TCP")
    }

    /// The final response to a branch, if it arrives in time.
    pub(crate) fn final_response(&mut self, branch: &str, patience: Duration) -> Option<Message> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (message, _) = self.inbox.recv_timeout(left).ok()?;
            if message.status() >= 200 && message.branch() == branch {
                return Some(message);
            }
        }
    }

    /// The next message of any kind.
    pub(crate) fn next(&mut self, patience: Duration) -> Option<(Message, Flow)> {
        self.inbox.recv_timeout(patience).ok()
    }

    /// The next request, answered with `status`; its retransmissions are answered and not returned.
    pub(crate) fn serve(
        &mut self,
        status: u16,
        reason: &str,
        patience: Duration,
    ) -> Option<Message> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (message, flow) = self.inbox.recv_timeout(left).ok()?;
            if message.status() != 0 {
                continue;
            }
            self.answer(&message, flow, status, reason);
            if self.seen.insert(message.branch().to_owned()) {
                return Some(message);
            }
        }
    }

    /// Sends a response back where the request came from.
    pub(crate) fn answer(&self, request: &Message, flow: Flow, status: u16, reason: &str) {
        let bytes = request.response(status, reason);
        match flow {
            Flow::Udp(source) => self.send_udp(&bytes, source),
            Flow::Tcp(mut stream) => stream.write_all(&bytes).expect("the sender listens"),
        }
    }
}

impl Drop for Agent {
    /// Wakes both reading threads, so that they end and close the sockets.
    fn drop(&mut self) {
        let _ = self.udp.send_to(b"", self.local);
        if let Ok(stream) = TcpStream::connect(self.local) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn read_datagrams(socket: &UdpSocket, queue: &Sender<(Message, Flow)>) {
    let mut buffer = vec![0; 65_536];
    while let Ok((length, source)) = socket.recv_from(&mut buffer) {
        if length == 0 && source.port() == socket.local_addr().map_or(0, |local| local.port()) {
            return;
        }
        if let Some(message) = Message::parse(&buffer[..length])
            && queue.send((message, Flow::Udp(source))).is_err()
        {
            return;
        }
    }
}

fn read_stream(mut stream: TcpStream, queue: &Sender<(Message, Flow)>) {
    let mut buffer = Vec::new();
    let mut chunk = [0; 16_384];
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        buffer.extend_from_slice(&chunk[..length]);
        while let Some(message) = cut_message(&mut buffer) {
            let Ok(back) = stream.try_clone() else { return };
            if queue.send((message, Flow::Tcp(back))).is_err() {
                return;
            }
        }
    }
}
