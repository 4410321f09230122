//! Wires everything together and runs until shutdown.

use std::path::Path;

use thiserror::Error;

use crate::config::{Config, ParamError};
use crate::diagnostic::Severity;
use crate::script::check::Checker;
use crate::script::export::Kind;
use crate::{modules, script};

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
pub fn checker(config: &Config) -> Result<Checker, ParamError> {
    let exports = modules::load(&config.modules)?;
    Ok(Checker::new(script::engine::engine(&config.script, &exports), exports.catalogue()))
}

/// The errors in a piece of a script, as documentation shows it, with every parameter at its default.
///
/// A piece without a route is taken for the inside of `request_route`; warnings do not count.
pub fn check_snippet(text: &str) -> Result<(), ParamError> {
    let route = Kind::Request.function();
    let is_route = |line: &str| line.starts_with("fn ") && line.contains("_route");
    let text = match text.lines().any(is_route) {
        true if text.contains(&format!("fn {route}(")) => text.to_owned(),
        true => format!("{text}\nfn {route}() {{}}\n"),
        false => format!("fn {route}() {{\n{text}\n}}\n"),
    };
    let mut findings = checker(&Config::with_defaults(Path::new("")))?.check_text("snippet", &text);
    findings.retain(|finding| finding.severity == Severity::Error);
    if findings.is_empty() { Ok(()) } else { Err(ParamError(findings)) }
}
