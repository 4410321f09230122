//! One program doing one case: started, warmed up, measured in phases, ended.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::case::{Case, Work};
use crate::error::Error;
use crate::lane::Lane;
use crate::load::{Load, Pace};
use crate::options::Options;
use crate::process::Process;
use crate::program::{Program, Site};
use crate::sip_sink::SipSink;
use crate::stanza_lane::StanzaLane;
use crate::tally::Tally;
use crate::template::Token;
use crate::uac::Uac;
use crate::xmpp_server::XmppServer;

/// How long a program may take until it answers, connected to its XMPP server.
const STARTUP: Duration = Duration::from_secs(15);
/// How long nothing may arrive until what is missing counts as lost.
const QUIET: Duration = Duration::from_secs(2);
/// The load of the latency phase, messages per second.
const LIGHT: u32 = 1_000;
/// The load of the open-loop phase, messages per second.
const HEAVY: u32 = 10_000;

/// What one run of one case cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Processor time per message in µs, as many in flight as [`Options::in_flight`] says.
    pub(crate) cpu_saturation: f64,
    /// Processor time per message in µs at 10,000 messages per second.
    pub(crate) cpu_heavy: f64,
    /// Messages per second at saturation.
    pub(crate) rate: f64,
    /// 99th percentile of the latency in ms at 1,000 messages per second.
    pub(crate) p99: f64,
    /// Memory in MB after saturation.
    pub(crate) memory: f64,
    /// What was lost, refused or doubled, and in which phase.
    pub(crate) faults: Vec<String>,
}

/// Runs measurements.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) options: &'a Options,
}

/// The messages of one phase and their cost.
struct Phase {
    tally: Tally,
    /// Messages accepted with 2xx that did not arrive at the XMPP server.
    missing: u32,
    /// Messages that arrived there twice.
    doubled: u32,
    cpu: Duration,
}

impl Bench<'_> {
    /// Measures `program` doing `case`, in processes and folders of its own.
    pub(crate) fn measure(&self, program: &dyn Program, case: &Case) -> Result<Sample, Error> {
        let folder = tempfile::tempdir()?;
        let xmpp = XmppServer::start()?;
        let mut sink = SipSink::new()?;
        let listen = free_port()?;
        let site =
            Site { folder: folder.path(), listen, xmpp: xmpp.address(), outbound: sink.address()? };
        let mut process = Process::start(program.prepare(case, site)?, folder.path())?;
        let mut uac = Uac::new(listen, program.uri_of_xmpp_user())?;
        self.wait_ready(case, &mut process, &mut uac, &xmpp)?;
        let mut stanzas = StanzaLane::new(&xmpp, &mut sink, program.jid_of_sip_user());
        let lane: &mut dyn Lane = match case.work {
            Work::XmppToMessage => &mut stanzas,
            _ => &mut uac,
        };
        let sample = self.phases(case, &mut process, lane, &xmpp);
        process.check()?;
        sample
    }

    /// Waits until the program answers a request and, for a gateway, has reached its XMPP server.
    fn wait_ready(
        &self,
        case: &Case,
        process: &mut Process,
        uac: &mut Uac,
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
            uac.send(Token { phase: 0, sequence })?;
            uac.receive(Duration::from_millis(50), &mut answers)?;
            if !answers.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn phases(
        &self,
        case: &Case,
        process: &mut Process,
        lane: &mut dyn Lane,
        xmpp: &XmppServer,
    ) -> Result<Sample, Error> {
        let mut sample = Sample::default();
        let saturation = Pace::Closed { in_flight: self.options.in_flight };
        let mut run = |phase, pace, length, name: &str| {
            let load = Load { phase, pace, length, stop: &self.stop };
            let phase = run_phase(load, case, process, lane, xmpp)?;
            let faults = phase.faults(pace, length);
            sample.faults.extend(faults.into_iter().map(|fault| format!("{name}: {fault}")));
            Ok::<_, Error>(phase)
        };
        let length = self.options.phase;
        run(1, saturation, length.min(Duration::from_secs(1)), "warm-up")?;
        let light = run(2, Pace::Open { per_second: LIGHT }, length, "1,000/s")?;
        let heavy = run(3, Pace::Open { per_second: HEAVY }, length, "10,000/s")?;
        let full = run(4, saturation, length, "saturation")?;
        sample.p99 = light.tally.p99().map_or(f64::NAN, |p99| p99.as_secs_f64() * 1e3);
        sample.cpu_heavy = heavy.cpu_per_message();
        sample.cpu_saturation = full.cpu_per_message();
        sample.rate = full.tally.rate();
        sample.memory = process.memory()? as f64 / 1e6;
        Ok(sample)
    }
}

fn run_phase(
    load: Load<'_>,
    case: &Case,
    process: &mut Process,
    lane: &mut dyn Lane,
    xmpp: &XmppServer,
) -> Result<Phase, Error> {
    process.check()?;
    xmpp.begin(load.phase);
    let before = process.cpu()?;
    let tally = load.run(lane)?;
    let (missing, doubled) = match case.work {
        Work::MessageToXmpp => wait_arrivals(xmpp, tally.answered - tally.refused()),
        _ => (0, 0),
    };
    Ok(Phase { tally, missing, doubled, cpu: process.cpu()?.saturating_sub(before) })
}

/// Waits for `expected` messages at the XMPP server; how many are missing, how many came twice.
fn wait_arrivals(xmpp: &XmppServer, expected: u32) -> (u32, u32) {
    let mut last = (0, Instant::now());
    loop {
        let (arrived, doubled) = xmpp.arrivals();
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
    fn cpu_per_message(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(self.tally.answered)
    }

    fn faults(&self, pace: Pace, length: Duration) -> Vec<String> {
        let tally = &self.tally;
        let refused = tally.codes.range(300..).map(|(code, count)| (*count, code.to_string()));
        let mut counts = vec![(tally.lost(), "without an answer".to_owned())];
        counts.extend(refused.map(|(count, code)| (count, format!("answered {code}"))));
        counts.push((tally.duplicates, "answered twice".to_owned()));
        counts.push((self.missing, "accepted and not delivered".to_owned()));
        counts.push((self.doubled, "delivered twice".to_owned()));
        if let Pace::Open { per_second } = pace {
            let planned = (f64::from(per_second) * length.as_secs_f64()) as u32;
            let behind = planned.saturating_sub(tally.sent());
            counts
                .push((if behind > planned / 100 { behind } else { 0 }, "not sent in time".into()));
        }
        let sent = tally.sent();
        let told = counts.into_iter().filter(|(count, _)| *count > 0);
        told.map(|(count, what)| format!("{count} of {sent} {what}")).collect()
    }
}

fn free_port() -> Result<SocketAddr, Error> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?)
}
