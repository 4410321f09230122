//! `make demo`: a SIP phone (baresip) and an XMPP client (go-sendxmpp) talk through sipjab and
//! Prosody, on free loopback ports and in a temporary folder.
#![allow(clippy::disallowed_methods, reason = "real programs are waited for in real time")]

mod actor;
mod cast;
mod ladder;

use std::env;
use std::io;
use std::process::ExitCode;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

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
    let mut cast = Cast::enter()?;
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
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        signals.forever().next();
    }
    Ok(())
}
