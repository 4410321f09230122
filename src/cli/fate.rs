//! `sipjab fate`

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{ConfigFile, FINDINGS, FINE, UNREADABLE};
use crate::config::{Config, StoreUrl};
use crate::engine::{SPOOL, Told};
use crate::gateway::MessageId;
use crate::store::{Store, StoreError, Value};

const EXIT_CODES: &str = "\
States:
  accepted     it waits, and outlives a restart
  sending      an attempt is under way
  handed_over  the next server has taken it
  delivered    the recipient's own device has it
  failed       it did not arrive, or nobody knows; its sender was told
  expired      its time was over before it could leave; its sender was told

Exit codes:
  0  the message is known
  1  it is not, or not any more
  2  the configuration or the spool cannot be read, or the command line cannot be understood";

/// Tell what became of a message that was accepted
///
/// The server may run meanwhile. Messages that are kept in memory only are not found.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Fate {
    #[command(flatten)]
    config: ConfigFile,
    /// What the message is known by: 32 hexadecimal digits, as message_id() tells in scripts
    #[arg(value_name = "ID", value_parser = id)]
    id: MessageId,
}

fn id(text: &str) -> Result<MessageId, &'static str> {
    MessageId::parse(text).ok_or("expected 32 hexadecimal digits")
}

impl Fate {
    pub(super) fn execute(self) -> ExitCode {
        let config = match self.config.load() {
            Ok(config) => config,
            Err(error) => return unreadable(&error.to_string()),
        };
        match told(&config, self.id) {
            Ok(Some(told)) => {
                // A reader who has gone away changes nothing.
                let _ = io::stdout().write_all(lines(&told).as_bytes());
                ExitCode::from(FINE)
            }
            Ok(None) => {
                eprintln!("sipjab: there is no message {}", self.id);
                ExitCode::from(FINDINGS)
            }
            Err(error) => unreadable(&error.to_string()),
        }
    }
}

fn unreadable(reason: &str) -> ExitCode {
    eprintln!("sipjab: {reason}");
    ExitCode::from(UNREADABLE)
}

fn told(config: &Config, id: MessageId) -> Result<Option<Told>, StoreError> {
    let Some(place) = config.spool.store(&config.store) else {
        return Err(StoreError::Unopened("messages are kept in memory only".to_owned()));
    };
    if let StoreUrl::Sqlite(path) = &place.url
        && !path.exists()
    {
        return Err(StoreError::Unopened(format!("there is no {}", path.display())));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StoreError::Unopened(error.to_string()))?;
    let _inside = runtime.enter();
    let store = Store::open(&place, std::slice::from_ref(&SPOOL))?;
    let rows = runtime.block_on(store.query(Told::question(id)))?;
    Ok(Told::read(&rows))
}

fn lines(told: &Told) -> String {
    let time = |millis: u64| match Value::date_time(Duration::from_millis(millis)) {
        Value::Text(text) => format!("{text} UTC"),
        _ => String::new(),
    };
    let mut lines = vec![
        ("state", told.state.clone()),
        ("since", time(told.changed)),
        ("accepted", time(told.accepted)),
        ("attempts", told.attempts.to_string()),
        ("from", told.sender.clone()),
        ("to", told.recipient.clone()),
    ];
    if !told.reason.is_empty() {
        lines.push(("reason", format!("{} {}", told.status, told.reason)));
    }
    lines.into_iter().map(|(name, value)| format!("{name:<9} {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_why() {
        let told = Told {
            state: "failed".to_owned(),
            attempts: 3,
            accepted: 0,
            changed: 61_000,
            status: 404,
            reason: "Not Found".to_owned(),
            sender: "sip:a@b".to_owned(),
            recipient: "sip:c@d".to_owned(),
        };
        let expected = "state     failed\nsince     1970-01-01 00:01:01 UTC\n\
                        accepted  1970-01-01 00:00:00 UTC\nattempts  3\nfrom      sip:a@b\n\
                        to        sip:c@d\nreason    404 Not Found\n";
        assert_eq!(lines(&told), expected);
        assert!(!lines(&Told { reason: String::new(), ..told }).contains("reason"));
    }
}
