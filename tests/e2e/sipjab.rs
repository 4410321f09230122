//! The program under test, with a configuration and a script in a folder of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::peer::{COMPONENT, SECRET};
use crate::process::{PATIENCE, Process, find};

/// The gateway script that ships.
const GATEWAY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/gateway.rhai");

/// Where a configuration that ships listens when a test plays it.
const LOOPBACK: [&str; 4] =
    ["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "tls:127.0.0.1:0", "ws:127.0.0.1:0"];

/// A database in the folder.
const STORE: &str = "url = \"sqlite:sipjab.db\"\n";

/// What goes into the folder before the program starts.
pub(crate) struct Setup {
    /// A configuration that ships, instead of one that is made of what follows.
    pub(crate) shipped: Option<String>,
    /// The route script.
    pub(crate) script: String,
    /// Where the program listens.
    pub(crate) listen: Vec<&'static str>,
    /// The host of the XMPP server.
    pub(crate) xmpp_host: String,
    /// The port of the XMPP server, when there is one.
    pub(crate) component_port: Option<u16>,
    /// Further lines of `[modules.xmpp]`.
    pub(crate) xmpp: String,
    /// Further tables.
    pub(crate) tables: String,
    /// The lines of `[store]`.
    pub(crate) store: String,
    /// Further files: name and text.
    pub(crate) files: Vec<(String, String)>,
}

impl Setup {
    /// A script and no XMPP server.
    pub(crate) fn script(script: &str) -> Self {
        Self {
            shipped: None,
            script: script.into(),
            listen: vec!["udp:127.0.0.1:0", "tcp:127.0.0.1:0"],
            xmpp_host: "127.0.0.1".into(),
            component_port: None,
            xmpp: String::new(),
            tables: String::new(),
            store: STORE.to_owned(),
            files: Vec::new(),
        }
    }

    /// The shipped gateway in front of the server at `component_port`.
    pub(crate) fn gateway(component_port: u16) -> Self {
        let script = fs::read_to_string(GATEWAY).expect("scripts/gateway.rhai ships");
        Self { component_port: Some(component_port), ..Self::script(&script) }
    }

    /// A configuration that ships and the script that it names, on free ports of loopback.
    pub(crate) fn shipped(configuration: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(configuration);
        let text = fs::read_to_string(&path).unwrap();
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        let (name, listen) = (value("script = "), value("listen = "));
        let script = fs::read_to_string(path.with_file_name(name.trim_matches('"'))).unwrap();
        let listen_freely = LOOPBACK.into_iter().filter(|address| {
            let (transport, _) = address.split_once(':').expect("a transport stands in front");
            listen.contains(&format!("\"{transport}:"))
        });
        let shipped = text.replace(listen, "@LISTEN@").replace(name, "\"route.rhai\"");
        Self { shipped: Some(shipped), listen: listen_freely.collect(), ..Self::script(&script) }
    }

    /// Puts an address of the test's in the place of one that ships.
    pub(crate) fn at(mut self, shipped: &str, ours: SocketAddr) -> Self {
        let ours = ours.to_string();
        let before = (self.script.clone(), self.shipped.clone());
        self.script = self.script.replace(shipped, &ours);
        self.shipped = self.shipped.map(|text| text.replace(shipped, &ours));
        assert_ne!((&self.script, &self.shipped), (&before.0, &before.1), "no {shipped}");
        self
    }

    /// Requests from XMPP go to this SIP agent.
    pub(crate) fn outbound_proxy(mut self, agent: SocketAddr) -> Self {
        self.xmpp += &format!("outbound_proxy = \"sip:{agent}\"\n");
        self
    }

    /// The lines of `[store]`.
    pub(crate) fn store(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.store);
        self
    }

    /// When the SIP sender is answered.
    pub(crate) fn reply(mut self, when: &str) -> Self {
        self.xmpp += &format!("reply = \"{when}\"\n");
        self
    }

    /// Further tables, or parameters of modules, as they stand in the configuration.
    pub(crate) fn with(mut self, tables: &str) -> Self {
        self.tables += tables;
        self
    }

    /// The round trip that all timers of RFC 3261 §17 follow from.
    pub(crate) fn t1(mut self, t1: &str) -> Self {
        self.tables += &format!("[sip.timers]\nt1 = \"{t1}\"\n");
        self
    }

    /// A file beside the script.
    pub(crate) fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.into(), text.into()));
        self
    }

    /// Listens here as well, and adds tables for it.
    pub(crate) fn listen(mut self, addresses: &[&'static str], tables: &str) -> Self {
        self.listen.extend(addresses);
        self.tables += tables;
        self
    }

    fn configuration(&self) -> String {
        if let Some(shipped) = &self.shipped {
            let listen = format!("{:?}", self.listen);
            return shipped.replace("@LISTEN@", &listen) + "\n" + self.tables.as_str();
        }
        let mut text = format!(
            "script = \"route.rhai\"\n\
             [sip]\n\
             listen = {:?}\n\
             domains = [\"{COMPONENT}\"]\n",
            self.listen
        );
        if let Some(port) = self.component_port {
            text += &format!(
                "[modules.xmpp]\n\
                 backend = \"component\"\n\
                 xmpp_host = \"{}\"\n\
                 xmpp_port = {port}\n\
                 xmpp_password = \"{SECRET}\"\n\
                 xmpp_domain = \"{COMPONENT}\"\n\
                 dialect = \"rfc\"\n{}",
                self.xmpp_host, self.xmpp
            );
        }
        text + self.tables.as_str() + "[store]\n" + self.store.as_str()
    }
}

