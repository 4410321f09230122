#![doc = include_str!("README.md")]

mod subst;

use std::borrow::Cow;

use bytes::Bytes;
use rhai::ImmutableString;

use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{ANY, ANY_SIP};
use crate::script::module::{Exports, ModuleDef, Pattern};
use crate::script::route::Route;
use crate::sip::{HeaderId, HeaderRef};

/// `[modules.textops]`
pub static MODULE: ModuleDef = ModuleDef { name: "textops", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let mut textops = exports.with(params.parse::<Config>()?);
    subst::export(&mut textops);
    textops
        .export("search", ["pattern"], ANY, search)
        .export("search_body", ["pattern"], ANY, search_body)
        .export("search_hf", ["header", "pattern"], ANY, search_hf)
        .export("matches", ["text", "pattern"], ANY, matches)
        .export("is_method", ["methods"], ANY, is_method)
        .export("has_body", [], ANY, has_body)
        .export("has_body", ["content_type"], ANY, has_body_of)
        .export("is_present_hf", ["header"], ANY, is_present_hf)
        .export("hdr", ["header"], ANY, hdr)
        .export("append_hf", ["header", "value"], ANY, append_hf)
        .export("insert_hf", ["header", "value"], ANY, insert_hf)
        .export("append_to_reply", ["header", "value"], ANY_SIP, append_to_reply)
        .export("set_hf", ["header", "value"], ANY, set_hf)
        .export("remove_hf", ["header"], ANY, remove_hf)
        .export("set_body", ["body", "content_type"], ANY, set_body);
    Ok(())
}

/// `[modules.textops]` has no parameters.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// The most headers that a script may add to its replies.
const MAX_REPLY_HEADERS: usize = 100;

fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Is the pattern somewhere in the message, headers or body?
///
/// ```rhai
/// if search("(?i)friendly-scanner") { drop(); }
/// ```
fn search(route: &mut Route, _: &Config, Pattern(regex): Pattern) -> Result<bool, RouteError> {
    Ok(regex.is_match(&lossy(&route.message.to_bytes())))
}

/// Is the pattern somewhere in the body?
///
/// ```rhai
/// if search_body("^:help") { info("$fu needs help"); }
/// ```
fn search_body(route: &mut Route, _: &Config, Pattern(regex): Pattern) -> Result<bool, RouteError> {
    Ok(regex.is_match(&lossy(route.message.body())))
}

/// Is the pattern somewhere in this text?
///
/// ```rhai
/// if matches(ruri_user(), "^[0-9]{4}$") { info("an extension"); }
/// ```
fn matches(
    _: &mut Route,
    _: &Config,
    text: ImmutableString,
    Pattern(regex): Pattern,
) -> Result<bool, RouteError> {
    Ok(regex.is_match(&text))
}

/// Is the pattern in the value of a header of this name?
///
/// ```rhai
/// if search_hf("User-Agent", "(?i)sipvicious") { drop(); }
/// ```
fn search_hf(
    route: &mut Route,
    _: &Config,
    header: ImmutableString,
    Pattern(regex): Pattern,
) -> Result<bool, RouteError> {
    let id = HeaderId::from_name(header.as_bytes());
    let is_meant = |line: &HeaderRef<'_>| {
        line.id == id
            && (id != HeaderId::Other || line.name.eq_ignore_ascii_case(header.as_bytes()))
    };
    let mut values = route.message.headers().filter(is_meant);
    Ok(values.any(|line| regex.is_match(&lossy(line.value))))
}

/// Is the method one of these, separated by `|`?
///
/// ```rhai
/// if is_method("MESSAGE|OPTIONS") { info("$rm from $fu"); }
/// ```
fn is_method(route: &mut Route, _: &Config, methods: ImmutableString) -> Result<bool, RouteError> {
    let method = route.message.method();
    Ok(methods.split('|').any(|name| name.trim() == method.as_str()))
}

