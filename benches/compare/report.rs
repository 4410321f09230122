//! The table: medians of all rounds, and ratios between programs of the same run.

use crate::case::Case;
use crate::error::Error;
use crate::measure::Sample;
use crate::metric::{Metric, metrics};
use crate::options::Options;
use crate::program::Program;
use crate::{kamailio, sipjab};

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
    /// The median of a figure over the rounds that have it.
    fn median(&self, metric: &Metric, common: Option<u32>) -> Option<f64> {
        let values = self.samples.iter().filter_map(|sample| metric.value(sample, common));
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() % 2 {
            0 => Some((values.get(middle.checked_sub(1)?)? + values[middle]) / 2.0),
            _ => values.get(middle).copied(),
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

    /// The highest rate of calls that every program carried in every round of `case`.
    pub(crate) fn common_rate(&self, case: &Case) -> Option<u32> {
        let cells = self.cells.iter().filter(|cell| cell.case == case.name);
        cells.flat_map(|cell| &cell.samples).map(|s| s.carried().unwrap_or(0)).min()
    }

    /// The median of a figure of `program` over the rounds.
    pub(crate) fn median(&self, case: &Case, program: &str, metric: &Metric) -> Option<f64> {
        self.cell(case, program)?.median(metric, self.common_rate(case))
    }

    /// The median of sipjab's figure divided by Kamailio's.
    pub(crate) fn ratio(&self, case: &Case, metric: &Metric) -> Option<f64> {
        let median = |program| self.median(case, program, metric);
        let ratio = median(sipjab::NAME)? / median(kamailio::NAME)?;
        ratio.is_finite().then_some(ratio)
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
        for metric in metrics(case.work) {
            print_row(results, case, metric);
        }
    }
    print_faults(results, options);
    print_notes(results, options);
}

fn print_row(results: &Results, case: &Case, metric: &Metric) {
    print!("  {:<40}", metric.heading(results.common_rate(case)));
    for (program, _) in &results.programs {
        let cell = results.cell(case, program);
        let text = match results.median(case, program, metric) {
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
         fresh start after {} s at the rate that\nits row names, shared pages counted once. Both's \
         best is the highest rate at which no call failed with\nany program in any round. ! marks \
         cells with a fault listed above.",
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
