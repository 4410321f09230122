#![doc = include_str!("README.md")]

mod flags;

use rhai::ImmutableString;

pub use self::flags::Flag;
use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{ANY_SIP, XMPP_MESSAGE};
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;
use crate::store::{Column, ColumnType, Statement, Store, Table, Value, is_name};

/// `[modules.acc]`
pub static MODULE: ModuleDef = ModuleDef { name: "acc", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    exports.table(&ACC).table(&ACC.named("missed_calls"));
    if config.is_any() {
        let store = exports.store();
        exports.at_end(move |ending| config.account(store.as_ref(), ending));
    }
    let kinds = ANY_SIP | XMPP_MESSAGE;
    exports
        .with(Accounting { store: exports.store() })
        .export("acc_log_request", ["comment"], kinds, acc_log_request)
        .export("acc_db_request", ["comment", "table"], kinds, acc_db_request)
        .export("acc_request", ["comment", "table"], kinds, acc_request);
    Ok(())
}

/// Kamailio's table of accounted requests, and of missed calls.
static ACC: Table = Table::new(
    "acc",
    5,
    &[
        Column::new("id", ColumnType::Id).optional(),
        Column::new("method", ColumnType::Text(16)).default("''"),
        Column::new("from_tag", ColumnType::Text(128)).default("''"),
        Column::new("to_tag", ColumnType::Text(128)).default("''"),
        Column::new("callid", ColumnType::Text(255)).default("''"),
        Column::new("sip_code", ColumnType::Text(3)).default("''"),
        Column::new("sip_reason", ColumnType::Text(128)).default("''"),
        Column::new("time", ColumnType::DateTime),
    ],
)
.indexes(&[&["callid"]]);

/// `[modules.acc]`: which flags have a transaction accounted when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A line in the log when the request is taken.
    ///
    /// A flag, 0 to 31. Default none.
    pub log_flag: Flag,
    /// A line in the log when an INVITE is not taken.
    ///
    /// A flag, 0 to 31. Default none.
    pub log_missed_flag: Flag,
    /// A row of `acc` when the request is taken.
    ///
    /// A flag, 0 to 31. Default none.
    pub db_flag: Flag,
    /// A row of `missed_calls` when an INVITE is not taken.
    ///
    /// A flag, 0 to 31. Default none.
    pub db_missed_flag: Flag,
    /// `log_flag` and `db_flag` count also when the request is not taken.
    ///
    /// A flag, 0 to 31. Default none.
    pub failed_transaction_flag: Flag,
}

/// What the functions work with.
struct Accounting {
    store: Option<Store>,
}

/// What is noted of a request.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    method: String,
    from_tag: String,
    to_tag: String,
    call_id: String,
    code: String,
    reason: String,
}

impl Record {
    fn new(route: &Route, comment: &str) -> Result<Self, RouteError> {
        let message = &route.message;
        let tag = |tag: Option<&str>| tag.unwrap_or_default().to_owned();
        let (code, reason) = code_and_reason(comment);
        Ok(Self {
            method: message.method().as_str().to_owned(),
            from_tag: tag(message.from()?.tag()),
            to_tag: tag(message.to()?.tag()),
            call_id: message.call_id()?.to_owned(),
            code: code.to_owned(),
            reason: reason.to_owned(),
        })
    }

    fn log(&self, event: &'static str) {
        let Self { method, from_tag, to_tag, call_id, code, reason } = self;
        tracing::info!(%method, %from_tag, %to_tag, %call_id, %code, %reason, "{event}");
    }

    /// The row, with values cut to the length of their columns.
    fn insert(&self, table: &str) -> Statement {
        let sql = format!(
            "INSERT INTO {table} (method, from_tag, to_tag, callid, sip_code, sip_reason, time) \
             VALUES (?, ?, ?, ?, ?, ?, ?)"
        );
        Statement::new(sql)
            .bind(cut(&self.method, 16))
            .bind(cut(&self.from_tag, 128))
            .bind(cut(&self.to_tag, 128))
            .bind(cut(&self.call_id, 255))
            .bind(&*self.code)
            .bind(cut(&self.reason, 128))
            .bind(Value::now())
    }
}

/// `404` and `Not Found` of `404 Not Found`; a comment without a status is all reason.
fn code_and_reason(comment: &str) -> (&str, &str) {
    match comment.split_at_checked(3) {
        Some((code, reason)) if code.bytes().all(|byte| byte.is_ascii_digit()) => {
            (code, reason.trim_start())
        }
        _ => ("", comment),
    }
}

/// As many letters as fit.
fn cut(text: &str, letters: usize) -> &str {
    text.char_indices().nth(letters).map_or(text, |(end, _)| &text[..end])
}

/// Writes one line about the request to the log: method, tags, Call-ID, and what the comment says.
///
/// A comment that begins with a status is taken apart: `"404 Not Found"`. Returns true.
///
/// ```rhai
/// acc_log_request("404 Not Found");
/// ```
fn acc_log_request(
    route: &mut Route,
    _: &Accounting,
    comment: ImmutableString,
) -> Result<bool, RouteError> {
    Record::new(route, &comment)?.log("request accounted");
    Ok(true)
}

/// Writes one row about the request to a table of the store, `acc`, `missed_calls` or one like them.
///
/// Returns false, after a line in the log, when the store does not take it: a call need not fail for that.
///
/// ```rhai
/// if !acc_db_request("480 Not There", "missed_calls") { acc_log_request("480 Not There"); }
/// ```
fn acc_db_request(
    route: &mut Route,
    accounting: &Accounting,
    comment: ImmutableString,
    table: ImmutableString,
) -> Result<bool, RouteError> {
    if !is_name(&table) {
        let reason = "expected the name of a table".to_owned();
        return Err(RouteError::BadArgument { argument: "table", reason });
    }
    let store = accounting.store.as_ref().ok_or(RouteError::NotConfigured("there is no store"))?;
    let record = Record::new(route, &comment)?;
    let stored = route.wait(store.execute(vec![record.insert(&table)]))?;
    let is_stored = stored.inspect_err(|error| {
        tracing::warn!(%error, call_id = %record.call_id, "request not accounted");
    });
    Ok(is_stored.is_ok())
}

/// Writes to the log and to a table of the store. Returns false when the store does not take it.
///
/// ```rhai
/// acc_request("486 Busy Here", "missed_calls");
/// ```
fn acc_request(
    route: &mut Route,
    accounting: &Accounting,
    comment: ImmutableString,
    table: ImmutableString,
) -> Result<bool, RouteError> {
    acc_log_request(route, accounting, comment.clone())?;
    acc_db_request(route, accounting, comment, table)
}

#[cfg(test)]
mod tests;
