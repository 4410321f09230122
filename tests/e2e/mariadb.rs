//! A MariaDB server of the test's own: a folder, a port and a user that end with it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use sipjab::config::{StoreConfig, StoreUrl};
use tempfile::TempDir;

use crate::port;
use crate::process::{Process, find};

/// The password of its user; no log may show it.
pub(crate) const PASSWORD: &str = "hunter2";

/// The kernel's queues are few, and all servers of a machine share them.
const NO_NATIVE_AIO: &str = "--innodb-use-native-aio=0";

/// A server that starts removes all temporary tables where it keeps its own, those of others, too.
fn temporary_files(folder: &Path) -> String {
    format!("--tmpdir={}", folder.display())
}

/// A server, stopped when dropped.
pub(crate) struct Mariadb {
    port: u16,
    process: Option<Process>,
    folder: TempDir,
}

impl Mariadb {
    /// A server that is not running yet.
    pub(crate) fn new() -> Self {
        let folder = TempDir::with_prefix("sipjab-mariadb-").unwrap();
        let user = owner(folder.path());
        let output = Command::new(find("mariadb-install-db", "mariadb-server"))
            .args(["--no-defaults", "--skip-test-db", "--skip-name-resolve"])
            .arg("--auth-root-authentication-method=normal")
            .arg(format!("--user={user}"))
            .arg(format!("--datadir={}", folder.path().join("data").display()))
            .arg(NO_NATIVE_AIO)
            .arg(temporary_files(folder.path()))
            .output()
            .unwrap();
        let (said, complained) = (&output.stdout, &output.stderr);
        let words = [said, complained].map(|words| String::from_utf8_lossy(words));
        assert!(output.status.success(), "{}", words.join("\n"));
        let accounts = format!(
            "CREATE DATABASE IF NOT EXISTS sip;\n\
             CREATE USER IF NOT EXISTS 'sip'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n\
             GRANT ALL ON sip.* TO 'sip'@'127.0.0.1';\n"
        );
        std::fs::write(folder.path().join("init.sql"), accounts).unwrap();
        Self { port: port::free(), process: None, folder }
    }

    /// A server that takes connections.
    pub(crate) fn running() -> Self {
        let mut server = Self::new();
        server.start();
        server
    }

    /// Starts the server on its port with the data that it has.
    pub(crate) fn start(&mut self) {
        let folder = self.folder.path();
        let mut command = Command::new(find("mariadbd", "mariadb-server"));
        command
            .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"])
            .args(["--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", NO_NATIVE_AIO])
            .arg(temporary_files(folder))
            .arg(format!("--user={}", owner(folder)))
            .arg(format!("--datadir={}", folder.join("data").display()))
            .arg(format!("--socket={}", folder.join("socket").display()))
            .arg(format!("--pid-file={}", folder.join("pid").display()))
            .arg(format!("--init-file={}", folder.join("init.sql").display()))
            .arg(format!("--port={}", self.port));
        let process = Process::start("mariadbd", &command);
        process.wait_for("ready for connections");
        self.process = Some(process);
    }

    /// Kills the server; its port and data stay.
    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    /// The server goes on to exist, and answers nobody.
    pub(crate) fn freeze(&self) {
        self.process.as_ref().expect("the server runs").signal(Signal::SIGSTOP);
    }

    /// The end of that.
    pub(crate) fn thaw(&self) {
        self.process.as_ref().expect("the server runs").signal(Signal::SIGCONT);
    }

    /// Changes the database behind the program's back, as an operator does.
    pub(crate) fn sql(&self, statements: &str) {
        self.ask(statements);
    }

    /// The same, with what it answers, without the names of columns.
    fn ask(&self, statements: &str) -> String {
        let output = Command::new(find("mariadb", "mariadb-client"))
            .args(["--no-defaults", "-N", "-h127.0.0.1", "-usip", "sip"])
            .arg(format!("-P{}", self.port))
            .arg(format!("-p{PASSWORD}"))
            .args(["-e", statements])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// `[store] url`
    pub(crate) fn url(&self) -> String {
        format!("mysql://sip:{PASSWORD}@127.0.0.1:{}/sip", self.port)
    }
}

/// The user that has a folder; mariadbd runs as root only when it is told so.
fn owner(folder: &Path) -> String {
    let uid = nix::unistd::Uid::from_raw(folder.metadata().unwrap().uid());
    let user = nix::unistd::User::from_uid(uid).unwrap();
    user.expect("who runs the tests has a name").name
}

/// The databases that can play every scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Sqlite,
    Mariadb,
}

/// A database, empty at first.
pub(crate) enum Database {
    Sqlite(TempDir),
    Mariadb(Mariadb),
}

/// Plays a scenario, a function of the kind of database, with each: `scenario::sqlite` and so on.
macro_rules! each_database {
    ($scenario:ident) => {
        mod $scenario {
            use crate::mariadb::Kind;

            #[test]
            fn sqlite() {
                super::$scenario(Kind::Sqlite);
            }

            #[test]
            fn mariadb() {
                super::$scenario(Kind::Mariadb);
            }
        }
    };
}
pub(crate) use each_database;

impl Kind {
    /// Starts it.
    pub(crate) fn start(self) -> Database {
        match self {
            Self::Sqlite => Database::Sqlite(TempDir::with_prefix("sipjab-sqlite-").unwrap()),
            Self::Mariadb => Database::Mariadb(Mariadb::running()),
        }
    }
}

impl Database {
    /// `[store] url`
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join("sip.db").display()),
            Self::Mariadb(server) => server.url(),
        }
    }

    /// Changes it behind the program's back, as an operator does.
    pub(crate) fn sql(&self, statements: &str) {
        self.ask("sip.db", statements);
    }

    /// Messages of the spool whose fate is open.
    pub(crate) fn spooled(&self) -> usize {
        self.count_spool("state IN ('accepted', 'sending')")
    }

    /// Messages of the spool whose fate is known.
    pub(crate) fn fates(&self) -> usize {
        self.count_spool("state NOT IN ('accepted', 'sending')")
    }

    fn count_spool(&self, which: &str) -> usize {
        let statement = format!("SELECT COUNT(*) FROM spool WHERE {which}");
        self.ask("sip-spool.db", &statement).trim().parse().unwrap()
    }

    /// What it answers; an embedded one has several files.
    fn ask(&self, file: &str, statements: &str) -> String {
        let folder = match self {
            Self::Sqlite(folder) => folder,
            Self::Mariadb(server) => return server.ask(statements),
        };
        let output = Command::new(find("sqlite3", "sqlite3"))
            .args(["-cmd", ".timeout 10000"])
            .arg(folder.path().join(file))
            .arg(statements)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// How the library opens it.
    pub(crate) fn config(&self) -> StoreConfig {
        let url = match self {
            Self::Sqlite(folder) => StoreUrl::Sqlite(folder.path().join("sip.db")),
            Self::Mariadb(server) => StoreUrl::Mysql(server.url().as_str().into()),
        };
        StoreConfig { url, ..StoreConfig::default() }
    }
}
