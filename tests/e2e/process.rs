//! A child process in a group of its own, whose every line is kept and which never outlives its test.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// How long anything on loopback may take before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// What a process prints is waited for so long: on a busy machine servers take their time to start.
const STARTING: Duration = Duration::from_secs(60);

/// A program of a Debian package: its full path, or a failure that names the package.
pub(crate) fn find(program: &str, package: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/bin", "/usr/sbin", "/bin", "/sbin"]);
    folders
        .map(|folder| Path::new(folder).join(program))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{program} is missing: make deps, or apt-get install {package}"))
}

/// The one folder that matches `/usr/lib/<architecture>/<prefix>*`, for packages that hide there.
pub(crate) fn find_library(prefix: &str, package: &str) -> PathBuf {
    let below = |folder: PathBuf| folder.read_dir().into_iter().flatten().flatten();
    below(PathBuf::from("/usr/lib"))
        .flat_map(|architecture| below(architecture.path()))
        .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .unwrap_or_else(|| panic!("{prefix} is missing: make deps, or apt-get install {package}"))
        .path()
}

/// A running child.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: Arc<Log>,
}

/// What a child has printed so far, standard output and error together.
#[derive(Default)]
struct Log {
    state: Mutex<State>,
    grown: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: usize,
}

impl Process {
    /// Starts `command`; the kernel kills it should the test thread die without cleaning up.
    pub(crate) fn start(name: &str, command: &Command) -> Self {
        let mut leashed = Command::new("setpriv");
        leashed.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            leashed.env(key, value.unwrap_or_default());
        }
        if let Some(folder) = command.get_current_dir() {
            leashed.current_dir(folder);
        }
        leashed.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = leashed.process_group(0).spawn().expect("setpriv is in every Debian");
        let log = Arc::new(Log::default());
        keep_lines(child.stdout.take().expect("piped"), log.clone());
        keep_lines(child.stderr.take().expect("piped"), log.clone());
        Self { name: name.into(), child, log }
    }

    /// How many lines there are: a mark for [`Self::wait_for_after`].
    pub(crate) fn mark(&self) -> usize {
        self.log.state.lock().unwrap().lines.len()
    }

    /// Every line so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.state.lock().unwrap().lines.clone()
    }

    /// Waits until so many lines have `words` in them.
    pub(crate) fn wait_for_count(&self, words: &str, count: usize, patience: Duration) {
        let found = Cell::new(0);
        let wanted = |line: &str| {
            found.set(found.get() + usize::from(line.contains(words)));
            found.get() == count
        };
        let last = self.wait_for_after(0, patience, wanted);
        assert!(last.is_some(), "{} of {count} lines with `{words}`", found.get());
    }

    /// The first line with `words` in it, waited for.
    pub(crate) fn wait_for(&self, words: &str) -> String {
        self.wait_for_after(0, STARTING, |line| line.contains(words)).unwrap_or_else(|| {
            panic!("{} did not print `{words}`:\n{}", self.name, self.lines().join("\n"))
        })
    }

    /// The first line after `mark` that `wanted` accepts; `None` when time or the process ends.
    pub(crate) fn wait_for_after(
        &self,
        mark: usize,
        patience: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let deadline = Instant::now() + patience;
        let mut state = self.log.state.lock().unwrap();
        let mut seen = mark;
        loop {
            if let Some(line) = state.lines[seen..].iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            seen = state.lines.len();
            let left = deadline.checked_duration_since(Instant::now())?;
            if state.ended == 2 {
                return None;
            }
            state = self.log.grown.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Sends one signal to the process itself.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the child is not yet reaped");
    }

    /// The exit status, waited for until `patience` ends.
    pub(crate) fn exit(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        let mut state = self.log.state.lock().unwrap();
        while state.ended < 2 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} is still running:\n{}", self.name, state.lines.join("\n"));
            state = self.log.grown.wait_timeout(state, left).unwrap().0;
        }
        drop(state);
        self.child.wait().expect("the child is ours")
    }

    /// The process number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
        if thread::panicking() {
            let lines = self.lines();
            let tail = &lines[lines.len().saturating_sub(40)..];
            eprintln!("── last words of {} ──\n{}", self.name, tail.join("\n"));
        }
    }
}

fn keep_lines(pipe: impl Read + Send + 'static, log: Arc<Log>) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            log.state.lock().unwrap().lines.push(text);
            log.grown.notify_all();
            line.clear();
        }
        log.state.lock().unwrap().ended += 1;
        log.grown.notify_all();
    });
}
