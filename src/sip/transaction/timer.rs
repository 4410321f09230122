//! The timers of RFC 3261 by their letters, and the durations that they are made of.

use std::time::Duration;

use super::Patience;

/// A timer that a transaction runs.
///
/// The letters are those of RFC 3261 §17 and RFC 6026; the two timers of RFC 4320 have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// The INVITE client sends its request again.
    A,
    /// The INVITE client gives up: nothing came back, or nothing final after its CANCEL.
    B,
    /// The INVITE client has waited long enough for a final response, so it cancels.
    C,
    /// The INVITE client stops acknowledging retransmitted rejections and is gone.
    D,
    /// The non-INVITE client sends its request again.
    E,
    /// The non-INVITE client gives up.
    F,
    /// The INVITE server sends its rejection again.
    G,
    /// The INVITE server waits no longer for the ACK of its rejection and is gone.
    H,
    /// The INVITE server stops absorbing retransmitted ACKs and is gone.
    I,
    /// The non-INVITE server stops answering retransmissions and is gone.
    J,
    /// The non-INVITE client stops absorbing retransmitted responses and is gone.
    K,
    /// The INVITE server stops absorbing copies of a request that was accepted and is gone (RFC 6026 §7.1).
    L,
    /// The INVITE client passes no more 2xx up and is gone (RFC 6026 §7.2).
    M,
    /// The server must have answered something: its user sends 100 (RFC 3261 §17.2.1, RFC 4320 §4.1).
    Trying,
    /// The client of this non-INVITE server has given up (its timer F), so the server is gone
    /// without an answer (RFC 4320 §4.2).
    Expiry,
}

impl Timer {
    /// How many timers one transaction may run, for a list with one place for each.
    pub const COUNT: usize = 5;

    /// Whether it only ends a transaction that has done all its work, so that nobody notices when it is late.
    pub const fn is_only_an_end(self) -> bool {
        matches!(self, Self::D | Self::I | Self::J | Self::K | Self::L | Self::M)
    }

    /// The timer's place in the list of its transaction.
    pub const fn index(self) -> usize {
        match self {
            Self::A | Self::E | Self::G | Self::J => 0,
            Self::B | Self::F | Self::H | Self::Expiry => 1,
            Self::C | Self::K | Self::I => 2,
            Self::D | Self::L => 3,
            Self::M | Self::Trying => 4,
        }
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
    c: u32,
}

impl Timings {
    /// The RFC's values: T1 500 ms, T2 4 s, T4 5 s, timer C 185 s.
    pub const RFC: Self = Self { t1: 500, t2: 4000, t4: 5000, c: 185_000 };

    /// Other values, cut to whole milliseconds; none is shorter than one, and T2 is not below T1.
    ///
    /// Timer C keeps the RFC's value.
    pub fn new(t1: Duration, t2: Duration, t4: Duration) -> Self {
        let (t1, t2, t4) = (millis(t1), millis(t2), millis(t4));
        Self { t1, t2: t2.max(t1), t4, c: Self::RFC.c }
    }

    /// The same with another timer C, at least a millisecond.
    ///
    /// RFC 3261 §16.6 step 11 and §16.7 step 2 want more than three minutes.
    #[must_use]
    pub fn with_timer_c(self, c: Duration) -> Self {
        Self { c: millis(c), ..self }
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

    /// 64·T1, how long a transaction waits for its end (timers B, F, H, J, L, M).
    pub const fn patience(&self) -> Duration {
        Duration::from_millis(64 * self.t1 as u64)
    }

    /// How long an INVITE waits for its responses when its user has no wish (timers B and C).
    pub const fn invite_patience(&self) -> Patience {
        Patience { first: self.patience(), last: Duration::from_millis(self.c as u64) }
    }

    /// Timer D: at least 32 s, since the server's T1 is not known (RFC 6026 §8.4).
    pub fn absorption(&self) -> Duration {
        self.patience().max(Self::RFC.patience())
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

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
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
    fn s17_1_1_2_timer_d_is_never_below_32_seconds() {
        assert_eq!(timings(100, 4000).absorption(), Duration::from_secs(32));
        assert_eq!(timings(1000, 4000).absorption(), Duration::from_secs(64));
    }

    #[test]
    fn s16_6_an_invite_waits_64_t1_and_then_timer_c() {
        let patience = timings(100, 4000).invite_patience();
        let last = Duration::from_secs(185);
        assert_eq!(patience, Patience { first: Duration::from_millis(6400), last });
        let short = Timings::RFC.with_timer_c(Duration::ZERO).invite_patience();
        assert_eq!(short.last, Duration::from_millis(1));
    }

    #[test]
    fn the_timers_of_one_transaction_have_a_place_each() {
        use Timer::*;
        let machines: [&[Timer]; 4] =
            [&[A, B, C, D, M], &[G, H, I, L, Trying], &[E, F, K], &[J, Trying, Expiry]];
        for timers in machines {
            let mut places: Vec<_> = timers.iter().map(|timer| timer.index()).collect();
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), timers.len(), "{timers:?}");
            assert!(places.iter().all(|place| *place < Timer::COUNT));
        }
    }
}
