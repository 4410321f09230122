//! A line between the program and a server that can be cut, frozen or slow.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::PATIENCE;

/// What one connection goes through.
struct Wire {
    near: TcpStream,
    far: TcpStream,
    is_frozen: Arc<AtomicBool>,
}

/// A line; what it has connected ends with it.
pub(crate) struct Line {
    /// Where to connect.
    pub(crate) port: u16,
    wires: Arc<Mutex<Vec<Wire>>>,
    /// What has gone to the server.
    said: Said,
}

type Said = Arc<(Mutex<Vec<u8>>, Condvar)>;

impl Line {
    /// A line to a port of this machine.
    pub(crate) fn to(server: u16) -> Self {
        Self::with(server, None)
    }

    /// One that carries so many bytes toward the server in so long a time.
    pub(crate) fn slow(server: u16, bytes: usize, time: Duration) -> Self {
        Self::with(server, Some((bytes, time)))
    }

    fn with(server: u16, pace: Option<(usize, Duration)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let wires = Arc::<Mutex<Vec<Wire>>>::default();
        let said = Said::default();
        let (kept, heard) = (wires.clone(), said.clone());
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let is_frozen = Arc::<AtomicBool>::default();
                carry(&near, &far, pace, &is_frozen, Some(heard.clone()));
                carry(&far, &near, None, &is_frozen, None);
                kept.lock().unwrap().push(Wire { near, far, is_frozen });
            }
        });
        Self { port, wires, said }
    }

    /// Waits until this has gone to the server, behind what is behind `mark`; gives the mark behind it.
    pub(crate) fn wait_for(&self, words: &str, mark: usize) -> usize {
        let deadline = Instant::now() + PATIENCE;
        let (said, grown) = &*self.said;
        let mut said = said.lock().unwrap();
        loop {
            let text = String::from_utf8_lossy(&said[mark..]).into_owned();
            if let Some(at) = text.find(words) {
                return mark + at + words.len();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {words} in {text}");
            said = grown.wait_timeout(said, left).unwrap().0;
        }
    }

    /// Ends every connection without a word to either side.
    pub(crate) fn cut(&self) {
        for wire in self.wires.lock().unwrap().drain(..) {
            let _ = wire.near.shutdown(Shutdown::Both);
            let _ = wire.far.shutdown(Shutdown::Both);
        }
    }

    /// Carries nothing more on the connections that there are, and neither side hears of it. New ones work.
    pub(crate) fn freeze(&self) {
        for wire in self.wires.lock().unwrap().iter() {
            wire.is_frozen.store(true, Ordering::Relaxed);
        }
    }
}

/// Carries bytes one way on a thread of its own.
fn carry(
    from: &TcpStream,
    to: &TcpStream,
    pace: Option<(usize, Duration)>,
    is_frozen: &Arc<AtomicBool>,
    heard: Option<Said>,
) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let is_frozen = is_frozen.clone();
    thread::spawn(move || {
        let mut buffer = vec![0; pace.map_or(16_384, |(bytes, _)| bytes)];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if is_frozen.load(Ordering::Relaxed) {
                continue;
            }
            if let Some(heard) = &heard {
                heard.0.lock().unwrap().extend_from_slice(&buffer[..length]);
                heard.1.notify_all();
            }
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
            if let Some((_, time)) = pace {
                // This is what makes it slow.
                thread::sleep(time);
            }
        }
        if !is_frozen.load(Ordering::Relaxed) {
            let _ = to.shutdown(Shutdown::Both);
        }
    });
}
