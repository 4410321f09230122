//! Old configurations, carried over and run: the replies and the routed requests are those of the original.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::phone::{Dialog, Phone};
use crate::port;
use crate::process::{PATIENCE, Process, find};
use crate::sip::Message;

/// A server that runs a configuration at an address.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    _folder: TempDir,
}

pub(crate) fn own(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/migrated").join(name)
}

/// A configuration that a project shipped; it lies beside the clone where it is at hand.
pub(crate) fn shipped(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let folder = std::env::var_os("SIPJAB_CORPUS").map_or(beside, PathBuf::from);
    Some(folder.join(name)).filter(|path| path.exists())
}

/// Carries the file over and runs what it has become.
fn translated(file: &Path) -> Server {
    // Nobody has the old database.
    translated_for(file, "sqlite:store.db", |config| config)
}

/// The same with a database and what its administrator changes in the configuration.
pub(crate) fn translated_for(
    file: &Path,
    store: &str,
    edit: impl FnOnce(String) -> String,
) -> Server {
    let folder = TempDir::with_prefix("sipjab-").unwrap();
    let new = folder.path().join("new");
    let output = Command::new(env!("CARGO_BIN_EXE_sipjab"))
        .arg("migrate")
        .arg(file)
        .arg("-o")
        .arg(&new)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
    let address = SocketAddr::from(([127, 0, 0, 1], port::free()));
    let config = fs::read_to_string(new.join("sipjab.toml")).unwrap();
    let kept: Vec<&str> = config.lines().filter(|line| !line.starts_with("listen")).collect();
    let listen = format!("[sip]\nlisten = [\"udp:{address}\", \"tcp:{address}\"]");
    let config = edit(kept.join("\n").replace("[sip]", &listen));
    fs::write(new.join("sipjab.toml"), config).unwrap();
    if new.join("sipjab.env").exists() {
        fs::write(new.join("sipjab.env"), format!("SIPJAB_STORE_URL={store}\n")).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_sipjab"));
    command.arg("run").arg("-c").arg(new.join("sipjab.toml"));
    let process = Process::start("sipjab", &command);
    let ready = process.wait_for_after(0, PATIENCE, |line| line.contains("ready"));
    assert!(ready.is_some(), "{}", process.lines().join("\n"));
    Server { address, process, _folder: folder }
}

/// Runs the file itself with Kamailio.
fn original(file: &Path) -> Server {
    let folder = TempDir::with_prefix("kamailio-").unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port::free()));
    let mut command = Command::new(find("kamailio", "kamailio"));
    command.args(["-DD", "-E", "-n", "1", "-m", "16", "-M", "4"]);
    command.arg("-f").arg(file).arg("-w").arg(folder.path()).arg("-Y").arg(folder.path());
    command.arg("-l").arg(format!("udp:{address}"));
    let process = Process::start("kamailio", &command);
    let server = Server { address, process, _folder: folder };
    // It says nothing when it is ready: it is when it answers.
    let mut phone = Phone::bind();
    for _ in 0..40 {
        let dialog = Dialog::to(&format!("sip:{address}"));
        phone.ask("OPTIONS", &dialog, "", address);
        let found = phone.find("200 OPTIONS", Duration::from_millis(500));
        if found.or_else(|| phone.find("404 OPTIONS", Duration::from_millis(1))).is_some() {
            return server;
        }
    }
    panic!("kamailio is not ready:\n{}", server.process.lines().join("\n"));
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.signal(Signal::SIGTERM);
    }
}

