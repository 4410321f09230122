use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::*;
use crate::net::listen::Group;

pub(in crate::net) const LIMITS: StreamLimits = StreamLimits {
    framing: sip::Limits { header_block: 200, line: 60, headers: 4, body: 20 },
    idle: Duration::from_secs(60),
    header: Duration::from_secs(60),
    max_connections: 10,
    queue: 100,
};
pub(in crate::net) const MESSAGE: &str = "OPTIONS sip:a SIP/2.0\r\nl: 2\r\n\r\nab";

pub(in crate::net) fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn listen(transport: Transport) -> TcpPort {
    let mut group = Group::bind(transport, loopback(), 1).unwrap();
    TcpPort::listen(group.take().unwrap(), transport).unwrap()
}

fn tcp(addr: SocketAddr) -> Target {
    Target { transport: Transport::Tcp, addr }
}

/// What a connection has brought.
#[derive(Debug)]
pub(in crate::net) enum Heard {
    Message(Bytes, Source),
    Refused(&'static str, String),
}

pub(in crate::net) type Hearing = mpsc::UnboundedReceiver<Heard>;

pub(in crate::net) struct Recorder(mpsc::UnboundedSender<Heard>);

impl Receive for Recorder {
    fn receive(&self, bytes: Bytes, source: Source) {
        self.0.send(Heard::Message(bytes, source)).unwrap();
    }

    fn refuse(
        &self,
        refused: Option<sip::Message>,
        error: &FramingError,
        _source: Source,
    ) -> Option<Bytes> {
        let of = refused.map_or("nothing".into(), |message| message.call_id().unwrap().to_owned());
        Some(format!("{} to {of}", error.status().0).into())
    }

    fn refuse_connection(&self, reason: &'static str, _: SocketAddr, detail: &dyn Display) {
        self.0.send(Heard::Refused(reason, detail.to_string())).unwrap();
    }
}

pub(in crate::net) fn recorder() -> (Rc<Recorder>, Hearing) {
    let (sender, heard) = mpsc::unbounded_channel();
    (Rc::new(Recorder(sender)), heard)
}

/// A worker that listens.
pub(in crate::net) struct Server {
    pub(in crate::net) connections: Connections,
    pub(in crate::net) local: SocketAddr,
    transport: Transport,
    heard: Hearing,
}

impl Server {
    fn start(limits: StreamLimits) -> Self {
        Self::start_over(Transport::Tcp, limits, Layers::default())
    }

    pub(in crate::net) fn start_over(
        transport: Transport,
        limits: StreamLimits,
        layers: Layers,
    ) -> Self {
        let port = listen(transport);
        let connections = Connections::new(limits, layers);
        let (receiver, heard) = recorder();
        let local = port.local();
        let server = Self { connections: connections.clone(), local, transport, heard };
        task::spawn_local(async move { port.accept(&connections, receiver).await });
        server
    }

    pub(in crate::net) async fn client(&self) -> TcpStream {
        TcpStream::connect(self.local).await.unwrap()
    }

    /// The address that others reach it at.
    pub(in crate::net) fn target(&self) -> Target {
        Target { transport: self.transport, addr: self.local }
    }

    /// The next message.
    pub(in crate::net) async fn message(&mut self) -> (Bytes, Source) {
        message(&mut self.heard).await
    }

    /// Why the next connection is refused.
    pub(in crate::net) async fn refusal(&mut self) -> String {
        match self.heard.recv().await.unwrap() {
            Heard::Refused(reason, detail) => format!("{reason}: {detail}"),
            heard => panic!("{heard:?}"),
        }
    }

