//! ejabberd 23.01, started as a plain Erlang program: no node name, so no port mapper, no other user.

use std::fs;
use std::process::Command;

use super::{DOMAIN, SECRET, USERS, XmppServer};
use crate::process::{Process, find, find_library};

pub(super) fn start(server: &XmppServer) -> Process {
    let folder = server.folder();
    fs::write(folder.join("ejabberd.yml"), server.fill(include_str!("ejabberd.yml"))).unwrap();
    let application = find_library("ejabberd-", "ejabberd");
    let mut command = Command::new(find("erl", "ejabberd"));
    command
        .args(["-noinput", "+S", "1", "-mnesia", "dir"])
        .arg(format!("\"{}\"", folder.join("spool").display()))
        .args(["-eval", &program()])
        .env("ERL_LIBS", application.parent().expect("it lies in a folder"))
        .env("EJABBERD_CONFIG_PATH", folder.join("ejabberd.yml"))
        .env("EJABBERD_LOG_PATH", folder.join("ejabberd.log"))
        .env("ERL_CRASH_DUMP_SECONDS", "0")
        .env("HOME", folder)
        .current_dir(folder);
    let process = Process::start("ejabberd", &command);
    process.wait_for("accounts are ready");
    process
}

/// Starts the server, then registers the accounts; on a restart they exist already.
fn program() -> String {
    let users = USERS.map(|user| format!("<<\"{user}\">>")).join(",");
    format!(
        "{{ok, _}} = application:ensure_all_started(ejabberd), \
         [ejabberd_auth:try_register(U, <<\"{DOMAIN}\">>, <<\"{SECRET}\">>) || U <- [{users}]], \
         io:format(\"accounts are ready~n\")."
    )
}
