//! How many requests came from where.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::script::expiring::ExpiringMap;

/// Parts of the table, so that workers seldom wait for each other.
const SHARDS: usize = 16;

/// What is too much.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    pub(super) unit: Duration,
    pub(super) density: u32,
    pub(super) memory: Duration,
    pub(super) max_sources: usize,
}

/// What is known of a source after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) is_flood: bool,
    /// The flood was none until this request.
    pub(super) has_begun: bool,
}

/// The sources that have sent lately.
#[derive(Default)]
pub(super) struct Sources {
    shards: [Mutex<ExpiringMap<u128, Source>>; SHARDS],
}

#[derive(Clone, Copy, Debug)]
struct Source {
    /// When the unit of `current` began.
    since: Instant,
    current: u32,
    previous: u32,
    is_flood: bool,
}

/// An IPv4 address, or the /64 of an IPv6 address, which is what one customer has.
fn key(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits() >> 64 << 64 | 1 << 32,
    }
}

/// The part of the table that a source lies in; neighbours lie apart.
fn shard(key: u128) -> usize {
    let folded = (key >> 64) as u64 ^ key as u64;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize % SHARDS
}

impl Source {
    fn new(now: Instant) -> Self {
        Self { since: now, current: 0, previous: 0, is_flood: false }
    }

    fn count(&mut self, now: Instant, rate: &Rate) -> Count {
        let age = now.saturating_duration_since(self.since);
        if age >= 2 * rate.unit {
            *self = Self { is_flood: self.is_flood, ..Self::new(now) };
        } else if age >= rate.unit {
            (self.previous, self.current) = (self.current, 0);
            self.since += rate.unit;
        }
        self.current = self.current.saturating_add(1);
        let is_flood = self.current.max(self.previous) > rate.density;
        let has_begun = is_flood && !self.is_flood;
        self.is_flood = is_flood;
        Count { is_flood, has_begun }
    }
}

impl Sources {
    /// Counts a request of this source.
    pub(super) fn count(&self, now: Instant, rate: &Rate, ip: IpAddr) -> Count {
        let key = key(ip);
        let mut sources = self.shards[shard(key)].lock().unwrap_or_else(PoisonError::into_inner);
        let expires = Some(now + rate.memory);
        if let Some((source, end)) = sources.entry(now, &key) {
            *end = expires;
            return source.count(now, rate);
        }
        let mut source = Source::new(now);
        let count = source.count(now, rate);
        let limit = rate.max_sources.div_ceil(SHARDS);
        if sources.insert(now, limit, key, source, expires).is_err() {
            sources.evict();
            // There is room now, unless the limit has become smaller, and then it is made as sources expire.
            let _ = sources.insert(now, limit, key, source, expires);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        unit: Duration::from_secs(2),
        density: 3,
        memory: Duration::from_secs(10),
        max_sources: 32,
    };

    /// A table, and the floods that requests at these milliseconds meet.
    fn floods(times: &[u64]) -> Vec<bool> {
        let (start, sources) = (crate::clock::now(), Sources::default());
        let ip = "192.0.2.1".parse().unwrap();
        let at = |ms: &u64| start + Duration::from_millis(*ms);
        times.iter().map(|ms| sources.count(at(ms), &RATE, ip).is_flood).collect()
    }

    #[test]
    fn as_many_as_the_density_pass() {
        assert_eq!(floods(&[0, 1, 2]), [false; 3]);
        assert_eq!(floods(&[0, 1, 2, 3, 1999]), [false, false, false, true, true]);
        assert_eq!(floods(&[0, 1000, 2000, 3000, 4000, 5000, 6000]), [false; 7]);
    }

    #[test]
    fn a_flood_lasts_until_a_quiet_unit_has_passed() {
        let found = floods(&[0, 1, 2, 3, 2500, 4500]);
        assert_eq!(found, [false, false, false, true, true, false]);
        assert_eq!(floods(&[0, 1, 2, 3, 4, 4004]), [false, false, false, true, true, false]);
    }

    #[test]
    fn a_flood_begins_once() {
        let (now, sources) = (crate::clock::now(), Sources::default());
        let ip = "192.0.2.1".parse().unwrap();
        let begun = (0..100).filter(|_| sources.count(now, &RATE, ip).has_begun).count();
        assert_eq!(begun, 1);
    }

    #[test]
    fn a_source_of_ipv6_is_a_64() {
        let is_same = |a: &str, b: &str| key(a.parse().unwrap()) == key(b.parse().unwrap());
        assert!(is_same("2001:db8::1", "2001:db8::ffff:1:2:3"));
        assert!(!is_same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(is_same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!is_same("192.0.2.1", "192.0.2.2"));
        assert!(!is_same("::", "0.0.0.0"));
    }

    #[test]
    fn memory_is_bounded() {
        let (now, sources) = (crate::clock::now(), Sources::default());
        for n in 0..100_000_u32 {
            sources.count(now, &RATE, IpAddr::V4(n.wrapping_mul(0x9e37_79b9).into()));
        }
        let count: usize = sources.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(count <= 32, "{count}");
    }
}
