//! A SIP user agent at one end of one connection: over TLS, or over a WebSocket with TLS or without.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::{Message as Frame, WebSocket};

use crate::phone::{self, Dialog};
use crate::process::PATIENCE;
use crate::sip::{Message, Outgoing, cut_message, register};

/// What bytes are read from and written to.
pub(crate) trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

enum Link {
    Tls(Box<dyn Stream>, Vec<u8>),
    WebSocket(Box<WebSocket<Box<dyn Stream>>>),
}

/// A user agent.
pub(crate) struct SecureAgent {
    link: Link,
    transport: &'static str,
    sent_by: String,
}

impl SecureAgent {
    /// Connects over TLS, to a server that must be `name`.
    pub(crate) fn tls(to: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let tcp = connect(to)?;
        let sent_by = tcp.local_addr()?.to_string();
        let link = Link::Tls(secured(tcp, name, config)?, Vec::new());
        Ok(Self { link, transport: "TLS", sent_by })
    }

    /// Accepts one connection over TLS.
    pub(crate) fn accept(listener: &TcpListener, config: &Arc<ServerConfig>) -> io::Result<Self> {
        let (mut tcp, _) = listener.accept()?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let sent_by = tcp.local_addr()?.to_string();
        let mut tls = ServerConnection::new(config.clone()).unwrap();
        tls.complete_io(&mut tcp)?;
        let link = Link::Tls(Box::new(StreamOwned::new(tls, tcp)), Vec::new());
        Ok(Self { link, transport: "TLS", sent_by })
    }

    /// Opens a WebSocket.
    pub(crate) fn ws(to: SocketAddr) -> Self {
        Self::websocket(Box::new(connect(to).unwrap()), "WS")
    }

    /// Opens a WebSocket over TLS.
    pub(crate) fn wss(to: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> Self {
        Self::websocket(secured(connect(to).unwrap(), name, config).unwrap(), "WSS")
    }

    fn websocket(stream: Box<dyn Stream>, transport: &'static str) -> Self {
        let mut request = "ws://sip.example/sip".into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("sip"));
        let (socket, response) = tungstenite::client(request, stream).expect("a WebSocket");
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "sip");
        let link = Link::WebSocket(Box::new(socket));
        // RFC 7118 §5.2.1: a browser does not know its address.
        Self { link, transport, sent_by: "df7jal23ls0d.invalid".into() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.link {
            Link::Tls(stream, _) => stream.write_all(bytes),
            Link::WebSocket(socket) => {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                socket.send(Frame::text(text)).map_err(io::Error::other)
            }
        }
    }

    /// The next message; a message that does not come in time is an error.
    pub(crate) fn next(&mut self) -> io::Result<Message> {
        match &mut self.link {
            Link::Tls(stream, buffer) => loop {
                if let Some(message) = cut_message(buffer) {
                    return Ok(message);
                }
                let mut chunk = [0; 4096];
                match stream.read(&mut chunk)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    length => buffer.extend_from_slice(&chunk[..length]),
                }
            },
            Link::WebSocket(socket) => loop {
                match socket.read().map_err(io::Error::other)? {
                    Frame::Text(text) => return Ok(Message::parse(text.as_bytes()).unwrap()),
                    Frame::Binary(bytes) => return Ok(Message::parse(&bytes).unwrap()),
                    _ => {}
                }
            },
        }
    }

    /// The final response to a branch.
    pub(crate) fn final_response(&mut self, branch: &str) -> io::Result<Message> {
        loop {
            let message = self.next()?;
            if message.status() >= 200 && message.branch() == branch {
                return Ok(message);
            }
        }
    }

    /// Sends a MESSAGE and returns the final response.
    pub(crate) fn ask(&mut self, message: &Outgoing) -> io::Result<Message> {
        self.send(&message.written(self.transport, &self.sent_by))?;
        self.final_response(&message.branch)
    }

    /// Registers a contact for `user` and returns the response.
    pub(crate) fn register(&mut self, user: &str, contact: &str) -> io::Result<Message> {
        let (branch, text) = register(user, contact, self.transport, &self.sent_by);
        self.send(text.as_bytes())?;
        self.final_response(&branch)
    }

    /// The next message that is `what`: `INVITE`, `200 INVITE` … Others are passed over.
    #[track_caller]
    pub(crate) fn expect(&mut self, what: &str) -> Message {
        loop {
            match self.next() {
                Ok(message) if phone::name(&message) == what => return message,
                Ok(_) => {}
                Err(error) => panic!("no {what}: {error}"),
            }
        }
    }

    /// Sends a request of a dialog.
    pub(crate) fn request(&mut self, method: &str, dialog: &Dialog, more: &str) {
        let way = format!("{} {}", self.transport, self.sent_by);
        let request = dialog.request(method, &way, &self.contact(), more);
        self.send(&request).unwrap();
    }

    /// Answers a request, with a Contact and the Record-Route.
    pub(crate) fn answer(&mut self, request: &Message, status: u16) {
        let response = phone::response(request, status, &self.contact(), "");
        self.send(&response).unwrap();
    }

    /// What it calls itself.
    pub(crate) fn contact(&self) -> String {
        format!("sip:me@{};transport={}", self.sent_by, self.transport.to_lowercase())
    }

    /// The next request, answered with 200.
    pub(crate) fn serve(&mut self) -> Message {
        loop {
            let message = self.next().expect("a request");
            if message.status() == 0 {
                self.send(&message.response(200, "OK")).unwrap();
                return message;
            }
        }
    }
}

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(to)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

fn secured(
    mut tcp: TcpStream,
    name: &str,
    config: &Arc<ClientConfig>,
) -> io::Result<Box<dyn Stream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut tls = ClientConnection::new(config.clone(), name).unwrap();
    tls.complete_io(&mut tcp)?;
    Ok(Box::new(StreamOwned::new(tls, tcp)))
}
