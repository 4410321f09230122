//! The binary as a person meets it: help, exit codes, findings.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod migrate_db;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const CONFIG: &str = "script = \"route.rhai\"\n";

fn sipjab(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sipjab"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn check(files: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let folder = folder(files);
    let output = sipjab(folder.path(), &[&["check"], arguments].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn a_good_script_has_exit_code_0() {
    let files = [("sipjab.toml", CONFIG), ("route.rhai", "fn request_route() { }")];
    assert_eq!(check(&files, &[]), (Some(0), "no findings\n".to_owned()));
}

#[test]
fn findings_have_exit_code_1_and_a_place() {
    let files = [("sipjab.toml", CONFIG), ("route.rhai", "fn request_route() {\n  nope();\n}")];
    let (code, text) = check(&files, &["-c", "sipjab.toml"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        text,
        "route.rhai:2:3: error: there is no function `nope`\n    2 |   nope();\n      |   ^^^^\n1 error\n"
    );
}

#[test]
fn a_script_alone_needs_no_configuration() {
    let files = [("new.rhai", "fn request_route() { }")];
    assert_eq!(check(&files, &["new.rhai"]).0, Some(0));
}

#[test]
fn a_configuration_with_errors_has_exit_code_1() {
    let (code, text) = check(&[("sipjab.toml", "scrpt = \"route.rhai\"")], &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains("sipjab.toml:1:1: error: unknown key `scrpt`"), "{text}");
    assert!(text.contains("did you mean `script`?"), "{text}");
}

#[test]
fn what_cannot_be_read_has_exit_code_2() {
    assert_eq!(check(&[], &["-c", "gone.toml"]).0, Some(2));
    assert_eq!(check(&[("sipjab.toml", CONFIG)], &[]).0, Some(2));
    assert_eq!(check(&[], &["--wrong"]).0, Some(2));
    let folder = folder(&[]);
    assert_eq!(sipjab(folder.path(), &["run", "-c", "gone.toml"]).status.code(), Some(2));
}

#[test]
fn without_a_configuration_it_is_said_where_one_was_looked_for() {
    if Path::new("/etc/sipjab/sipjab.toml").exists() {
        return;
    }
    let folder = folder(&[]);
    for arguments in [&["run"][..], &["check"], &["fate", &"0".repeat(32)], &["user", "list"]] {
        let output = sipjab(folder.path(), arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        for word in ["sipjab.toml", "/etc/sipjab/sipjab.toml", "-c FILE"] {
            assert!(said.contains(word), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn what_cannot_be_used_is_named_once() {
    let store = "[store]\nurl = 'sqlite:/proc/none.db'\n";
    let route = ("route.rhai", "fn request_route() { }");
    let no_store = format!("{CONFIG}{store}");
    for (files, file) in [
        (&[("sipjab.toml", CONFIG)][..], "route.rhai"),
        (&[("sipjab.toml", &*no_store), route], "/proc/none.db"),
    ] {
        let folder = folder(files);
        let output = sipjab(folder.path(), &["run"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert_eq!(last.matches(file).count(), 1, "{said}");
    }
}

#[test]
fn help_shows_examples_and_where_the_configuration_is() {
    let folder = folder(&[]);
    let help = String::from_utf8(sipjab(folder.path(), &["--help"]).stdout).unwrap();
    for said in ["sipjab run -c", "/etc/sipjab/sipjab.toml", "check", "--version"] {
        assert!(help.contains(said), "{said} is not in\n{help}");
    }
}

#[test]
fn a_missing_jdomain_is_found_in_the_configuration_and_at_the_call() {
    let script = ("route.rhai", "fn request_route() {\n  go_online();\n}");
    let config = format!("{CONFIG}\n[modules.jabber]\njaddress = \"127.0.0.1\"\n");
    let (code, text) = check(&[("sipjab.toml", &config), script], &[]);
    assert_eq!(code, Some(1));
    assert!(text.starts_with("sipjab.toml:3:1: error: the key `jdomain` is missing"), "{text}");
    let (code, text) = check(&[("sipjab.toml", CONFIG), script], &[]);
    assert_eq!(code, Some(1));
    let expected =
        "route.rhai:2:3: error: `go_online` cannot work: `jdomain` of [modules.jabber] is missing";
    assert!(text.starts_with(expected), "{text}");
    // A script alone says nothing of its configuration.
    assert_eq!(check(&[script], &["route.rhai"]).0, Some(0));
    let config = config + "jdomain = \"jabber.example\"\n";
    assert_eq!(check(&[("sipjab.toml", &config), script], &[]).0, Some(0));
}

#[test]
fn of_many_findings_the_first_are_shown_and_all_are_written() {
    let broken = format!("route {{{}}}\n", " %%%;".repeat(250));
    let folder = folder(&[("ser.cfg", &broken)]);
    let output = sipjab(folder.path(), &["migrate", "ser.cfg", "-o", "new"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let (shown, rest) = text.split_once("… and ").unwrap();
    let more: usize = rest.split_once(' ').unwrap().0.parse().unwrap();
    let all = shown.matches("\nser.cfg:1:").count() + usize::from(shown.starts_with("ser.cfg:1:"));
    let written = fs::read_to_string(folder.path().join("new/MIGRATION.md")).unwrap();
    let attention = written.split("## What is worth").next().unwrap();
    assert_eq!(attention.matches("\n- `ser.cfg:1:").count(), all + more);
    assert_eq!(all, 200);
}
