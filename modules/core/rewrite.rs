//! What changes the Request-URI and the next hop.

use rhai::ImmutableString;

use super::Config;
use crate::script::error::RouteError;
use crate::script::export::{ANY, BRANCH, FAILURE, Kinds, REQUEST, XMPP_MESSAGE};
use crate::script::module::ModuleExports;
use crate::script::route::Route;
use crate::sip::{Uri, UriError};

/// Where a next hop is still open.
const BEFORE_RELAY: Kinds = REQUEST.or(FAILURE).or(BRANCH).or(XMPP_MESSAGE);

pub(super) fn export(core: &mut ModuleExports<'_, Config>) {
    core.export("seturi", ["uri"], BEFORE_RELAY, seturi)
        .export("setuser", ["user"], BEFORE_RELAY, setuser)
        .export("setuserpass", ["userinfo"], BEFORE_RELAY, setuserpass)
        .export("sethost", ["host"], BEFORE_RELAY, sethost)
        .export("sethostport", ["hostport"], BEFORE_RELAY, sethostport)
        .export("setport", ["port"], BEFORE_RELAY, setport)
        .export("revert_uri", [], BEFORE_RELAY, revert_uri)
        .export("strip", ["count"], BEFORE_RELAY, strip)
        .export("strip_tail", ["count"], BEFORE_RELAY, strip_tail)
        .export("prefix", ["text"], BEFORE_RELAY, prefix)
        .export("setdsturi", ["uri"], BEFORE_RELAY, setdsturi)
        .export("resetdsturi", [], BEFORE_RELAY, resetdsturi)
        .export("isdsturiset", [], ANY, isdsturiset);
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
    set_or_remove_user(route, &user)
}

/// Replaces user and password of the Request-URI by what stands before and behind the first colon.
///
/// ```rhai
/// setuserpass("operator:secret");
/// ```
fn setuserpass(route: &mut Route, _: &Config, userinfo: ImmutableString) -> Result<(), RouteError> {
    let (user, password) = match userinfo.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (userinfo.as_str(), None),
    };
    let user = crate::sip::escape_user(user);
    let password = password.map(crate::sip::escape_user);
    rewrite(route, |uri| {
        let bare = uri.with_user(None)?;
        let with_user = Uri::parse(&bare)?.with_user(Some(&*user))?;
        Uri::parse(&with_user)?.with_password(password.as_deref())
    })
}

/// Replaces the host of the Request-URI; an IPv6 address stands in brackets.
///
/// ```rhai
/// sethost("sip.example");
/// ```
fn sethost(route: &mut Route, _: &Config, host: ImmutableString) -> Result<(), RouteError> {
    rewrite(route, |uri| uri.with_host(&host))
}

/// Replaces host and port of the Request-URI; without a port in the text, it has none.
///
/// ```rhai
/// sethostport("[2001:db8::1]:5062");
/// ```
fn sethostport(route: &mut Route, _: &Config, hostport: ImmutableString) -> Result<(), RouteError> {
    let text = format!("sip:{hostport}");
    let is_host_port =
        |uri: &Uri<'_>| uri.user().is_none() && uri.params().is_empty() && uri.headers().is_none();
    let found = Uri::parse(&text).ok().filter(is_host_port).ok_or_else(|| {
        let reason = format!("sethostport(): `{hostport}` is no host with or without a port");
        RouteError::BadArgument { argument: "hostport", reason }
    })?;
    rewrite(route, |uri| {
        let with_host = uri.with_host(found.host())?;
        Uri::parse(&with_host)?.with_port(found.port())
    })
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

/// Puts the Request-URI back that the message came with.
///
/// ```rhai
/// strip(2);
/// if ruri_user() == "" { revert_uri(); }
/// ```
fn revert_uri(route: &mut Route, _: &Config) -> Result<(), RouteError> {
    let uri = route.original_uri.clone();
    Ok(route.message.set_request_uri(&uri)?)
}

/// Removes the first characters of the Request-URI's user part; an escape such as `%20` is one.
///
/// ```rhai
/// if ruri_user().starts_with("00") { strip(2); }
/// ```
fn strip(route: &mut Route, _: &Config, count: i64) -> Result<(), RouteError> {
    let uri = route.request_uri()?;
    let rest = characters(uri.user().unwrap_or("")).skip(as_count(count)).collect::<String>();
    set_or_remove_user(route, &rest)
}

/// Removes the last characters of the Request-URI's user part; an escape such as `%20` is one.
///
/// ```rhai
/// if ruri_user().ends_with("#") { strip_tail(1); }
/// ```
fn strip_tail(route: &mut Route, _: &Config, count: i64) -> Result<(), RouteError> {
    let uri = route.request_uri()?;
    let user = uri.user().unwrap_or("");
    let kept = characters(user).count().saturating_sub(as_count(count));
    let rest = characters(user).take(kept).collect::<String>();
    set_or_remove_user(route, &rest)
}

/// Puts a text before the Request-URI's user part.
///
/// ```rhai
/// prefix("+49");
/// ```
fn prefix(route: &mut Route, _: &Config, text: ImmutableString) -> Result<(), RouteError> {
    let text = crate::sip::escape_user(&text);
    let user = format!("{text}{}", route.request_uri()?.user().unwrap_or(""));
    set_or_remove_user(route, &user)
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

/// Is a next hop set?
///
/// ```rhai
/// if !isdsturiset() { setdsturi("sip:proxy.example"); }
/// ```
fn isdsturiset(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(route.destination.is_some())
}

/// The characters of an escaped text, an escape being one.
fn characters(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let width = match text.chars().next()? {
            '%' => 3,
            first => first.len_utf8(),
        };
        let (first, rest) = text.split_at_checked(width).unwrap_or((text, ""));
        text = rest;
        Some(first)
    })
}

/// A number of characters; a negative one is none.
fn as_count(count: i64) -> usize {
    usize::try_from(count).unwrap_or(0)
}

fn set_or_remove_user(route: &mut Route, user: &str) -> Result<(), RouteError> {
    rewrite(route, |uri| uri.with_user(Some(user).filter(|user| !user.is_empty())))
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
    change: impl FnOnce(&Uri<'_>) -> Result<String, UriError>,
) -> Result<(), RouteError> {
    let error = |error: UriError| RouteError::BadArgument {
        argument: "the new Request-URI",
        reason: error.to_string(),
    };
    let changed = change(&route.request_uri()?).map_err(error)?;
    Ok(route.message.set_request_uri(&changed)?)
}

#[cfg(test)]
mod tests;
