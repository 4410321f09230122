//! Measures the same work on Kamailio and on sipjab in one run, and prints their costs as ratios.
//!
//! `docs/benchmarks.md` says what is measured and how to read it.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod accounts;
mod c2s_server;
mod c2s_session;
mod calls;
mod case;
mod database;
mod error;
mod json;
mod kamailio;
mod lane;
mod load;
mod measure;
mod metric;
mod options;
mod phones;
mod process;
mod program;
mod report;
mod sip_sink;
mod sipjab;
mod sipp;
mod sipp_statistics;
mod stanza_lane;
mod stanza_scanner;
mod tally;
mod template;
mod uac;
mod xmpp_server;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::error::Error;
use crate::measure::Bench;
use crate::options::{Options, Request};
use crate::program::Program;

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benches too, without any argument
    if std::env::args().len() == 1 {
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Request::Run(options)) => options,
        Ok(Request::Help) => {
            println!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(complaint) => {
            eprintln!("{complaint}\n\n{}", options::HELP);
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs every case on every program, round by round; false when sipjab failed in one of them.
fn run(options: &Options) -> Result<bool, Error> {
    let programs = programs(options);
    let bench = Bench { stop: stop_on_signal()?, options };
    let mut results = report::Results::new(&programs);
    for round in 1..=options.rounds {
        for case in options.cases() {
            for program in programs.iter().filter(|program| program.plays(case)) {
                eprintln!("round {round}/{}: {}, {}", options.rounds, case.title, program.name());
                match bench.measure(program.as_ref(), case) {
                    Err(error @ Error::Interrupted) => return Err(error),
                    outcome => results.add(case, program.as_ref(), outcome),
                }
            }
        }
    }
    report::print(&results, options);
    if let Some(file) = &options.json {
        std::fs::write(file, json::document(&results, options))?;
    }
    Ok(!results.failed(sipjab::NAME))
}

fn programs(options: &Options) -> Vec<Box<dyn Program>> {
    let mut programs: Vec<Box<dyn Program>> = Vec::new();
    match kamailio::Kamailio::installed() {
        Some(kamailio) => programs.push(Box::new(kamailio)),
        None => eprintln!("{}", kamailio::HOW_TO_INSTALL),
    }
    programs.push(Box::new(sipjab::Sipjab));
    programs.retain(|program| options.program.as_deref().is_none_or(|only| only == program.name()));
    programs
}

fn stop_on_signal() -> Result<Arc<AtomicBool>, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
