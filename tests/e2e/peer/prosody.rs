//! Prosody 0.12, in the foreground, accounts as files.

use std::fs;
use std::process::Command;

use super::{SECRET, USERS, XmppServer};
use crate::process::{Process, find};

pub(super) fn start(server: &XmppServer) -> Process {
    let config = server.folder().join("prosody.cfg.lua");
    let mut text = server.fill(include_str!("prosody.cfg.lua"));
    if let Some(certificate) = &server.certificate {
        text = with_tls(server, &text, certificate);
    }
    if let Some(knows_the_connection) = server.binds {
        let plugin = include_str!("mod_tls_exporter.lua");
        fs::write(server.folder().join("mod_tls_exporter.lua"), plugin).unwrap();
        text = text.replace(
            "modules_enabled = {",
            &format!(
                "plugin_paths = {{ \"{}\" }}\nknows_the_connection = {knows_the_connection}\n\
                 modules_enabled = {{ \"tls_exporter\", ",
                server.folder().display()
            ),
        );
    }
    if server.keeps {
        text = text
            .replace(", \"offline\" }", " }")
            .replace("\"smacks\", ", "\"smacks\", \"offline\", ");
    }
    fs::write(&config, text).unwrap();
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

/// The same configuration with TLS, which everybody needs unless the server says otherwise.
fn with_tls(server: &XmppServer, text: &str, certificate: &str) -> String {
    let file = server.folder().join("server.pem");
    fs::write(&file, certificate).unwrap();
    let (file, port) = (file.display(), server.direct_port);
    let needed = server.needs_tls;
    text.replace("c2s_require_encryption = false", &format!("c2s_require_encryption = {needed}"))
        .replace(
            "allow_unencrypted_plain_auth = true",
            &format!("allow_unencrypted_plain_auth = {}", !needed),
        )
        .replace("\"s2s\", \"tls\"", "\"s2s\"")
        .replace("\"ping\", ", "\"ping\", \"tls\", ")
        .replace(
            "VirtualHost",
            &format!(
                "ssl = {{ certificate = \"{file}\"; key = \"{file}\" }}\n\
                 c2s_direct_tls_ports = {{ {port} }}\nVirtualHost"
            ),
        )
}

/// Makes an account, also while the server runs.
pub(super) fn add_account(server: &XmppServer, user: &str, password: &str) {
    let accounts = server.folder().join("data/xmpp%2eexample/accounts");
    fs::create_dir_all(&accounts).unwrap();
    let account = format!("return {{ [\"password\"] = \"{password}\" }};\n");
    let escaped = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02x}"),
    };
    let file: String = user.bytes().map(escaped).collect();
    fs::write(accounts.join(format!("{file}.dat")), account).unwrap();
}
