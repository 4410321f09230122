//! The tables that are carried over: what tells their rows apart, what their columns were called, and which rows are of no use.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::purple::Account;
use super::row::New;
use crate::modules::auth::SUBSCRIBER;
use crate::modules::msilo::SILO;
use crate::modules::registrar::table::LOCATION;
use crate::sip::Uri;
use crate::store::users::{AIM, ICQ, JUSERS, MSN, YAHOO};
use crate::store::{Column, ColumnType, Table, Value};
use crate::xmpp::jid;

/// A table.
pub(super) struct Subject {
    pub(super) table: &'static Table,
    /// The old columns that a row is named by, as far as they are there; rows are read in their order.
    pub(super) named: &'static [&'static str],
    /// The columns that a row of the new table is found by.
    pub(super) same: &'static [&'static str],
    /// What there may be of rows that are found so.
    pub(super) others: Others,
    /// What columns of ours were called, and how they are read.
    pub(super) renamed: &'static [(&'static str, &'static str, How)],
    /// What becomes of a row.
    pub(super) judge: fn(&mut New<'_>, &Known) -> Verdict,
}

/// What a row is that is found by the same columns, but says something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// Another answer to the same question: ours is refused.
    Refuse,
    /// The same thing at another time: the one that lasts longer stays.
    Longest,
    /// Something else.
    Differ,
}

/// How an old column is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    AsIs,
    /// The user of a URI or of `user@host`.
    User,
    /// The host of one.
    Host,
    /// The URI of a header's value.
    Address,
}

/// What is known when a row is judged.
pub(super) struct Known {
    /// Since 1970.
    pub(super) now: Duration,
    /// The rows of `jusers` that the transports may belong to.
    pub(super) juids: HashSet<i64>,
    /// SIP users of `jusers` with their accounts.
    pub(super) users: HashMap<String, String>,
    /// The Jabber accounts of `purplemap`.
    pub(super) purple: Vec<Account>,
}

impl Known {
    /// Nothing yet, but the time.
    pub(super) fn new(now: Duration) -> Self {
        Self { now, juids: HashSet::new(), users: HashMap::new(), purple: Vec::new() }
    }

