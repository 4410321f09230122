//! The results for programs to read.

use std::fmt::Write as _;

use crate::case::Case;
use crate::metric::metrics;
use crate::options::Options;
use crate::report::{Cell, Results};

/// Every sample, the medians and the ratios.
pub(crate) fn document(results: &Results, options: &Options) -> String {
    let cases = options.cases().map(|case| {
        let programs = results.programs.iter().filter_map(|(name, title)| {
            let cell = results.cell(case, name)?;
            Some(format!("{}: {}", string(name), program(results, case, title, cell)))
        });
        let programs = object(programs);
        format!(
            "{}: {{\"programs\": {programs}, \"ratios\": {}}}",
            string(case.name),
            ratios(results, case)
        )
    });
    format!(
        "{{\"rounds\": {}, \"seconds\": {}, \"in_flight\": {}, \"cases\": {}}}\n",
        options.rounds,
        options.phase.as_secs_f64(),
        options.in_flight,
        object(cases)
    )
}

fn ratios(results: &Results, case: &Case) -> String {
    object(metrics(case.work).iter().filter_map(|metric| {
        Some(format!("{}: {}", string(metric.name), number(results.ratio(case, metric)?)))
    }))
}

fn program(results: &Results, case: &Case, title: &str, cell: &Cell) -> String {
    let common = results.common_rate(case);
    let metrics = metrics(case.work).iter().filter_map(|metric| {
        let values = cell.samples.iter().map(|sample| metric.value(sample, common));
        let rounds = values.map(|value| number(value.unwrap_or(f64::NAN)));
        Some(format!(
            "{}: {{\"median\": {}, \"rounds\": {}}}",
            string(metric.name),
            number(results.median(case, cell.program, metric)?),
            array(rounds)
        ))
    });
    let faults = array(cell.faults().map(|fault| string(&fault)));
    let title = format!("\"title\": {}", string(title));
    object([title].into_iter().chain(metrics).chain([format!("\"faults\": {faults}")]))
}

fn object(members: impl Iterator<Item = String>) -> String {
    format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A number with what JSON cannot write as null.
fn number(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { "null".to_owned() }
}

fn string(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes everything");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
