#![doc = include_str!("README.md")]

mod config;

use crate::config::{ParamError, Params};
use crate::gateway::{
    AccountStanza, Destination, ImType, Mapping, MessageId, Ser, Wish, stanza_to,
};
use crate::script::error::RouteError;
use crate::script::export::{REQUEST, XMPP_MESSAGE};
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;
use crate::script::router::{AccountOrder, OrderedMessage, Promise, Verdict};
use crate::sip::{Uri, unescape_text};
use crate::store::users::{JUSERS, TRANSPORTS};
use rhai::ImmutableString;

pub use config::{Config, Profile, Reply, TlsName};

/// `[modules.jabber]`
pub static MODULE: ModuleDef = ModuleDef { name: "jabber", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    if params.is_given() && !config.is_on() {
        let help =
            "`jdomain` is the SIP domain of the Jabber network: jdomain = \"jabber.example=*\"";
        return Err(params.finding("the key `jdomain` is missing", help));
    }
    let lack = (!config.is_on()).then_some("`jdomain` of [modules.jabber] is missing");
    if config.is_on() {
        exports.table(&JUSERS);
        for (table, _) in TRANSPORTS {
            exports.table(table);
        }
    }
    let jabber = Jabber { ser: config.ser(), mapping: config.mapping(), config };
    exports
        .with(jabber)
        .lacking(lack)
        .export("go_online", [], REQUEST, go_online)
        .export("go_offline", [], REQUEST, go_offline)
        .export("send_message", [], REQUEST, send_message)
        .export("join_conference", [], REQUEST, join_conference)
        .export("exit_conference", [], REQUEST, exit_conference)
        .lacking(None)
        .export("is_jabber_destination", [], REQUEST, is_jabber_destination)
        .export("stanza_account", [], XMPP_MESSAGE, stanza_account);
    Ok(())
}

/// The parameters, and what follows from them.
struct Jabber {
    config: Config,
    ser: Ser,
    mapping: Mapping,
}

/// Opens the Jabber stream of the SIP user in From, or keeps it open. False when there is none: no account, a wrong password,
/// no server, no room for one more.
///
/// ```rhai
/// if is_method("REGISTER") && !go_online() { sl_send_reply(404, "Not Found"); }
/// ```
fn go_online(route: &mut Route, jabber: &Jabber) -> Result<bool, RouteError> {
    order(route, jabber, Wish::Online, String::new())
}

/// Closes the Jabber stream of the SIP user in From. False when it is not open.
///
/// What he has written before leaves first, so that the stream may go on for a while; he is told once he is offline.
///
/// ```rhai
/// if is_method("MESSAGE") && search_body("^:off") {
///     if go_offline() { sl_send_reply(200, "Accepted"); } else { sl_send_reply(404, "Not Found"); }
/// }
/// ```
fn go_offline(route: &mut Route, jabber: &Jabber) -> Result<bool, RouteError> {
    order(route, jabber, Wish::Offline, String::new())
}

/// Sends the MESSAGE from the Jabber account of the SIP user in From, whose stream is opened when it is not.
///
/// The recipient is whom the Request-URI names, before or after the script has changed it, else whom To names. True when
/// the message is taken, or handed over, as the parameter `reply` says; else `xmpp_reply()` tells the sender why.
///
/// ```rhai
/// if is_method("MESSAGE") {
///     if send_message() { sl_send_reply(200, "Accepted"); } else { sl_send_reply(503, "Service Unavailable"); }
/// }
/// ```
fn send_message(route: &mut Route, jabber: &Jabber) -> Result<bool, RouteError> {
    let Some((destination, address)) = destination(route, jabber)? else { return Ok(false) };
    let (to, im_type) = match &destination {
        Destination::User(jid) => (jid.clone(), ImType::Chat),
        Destination::Room { room, .. } => (room.clone(), ImType::Groupchat),
    };
    let promise = promise(route, jabber);
    let id = MessageId::of_request(&route.message).from_account();
    let id = Some(id).filter(|_| promise == Promise::Queued);
    let unique = id.map_or_else(|| route.router().unique_id(), |id| id.to_string());
    let stanza = match stanza_to(&route.message, &to, im_type, &unique, &jabber.mapping) {
        Ok(Some(stanza)) => stanza,
        Ok(None) => {
            route.verdict = Verdict::new(200, "OK");
            return Ok(true);
        }
        Err(error) => {
            let (status, _) = error.status();
            let header = error.header().map(|(name, value)| (name, value.to_owned()));
            route.verdict = Verdict { status, reason: error.to_string().into(), header };
            return Ok(false);
        }
    };
    let AccountStanza { bytes: stanza, id: stanza_id, asks_receipt } = stanza;
    let wish = match destination {
        Destination::User(_) => Wish::Send { to, stanza },
        Destination::Room { room, .. } => Wish::Say { room, stanza },
    };
    route.message_id = id;
    let request = route.message.clone();
    let message = Some(OrderedMessage { request, id: stanza_id, asks_receipt });
    give(route, jabber, AccountOrder { sip_id: sender(route)?, wish, address, promise, message })
}

/// Joins the conference that the Request-URI or To names, `nick*room*server@jdomain`; without a nick the user's own name is taken.
/// False when it is not joined.
///
/// ```rhai
/// if is_method("SUBSCRIBE") {
///     if join_conference() { sl_send_reply(200, "Accepted"); } else { sl_send_reply(404, "Not Found"); }
/// }
/// ```
fn join_conference(route: &mut Route, jabber: &Jabber) -> Result<bool, RouteError> {
    match conference(route, jabber)? {
        Some((room, nick, address)) => order(route, jabber, Wish::Join { room, nick }, address),
        None => Ok(false),
    }
}

