#![doc = include_str!("README.md")]

mod arm;
mod fate;

use rhai::ImmutableString;

use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{FAILURE, REQUEST, XMPP_MESSAGE};
use crate::script::module::{Exports, ModuleDef, Status};
use crate::script::route::Route;
use crate::sip::Uri;

/// `[modules.tm]`
pub static MODULE: ModuleDef = ModuleDef { name: "tm", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let mut tm = exports.with(params.parse::<Config>()?);
    tm.export("t_newtran", [], REQUEST, t_newtran)
        .export("t_reply", ["code", "reason"], REQUEST | FAILURE, t_reply)
        .export("t_relay", [], REQUEST | FAILURE | XMPP_MESSAGE, t_relay)
        .export("t_relay", ["host", "port"], REQUEST | FAILURE, t_relay_by)
        .export("t_relay_to_udp", ["host", "port"], REQUEST | FAILURE, t_relay_to_udp)
        .export("t_relay_to_tcp", ["host", "port"], REQUEST | FAILURE, t_relay_to_tcp)
        .export("t_replicate", ["uri"], REQUEST, t_replicate)
        .export("t_check_trans", [], REQUEST, t_check_trans)
        .export("t_retransmit_reply", [], REQUEST, t_retransmit_reply);
    arm::export(&mut tm);
    fate::export(&mut tm);
    Ok(())
}

/// `[modules.tm]` has no parameters; the timers stand in `[sip.timers]`.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// Makes the transaction of this request, so that retransmissions are absorbed from now on.
/// Returns false when there was one.
///
/// ```rhai
/// t_newtran();
/// t_reply(200, "OK");
/// ```
fn t_newtran(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    if route.has_transaction {
        return Ok(false);
    }
    route.router().new_transaction(route)?;
    Ok(true)
}

/// Replies through the transaction, which is made when there is none.
///
/// The reply is repeated for every retransmission of the request. An empty reason becomes the standard one.
///
/// ```rhai
/// t_reply(404, "Not Found");
/// ```
fn t_reply(
    route: &mut Route,
    config: &Config,
    Status(code): Status,
    reason: ImmutableString,
) -> Result<bool, RouteError> {
    t_newtran(route, config)?;
    route.router().reply(route, code, &reason, &[])?;
    route.is_answered |= code >= 200;
    Ok(true)
}

/// Sends the message on through a transaction: to the next hop that the script has set, else along its Route
/// header, else to its Request-URI, and to every way of `append_branch` and `lookup` (RFC 3261 §16).
///
/// Ways of one q are taken at the same time, those of a lower q when all of a higher one have failed. The replies
/// return by themselves. An ACK goes on without a transaction, as does a CANCEL whose INVITE is not known; a CANCEL
/// whose INVITE is known never reaches the script. In a `failure_route` without any new way the same one is tried again.
/// A Proxy-Require that nobody has looked at is an error of status 420.
///
/// In `xmpp_message_route` it delivers the MESSAGE that the stanza has become; a failure returns to
/// the XMPP sender as an error. Returns true; no way to the next hop is an error that tells the status.
///
/// ```rhai
/// try { t_relay(); } catch (e) { t_reply(e.status, e.reason); }
/// ```
fn t_relay(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    let router = route.router();
    let relayed = router.relay(route);
    route.wait(relayed)??;
    route.is_relayed = true;
    if route.armed.as_ref().is_some_and(|armed| armed.branch.is_some()) {
        router.recall(route);
    }
    Ok(true)
}

/// The same by an outbound proxy: the request goes to this host, whatever its Request-URI is.
///
/// ```rhai
/// t_relay("192.0.2.7", 5060);
/// ```
fn t_relay_by(
    route: &mut Route,
    config: &Config,
    host: ImmutableString,
    port: i64,
) -> Result<bool, RouteError> {
    relay_by(route, config, &host, port, "")
}

/// The same over UDP.
///
/// ```rhai
/// t_relay_to_udp("192.0.2.7", 5060);
/// ```
fn t_relay_to_udp(
    route: &mut Route,
    config: &Config,
    host: ImmutableString,
    port: i64,
) -> Result<bool, RouteError> {
    relay_by(route, config, &host, port, ";transport=udp")
}

/// The same over TCP.
///
/// ```rhai
/// t_relay_to_tcp("192.0.2.7", 5060);
/// ```
fn t_relay_to_tcp(
    route: &mut Route,
    config: &Config,
    host: ImmutableString,
    port: i64,
) -> Result<bool, RouteError> {
    relay_by(route, config, &host, port, ";transport=tcp")
}

fn relay_by(
    route: &mut Route,
    config: &Config,
    host: &str,
    port: i64,
    params: &str,
) -> Result<bool, RouteError> {
    let uri = format!("sip:{host}:{port}{params}");
    if let Err(error) = Uri::parse(&uri) {
        let reason = format!("{host}:{port}: {error}");
        return Err(RouteError::BadArgument { argument: "host", reason });
    }
    route.destination = Some(uri.into());
    t_relay(route, config)
}

/// Sends a copy of the request to a URI, whose replies nobody sees. The request itself still has to be answered or relayed.
///
/// ```rhai
/// if method() == "REGISTER" { t_replicate("sip:192.0.2.8:5060"); }
/// ```
fn t_replicate(route: &mut Route, _: &Config, uri: ImmutableString) -> Result<bool, RouteError> {
    let sent = route.router().replicate(route, &uri);
    route.wait(sent)??;
    Ok(true)
}

/// Sends the last reply of the transaction once more. Returns false when there is none.
///
/// ```rhai
/// if t_check_trans() { t_retransmit_reply(); }
/// ```
fn t_retransmit_reply(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(route.router().retransmit(route))
}

/// Has the script made the transaction of this request?
///
/// Retransmissions of a request with a transaction never reach the script, and neither do the CANCEL and the ACK that
/// belong to one, so this is false when it begins.
///
/// ```rhai
/// if !t_check_trans() { t_newtran(); }
/// ```
fn t_check_trans(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    Ok(route.has_transaction)
}

#[cfg(test)]
mod tests;
