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
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    #[error(transparent)]
    Io(#[from] io::Error),
}
