//! Further ways of a request, and sending it on without a transaction.

use rhai::{Dynamic, ImmutableString};

use super::Config;
use crate::script::error::RouteError;
use crate::script::export::{FAILURE, REQUEST};
use crate::script::module::ModuleExports;
use crate::script::route::{Route, Target};
use crate::sip::Uri;

/// The most ways that one request can get; what a script adds in a loop stays bounded.
const MAX_TARGETS: usize = 60;

pub(super) fn export(core: &mut ModuleExports<'_, Config>) {
    core.export("append_branch", [], REQUEST | FAILURE, append_own_branch)
        .export("append_branch", ["uri"], REQUEST | FAILURE, append_branch)
        .export("append_branch", ["uri", "q"], REQUEST | FAILURE, append_branch_with_q)
        .export("clear_branches", [], REQUEST | FAILURE, clear_branches)
        .export("forward", [], REQUEST, forward)
        .export("forward", ["host", "port"], REQUEST, forward_to);
}

/// Adds the Request-URI as it is now, with its next hop, to the ways that `t_relay()` takes.
///
/// ```rhai
/// append_branch();
/// seturi("sip:second@192.0.2.8");
/// t_relay();
/// ```
fn append_own_branch(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    let target = Target {
        destination: route.destination.clone(),
        q: route.q,
        flags: route.branch_flags,
        ..Target::new(route.message.request_uri())
    };
    push(route, target)
}

/// Adds a way that `t_relay()` takes besides the Request-URI, at the same time as others of its q.
///
/// ```rhai
/// append_branch("sip:desk@192.0.2.7");
/// append_branch("sip:mobile@192.0.2.8");
/// t_relay();
/// ```
fn append_branch(route: &mut Route, _: &Config, uri: ImmutableString) -> Result<bool, RouteError> {
    push(route, Target { q: route.q, ..Target::new(checked(uri)?) })
}

/// Adds a way with its q, 0 to 1: ways of a lower q are taken when all of a higher one have failed.
///
/// ```rhai
/// append_branch("sip:desk@192.0.2.7", 0.8);
/// append_branch("sip:voicemail@192.0.2.9", 0.1);
/// t_relay();
/// ```
fn append_branch_with_q(
    route: &mut Route,
    _: &Config,
    uri: ImmutableString,
    q: Dynamic,
) -> Result<bool, RouteError> {
    push(route, Target { q: thousandths(&q)?, ..Target::new(checked(uri)?) })
}

/// Forgets the ways that were added; the Request-URI stays.
///
/// ```rhai
/// clear_branches();
/// ```
fn clear_branches(route: &mut Route, _: &Config) -> Result<(), RouteError> {
    route.targets.clear();
    Ok(())
}

/// Sends the request on without a transaction: to the next hop that the script has set, else along its Route header,
/// else to its Request-URI (RFC 3261 §16.11). Every retransmission runs the script again.
///
/// Returns true; no way to the next hop is an error that tells the status.
///
/// ```rhai
/// if method() == "ACK" { forward(); return; }
/// ```
fn forward(route: &mut Route, _: &Config) -> Result<bool, RouteError> {
    send(route, None)
}

/// Sends the request on to a host without a transaction.
///
/// ```rhai
/// forward("192.0.2.7", 5060);
/// ```
fn forward_to(
    route: &mut Route,
    _: &Config,
    host: ImmutableString,
    port: i64,
) -> Result<bool, RouteError> {
    let uri = format!("sip:{host}:{port}");
    let next_hop = checked(uri.into())?;
    send(route, Some(&next_hop))
}

fn send(route: &mut Route, next_hop: Option<&str>) -> Result<bool, RouteError> {
    let sent = route.router().forward(route, next_hop);
    route.wait(sent)??;
    route.is_relayed = true;
    Ok(true)
}

fn push(route: &mut Route, target: Target) -> Result<bool, RouteError> {
    if route.targets.len() >= MAX_TARGETS {
        return Err(RouteError::Overload("the number of branches"));
    }
    route.targets.push(target);
    Ok(true)
}

fn checked(uri: ImmutableString) -> Result<ImmutableString, RouteError> {
    match Uri::parse(&uri) {
        Ok(_) => Ok(uri),
        Err(error) => {
            Err(RouteError::BadArgument { argument: "uri", reason: format!("{uri}: {error}") })
        }
    }
}

/// A q in thousandths: a number, or text as in a Contact.
fn thousandths(q: &Dynamic) -> Result<u16, RouteError> {
    let text = q.clone().into_immutable_string().ok();
    let number = match text {
        Some(text) => text.parse().ok(),
        None => q.as_float().ok().or_else(|| q.as_int().ok().map(|number| number as f64)),
    };
    match number {
        Some(number) if (0.0..=1.0).contains(&number) => Ok((number * 1000.0).round() as u16),
        _ => Err(RouteError::BadArgument {
            argument: "q",
            reason: format!("{q} is no q; they go from 0 to 1"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::script::router::recording::{Recording, message_route};

    #[test]
    fn ways_are_added_with_their_q_and_forgotten() {
        let mut route = message_route(&Rc::<Recording>::default());
        append_own_branch(&mut route, &Config {}).unwrap();
        append_branch(&mut route, &Config {}, "sip:a@b".into()).unwrap();
        for q in [Dynamic::from(0.25), Dynamic::from("0.25"), Dynamic::from(1_i64)] {
            append_branch_with_q(&mut route, &Config {}, "sip:c@d".into(), q).unwrap();
        }
        let ways: Vec<_> = route.targets.iter().map(|way| (way.uri.as_str(), way.q)).collect();
        let own = ("sip:romeo@xmpp.example", 1000);
        assert_eq!(
            ways,
            [own, ("sip:a@b", 1000), ("sip:c@d", 250), ("sip:c@d", 250), ("sip:c@d", 1000)]
        );
        clear_branches(&mut route, &Config {}).unwrap();
        assert!(route.targets.is_empty());
    }

    #[test]
    fn a_way_that_is_no_uri_or_has_no_q_is_refused() {
        let mut route = message_route(&Rc::<Recording>::default());
        assert!(append_branch(&mut route, &Config {}, "nowhere".into()).is_err());
        for q in [Dynamic::from(1.5), Dynamic::from("x"), Dynamic::UNIT] {
            assert!(append_branch_with_q(&mut route, &Config {}, "sip:a".into(), q).is_err());
        }
    }

    #[test]
    fn a_loop_of_append_branch_ends() {
        let mut route = message_route(&Rc::<Recording>::default());
        let added = (0..).take_while(|_| append_own_branch(&mut route, &Config {}).is_ok());
        assert_eq!(added.count(), MAX_TARGETS);
    }

    #[test]
    fn a_request_goes_on_without_a_transaction() {
        let router = Rc::<Recording>::default();
        let mut route = message_route(&router);
        forward(&mut route, &Config {}).unwrap();
        forward_to(&mut route, &Config {}, "192.0.2.7".into(), 5070).unwrap();
        assert!(route.is_relayed && !route.has_transaction);
        let uri = "forward sip:romeo@xmpp.example";
        assert_eq!(router.journal(), [uri, &format!("{uri} by sip:192.0.2.7:5070")]);
        assert!(forward_to(&mut route, &Config {}, "a b".into(), 1).is_err());
    }
}
