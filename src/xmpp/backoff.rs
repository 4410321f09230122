//! How long to wait before the next attempt to connect.

use std::time::{Duration, Instant};

/// Bounds of the waiting time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffConfig {
    /// The first wait, doubled by every further failure. Default 1 s.
    pub first: Duration,
    /// The longest wait. Default 60 s.
    pub longest: Duration,
    /// The wait after the peer refused us for good, as with a wrong secret. Default 300 s.
    pub refused: Duration,
    /// A stream that was ready for so long starts over with the first wait. Default 60 s.
    pub stable: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            refused: Duration::from_secs(300),
            stable: Duration::from_secs(60),
        }
    }
}

/// Counts failures and gives the wait that follows each, spread by chance so that many clients of
/// one server do not come back at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    config: BackoffConfig,
    failures: u32,
    ready_since: Option<Instant>,
}

impl Backoff {
    /// A back-off without failures.
    pub fn new(config: BackoffConfig) -> Self {
        Self { config, failures: 0, ready_since: None }
    }

    /// Notes that the stream is ready.
    pub fn handle_ready(&mut self, now: Instant) {
        self.ready_since = Some(now);
    }

    /// The wait after a stream that ended or did not come about. `random` is any number.
    pub fn after_failure(&mut self, now: Instant, random: u64) -> Duration {
        let ready_since = self.ready_since.take();
        if ready_since.is_some_and(|since| now.duration_since(since) >= self.config.stable) {
            self.failures = 0;
        }
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1).min(31);
        spread(self.config.first.saturating_mul(factor).min(self.config.longest), random)
    }

    /// The wait after a refusal that only the operator can mend. `random` is any number.
    pub fn after_refusal(&mut self, random: u64) -> Duration {
        self.ready_since = None;
        spread(self.config.refused, random)
    }
}

/// Between half of `wait` and all of it.
fn spread(wait: Duration, random: u64) -> Duration {
    let share = (random >> 32) as f64 / f64::from(u32::MAX);
    wait.mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::stream::test_clock::start_of_time;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_wait_doubles_up_to_the_longest() {
        let mut backoff = Backoff::new(BackoffConfig::default());
        let waits: Vec<u64> =
            (0..40).map(|_| backoff.after_failure(start_of_time(), u64::MAX).as_secs()).collect();
        assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(waits[8..].iter().all(|wait| *wait == 60));
    }

    #[test]
    fn chance_takes_off_half_at_most() {
        for random in [0, u64::MAX / 3, u64::MAX / 2, u64::MAX] {
            let wait =
                Backoff::new(BackoffConfig::default()).after_failure(start_of_time(), random);
            assert!((SECOND / 2..=SECOND).contains(&wait), "{wait:?}");
        }
    }

    #[test]
    fn only_a_stable_stream_starts_over() {
        let start = start_of_time();
        let mut backoff = Backoff::new(BackoffConfig::default());
        for _ in 0..5 {
            backoff.after_failure(start, u64::MAX);
        }
        backoff.handle_ready(start);
        assert_eq!(backoff.after_failure(start + 59 * SECOND, u64::MAX), 32 * SECOND);
        backoff.handle_ready(start);
        assert_eq!(backoff.after_failure(start + 60 * SECOND, u64::MAX), SECOND);
    }

    #[test]
    fn a_wrong_secret_is_no_tight_loop() {
        let mut backoff = Backoff::new(BackoffConfig::default());
        assert!(backoff.after_refusal(0) >= 150 * SECOND);
    }
}