/// A running program.
pub(crate) struct Sipjab {
    /// Where it listens for datagrams.
    pub(crate) udp: SocketAddr,
    /// Where it listens for connections, if it does; else the same as `udp`.
    pub(crate) tcp: SocketAddr,
    /// Its log.
    pub(crate) process: Process,
    folder: TempDir,
}

impl Sipjab {
    /// Starts the program and waits until its listeners are bound.
    pub(crate) fn start(setup: &Setup) -> Self {
        let folder = folder_with(&setup.configuration(), &setup.script);
        for (name, text) in &setup.files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self::start_in(folder)
    }

    fn start_in(folder: TempDir) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sipjab"));
        command.arg("run").arg("-c").arg(folder.path().join("sipjab.toml"));
        let process = Process::start("sipjab", &command);
        let is_ready = |line: &str| line.contains("ready") && !line.contains("component ready");
        let ready = process.wait_for_after(0, PATIENCE, is_ready);
        assert!(ready.is_some(), "sipjab is not ready:\n{}", process.lines().join("\n"));
        let lines = process.lines().join("\n");
        let udp = listener(&lines, "udp:");
        let tcp = find_listener(&lines, "tcp:").unwrap_or(udp);
        Self { udp, tcp, process, folder }
    }

    /// Starts the program and waits until the XMPP server has accepted its handshake.
    pub(crate) fn start_connected(setup: &Setup) -> Self {
        let sipjab = Self::start(setup);
        sipjab.process.wait_for("component ready");
        sipjab
    }

    /// The address that the program says it listens at, of the first listener that begins so.
    pub(crate) fn listener(&self, scheme: &str) -> SocketAddr {
        listener(&self.process.lines().join("\n"), scheme)
    }

    /// Ends the program, and starts it again with what it has left in its folder.
    pub(crate) fn restart(mut self) -> Self {
        self.process.signal(Signal::SIGTERM);
        let status = self.process.exit(PATIENCE + PATIENCE);
        assert!(status.success(), "sipjab ended with {status}");
        Self::start_in(self.folder)
    }

    /// Kills the program, and starts it again with what it has left in its folder.
    pub(crate) fn kill_and_restart(mut self) -> Self {
        self.process.signal(Signal::SIGKILL);
        self.process.exit(PATIENCE);
        Self::start_in(self.folder)
    }

    /// The configuration.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.path().join("sipjab.toml")
    }

    /// The file of the embedded database.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("sipjab.db")
    }

    /// Changes the database behind the program's back, as an operator does.
    pub(crate) fn sql(&self, statements: &str) {
        let path = self.folder.path().join("sipjab.db");
        let mut command = Command::new(find("sqlite3", "sqlite3"));
        let output = command.arg("-cmd").arg(".timeout 10000").arg(path).arg(statements).output();
        let output = output.unwrap();
        assert!(output.status.success(), "sqlite3: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Overwrites the script, as an editor does.
    pub(crate) fn write_script(&self, script: &str) {
        self.write("route.rhai", script);
    }

    /// Overwrites a file beside the script.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Waits for `words` in the log after `mark`.
    pub(crate) fn logs(&self, mark: usize, words: &str, patience: Duration) -> Option<String> {
        self.process.wait_for_after(mark, patience, |line| line.contains(words))
    }

    /// Asks the program to end and expects that it does, with exit code 0.
    pub(crate) fn terminate(mut self) -> Vec<String> {
        self.process.signal(Signal::SIGTERM);
        let status = self.process.exit(PATIENCE + PATIENCE);
        let lines = self.process.lines();
        assert!(status.success(), "sipjab ended with {status}:\n{}", lines.join("\n"));
        lines
    }
}

/// Runs the program to its end with a configuration that it must not accept.
pub(crate) fn run_to_end(subcommand: &str, configuration: &str, script: &str) -> Output {
    let folder = folder_with(configuration, script);
    Command::new("timeout")
        .args(["20", env!("CARGO_BIN_EXE_sipjab"), subcommand, "-c"])
        .arg(folder.path().join("sipjab.toml"))
        .output()
        .unwrap()
}

fn folder_with(configuration: &str, script: &str) -> TempDir {
    let folder = TempDir::with_prefix("sipjab-").unwrap();
    let write = |name: &str, text: &str| fs::write(Path::join(folder.path(), name), text).unwrap();
    write("sipjab.toml", configuration);
    write("route.rhai", script);
    folder
}

/// The address behind `scheme` in the log.
fn listener(lines: &str, scheme: &str) -> SocketAddr {
    find_listener(lines, scheme)
        .unwrap_or_else(|| panic!("no listener {scheme} in the log:\n{lines}"))
}

fn find_listener(lines: &str, scheme: &str) -> Option<SocketAddr> {
    let transport = scheme.split(':').next().unwrap_or(scheme);
    lines.split_whitespace().find_map(|word| {
        let address = word.strip_prefix(transport)?.strip_prefix(':')?;
        word.starts_with(scheme).then(|| address.parse().ok()).flatten()
    })
}