/// Leaves the conference that the Request-URI or To names. False when the user is in none of that name.
///
/// ```rhai
/// if is_method("MESSAGE") && search_body("^:exit") {
///     if exit_conference() { sl_send_reply(200, "Accepted"); } else { sl_send_reply(404, "Not Found"); }
/// }
/// ```
fn exit_conference(route: &mut Route, jabber: &Jabber) -> Result<bool, RouteError> {
    match conference(route, jabber)? {
        Some((room, _, address)) => order(route, jabber, Wish::Exit { room }, address),
        None => Ok(false),
    }
}

/// Whether the Request-URI or To is of the Jabber network: in `jdomain` or one of `aliases`.
///
/// ```rhai
/// if is_jabber_destination() { send_message(); xmpp_reply(); }
/// ```
fn is_jabber_destination(route: &mut Route, jabber: &Jabber) -> Result<bool, RouteError> {
    Ok(candidates(route).iter().any(|uri| served(jabber, uri).is_some()))
}

/// The SIP user whose Jabber account the stanza came to, empty when it came to the component.
///
/// ```rhai
/// fn xmpp_message_route() { info("for " + stanza_account()); t_relay(); }
/// ```
fn stanza_account(route: &mut Route, _: &Jabber) -> Result<ImmutableString, RouteError> {
    let account = route.xmpp.as_ref().and_then(|xmpp| xmpp.account.as_deref());
    Ok(account.unwrap_or_default().into())
}

/// Gives an order to the account of the sender.
fn order(
    route: &mut Route,
    jabber: &Jabber,
    wish: Wish,
    address: String,
) -> Result<bool, RouteError> {
    let (sip_id, promise) = (sender(route)?, promise(route, jabber));
    give(route, jabber, AccountOrder { sip_id, wish, address, promise, message: None })
}

/// What success shall mean.
fn promise(route: &Route, jabber: &Jabber) -> Promise {
    match jabber.config.reply() {
        // Who has his reply already hears of a failure by a text.
        _ if route.is_answered => Promise::Queued,
        Reply::Queued => Promise::Queued,
        Reply::HandedOver => Promise::HandedOver,
        Reply::Delivered => Promise::Delivered,
    }
}

fn give(route: &mut Route, jabber: &Jabber, order: AccountOrder) -> Result<bool, RouteError> {
    if !jabber.config.is_on() {
        return Err(RouteError::NotConfigured("[modules.jabber] jdomain is missing"));
    }
    let told = route.router().order_account(order);
    let late = |late: RouteError| Verdict::new(504, late.to_string());
    route.verdict = route.wait(told).unwrap_or_else(late);
    Ok(route.verdict.is_success())
}

/// The AoR of From as SER's table has it: `sip:user@host`, without port and parameters.
fn sender(route: &Route) -> Result<String, RouteError> {
    let from = route.message.from()?;
    let uri = route.uri_of("From", &from)?;
    let user = uri.user().unwrap_or_default();
    Ok(format!("{}:{user}@{}", uri.scheme().as_str(), uri.host()))
}

/// Where a message may be meant to go, in SER's order: the Request-URI as it is, as it came, and To.
fn candidates(route: &Route) -> Vec<String> {
    let mut found = vec![route.message.request_uri().to_owned()];
    if route.original_uri != found[0] {
        found.push(route.original_uri.to_string());
    }
    found.extend(route.message.to().ok().map(|to| to.uri.to_owned()));
    found
}

/// The URI without port and parameters, when it is of the Jabber network.
fn served(jabber: &Jabber, uri: &str) -> Option<String> {
    let uri = Uri::parse(uri).ok().filter(|uri| jabber.ser.serves(uri.host()))?;
    Some(format!("sip:{}@{}", uri.user().unwrap_or_default(), uri.host()))
}

/// Whom the message is for, with the URI that says it; none, with a verdict, when nobody is.
fn destination(
    route: &mut Route,
    jabber: &Jabber,
) -> Result<Option<(Destination, String)>, RouteError> {
    let Some(address) = candidates(route).iter().find_map(|uri| served(jabber, uri)) else {
        route.verdict = Verdict::new(404, "Not A Jabber Address");
        return Ok(None);
    };
    let found = Uri::parse(&address).map(|uri| jabber.ser.destination(&uri));
    match found {
        Ok(Ok(destination)) => Ok(Some((destination, address))),
        Ok(Err(error)) => {
            route.verdict = Verdict::new(error.status().0, error.status().1);
            Ok(None)
        }
        Err(source) => Err(RouteError::Uri { part: "destination", source }),
    }
}

/// The room that the message is for, the nick in it, and the URI that says both.
fn conference(
    route: &mut Route,
    jabber: &Jabber,
) -> Result<Option<(crate::xmpp::Jid, String, String)>, RouteError> {
    match destination(route, jabber)? {
        Some((Destination::Room { room, nick }, address)) => {
            let nick = match nick {
                Some(nick) => nick,
                None => own_name(&sender(route)?),
            };
            Ok(Some((room, nick, address)))
        }
        Some((Destination::User(_), _)) => {
            route.verdict = Verdict::new(404, "Not A Conference");
            Ok(None)
        }
        None => Ok(None),
    }
}

/// The user part of an AoR, for people.
fn own_name(sip_id: &str) -> String {
    let user = sip_id.split_once(':').map_or(sip_id, |(_, rest)| rest);
    let user = user.rsplit_once('@').map_or(user, |(user, _)| user);
    unescape_text(user).into_owned()
}

#[cfg(test)]
mod tests;
