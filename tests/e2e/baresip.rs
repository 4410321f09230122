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

/// A phone that registers at `proxy` over TLS.
fn phone(folder: &TempDir, proxy: SocketAddr, authority: &Authority) -> Process {
    let home = folder.path();
    let write = |name: &str, text: &str| fs::write(home.join(name), text).unwrap();
    write("config", &CONFIG.replace("@FOLDER@", &home.to_string_lossy()));
    let proxy = format!("sip:{proxy};transport=tls");
    write("accounts", &format!("<{PHONE};transport=tls>;regint=600;outbound=\"{proxy}\"\n"));
    write("contacts", "");
    write("ca.pem", &authority.pem());
    let mut command = Command::new(find("baresip", "baresip-core"));
    command.arg("-f").arg(home);
    Process::start("baresip", &command)
}

#[test]
fn baresip_registers_over_tls_and_is_written_to() {
    let authority = Authority::new("ours");
    let setup = Setup::script(include_str!("../../examples/tls/route.rhai"))
        .file("sip.pem", &authority.sign("127.0.0.1"))
        .listen(&["tls:127.0.0.1:0"], "[sip.tls]\ncertificate = \"sip.pem\"\n");
    let sipjab = Sipjab::start(&setup);
    let folder = TempDir::with_prefix("sipjab-baresip-").unwrap();
    let phone = phone(&folder, sipjab.listener("tls:"), &authority);
    phone.wait_for("200 OK");
    let from = "sip:alice@sip.example";
    let answer = Agent::bind().ask(&Outgoing::new(from, PHONE, "hello baresip"), sipjab.udp);
    assert_eq!(answer.status(), 200);
    assert!(answer.header("Server").contains("baresip"), "{:?}", answer.headers);
    sipjab.terminate();
}
