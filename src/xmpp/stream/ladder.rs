//! A stream of ours against a scripted server, written down as it goes: what happens, and what comes of it.

use std::time::{Duration, Instant};

use super::test_clock::start_of_time;

/// What a ladder needs of a stream.
pub(super) trait Rungs {
    /// Takes what the server sent.
    fn hear(&mut self, now: Instant, bytes: &[u8]);
    /// Closes the stream in order.
    fn close(&mut self, now: Instant);
    /// Learns that the connection is gone.
    fn lose(&mut self);
    /// Learns that its time has come.
    fn wake(&mut self, now: Instant);
    /// When that is.
    fn due(&self) -> Option<Instant>;
    /// What it sends.
    fn said(&mut self) -> Option<Vec<u8>>;
    /// What it reports, in a word or two.
    fn reported(&mut self) -> Option<String>;
    /// Bytes of either side, short enough for a ladder.
    fn describe(bytes: &[u8]) -> String;
}

/// A stream and what has happened on it.
pub(super) struct Ladder<S> {
    pub(super) stream: S,
    start: Instant,
    pub(super) now: Instant,
    pub(super) lines: Vec<String>,
    /// All that was sent.
    pub(super) sent: String,
}

impl<S: Rungs> Ladder<S> {
    /// A stream that is made at the start of time.
    pub(super) fn of(make: impl FnOnce(Instant) -> S) -> Self {
        let start = start_of_time();
        Self { stream: make(start), start, now: start, lines: Vec::new(), sent: String::new() }
    }

    pub(super) fn at(&mut self, millis: u64) -> &mut Self {
        self.now = self.start + Duration::from_millis(millis);
        self
    }

    pub(super) fn hears(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.hear(self.now, bytes.as_ref());
        self.note(format!("<-- {}", S::describe(bytes.as_ref())))
    }

    pub(super) fn loses_the_connection(&mut self) -> &mut Self {
        self.stream.lose();
        self.note("<-- EOF".into())
    }

    pub(super) fn closes(&mut self) -> &mut Self {
        self.stream.close(self.now);
        self.note("close".into())
    }

    /// Lets time pass until the stream has nothing to wait for, or until `millis`.
    pub(super) fn waits(&mut self, millis: u64) -> &mut Self {
        let until = self.start + Duration::from_millis(millis);
        while let Some(due) = self.stream.due().filter(|due| *due <= until) {
            self.now = due;
            self.stream.wake(due);
            self.note("timeout".into());
        }
        self.now = until;
        self
    }

    /// Writes down what has just happened and what came of it.
    pub(super) fn note(&mut self, cause: String) -> &mut Self {
        let mut results = vec![cause];
        while let Some(bytes) = self.stream.said() {
            results.push(format!("--> {}", S::describe(&bytes)));
            self.sent.push_str(std::str::from_utf8(&bytes).unwrap());
        }
        while let Some(words) = self.stream.reported() {
            results.push(words);
        }
        let millis = self.now.duration_since(self.start).as_millis();
        self.lines.push(format!("{millis} ms {}", results.join(" ")));
        self
    }

    #[track_caller]
    pub(super) fn reads(&self, expected: &str) {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let happened = self.lines.join("\n");
        assert!(words(expected) == words(&happened), "what happened:\n{happened}");
    }
}
