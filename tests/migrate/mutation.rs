use std::fs;
use std::path::Path;

use sipjab::cli::migrate_text;
use sipjab::migrate::{Dialect, Options};

/// Enough to meet the habits of the grammar in some seconds; `SIPJAB_ROUNDS` and the fuzz target go on for longer.
const ROUNDS: u64 = 400;

/// What mutations are made of.
const PIECES: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "\"",
    "'",
    ";",
    "if (",
    "else",
    "route[",
    "]",
    "/*",
    "*/",
    "#!ifdef A\n",
    "#!endif\n",
    "$avp(",
    "$(ru{",
    "@",
    "!",
    "==",
    "=~",
    "&&",
    "||",
    "\n",
    "\\",
    "modparam(",
    "switch ($ru) {",
    "case 1:",
    "break;",
    "while (1)",
    "return(",
    "\u{1}",
    "é",
    "0x",
];

/// A stream of numbers that is the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % sides.max(1) as u64).unwrap_or(0)
    }
}

fn mutated(text: &str, dice: &mut Dice) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..=dice.roll(6) {
        let at = dice.roll(letters.len());
        match dice.roll(4) {
            0 => {
                let end = (at + dice.roll(40)).min(letters.len());
                letters.drain(at..end);
            }
            1 => {
                let end = (at + dice.roll(200)).min(letters.len());
                let copy: Vec<char> = letters[at..end].to_vec();
                let to = dice.roll(letters.len());
                letters.splice(to..to, copy);
            }
            _ => {
                let piece = PIECES[dice.roll(PIECES.len())];
                letters.splice(at..at, piece.chars());
            }
        }
    }
    letters.into_iter().collect()
}

#[test]
fn no_mutation_makes_it_panic_or_write_what_the_check_refuses() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrate/golden");
    let names = ["ser", "openser", "kamailio", "gateway", "jabber"];
    let seeds = names.map(|name| fs::read_to_string(folder.join(format!("{name}.cfg"))).unwrap());
    let mut dice = Dice(7);
    let rounds =
        std::env::var("SIPJAB_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    for round in 0..rounds {
        let text = mutated(&seeds[dice.roll(seeds.len())], &mut dice);
        let dialect = Dialect::names()[dice.roll(5)].parse().ok();
        let options = Options { dialect, ..Options::default() };
        match migrate_text("a.cfg", &text, &options) {
            Ok(made) => {
                let given_up = made.script.contains("The check refuses what the routes become");
                assert!(!given_up, "round {round}:\n{text}\n{}", made.script);
            }
            Err(reason) => assert!(!reason.contains("please report"), "round {round}:\n{text}"),
        }
    }
}
