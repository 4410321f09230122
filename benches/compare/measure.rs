//! One program doing one case: started, warmed up, measured in phases, ended.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::accounts::{self, Crowd};
use crate::calls::{Calls, Step};
use crate::case::{Case, Work};
use crate::database::Database;
use crate::error::Error;
use crate::lane::Lane;
use crate::load::{Load, Pace, rate_text};
use crate::options::Options;
use crate::phones::Phones;
use crate::process::Process;
use crate::program::{Program, Purpose, Site};
use crate::sip_sink::SipSink;
use crate::stanza_lane::StanzaLane;
use crate::tally::Tally;
use crate::template::{Token, USER};
use crate::uac::Uac;
use crate::xmpp_server::XmppServer;

/// How long a program may take until it answers, connected to its XMPP server, its memory touched.
const STARTUP: Duration = Duration::from_secs(60);
/// The longest warm-up.
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);
/// How long nothing may arrive until what is missing counts as lost.
const QUIET: Duration = Duration::from_secs(2);
/// After it, both programs have forgotten every transaction: timer J of RFC 3261 is 32 s.
const FORGOTTEN: Duration = Duration::from_secs(34);
/// What is added to a phase's number while its load goes on unmeasured.
const STEADY: u16 = 100;
/// The load of the latency phase, messages per second.
const LIGHT: u32 = 1_000;

/// What one run of one case cost: of messages all but the steps, of calls only those.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Processor time per message in µs, as many in flight as [`Options::in_flight`] says.
    pub(crate) cpu_saturation: Option<f64>,
    /// Processor time per message in µs at [`Work::heavy`] messages per second.
    pub(crate) cpu_heavy: Option<f64>,
    /// Messages per second at saturation.
    pub(crate) rate: Option<f64>,
    /// 99th percentile of the latency in ms at 1,000 messages per second.
    pub(crate) p99: Option<f64>,
    /// Memory in MB that a fresh start holds after a phase of [`Work::heavy`] messages per second.
    pub(crate) memory: Option<f64>,
    /// Calls at one rate after another, up to one that was not carried.
    pub(crate) steps: Vec<Step>,
    /// Of accounts only this.
    pub(crate) crowd: Option<Crowd>,
    /// What was lost, refused or doubled, and in which phase.
    pub(crate) faults: Vec<String>,
}

impl Sample {
    /// The calls at this rate.
    pub(crate) fn step(&self, rate: u32) -> Option<&Step> {
        self.steps.iter().find(|step| step.rate == rate)
    }

    /// A figure of accounts.
    pub(crate) fn of_crowd(&self, of: impl Fn(&Crowd) -> f64) -> Option<f64> {
        self.crowd.as_ref().map(of)
    }

    /// The highest rate at which no call failed.
    pub(crate) fn carried(&self) -> Option<u32> {
        self.steps.iter().take_while(|step| step.is_carried()).last().map(|step| step.rate)
    }
}

/// Runs measurements.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) options: &'a Options,
}

/// The messages of one phase and their cost.
pub(crate) struct Phase {
    pub(crate) tally: Tally,
    /// Messages accepted with 2xx that did not arrive at the XMPP server.
    pub(crate) missing: u32,
    /// Messages that arrived there twice.
    pub(crate) doubled: u32,
    /// Messages that the clock asked for and the benchmark had no time to send.
    pub(crate) late: u32,
    pub(crate) cpu: Duration,
}

