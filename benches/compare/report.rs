//! The table: medians of all rounds, and ratios between programs of the same run.

use crate::case::Case;
use crate::error::Error;
use crate::measure::Sample;
use crate::options::Options;
use crate::program::Program;
use crate::{kamailio, sipjab};

/// A figure of a [`Sample`].
pub(crate) struct Metric {
    /// The name in JSON.
    pub(crate) name: &'static str,
    title: &'static str,
    decimals: usize,
    pub(crate) of: fn(&Sample) -> f64,
}

/// In the table's order.
pub(crate) static METRICS: &[Metric] = &[
    Metric {
        name: "cpu_us_saturation",
        title: "CPU µs/message, saturation",
        decimals: 1,
        of: |s| s.cpu_saturation,
    },
    Metric {
        name: "cpu_us_10000",
        title: "CPU µs/message, 10,000/s",
        decimals: 1,
        of: |s| s.cpu_heavy,
    },
    Metric {
        name: "messages_per_second",
        title: "messages/s, saturation",
        decimals: 0,
        of: |s| s.rate,
    },
    Metric { name: "p99_ms_1000", title: "p99 ms, 1,000/s", decimals: 2, of: |s| s.p99 },
    Metric { name: "memory_mb", title: "memory MB, 10,000/s", decimals: 1, of: |s| s.memory },
];

/// All rounds of one program in one case.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) case: &'static str,
    pub(crate) program: &'static str,
    pub(crate) samples: Vec<Sample>,
    /// Why rounds have no sample.
    pub(crate) errors: Vec<String>,
}

impl Cell {
    /// The median of a figure over the rounds.
    pub(crate) fn median(&self, metric: &Metric) -> Option<f64> {
        let mut values: Vec<f64> = self.samples.iter().map(metric.of).collect();
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() % 2 {
            0 => Some((values.get(middle.checked_sub(1)?)? + values[middle]) / 2.0),
            _ => Some(values[middle]),
        }
    }

    /// Everything that went wrong, one line each.
    pub(crate) fn faults(&self) -> impl Iterator<Item = String> {
        let faults = self.samples.iter().enumerate().flat_map(|(round, sample)| {
            sample.faults.iter().map(move |fault| format!("round {}, {fault}", round + 1))
        });
        faults.chain(self.errors.iter().cloned())
    }
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Results {
    /// Name and title of each program, in the table's order.
    pub(crate) programs: Vec<(&'static str, String)>,
    notes: Vec<String>,
    cells: Vec<Cell>,
}

impl Results {
    /// No samples yet.
    pub(crate) fn new(programs: &[Box<dyn Program>]) -> Self {
        let notes = programs.iter().map(|program| program.notes()).collect();
        let programs = programs.iter().map(|program| (program.name(), program.title())).collect();
        Self { programs, notes, cells: Vec::new() }
    }

    /// Adds a round.
    pub(crate) fn add(
        &mut self,
        case: &Case,
        program: &dyn Program,
        outcome: Result<Sample, Error>,
    ) {
        let (case, program) = (case.name, program.name());
        let found = self.cells.iter().position(|c| (c.case, c.program) == (case, program));
        let index = found.unwrap_or_else(|| {
            self.cells.push(Cell { case, program, samples: Vec::new(), errors: Vec::new() });
            self.cells.len() - 1
        });
        match outcome {
            Ok(sample) => self.cells[index].samples.push(sample),
            Err(error) => self.cells[index].errors.push(error.to_string()),
        }
    }

    /// The rounds of `program` in `case`.
    pub(crate) fn cell(&self, case: &Case, program: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.case == case.name && cell.program == program)
    }

    /// Whether a round of `program` has no result.
    pub(crate) fn failed(&self, program: &str) -> bool {
        self.cells.iter().any(|cell| cell.program == program && !cell.errors.is_empty())
    }

    /// The median of sipjab's figure divided by Kamailio's.
    pub(crate) fn ratio(&self, case: &Case, metric: &Metric) -> Option<f64> {
        let median = |program| self.cell(case, program)?.median(metric);
        Some(median(sipjab::NAME)? / median(kamailio::NAME)?)
    }
}

/// Prints the table, what went wrong, and what must be known to read it.
pub(crate) fn print(results: &Results, options: &Options) {
    print!("{:<42}", "");
    for (_, title) in &results.programs {
        print!("{title:>18}");
    }
    println!("{:>10}", "ratio");
    for case in options.cases() {
        println!("{}", case.title);
        for metric in METRICS {
            print_row(results, case, metric);
        }
    }
    print_faults(results, options);
    print_notes(results, options);
}

fn print_row(results: &Results, case: &Case, metric: &Metric) {
    print!("  {:<40}", metric.title);
    for (program, _) in &results.programs {
        let cell = results.cell(case, program);
        let text = match cell.and_then(|cell| cell.median(metric)) {
            Some(value) => format!("{value:.*}", metric.decimals),
            None => "–".to_owned(),
        };
        let mark = if cell.is_some_and(|cell| cell.faults().next().is_some()) { "!" } else { " " };
        print!("{text:>17}{mark}");
    }
    let ratio = results.ratio(case, metric).map(|ratio| format!("{ratio:.2}"));
    println!("{:>10}", ratio.unwrap_or_else(|| "–".to_owned()));
}

fn print_faults(results: &Results, options: &Options) {
    println!();
    for case in options.cases() {
        for (program, title) in &results.programs {
            let faults = results.cell(case, program).into_iter().flat_map(Cell::faults);
            for fault in faults {
                println!("! {}, {title}: {fault}", case.title);
            }
        }
    }
}

fn print_notes(results: &Results, options: &Options) {
    println!(
        "\nMedians of {} rounds, programs in turn; ratio is sipjab/Kamailio. Saturation: {} \
         messages in flight.\nCPU is user and system time of all processes. Memory is that of a \
         fresh start after {} s at 10,000/s,\nshared pages counted once. ! marks cells with a \
         fault listed above.",
        options.rounds,
        options.in_flight,
        options.phase.as_secs_f64()
    );
    for note in &results.notes {
        println!("{note}");
    }
    if options.program.is_none() && results.programs.iter().all(|(name, _)| *name != kamailio::NAME)
    {
        println!("{}", kamailio::HOW_TO_INSTALL);
    }
}
