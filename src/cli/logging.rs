//! Log lines on standard error, as text for people or JSON for collectors.

use std::io;
use std::str::FromStr;

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::wants_colour;
use crate::config::{LogConfig, LogFormat};

/// Which lines are written: a level, and levels for parts of the program.
#[derive(Clone, Debug)]
pub(super) struct Filter(String);

impl FromStr for Filter {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        EnvFilter::try_new(text).map(|_| Self(text.to_owned()))
    }
}

/// Why there is no log.
#[derive(Debug, Error)]
pub(super) enum LogError {
    /// The environment's filter is none.
    #[error("RUST_LOG is no log filter: {0}")]
    Environment(ParseError),
    /// Something else in this process logs already.
    #[error("the log has been started before")]
    Started(#[from] TryInitError),
}

/// Starts the log: `filter` goes before `RUST_LOG`, which goes before the configuration.
pub(super) fn start(config: LogConfig, filter: Option<Filter>) -> Result<(), LogError> {
    let environment = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let filter = chosen(config, filter, environment)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.format {
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
        LogFormat::Text => lines.with_ansi(wants_colour(&io::stderr())).finish().try_init(),
    }?;
    Ok(())
}

fn chosen(
    config: LogConfig,
    filter: Option<Filter>,
    environment: Option<String>,
) -> Result<EnvFilter, LogError> {
    match (filter, environment.filter(|text| !text.is_empty())) {
        (Some(Filter(text)), _) => Ok(EnvFilter::new(text)),
        (None, Some(text)) => EnvFilter::try_new(text).map_err(LogError::Environment),
        (None, None) => Ok(EnvFilter::new(config.level.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(filter: Option<&str>, environment: Option<&str>) -> String {
        let filter = filter.map(|text| text.parse().unwrap());
        let environment = environment.map(str::to_owned);
        chosen(LogConfig::default(), filter, environment).unwrap().to_string()
    }

    #[test]
    fn the_flag_goes_before_the_environment_and_that_before_the_configuration() {
        assert_eq!(level(Some("debug"), Some("trace")), "debug");
        assert_eq!(level(None, Some("trace")), "trace");
        assert_eq!(level(None, Some("")), "info");
        assert_eq!(level(None, None), "info");
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        assert!("sipjab=loud".parse::<Filter>().is_err());
        let environment = Some("sipjab=loud".to_owned());
        assert!(chosen(LogConfig::default(), None, environment).is_err());
    }
}
