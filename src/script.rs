//! Rhai: what a route may call and change.

pub mod check;
pub mod export;
pub mod import;

use crate::config::{Config, ParamError};
use check::Checker;

/// A checker that knows what scripts may call under `config`.
pub fn checker(_config: &Config) -> Result<Checker, ParamError> {
    Ok(Checker::new(rhai::Engine::new(), export::Catalogue::default()))
}
