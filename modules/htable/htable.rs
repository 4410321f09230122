#![doc = include_str!("README.md")]

mod pick;
mod stored;
mod table;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, ImmutableString};

use self::pick::Operator;
use self::stored::{HTABLE, Stored};
use self::table::{MAX_KEY, MAX_VALUE, Rules, Table, Tables, Value};
use crate::config::value::ranged;
use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::ANY;
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;
use crate::script::router::Router;
use crate::store::{Store, is_name};

/// `[modules.htable]`
pub static MODULE: ModuleDef = ModuleDef { name: "htable", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    let tables = exports.common(Tables::default);
    for table in config.table.iter().filter(|table| !table.dbtable.is_empty()) {
        exports.table(&HTABLE.named(&*table.dbtable));
    }
    let htable = Rc::new(Htable::new(&config, &tables, exports.store().as_ref()));
    if htable.is_written() {
        let (writing, closing) = (htable.clone(), htable.clone());
        let seconds = Cell::new(0_u64);
        exports.every(Duration::from_secs(1), move |router| {
            seconds.set(seconds.get() + 1);
            writing.clone().write(router, seconds.get().is_multiple_of(SWEEP))
        });
        exports.at_close(move |router| closing.clone().write(router, false));
    }
    exports
        .with(htable)
        .export("sht_get", ["table", "key"], ANY, sht_get)
        .export("sht_set", ["table", "key", "value"], ANY, sht_set)
        .export("sht_set", ["table", "key", "value", "seconds"], ANY, sht_set_for)
        .export("sht_setex", ["table", "key", "seconds"], ANY, sht_setex)
        .export("sht_inc", ["table", "key"], ANY, sht_inc)
        .export("sht_dec", ["table", "key"], ANY, sht_dec)
        .export("sht_is_null", ["table", "key"], ANY, sht_is_null)
        .export("sht_rm", ["table", "key"], ANY, sht_rm)
        .export("sht_rm_name", ["table", "operator", "text"], ANY, sht_rm_name)
        .export("sht_rm_value", ["table", "operator", "text"], ANY, sht_rm_value)
        .export("sht_match_name", ["table", "operator", "text"], ANY, sht_match_name)
        .export("sht_match_str_value", ["table", "operator", "text"], ANY, sht_match_str_value)
        .export("sht_reset", ["table"], ANY, sht_reset);
    Ok(())
}

/// `[modules.htable]`
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The tables.
    pub table: Vec<TableConfig>,
}

/// `[[modules.htable.table]]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableConfig {
    /// The name by which scripts mean it.
    pub name: Box<str>,
    /// The most entries.
    ///
    /// 1 to 10000000. Default 65536.
    #[serde(default = "default_size", deserialize_with = "ranged::<_, _, 1, 10_000_000>")]
    pub size: usize,
    /// How long an entry stays after it was set, in seconds; 0 for ever.
    ///
    /// 0 to 31536000. Default 0.
    #[serde(default, deserialize_with = "ranged::<_, _, 0, 31_536_000>")]
    pub autoexpire: u32,
    /// Does setting an entry that is there begin its time anew?
    ///
    /// Default true.
    #[serde(default = "yes")]
    pub updateexpire: bool,
    /// The table of the store that it begins with; empty for none.
    ///
    /// A name of letters, digits and `_`. Default empty.
    #[serde(default, deserialize_with = "name_of_table")]
    pub dbtable: Box<str>,
    /// Are changes written to that table?
    ///
    /// 0, no, or 1. Default 0.
    #[serde(default, deserialize_with = "ranged::<_, _, 0, 1>")]
    pub dbmode: u8,
    /// What is read where there is no entry, and what `sht_inc` counts from.
    ///
    /// A number or text. Default none.
    #[serde(default)]
    pub initval: Option<Value>,
}

fn default_size() -> usize {
    65_536
}

fn yes() -> bool {
    true
}

