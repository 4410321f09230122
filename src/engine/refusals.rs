//! What was refused, counted by reason, and logged no more often than an operator can read.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// At most one line per reason in this time.
const INTERVAL: Duration = Duration::from_secs(1);

/// Counts of refused input.
#[derive(Default)]
pub struct Refusals(Mutex<BTreeMap<&'static str, Count>>);

#[derive(Default)]
struct Count {
    total: u64,
    unsaid: u64,
    last_said: Option<Instant>,
}

impl Refusals {
    /// Counts one more, and logs it unless the same reason was logged just now.
    pub fn note(&self, reason: &'static str, peer: SocketAddr, detail: &dyn Display) {
        let now = clock::now();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(reason).or_default();
        count.total += 1;
        if count.last_said.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            count.unsaid += 1;
            return;
        }
        count.last_said = Some(now);
        let unsaid = std::mem::take(&mut count.unsaid);
        tracing::warn!(%peer, reason, unsaid, "refused: {detail}");
    }

    /// Every reason and how often it came, in alphabetical order.
    pub fn totals(&self) -> Vec<(&'static str, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(reason, count)| (*reason, count.total)).collect()
    }
}
