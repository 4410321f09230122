//! `sipjab run`

use std::process::ExitCode;

use clap::Args;

use super::logging::{self, Filter};
use super::{ConfigFile, FINDINGS, FINE, UNREADABLE, wants_colour};
use crate::config::ConfigError;
use crate::server;

const EXIT_CODES: &str = "\
Signals:
  SIGHUP   read the route script and the certificates again; what has errors changes nothing
  SIGTERM  take no new work, finish what runs, close the streams, end with 0

Exit codes:
  0  stopped on request
  1  the configuration or the script has errors, or the server cannot go on
  2  the configuration cannot be read, or the command line cannot be understood";

/// Serve: take SIP and XMPP and run the route script for each message
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigFile,
    /// What to log, like `debug` or `info,sipjab::sip=trace` [default: RUST_LOG, then the
    /// configuration]
    #[arg(long, value_name = "FILTER")]
    log: Option<Filter>,
}

impl Run {
    pub(super) fn execute(self) -> ExitCode {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(error) => return refuse(&error),
        };
        if let Err(error) = logging::start(config.log, self.log) {
            eprintln!("sipjab: {error}");
            return ExitCode::from(FINDINGS);
        }
        match server::run(config) {
            Ok(()) => ExitCode::from(FINE),
            Err(error) => {
                eprintln!("sipjab: {}", chain(&error));
                ExitCode::from(FINDINGS)
            }
        }
    }
}

/// Says why there is no configuration.
fn refuse(error: &ConfigError) -> ExitCode {
    match error {
        ConfigError::Invalid(findings) => {
            let colour = wants_colour(&std::io::stderr());
            findings.iter().for_each(|finding| eprintln!("{}", finding.render(colour)));
            ExitCode::from(FINDINGS)
        }
        ConfigError::Unreadable { .. } | ConfigError::Missing(_) => {
            eprintln!("sipjab: {error}");
            ExitCode::from(UNREADABLE)
        }
    }
}

/// The error and what caused it, outermost first.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
