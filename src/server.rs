//! Wires everything together and runs until shutdown.

use thiserror::Error;

use crate::config::{Config, ParamError};
use crate::script::check::Checker;
use crate::script::export::Catalogue;

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

/// A checker that knows what scripts may call under `config`.
pub fn checker(_config: &Config) -> Result<Checker, ParamError> {
    Ok(Checker::new(rhai::Engine::new(), Catalogue::default()))
}
