//! Tests of URIs, and the parameters of the Request-URI.

use rhai::ImmutableString;

use super::Config;
use super::text::is_international;
use crate::script::error::RouteError;
use crate::script::export::{ANY, BRANCH, FAILURE, Kinds, REQUEST, XMPP_MESSAGE};
use crate::script::module::ModuleExports;
use crate::script::route::Route;
use crate::sip::{Scheme, Uri, UriError, unescape_text};

/// Where a next hop is still open.
const BEFORE_RELAY: Kinds = REQUEST.or(FAILURE).or(BRANCH).or(XMPP_MESSAGE);

pub(super) fn export(siputils: &mut ModuleExports<'_, Config>) {
    siputils
        .export("is_uri", ["text"], ANY, is_uri)
        .export("is_uri_user_e164", ["uri"], ANY, is_uri_user_e164)
        .export("is_gruu", [], ANY, is_gruu)
        .export("is_gruu", ["uri"], ANY, is_gruu_of)
        .export("cmp_uri", ["one", "other"], ANY, cmp_uri)
        .export("cmp_aor", ["one", "other"], ANY, cmp_aor)
        .export("uri_param", ["name"], ANY, uri_param)
        .export("uri_param", ["name", "value"], ANY, uri_param_is)
        .export("uri_param_any", ["name"], ANY, uri_param_any)
        .export("uri_param_value", ["name"], ANY, uri_param_value)
        .export("tel2sip", ["uri", "host"], ANY, tel2sip)
        .export("add_uri_param", ["param"], BEFORE_RELAY, add_uri_param)
        .export("uri_param_rm", ["name"], BEFORE_RELAY, uri_param_rm);
}

/// A URI that a script gives.
fn given<'u>(function: &'static str, uri: &'u str) -> Result<Uri<'u>, RouteError> {
    Uri::parse(uri).map_err(|error| RouteError::BadArgument {
        argument: "uri",
        reason: format!("{function}(): `{uri}` is no URI: {error}"),
    })
}

/// Is the text a URI?
///
/// ```rhai
/// if !is_uri(hdr("Refer-To")) { sl_send_reply(400, "Bad Refer-To"); }
/// ```
fn is_uri(_: &mut Route, _: &Config, text: ImmutableString) -> Result<bool, RouteError> {
    Ok(Uri::parse(&text).is_ok())
}

/// Is the user part of the URI an international number, `+` and 3 to `e164_max_len` digits?
///
/// ```rhai
/// if is_uri_user_e164(ruri()) { setdsturi("sip:trunk.example"); }
/// ```
fn is_uri_user_e164(
    _: &mut Route,
    config: &Config,
    uri: ImmutableString,
) -> Result<bool, RouteError> {
    let uri = given("is_uri_user_e164", &uri)?;
    Ok(uri.user().is_some_and(|user| is_international(&unescape_text(user), config)))
}

/// Is the Request-URI a GRUU, a URI of one device (RFC 5627 §3.1)?
///
/// ```rhai
/// if is_gruu() { info("for one device"); }
/// ```
fn is_gruu(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(route.request_uri()?.has_param("gr"))
}

/// Is the URI a GRUU, a URI of one device (RFC 5627 §3.1)?
///
/// ```rhai
/// if is_gruu(to_uri()) { info("for one device"); }
/// ```
fn is_gruu_of(_: &mut Route, _: &Config, uri: ImmutableString) -> Result<bool, RouteError> {
    Ok(given("is_gruu", &uri)?.has_param("gr"))
}

/// Are both URIs the same by the rules of RFC 3261 §19.1.4?
///
/// ```rhai
/// if cmp_uri(from_uri(), to_uri()) { info("$fu talks to itself"); }
/// ```
fn cmp_uri(
    _: &mut Route,
    _: &Config,
    one: ImmutableString,
    other: ImmutableString,
) -> Result<bool, RouteError> {
    Ok(given("cmp_uri", &one)?.is_equivalent(&given("cmp_uri", &other)?))
}

/// Do both URIs have the same user and the same host? Port, parameters and scheme do not count.
///
/// ```rhai
/// if cmp_aor(from_uri(), to_uri()) { info("$fu talks to itself"); }
/// ```
fn cmp_aor(
    _: &mut Route,
    _: &Config,
    one: ImmutableString,
    other: ImmutableString,
) -> Result<bool, RouteError> {
    let (one, other) = (given("cmp_aor", &one)?, given("cmp_aor", &other)?);
    let user = |uri: &Uri<'_>| uri.user().map(|user| unescape_text(user).into_owned());
    Ok(user(&one) == user(&other) && one.host().eq_ignore_ascii_case(other.host()))
}

/// Has the Request-URI a parameter of this name?
///
/// ```rhai
/// if uri_param("transport") { info("$ru wants its own transport"); }
/// ```
fn uri_param(route: &mut Route, _: &Config, name: ImmutableString) -> Result<bool, RouteError> {
    Ok(route.request_uri()?.has_param(&name))
}

