//! The figures of a run: their names, and where they are found.

use crate::accounts::Crowd;
use crate::calls::{FIRST, Step};
use crate::case::Work;
use crate::load::rate_text;
use crate::measure::Sample;

/// A figure of a [`Sample`].
pub(crate) struct Metric {
    /// The name in JSON.
    pub(crate) name: &'static str,
    title: &'static str,
    pub(crate) decimals: usize,
    of: Of,
}

/// Where a figure is found.
enum Of {
    Sample(fn(&Sample) -> Option<f64>),
    /// In the step of the highest rate that every program carried in every round.
    Common(fn(&Step) -> f64),
}

impl Metric {
    /// The figure of one run; `common` is the highest rate that every program carried in every round.
    pub(crate) fn value(&self, sample: &Sample, common: Option<u32>) -> Option<f64> {
        match self.of {
            Of::Sample(of) => of(sample),
            Of::Common(of) => sample.step(common?).map(of),
        }
    }

    /// The row's heading.
    pub(crate) fn heading(&self, common: Option<u32>) -> String {
        match (&self.of, common) {
            (Of::Common(_), Some(rate)) => format!("{}, {}", self.title, rate_text(rate)),
            _ => self.title.to_owned(),
        }
    }
}

/// The figures of a work, in the table's order.
pub(crate) fn metrics(work: Work) -> &'static [Metric] {
    match work {
        Work::RelayCalls => CALLS,
        Work::Register { .. } => REGISTRATIONS,
        Work::Accounts => ACCOUNTS,
        _ => MESSAGES,
    }
}

const fn of_sample(
    name: &'static str,
    title: &'static str,
    decimals: usize,
    of: fn(&Sample) -> Option<f64>,
) -> Metric {
    Metric { name, title, decimals, of: Of::Sample(of) }
}

const fn of_common(
    name: &'static str,
    title: &'static str,
    decimals: usize,
    of: fn(&Step) -> f64,
) -> Metric {
    Metric { name, title, decimals, of: Of::Common(of) }
}

static MESSAGES: &[Metric] = &[
    of_sample("cpu_us_saturation", "CPU µs/message, saturation", 1, |s| s.cpu_saturation),
    of_sample("cpu_us_10000", "CPU µs/message, 10,000/s", 1, |s| s.cpu_heavy),
    of_sample("messages_per_second", "messages/s, saturation", 0, |s| s.rate),
    of_sample("p99_ms_1000", "p99 ms, 1,000/s", 2, |s| s.p99),
    of_sample("memory_mb", "memory MB, 10,000/s", 1, |s| s.memory),
];

static REGISTRATIONS: &[Metric] = &[
    of_sample("cpu_us_saturation", "CPU µs/REGISTER, saturation", 1, |s| s.cpu_saturation),
    of_sample("cpu_us_2000", "CPU µs/REGISTER, 2,000/s", 1, |s| s.cpu_heavy),
    of_sample("registers_per_second", "REGISTERs/s, saturation", 0, |s| s.rate),
    of_sample("p99_ms_1000", "p99 ms, 1,000/s", 2, |s| s.p99),
    of_sample("memory_mb", "memory MB, 2,000/s", 1, |s| s.memory),
];

static ACCOUNTS: &[Metric] = &[
    of_sample("kb_per_account", "memory KB/account, idle", 1, |s| {
        s.of_crowd(Crowd::kb_per_account)
    }),
    of_sample("kb_per_account_used", "memory KB/account, after messages", 1, |s| {
        s.of_crowd(Crowd::kb_per_account_used)
    }),
    of_sample("seconds_online", "s until all are online", 1, |s| s.of_crowd(Crowd::seconds_online)),
    of_sample("cpu_ms_login", "CPU ms/login", 2, |s| s.of_crowd(Crowd::cpu_ms_per_login)),
    of_sample("to_xmpp_few", "CPU µs/message to XMPP, 10 online", 1, |s| {
        s.of_crowd(|c| c.few.to_xmpp)
    }),
    of_sample("to_xmpp_all", "CPU µs/message to XMPP, all online", 1, |s| {
        s.of_crowd(|c| c.all.to_xmpp)
    }),
    of_sample("from_xmpp_few", "CPU µs/message from XMPP, 10 online", 1, |s| {
        s.of_crowd(|c| c.few.from_xmpp)
    }),
    of_sample("from_xmpp_all", "CPU µs/message from XMPP, all online", 1, |s| {
        s.of_crowd(|c| c.all.from_xmpp)
    }),
];

static CALLS: &[Metric] = &[
    of_sample("cpu_us_200", "CPU µs/call, 200/s", 1, |s| s.step(FIRST).map(Step::cpu_per_call)),
    of_common("cpu_us_common", "CPU µs/call, both's best", 1, Step::cpu_per_call),
    of_common(
        "retransmissions_common",
        "sent again/1,000 calls",
        1,
        Step::retransmissions_per_thousand,
    ),
    of_sample("calls_per_second", "calls/s, none failed", 0, |s| s.carried().map(f64::from)),
];
