//! Kamailio's table of stored messages.

use super::Config;
use crate::script::error::RouteError;
use crate::script::route::Route;
use crate::sip::HeaderId;
use crate::store::{Column, ColumnType, Row, Statement, Table};

/// The table. Times are seconds since 1970.
pub static SILO: Table = Table::new(
    "silo",
    8,
    &[
        Column::new("id", ColumnType::Id),
        Column::new("src_addr", ColumnType::Text(255)).default("''"),
        Column::new("dst_addr", ColumnType::Text(255)).default("''"),
        Column::new("username", ColumnType::Text(64)).default("''"),
        Column::new("domain", ColumnType::Text(64)).default("''"),
        Column::new("inc_time", ColumnType::Int).default("0"),
        Column::new("exp_time", ColumnType::Int).default("0"),
        Column::new("snd_time", ColumnType::Int).default("0"),
        Column::new("ctype", ColumnType::Text(32)).default("'text/plain'"),
        Column::new("body", ColumnType::Blob),
        Column::new("extra_hdrs", ColumnType::LongText),
        Column::new("callid", ColumnType::Text(128)).default("''"),
        Column::new("status", ColumnType::Int).default("0"),
    ],
)
.indexes(&[&["username", "domain"]]);

/// Messages that are read at a time.
const MAX_READ: u32 = 10_000;

/// What a column of the table can hold at most.
const LONGEST: [(&str, usize); 4] =
    [("src_addr", 255), ("dst_addr", 255), ("username", 64), ("domain", 64)];

/// What stands in From and To when a message is delivered, where that is not what stood there before.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    pub(super) src: Option<String>,
    pub(super) dst: Option<String>,
}

/// A message that is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    src_addr: String,
    dst_addr: String,
    username: String,
    domain: String,
    inc_time: u64,
    exp_time: u64,
    /// When it leaves; 0 when its owner registers.
    pub(super) snd_time: u64,
    ctype: String,
    body: Vec<u8>,
    /// Header lines that it takes along.
    pub(super) extra_hdrs: String,
    callid: String,
}

impl Stored {
    /// The route's message for a user; `None` when it says nothing that could wait.
    pub(super) fn of(
        route: &Route,
        username: &str,
        domain: &str,
        Addresses { src, dst }: Addresses,
        config: &Config,
    ) -> Result<Option<Self>, RouteError> {
        let message = &route.message;
        let ctype = message.content_type().unwrap_or_else(|| "text/plain".into());
        let essence = ctype.split(';').next().unwrap_or_default().trim();
        // Who was writing then, is not writing when this is read.
        let is_transient = essence.eq_ignore_ascii_case("application/im-iscomposing+xml");
        if message.body().is_empty()
            || is_transient
            || message.text(HeaderId::Expires).is_some_and(|it| it.trim() == "0")
        {
            return Ok(None);
        }
        let now = route.unix_time().as_secs();
        let wish = message.expires().ok().flatten().unwrap_or(u32::MAX);
        let stored = Self {
            src_addr: src.map_or_else(|| message.from().map(|it| it.uri.to_owned()), Ok)?,
            dst_addr: dst.map_or_else(|| message.to().map(|it| it.uri.to_owned()), Ok)?,
            username: username.to_owned(),
            domain: domain.to_owned(),
            inc_time: now,
            exp_time: now + u64::from(wish.min(config.expire_time)),
            snd_time: 0,
            ctype: if ctype.len() <= 32 { ctype.trim().to_owned() } else { essence.to_owned() },
            body: message.body().to_vec(),
            extra_hdrs: String::new(),
            callid: message.call_id()?.chars().take(128).collect(),
        };
        Ok(stored.fits().then_some(stored))
    }

    fn fits(&self) -> bool {
        let of = [&self.src_addr, &self.dst_addr, &self.username, &self.domain];
        let too_long = LONGEST.iter().zip(of).find(|((_, max), text)| text.chars().count() > *max);
        if let Some(((column, max), _)) = too_long {
            tracing::info!(column, max, "m_store: an address is too long for the table");
        }
        too_long.is_none() && self.ctype.len() <= 32
    }

    /// How many messages the owner has.
    pub(super) fn count(&self, table: &str) -> Statement {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE username = ? AND domain = ?");
        Statement::new(sql).bind(&*self.username).bind(&*self.domain)
    }

    /// Writes it.
    pub(super) fn insert(&self, table: &str) -> Statement {
        let sql = format!(
            "INSERT INTO {table} (src_addr, dst_addr, username, domain, inc_time, exp_time, snd_time, \
             ctype, body, extra_hdrs, callid, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
        );
        Statement::new(sql)
            .bind(&*self.src_addr)
            .bind(&*self.dst_addr)
            .bind(&*self.username)
            .bind(&*self.domain)
            .bind(self.inc_time as i64)
            .bind(self.exp_time as i64)
            .bind(self.snd_time as i64)
            .bind(&*self.ctype)
            .bind(self.body.clone())
            .bind(&*self.extra_hdrs)
            .bind(&*self.callid)
    }
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) id: i64,
    pub(super) src_addr: String,
    pub(super) dst_addr: String,
    pub(super) inc_time: u64,
    pub(super) ctype: String,
    pub(super) body: Vec<u8>,
    pub(super) extra_hdrs: String,
    pub(super) username: String,
    pub(super) domain: String,
    callid: String,
}

impl Waiting {
    /// Reads what [`waiting`] or [`due`] has found.
    pub(super) fn read(row: &Row) -> Option<Self> {
        let text = |column| row.text(column).unwrap_or_default().to_owned();
        Some(Self {
            id: row.int(0)?,
            src_addr: text(1),
            dst_addr: text(2),
            inc_time: row.int(3).and_then(|time| u64::try_from(time).ok()).unwrap_or_default(),
            ctype: text(4),
            body: row.bytes(5)?.to_vec(),
            extra_hdrs: text(6),
            username: text(7),
            domain: text(8),
            callid: text(9),
        })
    }

    /// What no other message has; a database may give its `id` to another one later.
    pub(super) fn key(&self) -> (i64, u64, String) {
        (self.id, self.inc_time, self.callid.clone())
    }
}

const COLUMNS: &str =
    "id, src_addr, dst_addr, inc_time, ctype, body, extra_hdrs, username, domain, callid";

/// What waits for a user, oldest first; `max` messages, or any number when that is 0.
pub(super) fn waiting(table: &str, username: &str, domain: &str, max: u32) -> Statement {
    let max = if max == 0 { MAX_READ } else { max.min(MAX_READ) };
    let sql = format!(
        "SELECT {COLUMNS} FROM {table} WHERE username = ? AND domain = ? AND snd_time = 0 \
         ORDER BY id LIMIT ?"
    );
    Statement::new(sql).bind(username).bind(domain).bind(max)
}

/// Reminders whose time has come.
pub(super) fn due(table: &str, now: u64) -> Statement {
    let sql = format!(
        "SELECT {COLUMNS} FROM {table} WHERE snd_time > 0 AND snd_time <= ? ORDER BY id LIMIT ?"
    );
    Statement::new(sql).bind(now as i64).bind(MAX_READ)
}

/// Forgets a message.
pub(super) fn delete(table: &str, id: i64) -> Statement {
    Statement::new(format!("DELETE FROM {table} WHERE id = ?")).bind(id)
}

/// Forgets what is too old.
pub(super) fn clean(table: &str, now: u64) -> Statement {
    Statement::new(format!("DELETE FROM {table} WHERE exp_time < ? AND snd_time <= ?"))
        .bind(now as i64)
        .bind(now as i64)
}
