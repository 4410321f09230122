//! `sipjab.toml`: what an operator sets, read once at start.

mod dns;
mod document;
mod explain;
mod log;
mod params;
mod script;
mod secret;
mod sip;
mod spool;
mod store;
mod tls;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use serde::Deserialize;
use serde::de::IgnoredAny;
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::diagnostic::Diagnostic;
use document::Document;

pub use dns::DnsConfig;
pub use log::{LogConfig, LogFormat, LogLevel};
pub use params::{ParamError, Params};
pub use script::ScriptConfig;
pub use secret::{Secret, sealing_secret};
pub use sip::{Listen, SipConfig, SipLimits, SipTimers, Transport as ListenTransport};
pub use spool::{SpoolConfig, Uncertain};
pub use store::{StoreConfig, StoreUrl};
pub use tls::{ClientCertificate, TlsConfig, TlsDomain, WebSocketConfig};

/// The whole configuration, checked and with every path made absolute or relative to the
/// working directory.
#[derive(Debug)]
pub struct Config {
    /// The folder that relative paths in the file begin in.
    pub base_dir: PathBuf,
    /// `script`: the route script and its limits.
    pub script: ScriptConfig,
    /// `workers`: threads that run routes, each with its own script engine.
    ///
    /// 1 to 1024. Default: one per processor core, since a worker never waits.
    pub workers: NonZeroUsize,
    /// `[sip]`: addresses, domains, timers and limits.
    pub sip: SipConfig,
    /// `[dns]`: name servers.
    pub dns: DnsConfig,
    /// `[modules.NAME]`: the parameters of each module, by its name, still unread.
    pub modules: BTreeMap<String, Params>,
    /// `[store]`: the database.
    pub store: StoreConfig,
    /// `[spool]`: what is kept of accepted messages.
    pub spool: SpoolConfig,
    /// `[log]`: what is logged and how.
    pub log: LogConfig,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file says something that it may not say; all findings at once.
    #[error("{}", join(.0))]
    Invalid(Vec<Diagnostic>),

    /// No file was named, and where one is looked for there is none.
    #[error("there is neither {} nor {}; name a configuration with `-c FILE`", .0[0], .0[1])]
    Missing([&'static str; 2]),

    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file as the user named it.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

fn join(findings: &[Diagnostic]) -> String {
    findings.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}

/// The file as serde sees it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    script: ScriptConfig,
    #[serde(default = "value::cores", deserialize_with = "value::workers")]
    workers: NonZeroUsize,
    #[serde(default)]
    sip: SipConfig,
    #[serde(default)]
    dns: DnsConfig,
    /// Known here by name only; [`modules`] reads it.
    #[serde(rename = "modules")]
    _modules: Option<IgnoredAny>,
    #[serde(default)]
    store: StoreConfig,
    #[serde(default)]
    spool: SpoolConfig,
    #[serde(default)]
    log: LogConfig,
}

impl Config {
    /// The configuration in the file at `path`; `known_modules` are the names that `[modules.…]`
    /// may use.
    pub fn load(path: &Path, known_modules: &[&str]) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let base_dir = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, &path.display().to_string(), base_dir, known_modules)
    }

    /// The configuration for a script that has none: every setting at its default.
    pub fn with_defaults(script: &Path) -> Self {
        Self {
            base_dir: PathBuf::new(),
            script: ScriptConfig::new(script),
            workers: value::cores(),
            sip: SipConfig::default(),
            dns: DnsConfig::default(),
            modules: BTreeMap::new(),
            store: StoreConfig::default(),
            spool: SpoolConfig::default(),
            log: LogConfig::default(),
        }
    }

    /// The configuration in `text`, called `name` in messages, with paths relative to `base_dir`.
    pub fn parse(
        text: &str,
        name: &str,
        base_dir: &Path,
        known_modules: &[&str],
    ) -> Result<Self, ConfigError> {
        let document = Arc::new(Document::new(name, text, base_dir));
        let table = document.table().map_err(ConfigError::Invalid)?;
        let mut findings = Vec::new();
        let modules = modules(&document, table.get_ref(), known_modules, &mut findings);
        let file = document.read::<File>(table).map_err(|more| findings.extend(more));
        match file {
            Ok(file) if findings.is_empty() => Ok(file.into_config(base_dir, modules)),
            _ => {
                findings.sort_by_key(|finding| (finding.line, finding.column));
                Err(ConfigError::Invalid(findings))
            }
        }
    }
}

impl File {
    fn into_config(self, base_dir: &Path, modules: BTreeMap<String, Params>) -> Config {
        let Self { mut script, workers, mut sip, dns, mut store, mut spool, log, .. } = self;
        if let Some(tls) = &mut sip.tls {
            tls.resolve(base_dir);
        }
        script.file = base_dir.join(script.file);
        store.url.resolve(base_dir);
        spool.resolve(base_dir);
        let base_dir = base_dir.to_owned();
        Config { base_dir, script, workers, sip, dns, modules, store, spool, log }
    }
}

/// The tables under `[modules]`; what is not a module's table becomes a finding.
fn modules(
    document: &Arc<Document>,
    root: &DeTable<'_>,
    known: &[&str],
    findings: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Params> {
    let Some(modules) = root.get("modules") else { return BTreeMap::new() };
    let DeValue::Table(modules) = modules.get_ref() else {
        let message = "`modules` must be a table with one table per module";
        findings.push(document.finding(message, modules.span()));
        return BTreeMap::new();
    };
    let mut found = BTreeMap::new();
    for (name, value) in modules.iter() {
        match value.get_ref() {
            _ if !known.contains(&name.get_ref().as_ref()) => {
                findings.push(unknown_module(document, name, known));
            }
            DeValue::Table(_) => {
                found.insert(name.get_ref().to_string(), Params::new(document, name.get_ref()));
            }
            _ => {
                let message =
                    format!("the parameters of module `{}` must be a table", name.get_ref());
                findings.push(document.finding(message, value.span()));
            }
        }
    }
    found
}

fn unknown_module(document: &Document, name: &Spanned<DeString<'_>>, known: &[&str]) -> Diagnostic {
    let finding = document.finding(format!("there is no module `{}`", name.get_ref()), name.span());
    let finding = match known {
        [] => finding,
        _ => finding.with_help(format!("modules: {}", known.join(", "))),
    };
    finding.with_suggestion(name.get_ref(), known.iter().copied())
}

#[cfg(test)]
mod tests;
