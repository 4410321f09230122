#![doc = include_str!("README.md")]

use serde::{Deserialize, Deserializer, de::Error};

use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{FAILURE, REQUEST, XMPP_MESSAGE};
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;
use crate::sip::unescape_text;
use crate::store::{Column, ColumnType, Statement, Store, Table, is_name};

/// `[modules.uri_db]`
pub static MODULE: ModuleDef = ModuleDef { name: "uri_db", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    if config.has_usual_columns() {
        exports.table(&SUBSCRIBER.named(config.subscriber_table.clone()));
    }
    let users = Users { config, store: exports.store() };
    exports.with(users).export(
        "does_uri_exist",
        [],
        REQUEST | FAILURE | XMPP_MESSAGE,
        does_uri_exist,
    );
    Ok(())
}

/// Kamailio's table, of which users are read, and domains only where they are used.
static SUBSCRIBER: Table = Table::new(
    "subscriber",
    7,
    &[
        Column::new("id", ColumnType::Id).optional(),
        Column::new("username", ColumnType::Text(64)).default("''"),
        Column::new("domain", ColumnType::Text(64)).default("''").optional(),
        Column::new("password", ColumnType::Text(64)).default("''").optional(),
        Column::new("ha1", ColumnType::Text(128)).default("''").optional(),
        Column::new("ha1b", ColumnType::Text(128)).default("''").optional(),
    ],
)
.unique(&[&["username", "domain"]]);

/// `[modules.uri_db]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The table of users. Default `subscriber`.
    #[serde(deserialize_with = "name")]
    pub subscriber_table: String,
    /// The column of the user. Default `username`.
    #[serde(deserialize_with = "name")]
    pub subscriber_user_column: String,
    /// The column of the domain. Default `domain`.
    #[serde(deserialize_with = "name")]
    pub subscriber_domain_column: String,
    /// A user exists in one domain only. Default false: in any.
    pub use_domain: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            subscriber_table: "subscriber".to_owned(),
            subscriber_user_column: "username".to_owned(),
            subscriber_domain_column: "domain".to_owned(),
            use_domain: false,
        }
    }
}

impl Config {
    /// A table with columns of other names is the operator's own to make.
    fn has_usual_columns(&self) -> bool {
        self.subscriber_user_column == "username" && self.subscriber_domain_column == "domain"
    }
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let error = "expected the name of a table or column";
    if is_name(&name) { Ok(name) } else { Err(D::Error::custom(error)) }
}

/// What the function works with.
struct Users {
    config: Config,
    store: Option<Store>,
}

/// Does the Request-URI name a user of the table `subscriber`?
///
/// A store that is away or slow raises a 503 with Retry-After, unless the script catches it.
///
/// ```rhai
/// if !does_uri_exist() { sl_send_reply(404, "Not Found"); return; }
/// ```
fn does_uri_exist(route: &mut Route, users: &Users) -> Result<bool, RouteError> {
    let store = users.store.as_ref().ok_or(RouteError::NotConfigured("there is no store"))?;
    let uri = route.request_uri()?;
    let Some(user) = uri.user().filter(|_| uri.is_sip()) else { return Ok(false) };
    let Config { subscriber_table, subscriber_user_column, .. } = &users.config;
    let mut sql = format!("SELECT 1 FROM {subscriber_table} WHERE {subscriber_user_column} = ?");
    if users.config.use_domain {
        sql += &format!(" AND {} = ?", users.config.subscriber_domain_column);
    }
    let mut question = Statement::new(sql + " LIMIT 1").bind(&*unescape_text(user));
    if users.config.use_domain {
        question = question.bind(uri.host().to_ascii_lowercase());
    }
    Ok(!route.wait(store.query(question))??.is_empty())
}

#[cfg(test)]
mod tests;
