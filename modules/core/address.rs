//! Request-URI, From and To, and their parts.

use rhai::ImmutableString;

use super::Config;
use crate::script::error::RouteError;
use crate::script::export::{ANY, BRANCH, FAILURE, Kinds, REQUEST, XMPP_MESSAGE};
use crate::script::module::ModuleExports;
use crate::script::route::Route;
use crate::sip::Uri;

/// Where a next hop is still open.
const BEFORE_RELAY: Kinds = REQUEST.or(FAILURE).or(BRANCH).or(XMPP_MESSAGE);

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
        .export("to_tag", [], ANY, to_tag)
        .export("seturi", ["uri"], BEFORE_RELAY, seturi)
        .export("setuser", ["user"], BEFORE_RELAY, setuser)
        .export("sethost", ["host"], BEFORE_RELAY, sethost)
        .export("setport", ["port"], BEFORE_RELAY, setport)
        .export("strip", ["count"], BEFORE_RELAY, strip)
        .export("prefix", ["text"], BEFORE_RELAY, prefix)
        .export("setdsturi", ["uri"], BEFORE_RELAY, setdsturi)
        .export("resetdsturi", [], BEFORE_RELAY, resetdsturi);
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

/// Replaces the Request-URI.
///
/// ```rhai
/// seturi("sip:desk@sip.example");
/// ```
fn seturi(route: &mut Route, _: &Config, uri: ImmutableString) -> Result<(), RouteError> {
    checked("seturi", &uri)?;
    Ok(route.message.set_request_uri(&uri)?)
}

/// Replaces the user part of the Request-URI; an empty text removes it.
///
/// ```rhai
/// setuser("operator");
/// ```
fn setuser(route: &mut Route, _: &Config, user: ImmutableString) -> Result<(), RouteError> {
    let user = crate::sip::escape_user(&user);
    let user = Some(user.as_ref()).filter(|user| !user.is_empty());
    rewrite(route, |uri| uri.with_user(user))
}

/// Replaces the host of the Request-URI; an IPv6 address stands in brackets.
///
/// ```rhai
/// sethost("sip.example");
/// ```
fn sethost(route: &mut Route, _: &Config, host: ImmutableString) -> Result<(), RouteError> {
    rewrite(route, |uri| uri.with_host(&host))
}

/// Replaces the port of the Request-URI; 0 removes it.
///
/// ```rhai
/// setport(5062);
/// ```
fn setport(route: &mut Route, _: &Config, port: i64) -> Result<(), RouteError> {
    let range = "0 to 65535";
    let error =
        RouteError::OutOfRange { function: "setport", argument: "port", range, found: port };
    let port = u16::try_from(port).map_err(|_| error)?;
    rewrite(route, |uri| uri.with_port(Some(port).filter(|port| *port != 0)))
}

/// Removes the first characters of the Request-URI's user part; an escape such as `%20` is one.
///
/// ```rhai
/// if ruri_user().starts_with("00") { strip(2); }
/// ```
fn strip(route: &mut Route, _: &Config, count: i64) -> Result<(), RouteError> {
    let user = route.request_uri()?.user().unwrap_or("").to_owned();
    let mut rest = user.as_str();
    for _ in 0..count.min(user.len() as i64) {
        let width = match rest.chars().next() {
            Some('%') => 3,
            first => first.map_or(0, char::len_utf8),
        };
        rest = rest.get(width..).unwrap_or("");
    }
    rewrite(route, |uri| uri.with_user(Some(rest).filter(|rest| !rest.is_empty())))
}

/// Puts a text before the Request-URI's user part.
///
/// ```rhai
/// prefix("+49");
/// ```
fn prefix(route: &mut Route, _: &Config, text: ImmutableString) -> Result<(), RouteError> {
    let text = crate::sip::escape_user(&text);
    let user = format!("{text}{}", route.request_uri()?.user().unwrap_or(""));
    rewrite(route, |uri| uri.with_user(Some(&*user).filter(|user| !user.is_empty())))
}

/// Sets the next hop, which the Request-URI then has no part in.
///
/// ```rhai
/// setdsturi("sip:192.0.2.1:5060;transport=tcp");
/// ```
fn setdsturi(route: &mut Route, _: &Config, uri: ImmutableString) -> Result<(), RouteError> {
    checked("setdsturi", &uri)?;
    route.destination = Some(uri);
    Ok(())
}

/// Forgets the next hop that was set.
///
/// ```rhai
/// resetdsturi();
/// ```
fn resetdsturi(route: &mut Route, _: &Config) -> Result<(), RouteError> {
    route.destination = None;
    Ok(())
}

fn checked(function: &'static str, uri: &str) -> Result<(), RouteError> {
    let error = |error| RouteError::BadArgument {
        argument: "uri",
        reason: format!("{function}(): `{uri}` is no URI: {error}"),
    };
    Uri::parse(uri).map(drop).map_err(error)
}

fn rewrite(
    route: &mut Route,
    change: impl FnOnce(&Uri<'_>) -> Result<String, crate::sip::UriError>,
) -> Result<(), RouteError> {
    let error = |error: crate::sip::UriError| RouteError::BadArgument {
        argument: "the new Request-URI",
        reason: error.to_string(),
    };
    let changed = change(&route.request_uri()?).map_err(error)?;
    Ok(route.message.set_request_uri(&changed)?)
}

#[cfg(test)]
mod tests;
