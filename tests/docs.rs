//! Every script and configuration that the documentation shows is one that the program takes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

#[test]
fn every_rhai_block_compiles() {
    let blocks = blocks("rhai");
    assert!(!blocks.is_empty(), "no script in the documentation");
    for block in blocks {
        if let Err(findings) = sipjab::server::check_snippet(&block.text) {
            panic!("{}:\n{}\n{findings}", block.place, block.text);
        }
    }
}

/// A whole configuration begins with its script; what begins otherwise is an excerpt.
#[test]
fn every_configuration_loads() {
    let all = blocks("toml");
    let whole: Vec<_> = all.iter().filter(|block| block.text.starts_with("script =")).collect();
    assert!(!whole.is_empty(), "no configuration in the documentation");
    for block in whole {
        loads(block);
    }
}

#[test]
fn every_script_that_ships_is_accepted() {
    let shipped = files(&["scripts", "examples", "modules"], "rhai");
    assert!(!shipped.is_empty(), "no script ships");
    for path in shipped {
        let output = sipjab(&["check".as_ref(), path.as_os_str()]);
        assert!(output.0, "{}:\n{}", path.display(), output.1);
    }
}

/// Checks a configuration in a folder where the script that it names is an empty route.
fn loads(block: &Block) {
    let folder = TempDir::with_prefix("sipjab-docs-").unwrap();
    let name = block.text.split('"').nth(1).expect("a quoted script name");
    let script = folder.path().join(Path::new(name).file_name().unwrap());
    fs::write(&script, "fn request_route() {\n    sl_send_reply(200, \"OK\");\n}\n").unwrap();
    let file_name = script.file_name().unwrap().to_str().unwrap();
    let config = folder.path().join("sipjab.toml");
    fs::write(&config, block.text.replacen(name, file_name, 1)).unwrap();
    let output = sipjab(&["check".as_ref(), "-c".as_ref(), config.as_os_str()]);
    assert!(output.0, "{}:\n{}\n{}", block.place, block.text, output.1);
}

fn sipjab(arguments: &[&std::ffi::OsStr]) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sipjab"));
    let output = command.args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.into_owned())
}

/// A fenced block and where it stands.
struct Block {
    place: String,
    text: String,
}

/// The blocks of a language in README.md, docs/, the modules' READMEs and the doc comments of code.
fn blocks(language: &str) -> Vec<Block> {
    let mut pages = files(&["docs", "modules", "examples"], "md");
    pages.push(root("README.md"));
    let code = files(&["modules", "src"], "rs");
    let mut found = Vec::new();
    for (path, prefixes) in pages
        .iter()
        .map(|path| (path, &[""][..]))
        .chain(code.iter().map(|path| (path, &["/// ", "//! ", "///", "//!"][..])))
    {
        let text = fs::read_to_string(path).unwrap();
        found.extend(
            blocks_of(&text, language, prefixes)
                .map(|(line, text)| Block { place: format!("{}:{line}", path.display()), text }),
        );
    }
    found
}

/// The blocks of one file with their first lines; each line loses one of `prefixes`, longest first.
fn blocks_of<'a>(
    text: &'a str,
    language: &'a str,
    prefixes: &'a [&'a str],
) -> impl Iterator<Item = (usize, String)> + 'a {
    let bare = move |line: &'a str| {
        let line = if prefixes == [""] { line } else { line.trim_start() };
        prefixes.iter().find_map(|prefix| line.strip_prefix(prefix))
    };
    let mut lines = text.lines().enumerate();
    std::iter::from_fn(move || {
        let fence = format!("```{language}");
        let (opening, _) =
            lines.find(|(_, line)| bare(line).is_some_and(|it| it.trim() == fence))?;
        let inside =
            lines.by_ref().map_while(|(_, line)| bare(line).filter(|it| it.trim() != "```"));
        Some((opening + 2, inside.map(|line| format!("{line}\n")).collect()))
    })
}

#[test]
fn blocks_are_found_in_pages_and_comments() {
    let page = "a\n```rhai\nx();\n```\n```toml\nb = 1\n```\n";
    let found: Vec<_> = blocks_of(page, "rhai", &[""]).collect();
    assert_eq!(found, [(3, "x();\n".to_owned())]);
    let code =
        "    /// a\n    /// ```rhai\n    /// if y {\n    ///\n    ///     x();\n    /// ```\n";
    let found: Vec<_> = blocks_of(code, "rhai", &["/// ", "///"]).collect();
    assert_eq!(found, [(3, "if y {\n\n    x();\n".to_owned())]);
}

fn files(folders: &[&str], extension: &str) -> Vec<PathBuf> {
    let mut folders: Vec<_> = folders.iter().map(|name| root(name)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
