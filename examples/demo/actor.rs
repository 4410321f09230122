//! A program of the demo, its lines as they come; it ends when the demo does, however that ends.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How long a program may take for anything.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many lines a failure shows.
const LAST_WORDS: usize = 20;

/// A running program.
pub(crate) struct Actor {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
    last: VecDeque<String>,
}

impl Actor {
    /// Starts a program in a process group of its own.
    pub(crate) fn enter<S: AsRef<str>>(name: &'static str, command: &[S]) -> io::Result<Self> {
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "stdbuf", "-oL"])
            .args(command.iter().map(AsRef::as_ref))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let (sender, lines) = channel();
        read_lines(child.stdout.take().expect("piped"), sender.clone());
        read_lines(child.stderr.take().expect("piped"), sender);
        Ok(Self { name, child, lines, last: VecDeque::new() })
    }

    /// The next line with `words` in it.
    pub(crate) fn hear(&mut self, words: &str) -> io::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                return Err(io::Error::other(self.failure(words)));
            };
            if line.contains(words) {
                return Ok(line);
            }
            if self.last.len() == LAST_WORDS {
                self.last.pop_front();
            }
            self.last.push_back(line);
        }
    }

    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.child.stdin.as_ref().expect("piped"), "{line}")
    }

    /// Types a text, ends the input and waits until the program is done.
    pub(crate) fn say_and_leave(mut self, text: &str) -> io::Result<()> {
        drop(self.child.stdin.take().map(|mut input| input.write_all(text.as_bytes())));
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(self.failure("no error"))) }
    }

    fn failure(&mut self, words: &str) -> String {
        self.last.extend(self.lines.try_iter());
        let last = self.last.make_contiguous().join("\n  ");
        format!("{} did not say `{words}`. Its last words:\n  {last}", self.name)
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id().cast_signed());
        let _may_have_ended = killpg(group, Signal::SIGKILL);
        let _may_be_reaped = self.child.wait();
    }
}

fn read_lines(pipe: impl Read + Send + 'static, sender: Sender<String>) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
}
