//! Why a measurement has no result.

use std::io;
use std::process::ExitStatus;

/// What keeps a case from being measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The program does not serve; its log tells why.
    #[error("answers nothing within {seconds} s; its log ends:\n{log}")]
    Silent { seconds: u64, log: String },
    /// The program ended by itself.
    #[error("ended during the measurement ({status}); its log ends:\n{log}")]
    Ended { status: ExitStatus, log: String },
    /// The C compiler does not build the library that Kamailio's module needs.
    #[error("cc cannot build the expat library for Kamailio: {0}")]
    Shim(String),
    /// One of the ends is not installed.
    #[error("{program} is missing; to install it: apt-get install {package}")]
    Missing { program: &'static str, package: &'static str },
    /// The database server does not start.
    #[error("the database server does not start: {0}")]
    Database(String),
    /// SIPp has not made a call.
    #[error("SIPp has not made a call; it says:\n{0}")]
    Sipp(String),
    /// Not all accounts log in.
    #[error("{online} of {accounts} accounts are online; its log ends:\n{log}")]
    Offline { online: u32, accounts: u32, log: String },
    /// The system lets a process open too few files.
    #[error(
        "a process may open {most} files, and {needed} are needed: raise the hard limit (ulimit -Hn)"
    )]
    Files { most: u64, needed: u64 },
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    #[error(transparent)]
    Io(#[from] io::Error),
}
