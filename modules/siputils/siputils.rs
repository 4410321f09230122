#![doc = include_str!("README.md")]

mod text;
mod uri;

use rhai::ImmutableString;

use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{ANY, ANY_SIP, REQUEST};
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;
use crate::sip::{HeaderId, Method, NameAddr};

/// `[modules.siputils]`
pub static MODULE: ModuleDef = ModuleDef { name: "siputils", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let mut siputils = exports.with(params.parse::<Config>()?);
    siputils
        .export("is_request", [], ANY_SIP, is_request)
        .export("is_reply", [], ANY_SIP, is_reply)
        .export("is_first_hop", [], ANY_SIP, is_first_hop)
        .export("is_supported", ["option"], ANY, is_supported)
        .export("options_reply", [], REQUEST, options_reply);
    text::export(&mut siputils);
    uri::export(&mut siputils);
    Ok(())
}

/// `[modules.siputils]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Accept of what `options_reply` sends; empty for none.
    ///
    /// Text of one line. Default `*/*`.
    pub options_accept: Box<str>,
    /// Accept-Encoding of what `options_reply` sends; empty for none.
    ///
    /// Text of one line. Default empty.
    pub options_accept_encoding: Box<str>,
    /// Accept-Language of what `options_reply` sends; empty for none.
    ///
    /// Text of one line. Default `en`.
    pub options_accept_language: Box<str>,
    /// Supported of what `options_reply` sends; empty for none.
    ///
    /// Text of one line. Default empty.
    pub options_support: Box<str>,
    /// The most digits of an E.164 number.
    ///
    /// 1 to 255. Default 15, the length that ITU-T E.164 §6.1 allows.
    #[serde(deserialize_with = "crate::config::value::ranged::<_, _, 1, 255>")]
    pub e164_max_len: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            options_accept: "*/*".into(),
            options_accept_encoding: "".into(),
            options_accept_language: "en".into(),
            options_support: "".into(),
            e164_max_len: 15,
        }
    }
}

/// Is the message that the route is about a request?
///
/// ```rhai
/// if is_request() { info("$rm from $si"); }
/// ```
fn is_request(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(route.message.is_request())
}

/// Is the message that the route is about a reply?
///
/// ```rhai
/// if is_reply() { info("$rs from $si"); }
/// ```
fn is_reply(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(!route.message.is_request())
}

/// Is this server the first hop behind the sender?
///
/// A request has one Via then. A reply has our address in its first Record-Route, and none that a hop behind us has added.
///
/// ```rhai
/// if is_first_hop() { remove_hf("P-Asserted-Identity"); }
/// ```
fn is_first_hop(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    if route.message.is_request() {
        return Ok(route.message.vias().count() == 1);
    }
    let Some(top) = route.message.addresses(HeaderId::RecordRoute).next() else {
        return Ok(false);
    };
    let top: NameAddr<'_> = top?;
    let uri = route.uri_of("Record-Route", &top)?;
    Ok(route.router().is_myself(uri.host(), uri.port()))
}

/// Does Supported name this option tag?
///
/// ```rhai
/// if is_supported("path") { info("$si understands Path"); }
/// ```
fn is_supported(
    route: &mut Route,
    _: &Config,
    option: ImmutableString,
) -> Result<bool, RouteError> {
    let mut tags = route.message.values(HeaderId::Supported);
    Ok(tags.any(|tag| tag.eq_ignore_ascii_case(option.as_bytes())))
}

/// Answers an OPTIONS for this server itself (RFC 3261 §11.2).
/// Returns false, and sends nothing, for another method or a Request-URI with a user.
///
/// ```rhai
/// if is_myself(ruri()) && options_reply() { return; }
/// ```
fn options_reply(route: &mut Route, config: &Config) -> Result<bool, RouteError> {
    if route.message.method() != Method::Options || route.request_uri()?.user().is_some() {
        return Ok(false);
    }
    let headers = [
        ("Accept", &config.options_accept),
        ("Accept-Encoding", &config.options_accept_encoding),
        ("Accept-Language", &config.options_accept_language),
        ("Supported", &config.options_support),
    ];
    let said = headers.into_iter().filter(|(_, value)| !value.is_empty());
    route.reply_with(200, "OK", said.map(|(name, value)| (name.into(), (**value).into())))?;
    Ok(true)
}

#[cfg(test)]
mod tests;
