#![doc = include_str!("README.md")]

mod contact;
mod ping;
mod private;
mod sdp;
mod test;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use rhai::ImmutableString;

use self::contact::Which;
use self::sdp::Fix;
use crate::config::value::ranged;
use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{ANY, ANY_SIP, BRANCH, FAILURE, REQUEST};
use crate::script::module::{Exports, ModuleDef};
use crate::script::question;
use crate::script::route::Route;
use crate::sip::Uri;
use crate::sip::transport::Transport;

/// `[modules.nathelper]`
pub static MODULE: ModuleDef = ModuleDef { name: "nathelper", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    if config.natping_interval > 0 {
        let pinger = Rc::new(ping::Pinger::new(&config));
        exports.every(Duration::from_secs(1), move |router| {
            let pinger = pinger.clone();
            async move { pinger.tick(&*router).await }
        });
    }
    exports
        .with(())
        .export("nat_uac_test", ["flags"], ANY_SIP, nat_uac_test)
        .export("is_rfc1918", ["ip"], ANY, is_rfc1918)
        .export("fix_nated_contact", [], ANY_SIP, fix_nated_contact)
        .export("fix_nated_register", [], REQUEST, fix_nated_register)
        .export("set_contact_alias", [], ANY_SIP, set_contact_alias)
        .export("add_contact_alias", [], ANY_SIP, add_contact_alias)
        .export("add_contact_alias", ["ip", "port", "proto"], ANY_SIP, add_contact_alias_of)
        .export("handle_ruri_alias", [], REQUEST | FAILURE | BRANCH, handle_ruri_alias)
        .export("fix_nated_sdp", ["flags"], ANY_SIP, fix_nated_sdp)
        .export("fix_nated_sdp", ["flags", "ip"], ANY_SIP, fix_nated_sdp_with);
    Ok(())
}

/// `[modules.nathelper]`: the requests that keep the ways to phones open.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How often each registered contact is asked, in seconds; 0 for never.
    ///
    /// 0 to 86400. Default 0.
    #[serde(deserialize_with = "ranged::<_, _, 0, 86_400>")]
    pub natping_interval: u32,
    /// Are all contacts asked, or only those behind a NAT?
    ///
    /// 0, all, or 1. Default 0.
    #[serde(deserialize_with = "ranged::<_, _, 0, 1>")]
    pub ping_nated_only: u8,
    /// The flag of contacts behind a NAT, besides those that are reached elsewhere than they say.
    ///
    /// A branch flag, 0 to 31. Default none.
    #[serde(deserialize_with = "flag")]
    pub nat_bflag: Option<u8>,
    /// Only contacts with this flag are asked.
    ///
    /// A branch flag, 0 to 31. Default none, all.
    #[serde(deserialize_with = "flag")]
    pub sipping_bflag: Option<u8>,
    /// The method of the question.
    ///
    /// A token. Default `OPTIONS`.
    #[serde(deserialize_with = "question::method")]
    pub sipping_method: Box<str>,
    /// From of the question.
    ///
    /// A URI. Default `sip:nathelper@localhost`.
    #[serde(deserialize_with = "question::destination")]
    pub sipping_from: Box<str>,
    /// How long a contact may leave questions unanswered before it is removed, in seconds; 0 for ever.
    ///
    /// 0 to 604800. Default 0.
    #[serde(deserialize_with = "ranged::<_, _, 0, 604_800>")]
    pub keepalive_timeout: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            natping_interval: 0,
            ping_nated_only: 0,
            nat_bflag: None,
            sipping_bflag: None,
            sipping_method: "OPTIONS".into(),
            sipping_from: "sip:nathelper@localhost".into(),
            keepalive_timeout: 0,
        }
    }
}

fn flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    ranged::<D, u8, 0, 31>(deserializer).map(Some)
}

/// Does one of the tests that `flags` names find that the sender is behind a NAT?
///
/// ```rhai
/// if nat_uac_test(19) { force_rport(); }
/// ```
fn nat_uac_test(route: &mut Route, _: &(), flags: i64) -> Result<bool, RouteError> {
    if !(0..=test::ALL).contains(&flags) {
        let (function, argument, range) = ("nat_uac_test", "flags", "0 to 511");
        return Err(RouteError::OutOfRange { function, argument, range, found: flags });
    }
    Ok(test::is_nated(&route.message, &route.source, flags))
}

/// Is the address private, so that nobody outside its network reaches it?
///
/// ```rhai
/// if is_rfc1918(src_ip()) { setflag(5); }
/// ```
fn is_rfc1918(_: &mut Route, _: &(), ip: ImmutableString) -> Result<bool, RouteError> {
    Ok(private::is_private(address("ip", &ip)?))
}

