//! Every script and configuration that the documentation shows is one that the program takes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sipjab::config::ScriptConfig;
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

/// Checked where the operator would have made the certificates.
#[test]
fn every_configuration_that_ships_is_accepted() {
    let shipped = files(&["scripts", "examples"], "toml");
    assert!(!shipped.is_empty(), "no configuration ships");
    for path in shipped {
        let folder = TempDir::with_prefix("sipjab-docs-").unwrap();
        for file in path.parent().unwrap().read_dir().unwrap().map(|entry| entry.unwrap().path()) {
            fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
        }
        let ours = rcgen::generate_simple_self_signed(["sip.example".to_owned()]).unwrap();
        fs::write(folder.path().join("certificate.pem"), ours.cert.pem()).unwrap();
        fs::write(folder.path().join("key.pem"), ours.signing_key.serialize_pem()).unwrap();
        let config = folder.path().join(path.file_name().unwrap());
        let output = sipjab(&["check".as_ref(), "-c".as_ref(), config.as_os_str()]);
        assert!(output.0, "{}:\n{}", path.display(), output.1);
    }
}

#[test]
fn the_limits_of_scripts_are_shown_with_their_defaults() {
    let all = blocks("toml");
    let shown = all.iter().find(|block| block.text.starts_with("[script]")).expect("a table");
    let mut page: toml::Table = shown.text.parse().unwrap();
    let table = page.remove("script").unwrap();
    assert_eq!(table.as_table().unwrap().len(), 8, "{}: a limit is missing", shown.place);
    let config: ScriptConfig = table.try_into().unwrap();
    assert_eq!(config, ScriptConfig::new("route.rhai"));
}

/// What a doc comment shows is tried above; here none may be missing.
#[test]
fn every_function_has_an_example_and_a_place_in_its_readme() {
    let exports =
        sipjab::modules::load(&Default::default(), &Default::default()).unwrap().catalogue();
    let mut waiting: BTreeSet<String> = exports.names().map(ToOwned::to_owned).collect();
    assert!(!waiting.is_empty(), "no function is exported");
    for module in sipjab::modules::ALL {
        let folder = format!("modules/{}", module.name);
        let code: Vec<_> = files(&[&folder], "rs")
            .iter()
            .filter(|path| !path.ends_with("tests.rs"))
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        let exported: BTreeSet<_> = code.iter().flat_map(|text| exported(text)).collect();
        let with_example: BTreeSet<_> =
            code.iter().flat_map(|text| functions_with_example(text)).collect();
        for (name, function) in &exported {
            assert!(with_example.contains(function), "{folder}: no example of `{name}`");
            waiting.remove(*name);
        }
        let readme = fs::read_to_string(root(&folder).join("README.md")).unwrap();
        let names: BTreeSet<_> = exported.iter().map(|(name, _)| *name).collect();
        let written: BTreeSet<_> = names
            .iter()
            .flat_map(|name| exports.forms(name))
            .map(|export| format!("### `{}`", export.signature()))
            .collect();
        let headings = readme.lines().filter(|line| line.starts_with("### "));
        let headings: BTreeSet<_> = headings.map(ToOwned::to_owned).collect();
        assert_eq!(headings, written, "{folder}/README.md and the exports disagree");
    }
    assert!(waiting.is_empty(), "not found in any module: {waiting:?}");
}

/// The page of the names of `ser.cfg` says what the check says.
#[test]
fn every_row_of_the_page_of_names_is_true() {
    let page = fs::read_to_string(root("docs/names.md")).unwrap();
    let rows = page.lines().filter_map(|line| {
        let (name, here) = line.strip_prefix("| `")?.strip_suffix(" |")?.split_once("` | ")?;
        (name != "ser.cfg").then_some((name, here))
    });
    let mut count = 0;
    for (name, here) in rows {
        count += 1;
        let advice = sipjab::script::retired::advice(name);
        let module = here.strip_prefix('[').and_then(|rest| rest.split(']').next());
        let is_true = match (module, advice) {
            (Some(module), None) => {
                let readme = fs::read_to_string(root("modules").join(module).join("README.md"));
                readme.unwrap().contains(&format!("\n### `{name}("))
            }
            (None, Some(advice)) => {
                advice == here || advice == format!("`{name}` is called {here} here")
            }
            (None, None) => here == "Rhai's own",
            (Some(_), Some(_)) => false,
        };
        assert!(is_true, "docs/names.md: {name}: {here}");
    }
    assert!(count > 130, "{count} names");
}

/// Name in scripts and function of every `export("name", […], KINDS, function)`.
fn exported(code: &str) -> Vec<(&str, &str)> {
    let calls = code.split("export(").skip(1);
    calls
        .filter_map(|call| {
            let name = call.trim_start().strip_prefix('"')?.split('"').next()?;
            let arguments = call.split(')').next()?;
            let function = arguments.trim_end().trim_end_matches(',').rsplit(',').next()?;
            Some((name, function.trim()))
        })
        .collect()
}

/// The functions whose doc comment has a script.
fn functions_with_example(code: &str) -> Vec<&str> {
    let mut has_example = false;
    let mut found = Vec::new();
    for line in code.lines().map(str::trim) {
        has_example |= line == "/// ```rhai";
        if line.is_empty() {
            has_example = false;
        } else if let Some(name) = name_of(line).filter(|_| has_example) {
            found.push(name);
            has_example = false;
        }
    }
    found
}

/// `f` of `fn f(` and of `f, LEVEL`, which a macro makes a function of.
fn name_of(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub(super) ").unwrap_or(line);
    let name = match line.strip_prefix("fn ") {
        Some(rest) => rest.split('(').next()?,
        None => line.split_once(", ").filter(|(_, level)| is_word(level))?.0,
    };
    is_word(name).then_some(name)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
}

#[test]
fn exports_and_examples_are_found_in_code() {
    let code =
        "x.export(\"a\", [], ANY, a)\n .export(\n  \"b\",\n  [\"x\"],\n  A | B,\n  b_of,\n );";
    assert_eq!(exported(code), [("a", "a"), ("b", "b_of")]);
    let code = "/// A.\n/// ```rhai\n/// a();\n/// ```\nfn a(r: R) {}\n\n/// B.\nfn b(r: R) {}\n\n\
                log! {\n    /// ```rhai\n    /// ```\n    c, ERROR\n}\n";
    assert_eq!(functions_with_example(code), ["a", "c"]);
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
