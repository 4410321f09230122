//! Destinations that failed a short while ago, so that the next request tries another one first
//! (RFC 3263 §4.3 and RFC 4320 §3 leave the remembering to the element).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::target::Target;

/// What a worker knows of dead destinations.
#[derive(Debug)]
pub struct DeadList {
    /// When each is given another chance.
    until: HashMap<Target, Instant>,
    limit: usize,
}

impl DeadList {
    /// An empty list that remembers at most `limit` destinations.
    pub fn new(limit: usize) -> Self {
        Self { until: HashMap::new(), limit }
    }

    /// Remembers that a destination failed: it timed out without a word, could not be reached, or
    /// answered 503, whose Retry-After is `for_how_long` then (RFC 3261 §21.5.4).
    ///
    /// In a full list it takes the place of the one that is forgotten next.
    pub fn bury(&mut self, now: Instant, target: Target, for_how_long: Duration) {
        if self.limit == 0 {
            return;
        }
        if self.until.len() >= self.limit && !self.until.contains_key(&target) {
            self.until.retain(|_, until| *until > now);
        }
        while self.until.len() >= self.limit && !self.until.contains_key(&target) {
            let next = self.until.iter().min_by_key(|(_, until)| **until);
            let next = *next.expect("a list at its limit above zero is not empty").0;
            self.until.remove(&next);
        }
        self.until.insert(target, now + for_how_long);
    }

    /// Forgets that a destination failed, because it answered.
    pub fn revive(&mut self, target: &Target) {
        self.until.remove(target);
    }

    /// Whether a destination failed and its time is not over.
    pub fn is_dead(&self, now: Instant, target: &Target) -> bool {
        self.until.get(target).is_some_and(|until| *until > now)
    }

    /// Moves dead destinations behind the others; the order is kept otherwise.
    ///
    /// They stay in, because a request with nowhere else to go may as well try them.
    pub fn put_last(&self, now: Instant, targets: &mut [Target]) {
        if !self.until.is_empty() {
            targets.sort_by_key(|target| self.is_dead(now, target));
        }
    }

    /// How many destinations are remembered, those included whose time is over.
    pub fn len(&self) -> usize {
        self.until.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::transaction::ladder::origin;
    use crate::sip::transport::Transport;

    const SECOND: Duration = Duration::from_secs(1);

    fn target(last: u8) -> Target {
        Target { transport: Transport::Udp, addr: ([192, 0, 2, last], 5060).into() }
    }

    #[test]
    fn a_dead_destination_comes_last_until_its_time_is_over() {
        let (now, mut dead) = (origin(), DeadList::new(8));
        dead.bury(now, target(1), 30 * SECOND);
        let order = |dead: &DeadList, at| {
            let mut targets = [1, 2, 3].map(target);
            dead.put_last(at, &mut targets);
            targets
        };
        assert_eq!(order(&dead, now + 29 * SECOND), [2, 3, 1].map(target));
        assert_eq!(order(&dead, now + 30 * SECOND), [1, 2, 3].map(target));
    }

    #[test]
    fn the_same_address_by_another_transport_is_not_dead() {
        let (now, mut dead) = (origin(), DeadList::new(8));
        dead.bury(now, target(1), SECOND);
        assert!(dead.is_dead(now, &target(1)));
        assert!(!dead.is_dead(now, &Target { transport: Transport::Tcp, ..target(1) }));
    }

    #[test]
    fn an_answer_revives_at_once() {
        let (now, mut dead) = (origin(), DeadList::new(8));
        dead.bury(now, target(1), SECOND);
        dead.revive(&target(1));
        assert!(!dead.is_dead(now, &target(1)));
        assert!(dead.is_empty());
    }

    #[test]
    fn a_full_list_forgets_what_is_over_and_then_what_is_over_next() {
        let (now, mut dead) = (origin(), DeadList::new(2));
        dead.bury(now, target(1), SECOND);
        dead.bury(now, target(2), 9 * SECOND);
        dead.bury(now, target(2), 8 * SECOND);
        assert_eq!(dead.len(), 2);
        dead.bury(now + 2 * SECOND, target(3), 3 * SECOND);
        assert!([2, 3].iter().all(|last| dead.is_dead(now + 2 * SECOND, &target(*last))));
        dead.bury(now + 2 * SECOND, target(4), SECOND);
        assert!([2, 4].iter().all(|last| dead.is_dead(now + 2 * SECOND, &target(*last))));
        assert!(!dead.is_dead(now, &target(3)));
        assert_eq!(dead.len(), 2);
    }

    #[test]
    fn a_list_without_room_remembers_nothing() {
        let (now, mut dead) = (origin(), DeadList::new(0));
        dead.bury(now, target(1), SECOND);
        assert!(dead.is_empty());
    }
}