fn name_of_table<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Box<str>, D::Error> {
    let name = <Box<str> as serde::Deserialize>::deserialize(d)?;
    let reason = "a table has a name of up to 64 letters, digits and _";
    match name.is_empty() || is_name(&name) {
        true => Ok(name),
        false => Err(serde::de::Error::custom(reason)),
    }
}

/// How many seconds lie between two looks for what has expired in the store.
const SWEEP: u64 = 60;

/// The tables by name.
struct Htable(BTreeMap<Box<str>, Known>);

/// A table with its rules.
struct Known {
    rules: Rules,
    table: Arc<Table>,
    /// The store behind it.
    stored: Option<Stored>,
}

impl Htable {
    fn new(config: &Config, tables: &Tables, store: Option<&Store>) -> Self {
        let known = |it: &TableConfig| {
            let expiry = Some(Duration::from_secs(it.autoexpire.into()));
            let rules = Rules {
                size: it.size,
                expiry: expiry.filter(|time| !time.is_zero()),
                updates_expiry: it.updateexpire,
                initial: it.initval.clone(),
            };
            let table = tables.table(&it.name);
            let store = store.filter(|_| !it.dbtable.is_empty()).cloned();
            let stored = |store| Stored::new(store, &it.dbtable, it.size, it.dbmode == 1);
            let stored = store.map(stored);
            if stored.as_ref().is_some_and(Stored::is_written) {
                table.keep_journal();
            }
            (it.name.clone(), Known { rules, table, stored })
        };
        Self(config.table.iter().map(known).collect())
    }

    /// Is any table written to the store?
    fn is_written(&self) -> bool {
        self.0.values().any(|known| known.stored.as_ref().is_some_and(Stored::is_written))
    }

    /// The table of this name, after its table of the store was read.
    fn find(
        &self,
        route: &Route,
        function: &'static str,
        name: &str,
    ) -> Result<(&Rules, &Table), RouteError> {
        let known = self.0.get(name).ok_or_else(|| RouteError::BadArgument {
            argument: "table",
            reason: format!("{function}(): there is no [[modules.htable.table]] `{name}`"),
        })?;
        if let Some(stored) = known.stored.as_ref().filter(|_| !known.table.is_loaded()) {
            let moment = (route.now(), route.unix_time());
            route.wait(stored.load(&known.table, moment))??;
        }
        Ok((&known.rules, &known.table))
    }

    /// Writes what has changed, and with `sweeps` removes what has expired.
    async fn write(self: Rc<Self>, router: Rc<dyn Router>, sweeps: bool) {
        for known in self.0.values() {
            let Some(stored) = known.stored.as_ref().filter(|it| it.is_written()) else { continue };
            let moment = router.time();
            stored.write(&known.table, moment).await;
            if sweeps {
                stored.sweep(moment.1).await;
            }
        }
    }
}

/// The value of a key: a number or text; where there is none, the table's `initval` or `()`.
///
/// ```rhai
/// if sht_get("blocked", src_ip()) != () { drop(); }
/// ```
fn sht_get(
    route: &mut Route,
    htable: &Rc<Htable>,
    table: ImmutableString,
    key: ImmutableString,
) -> Result<Dynamic, RouteError> {
    let (rules, table) = htable.find(route, "sht_get", &table)?;
    let found = table.get(route.now(), &key).or_else(|| rules.initial.clone());
    Ok(found.map_or(Dynamic::UNIT, Into::into))
}

/// Sets the value of a key, a number or text. An error when the table is full.
///
/// ```rhai
/// sht_set("blocked", src_ip(), 1);
/// ```
fn sht_set(
    route: &mut Route,
    htable: &Rc<Htable>,
    table: ImmutableString,
    key: ImmutableString,
    value: Dynamic,
) -> Result<(), RouteError> {
    let (rules, table) = htable.find(route, "sht_set", &table)?;
    let (key, value) = (checked_key("sht_set", key)?, value_of("sht_set", value)?);
    table.set(route.now(), rules, key, value, None)
}

