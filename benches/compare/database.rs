//! A MariaDB server of the benchmark's own, with a thousand users in it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::phones::{REALM, stored_secret, user_name};
use crate::process::Process;
use crate::template::USERS;

/// How long it may take until it answers.
const STARTUP: Duration = Duration::from_secs(60);
/// How many users one statement inserts: the server reads no more than 20,000 bytes of one when it starts.
const INSERTED: usize = 100;
/// Where Debian puts its programs; not everybody has them on the path.
const PLACES: [&str; 3] = ["/usr/sbin", "/usr/bin", "/usr/local/bin"];

/// A running server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Database {
    url: String,
    process: Process,
}

impl Database {
    /// A server with its files in a folder inside `folder`, which takes connections.
    pub(crate) fn start(folder: &Path, stop: &AtomicBool) -> Result<Self, Error> {
        let folder = folder.join("database");
        fs::create_dir(&folder)?;
        install(&folder)?;
        let first = folder.join("first.sql");
        fs::write(&first, first_statements())?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = command("mariadbd", &folder)?;
        command.args(["--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=2"]);
        command.arg(format!("--port={port}")).arg(format!("--init-file={}", first.display()));
        command.args(["--socket=socket", "--pid-file=pid"]);
        let process = Process::start(command, &folder)?;
        let url = format!("mysql://sip:secret@127.0.0.1:{port}/sip");
        let mut database = Self { url, process };
        database.wait_ready(stop)?;
        Ok(database)
    }

    /// Where it is, for the configuration of both programs.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn wait_ready(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        let start = Instant::now();
        while !self.process.has_said("ready for connections") {
            if self.process.ended()?.is_some() || start.elapsed() > STARTUP {
                return Err(Error::Database(self.process.log_end()));
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// Makes the tables of the server itself.
fn install(folder: &Path) -> Result<(), Error> {
    let mut command = command("mariadb-install-db", folder)?;
    command.args(["--skip-test-db", "--auth-root-authentication-method=normal"]);
    let output = command.current_dir(folder).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Error::Database(String::from_utf8_lossy(&output.stdout).into_owned())),
    }
}

/// One of the server's programs, on the data in `folder`.
fn command(name: &'static str, folder: &Path) -> Result<Command, Error> {
    let mut places = PLACES.into_iter().map(|place| PathBuf::from(place).join(name));
    let missing = Error::Missing { program: "MariaDB", package: "mariadb-server" };
    let mut command = Command::new(places.find(|place| place.exists()).ok_or(missing)?);
    command.args(["--no-defaults", "--skip-name-resolve"]);
    command.arg(format!("--datadir={}", folder.join("data").display()));
    // a server that starts removes the temporary tables of all others there
    command.arg(format!("--tmpdir={}", folder.display()));
    // the server serves as root only when it is told so
    if folder.metadata()?.uid() == 0 {
        command.arg("--user=root");
    }
    Ok(command)
}

/// What the server does when it starts, one statement a line: accounts, tables, users.
fn first_statements() -> String {
    let mut sql = "create database sip;\n\
                   create user sip@'127.0.0.1' identified by 'secret';\n\
                   grant all on sip.* to sip@'127.0.0.1';\n\
                   use sip;\n"
        .to_owned();
    let schema = include_str!("schema.sql").lines().filter(|line| !line.starts_with("--"));
    for line in schema {
        sql.push_str(line.trim());
        sql.push(if line.ends_with(';') { '\n' } else { ' ' });
    }
    let users: Vec<u32> = (0..USERS).collect();
    for some in users.chunks(INSERTED) {
        let rows: Vec<_> = some.iter().copied().map(row).collect();
        let rows = rows.join(", ");
        sql.push_str(&format!("insert into subscriber (username, domain, ha1) values {rows};\n"));
    }
    sql
}

/// The row of one user.
fn row(number: u32) -> String {
    format!("('{}', '{REALM}', '{}')", user_name(number), stored_secret(number))
}
