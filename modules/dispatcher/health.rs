//! How destinations are, as all workers know it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a script says of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Active {
        is_probed: bool,
    },
    Inactive {
        is_probed: bool,
    },
    /// One failure more.
    Trying {
        is_probed: bool,
    },
    Disabled,
}

impl Mark {
    /// `a`, `i`, `t` or `d`, with `p` behind it for probing; in any case.
    pub(super) fn from_letters(letters: &str) -> Option<Self> {
        let letters = letters.to_ascii_lowercase();
        let is_probed = letters.len() == 2 && letters.ends_with('p');
        match letters.strip_suffix('p').unwrap_or(&letters) {
            "a" => Some(Self::Active { is_probed }),
            "i" => Some(Self::Inactive { is_probed }),
            "t" => Some(Self::Trying { is_probed }),
            "d" if !is_probed => Some(Self::Disabled),
            _ => None,
        }
    }
}

/// One destination; nothing is known of one that was never marked.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    is_inactive: bool,
    is_disabled: bool,
    is_probed: bool,
    /// Failures in a row.
    failures: u32,
    /// Answers in a row.
    answers: u32,
}

/// Every destination by its URI, and how many messages each set had.
#[derive(Default)]
pub(super) struct Healths(Mutex<State>);

#[derive(Default)]
struct State {
    destinations: BTreeMap<Box<str>, Health>,
    turns: BTreeMap<u32, u64>,
}

impl Healths {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of this message of a set, from 0.
    pub(super) fn turn(&self, set: u32) -> u64 {
        let mut state = self.lock();
        let turn = state.turns.entry(set).or_default();
        *turn = turn.wrapping_add(1);
        turn.wrapping_sub(1)
    }

    /// May messages go there?
    pub(super) fn is_active(&self, uri: &str) -> bool {
        let state = self.lock();
        !state.destinations.get(uri).is_some_and(|it| it.is_inactive || it.is_disabled)
    }

    /// Is it to be asked whether it lives?
    pub(super) fn is_probed(&self, uri: &str, all_are: bool) -> bool {
        let known = self.lock().destinations.get(uri).copied().unwrap_or_default();
        !known.is_disabled && (all_are || known.is_probed)
    }

    /// Forgets the destinations that are no more.
    pub(super) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().destinations.retain(|uri, _| is_there(uri));
    }

    /// Takes what a script says.
    pub(super) fn mark(&self, uri: &str, mark: Mark, threshold: u32) {
        let mut state = self.lock();
        let health = state.destinations.entry(uri.into()).or_default();
        let was_active = !health.is_inactive && !health.is_disabled;
        match mark {
            Mark::Active { is_probed } => *health = Health { is_probed, ..Health::default() },
            Mark::Inactive { is_probed } => {
                *health = Health { is_inactive: true, is_probed, ..Health::default() };
            }
            Mark::Trying { is_probed } => {
                health.is_probed |= is_probed;
                health.fail(threshold);
            }
            Mark::Disabled => *health = Health { is_disabled: true, ..Health::default() },
        }
        log(uri, was_active, !health.is_inactive && !health.is_disabled);
    }

    /// Takes what came of asking. One that answers again needs no more questions, unless all are asked.
    pub(super) fn note_probe(&self, uri: &str, lives: bool, failures: u32, answers: u32) {
        let mut state = self.lock();
        let health = state.destinations.entry(uri.into()).or_default();
        let was_active = !health.is_inactive;
        if !lives {
            health.fail(failures);
        } else {
            health.failures = 0;
            health.answers = health.answers.saturating_add(1);
            if health.answers >= answers {
                (health.is_inactive, health.is_probed) = (false, false);
            }
        }
        log(uri, was_active, !health.is_inactive);
    }
}

impl Health {
    fn fail(&mut self, threshold: u32) {
        self.answers = 0;
        self.failures = self.failures.saturating_add(1);
        self.is_inactive |= self.failures >= threshold;
    }
}

fn log(uri: &str, was_active: bool, is_active: bool) {
    match (was_active, is_active) {
        (true, false) => tracing::warn!(destination = uri, "dispatcher: inactive"),
        (false, true) => tracing::info!(destination = uri, "dispatcher: active"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_marks() {
        assert_eq!(Mark::from_letters("ip"), Some(Mark::Inactive { is_probed: true }));
        assert_eq!(Mark::from_letters("A"), Some(Mark::Active { is_probed: false }));
        assert_eq!(Mark::from_letters("TP"), Some(Mark::Trying { is_probed: true }));
        assert_eq!(Mark::from_letters("d"), Some(Mark::Disabled));
        for bad in ["", "p", "x", "pi", "ipp", "dp", "ai"] {
            assert_eq!(Mark::from_letters(bad), None, "{bad}");
        }
    }

    #[test]
    fn failures_in_a_row_make_inactive_and_answers_in_a_row_active() {
        let healths = Healths::default();
        let fail = || healths.mark("a", Mark::Trying { is_probed: true }, 2);
        let probe = |lives| healths.note_probe("a", lives, 2, 2);
        fail();
        assert!(healths.is_active("a") && healths.is_probed("a", false));
        fail();
        assert!(!healths.is_active("a"));
        probe(true);
        probe(false);
        probe(true);
        assert!(!healths.is_active("a"));
        probe(true);
        assert!(healths.is_active("a") && !healths.is_probed("a", false));
        probe(false);
        assert!(healths.is_active("a"));
    }

    #[test]
    fn who_is_disabled_is_left_alone() {
        let healths = Healths::default();
        healths.mark("a", Mark::Disabled, 1);
        assert!(!healths.is_active("a") && !healths.is_probed("a", true));
        healths.mark("a", Mark::Active { is_probed: false }, 1);
        assert!(healths.is_active("a") && healths.is_probed("a", true));
    }
}