/// Has the Request-URI a parameter of this name with this value? The case of the value counts not.
///
/// ```rhai
/// if uri_param("transport", "tcp") { info("$ru wants TCP"); }
/// ```
fn uri_param_is(
    route: &mut Route,
    _: &Config,
    name: ImmutableString,
    value: ImmutableString,
) -> Result<bool, RouteError> {
    let uri = route.request_uri()?;
    let is_it = |found: &str| unescape_text(found).eq_ignore_ascii_case(&value);
    Ok(uri.param(&name).is_some_and(|param| is_it(param.value.unwrap_or(""))))
}

/// Has the Request-URI a parameter of this name, behind the host or within the user part?
///
/// ```rhai
/// if uri_param_any("phone-context") { info("$ru is a local number"); }
/// ```
fn uri_param_any(route: &mut Route, _: &Config, name: ImmutableString) -> Result<bool, RouteError> {
    let uri = route.request_uri()?;
    let within_user = uri.user().unwrap_or_default().split(';').skip(1).any(|param| {
        let found = param.split('=').next().unwrap_or_default();
        unescape_text(found).eq_ignore_ascii_case(&name)
    });
    Ok(within_user || uri.has_param(&name))
}

/// A telephone number as a SIP URI at a host (RFC 3261 §19.1.6): without visual separators, its parameters in small letters.
/// Any other URI stays as it is.
///
/// ```rhai
/// seturi(tel2sip(ruri(), "trunk.example"));
/// ```
fn tel2sip(
    _: &mut Route,
    _: &Config,
    uri: ImmutableString,
    host: ImmutableString,
) -> Result<String, RouteError> {
    let tel = given("tel2sip", &uri)?;
    if !matches!(tel.scheme(), Scheme::Tel) {
        return Ok(uri.to_string());
    }
    let mut parts = tel.opaque().split(';');
    let number = parts.next().unwrap_or_default().replace(['-', '.', '(', ')'], "");
    let params: String = parts.map(|param| format!(";{}", param.to_ascii_lowercase())).collect();
    let sip = format!("sip:{number}{params}@{host};user=phone");
    match Uri::parse(&sip) {
        Ok(uri) if uri.params().as_str() == "user=phone" => Ok(sip),
        _ => Err(RouteError::BadArgument {
            argument: "host",
            reason: format!("tel2sip(): `{sip}` is no URI"),
        }),
    }
}

/// The value of the Request-URI's parameter, empty where it has none.
///
/// ```rhai
/// let transport = uri_param_value("transport");
/// ```
fn uri_param_value(
    route: &mut Route,
    _: &Config,
    name: ImmutableString,
) -> Result<String, RouteError> {
    let uri = route.request_uri()?;
    let value = uri.param(&name).and_then(|param| param.value).unwrap_or("");
    Ok(unescape_text(value).into_owned())
}

/// Adds a parameter, `name` or `name=value`, to the Request-URI.
///
/// ```rhai
/// if !uri_param("user") { add_uri_param("user=phone"); }
/// ```
fn add_uri_param(route: &mut Route, _: &Config, param: ImmutableString) -> Result<(), RouteError> {
    rewrite(route, "add_uri_param", |uri| uri.with_param(&param))
}

/// Removes the parameter from the Request-URI. Returns false when it was not there.
///
/// ```rhai
/// uri_param_rm("user");
/// ```
fn uri_param_rm(route: &mut Route, _: &Config, name: ImmutableString) -> Result<bool, RouteError> {
    if !route.request_uri()?.has_param(&name) {
        return Ok(false);
    }
    rewrite(route, "uri_param_rm", |uri| uri.without_param(&name))?;
    Ok(true)
}

