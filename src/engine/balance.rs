//! Requests come to one worker as long as it keeps up, and to all when it does not.
//!
//! A worker that has all of them finds more at each wake-up, and what it needs in the caches; two that share what one could do take half as
//! much time again, or more. Whoever serves a request does not matter otherwise: what all must know is shared, and
//! a retransmission that comes to another worker is passed on.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use crate::clock;
use crate::net::udp::Requests;

/// How often a worker that has messages says how much it works.
pub(super) const LOOK: Duration = Duration::from_millis(10);
/// So many busy looks in a row are no chance: a worker needs one to see that messages come fast, and to take them in batches.
const BUSY: u32 = 5;
/// How long all must have had little to do before one has to do it.
const CALM: Duration = Duration::from_secs(1);

/// Who gets the requests.
#[derive(Debug)]
pub struct Balance {
    is_shared: AtomicBool,
    /// Busy looks of the first worker in a row.
    busy: AtomicU32,
    start: Instant,
    /// Microseconds from the start to the last look at all workers.
    since: AtomicU64,
    /// Microseconds that all together have worked since then.
    worked: AtomicU64,
}

impl Default for Balance {
    /// The first worker gets them.
    fn default() -> Self {
        Self {
            is_shared: AtomicBool::new(false),
            busy: AtomicU32::new(0),
            start: clock::now(),
            since: AtomicU64::new(0),
            worked: AtomicU64::new(0),
        }
    }
}

impl Balance {
    /// Takes how much of `passed` a worker has worked; says who gets requests from now on, if that changes.
    ///
    /// They are shared as soon as the first worker hardly waits, or for some time works more than it waits; and no
    /// longer when all together work less than two fifths of one's time.
    pub(super) fn note(
        &self,
        worker: u16,
        now: Instant,
        passed: Duration,
        worked: Duration,
    ) -> Option<Requests> {
        if !self.is_shared.load(Relaxed) {
            if worker != 0 {
                return None;
            }
            let busy = if worked > passed / 2 { self.busy.load(Relaxed) + 1 } else { 0 };
            self.busy.store(busy, Relaxed);
            if busy < BUSY && worked < passed * 9 / 10 {
                return None;
            }
            self.busy.store(0, Relaxed);
            self.worked.store(0, Relaxed);
            self.since.store(self.micros(now), Relaxed);
            return (!self.is_shared.swap(true, Relaxed)).then_some(Requests::ToAll);
        }
        let worked = micros(worked.min(CALM));
        let in_all = self.worked.fetch_add(worked, Relaxed) + worked;
        let (since, now) = (self.since.load(Relaxed), self.micros(now));
        let period = now.saturating_sub(since);
        let is_due = period >= micros(CALM)
            && self.since.compare_exchange(since, now, Relaxed, Relaxed).is_ok();
        if !is_due {
            return None;
        }
        self.worked.store(0, Relaxed);
        let is_calm = in_all < period * 2 / 5;
        (is_calm && self.is_shared.swap(false, Relaxed)).then_some(Requests::ToFirst)
    }

    fn micros(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.start))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workers that work these percentages of their time, for so long; every change with its second.
    fn changes(
        balance: &Balance,
        from: u64,
        seconds: u64,
        percent: [u64; 2],
    ) -> Vec<(u64, Requests)> {
        let mut changes = Vec::new();
        for tick in from * 100..(from + seconds) * 100 {
            let now = balance.start + LOOK * tick as u32;
            for (worker, percent) in (0..).zip(percent) {
                let worked = LOOK * percent as u32 / 100;
                changes.extend(balance.note(worker, now, LOOK, worked).map(|to| (tick / 100, to)));
            }
        }
        changes
    }

    #[test]
    fn requests_are_shared_while_there_is_much_to_do() {
        let balance = Balance::default();
        assert_eq!(changes(&balance, 0, 10, [50, 0]), []);
        assert_eq!(changes(&balance, 10, 10, [60, 0]), [(10, Requests::ToAll)]);
        assert_eq!(changes(&balance, 20, 10, [25, 25]), []);
        assert_eq!(changes(&balance, 30, 10, [15, 15]), [(31, Requests::ToFirst)]);
        assert_eq!(changes(&balance, 40, 10, [30, 0]), []);
    }

    #[test]
    fn one_busy_moment_is_no_reason_and_one_without_a_pause_is() {
        let balance = Balance::default();
        let look = |tick: u32, percent: u32| {
            balance.note(0, balance.start + LOOK * tick, LOOK, LOOK * percent / 100)
        };
        for tick in 0..60 {
            assert_eq!(look(tick, if tick % 3 == 0 { 10 } else { 80 }), None);
        }
        assert_eq!(look(60, 95), Some(Requests::ToAll));
    }

    #[test]
    fn what_others_do_beside_does_not_make_the_first_busy() {
        assert_eq!(changes(&Balance::default(), 0, 10, [10, 90]), []);
    }

    #[test]
    fn a_pause_is_calm_too() {
        let balance = Balance::default();
        assert_eq!(changes(&balance, 0, 5, [90, 0]), [(0, Requests::ToAll)]);
        assert_eq!(changes(&balance, 60, 1, [1, 1]), [(60, Requests::ToFirst)]);
    }
}
