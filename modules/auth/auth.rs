#![doc = include_str!("README.md")]

mod challenge;
mod config;
mod identity;
mod known;
mod shared;
mod subscriber;

use std::sync::Arc;

use rhai::ImmutableString;

use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::REQUEST;
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::{Authentication, Route};
use crate::sip::digest::{Algorithm, Count, Credentials, Ha1, Hash, Nonce, Outcome, Qop, Qops};
use crate::sip::{HeaderId, Method, Uri, unescape_text};
use crate::store::Store;
pub use config::Config;
use identity::realm_of;
use shared::Shared;
pub use subscriber::SUBSCRIBER;

/// `[modules.auth]`
pub static MODULE: ModuleDef = ModuleDef { name: "auth", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config::Sound(config) = params.parse()?;
    if config.user_column == "username" {
        exports.table(&subscriber::SUBSCRIBER);
    }
    let shared = exports.common(|| Shared::new(&config));
    let auth = Auth::new(config, shared, exports.store());
    let mut exports = exports.with(auth);
    exports
        .export("www_authorize", ["realm", "table"], REQUEST, www_authorize)
        .export("proxy_authorize", ["realm", "table"], REQUEST, proxy_authorize)
        .export("auth_check", ["realm", "table", "flags"], REQUEST, auth_check)
        .export("pv_www_authenticate", ["realm", "password", "flags"], REQUEST, pv_www_authenticate)
        .export(
            "pv_proxy_authenticate",
            ["realm", "password", "flags"],
            REQUEST,
            pv_proxy_authenticate,
        );
    challenge::export(&mut exports);
    identity::export(&mut exports);
    Ok(())
}

/// The parameters, and what goes with them.
pub(super) struct Auth {
    config: Config,
    algorithms: Vec<Algorithm>,
    /// Those of the algorithms, each once.
    hashes: Vec<Hash>,
    shared: Arc<Shared>,
    store: Option<Store>,
}

