//! jabberd2 2.7: router, session manager and client port as three processes, accounts in SQLite.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{DOMAIN, SECRET, USERS, XmppServer};
use crate::process::{Process, find, find_library};

pub(super) fn start(server: &XmppServer) -> Vec<Process> {
    let folder = server.folder();
    let modules = find_library("jabberd2", "jabberd2");
    for (name, template) in [
        ("router.xml", include_str!("jabberd2/router.xml")),
        ("users.xml", include_str!("jabberd2/users.xml")),
        ("sm.xml", include_str!("jabberd2/sm.xml")),
        ("c2s.xml", include_str!("jabberd2/c2s.xml")),
    ] {
        let text = server.fill(template).replace("@MODULES@", &modules.to_string_lossy());
        fs::write(folder.join(name), text).unwrap();
    }
    create_database(&folder.join("jabberd2.db"));
    vec![
        start_part(folder, "router", "listening for incoming connections"),
        start_part(folder, "sm", "sm ready for sessions"),
        start_part(folder, "c2s", "ready for connections"),
    ]
}

fn start_part(folder: &Path, part: &str, ready: &str) -> Process {
    let mut command = Command::new(find(&format!("jabberd2-{part}"), "jabberd2"));
    command.arg("-c").arg(folder.join(format!("{part}.xml"))).current_dir(folder);
    let process = Process::start(&format!("jabberd2-{part}"), &command);
    process.wait_for(ready);
    process
}

/// The package's own schema and the accounts; nothing when the file is there from a run before.
fn create_database(path: &Path) {
    if path.exists() {
        return;
    }
    let accounts: String = USERS
        .map(|user| format!("INSERT INTO authreg VALUES ('{user}', '{DOMAIN}', '{SECRET}');\n"))
        .concat();
    let schema = path.with_extension("sql");
    fs::write(&schema, include_str!("jabberd2/schema.sql").to_owned() + accounts.as_str()).unwrap();
    let status = Command::new(find("sqlite3", "sqlite3"))
        .arg(path)
        .arg(format!(".read {}", schema.display()))
        .status()
        .unwrap();
    assert!(status.success(), "sqlite3 cannot make the accounts of jabberd2");
}