/// Sets the value of a key for so many seconds, 0 for ever, whatever `autoexpire` says.
///
/// ```rhai
/// sht_set("blocked", src_ip(), 1, 300);
/// ```
fn sht_set_for(
    route: &mut Route,
    htable: &Rc<Htable>,
    table: ImmutableString,
    key: ImmutableString,
    value: Dynamic,
    seconds: i64,
) -> Result<(), RouteError> {
    let (rules, table) = htable.find(route, "sht_set", &table)?;
    let (key, value) = (checked_key("sht_set", key)?, value_of("sht_set", value)?);
    let seconds = seconds_of("sht_set", seconds)?;
    table.set(route.now(), rules, key, value, Some(seconds))
}

/// Lets an entry stay for so many seconds from now, 0 for ever. Returns false when there is none.
///
/// ```rhai
/// sht_setex("blocked", src_ip(), 300);
/// ```
fn sht_setex(
    route: &mut Route,
    htable: &Rc<Htable>,
    table: ImmutableString,
    key: ImmutableString,
    seconds: i64,
) -> Result<bool, RouteError> {
    let (rules, table) = htable.find(route, "sht_setex", &table)?;
    Ok(table.set_expiry(route.now(), rules, &key, seconds_of("sht_setex", seconds)?))
}

/// Adds 1 to the number of a key, in one step for all workers, and gives the new number.
///
/// It counts from `initval`, or from 0. An error when the value is text.
///
/// ```rhai
/// if sht_inc("calls", from_user()) > 10 { sl_send_reply(486, "Enough Calls"); return; }
/// ```
fn sht_inc(
    route: &mut Route,
    htable: &Rc<Htable>,
    table: ImmutableString,
    key: ImmutableString,
) -> Result<i64, RouteError> {
    let (rules, table) = htable.find(route, "sht_inc", &table)?;
    table.add(route.now(), rules, "sht_inc", checked_key("sht_inc", key)?, 1)
}

/// Takes 1 from the number of a key, in one step for all workers, and gives the new number.
///
/// ```rhai
/// sht_dec("calls", from_user());
/// ```
fn sht_dec(
    route: &mut Route,
    htable: &Rc<Htable>,
    table: ImmutableString,
    key: ImmutableString,
) -> Result<i64, RouteError> {
    let (rules, table) = htable.find(route, "sht_dec", &table)?;
    table.add(route.now(), rules, "sht_dec", checked_key("sht_dec", key)?, -1)
}

/// Is there no entry of this key?
///
/// ```rhai
/// if sht_is_null("blocked", src_ip()) { info("$si is welcome"); }
/// ```
fn sht_is_null(
    route: &mut Route,
    htable: &Rc<Htable>,
    table: ImmutableString,
    key: ImmutableString,
) -> Result<bool, RouteError> {
    let (_, table) = htable.find(route, "sht_is_null", &table)?;
    Ok(table.get(route.now(), &key).is_none())
}

/// Removes an entry. Returns false when there was none.
///
/// ```rhai
/// sht_rm("blocked", src_ip());
/// ```
fn sht_rm(
    route: &mut Route,
    htable: &Rc<Htable>,
    table: ImmutableString,
    key: ImmutableString,
) -> Result<bool, RouteError> {
    let (rules, table) = htable.find(route, "sht_rm", &table)?;
    Ok(table.remove(route.now(), rules, &key))
}

/// Removes the entries whose keys fit, and tells how many. The operator is `re`, a regular expression; `sw`, starts with;
/// `ew`, ends with; or `in`, contains. It looks at every entry of the table.
///
/// ```rhai
/// sht_rm_name("blocked", "sw", "192.0.2.");
/// ```
fn sht_rm_name(
    route: &mut Route,
    htable: &Rc<Htable>,
    table: ImmutableString,
    operator: ImmutableString,
    text: ImmutableString,
) -> Result<i64, RouteError> {
    let (_, table) = htable.find(route, "sht_rm_name", &table)?;
    let operator = Operator::new("sht_rm_name", &operator, &text)?;
    Ok(table.remove_all(route.now(), |key, _| operator.fits(key)))
}

