#![doc = include_str!("README.md")]

mod config;
mod delivery;
mod silo;
mod writing;

use std::rc::Rc;
use std::time::Duration;

use rhai::ImmutableString;

use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{FAILURE, Kind, REQUEST, XMPP_MESSAGE};
use crate::script::module::{Exports, ModuleDef};
use crate::script::pseudo;
use crate::script::route::Route;
use crate::sip::Uri;
use crate::store::{Store, StoreError};
pub use config::Config;
use delivery::{Office, UnderWay};
pub use silo::SILO;
use silo::{Addresses, Stored};

/// `[modules.msilo]`
pub static MODULE: ModuleDef = ModuleDef { name: "msilo", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    exports.table(&SILO.named(&*config.db_table));
    let under_way = exports.common(UnderWay::default);
    let office = Rc::new(Office { config, store: exports.store(), under_way });
    start_jobs(exports, &office);
    let kinds = REQUEST | FAILURE | XMPP_MESSAGE;
    exports
        .with(office)
        .export("m_store", [], kinds, m_store)
        .export("m_store", ["owner"], kinds, m_store_for)
        .export("m_store_addrs", ["owner", "src", "dst"], kinds, m_store_addrs)
        .export("m_dump", [], REQUEST, m_dump)
        .export("m_dump", ["owner"], REQUEST, m_dump_of)
        .export("m_dump", ["owner", "maxmsg"], REQUEST, m_dump_some);
    Ok(())
}

/// What is done again and again: what is too old goes, and what is due leaves.
fn start_jobs(exports: &mut Exports, office: &Rc<Office>) {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let cleaner = office.clone();
    exports.every(seconds(office.config.check_time), move |_| cleaner.clone().clean());
    if office.config.send_time > 0 && office.config.reminder.is_some() {
        let clerk = office.clone();
        exports.every(seconds(office.config.send_time), move |router| clerk.clone().remind(router));
    }
}

/// Stores the MESSAGE for the user that the Request-URI names, until he registers.
///
/// Returns false when it is not stored: it has no text, the user has `max_messages` already, or the store does not take
/// it. The script replies; in `xmpp_message_route` a message that is stored has met its fate. With `from_address` and
/// `offline_message` the sender gets a note.
///
/// ```rhai
/// if !lookup("location") {
///     if m_store() { sl_send_reply(202, "Accepted"); } else { sl_send_reply(503, ""); }
/// }
/// ```
fn m_store(route: &mut Route, office: &Rc<Office>) -> Result<bool, RouteError> {
    let owner = route.message.request_uri().to_owned();
    store(route, office, &owner, Addresses::default())
}

/// The same for the user that `owner` names, a SIP URI.
///
/// ```rhai
/// m_store("sip:front-desk@sip.example");
/// ```
fn m_store_for(
    route: &mut Route,
    office: &Rc<Office>,
    owner: ImmutableString,
) -> Result<bool, RouteError> {
    store(route, office, &owner, Addresses::default())
}

/// The same from `src` to `dst`, SIP URIs that stand in From and To when it is delivered; an empty one leaves the request's.
///
/// ```rhai
/// m_store_addrs(ruri(), "sip:anonymous@sip.example", "");
/// ```
fn m_store_addrs(
    route: &mut Route,
    office: &Rc<Office>,
    owner: ImmutableString,
    src: ImmutableString,
    dst: ImmutableString,
) -> Result<bool, RouteError> {
    let address = |argument: &'static str, uri: &str| match uri {
        "" => Ok(None),
        uri if Uri::parse(uri).is_ok() => Ok(Some(uri.to_owned())),
        _ => Err(RouteError::BadArgument { argument, reason: "expected a SIP URI".to_owned() }),
    };
    let addresses = Addresses { src: address("src", &src)?, dst: address("dst", &dst)? };
    store(route, office, &owner, addresses)
}

fn store(
    route: &mut Route,
    office: &Rc<Office>,
    owner: &str,
    addresses: Addresses,
) -> Result<bool, RouteError> {
    let (username, domain) = user_of(owner)?;
    let database = store_of(office)?;
    let Some(mut stored) = Stored::of(route, &username, &domain, addresses, &office.config)? else {
        return Ok(false);
    };
    stored.snd_time = due_time(route, office)?;
    stored.extra_hdrs = extra_headers(route, office);
    let limit = office.config.max_messages;
    if limit > 0 {
        let counted = route.wait(database.query(stored.count(&office.config.db_table)))?;
        let count = counted?.first().and_then(|row| row.int(0)).unwrap_or_default();
        if count >= i64::from(limit) {
            tracing::info!(count, "m_store: the user has as many messages as he may");
            return Ok(false);
        }
    }
    let written = route.wait(database.execute(vec![stored.insert(&office.config.db_table)]))?;
    if !was_written(written, route)? {
        return Ok(false);
    }
    if route.kind == Kind::XmppMessage {
        route.is_answered = true;
    } else {
        notify(route, office);
    }
    Ok(true)
}

fn was_written(written: Result<u64, StoreError>, route: &Route) -> Result<bool, RouteError> {
    match written {
        Ok(_) => Ok(true),
        // The script replies 503 with Retry-After when it does not catch this.
        Err(error) if error.retry_after().is_some() => Err(error.into()),
        Err(error) => {
            let call_id = route.message.call_id().unwrap_or_default();
            tracing::warn!(%error, call_id, "m_store: message not stored");
            Ok(false)
        }
    }
}

