//! The Jabber accounts of Kamailio's purple module, which become rows of `jusers`.

use std::collections::HashMap;

use super::row::New;
use super::told::{Counts, Told};
use crate::store::users::{self, JUSERS};
use crate::store::{Statement, Store, StoreError};

/// What the module called Jabber.
const PROTOCOLS: &[&str] = &["xmpp", "jabber", "prpl-xmpp", "prpl-jabber", "gtalk", "prpl-gtalk"];

/// An account of a SIP user.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) sip_id: String,
    pub(super) jab_id: String,
    pub(super) password: String,
}

impl Account {
    /// The account that a row of `purplemap` is; none for another protocol.
    pub(super) fn of(row: &New<'_>) -> Option<Self> {
        let protocol = row.text("ext_prot").to_ascii_lowercase();
        PROTOCOLS.contains(&protocol.as_str()).then(|| Self {
            sip_id: row.text("sip_user").to_owned(),
            // A resource is the gateway's own.
            jab_id: row.text("ext_user").split('/').next().unwrap_or_default().to_owned(),
            password: row.text("ext_pass").to_owned(),
        })
    }
}

/// Where the accounts come to.
pub(super) struct Users<'u> {
    /// The database of `jusers`; none when it is not there yet.
    pub(super) store: Option<&'u Store>,
    /// Nothing is written.
    pub(super) is_dry: bool,
    /// What `jusers` will have besides: SIP users with their accounts.
    pub(super) coming: &'u HashMap<String, String>,
}

impl Users<'_> {
    /// Puts accounts into `jusers`; gives back those that were not there.
    pub(super) async fn take(
        &self,
        accounts: &[Account],
        told: &mut Told,
    ) -> Result<Vec<Account>, StoreError> {
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        let mut there = self.there().await?;
        let mut counts = Counts { found: accounts.len(), ..Counts::default() };
        let mut taken = Vec::new();
        for account in accounts {
            let Account { sip_id, jab_id, password } = account;
            match there.get(sip_id) {
                Some(known) if known == jab_id => counts.skipped += 1,
                Some(_) => refuse(account, "this SIP user has another account", &mut counts, told),
                None if password.is_empty() => {
                    refuse(account, "it has no password", &mut counts, told);
                }
                None => {
                    if let Some(store) = self.store.filter(|_| !self.is_dry) {
                        store.execute(vec![users::insert(sip_id, jab_id, password)]).await?;
                    }
                    if self.is_dry {
                        told.say(format!("  jusers {sip_id} {jab_id}: to put in"));
                    }
                    there.insert(sip_id.clone(), jab_id.clone());
                    counts.good += 1;
                    taken.push(account.clone());
                }
            }
        }
        let good = if self.is_dry { "to put into jusers" } else { "put into jusers" };
        told.say(format!("Jabber accounts of purplemap: {}", counts.words(good)));
        Ok(taken)
    }

    /// The accounts that `jusers` has or will have; the table is made where it is missing.
    async fn there(&self) -> Result<HashMap<String, String>, StoreError> {
        let mut there = self.coming.clone();
        let Some(store) = self.store else { return Ok(there) };
        if store.columns(&JUSERS.name).await?.is_empty() {
            if !self.is_dry {
                store.make(&JUSERS).await?;
            }
            return Ok(there);
        }
        let rows = store.query(Statement::new("SELECT sip_id, jab_id FROM jusers")).await?;
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        there.extend(rows.iter().map(|row| (text(row.text(0)), text(row.text(1)))));
        Ok(there)
    }
}

fn refuse(account: &Account, reason: &str, counts: &mut Counts, told: &mut Told) {
    counts.refused += 1;
    told.trouble(format!("  purplemap {} {}: refused: {reason}", account.sip_id, account.jab_id));
}
