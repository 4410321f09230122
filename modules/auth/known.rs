//! What the store has said of users, kept for a while: a bounded number, the least used ones go first.

use std::time::{Duration, Instant};

use ahash::{AHashMap, RandomState};

use super::config::Config;
use crate::sip::digest::Ha1;

/// How long the store is left alone after it has not answered, where an older answer does.
const PAUSE: Duration = Duration::from_secs(2);

/// How old an answer must be to be doubted when it does not fit: the password may be new.
const DOUBT: Duration = Duration::from_secs(1);

/// The answers of the store.
///
/// Two generations: when the young one is full, it becomes the old one, and who is not asked for
/// until it happens again is forgotten.
#[derive(Debug)]
pub(super) struct Known {
    young: AHashMap<u64, Answer>,
    old: AHashMap<u64, Answer>,
    generation: usize,
    fresh: Duration,
    grace: Duration,
    failed: Option<Instant>,
    /// Names may be long, so they are not kept. Should two have one hash, the HA1 of one never proves the other.
    hasher: RandomState,
}

/// Table, realm and username.
pub(super) type User<'a> = (&'a str, &'a str, &'a str);

/// What the store said of one user, and when.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// One for each hash that can be verified.
    pub(super) ha1: Vec<Ha1>,
    read: Instant,
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// It is taken for true, and not even asked again when it does not fit.
    New,
    /// It is taken for true.
    Good,
    /// It does until the store answers.
    Spare,
    /// It is too old.
    Nothing,
}

impl Known {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            young: AHashMap::new(),
            old: AHashMap::new(),
            generation: (config.cache_size / 2).max(1),
            fresh: Duration::from_secs(config.cache_time.into()),
            grace: Duration::from_secs(config.cache_grace.into()),
            failed: None,
            hasher: RandomState::new(),
        }
    }

    /// What is known of a user, and what it is worth.
    pub(super) fn find(&mut self, user: User<'_>, now: Instant) -> Option<(Answer, Worth)> {
        let user = self.hash(user);
        let answer = match self.young.get(&user) {
            Some(answer) => answer.clone(),
            None => {
                let answer = self.old.remove(&user)?;
                self.put(user, answer.clone());
                answer
            }
        };
        let worth = self.worth(now.saturating_duration_since(answer.read), now);
        Some((answer, worth))
    }

    fn worth(&self, age: Duration, now: Instant) -> Worth {
        let is_paused = self.failed.is_some_and(|at| now.saturating_duration_since(at) < PAUSE);
        match age {
            _ if age > self.fresh + self.grace => Worth::Nothing,
            _ if is_paused => Worth::New,
            _ if age > self.fresh => Worth::Spare,
            _ if age < DOUBT => Worth::New,
            _ => Worth::Good,
        }
    }

    /// The store has said this.
    pub(super) fn learn(&mut self, user: User<'_>, ha1: Vec<Ha1>, now: Instant) {
        self.failed = None;
        let user = self.hash(user);
        self.old.remove(&user);
        self.put(user, Answer { ha1, read: now });
    }

    /// The store says that there is no such user.
    pub(super) fn forget(&mut self, user: User<'_>) {
        self.failed = None;
        let user = self.hash(user);
        self.young.remove(&user);
        self.old.remove(&user);
    }

    /// The store has not answered.
    pub(super) fn note_failure(&mut self, now: Instant) {
        self.failed = Some(now);
    }

    fn hash(&self, user: User<'_>) -> u64 {
        self.hasher.hash_one(user)
    }

    fn put(&mut self, user: u64, answer: Answer) {
        if self.young.len() >= self.generation && !self.young.contains_key(&user) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(user, answer);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const ALICE: User<'_> = ("subscriber", "sip.example", "alice");
    const SECOND: Duration = Duration::from_secs(1);

    fn known(cache_size: usize) -> Known {
        Known::new(&Config { cache_size, cache_time: 60, cache_grace: 600, ..Config::default() })
    }

    #[test]
    fn an_answer_loses_its_worth() {
        let (mut known, now) = (known(10), clock::now());
        assert!(known.find(ALICE, now).is_none());
        known.learn(ALICE, Vec::new(), now);
        let mut worth = |at| known.find(ALICE, at).unwrap().1;
        assert_eq!(worth(now), Worth::New);
        assert_eq!(worth(now + SECOND), Worth::Good);
        assert_eq!(worth(now + SECOND * 61), Worth::Spare);
        assert_eq!(worth(now + SECOND * 661), Worth::Nothing);
        known.forget(ALICE);
        assert!(known.find(ALICE, now).is_none());
    }

    #[test]
    fn a_store_that_is_away_is_not_asked_by_everyone() {
        let (mut known, now) = (known(10), clock::now());
        known.learn(ALICE, Vec::new(), now);
        let later = now + SECOND * 100;
        known.note_failure(later);
        assert_eq!(known.find(ALICE, later + SECOND).unwrap().1, Worth::New);
        assert_eq!(known.find(ALICE, later + PAUSE).unwrap().1, Worth::Spare, "asked again");
        known.learn(("", "", "bob"), Vec::new(), later);
        assert_eq!(known.find(ALICE, later + SECOND).unwrap().1, Worth::Spare, "it is back");
    }

    #[test]
    fn users_have_a_bound_and_the_active_ones_stay() {
        let (mut known, now) = (known(100), clock::now());
        known.learn(ALICE, Vec::new(), now);
        for number in 0..10_000 {
            known.learn(("", "", &number.to_string()), Vec::new(), now);
            assert!(known.len() <= 100, "{}", known.len());
            if number % 40 == 0 {
                assert!(known.find(ALICE, now).is_some(), "after {number}");
            }
        }
        assert!(known.find(("", "", "9999"), now).is_some());
    }
}
