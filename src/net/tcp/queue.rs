//! What waits to be written to one connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::Notify;

use super::SendError;
use crate::net::ws;

/// Bytes that may wait for one peer; a single message may be larger.
const WAITING_BYTES: usize = 1 << 20;
/// Bytes of several messages that are written as one piece.
const PIECE: usize = 64 << 10;

/// A bounded queue from any worker to the one that holds the connection.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    /// Messages that may wait.
    limit: usize,
    /// Each message is written as a frame.
    is_websocket: bool,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Bytes>,
    /// Bytes that wait or are being written.
    bytes: usize,
    is_closed: bool,
}

impl Queue {
    pub(super) fn new(limit: usize, is_websocket: bool) -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), limit, is_websocket }
    }

    pub(super) fn is_websocket(&self) -> bool {
        self.is_websocket
    }

    /// Adds a message, unless the peer reads too slowly for it.
    pub(super) fn push(&self, bytes: Bytes) -> Result<(), SendError> {
        self.push_frame(if self.is_websocket { ws::frame(bytes) } else { bytes })
    }

    /// Adds what is framed already.
    pub(super) fn push_frame(&self, bytes: Bytes) -> Result<(), SendError> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(SendError::NotConnected);
        }
        let has_room = state.waiting.len() < self.limit
            && (state.bytes == 0 || state.bytes + bytes.len() <= WAITING_BYTES);
        if !has_room {
            return Err(SendError::Full);
        }
        state.bytes += bytes.len();
        state.waiting.push_back(bytes);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Lets nothing more in; what waits is still written.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Fills `piece` with what waits, after the one before was written; `None` when all is written
    /// and the queue is closed. Only one task may wait here.
    pub(super) async fn next(&self, piece: &mut Vec<u8>) -> Option<()> {
        let written = std::mem::take(piece);
        self.lock().bytes -= written.len();
        loop {
            {
                let mut state = self.lock();
                while let Some(bytes) = state.waiting.front() {
                    if !piece.is_empty() && piece.len() + bytes.len() > PIECE {
                        break;
                    }
                    piece.extend_from_slice(bytes);
                    state.waiting.pop_front();
                }
                if !piece.is_empty() {
                    return Some(());
                }
                if state.is_closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the queue")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(len: usize) -> Bytes {
        vec![b'x'; len].into()
    }

    #[test]
    fn messages_and_bytes_are_bounded() {
        let queue = Queue::new(2, false);
        assert_eq!(queue.push(message(2 * WAITING_BYTES)), Ok(()));
        assert_eq!(queue.push(message(1)), Err(SendError::Full));
        let queue = Queue::new(2, false);
        assert_eq!([queue.push(message(1)), queue.push(message(1))], [Ok(()); 2]);
        assert_eq!(queue.push(message(1)), Err(SendError::Full));
    }

    #[tokio::test]
    async fn what_waits_is_one_piece_and_survives_the_end() {
        let queue = Queue::new(10, false);
        let mut piece = Vec::new();
        for text in ["one", "two"] {
            queue.push(Bytes::from_static(text.as_bytes())).unwrap();
        }
        queue.close();
        assert_eq!(queue.push(message(1)), Err(SendError::NotConnected));
        assert_eq!(queue.next(&mut piece).await, Some(()));
        assert_eq!(piece, b"onetwo");
        assert_eq!(queue.next(&mut piece).await, None);
    }

    #[tokio::test]
    async fn what_is_being_written_counts() {
        let queue = Queue::new(10, false);
        let mut piece = Vec::new();
        queue.push(message(WAITING_BYTES)).unwrap();
        queue.next(&mut piece).await;
        assert_eq!(queue.push(message(1)), Err(SendError::Full));
        queue.close();
        assert_eq!(queue.next(&mut piece).await, None);
        assert_eq!(queue.lock().bytes, 0);
    }
}
