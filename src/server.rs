//! Wires everything together and runs until shutdown.

mod files;
mod layers;
mod serve;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::config::{Config, Listen, ParamError};
use crate::diagnostic::{Diagnostic, Severity};
use crate::modules;
use crate::script;
use crate::script::check::Checker;
use crate::script::commons::Commons;
use crate::script::export::Kind;
use crate::script::import::Sources;
use crate::store::StoreError;

pub use layers::LayersError;

/// Why the server did not start, or stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The script has errors.
    #[error("the script has errors\n\n{}", list(.0))]
    Script(Vec<Diagnostic>),
    /// The script cannot be read.
    #[error("cannot read the script {}: {reason}", path.display())]
    Unreadable {
        /// The file that `script` of the configuration names.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// A module's parameters have errors.
    #[error(transparent)]
    Params(#[from] ParamError),
    /// TLS is not as it is configured.
    #[error(transparent)]
    Layers(#[from] LayersError),
    /// The authorities of the Jabber server cannot be used.
    #[error("[modules.jabber] ca: {0}")]
    Jabber(#[from] crate::net::tls::TlsError),
    /// The store cannot be opened, or does not fit.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An address cannot be listened on.
    #[error("cannot listen on {listen}{}", in_use(.source))]
    Listen {
        /// The address.
        listen: Listen,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system refuses a thread, a signal or a runtime.
    #[error("cannot start: {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A worker could not be started.
    #[error("worker {0} did not start")]
    Worker(u16),
}

fn list(findings: &[Diagnostic]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn in_use(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            ": another program has the port; stop it or choose another"
        }
        _ => "",
    }
}

/// Serves as `config` says until it is told to stop.
pub fn run(config: Config) -> Result<(), ServeError> {
    serve::serve(Arc::new(config))
}

/// A checker of scripts whose configuration nobody knows: modules have their default parameters.
pub fn checker_of_scripts() -> Result<Checker, ParamError> {
    let config = Config::with_defaults(Path::new(""));
    let exports = modules::load(&config.modules, &Commons::default())?;
    let engine = script::engine::engine(&config.script, &exports);
    Ok(Checker::new(engine, exports.catalogue().for_any_configuration()))
}

/// A checker that knows what scripts may call under `config`.
pub fn checker(config: &Config) -> Result<Checker, ParamError> {
    let exports = modules::load(&config.modules, &Commons::default())?;
    let engine = script::engine::engine(&config.script, &exports);
    Ok(Checker::new(engine, exports.catalogue()))
}

/// What is wrong with the certificates that `config` names, if anything.
pub fn check_certificates(config: &Config) -> Result<(), LayersError> {
    layers::layers(&config.sip).map(drop)
}

/// The script of `config` with everything that it imports, when it has no errors.
fn sound_script(config: &Config) -> Result<Sources, ServeError> {
    let checker = checker(config)?;
    let path = &config.script.file;
    let unreadable = |reason| ServeError::Unreadable { path: path.clone(), reason };
    let (findings, sources) = checker.read(path).map_err(unreadable)?;
    for finding in findings.iter().filter(|finding| finding.severity == Severity::Warning) {
        tracing::warn!(file = %finding.file, line = finding.line, "script: {}", finding.message);
    }
    let errors: Vec<_> =
        findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    if errors.is_empty() { Ok(sources) } else { Err(ServeError::Script(errors)) }
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
    let mut findings = checker_of_scripts()?.check_text("snippet", &text);
    findings.retain(|finding| finding.severity == Severity::Error);
    if findings.is_empty() { Ok(()) } else { Err(ParamError(findings)) }
}
