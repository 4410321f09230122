//! Which counts of which nonces were used, so that no request is accepted twice (RFC 7616 §5.5).

use std::collections::BTreeMap;
use std::time::Duration;

use super::nonce::Nonce;

/// How long a client repeats a request that is not answered: 64 × T1 (RFC 3261 §17.1).
const REPEATS: Duration = Duration::from_secs(32);

/// How far behind the highest count another may come, when datagrams overtake each other.
const WINDOW: u32 = 64;

/// What a count is, once its response was found right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Not used before; it is now.
    New,
    /// The very request that used it last, come again: a retransmission.
    Repeated,
    /// Used before, or too far behind.
    Replayed,
    /// Too old to tell: the nonce is no longer remembered.
    Forgotten,
}

/// The counts that were used, of a bounded number of nonces.
///
/// When there are too many, the oldest nonce is forgotten, and with it every older one: whoever comes
/// with such a nonce needs a new one. Nothing is ever accepted twice.
#[derive(Debug)]
pub struct NonceCounts {
    used: BTreeMap<Nonce, Used>,
    /// Nonces up to this one count as forgotten unless they are in `used`.
    forgotten: Nonce,
    capacity: usize,
    lifetime: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Used {
    highest: u32,
    /// Bit n: `highest - n` was used.
    window: u64,
    /// What tells the request that used `highest` from any other.
    fingerprint: u64,
    at: Duration,
}

impl NonceCounts {
    /// Counts of up to `capacity` nonces that live for `lifetime`. Nonces from before `start` are forgotten.
    pub fn new(capacity: usize, lifetime: Duration, start: Duration) -> Self {
        let forgotten = Nonce::new(start, 0);
        Self { used: BTreeMap::new(), forgotten, capacity: capacity.max(1), lifetime }
    }

    /// Uses `count` of a nonce. `fingerprint` is the same for a request and its retransmissions only.
    pub fn use_count(
        &mut self,
        nonce: Nonce,
        count: u32,
        fingerprint: u64,
        now: Duration,
    ) -> Count {
        if let Some(used) = self.used.get_mut(&nonce) {
            return used.use_count(count, fingerprint, now);
        }
        if count == 0 {
            return Count::Replayed;
        }
        if !self.make_room(nonce, now) {
            return Count::Forgotten;
        }
        self.used.insert(nonce, Used { highest: count, window: 1, fingerprint, at: now });
        Count::New
    }

    /// How many nonces are remembered.
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// True when none is remembered.
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    /// Forgets what has expired, and the oldest when there are too many; false when that is `nonce` itself.
    fn make_room(&mut self, nonce: Nonce, now: Duration) -> bool {
        while let Some((&oldest, _)) = self.used.first_key_value() {
            let is_expired = oldest.made() + self.lifetime < now;
            if !is_expired && (self.used.len() < self.capacity || nonce < oldest) {
                break;
            }
            self.used.pop_first();
            self.forgotten = self.forgotten.max(oldest);
        }
        self.used.len() < self.capacity && nonce > self.forgotten
    }
}

impl Used {
    fn use_count(&mut self, count: u32, fingerprint: u64, now: Duration) -> Count {
        if count > self.highest {
            let shift = count - self.highest;
            self.window = self.window.checked_shl(shift).unwrap_or(0) | 1;
            (self.highest, self.fingerprint, self.at) = (count, fingerprint, now);
            return Count::New;
        }
        let is_again = count == self.highest && fingerprint == self.fingerprint;
        if is_again && now.saturating_sub(self.at) < REPEATS {
            return Count::Repeated;
        }
        let behind = self.highest - count;
        if count == 0 || behind >= WINDOW || self.window & (1 << behind) != 0 {
            return Count::Replayed;
        }
        self.window |= 1 << behind;
        Count::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_800_000_000);
    const LIFETIME: Duration = Duration::from_secs(300);

    fn counts(capacity: usize) -> NonceCounts {
        NonceCounts::new(capacity, LIFETIME, START)
    }

    fn nonce(seconds: u64) -> Nonce {
        Nonce::new(START + Duration::from_secs(seconds), 7)
    }

    #[test]
    fn a_count_is_good_once() {
        let mut counts = counts(10);
        let mut use_count = |count| counts.use_count(nonce(1), count, count.into(), START);
        let bad = Count::Replayed;
        assert_eq!([1, 2, 3].map(&mut use_count), [Count::New; 3]);
        assert_eq!([0, 1, 2].map(&mut use_count), [bad; 3]);
        assert_eq!(use_count(100), Count::New, "the client may skip some");
        assert_eq!(
            [99, 37, 99, 37, 36].map(&mut use_count),
            [Count::New, Count::New, bad, bad, bad]
        );
        assert_eq!([u32::MAX, u32::MAX - 1].map(&mut use_count), [Count::New; 2]);
        assert_eq!([100, u32::MAX - 1].map(&mut use_count), [bad; 2]);
    }

    #[test]
    fn a_nonce_begins_with_any_count_but_zero() {
        let mut counts = counts(10);
        assert_eq!(counts.use_count(nonce(1), 0, 0, START), Count::Replayed);
        assert_eq!(counts.use_count(nonce(1), 5, 0, START), Count::New);
        assert_eq!(counts.use_count(nonce(2), 1, 0, START), Count::New);
    }

    #[test]
    fn a_retransmission_is_no_replay() {
        let mut counts = counts(10);
        assert_eq!(counts.use_count(nonce(1), 1, 42, START), Count::New);
        assert_eq!(counts.use_count(nonce(1), 1, 42, START + REPEATS / 2), Count::Repeated);
        assert_eq!(counts.use_count(nonce(1), 1, 43, START), Count::Replayed, "another request");
        assert_eq!(counts.use_count(nonce(1), 1, 42, START + REPEATS), Count::Replayed, "too late");
    }

    #[test]
    fn ten_thousand_nonces_take_the_room_of_a_thousand() {
        let mut counts = counts(1000);
        for second in 1..=10_000 {
            let issued = Nonce::new(START + Duration::from_millis(second), second);
            assert_eq!(counts.use_count(issued, 1, 0, START), Count::New);
            assert!(counts.len() <= 1000);
        }
        let again = |counts: &mut NonceCounts, at| {
            counts.use_count(Nonce::new(START + Duration::from_millis(at), at), 1, 1, START)
        };
        assert_eq!(again(&mut counts, 9_001), Count::Replayed, "among the newest");
        assert_eq!(again(&mut counts, 9_000), Count::Forgotten, "pushed out");
        assert_eq!(again(&mut counts, 1), Count::Forgotten);
        let unused = Nonce::new(START + Duration::from_millis(9_001), 1);
        assert_eq!(counts.use_count(unused, 1, 0, START), Count::Forgotten, "older than all");
    }

    #[test]
    fn what_has_expired_makes_room() {
        let mut counts = counts(1000);
        for second in 1..=100 {
            counts.use_count(nonce(second), 1, 0, START);
        }
        assert_eq!(counts.len(), 100);
        let later = START + LIFETIME + Duration::from_secs(100);
        assert_eq!(counts.use_count(nonce(400), 1, 0, later), Count::New);
        assert_eq!(counts.len(), 2);
        assert_eq!(counts.use_count(nonce(99), 2, 0, later), Count::Forgotten);
    }

    #[test]
    fn a_restart_forgets_every_nonce() {
        assert_eq!(counts(10).use_count(nonce(0), 1, 0, START), Count::New);
        let before = Nonce::new(START - Duration::from_millis(1), u64::MAX);
        assert_eq!(counts(10).use_count(before, 1, 0, START), Count::Forgotten);
    }
}