impl Auth {
    fn new(config: Config, shared: Arc<Shared>, store: Option<Store>) -> Self {
        let algorithms = config.algorithms();
        let mut hashes: Vec<_> = algorithms.iter().map(|algorithm| algorithm.hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        Self { config, algorithms, hashes, shared, store }
    }
}

/// Does Authorization prove that a user of `table` has sent the request? For a registrar, which answers itself.
///
/// An empty `realm` is the domain of To in a REGISTER, else that of From. `auth_result()` tells why not. True for
/// ACK and CANCEL, which nobody can challenge. A store that is away raises an error of status 503,
/// unless it has told of the user lately.
///
/// ```rhai
/// if !www_authorize("sip.example", "subscriber") {
///     www_challenge("sip.example", 0);
///     return;
/// }
/// ```
fn www_authorize(
    route: &mut Route,
    auth: &Auth,
    realm: ImmutableString,
    table: ImmutableString,
) -> Result<bool, RouteError> {
    by_table(route, auth, HeaderId::Authorization, &realm, &table)
}

/// Does Proxy-Authorization prove that a user of `table` has sent the request? For a proxy, which sends it on.
///
/// Otherwise like `www_authorize`.
///
/// ```rhai
/// if !proxy_authorize("", "subscriber") { proxy_challenge("", 0); return; }
/// consume_credentials();
/// ```
fn proxy_authorize(
    route: &mut Route,
    auth: &Auth,
    realm: ImmutableString,
    table: ImmutableString,
) -> Result<bool, RouteError> {
    by_table(route, auth, HeaderId::ProxyAuthorization, &realm, &table)
}

/// `www_authorize` for a REGISTER, `proxy_authorize` for every other request.
///
/// With `flags` 1 the user must also be the one that the request names: From, in a REGISTER To as well, and in
/// a PUBLISH the Request-URI; else `auth_result()` is `other_user`. With 0 it may be anybody.
///
/// ```rhai
/// if !auth_check("sip.example", "subscriber", 1) {
///     auth_challenge("sip.example", 0);
///     return;
/// }
/// ```
fn auth_check(
    route: &mut Route,
    auth: &Auth,
    realm: ImmutableString,
    table: ImmutableString,
    flags: i64,
) -> Result<bool, RouteError> {
    let is_identity_checked = zero_or_one("auth_check", flags)?;
    let method = route.message.method();
    let (is_register, is_publish) = (method == Method::Register, method == Method::Publish);
    let header = if is_register { HeaderId::Authorization } else { HeaderId::ProxyAuthorization };
    if !by_table(route, auth, header, &realm, &table)? {
        return Ok(false);
    }
    let is_same = !is_identity_checked
        || identity::is_from(route, auth)?
            && (!is_register || identity::is_to(route, auth)?)
            && (!is_publish || identity::is_request_uri(route, auth)?);
    if let Some(authentication) = route.authentication.as_mut().filter(|_| !is_same) {
        authentication.outcome = Outcome::OtherUser;
    }
    Ok(is_same)
}

/// Does Authorization prove that its sender knows this password? The script has asked for it elsewhere.
///
/// With `flags` 1 `password` is the HA1 in hexadecimal digits, with 0 it is what the user types. The username may
/// be any: compare `auth_user()` afterwards.
///
/// ```rhai
/// if !pv_www_authenticate("sip.example", "open sesame", 0) {
///     www_challenge("sip.example", 0);
///     return;
/// }
/// ```
fn pv_www_authenticate(
    route: &mut Route,
    auth: &Auth,
    realm: ImmutableString,
    password: ImmutableString,
    flags: i64,
) -> Result<bool, RouteError> {
    let is_hash = zero_or_one("pv_www_authenticate", flags)?;
    by_password(route, auth, HeaderId::Authorization, &realm, (&password, is_hash))
}

/// Like `pv_www_authenticate` with Proxy-Authorization.
///
/// ```rhai
/// let ha1 = "939e7578ed9e3c518a452acee763bce9";
/// if !pv_proxy_authenticate("sip.example", ha1, 1) { proxy_challenge("sip.example", 0); return; }
/// ```
fn pv_proxy_authenticate(
    route: &mut Route,
    auth: &Auth,
    realm: ImmutableString,
    password: ImmutableString,
    flags: i64,
) -> Result<bool, RouteError> {
    let is_hash = zero_or_one("pv_proxy_authenticate", flags)?;
    by_password(route, auth, HeaderId::ProxyAuthorization, &realm, (&password, is_hash))
}

fn zero_or_one(function: &'static str, flags: i64) -> Result<bool, RouteError> {
    match flags {
        0 | 1 => Ok(flags == 1),
        found => {
            Err(RouteError::OutOfRange { function, argument: "flags", range: "0 or 1", found })
        }
    }
}

fn by_table(
    route: &mut Route,
    auth: &Auth,
    header: HeaderId,
    realm: &str,
    table: &str,
) -> Result<bool, RouteError> {
    authenticate(route, auth, header, realm, |route, credentials| {
        subscriber::judge(route, auth, table, credentials)
    })
}

fn by_password(
    route: &mut Route,
    auth: &Auth,
    header: HeaderId,
    realm: &str,
    (password, is_hash): (&str, bool),
) -> Result<bool, RouteError> {
    authenticate(route, auth, header, realm, |route, credentials| {
        let ha1: Vec<Ha1> = match is_hash {
            true => subscriber::of_hash(auth, password).into_iter().collect(),
            false => subscriber::of_password(auth, credentials, password).collect(),
        };
        let is_right = !password.is_empty() && subscriber::is_proved(route, &ha1, credentials);
        Ok(if is_right { Outcome::Ok } else { Outcome::WrongPassword })
    })
}

/// Looks at the credentials in `header` and notes the outcome in the route; true when it is good.
fn authenticate(
    route: &mut Route,
    auth: &Auth,
    header: HeaderId,
    realm: &str,
    judge: impl FnOnce(&Route, &Credentials<'_>) -> Result<Outcome, RouteError>,
) -> Result<bool, RouteError> {
    let realm = realm_of(route, auth, realm)?;
    // Whatever becomes of this look, an earlier one no longer counts.
    route.authentication = None;
    let (outcome, username) = examine(route, auth, header, &realm, judge)?;
    route.authentication =
        Some(Authentication { outcome, username, realm: (&*realm).into(), header });
    Ok(outcome == Outcome::Ok)
}

/// The outcome, and the username when it is proved. What costs least is looked at first.
fn examine(
    route: &Route,
    auth: &Auth,
    header: HeaderId,
    realm: &str,
    judge: impl FnOnce(&Route, &Credentials<'_>) -> Result<Outcome, RouteError>,
) -> Result<(Outcome, ImmutableString), RouteError> {
    let nobody = |outcome| Ok((outcome, ImmutableString::new()));
    if matches!(route.message.method(), Method::Ack | Method::Cancel) {
        return nobody(Outcome::Ok);
    }
    let credentials = Credentials::of_realm(&route.message, header, realm)?;
    let Some(credentials) = credentials.filter(|credentials| !credentials.is_empty()) else {
        return nobody(Outcome::NoCredentials);
    };
    let Some(nonce) = auth.shared.fresh(route, &auth.config, &credentials.nonce, realm) else {
        return nobody(Outcome::Stale);
    };
    if !is_offered(auth, &credentials) {
        return nobody(Outcome::Unsupported);
    }
    if auth.config.check_uri && !is_for(&route.original_uri, &credentials.uri) {
        return nobody(Outcome::WrongUri);
    }
    match judge(route, &credentials)? {
        Outcome::Ok => {}
        outcome => return nobody(outcome),
    }
    match counted(route, auth, nonce, &credentials) {
        Outcome::Ok => Ok((Outcome::Ok, (&*credentials.username).into())),
        outcome => nobody(outcome),
    }
}

/// Are the credentials made as our challenges ask?
fn is_offered(auth: &Auth, credentials: &Credentials<'_>) -> bool {
    let has_algorithm = credentials.algorithm.is_some_and(|it| auth.algorithms.contains(&it));
    let has_qop = match (credentials.qop, auth.config.qop) {
        (None, qops) => !auth.config.require_qop && qops != Qops::AuthInt,
        (Some(Qop::Auth), Qops::AuthInt) => false,
        (Some(Qop::Auth | Qop::AuthInt), _) => true,
    };
    has_algorithm && has_qop && !credentials.is_userhash
}

/// Were the credentials made for this Request-URI? Parameters do not count, since clients are careless with them
/// (RFC 8760 §2.6 item 6).
fn is_for(request_uri: &str, claimed: &str) -> bool {
    let (Ok(asked), Ok(claimed)) = (Uri::parse(request_uri), Uri::parse(claimed)) else {
        return false;
    };
    if !asked.is_sip() || !claimed.is_sip() {
        return asked.as_str() == claimed.as_str();
    }
    let user = |uri: &Uri<'_>| unescape_text(uri.user().unwrap_or_default()).into_owned();
    let port = |uri: &Uri<'_>| uri.port().filter(|port| !matches!(port, 5060 | 5061));
    user(&asked) == user(&claimed)
        && asked.host().eq_ignore_ascii_case(claimed.host())
        && port(&asked) == port(&claimed)
}

/// Whether the nonce may be used with this count, now that the rest is right.
fn counted(route: &Route, auth: &Auth, nonce: Nonce, credentials: &Credentials<'_>) -> Outcome {
    if !auth.config.nonce_count {
        return Outcome::Ok;
    }
    // Without a count, the nonce is good for one request.
    let count = credentials.qop.and(credentials.nc).map_or(u32::MAX, |nc| nc.number);
    match auth.shared.use_count(route, &auth.config, nonce, count) {
        Count::New | Count::Repeated => Outcome::Ok,
        Count::Replayed => Outcome::Replayed,
        Count::Forgotten => Outcome::Stale,
    }
}

#[cfg(test)]
mod tests;