/// Puts the address that the message came from into its contacts.
///
/// ```rhai
/// if nat_uac_test(19) { fix_nated_contact(); }
/// ```
fn fix_nated_contact(route: &mut Route, _: &()) -> Result<bool, RouteError> {
    let peer = route.source.peer;
    contact::rewrite(&mut route.message, Which::All, |uri| contact::at(uri, peer))
}

/// Has `save` note that the contacts of the REGISTER are reached where it came from.
///
/// ```rhai
/// if nat_uac_test(19) { fix_nated_register(); }
/// save("location");
/// ```
fn fix_nated_register(route: &mut Route, _: &()) -> Result<(), RouteError> {
    route.received = Some(route.source.uri().into());
    Ok(())
}

/// Writes the address that the message came from into the first contact, as the parameter `alias`.
///
/// ```rhai
/// if nat_uac_test(19) { set_contact_alias(); }
/// ```
fn set_contact_alias(route: &mut Route, _: &()) -> Result<bool, RouteError> {
    let source = route.source;
    contact::rewrite(&mut route.message, Which::First, |uri| {
        contact::aliased(uri, source.transport, source.peer)
    })
}

/// The same, only when the contact names another address, port or transport.
///
/// ```rhai
/// add_contact_alias();
/// ```
fn add_contact_alias(route: &mut Route, _: &()) -> Result<bool, RouteError> {
    let source = route.source;
    contact::rewrite(&mut route.message, Which::First, |uri| {
        match contact::is_of_source(uri, &source) {
            true => Ok(None),
            false => contact::aliased(uri, source.transport, source.peer),
        }
    })
}

/// The same with an address, a port and a transport of the script's.
///
/// ```rhai
/// add_contact_alias("192.0.2.9", 5062, "tcp");
/// ```
fn add_contact_alias_of(
    route: &mut Route,
    _: &(),
    ip: ImmutableString,
    port: i64,
    proto: ImmutableString,
) -> Result<bool, RouteError> {
    let (function, argument, range) = ("add_contact_alias", "port", "1 to 65535");
    let error = RouteError::OutOfRange { function, argument, range, found: port };
    let port = u16::try_from(port).ok().filter(|port| *port > 0).ok_or(error)?;
    let peer = SocketAddr::new(address("ip", &ip)?, port);
    let transport: Transport = proto.parse().map_err(|_| RouteError::BadArgument {
        argument: "proto",
        reason: format!("`{proto}` is none of udp, tcp, tls, ws and wss"),
    })?;
    let change = |uri: &Uri<'_>| contact::aliased(uri, transport, peer);
    contact::rewrite(&mut route.message, Which::First, change)
}

/// Removes `alias` from the Request-URI and makes what it says the next hop; false when there is none.
///
/// ```rhai
/// if loose_route() {
///     if pv("$du") == "" { handle_ruri_alias(); }
///     t_relay();
/// }
/// ```
fn handle_ruri_alias(route: &mut Route, _: &()) -> Result<bool, RouteError> {
    let uri = Uri::parse(route.message.request_uri()).ok();
    let Some((bare, next_hop)) = uri.and_then(|uri| contact::resolved(&uri)) else {
        return Ok(false);
    };
    route.message.set_request_uri(&bare)?;
    route.destination = Some(next_hop.into());
    Ok(true)
}

/// Changes the session description, as `flags` says, to the address that the message came from.
///
/// ```rhai
/// if nat_uac_test(8) { fix_nated_sdp(10); }
/// ```
fn fix_nated_sdp(route: &mut Route, _: &(), flags: i64) -> Result<bool, RouteError> {
    let ip = route.source.peer.ip().to_canonical();
    fix_sdp(route, flags, ip)
}

/// The same with an address of the script's.
///
/// ```rhai
/// fix_nated_sdp(10, "192.0.2.9");
/// ```
fn fix_nated_sdp_with(
    route: &mut Route,
    _: &(),
    flags: i64,
    ip: ImmutableString,
) -> Result<bool, RouteError> {
    let ip = address("ip", &ip)?;
    fix_sdp(route, flags, ip)
}

fn fix_sdp(route: &mut Route, flags: i64, ip: IpAddr) -> Result<bool, RouteError> {
    if !(0..=Fix::ALL).contains(&flags) {
        let (function, argument, range) = ("fix_nated_sdp", "flags", "0 to 31");
        return Err(RouteError::OutOfRange { function, argument, range, found: flags });
    }
    let Some(sdp) = test::session_description(&route.message) else { return Ok(false) };
    let fixed = sdp::fixed(sdp, Fix(flags), ip);
    if fixed == sdp {
        return Ok(false);
    }
    let content_type = route.message.content_type().unwrap_or_default().into_owned();
    route.message.set_body(&content_type, Bytes::from(fixed))?;
    Ok(true)
}

fn address(argument: &'static str, text: &str) -> Result<IpAddr, RouteError> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| RouteError::BadArgument {
        argument,
        reason: format!("`{text}` is no IP address"),
    })
}

#[cfg(test)]
mod tests;
