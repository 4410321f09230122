//! The test harness for transactions: plays one against a simulated clock and writes down what
//! crossed, as a ladder diagram with the network on the left and the user on the right.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::time::{Duration, Instant};

use super::{Event, Output, Outputs, Timer};

/// A transaction that a ladder can be played with.
pub(super) trait Machine {
    /// Its states, printed by their names.
    type State: Debug + PartialEq;

    /// Where it stands.
    fn state(&self) -> Self::State;

    /// Fires one of its timers.
    fn fire(&mut self, now: Instant, timer: Timer) -> Outputs;
}

/// One transaction, its clock, and what happened so far.
pub(super) struct Ladder<M: Machine> {
    pub(super) machine: M,
    origin: Instant,
    now: Instant,
    timers: BTreeMap<Timer, Instant>,
    shown: Option<M::State>,
    is_over: bool,
    text: String,
}

impl<M: Machine> Ladder<M> {
    /// Begins with the step that `start` takes at 0 ms; `arrow` is what crossed before its outputs.
    pub(super) fn new(arrow: &str, start: impl FnOnce(Instant) -> (M, Outputs)) -> Self {
        let origin = origin();
        let (machine, outputs) = start(origin);
        let (timers, text) = (BTreeMap::new(), String::new());
        let mut ladder =
            Self { machine, origin, now: origin, timers, shown: None, is_over: false, text };
        ladder.record(arrow, outputs);
        ladder
    }

    /// Lets the clock run to this millisecond; timers that are due until then fire in order.
    pub(super) fn at(&mut self, millis: u64) -> &mut Self {
        let until = self.origin + Duration::from_millis(millis);
        while let Some((timer, deadline)) = self.next_timer().filter(|(_, due)| *due <= until) {
            self.timers.remove(&timer);
            self.now = deadline;
            let outputs = self.machine.fire(deadline, timer);
            self.record("", outputs);
        }
        self.now = until;
        self
    }

    /// Lets the clock run until no timer is left.
    pub(super) fn run_until_idle(&mut self) {
        while let Some((_, deadline)) = self.next_timer() {
            self.at((deadline - self.origin).as_millis() as u64);
        }
    }

    /// Takes one step now; `arrow` is what crossed before its outputs.
    pub(super) fn step(
        &mut self,
        arrow: &str,
        step: impl FnOnce(&mut M, Instant) -> Outputs,
    ) -> &mut Self {
        let outputs = step(&mut self.machine, self.now);
        self.record(arrow, outputs);
        self
    }

    /// Checks the ladder so far, word by word: columns may be aligned for the eye.
    #[track_caller]
    pub(super) fn reads(&self, expected: &str) {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert!(words(&self.text) == words(expected), "what happened:\n{}", self.text);
    }

    fn next_timer(&self) -> Option<(Timer, Instant)> {
        let timers = self.timers.iter().map(|(timer, deadline)| (*timer, *deadline));
        timers.min_by_key(|(_, deadline)| *deadline)
    }

    /// Writes one step down: the time, the arrows, what the user hears, the state if it is new.
    fn record(&mut self, arrow: &str, outputs: Outputs) {
        assert!(!self.is_over || outputs.is_empty(), "a step after the end: {outputs:?}");
        let mut arrows: Vec<String> = Vec::new();
        let mut told = String::new();
        arrows.extend((!arrow.is_empty()).then(|| arrow.to_owned()));
        for output in outputs {
            match output {
                Output::Send(bytes) => {
                    arrows.push(format!("--> {}", first_word(&bytes)));
                }
                Output::Cancel(bytes) => arrows.push(format!("--> {}", first_word(&bytes))),
                Output::ToUser(Event::Response(code)) => {
                    write!(told, "  user: {code}").unwrap();
                }
                Output::ToUser(event) => write!(told, "  user: {event:?}").unwrap(),
                Output::SetTimer(timer, deadline) => {
                    self.timers.insert(timer, deadline);
                }
                Output::CancelTimer(timer) => {
                    self.timers.remove(&timer);
                }
                Output::Terminated => {
                    self.timers.clear();
                    self.is_over = true;
                }
            }
        }
        let state = self.machine.state();
        let is_new = self.shown.as_ref() != Some(&state);
        let entered = if is_new { format!("  {state:?}") } else { String::new() };
        self.shown = Some(state);
        if arrows.is_empty() && told.is_empty() && entered.is_empty() {
            return;
        }
        let millis = (self.now - self.origin).as_millis();
        let crossed = arrows.join("\n          ");
        writeln!(self.text, "{millis:>6} ms  {crossed}{told}{entered}").unwrap();
    }
}

/// The method of a request; all of what a test sends in the place of a message.
fn first_word(bytes: &[u8]) -> String {
    let word = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    String::from_utf8_lossy(word).into_owned()
}

/// An instant to count from; tests never compare it with the clock.
#[expect(clippy::disallowed_methods, reason = "an instant can only be made from another one")]
pub(crate) fn origin() -> Instant {
    Instant::now()
}