/// Removes the entries whose values fit, numbers as they are written, and tells how many. The operators are those of
/// `sht_rm_name`.
///
/// ```rhai
/// sht_rm_value("owner", "re", "^sip:old@");
/// ```
fn sht_rm_value(
    route: &mut Route,
    htable: &Rc<Htable>,
    table: ImmutableString,
    operator: ImmutableString,
    text: ImmutableString,
) -> Result<i64, RouteError> {
    let (_, table) = htable.find(route, "sht_rm_value", &table)?;
    let operator = Operator::new("sht_rm_value", &operator, &text)?;
    Ok(table.remove_all(route.now(), |_, value| operator.fits(&value.text())))
}

/// Is there an entry whose key fits? The operators are those of `sht_rm_name`.
///
/// ```rhai
/// if sht_match_name("blocked", "sw", "192.0.2.") { info("the neighbours are known"); }
/// ```
fn sht_match_name(
    route: &mut Route,
    htable: &Rc<Htable>,
    table: ImmutableString,
    operator: ImmutableString,
    text: ImmutableString,
) -> Result<bool, RouteError> {
    let (_, table) = htable.find(route, "sht_match_name", &table)?;
    let operator = Operator::new("sht_match_name", &operator, &text)?;
    Ok(table.has(route.now(), |key, _| operator.fits(key)))
}

/// Is there an entry whose value is a text that fits? The operators are those of `sht_rm_name`.
///
/// ```rhai
/// if sht_match_str_value("owner", "ew", "@sip.example") { info("one is ours"); }
/// ```
fn sht_match_str_value(
    route: &mut Route,
    htable: &Rc<Htable>,
    table: ImmutableString,
    operator: ImmutableString,
    text: ImmutableString,
) -> Result<bool, RouteError> {
    let (_, table) = htable.find(route, "sht_match_str_value", &table)?;
    let operator = Operator::new("sht_match_str_value", &operator, &text)?;
    let fits = |value: &Value| matches!(value, Value::Text(text) if operator.fits(text));
    Ok(table.has(route.now(), |_, value| fits(value)))
}

/// Removes every entry of a table.
///
/// ```rhai
/// if method() == "PUBLISH" { sht_reset("blocked"); }
/// ```
fn sht_reset(
    route: &mut Route,
    htable: &Rc<Htable>,
    table: ImmutableString,
) -> Result<(), RouteError> {
    let (_, table) = htable.find(route, "sht_reset", &table)?;
    table.remove_all(route.now(), |_, _| true);
    Ok(())
}

fn checked_key(function: &'static str, key: ImmutableString) -> Result<Box<str>, RouteError> {
    match key.len() <= MAX_KEY {
        true => Ok(key.as_str().into()),
        false => Err(RouteError::BadArgument {
            argument: "key",
            reason: format!("{function}(): a key has at most {MAX_KEY} bytes, not {}", key.len()),
        }),
    }
}

fn value_of(function: &'static str, value: Dynamic) -> Result<Value, RouteError> {
    let refuse = |what: String| RouteError::BadArgument {
        argument: "value",
        reason: format!(
            "{function}(): a value is a number or a text of up to {MAX_VALUE} bytes, {what}"
        ),
    };
    if let Ok(number) = value.as_int() {
        return Ok(Value::Int(number));
    }
    let kind = value.type_name();
    match value.into_immutable_string() {
        Ok(text) if text.len() <= MAX_VALUE => Ok(Value::Text(text.as_str().into())),
        Ok(text) => Err(refuse(format!("not one of {}", text.len()))),
        Err(_) => Err(refuse(format!("not {kind}"))),
    }
}

/// The time that an entry stays; `None` for ever.
fn seconds_of(function: &'static str, seconds: i64) -> Result<Option<Duration>, RouteError> {
    let range = "0 to 31536000";
    let error = RouteError::OutOfRange { function, argument: "seconds", range, found: seconds };
    let seconds = u32::try_from(seconds).ok().filter(|it| *it <= 31_536_000).ok_or(error)?;
    Ok(Some(Duration::from_secs(seconds.into())).filter(|time| !time.is_zero()))
}

#[cfg(test)]
mod tests;