/// Has the message a body?
///
/// ```rhai
/// if is_method("MESSAGE") && !has_body() { sl_send_reply(400, "Nothing To Say"); }
/// ```
fn has_body(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(!route.message.body().is_empty())
}

/// Has the message a body of this type, parameters aside?
///
/// ```rhai
/// if has_body("application/sdp") { info("a call"); }
/// ```
fn has_body_of(
    route: &mut Route,
    _: &Config,
    content_type: ImmutableString,
) -> Result<bool, RouteError> {
    let found = route.message.content_type().unwrap_or_default();
    let found = found.split(';').next().unwrap_or("").trim();
    Ok(!route.message.body().is_empty() && found.eq_ignore_ascii_case(&content_type))
}

/// Is there a header of this name? Short and long names are the same.
///
/// ```rhai
/// if is_present_hf("Subject") { info("about $hdr(Subject)"); }
/// ```
fn is_present_hf(
    route: &mut Route,
    _: &Config,
    header: ImmutableString,
) -> Result<bool, RouteError> {
    Ok(route.message.header_named(&header).is_some())
}

/// The value of the first header of this name, empty where there is none.
///
/// ```rhai
/// let about = hdr("Subject");
/// ```
fn hdr(route: &mut Route, _: &Config, header: ImmutableString) -> Result<String, RouteError> {
    Ok(route
        .message
        .header_named(&header)
        .map(|value| lossy(value).into_owned())
        .unwrap_or_default())
}

/// Adds a header below the others. The script sees it at once.
///
/// ```rhai
/// append_hf("P-Hint", "by the gateway");
/// ```
fn append_hf(
    route: &mut Route,
    _: &Config,
    header: ImmutableString,
    value: ImmutableString,
) -> Result<(), RouteError> {
    Ok(route.message.append_header(&header, &value)?)
}

/// Adds a header above the others.
///
/// ```rhai
/// insert_hf("P-Hint", "by the gateway");
/// ```
fn insert_hf(
    route: &mut Route,
    _: &Config,
    header: ImmutableString,
    value: ImmutableString,
) -> Result<(), RouteError> {
    Ok(route.message.prepend_header(&header, &value)?)
}

/// Adds a header to every reply that the server makes to this request from now on.
///
/// ```rhai
/// append_to_reply("Retry-After", "60");
/// sl_send_reply(503, "Too Busy");
/// ```
fn append_to_reply(
    route: &mut Route,
    _: &Config,
    header: ImmutableString,
    value: ImmutableString,
) -> Result<(), RouteError> {
    // What no message can carry is found here, where the script can still be told.
    route.message.clone().append_header(&header, &value)?;
    if route.reply_headers.len() >= MAX_REPLY_HEADERS {
        return Err(RouteError::Overload("append_to_reply()"));
    }
    route.reply_headers.push((header, value));
    Ok(())
}

/// Makes this the only header of its name.
///
/// ```rhai
/// set_hf("Subject", "Hello");
/// ```
fn set_hf(
    route: &mut Route,
    _: &Config,
    header: ImmutableString,
    value: ImmutableString,
) -> Result<(), RouteError> {
    Ok(route.message.set_header(&header, &value)?)
}

/// Removes every header of this name. Returns false when there was none.
///
/// ```rhai
/// remove_hf("P-Asserted-Identity");
/// ```
fn remove_hf(route: &mut Route, _: &Config, header: ImmutableString) -> Result<bool, RouteError> {
    Ok(route.message.remove_headers(&header) > 0)
}

/// Replaces the body and says of what type it is.
///
/// ```rhai
/// set_body("Hello", "text/plain");
/// ```
fn set_body(
    route: &mut Route,
    _: &Config,
    body: ImmutableString,
    content_type: ImmutableString,
) -> Result<(), RouteError> {
    Ok(route.message.set_body(&content_type, Bytes::copy_from_slice(body.as_bytes()))?)
}

#[cfg(test)]
mod tests;
