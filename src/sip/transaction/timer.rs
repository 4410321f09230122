//! The timers of RFC 3261 by their letters, and the durations that they are made of.

use std::time::Duration;

/// A timer that a transaction runs.
///
/// The letters are those of RFC 3261 §17; the two timers of RFC 4320 have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Timer {
    /// The non-INVITE client sends its request again.
    E,
    /// The non-INVITE client gives up.
    F,
    /// The non-INVITE server stops answering retransmissions and is gone.
    J,
    /// The non-INVITE client stops absorbing retransmitted responses and is gone.
    K,
    /// The non-INVITE server must have answered something: its user sends 100 (RFC 4320 §4.1).
    Trying,
    /// The client of this non-INVITE server has given up (its timer F), so the server is gone
    /// without an answer (RFC 4320 §4.2).
    Expiry,
}

impl Timer {
    /// How many timers there are, for a table with one place for each.
    pub const COUNT: usize = 6;

    /// The timer's place in such a table.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The durations that all SIP timers are multiples of (RFC 3261 §17.1.1.1 and table 4).
///
/// Kept in whole milliseconds, because every transaction carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    t1: u32,
    t2: u32,
    t4: u32,
}

impl Timings {
    /// The RFC's values: T1 500 ms, T2 4 s, T4 5 s.
    pub const RFC: Self = Self { t1: 500, t2: 4000, t4: 5000 };

    /// Other values, cut to whole milliseconds; none is shorter than one, and T2 is not below T1.
    pub fn new(t1: Duration, t2: Duration, t4: Duration) -> Self {
        let millis = |d: Duration| u32::try_from(d.as_millis()).unwrap_or(u32::MAX).max(1);
        Self { t1: millis(t1), t2: millis(t2).max(millis(t1)), t4: millis(t4) }
    }

    /// T1, the round-trip time estimate and first retransmission interval.
    pub const fn t1(&self) -> Duration {
        Duration::from_millis(self.t1 as u64)
    }

    /// T2, the longest interval between retransmissions of a non-INVITE request.
    pub const fn t2(&self) -> Duration {
        Duration::from_millis(self.t2 as u64)
    }

    /// T4, how long the network may keep a message.
    pub const fn t4(&self) -> Duration {
        Duration::from_millis(self.t4 as u64)
    }

    /// 64·T1, how long a transaction waits for its end (timers B, F, H, J).
    pub const fn patience(&self) -> Duration {
        Duration::from_millis(64 * self.t1 as u64)
    }

    /// The interval of timer E after one of `interval`: twice as long, but at most T2.
    pub fn after(&self, interval: Duration) -> Duration {
        (interval * 2).min(self.t2())
    }

    /// How long a client's timer E needs until it is set to T2: before that no 100 is sent over
    /// an unreliable transport, and after that one must be (RFC 4320 §4.1).
    pub fn until_trying(&self) -> Duration {
        let mut interval = self.t1();
        let mut elapsed = interval;
        while self.after(interval) < self.t2() {
            interval = self.after(interval);
            elapsed += interval;
        }
        elapsed
    }
}

impl Default for Timings {
    fn default() -> Self {
        Self::RFC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timings(t1: u64, t2: u64) -> Timings {
        Timings::new(Duration::from_millis(t1), Duration::from_millis(t2), Duration::from_secs(5))
    }

    #[test]
    fn s17_1_2_2_intervals_double_up_to_t2() {
        let mut interval = Timings::RFC.t1();
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(interval.as_millis());
            interval = Timings::RFC.after(interval);
        }
        assert_eq!(seen, [500, 1000, 2000, 4000, 4000, 4000]);
    }

    #[test]
    fn rfc4320_s4_1_trying_is_due_when_timer_e_is_set_to_t2() {
        assert_eq!(Timings::RFC.until_trying(), Duration::from_millis(500 + 1000 + 2000));
        assert_eq!(timings(500, 500).until_trying(), Duration::from_millis(500));
        assert_eq!(timings(500, 900).until_trying(), Duration::from_millis(500));
        assert_eq!(timings(100, 900).until_trying(), Duration::from_millis(100 + 200 + 400 + 800));
    }

    #[test]
    fn absurd_durations_are_bent_to_usable_ones() {
        let zero = Timings::new(Duration::ZERO, Duration::ZERO, Duration::ZERO);
        assert_eq!((zero.t1, zero.t2, zero.t4), (1, 1, 1));
        assert_eq!(timings(500, 100).t2(), Duration::from_millis(500));
        assert_eq!(zero.until_trying(), Duration::from_millis(1));
    }

    #[test]
    fn every_timer_has_its_own_place() {
        use Timer::*;
        let places = [E, F, J, K, Trying, Expiry].map(Timer::index);
        assert_eq!(places.to_vec(), (0..Timer::COUNT).collect::<Vec<_>>());
    }
}
