//! Which messages pass when there are too many.

use std::time::{Duration, Instant};

/// What is dropped when there are too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Algorithm {
    /// Everything above the limit, until the interval is over.
    #[default]
    Taildrop,
    /// An even share, as large as the last interval was above the limit; and everything when this one is twice above.
    Red,
}

/// What has gone through one pipe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counter {
    /// When the interval began.
    since: Instant,
    /// Messages in this interval.
    count: u64,
    /// Messages in the one before.
    last: u64,
    /// The part of a message that the even share has saved up, in units of `last`.
    saved: u64,
}

impl Counter {
    /// A pipe that nothing has gone through.
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, count: 0, last: 0, saved: 0 }
    }

    /// Counts a message and tells whether it passes; `limit` messages do in an interval.
    pub(super) fn admits(
        &mut self,
        now: Instant,
        interval: Duration,
        algorithm: Algorithm,
        limit: u64,
    ) -> bool {
        self.turn(now, interval);
        self.count += 1;
        match algorithm {
            Algorithm::Taildrop => self.count <= limit,
            // A burst after silence has no last interval to be measured by.
            Algorithm::Red if self.count > 2 * limit.max(self.last) => false,
            Algorithm::Red if self.last <= limit => true,
            Algorithm::Red => {
                self.saved += limit;
                let passes = self.saved >= self.last;
                self.saved -= if passes { self.last } else { 0 };
                passes
            }
        }
    }

    fn turn(&mut self, now: Instant, interval: Duration) {
        let age = now.saturating_duration_since(self.since);
        if age >= 2 * interval {
            *self = Self::new(now);
        } else if age >= interval {
            *self = Self { since: self.since + interval, count: 0, last: self.count, saved: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many of these numbers of messages pass, each number in a second of its own, with a limit of 10.
    fn passed(algorithm: Algorithm, loads: &[u64]) -> Vec<usize> {
        let start = crate::clock::now();
        let mut counter = Counter::new(start);
        let mut now = start;
        let mut passed = Vec::new();
        for load in loads {
            let admitted = (0..*load).filter(|_| counter.admits(now, SECOND, algorithm, 10));
            passed.push(admitted.count());
            now += SECOND;
        }
        passed
    }

    #[test]
    fn the_tail_is_dropped() {
        assert_eq!(passed(Algorithm::Taildrop, &[9, 10, 11, 1000, 5]), [9, 10, 10, 10, 5]);
    }

    #[test]
    fn an_even_share_is_dropped() {
        assert_eq!(
            passed(Algorithm::Red, &[10, 20, 20, 40, 40, 10, 10]),
            [10, 20, 10, 20, 10, 2, 10]
        );
    }

    #[test]
    fn a_burst_is_cut_at_twice_the_limit() {
        assert_eq!(passed(Algorithm::Red, &[1000, 1000]), [20, 10]);
    }

    #[test]
    fn a_pipe_that_rests_begins_anew() {
        let start = crate::clock::now();
        let mut counter = Counter::new(start);
        for _ in 0..50 {
            counter.admits(start, SECOND, Algorithm::Red, 10);
        }
        let later = start + 3 * SECOND;
        assert!((0..20).all(|_| counter.admits(later, SECOND, Algorithm::Red, 10)));
    }
}
