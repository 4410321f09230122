//! `sipjab migrate-db`

mod adopt;
mod carry;
mod pages;
mod purple;
mod row;
mod subject;
mod told;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use thiserror::Error;

use super::user::verify::{Shown, verify};
use super::{ConfigFile, FINDINGS, FINE, UNREADABLE};
use crate::clock;
use crate::config::{Config, ConfigError, ParamError, StoreConfig, StoreUrl};
use crate::engine::Jabber;
use crate::modules::jabber::{self, TlsName};
use crate::net::tls::TlsError;
use crate::store::users::User;
use crate::store::{Store, StoreError};
use carry::Target;
use purple::{Account, Users};
use subject::Known;
use told::Told;

const EXAMPLES: &str = "\
Examples:
  sipjab migrate-db --from mysql://ser:secret@127.0.0.1/sip_jab --dry-run --jaddress jabber.example
  sipjab migrate-db --from env:OLD_DATABASE --to sqlite:sipjab.db
  sipjab migrate-db --from mysql://openser:secret@db.example/openser

A URL is mysql://USER:PASSWORD@HOST/DATABASE or sqlite:PATH. env:NAME takes it from a variable,
and file:PATH from a file, where nobody who lists the processes sees its password.

Tables: jusers, aim, icq, msn, yahoo, subscriber, location, silo, imc_rooms, imc_members,
purplemap. The Jabber accounts of purplemap are put into jusers. Of each it is said how many rows were found, copied, skipped (expired, or there
already) and refused, and of a refused row which one it is and why. What is there is never
overwritten, but for a contact that expires earlier; a second time changes nothing.

Without --to, or with the same database, the tables are used where they are: their rows are
looked at, and columns that are needed and missing are added. The old server can go on with them.

Exit codes:
  0  everything is carried over, or can be used
  1  something needs attention: a row, a table or an account
  2  a database or the configuration cannot be read, or the command line cannot be understood";

/// Carry the tables of an old server over, or make them fit where they are
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct MigrateDb {
    #[command(flatten)]
    config: ConfigFile,
    /// The old database
    #[arg(long, value_name = "URL")]
    from: String,
    /// The new database [default: the old one]
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Write nothing, and try to log in with every Jabber account
    ///
    /// The server is that of `[modules.jabber]` in the configuration, or of the options.
    #[arg(long)]
    dry_run: bool,
    /// The Jabber server [default: `jaddress` of the configuration]
    #[arg(long, value_name = "HOST", requires = "dry_run")]
    jaddress: Option<String>,
    /// Its port [default: `jport` of the configuration]
    #[arg(long, value_name = "PORT", requires = "dry_run")]
    jport: Option<u16>,
    /// The domain of the accounts [default: `domain` of the configuration, else the server]
    #[arg(long, value_name = "DOMAIN", requires = "dry_run")]
    domain: Option<String>,
    /// How the server is spoken to [default: `tls` of the configuration]
    #[arg(long, value_name = "TLS", requires = "dry_run",
          value_parser = ["required", "where_offered", "direct", "off"])]
    tls: Option<String>,
}

