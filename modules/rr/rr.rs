#![doc = include_str!("README.md")]

mod seal;

use std::sync::Arc;

use rhai::ImmutableString;

use crate::config::{ParamError, Params, Secret, sealing_secret};
use crate::modules::path::Received;
use crate::script::error::RouteError;
use crate::script::export::{ANY_SIP, BRANCH, FAILURE, REQUEST};
use crate::script::module::{Exports, ModuleDef, Pattern};
use crate::script::route::Route;
use crate::sip::proxy::loose_route::{self, Direction};
use crate::sip::proxy::record_route::RecordRoute;
use crate::sip::{Uri, unescape_text};
use seal::Sealer;

/// `[modules.rr]`
pub static MODULE: ModuleDef = ModuleDef { name: "rr", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let received = exports.common(Received::default);
    let config = params.parse::<Config>()?;
    let sealer = exports.common(|| config.sealer()).as_ref().clone();
    exports
        .with(Settings { config, received, sealer })
        .export("record_route", [], REQUEST | FAILURE | BRANCH, record_route)
        .export("record_route", ["params"], REQUEST | FAILURE | BRANCH, record_route_with)
        .export("record_route_preset", ["address"], REQUEST | FAILURE | BRANCH, record_preset)
        .export(
            "record_route_preset",
            ["address", "address2"],
            REQUEST | FAILURE | BRANCH,
            record_presets,
        )
        .export("remove_record_route", [], REQUEST | FAILURE | BRANCH, remove_record_route)
        .export("add_rr_param", ["param"], REQUEST | FAILURE | BRANCH, add_rr_param)
        .export("loose_route", [], REQUEST, loose_route)
        .export("is_recorded", [], REQUEST, is_recorded)
        .export("check_route_param", ["pattern"], ANY_SIP, check_route_param)
        .export("is_direction", ["direction"], ANY_SIP, is_direction);
    Ok(())
}

/// `[modules.rr]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Two Record-Route values when a request leaves by another transport or address than it came in by.
    ///
    /// Default true, since each side must see an address that it can reach (RFC 5658).
    pub enable_double_rr: bool,
    /// Write the caller's tag into Record-Route as `ftag`.
    ///
    /// Default true; `is_direction` needs it.
    pub append_fromtag: bool,
    /// Write `lr=on` instead of `lr`.
    ///
    /// Default false; for peers that lose parameters without value.
    pub enable_full_lr: bool,
    /// Write a seal into Record-Route that nobody else can make; `is_recorded` asks for it.
    ///
    /// Default true.
    pub enable_seal: bool,
    /// What is sealed with; machines that share it know each other's seals.
    ///
    /// Default: a random one at each start, so that seals of an earlier run are none.
    #[serde(deserialize_with = "sealing_secret")]
    pub secret: Option<Secret>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enable_double_rr: true,
            append_fromtag: true,
            enable_full_lr: false,
            enable_seal: true,
            secret: None,
        }
    }
}

impl Config {
    fn sealer(&self) -> Sealer {
        match &self.secret {
            Some(secret) => Sealer::new(secret.expose().as_bytes()),
            None => Sealer::new(&rand::random::<[u8; 32]>()),
        }
    }
}

/// The parameters, and what the path module adds to `loose_route`.
struct Settings {
    config: Config,
    received: Arc<Received>,
    sealer: Sealer,
}

/// Keeps us in the way of the dialog that the request begins: it gets a Record-Route when it leaves.
///
/// ```rhai
/// if !has_totag() { record_route(); }
/// t_relay();
/// ```
fn record_route(route: &mut Route, settings: &Settings) -> Result<(), RouteError> {
    record(route, settings);
    Ok(())
}

/// The same with further parameters, `;name=value;name`, which in-dialog requests bring back.
///
/// ```rhai
/// record_route(";nat=yes");
/// ```
fn record_route_with(
    route: &mut Route,
    settings: &Settings,
    params: ImmutableString,
) -> Result<(), RouteError> {
    let params = checked_params("params", &params)?;
    record(route, settings).params += &params;
    Ok(())
}

/// Keeps us in the way under this `host:port` instead of our own addresses.
///
/// ```rhai
/// record_route_preset("edge.sip.example:5090");
/// ```
fn record_preset(
    route: &mut Route,
    settings: &Settings,
    address: ImmutableString,
) -> Result<(), RouteError> {
    let preset = vec![checked_address("address", &address)?];
    record(route, settings).preset = preset;
    Ok(())
}

/// The same with an address for each side: first the one where the request goes, then the one where it came from.
///
/// ```rhai
/// record_route_preset("10.0.0.1:5060", "edge.sip.example:5090");
/// ```
fn record_presets(
    route: &mut Route,
    settings: &Settings,
    address: ImmutableString,
    address2: ImmutableString,
) -> Result<(), RouteError> {
    let preset =
        vec![checked_address("address", &address)?, checked_address("address2", &address2)?];
    record(route, settings).preset = preset;
    Ok(())
}

/// Takes back `record_route` and what was added to it.
///
/// ```rhai
/// remove_record_route();
/// ```
fn remove_record_route(route: &mut Route, _: &Settings) -> Result<(), RouteError> {
    route.record_route = None;
    route.record_route_params.clear();
    Ok(())
}

