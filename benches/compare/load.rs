//! How fast messages are sent: as fast as they are answered, or by the clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::lane::Lane;
use crate::tally::Tally;

/// After it, a message of a closed loop is lost and another takes its place.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the last messages of a phase are waited for.
const GRACE: Duration = Duration::from_secs(2);
/// What an open loop makes up for when it was kept from sending. More would come as a burst that
/// overflows socket buffers, and count as a loss of the program's.
const CATCH_UP: Duration = Duration::from_millis(10);
/// The most messages sent before answers are read.
const BURST: u32 = 64;

/// How a rate is written in tables.
pub(crate) fn rate_text(per_second: u32) -> String {
    match per_second {
        0..1_000 => format!("{per_second}/s"),
        _ => format!("{},{:03}/s", per_second / 1_000, per_second % 1_000),
    }
}

/// When the next message is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// When one of so many is answered.
    Closed { in_flight: u32 },
    /// So many a second, whatever comes back.
    Open { per_second: u32 },
}

impl Pace {
    /// How many messages are to be sent now.
    fn due(self, elapsed: Duration, tally: &Tally) -> u32 {
        match self {
            Pace::Closed { in_flight } => in_flight.saturating_sub(tally.in_flight()),
            Pace::Open { per_second } => {
                let due = elapsed.as_secs_f64() * f64::from(per_second);
                (due as u32 + 1).saturating_sub(tally.sent())
            }
        }
    }

    /// How much of the time passed cannot be made up for any more.
    fn missed(self, elapsed: Duration, tally: &Tally) -> Duration {
        match self {
            Pace::Closed { .. } => Duration::ZERO,
            Pace::Open { per_second } => {
                let sent = Duration::from_secs_f64(f64::from(tally.sent()) / f64::from(per_second));
                elapsed.saturating_sub(sent).saturating_sub(CATCH_UP)
            }
        }
    }

    /// How many messages of a phase were not sent in time; up to one in a hundred does not count.
    pub(crate) fn behind(self, length: Duration, tally: &Tally) -> u32 {
        let Pace::Open { per_second } = self else { return 0 };
        let planned = (length.as_secs_f64() * f64::from(per_second)) as u32;
        let behind = planned.saturating_sub(tally.sent());
        if behind > planned / 100 { behind } else { 0 }
    }

    /// How long nothing needs to be sent unless something is answered.
    fn rest(self, elapsed: Duration, tally: &Tally) -> Duration {
        match self {
            Pace::Closed { .. } => Duration::from_millis(100),
            Pace::Open { per_second } => {
                let next = f64::from(tally.sent()) / f64::from(per_second);
                Duration::from_secs_f64(next).saturating_sub(elapsed)
            }
        }
    }
}

/// One phase of a measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    /// Told in every token, so that a late answer of another phase does not count.
    pub(crate) phase: u16,
    pub(crate) pace: Pace,
    pub(crate) length: Duration,
    pub(crate) stop: &'a AtomicBool,
}

impl Load<'_> {
    /// Sends for the phase's length and waits for the last answers.
    pub(crate) fn run(&self, lane: &mut dyn Lane) -> Result<Tally, Error> {
        let start = Instant::now();
        let mut missed = Duration::ZERO;
        let mut tally = Tally::new(self.phase, start);
        let mut answers = Vec::new();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let elapsed = start.elapsed();
            let rest = if elapsed < self.length {
                missed += self.pace.missed(elapsed - missed, &tally);
                self.send_due(lane, &mut tally, elapsed - missed)?;
                self.pace.rest(start.elapsed() - missed, &tally)
            } else if tally.in_flight() == 0 || elapsed > self.length + GRACE {
                return Ok(tally);
            } else {
                Duration::from_millis(20)
            };
            lane.receive(rest, &mut answers)?;
            let now = Instant::now();
            for answer in answers.drain(..) {
                tally.handle_answer(answer.token, answer.code, now);
            }
            if let (Pace::Closed { .. }, Some(limit)) = (self.pace, now.checked_sub(PATIENCE)) {
                tally.give_up_before(limit);
            }
        }
    }

    fn send_due(&self, lane: &mut dyn Lane, tally: &mut Tally, at: Duration) -> Result<(), Error> {
        let due = self.pace.due(at, tally).min(BURST);
        let now = Instant::now();
        for _ in 0..due {
            lane.send(tally.next(now))?;
        }
        Ok(lane.flush()?)
    }
}
