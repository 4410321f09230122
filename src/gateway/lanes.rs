//! One MESSAGE at a time to one recipient (RFC 3428 §8), which also keeps their order.

use std::collections::VecDeque;

use ahash::AHashMap;

/// What waits for each recipient. `T` is what will be sent.
#[derive(Debug)]
pub struct Lanes<T> {
    /// A recipient with a message under way, and what waits behind it.
    lanes: AHashMap<Box<str>, VecDeque<T>>,
    waiting: usize,
    per_lane: usize,
    in_all: usize,
}

impl<T> Lanes<T> {
    /// Empty lanes, in which `per_lane` messages may wait for one recipient. In all, `in_all` may
    /// wait or be under way.
    pub fn new(per_lane: usize, in_all: usize) -> Self {
        Self { lanes: AHashMap::new(), waiting: 0, per_lane, in_all }
    }

    /// Takes a message; gives it back as `Ok` when it may begin now, as `Err` when there is no room.
    ///
    /// Each that begins must be followed by [`done`](Self::done).
    pub fn push(&mut self, recipient: &str, message: T) -> Result<Option<T>, T> {
        if self.len() >= self.in_all {
            return Err(message);
        }
        let Some(lane) = self.lanes.get_mut(recipient) else {
            self.lanes.insert(recipient.into(), VecDeque::new());
            return Ok(Some(message));
        };
        if lane.len() >= self.per_lane {
            return Err(message);
        }
        lane.push_back(message);
        self.waiting += 1;
        Ok(None)
    }

    /// Tells that the message under way has met its fate; gives the next, which may begin now.
    pub fn done(&mut self, recipient: &str) -> Option<T> {
        let next = self.lanes.get_mut(recipient)?.pop_front();
        match next {
            Some(_) => self.waiting -= 1,
            None => drop(self.lanes.remove(recipient)),
        }
        next
    }

    /// How many messages wait or are under way.
    pub fn len(&self) -> usize {
        self.waiting + self.lanes.len()
    }

    /// Is nothing under way?
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_begins_when_the_one_before_is_done() {
        let mut lanes = Lanes::new(10, 10);
        assert_eq!(lanes.push("sip:a", 1), Ok(Some(1)));
        for waiting in 2..=4 {
            assert_eq!(lanes.push("sip:a", waiting), Ok(None));
        }
        assert_eq!(lanes.push("sip:b", 5), Ok(Some(5)), "others do not wait");
        assert_eq!(lanes.len(), 5);
        for next in 2..=4 {
            assert_eq!(lanes.done("sip:a"), Some(next), "in order");
        }
        assert_eq!(lanes.done("sip:a"), None);
        assert_eq!(lanes.push("sip:a", 6), Ok(Some(6)));
        assert_eq!(lanes.len(), 2);
    }

    #[test]
    fn what_does_not_fit_comes_back() {
        let mut lanes = Lanes::new(1, 4);
        assert_eq!(lanes.push("a", 0), Ok(Some(0)));
        assert_eq!(lanes.push("a", 1), Ok(None));
        assert_eq!(lanes.push("a", 2), Err(2), "one lane is full");
        assert_eq!(lanes.push("b", 3), Ok(Some(3)));
        assert_eq!(lanes.push("c", 4), Ok(Some(4)));
        assert_eq!(lanes.push("b", 5), Err(5), "all are");
        assert_eq!(lanes.push("d", 6), Err(6), "for new recipients too");
        assert_eq!(lanes.done("a"), Some(1));
        assert_eq!(lanes.push("d", 7), Ok(Some(7)), "there is room again");
    }

    #[test]
    fn a_lane_that_is_not_used_is_gone() {
        let mut lanes = Lanes::<u8>::new(1, 1);
        assert_eq!(lanes.done("nobody"), None);
        assert_eq!(lanes.push("a", 1), Ok(Some(1)));
        assert_eq!(lanes.done("a"), None);
        assert!(lanes.is_empty() && lanes.lanes.is_empty());
    }
}
