//! `sipjab migrate`

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{FINDINGS, FINE, UNREADABLE, wants_colour};
use crate::config::{Config, ConfigError};
use crate::diagnostic::Diagnostic;
use crate::migrate::{Dialect, Functions, Migration, Options, Server};
use crate::{modules, server};

const EXAMPLES: &str = "\
Examples:
  sipjab migrate /etc/ser/ser.cfg -o /etc/sipjab
  sipjab migrate kamailio.cfg -o new --define WITH_MYSQL --define WITH_AUTH
  sipjab migrate opensips.cfg -o new --dialect opensips --report json

The folder gets
  route.rhai     the routes: your comments, your order of blocks, your names
  sipjab.toml    settings and parameters of modules
  sipjab.env     passwords, when the old file holds any; only you can read it
  MIGRATION.md   what was carried over, what was left out, what needs you

Then read MIGRATION.md, and
  sipjab check -c new/sipjab.toml
  sipjab run -c new/sipjab.toml

Exit codes:
  0  everything was carried over
  1  something needs attention; it stands in MIGRATION.md
  2  the file cannot be read, or the folder cannot be written";

/// Findings that the terminal shows; all of them stand in `MIGRATION.md`.
const MOST_SHOWN: usize = 200;

/// Carry an old configuration over: SER, OpenSER, Kamailio or OpenSIPS
///
/// Reads the file with everything that it includes, and writes a folder that `sipjab check` finds nothing in. What has no
/// counterpart becomes `unsupported("ser.cfg:123", "original text")` in the script, which logs once and is false.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Migrate {
    /// The old configuration
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The folder that the new one goes into; files in it that we did not write are kept
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// The program that it was written for [default: what it looks like]
    #[arg(long, value_name = "DIALECT", value_parser = Dialect::names())]
    dialect: Option<String>,
    /// Define a name before the first line, as for `#!ifdef`
    #[arg(long, value_name = "NAME[=VALUE]")]
    define: Vec<String>,
    /// Let a name stay undefined, whatever the file says
    #[arg(long, value_name = "NAME")]
    undef: Vec<String>,
    /// How to say on standard output what became of it
    #[arg(long, value_enum, default_value = "text")]
    report: Format,
    /// Overwrite what stands in the folder
    #[arg(long)]
    force: bool,
}

/// The form of the report.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Line and caret for what needs attention, then the shares
    Text,
    /// One object with everything
    Json,
}

impl Migrate {
    pub(super) fn execute(self) -> ExitCode {
        match self.run() {
            Ok(true) => ExitCode::from(FINE),
            Ok(false) => ExitCode::from(FINDINGS),
            Err(reason) => {
                eprintln!("sipjab: {reason}");
                ExitCode::from(UNREADABLE)
            }
        }
    }

    fn run(&self) -> Result<bool, String> {
        let options = Options {
            dialect: self.dialect.as_deref().map(str::parse).transpose()?,
            defines: self.define.clone(),
            undefines: self.undef.clone(),
        };
        let made = migrate(&self.file, &options)?;
        write_all(&self.output, &made, self.force)?;
        let mut out = io::stdout().lock();
        let text = match self.report {
            Format::Json => made.report.json(),
            Format::Text => summary(&made, &self.output, wants_colour(&io::stdout())),
        };
        // A reader who has gone away changes nothing.
        let _ = out.write_all(text.as_bytes());
        Ok(made.is_complete())
    }
}

/// Carries over a file with what this server can do.
pub fn migrate(file: &Path, options: &Options) -> Result<Migration, String> {
    Migration::of(file, options, &this_server())
}

/// The same for a text.
pub fn migrate_text(name: &str, text: &str, options: &Options) -> Result<Migration, String> {
    Migration::of_text(name, text, options, &this_server())
}

fn this_server() -> Server<'static> {
    Server { functions: functions(), modules: modules::names(), check: &check }
}

fn functions() -> Functions {
    let exports = modules::load(&Default::default(), &Default::default());
    let catalogue = exports.map(|exports| exports.catalogue()).unwrap_or_default();
    Functions::new(catalogue.names().map(str::to_owned))
}

/// What the server says of a configuration and of a script that runs with it.
fn check(config: &str, script: &str) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
    let parsed = Config::parse(config, "sipjab.toml", Path::new(""), &modules::names());
    let config = match parsed {
        Ok(config) => config,
        Err(ConfigError::Invalid(findings)) => return (findings, Vec::new()),
        Err(_) => return (Vec::new(), Vec::new()),
    };
    match server::checker(&config) {
        Ok(checker) => (Vec::new(), checker.check_text("route.rhai", script)),
        Err(error) => (error.0, Vec::new()),
    }
}

/// Writes the files, passwords where only their owner can read them.
fn write_all(folder: &Path, made: &Migration, is_forced: bool) -> Result<(), String> {
    let markdown = made.report.markdown();
    let files = [
        ("route.rhai", made.script.as_str()),
        ("sipjab.toml", &made.config),
        ("MIGRATION.md", &markdown),
        ("sipjab.env", &made.environment),
    ];
    let wanted = files.iter().filter(|(_, text)| !text.is_empty());
    let about = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(folder).map_err(|error| about(folder, error))?;
    for (name, _) in wanted.clone() {
        let path = folder.join(name);
        if path.exists() && !is_forced {
            return Err(format!("{} is there already; --force overwrites it", path.display()));
        }
    }
    for (name, text) in wanted {
        let path = folder.join(name);
        write_file(&path, text, *name == "sipjab.env").map_err(|error| about(&path, error))?;
    }
    Ok(())
}

fn write_file(path: &Path, text: &str, is_secret: bool) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mode = if is_secret { 0o600 } else { 0o644 };
    if path.exists() {
        fs::remove_file(path)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(mode).open(path)?.write_all(text.as_bytes())
}

fn summary(made: &Migration, folder: &Path, colour: bool) -> String {
    let mut out = String::new();
    for finding in made.report.diagnostics().take(MOST_SHOWN) {
        out.push_str(&finding.render(colour));
        out.push('\n');
    }
    let findings = made.report.attention().count();
    if findings > MOST_SHOWN {
        out.push_str(&format!("… and {} more: MIGRATION.md has all\n", findings - MOST_SHOWN));
    }
    let counts = made.report.counts;
    let of = |what: usize, all: usize, share: f64| format!("{what} of {all} ({share:.1} %)");
    out.push_str(&format!(
        "{}: {} calls in routes carried over, {} settings of {}, {} to look at\n",
        made.report.dialect,
        of(counts.translated, counts.calls, made.report.share()),
        made.report.settings.1,
        made.report.settings.0,
        findings,
    ));
    out.push_str(&format!("read {}\n", folder.join("MIGRATION.md").display()));
    out
}
