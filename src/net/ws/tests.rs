use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::*;
use crate::net::tcp::tests::{LIMITS, MESSAGE, Server, on_a_worker, recorder};
use crate::net::tcp::{ConnectError, Layers, StreamLimits};
use crate::sip::transport::Transport;

const REQUEST: &str = "GET /sip HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

fn start() -> Server {
    Server::start_over(Transport::Ws, LIMITS, Layers::default())
}

fn masked(opcode: OpCode, payload: &str) -> Vec<u8> {
    let header =
        FrameHeader { is_final: true, opcode, mask: Some([1, 2, 3, 4]), ..FrameHeader::default() };
    let frame = Frame::from_payload(header, payload.as_bytes().to_vec().into());
    let mut bytes = Vec::new();
    frame.format(&mut bytes).unwrap();
    bytes
}

fn text(payload: &str) -> Vec<u8> {
    masked(OpCode::Data(Data::Text), payload)
}

/// Sends the request with `more` behind it in one piece, and reads the answer.
async fn open(server: &Server, more: &[u8]) -> TcpStream {
    let mut client = server.client().await;
    client.write_all(&[REQUEST.as_bytes(), more].concat()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(client.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    client
}

/// The opcode and payload of the next frame.
async fn read(client: &mut TcpStream) -> (u8, Vec<u8>) {
    let opcode = client.read_u8().await.unwrap();
    let mut payload = vec![0; client.read_u8().await.unwrap().into()];
    client.read_exact(&mut payload).await.unwrap();
    (opcode, payload)
}

#[tokio::test]
async fn rfc7118_s5_messages_go_both_ways_and_others_find_the_client_by_its_address() {
    on_a_worker(async {
        let mut server = start();
        let mut client = open(&server, &text(MESSAGE)).await;
        let (bytes, source) = server.message().await;
        assert_eq!((&bytes[..], source.transport), (MESSAGE.as_bytes(), Transport::Ws));
        let mut to = server.target();
        to.addr = source.peer;
        assert_eq!(server.connections.connect(to, "x.invalid", recorder().0).await, Ok(()));
        server.reply(source, "reply");
        assert_eq!(read(&mut client).await, (0x81, b"reply".to_vec()));
        let nobody = server.connections.connect(server.target(), "x.invalid", recorder().0).await;
        assert_eq!(nobody, Err(ConnectError::NoWebSocket));
    })
    .await;
}

#[tokio::test]
async fn pings_are_answered_and_so_are_line_breaks() {
    on_a_worker(async {
        let server = start();
        let mut client = open(&server, b"").await;
        client.write_all(&masked(OpCode::Control(Control::Ping), "?")).await.unwrap();
        assert_eq!(read(&mut client).await, (0x8a, b"?".to_vec()));
        client.write_all(&text("\r\n\r\n")).await.unwrap();
        assert_eq!(read(&mut client).await, (0x81, b"\r\n".to_vec()));
    })
    .await;
}

#[tokio::test]
async fn a_silent_client_is_asked_whether_it_is_there() {
    on_a_worker(async {
        let idle = std::time::Duration::from_millis(100);
        let limits = StreamLimits { idle, ..LIMITS };
        let server = Server::start_over(Transport::Ws, limits, Layers::default());
        let (mut alive, mut dead) = (open(&server, b"").await, open(&server, b"").await);
        for _ in 0..4 {
            assert_eq!(read(&mut alive).await, (0x89, vec![]));
            alive.write_all(&masked(OpCode::Control(Control::Pong), "")).await.unwrap();
        }
        let mut rest = Vec::new();
        dead.read_to_end(&mut rest).await.unwrap();
        assert!(rest.ends_with(&[0x88, 2, 3, 0xe9]), "{rest:?}");
        assert_eq!(read(&mut alive).await, (0x89, vec![]));
    })
    .await;
}

#[tokio::test]
async fn rfc6455_s7_a_close_is_answered_with_the_code_of_its_reason() {
    on_a_worker(async {
        let mut server = start();
        for (bytes, code) in [
            (masked(OpCode::Control(Control::Close), ""), 1000_u16),
            (text(&"x".repeat(300)), 1009),
            (vec![0x81, 1, b'x'], 1002),
        ] {
            let mut client = open(&server, &bytes).await;
            assert_eq!(read(&mut client).await, (0x88, code.to_be_bytes().to_vec()));
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        }
        for _ in 0..2 {
            assert!(server.refusal().await.starts_with("WebSocket framing: "));
        }
        let mut client = open(&server, b"").await;
        let closed = async {
            let close = read(&mut client).await;
            drop(client);
            close
        };
        let limit = std::time::Duration::from_secs(5);
        let ((), close) = tokio::join!(server.connections.close_all(limit), closed);
        assert_eq!(close, (0x88, 1001_u16.to_be_bytes().to_vec()));
        assert!(server.connections.is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_asks_for_no_websocket_is_told_so() {
    on_a_worker(async {
        let mut server = start();
        for (request, status) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "426 "),
            (&REQUEST.replace("ol: sip", "ol: xmpp"), "400 "),
            (MESSAGE, "400 "),
        ] {
            let mut client = server.client().await;
            client.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            drop(client);
            let reason = server.refusal().await;
            assert!(reason.contains(status), "{reason}");
        }
    })
    .await;
}
