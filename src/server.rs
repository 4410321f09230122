//! Wires everything together and runs until shutdown.

use thiserror::Error;

use crate::config::Config;

/// Why the server stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// There is no engine in this build.
    #[error("this build cannot serve")]
    NoEngine,
}

/// Serves as `config` says until it is told to stop.
pub fn run(_config: Config) -> Result<(), ServeError> {
    Err(ServeError::NoEngine)
}
