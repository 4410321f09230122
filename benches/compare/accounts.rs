//! Many Jabber accounts online at once: what each costs in memory, how long all take to be there, and whether a message
//! costs more among them than among a few.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rusqlite::Connection;

use crate::c2s_server::C2sServer;
use crate::c2s_session::{PASSWORD, account_name};
use crate::case::{Case, Work};
use crate::error::Error;
use crate::lane::{Answer, Lane};
use crate::load::{Load, Pace};
use crate::measure::{Bench, Phase, Sample, WARM_UP, free_port, until_forgotten, wait_arrivals};
use crate::process::Process;
use crate::program::{Program, Purpose, Site};
use crate::sip_sink::SipSink;
use crate::template::{ACCOUNT, TOKEN, Template, Token, body};
use crate::uac::Uac;

/// The accounts that all are compared with.
const FEW: u32 = 10;
/// Messages per second.
const RATE: u32 = 1_000;
/// Whom SIP users write to.
const RECIPIENT: &str = "sip:bob*xmpp.example@jabber.sip.example";
/// How long one account may take to be online, beside the others.
const LOGIN: Duration = Duration::from_millis(100);
/// How long the first may take.
const STARTUP: Duration = Duration::from_secs(60);
/// After it, what a login has needed is given back.
const SETTLED: Duration = Duration::from_secs(12);
/// Files that the benchmark needs beside one for each account.
const OTHER_FILES: u64 = 100;

/// A few accounts, and all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Crowd {
    pub(crate) few: Figures,
    pub(crate) all: Figures,
}

/// What so many accounts cost.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figures {
    accounts: u32,
    /// From the start of the program until the last one is online.
    online: Duration,
    /// The processor time of that.
    login: Duration,
    /// Bytes, before the first message and after the last.
    idle: u64,
    used: u64,
    /// Processor time per message in µs.
    pub(crate) to_xmpp: f64,
    pub(crate) from_xmpp: f64,
}

impl Crowd {
    pub(crate) fn kb_per_account(&self) -> f64 {
        self.per_account(|figures| figures.idle as f64) / 1e3
    }

    pub(crate) fn kb_per_account_used(&self) -> f64 {
        self.per_account(|figures| figures.used as f64) / 1e3
    }

    pub(crate) fn seconds_online(&self) -> f64 {
        self.all.online.as_secs_f64()
    }

    pub(crate) fn cpu_ms_per_login(&self) -> f64 {
        self.per_account(|figures| figures.login.as_secs_f64()) * 1e3
    }

    fn per_account(&self, of: impl Fn(&Figures) -> f64) -> f64 {
        (of(&self.all) - of(&self.few)) / f64::from(self.all.accounts - self.few.accounts)
    }
}

/// Measures a few accounts, then as many as the options say, each with a program of its own.
pub(crate) fn measure(
    bench: &Bench<'_>,
    program: &dyn Program,
    case: &Case,
) -> Result<Sample, Error> {
    let count = bench.options.accounts;
    make_room(u64::from(count))?;
    let mut faults = Vec::new();
    let few = measure_so_many(bench, program, case, FEW, &mut faults)?;
    let all = measure_so_many(bench, program, case, count, &mut faults)?;
    Ok(Sample { crowd: Some(Crowd { few, all }), faults, ..Sample::default() })
}

fn measure_so_many(
    bench: &Bench<'_>,
    program: &dyn Program,
    case: &Case,
    accounts: u32,
    faults: &mut Vec<String>,
) -> Result<Figures, Error> {
    let folder = tempfile::tempdir()?;
    let server = C2sServer::start()?;
    let mut sink = SipSink::new()?;
    let site = Site {
        purpose: Purpose::Memory,
        folder: folder.path(),
        listen: free_port()?,
        xmpp: server.address(),
        outbound: sink.address()?,
        database: None,
    };
    fs::write(folder.path().join("ca.pem"), server.authority())?;
    write_users(&folder.path().join("sipjab.db"), accounts).map_err(std::io::Error::other)?;
    let command = program.prepare(case, site)?;
    let start = Instant::now();
    let mut process = Process::start(command, folder.path())?;
    wait_online(bench, &mut process, &server, accounts)?;
    let (online, login) = (start.elapsed(), process.cpu()?);
    std::thread::sleep(SETTLED);
    let idle = process.memory()?;
    let mut uac = Uac::with_accounts(site.listen, RECIPIENT, accounts)?;
    let mut run = Run { bench, process: &mut process, server: &server, accounts, faults };
    let to_xmpp = run.phase(1, "to XMPP", Work::MessageToXmpp, &mut uac)?;
    let mut stanzas = AccountLane::new(&server, &mut sink, accounts);
    let from_xmpp = run.phase(3, "from XMPP", Work::XmppToMessage, &mut stanzas)?;
    until_forgotten(&bench.stop)?;
    let used = process.memory()?;
    process.check()?;
    Ok(Figures { accounts, online, login, idle, used, to_xmpp, from_xmpp })
}

