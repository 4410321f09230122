//! SIPp, which calls through the program and takes the calls behind it.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::process::Process;
use crate::sipp_statistics::Statistics;

/// How often it writes its statistics.
const INTERVAL: &str = "100ms";
/// The file of its statistics.
const STATISTICS: &str = "statistics.csv";
/// How long it waits for a message before it gives a call up, in ms.
const PATIENCE: &str = "8000";
/// The socket buffers it asks for, so that a pause of its own does not look like a loss of the program's.
const BUFFER: &str = "4194304";

/// A running SIPp; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Sipp {
    folder: PathBuf,
    pub(crate) process: Process,
}

impl Sipp {
    /// Calls through `program` to `callee`: so many calls at so many per second.
    pub(crate) fn caller(
        folder: PathBuf,
        [local, program, callee]: [SocketAddr; 3],
        calls: u32,
        rate: u32,
    ) -> Result<Self, Error> {
        let mut arguments = vec![program.to_string()];
        arguments.extend(["-key".into(), "callee".into(), callee.to_string()]);
        arguments.extend(["-m".into(), calls.to_string(), "-r".into(), rate.to_string()]);
        // SIPp must not wait for calls to end before it begins others
        arguments.extend(["-l".into(), calls.to_string(), "-recv_timeout".into(), PATIENCE.into()]);
        Self::start(folder, include_str!("caller.xml"), local, arguments)
    }

    /// Takes calls at `local`, and does so when this returns.
    pub(crate) fn callee(folder: PathBuf, local: SocketAddr) -> Result<Self, Error> {
        let mut callee = Self::start(folder, include_str!("callee.xml"), local, Vec::new())?;
        while !listens(local)? {
            callee.process.check()?;
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Ok(callee)
    }

    /// What it has counted so far.
    pub(crate) fn statistics(&self) -> Option<Statistics> {
        Statistics::read(&fs::read_to_string(self.folder.join(STATISTICS)).ok()?)
    }

    fn start(
        folder: PathBuf,
        scenario: &str,
        local: SocketAddr,
        arguments: Vec<String>,
    ) -> Result<Self, Error> {
        fs::create_dir(&folder)?;
        fs::write(folder.join("scenario.xml"), scenario)?;
        let mut command = Command::new("sipp");
        command.args(["-sf", "scenario.xml", "-nostdin", "-buff_size", BUFFER]);
        command.args(["-trace_stat", "-stf", STATISTICS, "-fd", INTERVAL]);
        command.args(["-i", &local.ip().to_string(), "-p", &local.port().to_string()]);
        command.args(arguments);
        match Process::start(command, &folder) {
            Ok(process) => Ok(Self { folder, process }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Error::Missing { program: "SIPp", package: "sip-tester" })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a UDP socket has this IPv4 address, whose bytes Linux writes as a number of the machine's.
fn listens(local: SocketAddr) -> Result<bool, Error> {
    let SocketAddr::V4(local) = local else { return Ok(false) };
    let address = u32::from_ne_bytes(local.ip().octets());
    let address = format!(" {address:08X}:{:04X} ", local.port());
    Ok(fs::read_to_string(Path::new("/proc/net/udp"))?.contains(&address))
}
