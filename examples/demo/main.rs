//! `make demo`: a SIP phone (baresip) and an XMPP client (go-sendxmpp) talk through sipjab and
//! Prosody, on free loopback ports and in a temporary folder.
#![allow(clippy::disallowed_methods, reason = "real programs are waited for in real time")]

mod actor;
mod cast;
mod ladder;

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

use cast::Cast;
use ladder::Ladder;

/// What is said, and by whom.
const PLAY: [Line; 4] = [
    Line::FromSip("Hello Alice, this is a plain SIP phone."),
    Line::FromXmpp("Hello phone! I am on XMPP. Does <b>this & that</b> survive?"),
    Line::FromSip("Letter by letter: <b>this & that</b> – and 🎉 too"),
    Line::FromXmpp("So do שלום and 漢字. See you!"),
];

enum Line {
    FromSip(&'static str),
    FromXmpp(&'static str),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let folder = TempDir::with_prefix("sipjab-demo-")?;
    end_on_interrupt(folder.path().to_owned())?;
    let mut cast = Cast::enter(folder.path())?;
    let ladder = Ladder::begin(cast::PHONE, "baresip", cast::ALICE, "go-sendxmpp");
    for line in PLAY {
        match line {
            Line::FromSip(text) => ladder.rightward(text, &cast.phone_to_alice(text)?),
            Line::FromXmpp(text) => ladder.leftward(&cast.alice_to_phone(text)?, text),
        }
    }
    let is_kept = env::var("KEEP").is_ok_and(|keep| !keep.is_empty() && keep != "0");
    cast.explain(is_kept);
    if is_kept {
        cast.dismiss_phone();
        loop {
            thread::park();
        }
    }
    Ok(())
}

/// Ctrl-C takes the folder away; the programs end with this one.
fn end_on_interrupt(folder: PathBuf) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        signals.forever().next();
        let _leaves_at_worst_a_folder = fs::remove_dir_all(folder);
        process::exit(0);
    });
    Ok(())
}
