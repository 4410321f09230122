//! Any configuration: it becomes a script that the check takes, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipjab::migrate::{Dialect, Options};

fuzz_target!(|bytes: &[u8]| {
    let [which, rest @ ..] = bytes else { return };
    let names = Dialect::names();
    let dialect = names.get(usize::from(*which % 6)).and_then(|name| name.parse().ok());
    let options = Options { dialect, ..Options::default() };
    let text = String::from_utf8_lossy(rest);
    if let Ok(made) = sipjab::cli::migrate_text("a.cfg", &text, &options) {
        assert!(made.script.contains("fn request_route()"));
    }
});
