//! Calls through a program, at rates that double until calls fail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::load::rate_text;
use crate::measure::{Sample, WARM_UP, free_port, until_forgotten};
use crate::options::Options;
use crate::process::Process;
use crate::program::Site;
use crate::sipp::Sipp;

/// The first rate, calls per second.
pub(crate) const FIRST: u32 = 200;
/// A rate that every program carries.
const BUSY: u32 = 1_600;
/// The rate above which nobody looks: more than SIPp makes.
const LAST: u32 = 51_200;
/// How long a step may take beyond its length: a call that lasts a second and gives up after SIPp's patience, twice.
const GRACE: Duration = Duration::from_secs(30);
/// By how much SIPp may be late with its last call: the interval of its statistics and its start.
const LATE: Duration = Duration::from_millis(400);

/// What became of the calls at one rate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// Calls per second.
    pub(crate) rate: u32,
    calls: u32,
    /// Calls that did not go from INVITE to the 200 for BYE.
    failed: u32,
    /// SIPp did not begin its calls in time.
    is_late: bool,
    /// Messages that either end sent again.
    retransmissions: u32,
    cpu: Duration,
}

impl Step {
    /// Every call went well, at this rate.
    pub(crate) fn is_carried(&self) -> bool {
        self.failed == 0 && !self.is_late
    }

    /// Processor time of the program in µs.
    pub(crate) fn cpu_per_call(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(self.calls)
    }

    /// How many messages the ends sent again for a thousand calls.
    pub(crate) fn retransmissions_per_thousand(&self) -> f64 {
        f64::from(self.retransmissions) * 1e3 / f64::from(self.calls)
    }

    /// Why the rate was not carried.
    fn fault(&self) -> String {
        let rate = rate_text(self.rate);
        match self.failed {
            0 => format!("{rate}: SIPp could not keep up"),
            failed => format!("{rate}: {failed} of {} calls failed", self.calls),
        }
    }
}

/// A program between SIPp and SIPp.
#[derive(Debug)]
pub(crate) struct Calls<'a> {
    pub(crate) site: Site<'a>,
    pub(crate) process: &'a mut Process,
    pub(crate) options: &'a Options,
    pub(crate) stop: &'a AtomicBool,
    /// The steps so far, for the names of folders.
    pub(crate) steps: u32,
}

impl Calls<'_> {
    /// Doubles the rate until it is not carried.
    pub(crate) fn climb(&mut self) -> Result<Sample, Error> {
        let Options { phase, steady, .. } = *self.options;
        self.warm_up()?;
        let mut sample = Sample::default();
        let mut rate = FIRST;
        while rate <= LAST {
            if !steady.is_zero() {
                self.step(rate, steady)?;
            }
            let step = self.step(rate, phase)?;
            let is_carried = step.is_carried();
            if !is_carried {
                eprintln!("  {}", step.fault());
            }
            if !is_carried && rate == FIRST {
                sample.faults.push(step.fault());
            }
            sample.steps.push(step);
            if !is_carried {
                break;
            }
            rate *= 2;
        }
        Ok(sample)
    }

    /// Has the program use memory for more calls than the first rates make, and free it again, as after hours of service.
    fn warm_up(&mut self) -> Result<(), Error> {
        let Options { phase, is_quick, .. } = *self.options;
        self.step(FIRST, phase.min(WARM_UP))?;
        if is_quick {
            return Ok(());
        }
        self.step(BUSY, phase * 2)?;
        until_forgotten(self.stop)
    }

    /// Makes calls for `length` and waits for the last one to end.
    fn step(&mut self, rate: u32, length: Duration) -> Result<Step, Error> {
        self.steps += 1;
        let folder = |end: &str| self.site.folder.join(format!("{end}-{}", self.steps));
        let calls = (length.as_secs_f64() * f64::from(rate)) as u32;
        let callee_at = free_port()?;
        let callee = Sipp::callee(folder("callee"), callee_at)?;
        let before = self.process.cpu()?;
        let ends = [free_port()?, self.site.listen, callee_at];
        let mut caller = Sipp::caller(folder("caller"), ends, calls, rate)?;
        self.wait(&mut caller, length + GRACE)?;
        let cpu = self.process.cpu()?.saturating_sub(before);
        // callee's last retransmissions, which it writes down each interval
        std::thread::sleep(LATE);
        let told = caller.statistics().filter(|told| told.created > 0);
        let told = told.ok_or_else(|| Error::Sipp(caller.process.log_end()))?;
        let retransmitted = callee.statistics().unwrap_or_default().retransmissions;
        Ok(Step {
            rate,
            calls,
            failed: calls.saturating_sub(told.successful),
            is_late: told.beginning > length + length / 20 + LATE,
            retransmissions: told.retransmissions + retransmitted,
            cpu,
        })
    }

    /// Waits until the caller has ended; not for longer than `limit`.
    fn wait(&mut self, caller: &mut Sipp, limit: Duration) -> Result<(), Error> {
        let start = Instant::now();
        while caller.process.ended()?.is_none() && start.elapsed() < limit {
            self.process.check()?;
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}
