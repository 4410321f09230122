//! The targets that a request has not been sent to yet (RFC 3261 §16.5), in the order of their q.

/// Targets with their q in thousandths. Those of one q are tried together, those of a lower q when all of them failed.
#[derive(Clone, Debug)]
pub struct TargetSet<T> {
    /// The best last, so that it is taken first.
    waiting: Vec<(u16, T)>,
}

impl<T> Default for TargetSet<T> {
    fn default() -> Self {
        Self { waiting: Vec::new() }
    }
}

impl<T> TargetSet<T> {
    /// Adds a target behind those of its q, unless one that waits `is_same` (§16.5).
    pub fn push(&mut self, q: u16, target: T, is_same: impl Fn(&T, &T) -> bool) {
        if self.waiting.iter().any(|(_, other)| is_same(other, &target)) {
            return;
        }
        let at = self.waiting.partition_point(|(other, _)| *other < q);
        self.waiting.insert(at, (q, target));
    }

    /// Takes the targets of the highest q, but at most `limit`; the rest of them comes with the next call.
    pub fn next_group(&mut self, limit: usize) -> Vec<T> {
        let Some((best, _)) = self.waiting.last() else { return Vec::new() };
        let first = self.waiting.partition_point(|(q, _)| q < best);
        let first = first.max(self.waiting.len().saturating_sub(limit));
        self.waiting.drain(first..).rev().map(|(_, target)| target).collect()
    }

    /// Forgets all of them: the caller has given up, or a response says that no other may be tried.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(targets: &[(u16, &'static str)]) -> TargetSet<&'static str> {
        let mut set = TargetSet::default();
        for (q, target) in targets {
            set.push(*q, *target, |a, b| a == b);
        }
        set
    }

    #[test]
    fn the_highest_q_goes_first_and_equals_go_together_in_their_order() {
        let mut set = set(&[(500, "a"), (1000, "b"), (500, "c"), (1000, "d"), (0, "e")]);
        assert_eq!(set.next_group(60), ["b", "d"]);
        assert_eq!(set.next_group(60), ["a", "c"]);
        assert_eq!(set.next_group(60), ["e"]);
        assert!(set.next_group(60).is_empty() && set.is_empty());
    }

    #[test]
    fn s16_5_a_target_that_waits_is_not_added_again() {
        let mut set = set(&[(500, "a"), (1000, "b"), (1000, "a"), (500, "b")]);
        assert_eq!((set.next_group(60), set.next_group(60)), (vec!["b"], vec!["a"]));
        set.push(1000, "a", |a, b| a == b);
        assert_eq!(set.len(), 1, "it does not wait any longer");
    }

    #[test]
    fn rfc5393_s5_3_3_what_exceeds_the_breadth_goes_later() {
        let mut set = set(&[(1000, "a"), (1000, "b"), (1000, "c"), (500, "d")]);
        assert_eq!(set.next_group(2), ["a", "b"]);
        assert_eq!(set.next_group(2), ["c"]);
        assert_eq!(set.next_group(2), ["d"]);
    }
}
