use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sipjab::cli::migrate;
use sipjab::migrate::Options;

/// Configurations that the projects shipped; beside the clone, not in it.
fn corpus() -> Vec<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let folder = std::env::var_os("SIPJAB_CORPUS").map_or(beside, PathBuf::from);
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "cfg"));
    files.sort();
    files
}

/// Groups by a word in the name, with the share of calls in percent that is wanted; what a later version has counts.
const GROUPS: &[(&str, &[&str], usize)] = &[
    ("jabber and xmpp", &["jabber", "xmpp"], 99),
    ("rooms, stored messages, presence", &["imc", "msilo", "presence"], 80),
    ("defaults", &["default", "basic"], 90),
];

fn group(name: &str) -> &'static str {
    let of = |words: &&(&str, &[&str], usize)| words.1.iter().any(|word| name.contains(word));
    GROUPS.iter().find(of).map_or("others", |(group, ..)| group)
}

#[test]
fn every_file_of_the_corpus_becomes_a_sound_script() {
    let only = std::env::var("SIPJAB_ONLY").unwrap_or_default();
    let mut sums: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
    for file in corpus() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        if !name.contains(&only) {
            continue;
        }
        let made =
            migrate(&file, &Options::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("route.rhai"), &made.script).unwrap();
        std::fs::write(folder.path().join("sipjab.toml"), &made.config).unwrap();
        std::fs::write(folder.path().join("sipjab.env"), &made.environment).unwrap();
        if let Some(keep) = std::env::var_os("SIPJAB_KEEP") {
            let keep = PathBuf::from(keep).join(&name);
            std::fs::create_dir_all(&keep).unwrap();
            for (file, text) in [
                ("route.rhai", &made.script),
                ("sipjab.toml", &made.config),
                ("sipjab.env", &made.environment),
                ("MIGRATION.md", &made.report.markdown()),
            ] {
                std::fs::write(keep.join(file), text).unwrap();
            }
        }
        let counts = made.report.counts;
        println!(
            "{name}: {:?} {}/{} calls, {} not yet, {:?}",
            made.report.dialect,
            counts.translated,
            counts.calls,
            counts.not_yet,
            made.report.by_code()
        );
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_sipjab"))
            .args(["check", "-c", "sipjab.toml"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}{errors}");
        let sum = sums.entry(group(&name)).or_default();
        sum.0 += counts.calls;
        sum.1 += counts.translated;
        sum.2 += counts.not_yet;
    }
    for (group, (calls, translated, not_yet)) in &sums {
        println!("{group}: {translated} of {calls} calls, {not_yet} not yet");
        let wanted = GROUPS.iter().find(|(name, ..)| name == group).map_or(0, |(.., share)| *share);
        assert!((translated + not_yet) * 100 >= calls * wanted, "{group}");
    }
}
