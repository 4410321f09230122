//! WebSockets that carry SIP, one message in each (RFC 7118), as bytes in and bytes out.

mod framer;
mod upgrade;

use bytes::Bytes;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};

pub(super) use self::framer::{Broken, WebSocketFramer};
pub(super) use self::upgrade::{Asked, Refused, answer};

/// The most that a client may say before it has a WebSocket.
pub(super) const MAX_HEAD: usize = 16 << 10;

/// Who may open a WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The path that clients must ask for; `None` for any.
    pub path: Option<Box<str>>,
    /// The web sites whose pages may connect; none for any. Who names no site is no browser, and may.
    pub origins: Vec<Box<str>>,
}

/// A message as a frame: text where it is text (RFC 7118 §4.2).
pub(super) fn frame(message: Bytes) -> Bytes {
    let data = if std::str::from_utf8(&message).is_ok() { Data::Text } else { Data::Binary };
    written(Frame::message(message, OpCode::Data(data), true))
}

/// The frame that a client answers if it is still there.
pub(super) fn ping_frame() -> Bytes {
    written(Frame::ping(Bytes::new()))
}

/// The frame that ends a WebSocket.
pub(super) fn close_frame(code: CloseCode) -> Bytes {
    written(Frame::close(Some(CloseFrame { code, reason: Default::default() })))
}

fn written(frame: Frame) -> Bytes {
    let mut bytes = Vec::with_capacity(frame.len());
    frame.format(&mut bytes).expect("a Vec takes everything");
    bytes.into()
}

#[cfg(test)]
mod tests;
