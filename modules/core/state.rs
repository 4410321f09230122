//! What a script remembers with a message, and how it ends.

use rhai::{Dynamic, ImmutableString};

use super::Config;
use crate::script::error::RouteError;
use crate::script::export::ANY;
use crate::script::module::{End, ModuleExports};
use crate::script::route::Route;

pub(super) fn export(core: &mut ModuleExports<'_, Config>) {
    core.export("setflag", ["flag"], ANY, setflag)
        .export("resetflag", ["flag"], ANY, resetflag)
        .export("isflagset", ["flag"], ANY, isflagset)
        .export("setbflag", ["flag"], ANY, setbflag)
        .export("setbflag", ["flag", "branch"], ANY, setbflag_of)
        .export("resetbflag", ["flag"], ANY, resetbflag)
        .export("resetbflag", ["flag", "branch"], ANY, resetbflag_of)
        .export("isbflagset", ["flag"], ANY, isbflagset)
        .export("isbflagset", ["flag", "branch"], ANY, isbflagset_of)
        .export("avp", ["name"], ANY, avp)
        .export("set_avp", ["name", "value"], ANY, set_avp)
        .export("del_avp", ["name"], ANY, del_avp)
        .export("exit", [], ANY, exit)
        .export("drop", [], ANY, drop);
}

fn bit(function: &'static str, flag: i64) -> Result<u32, RouteError> {
    let range = "0 to 31";
    let error = RouteError::OutOfRange { function, argument: "flag", range, found: flag };
    u32::try_from(flag).ok().filter(|flag| *flag < 32).map(|flag| 1 << flag).ok_or(error)
}

/// Sets a flag of the message, 0 to 31.
///
/// ```rhai
/// setflag(1);
/// ```
fn setflag(route: &mut Route, _: &Config, flag: i64) -> Result<(), RouteError> {
    route.flags |= bit("setflag", flag)?;
    Ok(())
}

/// Clears a flag of the message.
///
/// ```rhai
/// resetflag(1);
/// ```
fn resetflag(route: &mut Route, _: &Config, flag: i64) -> Result<(), RouteError> {
    route.flags &= !bit("resetflag", flag)?;
    Ok(())
}

/// Is the flag set?
///
/// ```rhai
/// if isflagset(1) { info("$ci is marked"); }
/// ```
fn isflagset(route: &mut Route, _: &Config, flag: i64) -> Result<bool, RouteError> {
    Ok(route.flags & bit("isflagset", flag)? != 0)
}

/// The flags of a branch: 0 is the Request-URI's, 1 that of the first further target, and so on.
fn branch_flags<'r>(
    function: &'static str,
    route: &'r mut Route,
    branch: i64,
) -> Result<&'r mut u32, RouteError> {
    if branch == 0 {
        return Ok(&mut route.branch_flags);
    }
    let range = "0, or the number of a branch that exists";
    let error = RouteError::OutOfRange { function, argument: "branch", range, found: branch };
    let index = usize::try_from(branch).ok().and_then(|branch| branch.checked_sub(1));
    let target = index.and_then(|index| route.targets.get_mut(index));
    target.map(|target| &mut target.flags).ok_or(error)
}

/// Sets a flag, 0 to 31, of the branch that the Request-URI is; `save` keeps such flags with the contact.
///
/// ```rhai
/// if src_ip() != "192.0.2.7" { setbflag(6); }
/// ```
fn setbflag(route: &mut Route, config: &Config, flag: i64) -> Result<(), RouteError> {
    setbflag_of(route, config, flag, 0)
}

/// Sets a flag of a branch: 0 is the Request-URI's, 1 that of the first further target.
///
/// ```rhai
/// setbflag(6, 0);
/// ```
fn setbflag_of(route: &mut Route, _: &Config, flag: i64, branch: i64) -> Result<(), RouteError> {
    let bit = bit("setbflag", flag)?;
    *branch_flags("setbflag", route, branch)? |= bit;
    Ok(())
}

/// Clears a flag of the branch that the Request-URI is.
///
/// ```rhai
/// resetbflag(6);
/// ```
fn resetbflag(route: &mut Route, config: &Config, flag: i64) -> Result<(), RouteError> {
    resetbflag_of(route, config, flag, 0)
}

/// Clears a flag of a branch: 0 is the Request-URI's, 1 that of the first further target.
///
/// ```rhai
/// resetbflag(6, 0);
/// ```
fn resetbflag_of(route: &mut Route, _: &Config, flag: i64, branch: i64) -> Result<(), RouteError> {
    let bit = bit("resetbflag", flag)?;
    *branch_flags("resetbflag", route, branch)? &= !bit;
    Ok(())
}

/// Is the flag of the branch that the Request-URI is set? `lookup` brings the flags of the contact.
///
/// ```rhai
/// if isbflagset(6) { info("$ru is behind NAT"); }
/// ```
fn isbflagset(route: &mut Route, config: &Config, flag: i64) -> Result<bool, RouteError> {
    isbflagset_of(route, config, flag, 0)
}

/// Is the flag of a branch set? 0 is the Request-URI's, 1 that of the first further target.
///
/// ```rhai
/// if isbflagset(6, 0) { info("$ru is behind NAT"); }
/// ```
fn isbflagset_of(
    route: &mut Route,
    _: &Config,
    flag: i64,
    branch: i64,
) -> Result<bool, RouteError> {
    let bit = bit("isbflagset", flag)?;
    Ok(*branch_flags("isbflagset", route, branch)? & bit != 0)
}

/// A variable of the message; `()` when it was not set.
///
/// ```rhai
/// if avp("caller") == () { set_avp("caller", from_user()); }
/// ```
fn avp(route: &mut Route, _: &Config, name: ImmutableString) -> Result<Dynamic, RouteError> {
    Ok(route.variables.get(&name).cloned().unwrap_or_default())
}

/// Sets a variable of the message, which is there in every route that the message goes through.
///
/// ```rhai
/// set_avp("tries", 1);
/// ```
fn set_avp(
    route: &mut Route,
    _: &Config,
    name: ImmutableString,
    value: Dynamic,
) -> Result<(), RouteError> {
    route.variables.insert(name, value);
    Ok(())
}

/// Removes a variable of the message. Returns false when there was none.
///
/// ```rhai
/// del_avp("tries");
/// ```
fn del_avp(route: &mut Route, _: &Config, name: ImmutableString) -> Result<bool, RouteError> {
    Ok(route.variables.remove(&name).is_some())
}

/// Ends the script, from inside any function. What it did stays done.
///
/// ```rhai
/// if src_port() == 0 { exit(); }
/// ```
fn exit(_: &mut Route, _: &Config) -> Result<End, RouteError> {
    Ok(End)
}

/// Ends the script and does nothing by default: the message is dropped in silence.
///
/// ```rhai
/// if search("(?i)friendly-scanner") { drop(); }
/// ```
fn drop(route: &mut Route, _: &Config) -> Result<End, RouteError> {
    route.is_dropped = true;
    Ok(End)
}

#[cfg(test)]
mod tests;
