//! The command line: one subcommand, one file.

mod check;
mod explain;
mod fate;
mod logging;
mod migrate;
mod migrate_db;
mod run;
mod user;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError};

pub use migrate::{migrate, migrate_text};

/// Where the configuration is looked for when `--config` does not say it.
const CONFIG_FILES: [&str; 2] = ["sipjab.toml", "/etc/sipjab/sipjab.toml"];

/// All is well.
const FINE: u8 = 0;
/// Something is wrong with a file, or the server had to stop.
const FINDINGS: u8 = 1;
/// A file cannot be read, or the command line cannot be understood.
const UNREADABLE: u8 = 2;

const ABOUT: &str = "A scriptable SIP routing engine and SIP ⇄ XMPP gateway";

const EXAMPLES: &str = "\
Examples:
  sipjab run                           serve as ./sipjab.toml says
  sipjab run -c gate.toml --log debug  serve as another file says, and log much
  sipjab check                         check ./sipjab.toml and its route script
  sipjab check new-route.rhai          check a script before it takes the place of the old one
  sipjab fate 3f1c…                    what became of a message
  sipjab migrate ser.cfg -o new        carry an old configuration over
  sipjab migrate-db --from mysql://…   its tables, too
  sipjab explain sip:a@sip.example     show what the gateway makes of an address
  sipjab user add sip:a@sip.example a  give a SIP user a Jabber account

Configuration:
  --config FILE, else ./sipjab.toml, else /etc/sipjab/sipjab.toml.
  Relative paths in the file begin in the file's folder.";

#[derive(Parser)]
#[command(name = "sipjab", version, about = ABOUT, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Fate(fate::Fate),
    Migrate(migrate::Migrate),
    MigrateDb(migrate_db::MigrateDb),
    Explain(explain::Explain),
    User(user::UserCommand),
}

/// Which configuration to use.
#[derive(Args)]
struct ConfigFile {
    /// The configuration [default: ./sipjab.toml, then /etc/sipjab/sipjab.toml]
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    path: Option<PathBuf>,
}

impl ConfigFile {
    /// The file that was named or, without a name, the first that exists.
    fn locate(&self) -> Option<PathBuf> {
        let found = || CONFIG_FILES.iter().map(PathBuf::from).find(|path| path.exists());
        self.path.clone().or_else(found)
    }

    /// The configuration in the file that was named or found.
    fn load(&self) -> Result<Config, ConfigError> {
        let path = self.locate().ok_or(ConfigError::Missing(CONFIG_FILES))?;
        Config::load(&path, &crate::modules::names())
    }
}

/// Runs the command that the arguments name.
///
/// What is wrong has been said on standard error when this returns.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(run) => run.execute(),
        Command::Check(check) => check.execute(),
        Command::Fate(fate) => fate.execute(),
        Command::Migrate(migrate) => migrate.execute(),
        Command::MigrateDb(migrate_db) => migrate_db.execute(),
        Command::Explain(explain) => explain.execute(),
        Command::User(user) => user.execute(),
    }
}

/// Is the stream a terminal whose owner has not said `NO_COLOR`?
fn wants_colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_documented_forms_are_understood() {
        for line in [
            "sipjab run",
            "sipjab run -c sipjab.toml",
            "sipjab run --config sipjab.toml --log debug",
            "sipjab check",
            "sipjab check -c sipjab.toml route.rhai",
            "sipjab fate 00112233445566778899aabbccddeeff",
            "sipjab explain sip:a@b --dialect kamailio --gateway-domain g --xmpp-domain x",
            "sipjab migrate ser.cfg -o new --dialect ser0 --define A --define B=1 --undef C --report json",
            "sipjab user -c sipjab.toml add sip:joe@sip.example joe",
            "sipjab user verify",
            "sipjab migrate-db --from sqlite:a.db --to sqlite:b.db",
            "sipjab migrate-db -c s.toml --from sqlite:a.db --dry-run --jaddress h --jport 5222 --domain d --tls off",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }

    #[test]
    fn every_subcommand_teaches_its_exit_codes() {
        for subcommand in Cli::command().get_subcommands_mut() {
            let help = subcommand.render_long_help().to_string();
            assert!(help.contains("Exit codes:"), "{}", subcommand.get_name());
        }
    }
}
