//! Any configuration: it becomes a script, or is refused. One of many is checked and mended like a user's.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sipjab::migrate::{Dialect, Functions, Migration, Options, Server};
use sipjab::modules;

static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
    let exports = modules::load(&Default::default(), &Default::default());
    let catalogue = exports.expect("defaults are in range").catalogue();
    Functions::new(catalogue.names().map(str::to_owned))
});

fuzz_target!(|bytes: &[u8]| {
    let [which, rest @ ..] = bytes else { return };
    let names = Dialect::names();
    let dialect = names.get(usize::from(*which % 6)).and_then(|name| name.parse().ok());
    let options = Options { dialect, ..Options::default() };
    let text = String::from_utf8_lossy(rest);
    // The check takes much longer than all the rest.
    let made = match bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>() % 2048 {
        0 => sipjab::cli::migrate_text("a.cfg", &text, &options),
        _ => {
            let (functions, modules) = (FUNCTIONS.clone(), modules::names());
            let check = &|_: &str, _: &str| (Vec::new(), Vec::new());
            Migration::of_text("a.cfg", &text, &options, &Server { functions, modules, check })
        }
    };
    if let Ok(made) = made {
        assert!(made.script.contains("fn request_route()"));
        assert!(!made.report.markdown().is_empty());
    }
});