    /// Notes a row that is carried over, for those that come later.
    pub(super) fn note(&mut self, row: &New<'_>) {
        match &*row.table.name {
            "jusers" => {
                self.juids.extend(row.int("juid"));
                self.users.insert(row.text("sip_id").to_owned(), row.text("jab_id").to_owned());
            }
            "purplemap" => self.purple.extend(Account::of(row)),
            _ => {}
        }
    }
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// Nothing is lost with it.
    Over(&'static str),
    Bad(String),
}

use How::{Address, AsIs, Host, User};
use Verdict::{Bad, Good, Over};

const fn transport(table: &'static Table) -> Subject {
    Subject {
        table,
        named: &["juid"],
        same: &["juid"],
        others: Others::Refuse,
        renamed: &[],
        judge: judge_transport,
    }
}

/// Every table, `jusers` before those that refer to it.
pub(super) static SUBJECTS: [Subject; 11] = [
    Subject {
        table: &JUSERS,
        named: &["juid"],
        same: &["juid"],
        others: Others::Refuse,
        // SER's manual has both names.
        renamed: &[("jab_passwd", "password", AsIs)],
        judge: judge_juser,
    },
    transport(&AIM),
    transport(&ICQ),
    transport(&MSN),
    transport(&YAHOO),
    Subject {
        table: &SUBSCRIBER,
        named: &["username", "user", "domain"],
        same: &["username", "domain"],
        others: Others::Refuse,
        // SER 0.8
        renamed: &[("username", "user", AsIs), ("domain", "realm", AsIs)],
        judge: judge_subscriber,
    },
    Subject {
        table: &LOCATION,
        named: &["username", "user", "aor", "uid", "domain", "contact"],
        same: &["username", "domain", "contact"],
        others: Others::Longest,
        renamed: &[
            ("username", "user", AsIs),
            // SER 2
            ("username", "aor", User),
            ("domain", "aor", Host),
            // OpenSIPS
            ("instance", "sip_instance", AsIs),
        ],
        judge: judge_location,
    },
    Subject {
        table: &SILO,
        named: &["id", "mid"],
        same: &["username", "domain", "inc_time", "src_addr"],
        others: Others::Differ,
        renamed: &[
            // SER 0.8 and 0.9
            ("username", "r_uri", User),
            ("domain", "r_uri", Host),
            // SER 2
            ("username", "ruri", User),
            ("domain", "ruri", Host),
            ("src_addr", "from_hdr", Address),
            ("dst_addr", "to_hdr", Address),
        ],
        judge: judge_silo,
    },
    Subject {
        table: &IMC_ROOMS,
        named: &["id", "name", "domain"],
        same: &["name", "domain"],
        others: Others::Refuse,
        renamed: &[],
        judge: |row, _| full(row, &["name", "domain"]),
    },
    Subject {
        table: &IMC_MEMBERS,
        named: &["id", "username", "domain", "room"],
        same: &["username", "domain", "room"],
        others: Others::Refuse,
        renamed: &[],
        judge: |row, _| full(row, &["username", "domain", "room"]),
    },
    Subject {
        table: &PURPLEMAP,
        named: &["id", "sip_user", "ext_prot"],
        same: &["sip_user", "ext_user", "ext_prot"],
        others: Others::Refuse,
        renamed: &[],
        judge: judge_purple,
    },
];

static IMC_ROOMS: Table = Table::new(
    "imc_rooms",
    1,
    &[
        Column::new("id", ColumnType::Id).optional(),
        Column::new("name", ColumnType::Text(64)),
        Column::new("domain", ColumnType::Text(64)),
        Column::new("flag", ColumnType::Int).default("0"),
    ],
)
.unique(&[&["name", "domain"]]);

static IMC_MEMBERS: Table = Table::new(
    "imc_members",
    1,
    &[
        Column::new("id", ColumnType::Id).optional(),
        Column::new("username", ColumnType::Text(64)),
        Column::new("domain", ColumnType::Text(64)),
        Column::new("room", ColumnType::Text(64)),
        Column::new("flag", ColumnType::Int).default("0"),
    ],
)
.unique(&[&["username", "domain", "room"]]);

static PURPLEMAP: Table = Table::new(
    "purplemap",
    1,
    &[
        Column::new("id", ColumnType::Id).optional(),
        Column::new("sip_user", ColumnType::Text(255)),
        Column::new("ext_user", ColumnType::Text(255)),
        Column::new("ext_prot", ColumnType::Text(16)),
        Column::new("ext_pass", ColumnType::Text(64)).nullable(),
    ],
);

/// Bad when one of these columns holds nothing.
fn full(row: &New<'_>, columns: &[&str]) -> Verdict {
    match columns.iter().find(|column| row.text(column).is_empty()) {
        Some(column) => Bad(format!("`{column}` is empty")),
        None => Good,
    }
}

/// `sip:user@host`, and nothing else.
fn is_sip_user(text: &str) -> bool {
    let parsed = Uri::parse(text).ok().filter(Uri::is_sip);
    let user = parsed.and_then(|uri| Some((uri.scheme(), uri.user()?, uri.host())));
    user.is_some_and(|(scheme, user, host)| format!("{}:{user}@{host}", scheme.as_str()) == text)
}

fn judge_juser(row: &mut New<'_>, _: &Known) -> Verdict {
    let (sip_id, jab_id) = (row.text("sip_id"), row.text("jab_id").trim());
    if !is_sip_user(sip_id) {
        return Bad(format!("`sip_id` {sip_id:?} is no SIP user: expected sip:user@host"));
    }
    let (local, domain) = jab_id.split_once('@').unwrap_or((jab_id, "host"));
    match jid::parse(&format!("{local}@{domain}")) {
        Ok(jid) if jid.resource().is_none() && !local.is_empty() => Good,
        _ => Bad(format!("`jab_id` {jab_id:?} is no name of an account")),
    }
}

fn judge_transport(row: &mut New<'_>, known: &Known) -> Verdict {
    let juid = row.int("juid");
    let id = format!("{}_id", row.table.name);
    if !juid.is_some_and(|juid| known.juids.contains(&juid)) {
        return Bad("no row of `jusers` that is carried over has this juid".to_owned());
    }
    match row.int(&id) {
        Some(_) => Good,
        None => full(row, &[&id]),
    }
}

fn judge_subscriber(row: &mut New<'_>, _: &Known) -> Verdict {
    full(row, &["username"])
}

fn judge_location(row: &mut New<'_>, known: &Known) -> Verdict {
    if let bad @ Bad(_) = full(row, &["username", "contact"]) {
        return bad;
    }
    let contact = row.text("contact");
    if Uri::parse(contact).is_err() {
        return Bad(format!("`contact` {contact:?} is no URI"));
    }
    match row.time("expires") {
        None => return Bad("`expires` is no time".to_owned()),
        Some(Duration::ZERO) => {
            return Bad("it never expires; write it into the script, or as an alias".to_owned());
        }
        Some(expires) if expires <= known.now => return Over("expired"),
        Some(_) => {}
    }
    if row.text("ruid").is_empty() {
        let of = [row.text("username"), row.text("domain"), contact].join("\n");
        let hash = Sha256::digest(of.as_bytes());
        let name: String = hash[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        row.set("ruid", Value::from(format!("old-{name}")));
    }
    Good
}

fn judge_silo(row: &mut New<'_>, known: &Known) -> Verdict {
    if let bad @ Bad(_) = full(row, &["username", "src_addr", "body"]) {
        return bad;
    }
    let seconds = |column| row.int(column).and_then(|at| u64::try_from(at).ok());
    let ends = seconds("exp_time").max(seconds("snd_time")).unwrap_or(0);
    if Duration::from_secs(ends) <= known.now { Over("expired") } else { Good }
}

fn judge_purple(row: &mut New<'_>, _: &Known) -> Verdict {
    let sip_user = row.text("sip_user");
    if !is_sip_user(sip_user) {
        return Bad(format!("`sip_user` {sip_user:?} is no SIP user: expected sip:user@host"));
    }
    full(row, &["ext_user", "ext_prot"])
}
