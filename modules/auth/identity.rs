//! Who the credentials are of, and whether the request says the same.

use rhai::ImmutableString;

use super::Auth;
use crate::script::error::RouteError;
use crate::script::export::REQUEST;
use crate::script::module::ModuleExports;
use crate::script::route::{Authentication, Route};
use crate::sip::digest::{Credentials, Outcome};
use crate::sip::{Method, Uri, UriError, unescape_text};

pub(super) fn export(exports: &mut ModuleExports<'_, Auth>) {
    exports
        .export("auth_result", [], REQUEST, auth_result)
        .export("auth_user", [], REQUEST, auth_user)
        .export("check_from", [], REQUEST, check_from)
        .export("check_to", [], REQUEST, check_to)
        .export("consume_credentials", [], REQUEST, consume_credentials);
}

/// What the last `www_authorize`, `proxy_authorize`, `auth_check` or `pv_…_authenticate` has found, empty before any.
///
/// `ok`; `no_credentials`; `stale`, the nonce is too old or not ours; `replayed`, nonce and count were used before;
/// `unsupported`, an algorithm or quality of protection that was not offered; `wrong_uri`, made for
/// another Request-URI; `unknown_user`; `wrong_password`; `other_user`, the request names somebody else.
///
/// ```rhai
/// if !www_authorize("", "subscriber") {
///     if auth_result() == "wrong_password" { warn("$si guesses"); }
///     www_challenge("", 0);
///     return;
/// }
/// ```
pub(super) fn auth_result(route: &mut Route, _: &Auth) -> Result<ImmutableString, RouteError> {
    let outcome = route.authentication.as_ref().map(|it| it.outcome.name());
    Ok(outcome.unwrap_or_default().into())
}

/// The username that the credentials prove, as they have it; empty unless they do. `$au` in texts.
///
/// ```rhai
/// if auth_user() == "operator" { setflag(1); }
/// ```
pub(super) fn auth_user(route: &mut Route, _: &Auth) -> Result<ImmutableString, RouteError> {
    Ok(proved(route).map_or_else(ImmutableString::new, |it| it.username.clone()))
}

/// Is the user of the credentials the one that From names? False when nothing is proved yet.
///
/// The user must be the same to the letter. The domain must be that of the username with `use_domain`, else the
/// realm or any that is ours. True for ACK and CANCEL, which nobody can challenge.
///
/// ```rhai
/// if !check_from() { sl_send_reply(403, "Use Your Own Name"); return; }
/// ```
pub(super) fn check_from(route: &mut Route, auth: &Auth) -> Result<bool, RouteError> {
    is_from(route, auth)
}

/// Is the user of the credentials the one that To names? For a REGISTER, whose To is the user that is registered.
///
/// Otherwise like `check_from`.
///
/// ```rhai
/// if method() == "REGISTER" && !check_to() { sl_send_reply(403, "Not Your Address"); return; }
/// ```
pub(super) fn check_to(route: &mut Route, auth: &Auth) -> Result<bool, RouteError> {
    is_to(route, auth)
}

/// Is the user of the credentials the one that From names?
pub(super) fn is_from(route: &Route, auth: &Auth) -> Result<bool, RouteError> {
    let from = route.message.from()?;
    Ok(is_user(route, auth, &route.uri_of("From", &from)?))
}

/// Is the user of the credentials the one that To names?
pub(super) fn is_to(route: &Route, auth: &Auth) -> Result<bool, RouteError> {
    let to = route.message.to()?;
    Ok(is_user(route, auth, &route.uri_of("To", &to)?))
}

/// Is the user of the credentials the one that the Request-URI names?
pub(super) fn is_request_uri(route: &Route, auth: &Auth) -> Result<bool, RouteError> {
    Ok(is_user(route, auth, &route.request_uri()?))
}

/// Removes the credentials that were found good, so that the next hop does not see them (RFC 3261 §22.3). Returns
/// false when there are none.
///
/// ```rhai
/// if proxy_authorize("", "subscriber") { consume_credentials(); }
/// ```
pub(super) fn consume_credentials(route: &mut Route, _: &Auth) -> Result<bool, RouteError> {
    let Some(Authentication { realm, header, .. }) = proved(route).cloned() else {
        return Ok(false);
    };
    let is_ours = |value: &[u8]| {
        let text = std::str::from_utf8(value).unwrap_or_default();
        let read = Credentials::parse(header, text);
        read.is_ok_and(|found| found.is_some_and(|it| it.realm == realm.as_str()))
    };
    let mut has_any = false;
    while route.message.remove_header_if(header.name(), is_ours) {
        has_any = true;
    }
    Ok(has_any)
}

/// What is proved of the sender, if anything is.
fn proved(route: &Route) -> Option<&Authentication> {
    let authentication = route.authentication.as_ref()?;
    let is_proved = authentication.outcome == Outcome::Ok && !authentication.username.is_empty();
    is_proved.then_some(authentication)
}

fn is_user(route: &Route, auth: &Auth, uri: &Uri<'_>) -> bool {
    if matches!(route.message.method(), Method::Ack | Method::Cancel) {
        return true;
    }
    let Some(Authentication { username, realm, .. }) = proved(route) else { return false };
    let (user, domain) = username.split_once('@').unwrap_or((username, ""));
    // Without `use_domain` nothing has verified the domain that the client has put into its username.
    let domain = if domain.is_empty() || !auth.config.use_domain { realm } else { domain };
    let host = uri.host();
    let is_domain = domain.eq_ignore_ascii_case(host)
        || domain.eq_ignore_ascii_case(without_prefix(auth, host))
        || !auth.config.use_domain && route.router().is_myself(host, uri.port());
    uri.is_sip() && is_domain && unescape_text(uri.user().unwrap_or_default()) == user
}

/// The realm that a script means: what it says, or the domain of the sender.
pub(super) fn realm_of(route: &Route, auth: &Auth, realm: &str) -> Result<String, RouteError> {
    if !realm.is_empty() {
        return Ok(realm.to_owned());
    }
    let (part, address) = match route.message.method() {
        Method::Register => ("To", route.message.to()?),
        _ => ("From", route.message.from()?),
    };
    let uri = route.uri_of(part, &address)?;
    match uri.is_sip() {
        true => Ok(without_prefix(auth, &uri.host().to_ascii_lowercase()).to_owned()),
        false => Err(RouteError::Uri { part, source: UriError::NotSip }),
    }
}

fn without_prefix<'h>(auth: &Auth, host: &'h str) -> &'h str {
    host.strip_prefix(auth.config.realm_prefix.as_str()).unwrap_or(host)
}
