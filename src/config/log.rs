//! `[log]`: what is written to standard error.

use serde::Deserialize;

/// `[log]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `level`: the least important line that is still written.
    ///
    /// Default `info`. `--log` and `RUST_LOG` go before it.
    pub level: LogLevel,
    /// `format`: `text` for people, `json` for collectors. Default `text`.
    pub format: LogFormat,
}

/// Importance of log lines, from the most to the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What an operator must mend.
    Error,
    /// What an operator should know.
    Warn,
    /// Starts, stops, connections.
    #[default]
    Info,
    /// One message's way.
    Debug,
    /// Every byte.
    Trace,
}

impl LogLevel {
    /// The level as it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line of text.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}
