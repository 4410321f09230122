//! Cuts what a WebSocket brings into messages (RFC 6455 §5).

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes, BytesMut};
use tungstenite::Message;
use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

use crate::sip::Frame;

/// Bytes that an idle WebSocket keeps.
const BUFFER: usize = 4 << 10;

/// Reads the client's side of a WebSocket.
pub(in crate::net) struct WebSocketFramer {
    context: WebSocketContext,
    wire: Wire,
    is_inside: bool,
}

/// Why a WebSocket cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(in crate::net) enum Broken {
    /// The client closes it.
    #[error("peer closed")]
    Closed,
    /// The client breaks a rule of RFC 6455 or says too much.
    #[error("WebSocket: {0}")]
    Rule(Box<Error>),
}

impl Broken {
    /// What the client is told (RFC 6455 §7.4.1).
    pub(in crate::net) fn code(&self) -> CloseCode {
        match self {
            Self::Closed => CloseCode::Normal,
            Self::Rule(error) => match **error {
                Error::Capacity(CapacityError::MessageTooLong { .. }) => CloseCode::Size,
                Error::Utf8(_) => CloseCode::Invalid,
                _ => CloseCode::Protocol,
            },
        }
    }
}

impl WebSocketFramer {
    /// A framer behind the handshake, for messages of `limit` bytes at most.
    pub(in crate::net) fn new(limit: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit));
        let context = WebSocketContext::new(Role::Server, Some(config));
        Self { context, wire: Wire::default(), is_inside: false }
    }

    /// Takes bytes from the stream; poll until nothing comes before pushing more.
    pub(in crate::net) fn push(&mut self, bytes: &[u8]) {
        self.wire.input.extend_from_slice(bytes);
    }

    /// The next message or keep-alive (RFC 7118 §6), or `None` until more bytes come.
    pub(in crate::net) fn poll(&mut self) -> Result<Option<Frame>, Broken> {
        let mut has_read = !self.wire.input.is_empty();
        loop {
            let message = match self.context.read(&mut self.wire) {
                Ok(message) => message,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_inside |= has_read;
                    return Ok(None);
                }
                Err(Error::ConnectionClosed) => return Err(Broken::Closed),
                Err(error) => return Err(Broken::Rule(Box::new(error))),
            };
            let payload: Bytes = match message {
                Message::Text(text) => text.into(),
                Message::Binary(bytes) => bytes,
                Message::Close(_) => return Err(Broken::Closed),
                // They may come amid the pieces of a message, which goes on then.
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                    has_read = false;
                    continue;
                }
            };
            self.is_inside = false;
            return Ok(Some(match &payload[..] {
                b"\r\n\r\n" => Frame::Ping,
                b"\r\n" | b"" => Frame::Pong,
                _ => Frame::Message(payload),
            }));
        }
    }

    /// Pongs to be written, already framed.
    pub(in crate::net) fn take_output(&mut self) -> Option<Bytes> {
        (!self.wire.output.is_empty()).then(|| std::mem::take(&mut self.wire.output).into())
    }

    /// True while the start of a message waits for its rest.
    pub(in crate::net) fn is_inside_message(&self) -> bool {
        self.is_inside
    }
}

/// Stands in for the socket.
#[derive(Default)]
struct Wire {
    input: BytesMut,
    output: Vec<u8>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.len().min(buffer.len());
        if length == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.copy_to_slice(&mut buffer[..length]);
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        Ok(length)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
    use tungstenite::protocol::frame::{Frame as WireFrame, FrameHeader};

    use super::*;

    /// A frame of a client, masked as it must be.
    fn masked(opcode: OpCode, payload: &[u8], is_final: bool) -> Vec<u8> {
        let header =
            FrameHeader { is_final, opcode, mask: Some([1, 2, 3, 4]), ..FrameHeader::default() };
        let frame = WireFrame::from_payload(header, payload.to_vec().into());
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        bytes
    }

    fn text(payload: &str) -> Vec<u8> {
        masked(OpCode::Data(Data::Text), payload.as_bytes(), true)
    }

