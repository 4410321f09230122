#![doc = include_str!("README.md")]

use std::sync::atomic::{AtomicBool, Ordering};

use rhai::ImmutableString;

use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::REQUEST;
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;
use crate::sip::proxy::record_route::Hop;
use crate::sip::{HeaderId, Scheme, Uri, escape_param, escape_user};

/// `[modules.path]`
pub static MODULE: ModuleDef = ModuleDef { name: "path", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    exports.common(Received::default).0.store(config.use_received, Ordering::Relaxed);
    exports
        .with(config)
        .export("add_path", [], REQUEST, add_path)
        .export("add_path", ["user"], REQUEST, add_path_of)
        .export("add_path_received", [], REQUEST, add_path_received)
        .export("add_path_received", ["user"], REQUEST, add_path_received_of);
    Ok(())
}

/// `[modules.path]`
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `loose_route` sends a request to the `received` parameter of our own Route value.
    ///
    /// Default false.
    pub use_received: bool,
}

/// What `loose_route` must know of the parameters here.
#[derive(Debug, Default)]
pub struct Received(AtomicBool);

impl Received {
    /// Requests go where `received` of our own Route says.
    pub fn is_used(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Adds our address to Path, so that requests to the contact return through us.
///
/// ```rhai
/// if is_method("REGISTER") { add_path(); t_relay(); return; }
/// ```
fn add_path(route: &mut Route, _: &Config) -> Result<(), RouteError> {
    push(route, None, false)
}

/// The same with a user part, which comes back in Route.
///
/// ```rhai
/// add_path("edge1");
/// ```
fn add_path_of(route: &mut Route, _: &Config, user: ImmutableString) -> Result<(), RouteError> {
    push(route, Some(&user), false)
}

/// Adds our address to Path, with the address that the request came from in `received`.
///
/// ```rhai
/// if is_method("REGISTER") { add_path_received(); t_relay(); return; }
/// ```
fn add_path_received(route: &mut Route, _: &Config) -> Result<(), RouteError> {
    push(route, None, true)
}

/// The same with a user part.
///
/// ```rhai
/// add_path_received("edge1");
/// ```
fn add_path_received_of(
    route: &mut Route,
    _: &Config,
    user: ImmutableString,
) -> Result<(), RouteError> {
    push(route, Some(&user), true)
}

/// RFC 3327 §5.2: our URI, a loose router's, on top of the Path values.
fn push(route: &mut Route, user: Option<&str>, has_received: bool) -> Result<(), RouteError> {
    let source = route.source;
    let local = route.router().local_address(source)?.to_string();
    let is_sips = |uri: &str| Uri::parse(uri).is_ok_and(|it| matches!(it.scheme(), Scheme::Sips));
    let is_sips = source.transport.is_secure() && is_sips(route.message.request_uri());
    let user = user.map(escape_user);
    let uri = Hop { transport: source.transport, sent_by: &local }.uri(user.as_deref(), is_sips);
    let received = match has_received {
        true => format!(";received={}", escape_param(&source.uri())),
        false => String::new(),
    };
    let value = format!("<{uri};lr{received}>");
    Ok(route.message.prepend_header(HeaderId::Path.name(), &value)?)
}

#[cfg(test)]
mod tests;
