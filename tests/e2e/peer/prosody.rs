//! Prosody 0.12, in the foreground, accounts as files.

use std::fs;
use std::process::Command;

use super::{SECRET, USERS, XmppServer};
use crate::process::{Process, find};

pub(super) fn start(server: &XmppServer) -> Process {
    let config = server.folder().join("prosody.cfg.lua");
    fs::write(&config, server.fill(include_str!("prosody.cfg.lua"))).unwrap();
    for user in USERS {
        add_account(server, user, SECRET);
    }
    let mut command = Command::new(find("prosody", "prosody"));
    command.arg("-F").arg("--config").arg(&config).current_dir(server.folder());
    let process = Process::start("prosody", &command);
    process.wait_for("Activated service 'c2s'");
    process.wait_for("Activated service 'component'");
    process
}

/// Makes an account, also while the server runs.
pub(super) fn add_account(server: &XmppServer, user: &str, password: &str) {
    let accounts = server.folder().join("data/xmpp%2eexample/accounts");
    fs::create_dir_all(&accounts).unwrap();
    let account = format!("return {{ [\"password\"] = \"{password}\" }};\n");
    fs::write(accounts.join(format!("{user}.dat")), account).unwrap();
}