fn rewrite(
    route: &mut Route,
    function: &'static str,
    change: impl FnOnce(&Uri<'_>) -> Result<String, UriError>,
) -> Result<(), RouteError> {
    let changed = change(&route.request_uri()?).map_err(|error| RouteError::BadArgument {
        argument: "the new Request-URI",
        reason: format!("{function}(): {error}"),
    })?;
    Ok(route.message.set_request_uri(&changed)?)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::script::export::Kind;
    use crate::script::router::recording::{request, route};

    fn to(uri: &str) -> Box<Route> {
        route(Kind::Request, request("MESSAGE", uri, ""), &Rc::default())
    }

    fn none() -> Config {
        Config::default()
    }

    #[test]
    fn uris_are_told_from_texts() {
        for (text, is_it) in [("sip:a@b", true), ("tel:+1", true), ("a@b", false), ("", false)] {
            assert_eq!(is_uri(&mut to("sip:a"), &none(), text.into()), Ok(is_it), "{text}");
        }
    }

    #[test]
    fn e164_users_are_international_numbers() {
        for (uri, is_it) in [
            ("sip:+49301234@b", true),
            ("tel:+49301234", true),
            ("sip:%2B49301234@b", true),
            ("sip:+49@b", false),
            ("sip:+1234567890123456@b", false),
            ("sip:0049301234@b", false),
            ("sip:+49x@b", false),
            ("sip:b", false),
        ] {
            let found = is_uri_user_e164(&mut to("sip:a"), &none(), uri.into());
            assert_eq!(found, Ok(is_it), "{uri}");
        }
        assert!(is_uri_user_e164(&mut to("sip:a"), &none(), "x".into()).is_err());
    }

    #[test]
    fn a_gruu_has_gr() {
        assert_eq!(is_gruu(&mut to("sip:a@b;gr=urn:x"), &none()), Ok(true));
        assert_eq!(is_gruu(&mut to("sip:a@b"), &none()), Ok(false));
        assert_eq!(is_gruu_of(&mut to("sip:a"), &none(), "sip:a@b;gr".into()), Ok(true));
        assert!(is_gruu_of(&mut to("sip:a"), &none(), "".into()).is_err());
    }

    #[test]
    fn uris_are_compared_whole_or_by_their_owner() {
        for (one, other, is_same, has_same_owner) in [
            ("sip:a@b", "SIP:a@B", true, true),
            ("sip:a@b", "sip:a@b:5060", false, true),
            ("sip:a@b", "sips:a@b", false, true),
            ("sip:%61@b", "sip:a@b;x=y", true, true),
            ("sip:a@b", "sip:A@b", false, false),
        ] {
            let mut route = to("sip:a");
            let found = cmp_uri(&mut route, &none(), one.into(), other.into());
            assert_eq!(found, Ok(is_same), "{one} {other}");
            let found = cmp_aor(&mut route, &none(), one.into(), other.into());
            assert_eq!(found, Ok(has_same_owner), "{one} {other}");
        }
        assert!(cmp_uri(&mut to("sip:a"), &none(), "sip:a".into(), "a".into()).is_err());
        assert!(cmp_aor(&mut to("sip:a"), &none(), "a".into(), "sip:a".into()).is_err());
    }

    #[test]
    fn parameters_are_found_within_the_user_too() {
        let mut route = to("sip:+49;Isub=7;x@h;lr");
        for (name, is_there) in [("isub", true), ("x", true), ("lr", true), ("+49", false)] {
            assert_eq!(uri_param_any(&mut route, &none(), name.into()), Ok(is_there), "{name}");
        }
        assert_eq!(uri_param_any(&mut to("tel:+49;isub=7"), &none(), "isub".into()), Ok(true));
    }

    #[test]
    fn telephone_numbers_become_sip_uris() {
        let sip =
            |uri: &str, host: &str| tel2sip(&mut to("sip:a"), &none(), uri.into(), host.into());
        for (tel, expected) in [
            ("tel:+1-(201).555-0123", "sip:+12015550123@h:5070;user=phone"),
            (
                "tel:7042;Phone-Context=Example.com",
                "sip:7042;phone-context=example.com@h:5070;user=phone",
            ),
            ("sip:a@b", "sip:a@b"),
        ] {
            assert_eq!(sip(tel, "h:5070").unwrap_or_default(), expected, "{tel}");
        }
        for (tel, host) in [("a", "h"), ("tel:+1", "h b"), ("tel:+1", "h;x"), ("tel:+1", "")] {
            assert!(sip(tel, host).is_err(), "{tel} {host}");
        }
    }

    #[test]
    fn parameters_of_the_request_uri_are_read_and_changed() {
        let mut route = to("sip:a@b;transport=TCP;lr");
        assert_eq!(uri_param(&mut route, &none(), "LR".into()), Ok(true));
        assert_eq!(uri_param(&mut route, &none(), "x".into()), Ok(false));
        let is = |route: &mut Route, name: &str, value: &str| {
            uri_param_is(route, &none(), name.into(), value.into()).unwrap()
        };
        assert!(is(&mut route, "transport", "tcp"));
        assert!(!is(&mut route, "transport", "udp"));
        assert!(is(&mut route, "lr", ""));
        assert!(!is(&mut route, "x", ""));
        assert_eq!(uri_param_value(&mut route, &none(), "transport".into()).unwrap(), "TCP");
        assert_eq!(uri_param_value(&mut route, &none(), "x".into()).unwrap(), "");
        add_uri_param(&mut route, &none(), "user=phone".into()).unwrap();
        assert_eq!(uri_param_rm(&mut route, &none(), "transport".into()), Ok(true));
        assert_eq!(uri_param_rm(&mut route, &none(), "transport".into()), Ok(false));
        assert_eq!(route.message.request_uri(), "sip:a@b;lr;user=phone");
        assert!(add_uri_param(&mut route, &none(), "a?b".into()).is_err());
        assert!(add_uri_param(&mut route, &none(), "a b".into()).is_err());
        assert_eq!(route.message.request_uri(), "sip:a@b;lr;user=phone");
    }
}
