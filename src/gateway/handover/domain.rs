//! What was written to one domain, in order, until its ping is answered.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Fate, OutgoingStanzaMeta};
use crate::xmpp::Jid;

/// The stanzas written to a domain that it has not answered for, numbered as they were written.
#[derive(Debug)]
pub(super) struct Domain<W> {
    slots: VecDeque<Slot<W>>,
    /// The number of the first slot.
    start: u64,
    /// The ping that is out.
    pub(super) ping: Option<Ping>,
    /// When the next ping goes out, if few stanzas are there for it until then.
    pub(super) ping_at: Option<Instant>,
    /// Slots with lower numbers have been answered for, once.
    pub(super) confirmed: u64,
}

/// A ping that is out.
#[derive(Debug)]
pub(super) struct Ping {
    pub(super) id: String,
    /// It answers for the slots with lower numbers.
    pub(super) covers: u64,
}

/// The place of a written stanza. It stays after the stanza has failed.
#[derive(Debug)]
pub(super) struct Slot<W> {
    deadline: Instant,
    open: Option<(W, OutgoingStanzaMeta)>,
}

impl<W> Domain<W> {
    /// The number of the first slot.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// The number that the next slot will have.
    pub(super) fn end(&self) -> u64 {
        self.start + self.slots.len() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The first deadline; later slots have later ones.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.slots.front()?.deadline)
    }

    pub(super) fn push(&mut self, slot: Slot<W>) {
        self.slots.push_back(slot);
    }

    pub(super) fn pop(&mut self) -> Option<Slot<W>> {
        let slot = self.slots.pop_front()?;
        self.start += 1;
        Some(slot)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Slot<W>> {
        let index = number.checked_sub(self.start)?;
        self.slots.get_mut(usize::try_from(index).ok()?)
    }

    /// The ping, if nothing is left for it to answer for: the next need not wait for its answer.
    pub(super) fn take_useless_ping(&mut self) -> Option<Ping> {
        let start = self.start;
        self.ping.take_if(|ping| ping.covers <= start)
    }
}

impl<W> Default for Domain<W> {
    fn default() -> Self {
        Self { slots: VecDeque::new(), start: 0, ping: None, ping_at: None, confirmed: 0 }
    }
}

impl<W> Slot<W> {
    pub(super) fn new(deadline: Instant, waiter: W, stanza: OutgoingStanzaMeta) -> Self {
        Self { deadline, open: Some((waiter, stanza)) }
    }

    /// The recipient, as long as the fate is open.
    pub(super) fn recipient(&self) -> Option<&Jid> {
        self.open.as_ref().map(|(_, stanza)| &stanza.to)
    }

    /// Whom to tell what; `None` if the fate was told before.
    pub(super) fn told(mut self, fate: Fate) -> Option<(W, OutgoingStanzaMeta, Fate)> {
        self.take_told(fate)
    }

    /// As [`told`](Self::told), for a slot that stays.
    pub(super) fn take_told(&mut self, fate: Fate) -> Option<(W, OutgoingStanzaMeta, Fate)> {
        let (waiter, stanza) = self.open.take()?;
        Some((waiter, stanza, fate))
    }
}
