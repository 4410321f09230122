//! What has become of a request: asked in the routes that run afterwards.

use rhai::ImmutableString;

use super::Config;
use crate::script::error::RouteError;
use crate::script::export::{ANY_SIP, BRANCH, FAILURE, Kind, ONREPLY};
use crate::script::module::{ModuleExports, Pattern};
use crate::script::route::{Outcome, Route};

pub(super) fn export(tm: &mut ModuleExports<'_, Config>) {
    let after = FAILURE | ONREPLY;
    tm.export("t_check_status", ["pattern"], after, t_check_status)
        .export("t_is_canceled", [], after | BRANCH, t_is_canceled)
        .export("t_any_replied", [], after, t_any_replied)
        .export("t_local_replied", ["which"], FAILURE, t_local_replied)
        .export("t_branch_timeout", [], FAILURE, t_branch_timeout)
        .export("t_branch_replied", [], after, t_branch_replied)
        .export("t_is_branch_route", [], ANY_SIP, t_is_branch_route)
        .export("t_is_failure_route", [], ANY_SIP, t_is_failure_route);
}

fn outcome(route: &Route) -> Outcome {
    route.outcome.unwrap_or_default()
}

/// Does the status match the pattern: in a `failure_route` that of the best reply, in an `onreply_route` that of this one?
///
/// ```rhai
/// fn failure_route_MAIL() {
///     if t_check_status("^(486|6..)$") { t_reply(480, "Busy, Try Later"); }
/// }
/// ```
fn t_check_status(
    route: &mut Route,
    _: &Config,
    Pattern(pattern): Pattern,
) -> Result<bool, RouteError> {
    Ok(pattern.is_match(&outcome(route).status.to_string()))
}

/// Has the caller given up?
///
/// ```rhai
/// fn failure_route_MAIL() {
///     if t_is_canceled() { return; }
/// }
/// ```
fn t_is_canceled(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(outcome(route).is_cancelled)
}

/// Has any way replied, if only provisionally?
///
/// ```rhai
/// fn failure_route_MAIL() {
///     if !t_any_replied() { warn("nobody is there for $ru"); }
/// }
/// ```
fn t_any_replied(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(outcome(route).any_replied)
}

/// Is the failure our own, of `"all"` ways or of the `"last"` one: a time-out, or no way there?
///
/// ```rhai
/// fn failure_route_MAIL() {
///     if t_local_replied("all") { t_reply(480, "Nobody Is There"); }
/// }
/// ```
fn t_local_replied(
    route: &mut Route,
    _: &Config,
    which: ImmutableString,
) -> Result<bool, RouteError> {
    match which.as_str() {
        "all" => Ok(outcome(route).all_local),
        "last" => Ok(outcome(route).last_local),
        _ => Err(RouteError::BadArgument {
            argument: "which",
            reason: format!("{which} is neither all nor last"),
        }),
    }
}

/// Did the last way time out?
///
/// ```rhai
/// fn failure_route_MAIL() {
///     if t_branch_timeout() { info("no answer in time"); }
/// }
/// ```
fn t_branch_timeout(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(outcome(route).branch_timed_out)
}

/// Did the way reply, if only provisionally?
///
/// ```rhai
/// fn failure_route_MAIL() {
///     if t_branch_timeout() && t_branch_replied() { info("it rang in vain"); }
/// }
/// ```
fn t_branch_replied(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(outcome(route).branch_replied)
}

/// Does a `branch_route` run?
///
/// ```rhai
/// if t_is_branch_route() { info("one way of many"); }
/// ```
fn t_is_branch_route(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(route.kind == Kind::Branch)
}

/// Does a `failure_route` run?
///
/// ```rhai
/// if t_is_failure_route() { info("another try"); }
/// ```
fn t_is_failure_route(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(route.kind == Kind::Failure)
}

#[cfg(test)]
mod tests;
