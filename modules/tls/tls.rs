#![doc = include_str!("README.md")]

use rhai::ImmutableString;

use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::ANY_SIP;
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;

/// `[modules.tls]`
pub static MODULE: ModuleDef = ModuleDef { name: "tls", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    exports
        .with(params.parse::<Config>()?)
        .export("is_peer_verified", [], ANY_SIP, is_peer_verified)
        .export("is_peer_domain", ["domain"], ANY_SIP, is_peer_domain);
    Ok(())
}

/// `[modules.tls]` has no parameters: certificates stand in `[sip.tls]`.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// Has the sender shown a certificate that we trust? False without TLS, and once the connection is closed.
///
/// ```rhai
/// if !is_peer_verified() { sl_send_reply(403, "Certificate Required"); return; }
/// ```
fn is_peer_verified(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(route.router().peer_certificate(route.source).is_some())
}

/// Has the sender shown a certificate that we trust, and that speaks for this SIP domain (RFC 5922 §7.4)?
///
/// ```rhai
/// if pv("$fd") == "partner.example" && !is_peer_domain("partner.example") {
///     sl_send_reply(403, "Forbidden");
///     return;
/// }
/// ```
fn is_peer_domain(
    route: &mut Route,
    _: &Config,
    domain: ImmutableString,
) -> Result<bool, RouteError> {
    let certificate = route.router().peer_certificate(route.source);
    Ok(certificate.is_some_and(|certificate| certificate.is_for(&domain)))
}

#[cfg(test)]
mod tests;
