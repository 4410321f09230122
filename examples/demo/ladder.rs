//! The conversation as a ladder: SIP on the left, XMPP on the right.

use std::io::{self, IsTerminal};

/// What stands between the two sides; the arrow's head replaces its first or last character.
const SHAFT: &str = "──────────────── sipjab ────────────────";

/// A ladder whose head is printed.
pub(crate) struct Ladder {
    is_coloured: bool,
    gap: String,
}

impl Ladder {
    /// Prints who stands where.
    pub(crate) fn begin(left: &str, left_program: &str, right: &str, right_program: &str) -> Self {
        let gap = " ".repeat(SHAFT.chars().count());
        let ladder = Self { is_coloured: io::stdout().is_terminal(), gap };
        let width = ladder.gap.len() + 2;
        println!("\n  {}{}", ladder.left(&format!("{:width$}", "SIP")), ladder.right("XMPP"));
        println!("  {left:width$}{right}\n  {left_program:width$}{right_program}\n");
        ladder
    }

    /// A message that the SIP side wrote, and what the XMPP side showed of it.
    pub(crate) fn rightward(&self, said: &str, heard: &str) {
        let shaft = SHAFT.strip_suffix('─').unwrap_or(SHAFT);
        println!("  │ {}", self.left(said));
        println!("  ├{shaft}▶│ {}\n", self.right(heard));
    }

    /// A message that the XMPP side wrote, and what the SIP side showed of it.
    pub(crate) fn leftward(&self, heard: &str, said: &str) {
        let shaft = SHAFT.strip_prefix('─').unwrap_or(SHAFT);
        println!("   {}│ {}", self.gap, self.right(said));
        println!("  │◀{shaft}┤\n  │ {}\n", self.left(heard));
    }

    fn left(&self, text: &str) -> String {
        self.paint("36", text)
    }

    fn right(&self, text: &str) -> String {
        self.paint("35", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
