#![doc = include_str!("README.md")]

mod checks;

use self::checks::{MESSAGE_CHECKS, URI_CHECKS};
use crate::config::value::ranged;
use crate::config::{ParamError, Params};
use crate::script::error::{Refusal, RouteError};
use crate::script::export::REQUEST;
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;

/// `[modules.sanity]`
pub static MODULE: ModuleDef = ModuleDef { name: "sanity", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    exports
        .with(params.parse::<Config>()?)
        .export("sanity_check", [], REQUEST, sanity_check)
        .export("sanity_check", ["msg_checks"], REQUEST, sanity_check_message)
        .export("sanity_check", ["msg_checks", "uri_checks"], REQUEST, sanity_check_both);
    Ok(())
}

/// `[modules.sanity]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The checks of the message when the script names none, as a sum.
    ///
    /// 0 to 32767. Default 999, as in Kamailio: what is cheap.
    #[serde(deserialize_with = "ranged::<_, _, 0, 32_767>")]
    pub default_checks: u16,
    /// The URIs that are checked when the script names none, as a sum.
    ///
    /// 0 to 15. Default 7: Request-URI, From and To.
    #[serde(deserialize_with = "ranged::<_, _, 0, 15>")]
    pub uri_checks: u16,
    /// The option tags that a Proxy-Require may name.
    ///
    /// Default none.
    pub proxy_require: Vec<Box<str>>,
    /// A fault is not answered; the script does that, for instance with `send_reply_error`.
    ///
    /// Default false.
    pub noreply: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { default_checks: 999, uri_checks: 7, proxy_require: Vec::new(), noreply: false }
    }
}

/// Makes the checks of `default_checks` and `uri_checks`. Returns false when the request has a fault, which is then
/// answered already.
///
/// ```rhai
/// if !sanity_check() { return; }
/// ```
fn sanity_check(route: &mut Route, config: &Config) -> Result<bool, RouteError> {
    Ok(check(route, config, config.default_checks, config.uri_checks))
}

/// Makes the checks whose sum is `msg_checks`, and those of `uri_checks`. Returns false when the request has a fault.
///
/// ```rhai
/// if !sanity_check(1511) { return; }
/// ```
fn sanity_check_message(
    route: &mut Route,
    config: &Config,
    msg_checks: i64,
) -> Result<bool, RouteError> {
    let checks = sum("msg_checks", "0 to 32767", msg_checks, 32_767)?;
    Ok(check(route, config, checks, config.uri_checks))
}

/// Makes the checks whose sum is `msg_checks`, and of the URIs those whose sum is `uri_checks`.
/// Returns false when the request has a fault.
///
/// ```rhai
/// if !sanity_check(17895, 7) { return; }
/// ```
fn sanity_check_both(
    route: &mut Route,
    config: &Config,
    msg_checks: i64,
    uri_checks: i64,
) -> Result<bool, RouteError> {
    let checks = sum("msg_checks", "0 to 32767", msg_checks, 32_767)?;
    let uris = sum("uri_checks", "0 to 15", uri_checks, 15)?;
    Ok(check(route, config, checks, uris))
}

fn sum(
    argument: &'static str,
    range: &'static str,
    found: i64,
    most: u16,
) -> Result<u16, RouteError> {
    let error = RouteError::OutOfRange { function: "sanity_check", argument, range, found };
    u16::try_from(found).ok().filter(|sum| *sum <= most).ok_or(error)
}

/// The first fault of the request that these checks find.
fn fault(route: &Route, config: &Config, checks: u16, uris: u16) -> Option<Refusal> {
    let wanted = MESSAGE_CHECKS.iter().filter(|row| checks & row.bit != 0);
    let fault = wanted.filter_map(|row| (row.check)(&route.message, config)).next();
    fault.or_else(|| {
        let uris = if checks & checks::PARSE_URIS == 0 { 0 } else { uris };
        let mut wanted = URI_CHECKS.iter().filter(|row| uris & row.bit != 0);
        wanted.find_map(|row| (row.check)(&route.message, config))
    })
}

fn check(route: &mut Route, config: &Config, checks: u16, uris: u16) -> bool {
    let Some(fault) = fault(route, config, checks, uris) else {
        route.meets_proxy_require |= checks & checks::PROXY_REQUIRE != 0;
        return true;
    };
    route.last_error = Some(fault.clone());
    if !config.noreply {
        let header = fault.header.map(|(name, value)| (name.into(), value.into()));
        // What cannot be answered is still refused.
        let _ = route.reply_with(fault.status, fault.reason, header);
    }
    false
}

#[cfg(test)]
mod tests;
