//! Which stanzas the other side has taken (XEP-0198), and what is needed to go on with a stream that broke.

use std::collections::VecDeque;

use bytes::Bytes;

/// Stanzas that were written and not acknowledged, in order.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    unacked: VecDeque<Unacked>,
    /// How many were acknowledged: the number of the first that was not.
    acked: u64,
    /// An acknowledgement is asked for that will cover all before this number.
    asked: Option<u64>,
}

#[derive(Clone, Debug)]
struct Unacked {
    token: Option<u64>,
    bytes: Bytes,
}

impl Outbox {
    /// Notes a stanza that was written; `token` tells who asks for its fate.
    pub fn push(&mut self, token: Option<u64>, bytes: Bytes) {
        self.unacked.push_back(Unacked { token, bytes });
    }

    /// How many wait for their acknowledgement.
    pub fn len(&self) -> usize {
        self.unacked.len()
    }

    /// Is everything acknowledged?
    pub fn is_empty(&self) -> bool {
        self.unacked.is_empty()
    }

    /// Whether to ask now: something is unacknowledged, and no question is out.
    pub fn wants_to_ask(&self) -> bool {
        self.asked.is_none() && !self.unacked.is_empty()
    }

    /// Notes that a question is out.
    pub fn note_asked(&mut self) {
        self.asked = Some(self.end());
    }

    /// The answer covers what was written before the question; gives the tokens of these.
    pub fn handle_answer(&mut self) -> Vec<u64> {
        let covered = self.asked.take().unwrap_or(self.acked);
        self.take_until(covered)
    }

    /// Takes the other side's count, which begins again at 2^32; `None` when it counts what was never written.
    pub fn handle_count(&mut self, h: u32) -> Option<Vec<u64>> {
        self.asked = None;
        let more = h.wrapping_sub(self.acked as u32);
        (more as usize <= self.unacked.len()).then(|| self.take_until(self.acked + u64::from(more)))
    }

    /// What must be written again on the resumed stream.
    pub fn unacked(&self) -> impl Iterator<Item = &Bytes> {
        self.unacked.iter().map(|unacked| &unacked.bytes)
    }

    /// The tokens of what is unacknowledged, when nobody will acknowledge it any more.
    pub fn give_up(self) -> Vec<u64> {
        self.unacked.into_iter().filter_map(|unacked| unacked.token).collect()
    }

    /// Gives back the room of what is acknowledged.
    pub fn rest(&mut self) {
        if self.unacked.is_empty() {
            self.unacked = VecDeque::new();
        }
    }

    fn end(&self) -> u64 {
        self.acked + self.unacked.len() as u64
    }

    fn take_until(&mut self, number: u64) -> Vec<u64> {
        let count = number.saturating_sub(self.acked).min(self.unacked.len() as u64);
        self.acked += count;
        self.unacked.drain(..count as usize).filter_map(|unacked| unacked.token).collect()
    }
}

/// A stream that broke and may go on.
#[derive(Clone, Debug)]
pub struct Resumption {
    /// The server's name for it.
    pub(super) id: String,
    /// Our full JID on it.
    pub(super) jid: String,
    /// How many stanzas had come.
    pub(super) received: u32,
    /// What was on its way.
    pub(super) outbox: Outbox,
    /// What was acknowledged once.
    pub(super) settling: Vec<u64>,
}

impl Resumption {
    /// Nobody will go on with the stream: the tokens of what was on its way.
    pub fn give_up(self) -> Vec<u64> {
        self.settling.into_iter().chain(self.outbox.give_up()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(count: u64) -> Outbox {
        let mut outbox = Outbox::default();
        for token in 0..count {
            outbox.push(Some(token), Bytes::new());
        }
        outbox
    }

    #[test]
    fn an_answer_covers_what_came_before_the_question() {
        let mut outbox = outbox(2);
        assert!(outbox.wants_to_ask());
        outbox.note_asked();
        outbox.push(Some(2), Bytes::new());
        assert!(!outbox.wants_to_ask());
        assert_eq!(outbox.handle_answer(), [0, 1]);
        assert!(outbox.wants_to_ask());
        assert_eq!(outbox.give_up(), [2]);
    }

    #[test]
    fn a_count_takes_as_many_as_it_says() {
        let mut outbox = outbox(3);
        assert_eq!(outbox.handle_count(2).unwrap(), [0, 1]);
        assert!(outbox.handle_count(2).unwrap().is_empty());
        assert_eq!(outbox.handle_count(4), None);
        assert_eq!(outbox.handle_count(3).unwrap(), [2]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn counts_go_on_behind_their_end() {
        let mut outbox = Outbox { acked: u64::from(u32::MAX), ..outbox(2) };
        assert_eq!(outbox.handle_count(0).unwrap(), [0]);
        assert_eq!(outbox.handle_count(u32::MAX), None);
        assert_eq!(outbox.handle_count(1).unwrap(), [1]);
    }
}
