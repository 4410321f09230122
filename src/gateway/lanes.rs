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
    /// Empty lanes, in which `per_lane` messages may wait for one recipient and `in_all` for all.
    pub fn new(per_lane: usize, in_all: usize) -> Self {
        Self { lanes: AHashMap::new(), waiting: 0, per_lane, in_all }
    }

    /// Takes a message; gives it back as `Ok` when it may begin now, as `Err` when there is no room.
    pub fn push(&mut self, recipient: &str, message: T) -> Result<Option<T>, T> {
        let Some(lane) = self.lanes.get_mut(recipient) else {
            self.lanes.insert(recipient.into(), VecDeque::new());
            return Ok(Some(message));
        };
        if lane.len() >= self.per_lane || self.waiting >= self.in_all {
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

    /// How many recipients have a message under way.
    pub fn len(&self) -> usize {
        self.lanes.len()
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
        assert_eq!(lanes.push("sip:a", 2), Ok(None));
        assert_eq!(lanes.push("sip:b", 3), Ok(Some(3)), "others do not wait");
        assert_eq!(lanes.done("sip:a"), Some(2));
        assert_eq!(lanes.done("sip:a"), None);
        assert_eq!(lanes.push("sip:a", 4), Ok(Some(4)));
        assert_eq!(lanes.len(), 2);
    }

    #[test]
    fn what_does_not_fit_comes_back() {
        let mut lanes = Lanes::new(1, 2);
        for recipient in ["a", "b", "c"] {
            assert_eq!(lanes.push(recipient, 0), Ok(Some(0)));
        }
        assert_eq!(lanes.push("a", 1), Ok(None));
        assert_eq!(lanes.push("a", 2), Err(2), "one lane is full");
        assert_eq!(lanes.push("b", 3), Ok(None));
        assert_eq!(lanes.push("c", 4), Err(4), "all are");
        assert_eq!(lanes.done("a"), Some(1));
        assert_eq!(lanes.push("c", 5), Ok(None), "there is room again");
    }

    #[test]
    fn a_lane_that_is_not_used_is_gone() {
        let mut lanes = Lanes::<u8>::new(1, 1);
        assert_eq!(lanes.done("nobody"), None);
        assert_eq!(lanes.push("a", 1), Ok(Some(1)));
        assert_eq!(lanes.done("a"), None);
        assert!(lanes.is_empty());
    }
}
