#![doc = include_str!("README.md")]

use rhai::ImmutableString;
use serde::{Deserialize, Deserializer, de::Error};

use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{FAILURE, REQUEST, XMPP_MESSAGE};
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::{Route, Target};
use crate::sip::{Uri, escape_user, unescape_text};
use crate::store::{Column, ColumnType, Row, Statement, Store, Table, is_name};

/// `[modules.alias_db]`
pub static MODULE: ModuleDef = ModuleDef { name: "alias_db", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    if config.has_usual_columns() {
        exports.table(&DBALIASES);
    }
    let aliases = Aliases { config, store: exports.store() };
    let kinds = REQUEST | FAILURE | XMPP_MESSAGE;
    exports.with(aliases).export("alias_db_lookup", ["table"], kinds, alias_db_lookup).export(
        "alias_db_lookup",
        ["table", "flags"],
        kinds,
        alias_db_lookup_with,
    );
    Ok(())
}

/// Kamailio's table.
static DBALIASES: Table = Table::new(
    "dbaliases",
    1,
    &[
        Column::new("id", ColumnType::Id).optional(),
        Column::new("alias_username", ColumnType::Text(64)).default("''"),
        Column::new("alias_domain", ColumnType::Text(64)).default("''"),
        Column::new("username", ColumnType::Text(64)).default("''"),
        Column::new("domain", ColumnType::Text(64)).default("''"),
    ],
)
.indexes(&[&["alias_username", "alias_domain"], &["username", "domain"]]);

/// The most ways that one alias becomes.
const MAX_USERS: usize = 12;

/// `[modules.alias_db]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The column of the user that an alias stands for. Default `username`.
    #[serde(deserialize_with = "column")]
    pub user_column: String,
    /// The column of that user's domain. Default `domain`.
    #[serde(deserialize_with = "column")]
    pub domain_column: String,
    /// The column of the alias. Default `alias_username`.
    #[serde(deserialize_with = "column")]
    pub alias_user_column: String,
    /// The column of the alias's domain. Default `alias_domain`.
    #[serde(deserialize_with = "column")]
    pub alias_domain_column: String,
    /// The alias counts in its domain only. Default false: in any.
    pub use_domain: bool,
    /// What is taken off the front of the Request-URI's domain before it is looked for. Default nothing.
    pub domain_prefix: String,
    /// Every user that the alias stands for becomes a branch. Default false: the first one only.
    pub append_branches: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            user_column: "username".to_owned(),
            domain_column: "domain".to_owned(),
            alias_user_column: "alias_username".to_owned(),
            alias_domain_column: "alias_domain".to_owned(),
            use_domain: false,
            domain_prefix: String::new(),
            append_branches: false,
        }
    }
}

impl Config {
    /// A table with columns of other names is the operator's own to make.
    fn has_usual_columns(&self) -> bool {
        let usual = Self::default();
        self.user_column == usual.user_column
            && self.domain_column == usual.domain_column
            && self.alias_user_column == usual.alias_user_column
            && self.alias_domain_column == usual.alias_domain_column
    }
}

fn column<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if is_name(&name) { Ok(name) } else { Err(D::Error::custom("expected the name of a column")) }
}

/// What the functions work with.
struct Aliases {
    config: Config,
    store: Option<Store>,
}

/// What the flags of one call change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flags {
    use_domain: bool,
    is_reverse: bool,
}

/// Replaces the Request-URI by the user that it is an alias of. Returns false, and changes nothing, when it is none.
///
/// The new URI has a user and a host and nothing else. Of several users the first by domain and name is taken; with
/// `append_branches` the others become branches.
///
/// ```rhai
/// alias_db_lookup("dbaliases");
/// if !lookup("location") { sl_send_reply(404, "Not Found"); return; }
/// ```
fn alias_db_lookup(
    route: &mut Route,
    aliases: &Aliases,
    table: ImmutableString,
) -> Result<bool, RouteError> {
    let flags = Flags { use_domain: aliases.config.use_domain, is_reverse: false };
    find(route, aliases, &table, flags)
}

/// The same with flags, a letter each: `d` looks at no domain, `u` looks at the domain, whatever `use_domain` says;
/// `r` goes the other way, from the user to an alias.
///
/// ```rhai
/// alias_db_lookup("dbaliases", "u");
/// ```
fn alias_db_lookup_with(
    route: &mut Route,
    aliases: &Aliases,
    table: ImmutableString,
    flags: ImmutableString,
) -> Result<bool, RouteError> {
    let mut found = Flags { use_domain: aliases.config.use_domain, is_reverse: false };
    for flag in flags.chars() {
        match flag {
            'd' => found.use_domain = false,
            'u' => found.use_domain = true,
            'r' => found.is_reverse = true,
            _ => {
                let reason = format!("there is no flag `{flag}`; they are d, r and u");
                return Err(RouteError::BadArgument { argument: "flags", reason });
            }
        }
    }
    find(route, aliases, &table, found)
}

fn find(
    route: &mut Route,
    aliases: &Aliases,
    table: &str,
    flags: Flags,
) -> Result<bool, RouteError> {
    let store = aliases.store.as_ref().ok_or(RouteError::NotConfigured("there is no store"))?;
    let uri = route.request_uri()?;
    let Some(user) = uri.user().filter(|_| uri.is_sip()) else { return Ok(false) };
    let question = question(&aliases.config, table, flags, user, uri.host())?;
    let rows = route.wait(store.query(question))??;
    let mut uris = rows.iter().filter_map(uri_of);
    let Some(first) = uris.next() else { return Ok(false) };
    route.message.set_request_uri(&first)?;
    if aliases.config.append_branches {
        route.targets.extend(uris.map(Target::new));
    }
    Ok(true)
}

fn question(
    config: &Config,
    table: &str,
    flags: Flags,
    user: &str,
    host: &str,
) -> Result<Statement, RouteError> {
    if !is_name(table) {
        let reason = "expected the name of a table".to_owned();
        return Err(RouteError::BadArgument { argument: "table", reason });
    }
    let alias = (&config.alias_user_column, &config.alias_domain_column);
    let owner = (&config.user_column, &config.domain_column);
    let (known, wanted) = if flags.is_reverse { (owner, alias) } else { (alias, owner) };
    let limit = if config.append_branches { MAX_USERS } else { 1 };
    let mut sql = format!("SELECT {}, {} FROM {table} WHERE {} = ?", wanted.0, wanted.1, known.0);
    if flags.use_domain {
        sql += &format!(" AND {} = ?", known.1);
    }
    // The same answer every time, whatever the database finds first.
    sql += &format!(" ORDER BY {}, {} LIMIT {limit}", wanted.1, wanted.0);
    let statement = Statement::new(sql).bind(&*unescape_text(user));
    Ok(if flags.use_domain {
        let host = host.to_ascii_lowercase();
        let prefix = config.domain_prefix.as_str();
        statement.bind(host.strip_prefix(prefix).unwrap_or(&host))
    } else {
        statement
    })
}

/// The URI of a row, when it is one.
fn uri_of(row: &Row) -> Option<String> {
    let uri = format!("sip:{}@{}", escape_user(row.text(0)?), row.text(1)?);
    Uri::parse(&uri).is_ok().then_some(uri)
}

#[cfg(test)]
mod tests;
