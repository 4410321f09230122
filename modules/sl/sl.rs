#![doc = include_str!("README.md")]

use rhai::ImmutableString;

use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{FAILURE, REQUEST};
use crate::script::module::{Exports, ModuleDef, Status};
use crate::script::route::Route;

/// `[modules.sl]`
pub static MODULE: ModuleDef = ModuleDef { name: "sl", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    exports
        .with(params.parse::<Config>()?)
        .export("sl_send_reply", ["code", "reason"], REQUEST, sl_send_reply)
        .export("sl_reply_error", [], REQUEST, sl_reply_error)
        .export("send_reply", ["code", "reason"], REQUEST | FAILURE, send_reply)
        .export("send_reply_error", [], REQUEST | FAILURE, send_reply_error);
    Ok(())
}

/// `[modules.sl]` has no parameters.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// Replies without a transaction, and forgets the request.
///
/// A retransmission runs the script again. An empty reason becomes the standard one. An ACK is never answered.
///
/// ```rhai
/// if method() == "OPTIONS" {
///     sl_send_reply(200, "OK");
/// }
/// ```
fn sl_send_reply(
    route: &mut Route,
    _: &Config,
    Status(code): Status,
    reason: ImmutableString,
) -> Result<(), RouteError> {
    route.router().reply_stateless(route, code, &reason)?;
    route.is_answered |= code >= 200;
    Ok(())
}

/// Replies without a transaction with the status of the last error that the script has caught, 500 when
/// there was none.
///
/// ```rhai
/// try { t_relay(); } catch { sl_reply_error(); }
/// ```
fn sl_reply_error(route: &mut Route, config: &Config) -> Result<(), RouteError> {
    let (code, reason) = last_error(route);
    sl_send_reply(route, config, Status(code), reason.into())
}

/// Replies through the transaction when the script has one, else without.
///
/// ```rhai
/// send_reply(404, "Not Found");
/// ```
fn send_reply(
    route: &mut Route,
    _: &Config,
    Status(code): Status,
    reason: ImmutableString,
) -> Result<(), RouteError> {
    route.reply(code, &reason)
}

/// Like `send_reply`, with the status of the last error that the script has caught, 500 when there was none.
///
/// ```rhai
/// try { t_relay(); } catch { send_reply_error(); }
/// ```
fn send_reply_error(route: &mut Route, config: &Config) -> Result<(), RouteError> {
    let (code, reason) = last_error(route);
    send_reply(route, config, Status(code), reason.into())
}

fn last_error(route: &Route) -> (u16, &'static str) {
    let last = route.last_error.as_ref();
    last.map_or((500, "Server Internal Error"), |refusal| (refusal.status, refusal.reason))
}

#[cfg(test)]
mod tests;