/// When the message shall leave, as the variable says that `snd_time_avp` names; 0 at the next REGISTER.
fn due_time(route: &Route, office: &Office) -> Result<u64, RouteError> {
    let Some(name) = &office.config.snd_time_avp else { return Ok(0) };
    let Some(value) = route.variables.get(name.as_str()) else { return Ok(0) };
    let text = value.clone().into_string().unwrap_or_default();
    writing::unix_of(&text).ok_or_else(|| RouteError::BadArgument {
        argument: "snd_time_avp",
        reason: format!("`{text}` is no time; it is written YYYYMMDDHHMMSS, in UTC"),
    })
}

/// The header lines that the variable holds that `extra_hdrs_avp` names.
fn extra_headers(route: &Route, office: &Office) -> String {
    let name = office.config.extra_hdrs_avp.as_deref();
    let value = name.and_then(|name| route.variables.get(name)).cloned();
    value.and_then(|value| value.into_string().ok()).unwrap_or_default()
}

/// Tells the sender that his message waits.
fn notify(route: &Route, office: &Rc<Office>) {
    let Config { from_address, offline_message, skip_notification_flag, .. } = &office.config;
    let (Some(from), Some(text)) = (from_address, offline_message) else { return };
    let is_skipped = (0..32).contains(skip_notification_flag)
        && route.flags & (1 << *skip_notification_flag) != 0;
    let sender = route.message.from().map(|from| from.uri.to_owned());
    let (Ok(sender), false) = (sender, is_skipped) else { return };
    let expand = |text: &str| pseudo::expand(route, text);
    let note = delivery::Note {
        from: expand(from),
        to: sender,
        contact: office.config.contact_hdr.as_deref().map(expand),
        content_type: office.config.content_type_hdr.clone(),
        extra: office.config.extra_hdrs.as_deref().map(expand),
        text: expand(text),
    };
    let (office, router) = (office.clone(), route.router());
    tokio::task::spawn_local(async move { office.send_note(&*router, note).await });
}

/// Sends the user whom To names, who has just registered, what is stored for him, oldest first.
///
/// They leave in the background, one after the other, to his registered contacts, and each is forgotten when it is
/// answered with 2xx. Returns false when he has no contact, as after a REGISTER that took the last one away, or when
/// the store cannot be asked.
///
/// ```rhai
/// if is_method("REGISTER") && save("location") { m_dump(); }
/// ```
fn m_dump(route: &mut Route, office: &Rc<Office>) -> Result<bool, RouteError> {
    let owner = route.message.to()?.uri.to_owned();
    dump(route, office, &owner, 0)
}

/// The same for the user that `owner` names, a SIP URI.
///
/// ```rhai
/// m_dump("sip:front-desk@sip.example");
/// ```
fn m_dump_of(
    route: &mut Route,
    office: &Rc<Office>,
    owner: ImmutableString,
) -> Result<bool, RouteError> {
    dump(route, office, &owner, 0)
}

/// The same with `maxmsg` messages at most; 0 sends all. The rest waits for the next time.
///
/// ```rhai
/// m_dump("sip:front-desk@sip.example", 10);
/// ```
fn m_dump_some(
    route: &mut Route,
    office: &Rc<Office>,
    owner: ImmutableString,
    maxmsg: i64,
) -> Result<bool, RouteError> {
    let max = u32::try_from(maxmsg).map_err(|_| RouteError::OutOfRange {
        function: "m_dump",
        argument: "maxmsg",
        range: "0 or more",
        found: maxmsg,
    })?;
    dump(route, office, &owner, max)
}

fn dump(route: &mut Route, office: &Rc<Office>, owner: &str, max: u32) -> Result<bool, RouteError> {
    let (username, domain) = user_of(owner)?;
    if route.router().contacts(&office.config.location, owner, None).is_empty() {
        return Ok(false);
    }
    let database = store_of(office)?;
    let question = silo::waiting(&office.config.db_table, &username, &domain, max);
    let rows = match route.wait(database.query(question))? {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(%error, "m_dump: stored messages wait for the next REGISTER");
            return Ok(false);
        }
    };
    let messages: Vec<_> = rows.iter().filter_map(silo::Waiting::read).collect();
    if !messages.is_empty() {
        let (office, router, owner) = (office.clone(), route.router(), owner.to_owned());
        tokio::task::spawn_local(async move { office.deliver(&*router, &owner, messages).await });
    }
    Ok(true)
}

/// User and domain of a SIP URI, as they stand in the table.
fn user_of(uri: &str) -> Result<(String, String), RouteError> {
    let parsed = Uri::parse(uri).map_err(|source| RouteError::Uri { part: "owner", source })?;
    match parsed.user().filter(|user| !user.is_empty() && parsed.is_sip()) {
        Some(user) => Ok((user.to_owned(), parsed.host().to_ascii_lowercase())),
        None => Err(RouteError::BadArgument {
            argument: "owner",
            reason: "expected a SIP URI with a user".to_owned(),
        }),
    }
}

fn store_of(office: &Office) -> Result<&Store, RouteError> {
    office.store.as_ref().ok_or(RouteError::NotConfigured("there is no store"))
}

#[cfg(test)]
mod tests;
