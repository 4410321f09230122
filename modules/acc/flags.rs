//! Accounting of transactions that have ended, as the flags of their messages want it.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::{Config, Record};
use crate::script::ending::Ending;
use crate::script::router::Waiting;
use crate::sip::Message;
use crate::store::Store;

/// A flag of a message, as a mask; without any bit for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag(u32);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        let number = u32::try_from(number).ok().filter(|number| *number < u32::BITS);
        number.map(|number| Self(1 << number)).ok_or_else(|| D::Error::custom("expected 0 to 31"))
    }
}

impl Flag {
    fn is_set(self, flags: u32) -> bool {
        flags & self.0 != 0
    }
}

impl Config {
    fn all(&self) -> u32 {
        self.log_flag.0 | self.log_missed_flag.0 | self.db_flag.0 | self.db_missed_flag.0
    }

    /// Is any transaction accounted by flags?
    pub(super) fn is_any(&self) -> bool {
        self.all() != 0
    }

    /// Accounts a transaction, at once in the log, and afterwards in the store.
    pub(super) fn account(
        &self,
        store: Option<&Store>,
        ending: &Ending<'_>,
    ) -> Option<Waiting<()>> {
        if ending.flags & self.all() == 0 {
            return None;
        }
        let is_failed = !ending.is_success();
        let is_counted = !is_failed || self.failed_transaction_flag.is_set(ending.flags);
        let is_missed = is_failed && ending.is_method("INVITE");
        let is_wanted = |flag: Flag, is_so: bool| is_so && flag.is_set(ending.flags);
        let record = Record::of(ending)?;
        if is_wanted(self.log_flag, is_counted) {
            record.log("transaction answered");
        }
        if is_wanted(self.log_missed_flag, is_missed) {
            record.log("call missed");
        }
        let tables = [
            is_wanted(self.db_flag, is_counted).then_some("acc"),
            is_wanted(self.db_missed_flag, is_missed).then_some("missed_calls"),
        ];
        let store = store?;
        let rows = tables.into_iter().flatten().map(|table| record.insert(table));
        let stored: Vec<_> = rows.map(|row| store.execute(vec![row])).collect();
        (!stored.is_empty()).then(|| {
            Box::pin(async move {
                for stored in stored {
                    if let Err(error) = stored.await {
                        let call_id = &record.call_id;
                        tracing::warn!(%error, %call_id, "transaction not accounted");
                    }
                }
            }) as Waiting<()>
        })
    }
}

impl Record {
    /// What is noted of a transaction that was answered; `None` for one that was not, and for a CANCEL.
    fn of(ending: &Ending<'_>) -> Option<Self> {
        let (request, response) = (ending.request()?, ending.response()?);
        let to_tag = |message: &Message| Some(message.to().ok()?.tag()?.to_owned());
        Some(Self {
            method: request.method().as_str().to_owned(),
            from_tag: request.from().ok()?.tag().unwrap_or_default().to_owned(),
            to_tag: to_tag(&response).or_else(|| to_tag(&request)).unwrap_or_default(),
            call_id: request.call_id().ok()?.to_owned(),
            code: ending.status?.to_string(),
            reason: response.reason().to_owned(),
        })
    }
}