    fn message(payload: &str) -> Option<Frame> {
        Some(Frame::Message(Bytes::copy_from_slice(payload.as_bytes())))
    }

    #[test]
    fn rfc7118_s4_2_text_and_binary_bring_one_message_each() {
        let mut framer = WebSocketFramer::new(100);
        framer.push(&text("one"));
        framer.push(&masked(OpCode::Data(Data::Binary), b"two", true));
        assert_eq!(framer.poll().unwrap(), message("one"));
        assert_eq!(framer.poll().unwrap(), message("two"));
        assert_eq!(framer.poll().unwrap(), None);
    }

    #[test]
    fn a_message_may_come_byte_by_byte() {
        let mut framer = WebSocketFramer::new(100);
        let bytes = text("slowly");
        let (last, first) = bytes.split_last().unwrap();
        for byte in first {
            framer.push(&[*byte]);
            assert_eq!(framer.poll().unwrap(), None);
            assert!(framer.is_inside_message());
        }
        framer.push(&[*last]);
        assert_eq!(framer.poll().unwrap(), message("slowly"));
        assert_eq!(framer.poll().unwrap(), None);
        assert!(!framer.is_inside_message());
    }

    #[test]
    fn rfc6455_s5_4_pieces_are_put_together_and_pings_between_them_answered() {
        let mut framer = WebSocketFramer::new(100);
        framer.push(&masked(OpCode::Data(Data::Text), b"OPT", false));
        assert_eq!(framer.poll().unwrap(), None);
        framer.push(&masked(OpCode::Control(Control::Ping), b"?", true));
        assert_eq!(framer.poll().unwrap(), None);
        assert!(framer.is_inside_message(), "a ping does not end a message");
        assert_eq!(framer.take_output().unwrap()[..], [0x8a, 1, b'?']);
        framer.push(&masked(OpCode::Data(Data::Continue), b"IONS", true));
        assert_eq!(framer.poll().unwrap(), message("OPTIONS"));
        assert_eq!(framer.take_output(), None);
    }

    #[test]
    fn a_lone_ping_is_no_beginning() {
        let mut framer = WebSocketFramer::new(100);
        framer.push(&masked(OpCode::Control(Control::Ping), b"", true));
        assert_eq!(framer.poll().unwrap(), None);
        assert!(!framer.is_inside_message());
    }

    #[test]
    fn rfc7118_s6_line_breaks_keep_alive() {
        let mut framer = WebSocketFramer::new(100);
        framer.push(&text("\r\n\r\n"));
        framer.push(&text("\r\n"));
        assert_eq!(framer.poll().unwrap(), Some(Frame::Ping));
        assert_eq!(framer.poll().unwrap(), Some(Frame::Pong));
    }

    #[test]
    fn what_breaks_the_rules_ends_it() {
        let cases: [(Vec<u8>, CloseCode); 6] = [
            (text(&"x".repeat(201)), CloseCode::Size),
            (masked(OpCode::Data(Data::Text), b"\xff", true), CloseCode::Invalid),
            (vec![0x81, 1, b'x'], CloseCode::Protocol),
            (masked(OpCode::Data(Data::Continue), b"x", true), CloseCode::Protocol),
            (masked(OpCode::Control(Control::Ping), &[0; 126], true), CloseCode::Protocol),
            (masked(OpCode::Control(Control::Close), b"", true), CloseCode::Normal),
        ];
        for (bytes, code) in cases {
            let mut framer = WebSocketFramer::new(200);
            framer.push(&bytes);
            assert_eq!(framer.poll().unwrap_err().code(), code, "{bytes:?}");
        }
    }

    #[test]
    fn many_pieces_are_no_way_around_the_limit() {
        let mut framer = WebSocketFramer::new(100);
        framer.push(&masked(OpCode::Data(Data::Text), &[b'x'; 60], false));
        framer.push(&masked(OpCode::Data(Data::Continue), &[b'x'; 60], false));
        assert_eq!(framer.poll().unwrap_err().code(), CloseCode::Size);
    }
}
