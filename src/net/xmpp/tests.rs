use std::cell::{Cell, RefCell};
use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{self, JoinHandle, LocalSet};

use super::*;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' from='sip.example' id='3BF96D32'>";
const CLOSE: &str = "</stream:stream>";
const STANZA: &str = "<message from='a@b' to='c@sip.example'><body>hi</body></message>";
const REFUSED: &str = "<stream:error><not-authorized \
    xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
const DAY: Duration = Duration::from_secs(86400);
const MOMENT: Duration = Duration::from_millis(1);

/// Writes down what it is told.
struct Recorder {
    told: mpsc::UnboundedSender<String>,
    waiting: RefCell<Vec<u8>>,
    /// Whether there is always more to send.
    is_endless: bool,
    polled: Cell<usize>,
    deadline: Cell<Option<Instant>>,
}

impl Recorder {
    fn tell(&self, what: impl Into<String>) {
        // At the end of a test nobody listens.
        let _ = self.told.send(what.into());
    }
}

impl Carried for Recorder {
    fn handle_ready(&self) {
        self.tell("ready");
    }

    fn handle_stanza(&self, stanza: Stanza) {
        self.tell(stanza.name());
    }

    fn handle_closed(&self, why: &str) {
        self.tell(why);
    }

    fn poll_transmit(&self, out: &mut Vec<u8>) {
        let before = out.len();
        out.append(&mut self.waiting.borrow_mut());
        if self.is_endless {
            out.extend_from_slice(STANZA.repeat(500).as_bytes());
        }
        self.polled.set(self.polled.get() + out.len() - before);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }

    fn handle_timeout(&self, _now: Instant) {
        self.deadline.set(None);
        self.tell("timeout");
    }
}

/// A component under test and the server that it finds.
struct Stage {
    listener: TcpListener,
    carried: Rc<Recorder>,
    told: mpsc::UnboundedReceiver<String>,
    wake: Rc<Notify>,
    shutdown: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Stage {
    async fn set(backoff: BackoffConfig, is_endless: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let component = ComponentConfig::new("sip.example", "test");
        let host = "127.0.0.1".to_owned();
        let link = ComponentLink { host, port, srv: false, component, backoff };
        let (sender, told) = mpsc::unbounded_channel();
        let carried = Rc::new(Recorder {
            told: sender,
            waiting: RefCell::default(),
            is_endless,
            polled: Cell::default(),
            deadline: Cell::default(),
        });
        let wake = Rc::new(Notify::new());
        let (shutdown, stopped) = oneshot::channel();
        let stopped = async move { stopped.await.unwrap_or(()) };
        let running = run(link, None, carried.clone(), wake.clone(), stopped);
        let running = task::spawn_local(running);
        Self { listener, carried, told, wake, shutdown: Some(shutdown), running }
    }

    async fn accept(&self) -> Server {
        let (socket, _) = self.listener.accept().await.unwrap();
        Server { socket, heard: String::new() }
    }

    async fn accept_ready(&mut self) -> Server {
        let mut server = self.accept().await;
        server.hears("xmlns='jabber:component:accept'").await;
        server.says(HEADER).await;
        server.hears("</handshake>").await;
        server.says("<handshake/>").await;
        self.tells("ready").await;
        server
    }

    async fn tells(&mut self, expected: &str) {
        assert_eq!(self.told.recv().await.unwrap(), expected);
    }
}

struct Server {
    socket: TcpStream,
    heard: String,
}

impl Server {
    async fn says(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads up to the end of `expected` and forgets it.
    async fn hears(&mut self, expected: &str) {
        let mut buffer = [0; 1024];
        loop {
            if let Some(at) = self.heard.replace('"', "'").find(expected) {
                self.heard.drain(..at + expected.len());
                return;
            }
            let len = self.socket.read(&mut buffer).await.unwrap();
            assert!(len > 0, "{expected} never came; heard {}", self.heard);
            self.heard.push_str(std::str::from_utf8(&buffer[..len]).unwrap());
        }
    }
}

fn backoff(first: Duration, refused: Duration) -> BackoffConfig {
    BackoffConfig { first, longest: first, refused, ..BackoffConfig::default() }
}

#[tokio::test]
async fn stanzas_go_both_ways_until_the_shutdown() {
    let play = async {
        let mut stage = Stage::set(backoff(DAY, DAY), false).await;
        let mut server = stage.accept_ready().await;
        server.says(STANZA).await;
        stage.tells("message").await;
        stage.carried.waiting.borrow_mut().extend_from_slice(b"<presence/>");
        stage.wake.notify_one();
        server.hears("<presence/>").await;
        stage.shutdown.take().unwrap().send(()).unwrap();
        server.hears(CLOSE).await;
        server.says(STANZA).await;
        server.says(CLOSE).await;
        stage.tells("message").await;
        stage.tells("closed by us").await;
        stage.running.await.unwrap();
    };
    LocalSet::new().run_until(play).await;
}

#[tokio::test]
async fn a_lost_stream_comes_back_with_what_waited_meanwhile() {
    let play = async {
        let mut stage = Stage::set(backoff(MOMENT, DAY), false).await;
        let mut server = stage.accept_ready().await;
        server.says(CLOSE).await;
        stage.tells("peer closed the stream").await;
        stage.carried.waiting.borrow_mut().extend_from_slice(b"<presence/>");
        stage.wake.notify_one();
        let mut server = stage.accept_ready().await;
        server.hears("<presence/>").await;
        drop(server);
        stage.tells("connection lost").await;
        stage.accept_ready().await;
    };
    LocalSet::new().run_until(play).await;
}

#[tokio::test]
async fn a_refusal_waits_longer_than_a_failure() {
    let play = async {
        // The other way round here: the component comes back only if it counts as a refusal.
        let mut stage = Stage::set(backoff(DAY, MOMENT), false).await;
        let mut server = stage.accept().await;
        server.says(HEADER).await;
        server.hears("</handshake>").await;
        server.says(REFUSED).await;
        stage.tells("server refuses: not-authorized").await;
        stage.accept_ready().await;
    };
    LocalSet::new().run_until(play).await;
}

#[tokio::test]
async fn a_server_that_does_not_read_is_still_heard() {
    let play = async {
        let mut stage = Stage::set(backoff(DAY, DAY), true).await;
        let mut server = stage.accept_ready().await;
        for _ in 0..1000 {
            server.says(STANZA).await;
            stage.tells("message").await;
        }
        let polled = stage.carried.polled.get();
        stage.wake.notify_one();
        server.says(STANZA).await;
        stage.tells("message").await;
        assert_eq!(stage.carried.polled.get(), polled, "stanzas wait where they are");
    };
    LocalSet::new().run_until(play).await;
}

#[tokio::test]
async fn deadlines_are_kept_without_a_stream() {
    let play = async {
        let mut stage = Stage::set(backoff(DAY, DAY), false).await;
        drop(stage.accept().await);
        stage.tells("connection lost").await;
        stage.carried.deadline.set(Some(clock::now()));
        stage.wake.notify_one();
        stage.tells("timeout").await;
        stage.shutdown.take().unwrap().send(()).unwrap();
        stage.running.await.unwrap();
    };
    LocalSet::new().run_until(play).await;
}

#[tokio::test]
async fn a_name_is_looked_up_by_the_system_without_a_resolver() {
    let srv = Some(("_xmpp-component._tcp", "localhost"));
    let server = locate::Whereabouts { host: "localhost", port: 5347, srv };
    let found = locate::addresses(server, None).await.unwrap();
    assert!(found.iter().all(|address| address.ip().is_loopback()) && !found.is_empty());
}
