//! `sipjab user`

mod csv;
pub(super) mod verify;

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use thiserror::Error;

use super::{ConfigFile, FINDINGS, FINE, UNREADABLE};
use crate::config::{Config, ConfigError, ParamError, Params};
use crate::engine::Jabber;
use crate::modules::jabber;
use crate::net::tls::TlsError;
use crate::sip::Uri;
use crate::store::seal::SealError;
use crate::store::users::{AddError, JUSERS, TRANSPORTS, User};
use crate::store::{Store, StoreError};
use crate::xmpp::jid;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or every account is fine
  1  a user is unknown or taken, an account fails, or the store does not do it
  2  the configuration or a file cannot be read, or the command line cannot be understood";

/// Tell which Jabber account a SIP user has
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct UserCommand {
    #[command(flatten)]
    config: ConfigFile,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Add a user; the password is read from standard input
    #[command(after_help = EXIT_CODES)]
    Add {
        /// The SIP user, `sip:user@host`
        sip_id: String,
        /// The account: its name, or its whole address
        jab_id: String,
    },
    /// List all users
    #[command(after_help = EXIT_CODES)]
    List,
    /// Show a user, with the accounts behind transports
    #[command(after_help = EXIT_CODES)]
    Show {
        /// The SIP user, `sip:user@host`
        sip_id: String,
    },
    /// Let a user's row count no more
    #[command(after_help = EXIT_CODES)]
    Disable {
        /// The SIP user, `sip:user@host`
        sip_id: String,
    },
    /// Let a user's row count again
    #[command(after_help = EXIT_CODES)]
    Enable {
        /// The SIP user, `sip:user@host`
        sip_id: String,
    },
    /// Take a user's row away
    #[command(after_help = EXIT_CODES)]
    Remove {
        /// The SIP user, `sip:user@host`
        sip_id: String,
    },
    /// Add the users of a CSV file with the columns sip_id, jab_id and password
    #[command(after_help = EXIT_CODES)]
    Import {
        /// The file; `-` for standard input
        file: PathBuf,
    },
    /// Write the users to standard output as CSV, with passwords only when told so
    #[command(after_help = EXIT_CODES)]
    Export {
        /// With the passwords, as they are
        #[arg(long)]
        with_passwords: bool,
    },
    /// Log in with every account, or with one, and tell which fail
    #[command(after_help = EXIT_CODES)]
    Verify {
        /// The SIP user, `sip:user@host`; all when there is none
        sip_id: Option<String>,
    },
}

/// Why a command was not done, sorted by blame.
#[derive(Debug, Error)]
enum UserError {
    #[error("`{0}` is no SIP user: expected sip:user@host")]
    NotSipId(String),
    #[error("`{0}` is no Jabber account: expected its name, or name@domain")]
    NotJabId(String),
    #[error("the password is empty")]
    EmptyPassword,
    #[error("{0} has no account")]
    Unknown(String),
    #[error("line {line}: {reason}")]
    Csv { line: usize, reason: String },
    #[error(transparent)]
    Add(#[from] AddError),
    #[error("{0} of {1} accounts fail")]
    Fail(usize, usize),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("no password was given on standard input")]
    NoPassword,
    #[error("[modules.jabber] is missing, or has no `jdomain`")]
    Off,
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Params(#[from] ParamError),
    #[error("[modules.jabber] ca: {0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
}

impl UserError {
    fn code(&self) -> u8 {
        match self {
            Self::Config(ConfigError::Unreadable { .. } | ConfigError::Missing(_))
            | Self::Io(..) => UNREADABLE,
            _ => FINDINGS,
        }
    }
}

impl UserCommand {
    pub(super) fn execute(self) -> ExitCode {
        match self.run() {
            Ok(()) => ExitCode::from(FINE),
            Err(error) => {
                eprintln!("sipjab: {error}");
                ExitCode::from(error.code())
            }
        }
    }

    fn run(self) -> Result<(), UserError> {
        let config = self.config.load()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| UserError::Io("a runtime".to_owned(), error))?;
        let _inside = runtime.enter();
        let jabber = Arc::new(open(&config)?);
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(self.action.run(&jabber, &config)))
    }
}

/// The accounts as the configuration has them.
fn open(config: &Config) -> Result<Jabber, UserError> {
    let params = config.modules.get("jabber").cloned().unwrap_or_else(Params::none);
    let accounts = params.parse::<jabber::Config>()?;
    if !accounts.is_on() {
        return Err(UserError::Off);
    }
    let transports = TRANSPORTS.iter().map(|(table, _)| (*table).clone());
    let tables: Vec<_> = transports.chain([JUSERS.clone()]).collect();
    let store = Store::open(&config.store, &tables)?;
    Ok(Jabber::new(accounts, store, &config.base_dir)?)
}