/// Why nothing more was done, sorted by blame.
#[derive(Debug, Error)]
enum DbError {
    #[error("{option}: {reason}")]
    Url { option: &'static str, reason: String },
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Params(#[from] ParamError),
    #[error("[modules.jabber] ca: {0}")]
    Tls(#[from] TlsError),
    #[error("{option}: {source}")]
    Open { option: &'static str, source: StoreError },
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    #[error("a runtime: {0}")]
    Runtime(std::io::Error),
}

impl MigrateDb {
    pub(super) fn execute(self) -> ExitCode {
        match self.run() {
            Ok(true) => ExitCode::from(FINE),
            Ok(false) => ExitCode::from(FINDINGS),
            Err(error) => {
                eprintln!("sipjab: {error}");
                ExitCode::from(UNREADABLE)
            }
        }
    }

    fn run(&self) -> Result<bool, DbError> {
        let from = store_config("--from", &self.from)?;
        let to = self.to.as_deref().map(|url| store_config("--to", url)).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(DbError::Runtime)?;
        let _inside = runtime.enter();
        let opened = |option| move |source| DbError::Open { option, source };
        let name = |config: &StoreConfig| Store::name_of(&config.url).map_err(opened("--to"));
        let old = Store::open_to_read(&from).map_err(opened("--from"))?;
        let elsewhere = match to {
            Some(to) if name(&to)? != name(&from)? => Some(to),
            _ => None,
        };
        let mut told = Told::default();
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(async {
            let mut known = Known::new(clock::unix_time());
            let (tables, users) = match &elsewhere {
                Some(to) => {
                    let target = self.target(to).map_err(opened("--to"))?;
                    let tables = carry::carry(&old, &target, &mut known, &mut told).await?;
                    (tables, target.store)
                }
                None => {
                    let writer = (!self.dry_run).then(|| Store::open_as_it_is(&from));
                    let writer = writer.transpose().map_err(opened("--from"))?;
                    let tables = adopt::adopt(&old, writer.as_ref(), &mut known, &mut told).await?;
                    (tables, writer)
                }
            };
            let (store, is_dry) = (users.as_ref(), self.dry_run);
            let users = Users { store, is_dry, coming: &known.users };
            let more = users.take(&known.purple, &mut told).await?;
            if tables == 0 {
                told.trouble("none of these tables is there: is it the right database?");
            }
            let has_users = !old.columns("jusers").await?.is_empty();
            if self.dry_run && (has_users || !more.is_empty()) {
                self.try_accounts(&old, has_users, more, &mut told).await?;
            }
            Ok::<_, DbError>(())
        }))?;
        Ok(!told.has_trouble)
    }

    fn target(&self, to: &StoreConfig) -> Result<Target, StoreError> {
        let is_new = matches!(&to.url, StoreUrl::Sqlite(path) if !path.exists());
        let store = match (self.dry_run, is_new) {
            (true, true) => None,
            (true, false) => Some(Store::open_to_read(to)?),
            (false, _) => Some(Store::open_as_it_is(to)?),
        };
        Ok(Target { store, is_dry: self.dry_run })
    }

    /// Logs in with every account that counts, and tells which fail.
    async fn try_accounts(
        &self,
        old: &Store,
        has_users: bool,
        more: Vec<Account>,
        told: &mut Told,
    ) -> Result<(), DbError> {
        let located = self.config.locate();
        let config = match &located {
            Some(path) => Config::load(path, &crate::modules::names())?,
            None => Config::with_defaults(Path::new("")),
        };
        let params = config.modules.get("jabber");
        let mut accounts = match params {
            Some(params) => params.parse::<jabber::Config>()?,
            None => jabber::Config::default(),
        };
        if params.is_none() && self.jaddress.is_none() {
            told.trouble(
                "accounts: not tried: --jaddress names their server, or [modules.jabber] of --config",
            );
            return Ok(());
        }
        if let Some(host) = &self.jaddress {
            accounts.jaddress.clone_from(host);
        }
        accounts.jport = self.jport.unwrap_or(accounts.jport);
        accounts.domain = self.domain.clone().or(accounts.domain);
        accounts.tls = self.tls.as_deref().map(tls_name).or(accounts.tls);
        let jabber = Arc::new(Jabber::new(accounts, old.clone(), &config.base_dir)?);
        let mut users = if has_users { jabber.users().list().await? } else { Vec::new() };
        let not_yet = |it: Account| User::unsealed(&it.sip_id, &it.jab_id, &it.password);
        users.extend(more.into_iter().map(not_yet));
        let tried = verify(&jabber, &config.dns, users, Shown::Failures).await;
        let line = format!("accounts: {} tried, {} fail", tried.count, tried.failed);
        if tried.failed > 0 {
            told.trouble(line)
        } else {
            told.say(line)
        }
        Ok(())
    }
}

fn tls_name(word: &str) -> TlsName {
    match word {
        "where_offered" => TlsName::WhereOffered,
        "direct" => TlsName::Direct,
        "off" => TlsName::Off,
        _ => TlsName::Required,
    }
}

/// The database that an option names.
fn store_config(option: &'static str, written: &str) -> Result<StoreConfig, DbError> {
    let wrong = |reason: String| DbError::Url { option, reason };
    let url = match written.split_once(':') {
        Some(("env", name)) => {
            std::env::var(name).map_err(|error| wrong(format!("the variable {name}: {error}")))?
        }
        Some(("file", path)) => std::fs::read_to_string(PathBuf::from(path))
            .map_err(|error| wrong(format!("{path}: {error}")))?,
        _ => written.to_owned(),
    };
    // SER says `sql`.
    let url = match url.trim().strip_prefix("sql:") {
        Some(rest) => format!("mysql:{rest}"),
        None => url.trim().to_owned(),
    };
    let url = StoreUrl::parse(&url).map_err(|reason| wrong(reason.to_owned()))?;
    Ok(StoreConfig { url, timeout: Duration::from_secs(60), ..StoreConfig::default() })
}
