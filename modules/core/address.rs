//! Request-URI, From and To, and their parts, as they are read.

use rhai::ImmutableString;

use super::Config;
use crate::script::error::RouteError;
use crate::script::export::ANY;
use crate::script::module::ModuleExports;
use crate::script::route::Route;

pub(super) fn export(core: &mut ModuleExports<'_, Config>) {
    core.export("ruri", [], ANY, ruri)
        .export("ruri_user", [], ANY, ruri_user)
        .export("ruri_host", [], ANY, ruri_host)
        .export("ruri_port", [], ANY, ruri_port)
        .export("from_uri", [], ANY, from_uri)
        .export("from_user", [], ANY, from_user)
        .export("from_host", [], ANY, from_host)
        .export("from_tag", [], ANY, from_tag)
        .export("to_uri", [], ANY, to_uri)
        .export("to_user", [], ANY, to_user)
        .export("to_host", [], ANY, to_host)
        .export("to_tag", [], ANY, to_tag);
}

/// The Request-URI.
///
/// ```rhai
/// info("for " + ruri());
/// ```
fn ruri(route: &mut Route, _: &Config) -> Result<ImmutableString, RouteError> {
    Ok(route.message.request_uri().into())
}

/// The user part of the Request-URI, empty where it has none.
///
/// ```rhai
/// if ruri_user() == "echo" { sl_send_reply(200, "OK"); }
/// ```
fn ruri_user(route: &mut Route, _: &Config) -> Result<ImmutableString, RouteError> {
    Ok(route.request_uri()?.user().unwrap_or("").into())
}

/// The host of the Request-URI.
///
/// ```rhai
/// if ruri_host() == "old.example" { sethost("sip.example"); }
/// ```
fn ruri_host(route: &mut Route, _: &Config) -> Result<ImmutableString, RouteError> {
    Ok(route.request_uri()?.host().into())
}

/// The port of the Request-URI, 0 where it has none.
///
/// ```rhai
/// if ruri_port() == 0 { setport(5062); }
/// ```
fn ruri_port(route: &mut Route, _: &Config) -> Result<i64, RouteError> {
    Ok(route.request_uri()?.port().unwrap_or(0).into())
}

/// The URI of From.
///
/// ```rhai
/// if !is_myself(from_uri()) { sl_send_reply(403, "Not From Here"); }
/// ```
fn from_uri(route: &mut Route, _: &Config) -> Result<ImmutableString, RouteError> {
    Ok(route.message.from()?.uri.into())
}

/// The user part of From.
///
/// ```rhai
/// if from_user() == "anonymous" { sl_send_reply(403, "Who Are You"); }
/// ```
fn from_user(route: &mut Route, _: &Config) -> Result<ImmutableString, RouteError> {
    let from = route.message.from()?;
    Ok(route.uri_of("From", &from)?.user().unwrap_or("").into())
}

/// The host of From.
///
/// ```rhai
/// info("from " + from_host());
/// ```
fn from_host(route: &mut Route, _: &Config) -> Result<ImmutableString, RouteError> {
    let from = route.message.from()?;
    Ok(route.uri_of("From", &from)?.host().into())
}

/// The tag of From, empty where it has none.
///
/// ```rhai
/// if from_tag() == "" { info("an RFC 2543 phone"); }
/// ```
fn from_tag(route: &mut Route, _: &Config) -> Result<ImmutableString, RouteError> {
    Ok(route.message.from()?.tag().unwrap_or("").into())
}

/// The URI of To.
///
/// ```rhai
/// info("to " + to_uri());
/// ```
fn to_uri(route: &mut Route, _: &Config) -> Result<ImmutableString, RouteError> {
    Ok(route.message.to()?.uri.into())
}

/// The user part of To.
///
/// ```rhai
/// info("to " + to_user());
/// ```
fn to_user(route: &mut Route, _: &Config) -> Result<ImmutableString, RouteError> {
    let to = route.message.to()?;
    Ok(route.uri_of("To", &to)?.user().unwrap_or("").into())
}

/// The host of To.
///
/// ```rhai
/// info("to " + to_host());
/// ```
fn to_host(route: &mut Route, _: &Config) -> Result<ImmutableString, RouteError> {
    let to = route.message.to()?;
    Ok(route.uri_of("To", &to)?.host().into())
}

/// The tag of To, empty outside of a dialog.
///
/// ```rhai
/// if to_tag() != "" { info("inside a dialog"); }
/// ```
fn to_tag(route: &mut Route, _: &Config) -> Result<ImmutableString, RouteError> {
    Ok(route.message.to()?.tag().unwrap_or("").into())
}

#[cfg(test)]
mod tests;