/// Adds a parameter, `;name=value`, to Record-Route, before or after `record_route()`.
///
/// ```rhai
/// add_rr_param(";nat=yes");
/// ```
fn add_rr_param(route: &mut Route, _: &Settings, param: ImmutableString) -> Result<(), RouteError> {
    let param = checked_params("param", &param)?;
    match &mut route.record_route {
        Some(wish) => wish.params += &param,
        None => route.record_route_params += &param,
    }
    Ok(())
}

/// Follows the Route of the request. True when it leads on, or ends here inside a dialog; then `t_relay()`.
///
/// ```rhai
/// if has_totag() {
///     if loose_route() { t_relay(); } else { sl_send_reply(404, "Not Here"); }
///     return;
/// }
/// ```
fn loose_route(route: &mut Route, settings: &Settings) -> Result<bool, RouteError> {
    let router = route.router();
    let is_ours = |uri: &Uri<'_>| uri.is_sip() && router.is_myself(uri.host(), uri.port());
    let Some(followed) = loose_route::loose_route(&mut route.message, is_ours)? else {
        return Ok(false);
    };
    let received = followed.param("received").filter(|_| settings.received.is_used());
    let received = received.map(unescape_text).filter(|uri| Uri::parse(uri).is_ok());
    let next = received.as_deref().or(followed.next_hop.as_deref());
    let leads = next.is_some() || followed.is_led();
    if let Some(next) = next {
        route.destination = Some(next.into());
    }
    route.followed = Some(followed);
    Ok(leads)
}

/// Has this dialog come through here from its beginning? Call it after `loose_route()`.
///
/// True when the Route brings back the seal that `record_route` has written for this very dialog. Anybody can write a
/// Route and a tag of To, so that without a seal even a request inside a dialog proves nothing.
///
/// ```rhai
/// if loose_route() && !is_recorded() { sl_send_reply(403, "No Dialog of Ours"); return; }
/// ```
fn is_recorded(route: &mut Route, settings: &Settings) -> Result<bool, RouteError> {
    let seal = route.followed.as_ref().and_then(|followed| followed.param("seal"));
    Ok(seal.is_some_and(|seal| settings.sealer.is_of(seal, &route.message)))
}

/// Is the pattern in the parameters of the Route value that named us? Call it after `loose_route()`.
///
/// ```rhai
/// if loose_route() && check_route_param("nat=yes") { fix_nated_contact(); }
/// ```
fn check_route_param(
    route: &mut Route,
    _: &Settings,
    Pattern(regex): Pattern,
) -> Result<bool, RouteError> {
    let params = route.followed.as_ref().and_then(|followed| followed.params.as_deref());
    Ok(params.is_some_and(|params| regex.is_match(&format!(";{params}"))))
}

/// Does the request go `"downstream"`, from caller to callee, or `"upstream"`? Call it after `loose_route()`.
///
/// ```rhai
/// if is_direction("upstream") { info("$rm of the callee"); }
/// ```
fn is_direction(
    route: &mut Route,
    _: &Settings,
    direction: ImmutableString,
) -> Result<bool, RouteError> {
    let wanted = match direction.as_str() {
        "downstream" => Direction::Downstream,
        "upstream" => Direction::Upstream,
        _ => return Err(unfit("direction", "it is `upstream` or `downstream`")),
    };
    let found = route.followed.as_ref().map(|followed| followed.direction(&route.message));
    Ok(found.unwrap_or(Direction::Downstream) == wanted)
}

/// What Record-Route shall say, begun with our settings when nothing is said yet.
fn record<'r>(route: &'r mut Route, settings: &Settings) -> &'r mut RecordRoute {
    let params = &mut route.record_route_params;
    let message = &route.message;
    route.record_route.get_or_insert_with(|| RecordRoute {
        params: match settings.config.enable_seal {
            true => format!("{};seal={}", std::mem::take(params), settings.sealer.seal(message)),
            false => std::mem::take(params),
        },
        preset: Vec::new(),
        is_double: settings.config.enable_double_rr,
        has_from_tag: settings.config.append_fromtag,
        has_full_lr: settings.config.enable_full_lr,
    })
}

/// Parameters of a URI with a `;` in front, which they may lack.
fn checked_params(argument: &'static str, params: &str) -> Result<String, RouteError> {
    let params = params.strip_prefix(';').unwrap_or(params);
    let is_fit = Uri::parse(&format!("sip:h;{params}"))
        .is_ok_and(|uri| uri.params().as_str() == params && uri.params().iter().count() > 0);
    match is_fit {
        true => Ok(format!(";{params}")),
        false => Err(unfit(argument, "it must be like `;name=value`")),
    }
}

/// `host`, `host:port` or either with URI parameters.
fn checked_address(argument: &'static str, address: &str) -> Result<String, RouteError> {
    let is_fit = Uri::parse(&format!("sip:{address}"))
        .is_ok_and(|uri| uri.user().is_none() && uri.headers().is_none());
    match is_fit {
        true => Ok(address.to_owned()),
        false => Err(unfit(argument, "it must be like `host:port`")),
    }
}

fn unfit(argument: &'static str, reason: &str) -> RouteError {
    RouteError::BadArgument { argument, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
