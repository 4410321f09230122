//! baresip, a user agent of Debian's that knows nothing of us.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;

use tempfile::TempDir;

use crate::certificates::Authority;
use crate::port;
use crate::process::{PATIENCE, Process, find};
use crate::sip::Outgoing;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::subscriber::Subscriber;

const PHONE: &str = "sip:phone@sip.example";

const CONFIG: &str = "\
sip_listen 127.0.0.1:0
sip_cafile @FOLDER@/ca.pem
net_interface 127.0.0.1
audio_source none
audio_player none
module_path /usr/lib/baresip/modules
module g711.so
module cons.so
cons_listen 127.0.0.1:@CONSOLE@
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

/// A running baresip.
struct Baresip {
    process: Process,
    /// Where it takes commands.
    console: SocketAddr,
    _folder: TempDir,
}

impl Baresip {
    /// A phone of `user` that registers at `proxy` over TLS, with a password, and answers every call.
    fn start(user: &str, proxy: SocketAddr, authority: &Authority, password: &str) -> Self {
        let folder = TempDir::with_prefix("sipjab-baresip-").unwrap();
        let home = folder.path();
        let console = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
        let write = |name: &str, text: &str| fs::write(home.join(name), text).unwrap();
        let config = CONFIG.replace("@FOLDER@", &home.to_string_lossy());
        write("config", &config.replace("@CONSOLE@", &console.port().to_string()));
        let proxy = format!("sip:{proxy};transport=tls");
        let account = format!("<{user};transport=tls>;auth_pass={password};regint=600");
        write("accounts", &format!("{account};answermode=auto;outbound=\"{proxy}\"\n"));
        write("contacts", "");
        write("ca.pem", &authority.pem());
        let mut command = Command::new(find("baresip", "baresip-core"));
        command.arg("-f").arg(home);
        Self { process: Process::start("baresip", &command), console, _folder: folder }
    }

    /// Waits for `words` after `mark`.
    fn says(&self, words: &str, mark: usize) {
        let said = self.process.wait_for_after(mark, PATIENCE, |line| line.contains(words));
        assert!(said.is_some(), "no `{words}`:\n{}", self.process.lines().join("\n"));
    }

    /// Types a command.
    fn type_in(&self, command: &str) {
        let keyboard = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        keyboard.send_to(format!("{command}\n").as_bytes(), self.console).unwrap();
    }
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
    let phone = Baresip::start(PHONE, sipjab.listener("tls:"), &authority, "sesame");
    phone.process.wait_for("200 OK");
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
    let phone = Baresip::start(PHONE, sipjab.listener("tls:"), &authority, "barley");
    phone.process.wait_for("401 Unauthorized");
    sipjab.terminate();
}

/// Through `scripts/default.rhai`, as it ships.
#[test]
fn baresip_calls_another_over_tls() {
    let authority = Authority::new("ours");
    let setup = Setup::shipped("scripts/default.toml")
        .file("sip.pem", &authority.sign("127.0.0.1"))
        .listen(&["tls:127.0.0.1:0"], "[sip.tls]\ncertificate = \"sip.pem\"\n");
    let sipjab = Sipjab::start(&setup);
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let user = Subscriber::new(name, &sipjab);
        let proxy = sipjab.listener("tls:");
        let phone = Baresip::start(&user.address(), proxy, &authority, &user.password);
        phone.process.wait_for("200 OK");
        phone
    });
    for (caller, callee, who) in [(&alice, &bob, "bob"), (&bob, &alice, "alice")] {
        let marks = [caller.process.mark(), callee.process.mark()];
        caller.type_in(&format!("/dial sip:{who}@sip.example"));
        caller.says("Call established", marks[0]);
        callee.says("Call established", marks[1]);
        callee.type_in("/hangup");
        caller.says("session closed", marks[0]);
    }
    let log = sipjab.terminate();
    let is_end = |line: &&String| line.contains("::acc: ") && line.contains("method=BYE");
    assert_eq!(log.iter().filter(is_end).count(), 2, "{}", log.join("\n"));
}
