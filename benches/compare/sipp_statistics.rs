//! What SIPp writes about its calls with `-trace_stat`.

use std::time::Duration;

/// The totals of one SIPp.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Statistics {
    /// Calls begun, or taken.
    pub(crate) created: u32,
    /// Calls that went as the scenario says, to their end.
    pub(crate) successful: u32,
    /// Messages that it sent again.
    pub(crate) retransmissions: u32,
    /// From its start until the last call was begun, to the interval of the file's lines.
    pub(crate) beginning: Duration,
}

impl Statistics {
    /// Reads the file: a line of names, then a line of totals each interval. `None` before the first of them.
    pub(crate) fn read(text: &str) -> Option<Self> {
        // what stands behind the last line end is being written
        let mut lines = text[..text.rfind('\n')?].lines();
        let names = lines.next()?;
        let rows: Vec<Row<'_>> = lines.map(|line| Row { names, line }).collect();
        let last = rows.last()?;
        let created = last.count("TotalCallCreated")?;
        let complete = rows.iter().find(|row| row.count("TotalCallCreated") == Some(created))?;
        let beginning = complete.seconds("CurrentTime")? - last.seconds("StartTime")?;
        Some(Self {
            created,
            successful: last.count("SuccessfulCall(C)")?,
            retransmissions: last.count("Retransmissions(C)")?,
            beginning: Duration::try_from_secs_f64(beginning).unwrap_or_default(),
        })
    }
}

/// A line of the file, and the first one.
struct Row<'a> {
    names: &'a str,
    line: &'a str,
}

impl<'a> Row<'a> {
    fn field(&self, name: &str) -> Option<&'a str> {
        let place = self.names.split(';').position(|found| found == name)?;
        self.line.split(';').nth(place)
    }

    fn count(&self, name: &str) -> Option<u32> {
        self.field(name)?.parse().ok()
    }

    /// A time, which is written as a date, a time of day and seconds since 1970.
    fn seconds(&self, name: &str) -> Option<f64> {
        self.field(name)?.split('\t').nth(2)?.parse().ok()
    }
}
