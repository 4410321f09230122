#![doc = include_str!("README.md")]

pub mod config;
pub mod table;

use rhai::ImmutableString;

pub use self::config::{Config, DbMode};
use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{ANY_SIP, FAILURE, REQUEST, XMPP_MESSAGE};
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::{Route, Target};
use crate::script::router::Saving;

/// `[modules.registrar]`
pub static MODULE: ModuleDef = ModuleDef { name: "registrar", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    const LOOKUP: crate::script::export::Kinds = REQUEST.or(FAILURE).or(XMPP_MESSAGE);
    const ANY: crate::script::export::Kinds = ANY_SIP.or(XMPP_MESSAGE);
    let config = params.parse::<Config>()?;
    if config.db_mode != DbMode::None {
        exports.table(&table::LOCATION);
    }
    exports
        .with(config)
        .export("save", ["table"], REQUEST, save)
        .export("save", ["table", "flags"], REQUEST, save_with)
        .export("save", ["table", "flags", "uri"], REQUEST, save_uri)
        .export("lookup", ["table"], LOOKUP, lookup)
        .export("lookup", ["table", "uri"], LOOKUP, lookup_uri)
        .export("lookup_branches", ["table"], REQUEST | FAILURE, lookup_branches)
        .export("registered", ["table"], ANY, registered)
        .export("registered", ["table", "uri"], ANY, registered_uri)
        .export("unregister", ["table", "uri"], ANY, unregister)
        .export("unregister", ["table", "uri", "contact"], ANY, unregister_contact);
    Ok(())
}

/// The flags of `save`: 1 memory only, 2 no reply, 4 one contact; 8 and 16 change nothing here.
const SAVE_FLAGS: i64 = 0x1f;

/// Remembers or forgets the contacts of a REGISTER and replies with those that are known (RFC 3261 §10.3).
///
/// `table` is `location`; others keep their own contacts, in memory alone.
/// Returns false when the REGISTER was refused, after a reply that says why.
///
/// ```rhai
/// if method() == "REGISTER" { save("location"); return; }
/// ```
fn save(route: &mut Route, _: &Config, table: ImmutableString) -> Result<bool, RouteError> {
    save_as(route, &table, 0, None)
}

/// The same in another manner. `flags` is a sum: 1, the contacts stay in memory; 2, no reply is sent; 4, what is
/// registered takes the place of every other contact. 8 and 16 are taken and change nothing.
///
/// ```rhai
/// // the latest phone alone rings
/// save("location", 0x04);
/// ```
fn save_with(
    route: &mut Route,
    _: &Config,
    table: ImmutableString,
    flags: i64,
) -> Result<bool, RouteError> {
    save_as(route, &table, flags, None)
}

/// The same for the address of record that `uri` names, instead of that of To.
///
/// ```rhai
/// save("location", 0, "sip:front-desk@sip.example");
/// ```
fn save_uri(
    route: &mut Route,
    _: &Config,
    table: ImmutableString,
    flags: i64,
    uri: ImmutableString,
) -> Result<bool, RouteError> {
    save_as(route, &table, flags, Some(&uri))
}

fn save_as(
    route: &mut Route,
    table: &str,
    flags: i64,
    uri: Option<&str>,
) -> Result<bool, RouteError> {
    if !(0..=SAVE_FLAGS).contains(&flags) {
        let range = "a sum of 1, 2, 4, 8 and 16";
        return Err(RouteError::OutOfRange {
            function: "save",
            argument: "flags",
            range,
            found: flags,
        });
    }
    let has = |flag: i64| flags & flag != 0;
    let saving = Saving { uri, is_volatile: has(1), is_silent: has(2), replaces_all: has(4) };
    let saved = route.router().save(route, table, saving)?;
    route.is_answered |= !saving.is_silent;
    Ok(saved)
}

/// Sends the request to the contacts of the Request-URI's address of record: the best becomes the Request-URI, the
/// others further targets. A GRUU leads to its instance. Returns false, and changes nothing, when none is registered.
///
/// ```rhai
/// if !lookup("location") { sl_send_reply(404, "Not Found"); return; }
/// t_relay();
/// ```
fn lookup(route: &mut Route, config: &Config, table: ImmutableString) -> Result<bool, RouteError> {
    let uri = route.message.request_uri().to_owned();
    let found = contacts(route, config, &table, &uri);
    go_to(route, found)
}

