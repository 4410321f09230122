#![doc = include_str!("README.md")]

use crate::config::value::ranged;
use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{BRANCH, FAILURE, REQUEST};
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;

/// `[modules.maxfwd]`
pub static MODULE: ModuleDef = ModuleDef { name: "maxfwd", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    exports
        .with(params.parse::<Config>()?)
        .export("process_maxfwd", ["limit"], REQUEST, process_maxfwd)
        .export("is_maxfwd_lt", ["limit"], REQUEST | FAILURE | BRANCH, is_maxfwd_lt);
    Ok(())
}

/// `[modules.maxfwd]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The most hops that a request may still have when it leaves us; more are cut to this.
    ///
    /// 1 to 255. Default 70, the value that RFC 3261 §8.1.1.6 recommends to clients.
    #[serde(deserialize_with = "ranged::<_, _, 1, 255>")]
    pub max_limit: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_limit: 70 }
    }
}

/// Counts one hop. Returns false when the request has no hops left.
///
/// A request without Max-Forwards gets it, set to `limit` (RFC 3261 §16.6 step 3).
///
/// ```rhai
/// if !process_maxfwd(10) {
///     sl_send_reply(483, "Too Many Hops");
///     return;
/// }
/// ```
fn process_maxfwd(route: &mut Route, config: &Config, limit: i64) -> Result<bool, RouteError> {
    let limit = hops("process_maxfwd", limit)?;
    let left = match route.message.max_forwards()? {
        None => limit,
        Some(0) => return Ok(false),
        Some(left) => (left - 1).min(config.max_limit),
    };
    route.message.set_header("Max-Forwards", &left.to_string())?;
    Ok(true)
}

/// Has the request fewer than `limit` hops left? False when it does not say.
///
/// ```rhai
/// if is_maxfwd_lt(3) { info("$ci is nearly out of hops"); }
/// ```
fn is_maxfwd_lt(route: &mut Route, _: &Config, limit: i64) -> Result<bool, RouteError> {
    let limit = hops("is_maxfwd_lt", limit)?;
    Ok(route.message.max_forwards()?.is_some_and(|left| left < limit))
}

fn hops(function: &'static str, limit: i64) -> Result<u8, RouteError> {
    let range = "1 to 255";
    let error = RouteError::OutOfRange { function, argument: "limit", range, found: limit };
    u8::try_from(limit).ok().filter(|limit| *limit > 0).ok_or(error)
}

#[cfg(test)]
mod tests;
