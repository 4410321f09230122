#![doc = include_str!("README.md")]

mod address;
mod branch;
mod log;
mod reply;
mod rewrite;
mod rport;
mod socket;
mod state;
mod unsupported;

use rhai::ImmutableString;

use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{ANY, REQUEST};
use crate::script::module::{Exports, ModuleDef};
use crate::script::pseudo;
use crate::script::route::Route;

/// `[modules.core]`
pub static MODULE: ModuleDef = ModuleDef { name: "core", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    unsupported::export(exports);
    let mut core = exports.with(params.parse::<Config>()?);
    address::export(&mut core);
    rport::export(&mut core);
    socket::export(&mut core);
    rewrite::export(&mut core);
    log::export(&mut core);
    branch::export(&mut core);
    reply::export(&mut core);
    state::export(&mut core);
    core.export("method", [], ANY, method)
        .export("call_id", [], ANY, call_id)
        .export("body", [], ANY, body)
        .export("src_ip", [], ANY, src_ip)
        .export("src_port", [], ANY, src_port)
        .export("proto", [], ANY, proto)
        .export("is_myself", ["uri"], ANY, is_myself)
        .export("has_totag", [], REQUEST, has_totag)
        .export("len_gt", ["length"], ANY, len_gt)
        .export("pv", ["text"], ANY, pv);
    Ok(())
}

/// `[modules.core]` has no parameters.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// The method of the request, or of the request that a reply answers.
///
/// ```rhai
/// if method() == "MESSAGE" { info("a message"); }
/// ```
fn method(route: &mut Route, _: &Config) -> Result<ImmutableString, RouteError> {
    Ok(route.message.method().as_str().into())
}

/// The Call-ID.
///
/// ```rhai
/// let id = call_id();
/// ```
fn call_id(route: &mut Route, _: &Config) -> Result<ImmutableString, RouteError> {
    Ok(route.message.call_id()?.into())
}

/// The body as text; bytes that are not UTF-8 show as U+FFFD.
///
/// ```rhai
/// if body().starts_with(":help") { info("$fu asks for help"); }
/// ```
fn body(route: &mut Route, _: &Config) -> Result<String, RouteError> {
    Ok(String::from_utf8_lossy(route.message.body()).into_owned())
}

/// The address that the message came from.
///
/// ```rhai
/// if src_ip() == "192.0.2.7" { info("our trunk"); }
/// ```
fn src_ip(route: &mut Route, _: &Config) -> Result<String, RouteError> {
    Ok(route.source.peer.ip().to_string())
}

/// The port that the message came from.
///
/// ```rhai
/// if src_port() < 1024 { info("a privileged port"); }
/// ```
fn src_port(route: &mut Route, _: &Config) -> Result<i64, RouteError> {
    Ok(route.source.peer.port().into())
}

/// The transport that the message came over: `udp`, `tcp` …
///
/// ```rhai
/// if proto() == "udp" { info("may be lost"); }
/// ```
fn proto(route: &mut Route, _: &Config) -> Result<String, RouteError> {
    Ok(route.source.transport.token().to_ascii_lowercase())
}

/// Is the host of this URI one of `[sip] domains`, or an address that we listen on?
///
/// ```rhai
/// if !is_myself(ruri()) { sl_send_reply(403, "Not Ours"); }
/// ```
fn is_myself(route: &mut Route, _: &Config, uri: ImmutableString) -> Result<bool, RouteError> {
    let Ok(uri) = crate::sip::Uri::parse(&uri) else { return Ok(false) };
    Ok(route.router().is_myself(uri.host(), uri.port()))
}

/// Has To a tag? Then the request is inside a dialog.
///
/// ```rhai
/// if has_totag() { t_relay(); return; }
/// ```
fn has_totag(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(route.message.to()?.tag().is_some())
}

/// Is the message, with every edit, longer than this many bytes?
///
/// ```rhai
/// if len_gt(65535) { sl_send_reply(513, "Message Too Large"); exit(); }
/// ```
fn len_gt(route: &mut Route, _: &Config, length: i64) -> Result<bool, RouteError> {
    let found = route.message.to_bytes().len();
    Ok(i64::try_from(found).is_ok_and(|found| found > length))
}

/// The text with its pseudo-variables replaced.
///
/// ```rhai
/// let key = pv("$si:$sp");
/// ```
fn pv(route: &mut Route, _: &Config, text: ImmutableString) -> Result<String, RouteError> {
    Ok(pseudo::expand(route, &text))
}

#[cfg(test)]
mod tests;
