//! baresip, a user agent of Debian's that knows nothing of us.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use crate::certificates::Authority;
use crate::process::{Process, find};
use crate::sip::Outgoing;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};

const PHONE: &str = "sip:phone@sip.example";

const CONFIG: &str = "\
sip_listen 127.0.0.1:0
sip_cafile @FOLDER@/ca.pem
net_interface 127.0.0.1
audio_source none
audio_player none
module_path /usr/lib/baresip/modules
module g711.so
module_app account.so
module_app contact.so
module_app menu.so
";

/// Who registers must prove who it is; everybody may write to it.
const ROUTE: &str = r#"
fn request_route() {
    if method() == "REGISTER" {
        if !www_authorize("sip.example", "subscriber") {
            www_challenge("sip.example", 0);
            return;
        }
        if !check_to() { sl_send_reply(403, "Not Your Address"); return; }
        info("$tU over $proto");
        save("location");
        return;
    }
    if !lookup("location") { t_reply(404, "Not Found"); return; }
    t_relay();
}
"#;

/// A phone that registers at `proxy` over TLS, with a password.
fn phone(folder: &TempDir, proxy: SocketAddr, authority: &Authority, password: &str) -> Process {
    let home = folder.path();
    let write = |name: &str, text: &str| fs::write(home.join(name), text).unwrap();
    write("config", &CONFIG.replace("@FOLDER@", &home.to_string_lossy()));
    let proxy = format!("sip:{proxy};transport=tls");
    let account = format!("<{PHONE};transport=tls>;auth_pass={password};regint=600");
    write("accounts", &format!("{account};outbound=\"{proxy}\"\n"));
    write("contacts", "");
    write("ca.pem", &authority.pem());
    let mut command = Command::new(find("baresip", "baresip-core"));
    command.arg("-f").arg(home);
    Process::start("baresip", &command)
}

/// The program with one user.
///
/// baresip 1.0 gives up when it is offered SHA-256, also beside MD5.
fn start(authority: &Authority) -> Sipjab {
    let tables = "[sip.tls]\ncertificate = \"sip.pem\"\n[modules.auth]\ncalculate_ha1 = true\n\
                  algorithm = [\"MD5\"]\n";
    let setup = Setup::script(ROUTE)
        .file("sip.pem", &authority.sign("127.0.0.1"))
        .listen(&["tls:127.0.0.1:0"], tables);
    let sipjab = Sipjab::start(&setup);
    sipjab.sql(
        "INSERT INTO subscriber (username, domain, password) VALUES \
         ('phone', 'sip.example', 'sesame');",
    );
    sipjab
}

#[test]
fn baresip_registers_over_tls_with_a_digest_and_is_written_to() {
    let authority = Authority::new("ours");
    let sipjab = start(&authority);
    let folder = TempDir::with_prefix("sipjab-baresip-").unwrap();
    let phone = phone(&folder, sipjab.listener("tls:"), &authority, "sesame");
    phone.wait_for("200 OK");
    sipjab.process.wait_for("phone over tls");
    let from = "sip:alice@sip.example";
    let answer = Agent::bind().ask(&Outgoing::new(from, PHONE, "hello baresip"), sipjab.udp);
    assert_eq!(answer.status(), 200);
    assert!(answer.header("Server").contains("baresip"), "{:?}", answer.headers);
    sipjab.terminate();
}

#[test]
fn baresip_with_a_wrong_password_is_refused() {
    let authority = Authority::new("ours");
    let sipjab = start(&authority);
    let folder = TempDir::with_prefix("sipjab-baresip-").unwrap();
    let phone = phone(&folder, sipjab.listener("tls:"), &authority, "barley");
    phone.wait_for("401 Unauthorized");
    sipjab.terminate();
}