/// The same with the contacts of `uri`.
///
/// ```rhai
/// if !lookup("location", "sip:front-desk@sip.example") { sl_send_reply(480, ""); return; }
/// ```
fn lookup_uri(
    route: &mut Route,
    config: &Config,
    table: ImmutableString,
    uri: ImmutableString,
) -> Result<bool, RouteError> {
    let found = contacts(route, config, &table, &uri);
    go_to(route, found)
}

/// Looks up the Request-URI and each further target that has nothing but a URI; what is not registered
/// stays as it is. Returns false when none is registered.
///
/// ```rhai
/// if !lookup_branches("location") { sl_send_reply(404, "Not Found"); return; }
/// ```
fn lookup_branches(
    route: &mut Route,
    config: &Config,
    table: ImmutableString,
) -> Result<bool, RouteError> {
    let before = std::mem::take(&mut route.targets);
    let mut is_found = lookup(route, config, table.clone())?;
    for target in before {
        let is_plain = target.destination.is_none() && target.path.is_empty();
        let found = match is_plain {
            true => contacts(route, config, &table, &target.uri),
            false => Vec::new(),
        };
        is_found |= !found.is_empty();
        if found.is_empty() {
            route.targets.push(target);
        } else {
            route.targets.extend(found);
        }
    }
    Ok(is_found)
}

fn contacts(route: &Route, config: &Config, table: &str, uri: &str) -> Vec<Target> {
    // Within a dialog the method was agreed on.
    let is_initial = route.message.to().is_ok_and(|to| to.tag().is_none());
    let method = route.message.method();
    let method = (config.method_filtering && is_initial).then_some(method.as_str());
    let mut found = route.router().contacts(table, uri, method);
    if !config.append_branches {
        found.truncate(1);
    }
    found
}

fn go_to(route: &mut Route, found: Vec<Target>) -> Result<bool, RouteError> {
    let mut found = found.into_iter();
    let Some(best) = found.next() else { return Ok(false) };
    route.message.set_request_uri(&best.uri)?;
    // A Route that the sender chose must not lead past the contact.
    route.destination = Some(best.destination.unwrap_or(best.uri));
    route.path = best.path;
    route.q = best.q;
    route.branch_flags |= best.flags;
    route.targets.extend(found);
    Ok(true)
}

/// Is the address of record of the Request-URI registered?
///
/// ```rhai
/// if !registered("location") { sl_send_reply(480, "Temporarily Unavailable"); return; }
/// ```
fn registered(route: &mut Route, _: &Config, table: ImmutableString) -> Result<bool, RouteError> {
    let contacts = route.router().contacts(&table, route.message.request_uri(), None);
    Ok(!contacts.is_empty())
}

/// Is the address of record that `uri` names registered?
///
/// ```rhai
/// if !registered("location", "sip:alice@sip.example") { sl_send_reply(403, "Not Registered"); return; }
/// ```
fn registered_uri(
    route: &mut Route,
    _: &Config,
    table: ImmutableString,
    uri: ImmutableString,
) -> Result<bool, RouteError> {
    Ok(!route.router().contacts(&table, &uri, None).is_empty())
}

/// Forgets every contact of the address of record that `uri` names. Returns false when there was none.
///
/// ```rhai
/// unregister("location", "sip:alice@sip.example");
/// ```
fn unregister(
    route: &mut Route,
    _: &Config,
    table: ImmutableString,
    uri: ImmutableString,
) -> Result<bool, RouteError> {
    Ok(route.router().unregister(&table, &uri, None) > 0)
}

/// Forgets one contact, by its URI or by its name in the column `ruid`.
///
/// ```rhai
/// unregister("location", "sip:alice@sip.example", "sip:alice@192.0.2.9:5062");
/// ```
fn unregister_contact(
    route: &mut Route,
    _: &Config,
    table: ImmutableString,
    uri: ImmutableString,
    contact: ImmutableString,
) -> Result<bool, RouteError> {
    Ok(route.router().unregister(&table, &uri, Some(&contact)) > 0)
}

#[cfg(test)]
mod tests;
