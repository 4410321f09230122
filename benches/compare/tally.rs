//! What became of every message of a phase.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::template::Token;

/// One line per message sent, and what came back.
#[derive(Debug)]
pub(crate) struct Tally {
    phase: u16,
    start: Instant,
    sent: Vec<Sent>,
    /// Everything before it is answered or given up.
    oldest: usize,
    given_up: u32,
    /// Answered once, by final status code.
    pub(crate) codes: BTreeMap<u16, u32>,
    pub(crate) answered: u32,
    /// Answers to what was answered before.
    pub(crate) duplicates: u32,
    latencies: Vec<Duration>,
    last_answer: Instant,
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Answered,
    GivenUp,
}

impl Tally {
    /// Nothing sent yet.
    pub(crate) fn new(phase: u16, start: Instant) -> Self {
        Self {
            phase,
            start,
            sent: Vec::new(),
            oldest: 0,
            given_up: 0,
            codes: BTreeMap::new(),
            answered: 0,
            duplicates: 0,
            latencies: Vec::new(),
            last_answer: start,
        }
    }

    /// The token of the next message, which is sent now.
    pub(crate) fn next(&mut self, now: Instant) -> Token {
        self.sent.push(Sent { at: now, state: State::Waiting });
        Token { phase: self.phase, sequence: self.sent() - 1 }
    }

    /// Counts one answer; those of other phases and provisional ones do not count.
    pub(crate) fn handle_answer(&mut self, token: Token, code: u16, now: Instant) {
        let Some(sent) = self.sent.get_mut(token.sequence as usize) else { return };
        if token.phase != self.phase || code < 200 {
            return;
        }
        match std::mem::replace(&mut sent.state, State::Answered) {
            State::Answered => self.duplicates += 1,
            before => {
                self.given_up -= u32::from(before == State::GivenUp);
                self.answered += 1;
                *self.codes.entry(code).or_default() += 1;
                self.latencies.push(now - sent.at);
                self.last_answer = now;
            }
        }
    }

    /// Stops waiting for what was sent before `limit`.
    pub(crate) fn give_up_before(&mut self, limit: Instant) {
        while let Some(sent) = self.sent.get_mut(self.oldest) {
            match sent.state {
                State::Waiting if sent.at >= limit => break,
                State::Waiting => {
                    sent.state = State::GivenUp;
                    self.given_up += 1;
                }
                State::Answered | State::GivenUp => {}
            }
            self.oldest += 1;
        }
    }

    /// How many were sent.
    pub(crate) fn sent(&self) -> u32 {
        self.sent.len() as u32
    }

    /// How many are still waited for.
    pub(crate) fn in_flight(&self) -> u32 {
        self.sent() - self.answered - self.given_up
    }

    /// How many were never answered.
    pub(crate) fn lost(&self) -> u32 {
        self.sent() - self.answered
    }

    /// Answers with another code than 2xx.
    pub(crate) fn refused(&self) -> u32 {
        self.codes.range(300..).map(|(_, count)| count).sum()
    }

    /// Answers per second, from the start to the last one.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.answered) / (self.last_answer - self.start).as_secs_f64().max(1e-9)
    }

    /// The time within which 99 of 100 answers came.
    pub(crate) fn p99(&self) -> Option<Duration> {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() * 99 / 100).or(sorted.last()).copied()
    }
}
