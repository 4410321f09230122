//! Cuts what a connection brings into messages, in the manner of its transport.

use super::StreamLimits;
use super::connection::End;
use crate::net::ws::WebSocketFramer;
use crate::sip::transport::Transport;
use crate::sip::{Frame, Message, StreamFramer};

/// The framer of one connection.
pub(super) enum Framer {
    Stream(StreamFramer),
    WebSocket(Box<WebSocketFramer>),
}

impl Framer {
    pub(super) fn new(transport: Transport, limits: &StreamLimits) -> Self {
        let framing = limits.framing;
        match transport {
            Transport::Ws | Transport::Wss => {
                let limit = framing.header_block + framing.body;
                Self::WebSocket(Box::new(WebSocketFramer::new(limit)))
            }
            _ => Self::Stream(StreamFramer::new(framing)),
        }
    }

    /// Takes bytes from the connection; poll until nothing comes before pushing more.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Stream(framer) => framer.push(bytes),
            Self::WebSocket(framer) => framer.push(bytes),
        }
    }

    /// The next frame, or `None` until more bytes come.
    pub(super) fn poll(&mut self) -> Result<Option<Frame>, End> {
        match self {
            Self::Stream(framer) => Ok(framer.poll()?),
            Self::WebSocket(framer) => Ok(framer.poll()?),
        }
    }

    /// What the transport itself answers, to be written as it is.
    pub(super) fn take_output(&mut self) -> Option<bytes::Bytes> {
        match self {
            Self::Stream(_) => None,
            Self::WebSocket(framer) => framer.take_output(),
        }
    }

    /// True while the start of a message waits for its rest.
    pub(super) fn is_inside_message(&self) -> bool {
        match self {
            Self::Stream(framer) => framer.is_inside_message(),
            Self::WebSocket(framer) => framer.is_inside_message(),
        }
    }

    /// The headers of the message that failed, when there are any to answer.
    pub(super) fn refused(&self) -> Option<Message> {
        match self {
            Self::Stream(framer) => framer.refused(),
            Self::WebSocket(_) => None,
        }
    }
}
