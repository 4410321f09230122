#![doc = include_str!("README.md")]

mod config;

use std::borrow::Cow;

use rhai::ImmutableString;

use crate::config::{ParamError, Params};
use crate::gateway::{Mapping, MessageId, Outgoing, stanza_from_message};
use crate::script::error::RouteError;
use crate::script::export::{REQUEST, XMPP_MESSAGE};
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;
use crate::script::router::{Promise, Verdict};
use crate::sip::hex;
use crate::xmpp::{Condition, Stanza, StanzaError};
pub use config::{Backend, Config, Reply};

/// `[modules.xmpp]`
pub static MODULE: ModuleDef = ModuleDef { name: "xmpp", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    exports
        .with(Gateway::from(params.parse::<Config>()?))
        .export("xmpp_send_message", [], REQUEST, xmpp_send_message)
        .export("xmpp_status", [], REQUEST, xmpp_status)
        .export("xmpp_reason", [], REQUEST, xmpp_reason)
        .export("xmpp_reply", [], REQUEST, xmpp_reply)
        .export("message_id", [], REQUEST | XMPP_MESSAGE, message_id)
        .export("message_fate", ["id"], REQUEST | XMPP_MESSAGE, message_fate)
        .export("xmpp_refuse", ["condition", "text"], XMPP_MESSAGE, xmpp_refuse)
        .export("stanza_from", [], XMPP_MESSAGE, stanza_from)
        .export("stanza_to", [], XMPP_MESSAGE, stanza_to)
        .export("stanza_id", [], XMPP_MESSAGE, stanza_id)
        .export("stanza_type", [], XMPP_MESSAGE, stanza_type)
        .export("stanza_lang", [], XMPP_MESSAGE, stanza_lang)
        .export("stanza_child", ["name"], XMPP_MESSAGE, stanza_child);
    Ok(())
}

/// The parameters, and what follows from them.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// `[modules.xmpp]`
    pub config: Config,
    /// How messages are carried.
    pub mapping: Mapping,
}

impl From<Config> for Gateway {
    fn from(config: Config) -> Self {
        Self { mapping: config.mapping(), config }
    }
}

/// Sends the MESSAGE to its XMPP recipient (RFC 7572 §5): the Request-URI, else To.
///
/// Returns true when what the parameter `reply` promises is done; the route waits for that. False when it failed. Either way `xmpp_status()` and `xmpp_reason()` tell
/// what the sender should hear, and `xmpp_reply()` tells him.
///
/// ```rhai
/// if is_method("MESSAGE") {
///     xmpp_send_message();
///     xmpp_reply();
/// }
/// ```
fn xmpp_send_message(route: &mut Route, gateway: &Gateway) -> Result<bool, RouteError> {
    if gateway.config.backend.is_none() {
        return Err(RouteError::NotConfigured("[modules.xmpp] is missing in the configuration"));
    }
    let is_kept = gateway.config.reply == Reply::Queued;
    let id = is_kept.then(|| MessageId::of_request(&route.message));
    let digits = id.map(MessageId::digits);
    let unique = match &digits {
        Some(digits) => Cow::Borrowed(hex::text(digits)),
        None => Cow::Owned(route.router().unique_id()),
    };
    route.verdict = match stanza_from_message(&route.message, &unique, &gateway.mapping) {
        Ok(Outgoing::Stanza(stanza)) => {
            let promise = match gateway.config.reply {
                Reply::Queued => Promise::Queued,
                Reply::HandedOver => Promise::HandedOver,
                Reply::Delivered => Promise::Delivered,
            };
            route.message_id = id;
            let sent = route.router().send_stanza(route, stanza, promise);
            route.wait(sent).unwrap_or_else(|late| Verdict::new(504, late.to_string()))
        }
        Ok(Outgoing::Nothing(_)) => Verdict::new(200, "OK"),
        Err(error) => {
            let (status, _) = error.status();
            let header = error.header().map(|(name, value)| (name, value.to_owned()));
            Verdict { status, reason: error.to_string().into(), header }
        }
    };
    Ok(route.verdict.is_success())
}

/// The status that tells the fate of the last message: 202 queued, 200 handed over or delivered, else why it failed.
///
/// ```rhai
/// xmpp_send_message();
/// if xmpp_status() == 404 { info("$ru is unknown"); }
/// ```
fn xmpp_status(route: &mut Route, _: &Gateway) -> Result<i64, RouteError> {
    Ok(route.verdict.status.into())
}

/// The words that go with `xmpp_status()`.
///
/// ```rhai
/// xmpp_send_message();
/// t_reply(xmpp_status(), xmpp_reason());
/// ```
fn xmpp_reason(route: &mut Route, _: &Gateway) -> Result<ImmutableString, RouteError> {
    Ok(route.verdict.reason.as_ref().into())
}

/// Replies with the fate of the last message, headers such as Contact with 302 included.
///
/// ```rhai
/// xmpp_send_message();
/// xmpp_reply();
/// ```
fn xmpp_reply(route: &mut Route, _: &Gateway) -> Result<bool, RouteError> {
    if !route.has_transaction {
        route.router().new_transaction(route)?;
    }
    let Verdict { status, reason, header } = route.verdict.clone();
    let headers: Vec<_> = header.iter().map(|(name, value)| (*name, value.as_str())).collect();
    route.router().reply(route, status, &reason, &headers)?;
    route.is_answered = true;
    Ok(true)
}

