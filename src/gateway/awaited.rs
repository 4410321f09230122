//! Receipts that are awaited: of whom, and who wants to know.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ahash::AHashMap;

/// Stanzas whose receipt is awaited. `W` is who waits, `C` is what a receipt needs to be told on.
#[derive(Debug)]
pub struct Awaited<W, C> {
    limit: usize,
    /// How long a receipt is awaited that nobody waits for.
    keep: Duration,
    stanzas: AHashMap<String, Expected<W, C>>,
    deadlines: BTreeSet<(Instant, String)>,
}

#[derive(Debug)]
struct Expected<W, C> {
    recipient: String,
    context: C,
    waiter: Option<W>,
    is_handed_over: bool,
    deadline: Instant,
}

/// Why someone stops waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server has taken it, and no receipt came in time.
    HandedOver,
    /// Nobody has said anything in time.
    Silence,
}

impl<W, C> Awaited<W, C> {
    /// Nothing is awaited. At most `limit` receipts are at a time, each for `keep`.
    pub fn new(limit: usize, keep: Duration) -> Self {
        Self { limit, keep, stanzas: AHashMap::new(), deadlines: BTreeSet::new() }
    }

    /// Awaits the receipt of the stanza `id` for `recipient`, a bare JID; who waits does so until `patience` ends. Gives
    /// the waiter back when too many are awaited.
    pub fn expect(
        &mut self,
        now: Instant,
        id: String,
        recipient: String,
        context: C,
        waiter: Option<(W, Duration)>,
    ) -> Result<(), Option<W>> {
        if self.stanzas.len() >= self.limit {
            return Err(waiter.map(|(waiter, _)| waiter));
        }
        let deadline = now + waiter.as_ref().map_or(self.keep, |(_, patience)| *patience);
        self.deadlines.insert((deadline, id.clone()));
        let waiter = waiter.map(|(waiter, _)| waiter);
        let expected = Expected { recipient, context, waiter, is_handed_over: false, deadline };
        if let Some(before) = self.stanzas.insert(id.clone(), expected) {
            self.deadlines.remove(&(before.deadline, id));
        }
        Ok(())
    }

    /// Tells that the recipient's server has the stanza.
    pub fn handle_handed_over(&mut self, id: &str) {
        if let Some(expected) = self.stanzas.get_mut(id) {
            expected.is_handed_over = true;
        }
    }

    /// Tells that the stanza failed; gives who waits.
    pub fn handle_failed(&mut self, id: &str) -> Option<W> {
        self.take(id)?.waiter
    }

    /// Tells that `sender`, a bare JID, has confirmed the stanza: what it was, and who waits.
    ///
    /// Only the recipient's word counts, and only once.
    pub fn handle_receipt(&mut self, id: &str, sender: &str) -> Option<(C, Option<W>)> {
        if self.stanzas.get(id)?.recipient != sender {
            return None;
        }
        let Expected { context, waiter, .. } = self.take(id)?;
        Some((context, waiter))
    }

    /// The next one whose time to wait is over.
    pub fn poll_end(&mut self, now: Instant) -> Option<(W, End)> {
        while let Some((at, id)) = self.deadlines.first().cloned()
            && at <= now
        {
            self.deadlines.pop_first();
            let Some(expected) = self.stanzas.get_mut(&id) else { continue };
            let Some(waiter) = expected.waiter.take() else {
                self.stanzas.remove(&id);
                continue;
            };
            let end = if expected.is_handed_over { End::HandedOver } else { End::Silence };
            // The receipt may still come, and be told on.
            expected.deadline = now + self.keep;
            self.deadlines.insert((expected.deadline, id));
            return Some((waiter, end));
        }
        None
    }

    /// When there is an end to poll, at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn take(&mut self, id: &str) -> Option<Expected<W, C>> {
        let (id, expected) = self.stanzas.remove_entry(id)?;
        self.deadlines.remove(&(expected.deadline, id));
        Some(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::transaction::ladder::origin;

    const SECOND: Duration = Duration::from_secs(1);

    fn awaited() -> Awaited<&'static str, u8> {
        let mut awaited = Awaited::new(2, 100 * SECOND);
        let waiter = Some(("script", SECOND));
        awaited.expect(origin(), "m".to_owned(), "r@x".to_owned(), 7, waiter).unwrap();
        awaited
    }

    #[test]
    fn the_recipient_alone_confirms_and_once() {
        let mut awaited = awaited();
        assert_eq!(awaited.handle_receipt("m", "other@x"), None);
        assert_eq!(awaited.handle_receipt("other", "r@x"), None);
        assert_eq!(awaited.handle_receipt("m", "r@x"), Some((7, Some("script"))));
        assert_eq!(awaited.handle_receipt("m", "r@x"), None);
        assert_eq!(awaited.next_deadline(), None);
    }

    #[test]
    fn who_waits_hears_how_far_it_has_come() {
        let mut silent = awaited();
        assert_eq!(silent.poll_end(origin()), None);
        assert_eq!(silent.poll_end(origin() + SECOND), Some(("script", End::Silence)));
        let mut taken = awaited();
        taken.handle_handed_over("m");
        assert_eq!(taken.poll_end(origin() + SECOND), Some(("script", End::HandedOver)));
        assert_eq!(taken.handle_receipt("m", "r@x"), Some((7, None)), "late, but told on");
        let mut failed = awaited();
        assert_eq!(failed.handle_failed("m"), Some("script"));
    }

    #[test]
    fn what_is_awaited_has_a_bound_and_an_end() {
        let mut awaited = awaited();
        let expect = |awaited: &mut Awaited<_, _>, id: &str| {
            awaited.expect(origin(), id.to_owned(), "r@x".to_owned(), 1, None)
        };
        assert_eq!(expect(&mut awaited, "n"), Ok(()));
        assert_eq!(expect(&mut awaited, "o"), Err(None));
        assert_eq!(awaited.poll_end(origin() + 100 * SECOND), Some(("script", End::Silence)));
        assert_eq!(awaited.poll_end(origin() + 200 * SECOND), None);
        assert!(awaited.stanzas.is_empty() && awaited.deadlines.is_empty());
    }
}
