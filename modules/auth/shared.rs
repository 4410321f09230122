//! What the workers' copies of the module share: the seal of nonces, their counts, and what is known of users.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use ahash::RandomState;

use super::config::Config;
use super::known::Known;
use crate::script::route::Route;
use crate::sip::digest::{Count, Nonce, NonceCounts, Nonces};

/// One for the whole process.
pub(super) struct Shared {
    /// Makes and recognizes nonces.
    nonces: Nonces,
    counts: OnceLock<Mutex<NonceCounts>>,
    /// When the first nonce was needed, by both clocks.
    start: OnceLock<(Instant, Duration)>,
    fingerprints: RandomState,
    /// What the store has said of users.
    pub(super) known: Mutex<Known>,
}

impl Shared {
    pub(super) fn new(config: &Config) -> Self {
        let nonces = match &config.secret {
            Some(secret) => Nonces::new(secret.expose().as_bytes()),
            None => Nonces::new(&rand::random::<[u8; 32]>()),
        };
        Self {
            nonces,
            counts: OnceLock::new(),
            start: OnceLock::new(),
            fingerprints: RandomState::new(),
            known: Mutex::new(Known::new(config)),
        }
    }

    /// The time since 1970 by a clock that is never set back, so that no nonce seems to come from the future.
    fn now(&self, route: &Route) -> Duration {
        let now = route.now();
        let (instant, unix) = self.start.get_or_init(|| (now, route.unix_time()));
        *unix + now.saturating_duration_since(*instant)
    }

    /// A new nonce.
    pub(super) fn nonce(&self, route: &Route, config: &Config, realm: &str) -> String {
        let now = self.now(route);
        // Counts begin before the first nonce, which else would be older than them.
        self.counts(config, now);
        self.nonces.seal(Nonce::new(now, rand::random()), realm)
    }

    /// A nonce of ours that is good still.
    pub(super) fn fresh(
        &self,
        route: &Route,
        config: &Config,
        nonce: &str,
        realm: &str,
    ) -> Option<Nonce> {
        let nonce = self.nonces.open(nonce, realm)?;
        nonce.is_fresh(self.now(route), config.nonce_lifetime()).then_some(nonce)
    }

    /// Uses the count of a nonce for the request of this route.
    pub(super) fn use_count(
        &self,
        route: &Route,
        config: &Config,
        nonce: Nonce,
        count: u32,
    ) -> Count {
        let now = self.now(route);
        let request = (route.message.wire(), route.source.peer);
        let fingerprint = self.fingerprints.hash_one(request);
        let mut counts = self.counts(config, now).lock().unwrap_or_else(PoisonError::into_inner);
        counts.use_count(nonce, count, fingerprint, now)
    }

    fn counts(&self, config: &Config, now: Duration) -> &Mutex<NonceCounts> {
        self.counts.get_or_init(|| {
            Mutex::new(NonceCounts::new(config.nonce_cache, config.nonce_lifetime(), now))
        })
    }
}