/// What the message is known by that was queued, or that has come from XMPP: 32 hexadecimal digits. Empty when it is not
/// kept. `sipjab fate` tells the operator of it.
///
/// ```rhai
/// if xmpp_send_message() { info("$ci accepted as " + message_id()); }
/// ```
fn message_id(route: &mut Route, _: &Gateway) -> Result<ImmutableString, RouteError> {
    let id = route.message_id.or_else(|| route.xmpp.as_ref()?.id);
    Ok(id.map(|id| id.to_string()).unwrap_or_default().into())
}

/// What became of a message: `accepted`, `sending`, `handed_over`, `delivered`, `failed` or `expired`; empty when there is no
/// message of that id, or not any more.
///
/// ```rhai
/// if message_fate("00112233445566778899aabbccddeeff") == "failed" { warn("not delivered"); }
/// ```
fn message_fate(
    route: &mut Route,
    _: &Gateway,
    id: ImmutableString,
) -> Result<ImmutableString, RouteError> {
    let id = MessageId::parse(&id).ok_or_else(|| RouteError::BadArgument {
        argument: "id",
        reason: format!("`{id}` is no id; it has 32 hexadecimal digits"),
    })?;
    let state = route.wait(route.router().message_fate(id))?;
    Ok(state.map(|state| state.word()).unwrap_or_default().into())
}

/// Returns the stanza to its sender with an error: one of the conditions of RFC 6120 §8.3.3, and a text for people.
///
/// ```rhai
/// fn xmpp_message_route() {
///     if stanza_from() == "spammer@xmpp.example" { xmpp_refuse("forbidden", "Not here"); return; }
///     t_relay();
/// }
/// ```
fn xmpp_refuse(
    route: &mut Route,
    _: &Gateway,
    condition: ImmutableString,
    text: ImmutableString,
) -> Result<(), RouteError> {
    let condition = Condition::from_name(&condition).ok_or_else(|| RouteError::BadArgument {
        argument: "condition",
        reason: format!("`{condition}` is none of RFC 6120 §8.3.3"),
    })?;
    let error = StanzaError::from(condition).with_text(text.as_str());
    route.router().refuse_stanza(route, error)
}

fn stanza(route: &Route) -> Result<&Stanza, RouteError> {
    let reason = "there is no stanza";
    let error = RouteError::State { function: "stanza", reason };
    route.xmpp.as_ref().map(|xmpp| &xmpp.stanza).ok_or(error)
}

/// The JID that the stanza came from.
///
/// ```rhai
/// fn xmpp_message_route() { info("from " + stanza_from()); t_relay(); }
/// ```
fn stanza_from(route: &mut Route, _: &Gateway) -> Result<ImmutableString, RouteError> {
    Ok(stanza(route)?.from().unwrap_or_default().as_ref().into())
}

/// The JID that the stanza is for.
///
/// ```rhai
/// fn xmpp_message_route() { info("to " + stanza_to()); t_relay(); }
/// ```
fn stanza_to(route: &mut Route, _: &Gateway) -> Result<ImmutableString, RouteError> {
    Ok(stanza(route)?.to().unwrap_or_default().as_ref().into())
}

/// The id of the stanza, empty where it has none.
///
/// ```rhai
/// fn xmpp_message_route() { info("id " + stanza_id()); t_relay(); }
/// ```
fn stanza_id(route: &mut Route, _: &Gateway) -> Result<ImmutableString, RouteError> {
    Ok(stanza(route)?.id().unwrap_or_default().as_ref().into())
}

/// The type of the stanza, `normal` where it says none (RFC 6121 §5.2.2).
///
/// ```rhai
/// fn xmpp_message_route() { if stanza_type() == "headline" { drop(); } t_relay(); }
/// ```
fn stanza_type(route: &mut Route, _: &Gateway) -> Result<ImmutableString, RouteError> {
    let kind = stanza(route)?.type_attribute();
    Ok(kind.as_deref().unwrap_or("normal").into())
}

/// The language of the stanza, empty where it says none.
///
/// ```rhai
/// fn xmpp_message_route() { info("in " + stanza_lang()); t_relay(); }
/// ```
fn stanza_lang(route: &mut Route, _: &Gateway) -> Result<ImmutableString, RouteError> {
    Ok(stanza(route)?.lang().unwrap_or_default().as_ref().into())
}

/// The text of a child of the stanza: `body`, `subject`, `thread`. Empty where there is none.
///
/// ```rhai
/// fn xmpp_message_route() { if stanza_child("body") == "" { drop(); } t_relay(); }
/// ```
fn stanza_child(
    route: &mut Route,
    _: &Gateway,
    name: ImmutableString,
) -> Result<ImmutableString, RouteError> {
    Ok(stanza(route)?.child_text(&name).unwrap_or_default().as_ref().into())
}

#[cfg(test)]
mod tests;
