#![doc = include_str!("README.md")]

mod choice;
mod health;
mod probe;

use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, ImmutableString};

use self::choice::{Algorithm, DestinationSet, Sets};
use self::health::{Healths, Mark};
use crate::config::value::ranged;
use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{ANY_SIP, FAILURE, REQUEST};
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;
use crate::sip::Uri;

/// `[modules.dispatcher]`
pub static MODULE: ModuleDef = ModuleDef { name: "dispatcher", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    let healths = exports.common(Healths::default);
    let sets = Sets::new(&config.destination);
    if config.ds_ping_interval > 0 && !config.destination.is_empty() {
        let interval = Duration::from_secs(config.ds_ping_interval.into());
        let prober = probe::Prober::new(&config, healths.clone());
        exports.every(interval, move |router| prober.probe(router));
    }
    exports
        .with(Dispatcher { sets, healths, threshold: config.ds_probing_threshold })
        .export("ds_select_dst", ["set", "algorithm"], REQUEST | FAILURE, ds_select_dst)
        .export("ds_next_dst", [], REQUEST | FAILURE, ds_next_dst)
        .export("ds_mark_dst", [], ANY_SIP, ds_mark_dst)
        .export("ds_mark_dst", ["state"], ANY_SIP, ds_mark_dst_as)
        .export("ds_is_from_list", [], ANY_SIP, ds_is_from_list)
        .export("ds_is_from_list", ["set"], ANY_SIP, ds_is_from_list_of)
        .export("ds_list_exists", ["set"], ANY_SIP, ds_list_exists)
        .export("ds_is_active", ["set"], ANY_SIP, ds_is_active);
    Ok(())
}

/// `[modules.dispatcher]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The destinations.
    pub destination: Vec<Destination>,
    /// How often destinations are asked whether they live, in seconds; 0 for never.
    ///
    /// 0 to 86400. Default 0.
    #[serde(deserialize_with = "ranged::<_, _, 0, 86_400>")]
    pub ds_ping_interval: u32,
    /// Are all destinations asked, or only those that the script has marked?
    ///
    /// 0, those that are marked, or 1, all. Default 0.
    #[serde(deserialize_with = "ranged::<_, _, 0, 1>")]
    pub ds_probing_mode: u8,
    /// The method of the question.
    ///
    /// A token. Default `OPTIONS`.
    #[serde(deserialize_with = "probe::token")]
    pub ds_ping_method: Box<str>,
    /// From of the question.
    ///
    /// A URI. Default `sip:dispatcher@localhost`.
    #[serde(deserialize_with = "probe::uri")]
    pub ds_ping_from: Box<str>,
    /// Statuses besides 200 to 299 that say that a destination lives.
    ///
    /// Default none.
    pub ds_ping_reply_codes: Vec<u16>,
    /// How many failures in a row make a destination inactive.
    ///
    /// 1 to 1000. Default 1.
    #[serde(deserialize_with = "ranged::<_, _, 1, 1000>")]
    pub ds_probing_threshold: u32,
    /// How many answers in a row make it active again.
    ///
    /// 1 to 1000. Default 1.
    #[serde(deserialize_with = "ranged::<_, _, 1, 1000>")]
    pub ds_inactive_threshold: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            destination: Vec::new(),
            ds_ping_interval: 0,
            ds_probing_mode: 0,
            ds_ping_method: "OPTIONS".into(),
            ds_ping_from: "sip:dispatcher@localhost".into(),
            ds_ping_reply_codes: Vec::new(),
            ds_probing_threshold: 1,
            ds_inactive_threshold: 1,
        }
    }
}

/// `[[modules.dispatcher.destination]]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// The set that it belongs to.
    ///
    /// 0 to 2147483647. Default 1.
    #[serde(default = "first_set", deserialize_with = "ranged::<_, _, 0, 2_147_483_647>")]
    pub set: u32,
    /// Where it is.
    #[serde(deserialize_with = "probe::uri")]
    pub uri: Box<str>,
    /// Those of the highest priority come first, by algorithm 8.
    ///
    /// 0 to 1000. Default 0.
    #[serde(default, deserialize_with = "ranged::<_, _, 0, 1000>")]
    pub priority: u16,
    /// Its share of the requests, by algorithm 9.
    ///
    /// 0 to 1000. Default 1.
    #[serde(default = "one", deserialize_with = "ranged::<_, _, 0, 1000>")]
    pub weight: u16,
}

fn first_set() -> u32 {
    1
}

fn one() -> u16 {
    1
}

/// The sets, and how their destinations are.
struct Dispatcher {
    sets: Sets,
    healths: Arc<Healths>,
    /// How many failures in a row make a destination inactive.
    threshold: u32,
}

/// The variable of the message that remembers its destinations.
const CHOSEN: &str = "_dispatcher";

/// The destinations that a message may go to, in the order in which they are tried.
#[derive(Clone)]
struct Chosen {
    uris: Vec<ImmutableString>,
    /// The one that it goes to now.
    at: usize,
}

