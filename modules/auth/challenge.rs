//! 401 and 407: every algorithm that we take is a challenge of its own, the preferred one first (RFC 8760 §2.3).

use rhai::ImmutableString;

use super::Auth;
use super::identity::realm_of;
use crate::script::error::RouteError;
use crate::script::export::REQUEST;
use crate::script::module::ModuleExports;
use crate::script::route::Route;
use crate::sip::digest::{Challenge, Outcome, Qops};
use crate::sip::{HeaderId, Method};

/// Bits of `flags`, as in Kamailio.
const AUTH: i64 = 1;
const AUTH_INT: i64 = 2;
const NO_ERROR_REPLY: i64 = 4;
const STALE: i64 = 16;

pub(super) fn export(exports: &mut ModuleExports<'_, Auth>) {
    exports
        .export("www_challenge", ["realm", "flags"], REQUEST, www_challenge)
        .export("proxy_challenge", ["realm", "flags"], REQUEST, proxy_challenge)
        .export("auth_challenge", ["realm", "flags"], REQUEST, auth_challenge);
}

/// Replies 401 and asks for credentials, as a registrar does.
///
/// Through the transaction when the script has one. An empty `realm` is the domain of To in a REGISTER, else that of
/// From. `flags` is a sum: 1 offers `auth` and 2 `auth-int`, 0 what `qop` says; 16 says that the nonce was stale, which
/// it also says by itself when that is what `auth_result()` tells; 4 has no effect.
///
/// ```rhai
/// if !www_authorize("", "subscriber") { www_challenge("", 0); return; }
/// ```
pub(super) fn www_challenge(
    route: &mut Route,
    auth: &Auth,
    realm: ImmutableString,
    flags: i64,
) -> Result<(), RouteError> {
    challenge("www_challenge", route, auth, &realm, flags, 401)
}

/// Replies 407 and asks for credentials, as a proxy does. Otherwise like `www_challenge`.
///
/// ```rhai
/// if !proxy_authorize("", "subscriber") { proxy_challenge("", 0); return; }
/// ```
pub(super) fn proxy_challenge(
    route: &mut Route,
    auth: &Auth,
    realm: ImmutableString,
    flags: i64,
) -> Result<(), RouteError> {
    challenge("proxy_challenge", route, auth, &realm, flags, 407)
}

/// `www_challenge` for a REGISTER, `proxy_challenge` for every other request.
///
/// ```rhai
/// if !auth_check("sip.example", "subscriber", 1) { auth_challenge("sip.example", 0); return; }
/// ```
pub(super) fn auth_challenge(
    route: &mut Route,
    auth: &Auth,
    realm: ImmutableString,
    flags: i64,
) -> Result<(), RouteError> {
    let status = if route.message.method() == Method::Register { 401 } else { 407 };
    challenge("auth_challenge", route, auth, &realm, flags, status)
}

fn challenge(
    function: &'static str,
    route: &mut Route,
    auth: &Auth,
    realm: &str,
    flags: i64,
    status: u16,
) -> Result<(), RouteError> {
    let qops = qops(function, auth, flags)?;
    let realm = realm_of(route, auth, realm)?;
    let nonce = auth.shared.nonce(route, &auth.config, &realm);
    let outcome = route.authentication.as_ref().map(|it| it.outcome);
    let is_stale = flags & STALE != 0 || outcome.is_some_and(Outcome::is_cured_by_nonce);
    let header = match status {
        401 => HeaderId::WwwAuthenticate,
        _ => HeaderId::ProxyAuthenticate,
    };
    let before = route.reply_headers.len();
    for algorithm in &auth.algorithms {
        let challenge =
            Challenge { realm: &realm, nonce: &nonce, algorithm: *algorithm, qops, is_stale };
        route.reply_headers.push((header.name().into(), challenge.to_string().into()));
    }
    let replied = match route.has_transaction {
        true => route.router().reply(route, status, "", &[]),
        false => route.router().reply_stateless(route, status, ""),
    };
    route.reply_headers.truncate(before);
    route.is_answered |= replied.is_ok();
    replied
}

fn qops(function: &'static str, auth: &Auth, flags: i64) -> Result<Qops, RouteError> {
    if flags & !(AUTH | AUTH_INT | NO_ERROR_REPLY | STALE) != 0 {
        let range = "a sum of 1, 2, 4 and 16";
        return Err(RouteError::OutOfRange { function, argument: "flags", range, found: flags });
    }
    Ok(match flags & (AUTH | AUTH_INT) {
        AUTH => Qops::Auth,
        AUTH_INT => Qops::AuthInt,
        0 => auth.config.qop,
        _ => Qops::Both,
    })
}
