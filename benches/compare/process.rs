//! A program under measurement with all its descendants: started, weighed and ended.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

use crate::error::Error;

/// Linux tells the processor time of ended processes in this many ticks a second on every architecture.
const TICKS: u64 = 100;
/// How long a program may take to end when asked to.
const FAREWELL: Duration = Duration::from_secs(5);
/// How much of a failed program's log is shown.
const LOG_LINES: usize = 15;

/// A running program; it ends, with its descendants, when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in `folder`, where its output goes to a file.
    pub(crate) fn start(mut command: Command, folder: &Path) -> io::Result<Self> {
        let log = folder.join("output.log");
        let output = File::create(&log)?;
        command.current_dir(folder).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output).process_group(0);
        Ok(Self { child: command.spawn()?, log })
    }

    /// Fails when the program has ended by itself.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(Error::Ended { status, log: self.log_end() }),
        }
    }

    /// How the program has ended, if it has.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Whether the program has printed this.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        let log = fs::read(&self.log).unwrap_or_default();
        memchr::memmem::find(&log, text.as_bytes()).is_some()
    }

    /// The last lines of what the program printed.
    pub(crate) fn log_end(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// The processor time that all its processes have used, user and system.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        Ok(self.tree()?.iter().map(Stat::cpu).sum())
    }

    /// The memory that it occupies, in bytes; pages shared by its processes count once.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        let mut kilobytes = 0;
        for stat in self.tree()? {
            let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", stat.pid))?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
            kilobytes += line
                .and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok())
                .ok_or_else(|| io::Error::other("smaps_rollup without Pss"))?;
        }
        Ok(kilobytes * 1024)
    }

    /// The program's process and its descendants.
    fn tree(&self) -> io::Result<Vec<Stat>> {
        let mut others: Vec<Stat> = fs::read_dir("/proc")?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Stat::read)
            .collect();
        let mut tree: Vec<Stat> =
            others.extract_if(.., |stat| stat.pid == self.child.id()).collect();
        let mut next = 0;
        while let Some(parent) = tree.get(next).map(|stat| stat.pid) {
            tree.extend(others.extract_if(.., |stat| stat.parent == parent));
            next += 1;
        }
        Ok(tree)
    }

    fn signal(&self, signal: Signal) {
        let _ended_already = killpg(Pid::from_raw(self.child.id() as i32), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGTERM);
        let limit = Instant::now() + FAREWELL;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.signal(Signal::SIGKILL);
        let _ended_already = self.child.wait();
        // Gigabytes are given back when the last of them ends, at the cost of whoever is measured meanwhile.
        let group = Pid::from_raw(self.child.id() as i32);
        while killpg(group, None).is_ok() && Instant::now() < limit + FAREWELL {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What is needed of `/proc/PID/stat`.
#[derive(Debug)]
struct Stat {
    pid: u32,
    parent: u32,
    /// `cutime` and `cstime`: the processor time of descendants that ended.
    ended: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // the name stands in parentheses and may hold anything
        let fields: Vec<_> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
        let ended = fields.get(13..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
        Some(Self { pid, parent: fields[1].parse().ok()?, ended })
    }

    /// The processor time of the process, to the nanosecond, and of its descendants that ended; nothing when it has
    /// ended meanwhile.
    fn cpu(&self) -> Duration {
        let clock = clock_getcpuclockid(Pid::from_raw(self.pid as i32));
        let own = clock.and_then(ClockId::now).map_or(Duration::ZERO, Duration::from);
        own + Duration::from_millis(self.ended * 1000 / TICKS)
    }
}