    pub(in crate::net) fn reply(&self, source: Source, bytes: &'static str) {
        self.connections.send(back(source), bytes.into()).unwrap();
    }
}

pub(in crate::net) async fn message(heard: &mut Hearing) -> (Bytes, Source) {
    match heard.recv().await.unwrap() {
        Heard::Message(bytes, source) => (bytes, source),
        heard => panic!("{heard:?}"),
    }
}

/// The way to whom a message is from.
fn back(source: Source) -> Target {
    Target { transport: source.transport, addr: source.peer }
}

async fn read(stream: &mut TcpStream, len: usize) -> String {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

pub(in crate::net) async fn on_a_worker(play: impl Future<Output = ()>) {
    LocalSet::new().run_until(play).await;
}

#[tokio::test]
async fn s18_2_2_replies_take_the_connection_of_the_request() {
    on_a_worker(async {
        let mut server = Server::start(LIMITS);
        let mut client = server.client().await;
        let (first, second) = MESSAGE.split_at(30);
        for piece in [MESSAGE, first, second] {
            client.write_all(piece.as_bytes()).await.unwrap();
        }
        for _ in 0..2 {
            let (bytes, source) = server.message().await;
            assert_eq!(bytes, MESSAGE);
            assert_eq!(source.peer, client.local_addr().unwrap());
            assert_eq!(source.local, server.local);
            server.reply(source, "reply");
        }
        assert_eq!(read(&mut client, 10).await, "replyreply");
        assert_eq!(server.connections.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn rfc5626_s4_4_1_a_ping_is_answered() {
    on_a_worker(async {
        let server = Server::start(LIMITS);
        let mut client = server.client().await;
        client.write_all(b"\r\n\r\n").await.unwrap();
        assert_eq!(read(&mut client, 2).await, "\r\n");
    })
    .await;
}

#[tokio::test]
async fn a_message_that_does_not_end_in_time_ends_the_connection() {
    on_a_worker(async {
        let framing = sip::Limits { header_block: 1 << 24, line: 1 << 24, ..LIMITS.framing };
        let header = Duration::from_millis(30);
        let server = Server::start(StreamLimits { framing, header, ..LIMITS });
        let client = server.client().await;
        let (mut input, mut output) = client.into_split();
        let drip = async {
            // Every byte counts as activity, yet the deadline stands.
            for byte in "OPTIONS sip:a SIP/2.0\r\nA: ".bytes().chain(std::iter::repeat(b'b')) {
                if output.write_all(&[byte]).await.is_err() {
                    return;
                }
                task::yield_now().await;
            }
        };
        let mut answer = Vec::new();
        tokio::select! {
            () = drip => panic!("the connection ends in order"),
            end = input.read_to_end(&mut answer) => assert_eq!(end.unwrap(), 0),
        }
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    on_a_worker(async {
        let server = Server::start(StreamLimits { idle: Duration::from_millis(10), ..LIMITS });
        let mut client = server.client().await;
        assert_eq!(read_to_end(&mut client).await, "");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_framed_is_answered_and_ends_the_connection() {
    on_a_worker(async {
        let server = Server::start(LIMITS);
        let mut client = server.client().await;
        let text = "OPTIONS sip:a SIP/2.0\r\nCall-ID: c\r\nl: 50\r\n\r\nunread";
        client.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(read_to_end(&mut client).await, "413 to c");
        let mut client = server.client().await;
        client.write_all(b"stun?\r\n").await.unwrap();
        assert_eq!(read_to_end(&mut client).await, "400 to nothing");
    })
    .await;
}

#[tokio::test]
async fn all_who_connect_to_one_peer_share_the_connection() {
    on_a_worker(async {
        let mut server = Server::start(LIMITS);
        let connections = Connections::new(LIMITS, Layers::default());
        let (receiver, mut heard) = recorder();
        let connect = || connections.connect(server.target(), "a", receiver.clone());
        assert_eq!(tokio::join!(connect(), connect()), (Ok(()), Ok(())));
        assert_eq!(connect().await, Ok(()));
        connections.send(server.target(), MESSAGE.into()).unwrap();
        let (_, source) = server.message().await;
        assert_eq!((connections.len(), server.connections.len()), (1, 1));
        server.reply(source, MESSAGE);
        assert_eq!(message(&mut heard).await.1.peer, server.local);
    })
    .await;
}

#[tokio::test]
async fn without_a_connection_nothing_is_sent() {
    on_a_worker(async {
        let connections = Connections::new(LIMITS, Layers::default());
        let nobody = tcp(listen(Transport::Tcp).local());
        let refused = ConnectError::Failed(io::ErrorKind::ConnectionRefused);
        assert_eq!(connections.connect(nobody, "a", recorder().0).await, Err(refused));
        assert_eq!(connections.send(nobody, MESSAGE.into()), Err(SendError::NotConnected));
        assert!(connections.lock().peers.is_empty() && connections.lock().attempts.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_costs_no_more_than_its_queue() {
    on_a_worker(async {
        let silent = TcpListener::bind(loopback()).await.unwrap();
        let peer = tcp(silent.local_addr().unwrap());
        let connections = Connections::new(LIMITS, Layers::default());
        connections.connect(peer, "a", recorder().0).await.unwrap();
        let large = Bytes::from(vec![b'x'; 100 << 10]);
        let mut fulls = 0;
        // The kernel's buffers are finite, so the queue fills for good.
        while fulls < 1000 {
            match connections.send(peer, large.clone()) {
                Ok(()) => fulls = 0,
                Err(error) => {
                    assert_eq!(error, SendError::Full);
                    fulls += 1;
                }
            }
            task::yield_now().await;
        }
        assert_eq!(connections.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_closed() {
    on_a_worker(async {
        let server = Server::start(StreamLimits { max_connections: 1, ..LIMITS });
        let mut first = server.client().await;
        let mut second = server.client().await;
        assert_eq!(read_to_end(&mut second).await, "");
        first.write_all(b"\r\n\r\n").await.unwrap();
        assert_eq!(read(&mut first, 2).await, "\r\n");
        let limited = server.connections.connect(tcp(loopback()), "a", recorder().0).await;
        assert_eq!(limited, Err(ConnectError::Limit));
    })
    .await;
}

#[tokio::test]
async fn at_the_end_everything_that_waits_is_written() {
    on_a_worker(async {
        let mut server = Server::start(LIMITS);
        let mut client = server.client().await;
        client.write_all(MESSAGE.as_bytes()).await.unwrap();
        let (_, source) = server.message().await;
        for _ in 0..50 {
            server.reply(source, MESSAGE);
        }
        let limit = Duration::from_secs(10);
        let hear_all = async {
            let text = read_to_end(&mut client).await;
            drop(client);
            text
        };
        let ((), text) = tokio::join!(server.connections.close_all(limit), hear_all);
        assert_eq!(text, MESSAGE.repeat(50));
        assert!(server.connections.is_empty());
        assert_eq!(read_to_end(&mut server.client().await).await, "");
        let closing = server.connections.connect(tcp(loopback()), "a", recorder().0).await;
        assert_eq!(closing, Err(ConnectError::Closing));
    })
    .await;
}
