//! What a script arms before it relays: routes for what may happen, and how long that may take.

use std::time::Duration;

use rhai::ImmutableString;

use super::Config;
use crate::script::error::RouteError;
use crate::script::export::{BRANCH, FAILURE, Kind, ONREPLY, REQUEST};
use crate::script::module::{BranchRoute, FailureRoute, ModuleExports, ReplyRoute};
use crate::script::route::{Armed, Route};

/// The longest time that a script may set, in milliseconds: a day.
const LONGEST: i64 = 24 * 60 * 60 * 1000;

pub(super) fn export(tm: &mut ModuleExports<'_, Config>) {
    tm.export("t_on_branch", ["name"], REQUEST | FAILURE, t_on_branch)
        .export("t_on_reply", ["name"], REQUEST | FAILURE | BRANCH, t_on_reply)
        .export("t_on_failure", ["name"], REQUEST | FAILURE, t_on_failure)
        .export("t_is_set", ["kind"], REQUEST | FAILURE | BRANCH | ONREPLY, t_is_set)
        .export("t_set_fr", ["ringing"], REQUEST | FAILURE, t_set_fr)
        .export("t_set_fr", ["ringing", "silence"], REQUEST | FAILURE, t_set_fr_both);
}

fn armed(route: &mut Route) -> &mut Armed {
    route.armed.get_or_insert_default()
}

/// The checker sees names that are written out; one that is computed is looked up here.
fn known(
    route: &Route,
    kind: Kind,
    name: Option<ImmutableString>,
) -> Result<Option<ImmutableString>, RouteError> {
    let Some(name) = name else { return Ok(None) };
    let function = format!("{}_{name}", kind.function());
    match &route.bundle {
        Some(bundle) if !bundle.has_route(&function) => Err(RouteError::BadArgument {
            argument: "name",
            reason: format!("the script has no {function}"),
        }),
        _ => Ok(Some(name)),
    }
}

/// Has `branch_route_NAME` run for each copy of the request before it leaves. An empty name takes that back.
///
/// What that route changes is changed in this copy alone; `drop()` there leaves the way out.
///
/// ```rhai
/// fn request_route() {
///     t_on_branch("MARK");
///     t_relay();
/// }
/// fn branch_route_MARK() { append_hf("X-Way", ruri()); }
/// ```
fn t_on_branch(
    route: &mut Route,
    _: &Config,
    BranchRoute(name): BranchRoute,
) -> Result<(), RouteError> {
    armed(route).branch = known(route, Kind::Branch, name)?;
    Ok(())
}

/// Has `onreply_route_NAME` run for each reply but 100, before it goes upstream. An empty name takes that back.
///
/// What that route changes is changed in the reply; `drop()` there drops a provisional reply.
///
/// ```rhai
/// fn request_route() {
///     t_on_reply("SIGHT");
///     t_relay();
/// }
/// fn onreply_route_SIGHT() { info("a reply for $ci"); }
/// ```
fn t_on_reply(
    route: &mut Route,
    _: &Config,
    ReplyRoute(name): ReplyRoute,
) -> Result<(), RouteError> {
    armed(route).reply = known(route, Kind::OnReply, name)?;
    Ok(())
}

/// Has `failure_route_NAME` run, once, when every way has failed. An empty name takes that back.
///
/// That route may try other ways with `append_branch()` or `seturi()` and `t_relay()`, or answer with `t_reply()`; else
/// the best of the replies goes upstream.
///
/// ```rhai
/// fn request_route() {
///     t_on_failure("MAIL");
///     t_relay();
/// }
/// fn failure_route_MAIL() {
///     if t_check_status("486|408") {
///         seturi("sip:voicemail@192.0.2.9");
///         t_relay();
///     }
/// }
/// ```
fn t_on_failure(
    route: &mut Route,
    _: &Config,
    FailureRoute(name): FailureRoute,
) -> Result<(), RouteError> {
    armed(route).failure = known(route, Kind::Failure, name)?;
    Ok(())
}

/// Is a route of this kind armed: `"branch_route"`, `"onreply_route"` or `"failure_route"`?
///
/// ```rhai
/// if !t_is_set("failure_route") { info("nobody minds a failure"); }
/// ```
fn t_is_set(route: &mut Route, _: &Config, kind: ImmutableString) -> Result<bool, RouteError> {
    let kinds = [Kind::Branch, Kind::OnReply, Kind::Failure];
    let Some(kind) = kinds.into_iter().find(|known| known.function() == kind.as_str()) else {
        let reason = format!("{kind} is none of branch_route, onreply_route, failure_route");
        return Err(RouteError::BadArgument { argument: "kind", reason });
    };
    Ok(route.armed.as_ref().is_some_and(|armed| armed.route(kind).is_some()))
}

/// Sets how many milliseconds an INVITE may ring before its way has failed with 408. 0 is as `[sip.timers]` says.
///
/// ```rhai
/// t_set_fr(20000);
/// ```
fn t_set_fr(route: &mut Route, _: &Config, ringing: i64) -> Result<(), RouteError> {
    armed(route).ringing = time("ringing", ringing)?;
    Ok(())
}

/// The same, and how many milliseconds a way may stay silent: an INVITE without any reply, any other request without a
/// final one.
///
/// ```rhai
/// t_set_fr(20000, 2000);
/// ```
fn t_set_fr_both(
    route: &mut Route,
    config: &Config,
    ringing: i64,
    silence: i64,
) -> Result<(), RouteError> {
    t_set_fr(route, config, ringing)?;
    armed(route).silence = time("silence", silence)?;
    Ok(())
}

fn time(argument: &'static str, millis: i64) -> Result<Option<Duration>, RouteError> {
    match u64::try_from(millis).ok().filter(|_| millis <= LONGEST) {
        Some(0) => Ok(None),
        Some(millis) => Ok(Some(Duration::from_millis(millis))),
        None => Err(RouteError::OutOfRange {
            function: "t_set_fr",
            argument,
            range: "0 to 86400000",
            found: millis,
        }),
    }
}

#[cfg(test)]
mod tests;
