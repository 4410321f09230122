//! An XMPP server that accepts one component and then does whatever a test wants.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A listening server; it stops listening when it is dropped.
pub(crate) struct FakeServer {
    /// Where components connect.
    pub(crate) port: u16,
    connections: Receiver<()>,
    is_over: Arc<AtomicBool>,
}

impl FakeServer {
    /// Listens, and plays `play(number, session)` for each connection, counted from 0.
    pub(crate) fn start(play: impl Fn(usize, Session) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, connections) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, play) = (is_over.clone(), Arc::new(play));
        thread::spawn(move || {
            for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let _nobody_counts = sender.send(());
                let play = play.clone();
                thread::spawn(move || play(number, Session { stream }));
            }
        });
        Self { port, connections, is_over }
    }

    /// Waits for one more connection.
    pub(crate) fn next_connection(&self, patience: Duration) -> bool {
        self.connections.recv_timeout(patience).is_ok()
    }

    /// How many connections arrive during `time`.
    pub(crate) fn connections_within(&self, time: Duration) -> usize {
        let deadline = Instant::now() + time;
        let left = || deadline.saturating_duration_since(Instant::now());
        std::iter::from_fn(|| self.connections.recv_timeout(left()).ok()).count()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _wakes_the_thread = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// One connection, closed when dropped.
pub(crate) struct Session {
    stream: TcpStream,
}

impl Session {
    /// Reads the component's stream header, or what comes instead, and answers with one.
    pub(crate) fn open_stream(&mut self) {
        self.read_until("to=");
        self.send(
            b"<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
              xmlns:stream='http://etherx.jabber.org/streams' from='sip.example' id='s1'>",
        );
    }

    /// The whole beginning as a good server plays it.
    pub(crate) fn accept(&mut self) {
        self.open_stream();
        self.read_until("</handshake>");
        self.send(b"<handshake/>");
    }

    /// Reads until the other side has sent `words` or closed.
    pub(crate) fn read_until(&mut self, words: &str) {
        let mut read = Vec::new();
        let mut byte = [0];
        while !read.ends_with(words.as_bytes()) && matches!(self.stream.read(&mut byte), Ok(1)) {
            read.push(byte[0]);
        }
    }

    /// Sends bytes; false when the other side does not take them.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Reads and forgets until the other side closes.
    pub(crate) fn stall(mut self) {
        let _until_the_end = std::io::copy(&mut self.stream, &mut std::io::sink());
    }
}
