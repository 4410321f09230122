//! Keeps what strangers can repeat at will from filling the log.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::clock;

const PAUSE: Duration = Duration::from_secs(10);

/// Counts what happens and lets a log line through once in a while.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    count: Cell<u64>,
    quiet_until: Cell<Option<Instant>>,
}

impl LogLimit {
    /// Counts one; the number since the last line if a line is due.
    pub(crate) fn count(&self) -> Option<u64> {
        self.count.set(self.count.get() + 1);
        let now = clock::now();
        if self.quiet_until.get().is_some_and(|until| now < until) {
            return None;
        }
        self.quiet_until.set(Some(now + PAUSE));
        Some(self.count.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_of_a_flood_is_logged() {
        let limit = LogLimit::default();
        assert_eq!(limit.count(), Some(1));
        assert_eq!((limit.count(), limit.count()), (None, None));
        limit.quiet_until.set(None);
        assert_eq!(limit.count(), Some(3));
    }
}