impl Action {
    async fn run(self, jabber: &Arc<Jabber>, config: &Config) -> Result<(), UserError> {
        let users = jabber.users();
        match self {
            Self::Add { sip_id, jab_id } => {
                let sip_id = sip_user(&sip_id)?;
                let password = password()?;
                may_log_in(jabber, &jab_id, &password)?;
                users.add(&sip_id, &jab_id, &password).await?;
            }
            Self::List => users.list().await?.iter().for_each(print),
            Self::Show { sip_id } => {
                let sip_id = in_table(sip_id);
                let user = users.find(&sip_id).await?.ok_or(UserError::Unknown(sip_id))?;
                print(&user);
                for (transport, name) in users.transports(user.juid).await? {
                    println!("  {transport} {name}");
                }
            }
            Self::Disable { sip_id } => {
                let sip_id = in_table(sip_id);
                known(users.enable(&sip_id, false).await?, sip_id)?;
            }
            Self::Enable { sip_id } => {
                let sip_id = in_table(sip_id);
                known(users.enable(&sip_id, true).await?, sip_id)?;
            }
            Self::Remove { sip_id } => {
                let sip_id = in_table(sip_id);
                known(users.remove(&sip_id).await?, sip_id)?;
            }
            Self::Import { file } => {
                let rows = csv::read(&text_of(&file)?)?;
                import(jabber, &rows).await?;
                println!("{} users added", rows.len());
            }
            Self::Export { with_passwords } => {
                println!("sip_id,jab_id,password");
                for user in users.list().await? {
                    let password =
                        if with_passwords { users.password(&user)? } else { String::new() };
                    println!("{}", csv::row([&user.sip_id, &user.jab_id, &password]));
                }
            }
            Self::Verify { sip_id } => {
                let all = match sip_id {
                    None => users.list().await?,
                    Some(sip_id) => {
                        let sip_id = in_table(sip_id);
                        vec![users.find(&sip_id).await?.ok_or(UserError::Unknown(sip_id))?]
                    }
                };
                let tried = verify::verify(jabber, &config.dns, all, verify::Shown::All).await;
                if tried.failed > 0 {
                    return Err(UserError::Fail(tried.failed, tried.count));
                }
            }
        }
        Ok(())
    }
}

/// Adds all users, or none when one of them cannot be added.
async fn import(jabber: &Jabber, rows: &[csv::NewUser]) -> Result<(), UserError> {
    let users = jabber.users();
    let ids: Vec<_> = rows.iter().map(|row| row.sip_id.clone()).collect();
    let mut taken: BTreeSet<_> = users.find_all(&ids).await?.into_keys().collect();
    let wrong = |line, reason: String| UserError::Csv { line, reason };
    for csv::NewUser { line, sip_id, jab_id, password } in rows {
        let may = may_log_in(jabber, jab_id, password);
        may.map_err(|error| wrong(*line, error.to_string()))?;
        if !taken.insert(sip_id.clone()) {
            return Err(wrong(*line, AddError::Taken(sip_id.clone()).to_string()));
        }
    }
    for csv::NewUser { line, sip_id, jab_id, password } in rows {
        let added = users.add(sip_id, jab_id, password).await;
        added.map_err(|error| wrong(*line, error.to_string()))?;
    }
    Ok(())
}

fn known(is_known: bool, sip_id: String) -> Result<(), UserError> {
    if is_known { Ok(()) } else { Err(UserError::Unknown(sip_id)) }
}

/// Refuses what no server can ever let in.
fn may_log_in(jabber: &Jabber, jab_id: &str, password: &str) -> Result<(), UserError> {
    let (name, domain) = jabber.config.account(jab_id);
    let is_account = jid::parse(&format!("{name}@{domain}")).is_ok_and(|jid| !jid.is_full());
    match (is_account, password.is_empty()) {
        (false, _) => Err(UserError::NotJabId(jab_id.to_owned())),
        (true, true) => Err(UserError::EmptyPassword),
        (true, false) => Ok(()),
    }
}

/// A SIP user as a row may name him, which others may have written as they liked.
fn in_table(written: String) -> String {
    sip_user(&written).unwrap_or(written)
}

fn print(user: &User) {
    let state = if user.is_enabled { "enabled" } else { "disabled" };
    let password = if user.is_sealed() { "sealed" } else { "plain" };
    println!("{} {} {} {state} {password}", user.juid, user.sip_id, user.jab_id);
}

/// A SIP user as the table has him; the scheme may be left out.
fn sip_user(written: &str) -> Result<String, UserError> {
    let uri = if written.contains(':') { written.to_owned() } else { format!("sip:{written}") };
    let is_user = Uri::parse(&uri).is_ok_and(|parsed| {
        format!(
            "{}:{}@{}",
            parsed.scheme().as_str(),
            parsed.user().unwrap_or_default(),
            parsed.host()
        ) == uri
            && parsed.user().is_some()
    });
    if is_user { Ok(uri) } else { Err(UserError::NotSipId(written.to_owned())) }
}

/// A line of standard input.
fn password() -> Result<String, UserError> {
    let input = std::io::stdin();
    if input.is_terminal() {
        eprint!("password, which will be seen: ");
    }
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    read.map_err(|error| UserError::Io("standard input".to_owned(), error))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() { Err(UserError::NoPassword) } else { Ok(password.to_owned()) }
}

fn text_of(file: &PathBuf) -> Result<String, UserError> {
    let text = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    text.map_err(|error| UserError::Io(file.display().to_string(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sip_user_is_a_scheme_a_user_and_a_host() {
        for (written, expected) in [
            ("sip:joe@sip.example", "sip:joe@sip.example"),
            ("joe@sip.example", "sip:joe@sip.example"),
        ] {
            assert_eq!(sip_user(written).unwrap(), expected);
        }
        for written in ["sip:sip.example", "joe", "sip:joe@sip.example:5060", "sip:joe@h;x=y", ""] {
            assert!(sip_user(written).is_err(), "{written}");
        }
    }
}
