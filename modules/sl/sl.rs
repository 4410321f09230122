#![doc = include_str!("README.md")]

use rhai::ImmutableString;

use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::REQUEST;
use crate::script::module::{Exports, ModuleDef, Status};
use crate::script::route::Route;

/// `[modules.sl]`
pub static MODULE: ModuleDef = ModuleDef { name: "sl", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    exports.with(params.parse::<Config>()?).export(
        "sl_send_reply",
        ["code", "reason"],
        REQUEST,
        sl_send_reply,
    );
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

#[cfg(test)]
mod tests;
