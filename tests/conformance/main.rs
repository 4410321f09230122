//! What the standards demand, one module per RFC, one test per demand, named by section.

#![allow(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod mutation;
mod rfc3261;
mod rfc3994;
mod rfc4475;
mod rfc5118;
mod rfc5438;
mod rfc7247;
mod rfc7572;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use rfc4475::verdicts::Verdict;
use sipjab::sip::{Framed, Message, datagram};

/// The file of this name in a folder of test messages.
fn file(folder: &str, name: &str) -> Bytes {
    let path = folder_path(folder).join(name).with_extension("dat");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into()
}

/// Every test message of a folder, by name.
fn files(folder: &str) -> Vec<(String, Bytes)> {
    let mut names: Vec<String> = std::fs::read_dir(folder_path(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "dat"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), file(folder, &name))).collect()
}

fn folder_path(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(folder)
}

/// The message in a datagram.
fn received(bytes: Bytes) -> Message {
    match datagram(bytes) {
        Ok(Framed::Message(message)) => message,
        other => panic!("no message: {other:?}"),
    }
}

/// What a receiver does with a datagram: nothing (`Ok`), answer with a status, or drop.
fn verdict(bytes: Bytes) -> Verdict {
    let Ok(Framed::Message(message)) = datagram(bytes) else { return Verdict::Dropped };
    match message.validate() {
        Ok(()) => Verdict::Accepted,
        Err(_) if !message.is_request() => Verdict::Dropped,
        Err(finding) => Verdict::Refused(finding.status().0),
    }
}

/// A message leaves as it came, and one edit changes one line.
fn assert_untouched_parts_stay(name: &str, wire: &Bytes) {
    let mut message = received(wire.clone());
    let before = message.to_bytes();
    assert!(wire.starts_with(&before), "{name}: written unlike it came");
    message.append_header("X-Edit", "1").unwrap();
    let after = message.to_bytes();
    let body = message.body().len();
    let head = before.len() - body;
    // One message of the archive lacks its empty line, which an edit adds.
    let blank = if before[..head].ends_with(b"\r\n\r\n") { 2 } else { 0 };
    let expected = [&before[..head - blank], b"X-Edit: 1\r\n\r\n", message.body()].concat();
    assert_eq!(after, expected, "{name}: an edit changed more than its line");
}
