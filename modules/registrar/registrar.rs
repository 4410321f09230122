#![doc = include_str!("README.md")]

use rhai::ImmutableString;

use crate::config::value::ranged;
use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{REQUEST, XMPP_MESSAGE};
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;

/// `[modules.registrar]`
pub static MODULE: ModuleDef = ModuleDef { name: "registrar", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    exports.with(params.parse::<Config>()?).export("save", ["table"], REQUEST, save).export(
        "lookup",
        ["table"],
        REQUEST | XMPP_MESSAGE,
        lookup,
    );
    Ok(())
}

/// `[modules.registrar]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a contact is remembered when the REGISTER does not say, in seconds.
    ///
    /// 1 to 86400. Default 3600, RFC 3261 §10.2.1.1.
    #[serde(deserialize_with = "ranged::<_, _, 1, 86_400>")]
    pub default_expires: u32,
    /// The longest that a contact is remembered, in seconds; a longer wish is cut to this.
    ///
    /// 1 to 86400. Default 3600.
    #[serde(deserialize_with = "ranged::<_, _, 1, 86_400>")]
    pub max_expires: u32,
    /// The most contacts of one address of record; a REGISTER that needs more is answered 503.
    ///
    /// 1 to 100. Default 10, more phones than most people have.
    #[serde(deserialize_with = "ranged::<_, _, 1, 100>")]
    pub max_contacts: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self { default_expires: 3600, max_expires: 3600, max_contacts: 10 }
    }
}

/// Remembers or forgets the contacts of a REGISTER and replies with those that are known (RFC 3261 §10.3).
///
/// Contacts are kept in memory. `table` is `location`; others keep their own contacts.
/// Returns false when the REGISTER was refused, after a reply that says why.
///
/// ```rhai
/// if method() == "REGISTER" { save("location"); return; }
/// ```
fn save(route: &mut Route, _: &Config, table: ImmutableString) -> Result<bool, RouteError> {
    let saved = route.router().save(route, &table)?;
    route.is_answered = true;
    Ok(saved)
}

/// Puts the best contact of the Request-URI's address of record into the Request-URI.
/// Returns false, and changes nothing, when none is registered.
///
/// ```rhai
/// if !lookup("location") { sl_send_reply(404, "Not Found"); return; }
/// t_relay();
/// ```
fn lookup(route: &mut Route, _: &Config, table: ImmutableString) -> Result<bool, RouteError> {
    match route.router().contact(&table, route.message.request_uri()) {
        Some(contact) => {
            route.message.set_request_uri(&contact.uri)?;
            route.destination = Some(contact.received.unwrap_or(contact.uri).into());
            Ok(true)
        }
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests;