impl Bench<'_> {
    /// Measures `program` doing `case`, in processes and folders of its own.
    pub(crate) fn measure(&self, program: &dyn Program, case: &Case) -> Result<Sample, Error> {
        if case.work == Work::Accounts {
            return accounts::measure(self, program, case);
        }
        let mut sample = self.start(program, case, Purpose::Speed)?;
        if case.work == Work::RelayCalls {
            return Ok(sample);
        }
        let memory = self.start(program, case, Purpose::Memory)?;
        sample.memory = memory.memory;
        sample.faults.extend(memory.faults);
        Ok(sample)
    }

    /// Starts the program, runs the phases for `purpose`, ends the program.
    fn start(&self, program: &dyn Program, case: &Case, purpose: Purpose) -> Result<Sample, Error> {
        let folder = tempfile::tempdir()?;
        let database = match case.work {
            Work::Register { .. } => Some(Database::start(folder.path(), &self.stop)?),
            _ => None,
        };
        let xmpp = XmppServer::start()?;
        let mut sink = SipSink::new()?;
        let site = Site {
            purpose,
            folder: folder.path(),
            listen: free_port()?,
            xmpp: xmpp.address(),
            outbound: sink.address()?,
            database: database.as_ref().map(Database::url),
        };
        let mut process = Process::start(program.prepare(case, site)?, folder.path())?;
        let mut clients = clients(case.work, site, program)?;
        self.wait_ready(case, &mut process, clients.as_mut(), &xmpp)?;
        if case.work == Work::RelayCalls {
            let Bench { stop, options } = self;
            return Calls { site, process: &mut process, options, stop, steps: 0 }.climb();
        }
        let mut stanzas =
            StanzaLane::new(&xmpp, &mut sink, &program.jid_of_sip_user(&format!("user{USER}")));
        let lane: &mut dyn Lane = match case.work {
            Work::XmppToMessage => &mut stanzas,
            _ => clients.as_mut(),
        };
        let mut run = Run { bench: self, case, process: &mut process, lane, xmpp: &xmpp };
        let sample = match purpose {
            Purpose::Speed => run.speed(),
            Purpose::Memory => run.memory(),
        };
        process.check()?;
        sample
    }

    /// Waits until the program answers a request and, for a gateway, has reached its XMPP server.
    fn wait_ready(
        &self,
        case: &Case,
        process: &mut Process,
        clients: &mut dyn Lane,
        xmpp: &XmppServer,
    ) -> Result<(), Error> {
        let start = Instant::now();
        let mut answers = Vec::new();
        for sequence in 0.. {
            process.check()?;
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            if start.elapsed() > STARTUP {
                return Err(Error::Silent { seconds: STARTUP.as_secs(), log: process.log_end() });
            }
            if case.work.is_gateway() && !xmpp.has_component() {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            clients.send(Token { phase: 0, sequence })?;
            clients.receive(Duration::from_millis(50), &mut answers)?;
            if !answers.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// A started program and both ends of its work.
struct Run<'a> {
    bench: &'a Bench<'a>,
    case: &'a Case,
    process: &'a mut Process,
    lane: &'a mut dyn Lane,
    xmpp: &'a XmppServer,
}

impl Run<'_> {
    /// Everything but memory.
    fn speed(&mut self) -> Result<Sample, Error> {
        let per_second = self.case.work.heavy();
        let Options { phase, in_flight, .. } = *self.bench.options;
        let saturation = Pace::Closed { in_flight };
        let warm_up = self.warm_up(saturation)?;
        let light = self.phase(2, Pace::Open { per_second: LIGHT }, phase)?;
        let heavy = self.steady_phase(3, Pace::Open { per_second })?;
        let full = self.steady_phase(4, saturation)?;
        Ok(Sample {
            cpu_saturation: full.cpu_per_message(),
            cpu_heavy: heavy.cpu_per_message(),
            rate: Some(full.tally.rate()),
            p99: light.tally.p99().map(|p99| p99.as_secs_f64() * 1e3),
            faults: [
                ("warm-up", warm_up),
                (&rate_text(LIGHT), light),
                (&rate_text(per_second), heavy),
                ("saturation", full),
            ]
            .into_iter()
            .flat_map(|(name, phase)| phase.faults(name))
            .collect(),
            ..Sample::default()
        })
    }

    /// Has the program use as much memory as it will need, and free it again, as after hours of service.
    fn warm_up(&mut self, saturation: Pace) -> Result<Phase, Error> {
        let Options { phase, is_quick, .. } = *self.bench.options;
        if is_quick || !self.case.work.is_stateful() {
            return self.phase(1, saturation, phase.min(WARM_UP));
        }
        let used = self.phase(1, saturation, phase * 2)?;
        until_forgotten(&self.bench.stop)?;
        Ok(used)
    }

    /// Memory only.
    fn memory(&mut self) -> Result<Sample, Error> {
        let pace = Pace::Open { per_second: self.case.work.heavy() };
        let heavy = self.phase(1, pace, self.bench.options.phase)?;
        let memory = Some(self.process.memory()? as f64 / 1e6);
        Ok(Sample { memory, faults: heavy.faults("memory"), ..Sample::default() })
    }

    /// The same after the load has gone on for a while, when that is asked for.
    fn steady_phase(&mut self, number: u16, pace: Pace) -> Result<Phase, Error> {
        let Options { phase, steady, .. } = *self.bench.options;
        if !steady.is_zero() {
            self.phase(number + STEADY, pace, steady)?;
        }
        self.phase(number, pace, phase)
    }

    fn phase(&mut self, number: u16, pace: Pace, length: Duration) -> Result<Phase, Error> {
        self.process.check()?;
        self.xmpp.begin(number);
        let before = self.process.cpu()?;
        let tally = Load { phase: number, pace, length, stop: &self.bench.stop }.run(self.lane)?;
        let (missing, doubled) = match self.case.work {
            Work::MessageToXmpp => {
                wait_arrivals(|| self.xmpp.arrivals(), tally.answered - tally.refused())
            }
            _ => (0, 0),
        };
        let cpu = self.process.cpu()?.saturating_sub(before);
        let late = pace.behind(length, &tally);
        Ok(Phase { tally, missing, doubled, late, cpu })
    }
}

/// Waits for `expected` messages at the XMPP server; how many are missing, how many came twice.
pub(crate) fn wait_arrivals(arrivals: impl Fn() -> (u32, u32), expected: u32) -> (u32, u32) {
    let mut last = (0, Instant::now());
    loop {
        let (arrived, doubled) = arrivals();
        if arrived != last.0 {
            last = (arrived, Instant::now());
        }
        if arrived >= expected || last.1.elapsed() > QUIET {
            return (expected.saturating_sub(arrived), doubled);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Phase {
    /// In µs.
    pub(crate) fn cpu_per_message(&self) -> Option<f64> {
        let answered = f64::from(self.tally.answered);
        (answered > 0.0).then(|| self.cpu.as_secs_f64() * 1e6 / answered)
    }

    /// What went wrong in the phase of this name.
    pub(crate) fn faults(&self, name: &str) -> Vec<String> {
        let tally = &self.tally;
        let sent = tally.sent();
        let refused =
            tally.codes.range(300..).map(|(code, count)| (*count, format!("answered {code}")));
        let others = [
            (tally.lost(), "without an answer"),
            (tally.duplicates, "answered twice"),
            (self.missing, "accepted and not delivered"),
            (self.doubled, "delivered twice"),
            (self.late, "more were not sent in time"),
        ];
        let others = others.into_iter().map(|(count, what)| (count, what.to_owned()));
        let told = refused.chain(others).filter(|(count, _)| *count > 0);
        told.map(|(count, what)| format!("{name}: {count} of {sent} {what}")).collect()
    }
}

/// The clients of a work; for calls and stanzas, those who ask whether the program is ready.
fn clients(work: Work, site: Site<'_>, program: &dyn Program) -> Result<Box<dyn Lane>, Error> {
    let uri = program.uri_of_xmpp_user();
    Ok(match work {
        Work::Register { .. } => Box::new(Phones::new(site.listen)?),
        Work::RelayCalls => Box::new(Uac::with_hops(site.listen, uri, 0)?),
        _ => Box::new(Uac::new(site.listen, uri)?),
    })
}

/// Waits until a program without work has forgotten every transaction.
pub(crate) fn until_forgotten(stop: &AtomicBool) -> Result<(), Error> {
    let start = Instant::now();
    while start.elapsed() < FORGOTTEN {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A loopback address whose UDP port nobody has.
pub(crate) fn free_port() -> Result<SocketAddr, Error> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?)
}
