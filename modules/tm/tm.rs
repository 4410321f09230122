#![doc = include_str!("README.md")]

use rhai::ImmutableString;

use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{REQUEST, XMPP_MESSAGE};
use crate::script::module::{Exports, ModuleDef, Status};
use crate::script::route::Route;

/// `[modules.tm]`
pub static MODULE: ModuleDef = ModuleDef { name: "tm", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    exports
        .with(params.parse::<Config>()?)
        .export("t_newtran", [], REQUEST, t_newtran)
        .export("t_reply", ["code", "reason"], REQUEST, t_reply)
        .export("t_relay", [], REQUEST | XMPP_MESSAGE, t_relay)
        .export("t_check_trans", [], REQUEST, t_check_trans);
    Ok(())
}

/// `[modules.tm]` has no parameters; the timers stand in `[sip.timers]`.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// Makes the transaction of this request, so that retransmissions are absorbed from now on.
/// Returns false when there was one.
///
/// ```rhai
/// t_newtran();
/// t_reply(200, "OK");
/// ```
fn t_newtran(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    if route.has_transaction {
        return Ok(false);
    }
    route.router().new_transaction(route)?;
    Ok(true)
}

/// Replies through the transaction, which is made when there is none.
///
/// The reply is repeated for every retransmission of the request. An empty reason becomes the standard one.
///
/// ```rhai
/// t_reply(404, "Not Found");
/// ```
fn t_reply(
    route: &mut Route,
    config: &Config,
    Status(code): Status,
    reason: ImmutableString,
) -> Result<bool, RouteError> {
    t_newtran(route, config)?;
    route.router().reply(route, code, &reason, &[])?;
    route.is_answered |= code >= 200;
    Ok(true)
}

/// Sends the message on through a transaction: to the next hop that the script has set, else along its Route
/// header, else to its Request-URI (RFC 3261 §16.6). The replies return by themselves.
///
/// In `xmpp_message_route` it delivers the MESSAGE that the stanza has become; a failure returns to
/// the XMPP sender as an error. Returns true; no way to the next hop is an error that tells the status.
///
/// ```rhai
/// try { t_relay(); } catch (e) { t_reply(e.status, e.reason); }
/// ```
fn t_relay(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    let relayed = route.router().relay(route);
    route.wait(relayed)??;
    route.is_relayed = true;
    Ok(true)
}

/// Has the script made the transaction of this request?
///
/// Retransmissions of a request with a transaction never reach the script, so this is false when it begins.
///
/// ```rhai
/// if !t_check_trans() { t_newtran(); }
/// ```
fn t_check_trans(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(route.has_transaction)
}

#[cfg(test)]
mod tests;
