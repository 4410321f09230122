//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::case::{CASES, Case};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Usage: cargo bench --bench compare -- [OPTIONS]

  --only NAME      one case: stateless, stateful, to-xmpp, to-xmpp-stored, to-xmpp-handed-over, from-xmpp,
                   from-xmpp-stored, invite, register, register-uncached, accounts (repeatable)
  --program NAME   one program: kamailio or sipjab
  --rounds N       rounds over all cases and programs; the table shows medians (default 3)
  --seconds S      length of each phase or step of a measurement (default 3)
  --in-flight N    messages in flight at saturation (default 100)
  --steady S       before each phase, S seconds of its own load, so that memory has been used before (default 0)
  --accounts N     accounts online at once in the case accounts (default 10000)
  --quick          one round of one second: shows that everything works, not what it costs
  --json FILE      writes every sample, the medians and the ratios too
  --help";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    Run(Options),
    Help,
}

/// How the comparison runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) only: Vec<String>,
    pub(crate) program: Option<String>,
    pub(crate) rounds: u32,
    /// The length of each phase, or step of calls.
    pub(crate) phase: Duration,
    pub(crate) in_flight: u32,
    /// How long a phase's load goes on before the phase is measured.
    pub(crate) steady: Duration,
    /// Accounts online at once.
    pub(crate) accounts: u32,
    pub(crate) json: Option<PathBuf>,
    /// Memory is not used before it is measured.
    pub(crate) is_quick: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            program: None,
            rounds: 3,
            phase: Duration::from_secs(3),
            in_flight: 100,
            steady: Duration::ZERO,
            accounts: 10_000,
            json: None,
            is_quick: false,
        }
    }
}

impl Options {
    /// Reads the arguments, or says which one is wrong.
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Request, String> {
        let mut options = Self::default();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--only" => options.only.push(case_name(value()?)?),
                "--program" => options.program = Some(value()?),
                "--rounds" => options.rounds = positive(&arg, &value()?)?,
                "--seconds" => options.phase = seconds(&arg, &value()?)?,
                "--steady" => options.steady = seconds(&arg, &value()?)?,
                "--in-flight" => options.in_flight = positive(&arg, &value()?)?,
                "--json" => options.json = Some(value()?.into()),
                "--accounts" => options.accounts = positive(&arg, &value()?)?.clamp(100, 99_999),
                "--quick" => {
                    (options.rounds, options.phase) = (1, Duration::from_secs(1));
                    options.accounts = 1_000;
                    options.is_quick = true;
                }
                "--help" | "-h" => return Ok(Request::Help),
                // cargo adds this to every bench target's arguments
                "--bench" => {}
                _ => return Err(format!("unknown option {arg}")),
            }
        }
        Ok(Request::Run(options))
    }

    /// The cases to measure, in the table's order.
    pub(crate) fn cases(&self) -> impl Iterator<Item = &'static Case> {
        CASES.iter().filter(|case| self.only.is_empty() || self.only.iter().any(|n| n == case.name))
    }
}

fn case_name(name: String) -> Result<String, String> {
    if CASES.iter().any(|case| case.name == name) {
        return Ok(name);
    }
    let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
    Err(format!("no case {name}; there are {}", names.join(", ")))
}

fn positive(option: &str, value: &str) -> Result<u32, String> {
    value.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("{option} {value}: not a count"))
}

fn seconds(option: &str, value: &str) -> Result<Duration, String> {
    let parsed = value.parse().ok().filter(|s| (0.1..=600.0).contains(s));
    parsed
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("{option} {value}: not between 0.1 and 600"))
}
