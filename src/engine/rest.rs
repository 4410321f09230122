//! A worker with much to do rests a little before it waits for the kernel, so that messages come in batches.
//!
//! Waking a thread for each message costs more than the message: at 10,000 a second it is two thirds of all work.
//! Network cards moderate their interrupts for the same reason. A worker with little to do never rests, and one
//! with more than enough neither: messages gather while it works.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::clock;

/// How long messages are counted before their rate is known.
const WINDOW: Duration = Duration::from_millis(10);
/// Messages that are worth a wake-up. A rest shall gather as many; a worker that finds as many by itself needs none.
const BATCH: u32 = 8;
/// The longest rest, which nobody notices: T1 is 500 times as long.
const LONGEST: Duration = Duration::from_millis(1);
/// A rest below this would be mostly overhead.
const SHORTEST: Duration = Duration::from_micros(50);
/// Messages further apart than this are worth a wake-up each.
const SELDOM: Duration = Duration::from_micros(250);

thread_local! {
    static TRAFFIC: RefCell<Traffic> = RefCell::new(Traffic::new(clock::now()));
}

/// Counts a message or stanza that came to this thread.
pub(super) fn note_message() {
    TRAFFIC.with_borrow_mut(Traffic::note_message);
}

/// The thread goes on. To be called after each wait.
pub fn after_waiting() {
    TRAFFIC.with_borrow_mut(|traffic| traffic.woke = clock::now());
}

/// How long this thread has neither rested nor waited, in all.
pub(super) fn worked(now: Instant) -> Duration {
    TRAFFIC
        .with_borrow(|traffic| traffic.worked_before + now.saturating_duration_since(traffic.woke))
}

/// Rests when the thread's messages come fast. To be called when there is nothing to do at the moment.
pub fn before_waiting() {
    let rest = TRAFFIC.with_borrow_mut(|traffic| traffic.rest(clock::now()));
    if let Some(rest) = rest {
        std::thread::sleep(rest);
    }
}

/// How fast messages come.
#[derive(Debug)]
struct Traffic {
    since: Instant,
    /// Messages in this window, at the last rest or wait.
    count: u32,
    /// Messages since then.
    batch: u32,
    /// The time from one message to the next in the last window.
    interval: Duration,
    /// The end of the last wait.
    woke: Instant,
    /// The time in this window that was neither rest nor wait.
    worked: Duration,
    /// The same up to the last rest or wait, in all.
    worked_before: Duration,
    /// In the last window that was more than three quarters of it; one message at a time may well take half.
    is_busy: bool,
}

impl Traffic {
    fn new(now: Instant) -> Self {
        let interval = Duration::MAX;
        let worked = Duration::ZERO;
        Self {
            since: now,
            count: 0,
            batch: 0,
            interval,
            woke: now,
            worked,
            worked_before: worked,
            is_busy: false,
        }
    }

    fn note_message(&mut self) {
        self.batch += 1;
    }

    /// How long to rest, if at all.
    fn rest(&mut self, now: Instant) -> Option<Duration> {
        let batch = std::mem::take(&mut self.batch);
        self.count += batch;
        let worked = now.saturating_duration_since(self.woke);
        (self.worked, self.worked_before) = (self.worked + worked, self.worked_before + worked);
        let passed = now.saturating_duration_since(self.since);
        if passed >= WINDOW {
            self.interval = passed.checked_div(self.count).unwrap_or(Duration::MAX);
            self.is_busy = self.worked > passed * 3 / 4;
            (self.since, self.count, self.worked) = (now, 0, Duration::ZERO);
        }
        if self.interval > SELDOM || batch >= BATCH || self.is_busy {
            return None;
        }
        let rest = (self.interval * BATCH).min(LONGEST);
        (rest >= SHORTEST).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a thread does whose messages come at this interval, one second after the first.
    fn rest_at(interval: Duration) -> Option<Duration> {
        rest_with(interval, Duration::ZERO)
    }

    /// The same when it works so long for each message.
    fn rest_with(interval: Duration, work: Duration) -> Option<Duration> {
        let start = clock::now();
        let mut traffic = Traffic::new(start);
        let (mut now, mut rest) = (start, None);
        while now < start + Duration::from_secs(1) {
            now += interval;
            traffic.woke = now - work;
            traffic.note_message();
            rest = traffic.rest(now);
        }
        rest
    }

    #[test]
    fn who_works_nearly_all_the_time_does_not_rest() {
        let (interval, us) = (Duration::from_micros(20), Duration::from_micros);
        assert!(rest_with(interval, us(14)).is_some());
        assert_eq!(rest_with(interval, us(16)), None);
    }

    #[test]
    fn a_rest_gathers_a_batch_and_is_never_noticed() {
        assert_eq!(rest_at(Duration::from_micros(20)), Some(Duration::from_micros(160)));
        assert_eq!(rest_at(Duration::from_micros(200)), Some(LONGEST));
    }

    #[test]
    fn seldom_messages_are_served_at_once() {
        assert_eq!(rest_at(Duration::from_micros(251)), None);
        assert_eq!(rest_at(Duration::from_secs(2)), None);
    }

    #[test]
    fn a_batch_that_comes_by_itself_needs_no_rest() {
        let start = clock::now();
        let mut traffic = Traffic::new(start);
        (traffic.count, traffic.woke) = (1000, start + WINDOW);
        (0..BATCH).for_each(|_| traffic.note_message());
        assert_eq!(traffic.rest(start + WINDOW), None);
        traffic.note_message();
        assert!(traffic.rest(start + WINDOW).is_some());
    }

    #[test]
    fn a_pause_ends_the_rests() {
        let start = clock::now();
        let mut traffic = Traffic::new(start);
        (traffic.count, traffic.woke) = (1000, start + WINDOW);
        assert!(traffic.rest(start + WINDOW).is_some());
        traffic.woke = start + WINDOW * 2;
        assert!(traffic.rest(start + WINDOW * 2).is_none());
    }
}
