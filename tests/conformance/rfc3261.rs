//! RFC 3261 §16 and §17: every MUST that binds a proxy and its transactions, with RFC 4320, RFC 5393 and RFC 6026.
//!
//! `rfc3261/README.md` is the table of them. What only the running program shows is played in `tests/e2e/rfc3261`.

mod clockwork;
mod rfc5393;
mod s16_3;
mod s16_6;
mod s16_7;
mod s17_1_1;
mod s17_1_2;
mod s17_2_1;
mod s17_2_2;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The words that a row may have in the place of a test.
const WITHOUT_TEST: &[&str] = &["script: ", "replaced: RFC ", "below", "above", "not ours: "];

/// One demand of the table.
struct Row {
    section: String,
    shown_by: String,
}

impl Row {
    /// The tests in the last column.
    fn tests(&self) -> impl Iterator<Item = &str> {
        let is_test = |word: &&str| word.starts_with("s1") || word.starts_with("rfc");
        self.shown_by.split('`').skip(1).step_by(2).filter(is_test)
    }

    /// What the names of its tests begin with.
    fn prefix(&self) -> String {
        match self.section.strip_prefix("RFC ") {
            Some(section) => format!("rfc{}_", section.replace([' ', '.'], "_")),
            None => format!("s{}_", self.section.replace(" step ", "_").replace('.', "_")),
        }
    }
}

fn rows() -> Vec<Row> {
    let table = include_str!("rfc3261/README.md");
    let lines = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| § |"));
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{line}");
        Row { section: cells[0].to_owned(), shown_by: cells[2].to_owned() }
    };
    lines.map(row).collect()
}

/// Every test of the two folders.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["tests/conformance/rfc3261", "tests/e2e/rfc3261"] {
        for entry in Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                found.extend(tests_of(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

fn tests_of(text: &str) -> Vec<String> {
    let parts = text.split("#[test]\n").skip(1);
    let test = |part: &str| {
        let (attributes, rest) = part.split_once("fn ").unwrap();
        assert!(attributes.is_empty(), "no test is ignored: {part}");
        rest.split('(').next().unwrap().to_owned()
    };
    parts.map(test).collect()
}

/// Each row has a test or says why not; each test has one row.
#[test]
fn the_table_and_the_tests_agree() {
    let mut tests = tests();
    for row in rows() {
        let mut count = 0;
        for name in row.tests() {
            assert!(tests.remove(name), "no test `{name}`, or twice");
            assert!(name.starts_with(&row.prefix()), "{name} stands in §{}", row.section);
            count += 1;
        }
        let says_why = WITHOUT_TEST.iter().any(|words| row.shown_by.starts_with(words));
        assert_ne!(count > 0, says_why, "§{}: {}", row.section, row.shown_by);
    }
    assert!(tests.is_empty(), "not in the table: {tests:?}");
}
