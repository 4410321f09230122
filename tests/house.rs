//! The rules of the house that neither the compiler nor a lint holds.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest a file may be, its unit tests not counted.
const LONGEST_FILE: usize = 600;

/// Each layer, and the layers of ours that it may use besides itself.
const BORDERS: &[(&str, &[&str])] = &[
    ("sip", &[]),
    ("xmpp", &[]),
    ("gateway", &["sip", "xmpp"]),
    ("net", &["sip", "xmpp", "clock"]),
    ("store", &["clock", "config"]),
    ("script", &["sip", "xmpp", "gateway", "store", "clock", "config", "diagnostic"]),
    ("modules", &["script", "sip", "xmpp", "gateway", "store", "config"]),
    (
        "engine",
        &[
            "script",
            "modules",
            "gateway",
            "sip",
            "xmpp",
            "net",
            "store",
            "clock",
            "config",
            "diagnostic",
        ],
    ),
    ("migrate", &["diagnostic"]),
    ("config", &["diagnostic", "clock"]),
    ("clock", &[]),
    ("diagnostic", &[]),
];

#[test]
fn no_layer_imports_upward() {
    let mut offences = Vec::new();
    // What only tests use is no dependency of the layer.
    for (path, text) in sources().into_iter().filter(|(path, _)| !path.ends_with("tests.rs")) {
        let layer = layer_of(&path);
        let Some((_, allowed)) = BORDERS.iter().find(|(name, _)| *name == layer) else { continue };
        for (line, used) in used_layers(without_tests(&text)) {
            if used != layer && !allowed.contains(&used) {
                offences.push(format!("{}:{line}: {layer} may not use {used}", path.display()));
            }
        }
    }
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    for (path, text) in sources() {
        let length = without_tests(&text).lines().count();
        assert!(length <= LONGEST_FILE, "{} has {length} lines", path.display());
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in sources() {
        let is_described = text.starts_with("//!") || text.starts_with("#![doc = include_str!(");
        let is_test = path.ends_with("tests.rs");
        assert!(is_described || is_test, "{} has no //! line", path.display());
    }
}

/// A module is a folder with code and documentation, and it is registered.
#[test]
fn every_module_folder_is_complete() {
    let listed: BTreeSet<_> = sipjab::modules::ALL.iter().map(|it| it.name.to_owned()).collect();
    let mut found = BTreeSet::new();
    for entry in root("modules").read_dir().unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        for file in [format!("{name}.rs"), "README.md".into()] {
            assert!(folder.join(&file).exists(), "modules/{name}/{file} is missing");
        }
        found.insert(name);
    }
    assert_eq!(found, listed, "modules/ and src/modules.rs disagree");
}

#[test]
fn modules_are_listed_in_alphabetical_order() {
    assert!(sipjab::modules::ALL.iter().map(|module| module.name).is_sorted());
}

/// The layer that a file belongs to: the folder or file below `src`, or `modules`.
fn layer_of(path: &Path) -> &str {
    let below = path.strip_prefix(root("src")).ok();
    let first = below.and_then(|below| below.components().next());
    let name = first.and_then(|first| first.as_os_str().to_str()).unwrap_or("modules");
    name.trim_end_matches(".rs")
}

/// Every layer of ours that a `crate::…` path names outside comments, with its line.
fn used_layers(code: &str) -> Vec<(usize, &str)> {
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = &code[..at];
        let line = before.rsplit('\n').next().unwrap_or_default();
        if line.trim_start().starts_with("//") {
            continue;
        }
        let number = before.matches('\n').count() + 1;
        let path = &code[at + "crate::".len()..];
        used.extend(first_names(path).into_iter().map(|name| (number, name)));
    }
    used
}

/// `a` of `a::b`, and `a` and `c` of `{a::b, c::{d, e}}`.
fn first_names(path: &str) -> Vec<&str> {
    let Some(list) = path.strip_prefix('{') else { return vec![first_name(path)] };
    let mut names = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(first_name(list[start..at].trim()));
                start = at + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn first_name(path: &str) -> &str {
    path.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or("")
}

#[test]
fn first_names_are_found_in_nested_lists() {
    assert_eq!(first_names("sip::Uri;"), ["sip"]);
    assert_eq!(first_names("{sip::{Uri, Via}, xmpp::Jid, net}; use x"), ["sip", "xmpp", "net"]);
}

fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

/// Every Rust file of the program and its modules, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let mut folders = vec![root("src"), root("modules")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
