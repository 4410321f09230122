use std::fs;
use std::path::{Path, PathBuf};

use sipjab::cli::migrate;
use sipjab::migrate::Options;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrate/golden")
}

/// With `SIPJAB_GOLDEN=write` the files are written anew, to be looked at before they are committed.
#[test]
fn small_configurations_become_what_they_became() {
    let is_writing = std::env::var("SIPJAB_GOLDEN").is_ok_and(|value| value == "write");
    let mut count = 0;
    for entry in folder().read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "cfg") {
            continue;
        }
        count += 1;
        let made = migrate(&path, &Options::default()).unwrap();
        for (extension, text) in [
            ("rhai", made.script.clone()),
            ("toml", made.config.clone()),
            ("md", made.report.markdown()),
        ] {
            let golden = path.with_extension(extension);
            if is_writing {
                fs::write(&golden, &text).unwrap();
            }
            let expected = fs::read_to_string(&golden).unwrap_or_default();
            assert_eq!(text, expected, "{}: SIPJAB_GOLDEN=write accepts it", golden.display());
        }
    }
    assert!(count >= 5);
}