/// The table of users, as SER's manual makes it.
fn write_users(file: &Path, accounts: u32) -> rusqlite::Result<()> {
    let mut database = Connection::open(file)?;
    database.execute_batch(
        "CREATE TABLE jusers (juid INTEGER PRIMARY KEY, jab_id VARCHAR(128) NOT NULL,
         jab_passwd VARCHAR(50), sip_id VARCHAR(128) NOT NULL, type INT NOT NULL DEFAULT 0);
         CREATE INDEX jusers_sip_id ON jusers (sip_id);",
    )?;
    let all = database.transaction()?;
    for name in (0..accounts).map(account_name) {
        let sip_id = format!("sip:{name}@sip.example");
        let insert = "INSERT INTO jusers (jab_id, jab_passwd, sip_id) VALUES (?, ?, ?)";
        all.execute(insert, [&name, PASSWORD, &sip_id])?;
    }
    all.commit()
}

/// Lets this process and those that it starts have as many connections.
fn make_room(accounts: u64) -> Result<(), Error> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(std::io::Error::from)?;
    let needed = accounts + OTHER_FILES;
    if most < needed {
        return Err(Error::Files { most, needed });
    }
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(std::io::Error::from)?)
}

fn wait_online(
    bench: &Bench<'_>,
    process: &mut Process,
    server: &C2sServer,
    accounts: u32,
) -> Result<(), Error> {
    let limit = STARTUP + LOGIN * accounts;
    let start = Instant::now();
    while server.accounts.online() < accounts {
        process.check()?;
        if bench.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        if start.elapsed() > limit {
            let (online, log) = (server.accounts.online(), process.log_end());
            return Err(Error::Offline { online, accounts, log });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// A program whose accounts are online.
struct Run<'a> {
    bench: &'a Bench<'a>,
    process: &'a mut Process,
    server: &'a C2sServer,
    accounts: u32,
    faults: &'a mut Vec<String>,
}

impl Run<'_> {
    /// The processor time per message, in µs; each account has had one before.
    fn phase(
        &mut self,
        number: u16,
        name: &str,
        work: Work,
        lane: &mut dyn Lane,
    ) -> Result<f64, Error> {
        let pace = Pace::Open { per_second: RATE };
        let each = Duration::from_secs_f64(f64::from(self.accounts) / f64::from(RATE));
        let stop = &self.bench.stop;
        Load { phase: number, pace, length: each.max(WARM_UP), stop }.run(lane)?;
        self.server.accounts.begin(number + 1);
        let before = self.process.cpu()?;
        let length = self.bench.options.phase;
        let tally = Load { phase: number + 1, pace, length, stop }.run(lane)?;
        let (missing, doubled) = match work {
            Work::MessageToXmpp => {
                wait_arrivals(|| self.server.accounts.arrivals(), tally.answered - tally.refused())
            }
            _ => (0, 0),
        };
        let cpu = self.process.cpu()?.saturating_sub(before);
        let late = pace.behind(length, &tally);
        let phase = Phase { tally, missing, doubled, late, cpu };
        self.faults.extend(phase.faults(&format!("{name}, {} online", self.accounts)));
        Ok(phase.cpu_per_message().unwrap_or(f64::NAN))
    }
}

/// The way from XMPP to SIP: a stanza goes to one account after the other, and out as a MESSAGE at the sink.
struct AccountLane<'a> {
    server: &'a C2sServer,
    sink: &'a mut SipSink,
    stanza: Template,
    accounts: u32,
}

impl<'a> AccountLane<'a> {
    fn new(server: &'a C2sServer, sink: &'a mut SipSink, accounts: u32) -> Self {
        let text = format!(
            "<message type='chat' id='{TOKEN}' from='bob@xmpp.example/bench' \
             to='user{ACCOUNT}@xmpp.example'><body>{}</body></message>",
            body()
        );
        Self { server, sink, stanza: Template::with_accounts(&text, accounts), accounts }
    }
}

impl Lane for AccountLane<'_> {
    fn send(&mut self, token: Token) -> std::io::Result<()> {
        let stanza = self.stanza.stamp(token).to_vec();
        self.server.accounts.send(token.sequence % self.accounts, stanza)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, wait: Duration, answers: &mut Vec<Answer>) -> std::io::Result<()> {
        self.sink.serve(wait, answers)
    }
}