/// What is routed: the Request-URI without ports, which differ from run to run, and the headers that proxies write.
fn seen(what: &str, message: &Message) -> String {
    let all = |name: &str| {
        let of_name = message.headers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    let hint = all("P-hint").first().copied().unwrap_or_default();
    let parameters = |value: &str| {
        let inside = value.trim_matches(['<', '>']).split(';').skip(1);
        let names = inside.filter_map(|parameter| parameter.split(['=', '>']).next());
        // A mark of our own, which nobody else reads.
        let names = names.filter(|name| *name != "seal");
        names.map(str::to_owned).collect::<Vec<_>>().join(";")
    };
    let recorded: Vec<_> = all("Record-Route").into_iter().map(parameters).collect();
    let uri = message.request_uri().rsplit_once(':').map_or("", |(uri, _)| uri);
    format!(
        "{what}: to {uri}, hops {}, vias {}, hint {hint:?}, recorded {} {recorded:?}, routes {}, contacts {}",
        message.header("Max-Forwards"),
        all("Via").len(),
        recorded.len(),
        all("Route").len(),
        all("Contact").len(),
    )
}

/// A reply: its status, its words, and whether the headers are there that it must have.
fn answered(what: &str, reply: &Message) -> String {
    let is_tagged = reply.header("To").contains(";tag=");
    let (status, reason, vias) = (reply.status(), reply.reason(), reply.header("Via"));
    let is_returned = !vias.contains(',') && vias.contains("branch=");
    format!("{what}: {status} {reason}, tagged {is_tagged}, our via {is_returned}")
}

/// Registers a phone, calls it, and does what must fail; what comes back, line by line.
fn play(server: &Server) -> Vec<String> {
    let at = server.address;
    let (mut alice, mut bob) = (Phone::bind(), Phone::bind());
    let mut told = Vec::new();

    let aor = format!("<sip:bob@{at}>");
    let register =
        Dialog { from: format!("{aor};tag=r"), to: aor, ..Dialog::to(&format!("sip:{at}")) };
    bob.ask("REGISTER", &register, "Expires: 600\r\n", at);
    let registered = bob.expect("200 REGISTER");
    told.push(answered("register", &registered));
    assert!(registered.header("Contact").contains("expires="), "{:?}", registered.headers);

    let nobody = Dialog::to(&format!("sip:nobody@{at}"));
    alice.ask("INVITE", &nobody, "", at);
    let refusal = alice.expect("404 INVITE");
    alice.ack_rejection(&nobody, &refusal, at);
    told.push(answered("unknown user", &refusal));

    let tired = Dialog::to(&format!("sip:bob@{at}"));
    let bytes = String::from_utf8(alice.bytes("MESSAGE", &tired, "")).unwrap();
    alice.send(bytes.replace("Max-Forwards: 70", "Max-Forwards: 0").as_bytes(), at);
    let refusal = alice.expect("483 MESSAGE");
    told.push(answered("too many hops", &refusal));

    let call = Dialog::to(&format!("sip:bob@{at}"));
    alice.ask("INVITE", &call, "", at);
    let invite = bob.expect("INVITE");
    told.push(seen("INVITE", &invite));
    bob.answer(&invite, 180, "");
    alice.expect("180 INVITE");
    bob.answer(&invite, 200, "");
    let answer = alice.expect("200 INVITE");
    let inside = call.after(&answer);
    alice.ask("ACK", &Dialog { cseq: 1, ..inside.next() }, "", at);
    bob.expect("ACK");
    alice.ask("BYE", &inside, "", at);
    let bye = bob.expect("BYE");
    told.push(seen("BYE", &bye));
    bob.answer(&bye, 200, "");
    told.push(answered("end of the call", &alice.expect("200 BYE")));
    told
}

/// What a registrar and proxy of this kind does, whatever it is written in.
#[track_caller]
fn check(told: &[String]) {
    assert!(told[0].starts_with("register: 200 OK"), "{told:?}");
    assert!(told[1].starts_with("unknown user: 404 "), "{told:?}");
    assert!(told[2].starts_with("too many hops: 483 "), "{told:?}");
    assert!(told[3].contains("recorded 1 ") && told[3].contains("routes 0"), "{told:?}");
    assert!(told[4].contains("routes 0"), "{told:?}");
    assert!(told[5].starts_with("end of the call: 200 "), "{told:?}");
}

#[test]
fn a_configuration_of_ser_0_9_runs() {
    let told = play(&translated(&own("ser.cfg")));
    check(&told);
    assert!(told[1].starts_with("unknown user: 404 Nobody Here"), "{told:?}");
    assert!(told[3].contains("a phone of ours") && told[4].contains("in a dialog"), "{told:?}");
    for name in ["ser-0.9.6-default.cfg", "ser-0.8.11-default.cfg"] {
        if let Some(file) = shipped(name) {
            check(&play(&translated(&file)));
        }
    }
}

/// The request with this body, answered with this status.
#[track_caller]
fn says(phone: &mut Phone, at: SocketAddr, method: &str, to: &str, body: &str, status: u16) {
    let dialog = Dialog { to: format!("<sip:{to}>"), ..Dialog::to(&format!("sip:{to}")) };
    let bytes = String::from_utf8(phone.bytes(method, &dialog, "")).unwrap();
    let length =
        format!("Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    phone.send(bytes.replace("Content-Length: 0\r\n\r\n", &length).as_bytes(), at);
    phone.expect(&format!("{status} {method}"));
}

/// Nobody here has an account, which SER tells by a text when the request has its answer.
#[test]
fn the_rules_for_a_jabber_server_answer_as_they_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/migrate/golden/jabber.cfg");
    let server = translated(&file);
    let at = server.address;
    let mut phone = Phone::bind();
    let romeo = "romeo*xmpp.example@jabber.example";
    says(&mut phone, at, "MESSAGE", romeo, ":on", 200);
    says(&mut phone, at, "MESSAGE", romeo, "hello", 200);
    // No alias of the module has this domain.
    says(&mut phone, at, "MESSAGE", "12345@ICQ.jabber.example", "hello", 503);
    says(&mut phone, at, "SUBSCRIBE", romeo, "", 202);
    says(&mut phone, at, "OPTIONS", romeo, "", 202);
    says(&mut phone, at, "MESSAGE", "juliet@sip.example", ":on", 404);
}

#[test]
fn a_configuration_of_openser_1_2_runs() {
    let told = play(&translated(&own("openser.cfg")));
    check(&told);
    assert!(told[3].contains("a phone of ours") && told[4].contains("in a dialog"), "{told:?}");
    if let Some(file) = shipped("openser-1.2-default.cfg") {
        check(&play(&translated(&file)));
    }
}

#[test]
fn a_configuration_of_kamailio_does_what_kamailio_does() {
    let told = play(&translated(&own("kamailio.cfg")));
    check(&told);
    assert_eq!(told, play(&original(&own("kamailio.cfg"))));
    if let Some(file) = shipped("kamailio-5.8-default.cfg") {
        let told = play(&translated(&file));
        check(&told);
        assert_eq!(told, play(&original(&file)));
    }
}