/// Sets the next hop to a destination of the set, chosen by the algorithm; the others follow with `ds_next_dst`.
/// Returns false when the set does not exist or has no active destination.
///
/// The algorithms are 0, a hash of Call-ID; 1, of the URI of From; 2, of To; 3, of the Request-URI; 4, one after the other;
/// 6, at random; 8, by priority; and 9, by weight.
///
/// ```rhai
/// if !ds_select_dst(1, 4) { sl_send_reply(503, "No Destination"); return; }
/// t_relay();
/// ```
fn ds_select_dst(
    route: &mut Route,
    dispatcher: &Dispatcher,
    set: i64,
    algorithm: i64,
) -> Result<bool, RouteError> {
    let range = "0, 1, 2, 3, 4, 6, 8 or 9";
    let error = RouteError::OutOfRange {
        function: "ds_select_dst",
        argument: "algorithm",
        range,
        found: algorithm,
    };
    let algorithm = Algorithm::from_number(algorithm).ok_or(error)?;
    let Some(set) = dispatcher.sets.find(set) else { return Ok(false) };
    let turn = dispatcher.healths.turn(set.id);
    let uris = set.in_order(route, algorithm, turn)?;
    let chosen = Chosen { uris: uris.into_iter().map(Into::into).collect(), at: 0 };
    Ok(dispatcher.choose(route, chosen))
}

/// Sets the next hop to the next active destination of those that `ds_select_dst` has found.
/// Returns false when there is none left.
///
/// ```rhai
/// if ds_next_dst() { t_relay(); }
/// ```
fn ds_next_dst(route: &mut Route, dispatcher: &Dispatcher) -> Result<bool, RouteError> {
    let Some(chosen) = chosen(route) else {
        let reason = "ds_select_dst() comes first";
        return Err(RouteError::State { function: "ds_next_dst", reason });
    };
    Ok(dispatcher.choose(route, Chosen { at: chosen.at + 1, ..chosen }))
}

/// Marks the destination that the message went to as inactive, and has it asked whether it lives.
/// Returns false when the message went to none.
///
/// ```rhai
/// ds_mark_dst();
/// ```
fn ds_mark_dst(route: &mut Route, dispatcher: &Dispatcher) -> Result<bool, RouteError> {
    dispatcher.mark(route, Mark::Inactive { is_probed: true })
}

/// Marks the destination that the message went to: `a`, active; `i`, inactive; `t`, one failure more, inactive after
/// `ds_probing_threshold`; `d`, disabled. A `p` behind it has it asked whether it lives.
/// Returns false when the message went to none.
///
/// ```rhai
/// ds_mark_dst("tp");
/// ```
fn ds_mark_dst_as(
    route: &mut Route,
    dispatcher: &Dispatcher,
    state: ImmutableString,
) -> Result<bool, RouteError> {
    let mark = Mark::from_letters(&state).ok_or_else(|| RouteError::BadArgument {
        argument: "state",
        reason: format!("ds_mark_dst(): `{state}` is none of a, i, t and d, with or without p"),
    })?;
    dispatcher.mark(route, mark)
}

/// Did the message come from a destination of any set, by address and port? Names are not looked up.
///
/// ```rhai
/// if ds_is_from_list() { info("from one of our gateways"); }
/// ```
fn ds_is_from_list(route: &mut Route, dispatcher: &Dispatcher) -> Result<bool, RouteError> {
    Ok(dispatcher.sets.iter().any(|set| is_from(route, set)))
}

/// Did the message come from a destination of this set, by address and port? Names are not looked up.
///
/// ```rhai
/// if ds_is_from_list(1) { info("from one of our gateways"); }
/// ```
fn ds_is_from_list_of(
    route: &mut Route,
    dispatcher: &Dispatcher,
    set: i64,
) -> Result<bool, RouteError> {
    Ok(dispatcher.sets.find(set).is_some_and(|set| is_from(route, set)))
}

/// Is there a destination in this set?
///
/// ```rhai
/// if !ds_list_exists(7) { warn("set 7 is empty"); }
/// ```
fn ds_list_exists(_: &mut Route, dispatcher: &Dispatcher, set: i64) -> Result<bool, RouteError> {
    Ok(dispatcher.sets.find(set).is_some())
}

/// Is a destination of this set active?
///
/// ```rhai
/// if !ds_is_active(1) { sl_send_reply(503, "No Destination"); return; }
/// ```
fn ds_is_active(_: &mut Route, dispatcher: &Dispatcher, set: i64) -> Result<bool, RouteError> {
    let set = dispatcher.sets.find(set);
    Ok(set.is_some_and(|set| set.uris().any(|uri| dispatcher.healths.is_active(uri))))
}

fn chosen(route: &Route) -> Option<Chosen> {
    route.variables.get(CHOSEN)?.clone().try_cast()
}

fn is_from(route: &Route, set: &DestinationSet) -> bool {
    let source = route.source;
    set.uris().filter_map(|uri| Uri::parse(uri).ok()).any(|uri| {
        uri.host_ip().map(|ip| ip.to_canonical()) == Some(source.peer.ip().to_canonical())
            && uri.port().unwrap_or(source.transport.default_port()) == source.peer.port()
    })
}

impl Dispatcher {
    /// Sends the message to the first active destination from `chosen.at` on.
    fn choose(&self, route: &mut Route, mut chosen: Chosen) -> bool {
        let rest = chosen.uris.iter().skip(chosen.at);
        let found = rest.take_while(|uri| !self.healths.is_active(uri)).count() + chosen.at;
        chosen.at = found;
        let destination = chosen.uris.get(found).cloned();
        let is_found = destination.is_some();
        if is_found {
            route.destination = destination;
        }
        route.variables.insert(CHOSEN.into(), Dynamic::from(chosen));
        is_found
    }

    fn mark(&self, route: &Route, mark: Mark) -> Result<bool, RouteError> {
        let uri = chosen(route).and_then(|chosen| chosen.uris.get(chosen.at).cloned());
        let Some(uri) = uri else { return Ok(false) };
        self.healths.mark(&uri, mark, self.threshold);
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
