//! `sipjab check`

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{ConfigFile, FINDINGS, FINE, UNREADABLE, wants_colour};
use crate::config::{Config, ConfigError};
use crate::diagnostic::{Diagnostic, Severity};
use crate::server;

const EXIT_CODES: &str = "\
Findings go to standard output, one after the other, as
  FILE:LINE:COLUMN: error|warning: what is wrong

Exit codes:
  0  nothing found
  1  findings
  2  a file cannot be read, or the command line cannot be understood";

/// Check the configuration and the route script without running them
///
/// The script is read together with every file that it imports: syntax, functions and their
/// arguments, routes and what may be called in them, variables, regular expressions, statuses.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Check {
    #[command(flatten)]
    config: ConfigFile,
    /// The script to check in place of the one that the configuration names
    ///
    /// Without a configuration, modules have their default parameters.
    #[arg(value_name = "SCRIPT")]
    script: Option<PathBuf>,
}

impl Check {
    pub(super) fn execute(self) -> ExitCode {
        match self.findings() {
            Ok(findings) => report(&findings),
            Err(code) => code,
        }
    }

    fn findings(&self) -> Result<Vec<Diagnostic>, ExitCode> {
        let located = self.config.locate();
        let config = match (&self.script, &located) {
            (Some(script), None) => Config::with_defaults(script),
            _ => match self.config.load() {
                Ok(config) => config,
                Err(ConfigError::Invalid(findings)) => return Ok(findings),
                Err(error) => return Err(unreadable(&error.to_string())),
            },
        };
        let mut findings = Vec::new();
        if let (Some(file), Err(error)) = (&located, server::check_certificates(&config)) {
            let file = file.display().to_string();
            findings.push(Diagnostic::about(Severity::Error, file, error.to_string()));
        }
        let path = self.script.as_deref().unwrap_or(&config.script.file);
        let checker = match located {
            Some(_) => server::checker(&config),
            None => server::checker_of_scripts(),
        };
        match checker {
            Ok(checker) => findings.extend(
                checker
                    .check_file(path)
                    .map_err(|error| unreadable(&format!("{}: {error}", path.display())))?,
            ),
            Err(error) => findings.extend(error.0),
        }
        Ok(findings)
    }
}

fn unreadable(reason: &str) -> ExitCode {
    eprintln!("sipjab: {reason}");
    ExitCode::from(UNREADABLE)
}

/// Writes the findings and their number; a reader who has gone away changes nothing.
fn report(findings: &[Diagnostic]) -> ExitCode {
    let mut out = io::stdout().lock();
    let colour = wants_colour(&out);
    for finding in findings {
        let _ = writeln!(out, "{}", finding.render(colour));
    }
    let _ = writeln!(out, "{}", summary(findings));
    ExitCode::from(if findings.is_empty() { FINE } else { FINDINGS })
}

fn summary(findings: &[Diagnostic]) -> String {
    let errors = findings.iter().filter(|f| f.severity == Severity::Error).count();
    match (errors, findings.len() - errors) {
        (0, 0) => "no findings".to_owned(),
        (errors, 0) => count(errors, "error"),
        (0, warnings) => count(warnings, "warning"),
        (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_by_severity() {
        let finding = |severity| Diagnostic::about(severity, "f", "m");
        let (error, warning) = (finding(Severity::Error), finding(Severity::Warning));
        assert_eq!(summary(&[]), "no findings");
        assert_eq!(summary(std::slice::from_ref(&error)), "1 error");
        assert_eq!(summary(&[error.clone(), warning, error]), "2 errors, 1 warning");
    }
}
