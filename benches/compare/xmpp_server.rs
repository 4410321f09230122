//! An XMPP server for one component (XEP-0114): it takes every secret, counts the messages that
//! arrive, answers queries, and sends what it is told to.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::stanza_scanner::{Said, Scanner};
use crate::template::{BODY_MARK, Token};

/// How long a component may leave its stream unread before it counts as gone.
const STALL: Duration = Duration::from_secs(5);

/// A running server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct XmppServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_stopping: AtomicBool,
    has_component: AtomicBool,
    /// The component's connection; locked for each write, so that stanzas do not mix.
    component: Mutex<Option<TcpStream>>,
    arrivals: Mutex<Arrivals>,
}

/// The messages of one phase that arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals {
    phase: u16,
    seen: Vec<bool>,
    /// How many messages arrived, each counted once.
    pub(crate) distinct: u32,
    /// How many arrived again.
    pub(crate) duplicates: u32,
}

impl Arrivals {
    /// Nothing of this phase yet.
    pub(crate) fn of(phase: u16) -> Self {
        Self { phase, ..Self::default() }
    }

    /// Counts a message whose body has a token.
    pub(crate) fn add_stanza(&mut self, stanza: &[u8]) {
        if let Some(token) = Token::after(BODY_MARK, stanza) {
            self.add(token);
        }
    }

    fn add(&mut self, token: Token) {
        if token.phase != self.phase {
            return;
        }
        let index = token.sequence as usize;
        if index >= self.seen.len() {
            self.seen.resize(index + 1, false);
        }
        match std::mem::replace(&mut self.seen[index], true) {
            true => self.duplicates += 1,
            false => self.distinct += 1,
        }
    }
}

impl XmppServer {
    /// Listens on a free port.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Where components connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether a component has done its handshake.
    pub(crate) fn has_component(&self) -> bool {
        self.shared.has_component.load(Ordering::Acquire)
    }

    /// Forgets what arrived and counts messages of `phase`.
    pub(crate) fn begin(&self, phase: u16) {
        *lock(&self.shared.arrivals) = Arrivals::of(phase);
    }

    /// What arrived since [`XmppServer::begin`].
    pub(crate) fn arrivals(&self) -> (u32, u32) {
        let arrivals = lock(&self.shared.arrivals);
        (arrivals.distinct, arrivals.duplicates)
    }

    /// Sends stanzas to the component.
    pub(crate) fn write(&self, stanzas: &[u8]) -> io::Result<()> {
        match lock(&self.shared.component).as_mut() {
            Some(stream) => stream.write_all(stanzas),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Drop for XmppServer {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        if let Some(stream) = lock(&self.shared.component).take() {
            let _gone_already = stream.shutdown(Shutdown::Both);
        }
        let _wakes_the_listener = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _panic_was_printed = thread.join();
        }
    }
}

impl Shared {
    fn accept(&self, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.is_stopping.load(Ordering::Acquire) {
                return;
            }
            if let Err(error) = stream.and_then(|stream| self.serve(stream)) {
                eprintln!("bench: XMPP server: {error}");
            }
            self.has_component.store(false, Ordering::Release);
            *lock(&self.component) = None;
        }
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(STALL))?;
        *lock(&self.component) = Some(stream.try_clone()?);
        let mut talk = Talk::default();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => self.hear(&buffer[..length], &mut talk)?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }

    fn hear(&self, bytes: &[u8], talk: &mut Talk) -> io::Result<()> {
        let Talk { scanner, answer, is_attached } = talk;
        let mut arrivals = lock(&self.arrivals);
        scanner.feed(bytes, |said| match said {
            Said::Body(token) => arrivals.add(token),
            Said::Header { to } => {
                *answer += "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
                            xmlns:stream='http://etherx.jabber.org/streams' id='bench'";
                push_attribute(answer, "from", to);
                *answer += ">";
            }
            Said::Handshake => {
                *answer += "<handshake/>";
                *is_attached = true;
            }
            Said::Query { id, from, to } => {
                *answer += "<iq type='result'";
                push_attribute(answer, "id", id);
                push_attribute(answer, "from", to);
                push_attribute(answer, "to", from);
                *answer += "/>";
            }
            Said::End => *answer += "</stream:stream>",
        });
        drop(arrivals);
        if let (false, Some(stream)) = (answer.is_empty(), lock(&self.component).as_mut()) {
            stream.write_all(answer.as_bytes())?;
        }
        answer.clear();
        self.has_component.store(*is_attached, Ordering::Release);
        Ok(())
    }
}

/// One connection's state.
#[derive(Debug, Default)]
struct Talk {
    scanner: Scanner,
    answer: String,
    is_attached: bool,
}

fn push_attribute(out: &mut String, name: &str, value: &str) {
    if !value.is_empty() {
        write!(out, " {name}='{value}'").expect("a String takes everything");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
