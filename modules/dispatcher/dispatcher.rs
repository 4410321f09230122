#![doc = include_str!("README.md")]

mod choice;
mod health;
mod known;
mod load;
mod probe;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, ImmutableString};

use self::choice::{Algorithm, DestinationSet, Sets};
use self::health::{Healths, Mark};
use self::known::{DISPATCHER, Known};
use self::load::Loads;
use crate::config::value::ranged;
use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{ANY_SIP, FAILURE, REQUEST};
use crate::script::module::{Exports, ModuleDef};
use crate::script::question;
use crate::script::route::Route;
use crate::sip::{Method, Uri};
use crate::store::Store;

/// `[modules.dispatcher]`
pub static MODULE: ModuleDef = ModuleDef { name: "dispatcher", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    let (healths, loads) = (exports.common(Healths::default), exports.common(Loads::default));
    let known = exports.common(Known::default);
    known.begin(&config.destination);
    let store = exports.store().filter(|_| !config.table_name.is_empty());
    if !config.table_name.is_empty() {
        exports.table(&DISPATCHER.named(&*config.table_name));
    }
    let has_any = !config.destination.is_empty() || store.is_some();
    if config.ds_ping_interval > 0 && has_any {
        let interval = Duration::from_secs(config.ds_ping_interval.into());
        let prober = probe::Prober::new(&config, healths.clone(), known.clone(), store.clone());
        let prober = Rc::new(prober);
        exports.every(interval, move |router| prober.clone().probe(router));
    }
    let (calls, lasts) = (loads.clone(), Duration::from_secs(config.ds_hash_expire.into()));
    exports.at_end(move |ending| {
        calls.end(ending, lasts);
        None
    });
    exports
        .with(Dispatcher { config, known, store, healths, loads })
        .export("ds_select_dst", ["set", "algorithm"], REQUEST | FAILURE, ds_select_dst)
        .export("ds_next_dst", [], REQUEST | FAILURE, ds_next_dst)
        .export("ds_mark_dst", [], ANY_SIP, ds_mark_dst)
        .export("ds_mark_dst", ["state"], ANY_SIP, ds_mark_dst_as)
        .export("ds_is_from_list", [], ANY_SIP, ds_is_from_list)
        .export("ds_is_from_list", ["set"], ANY_SIP, ds_is_from_list_of)
        .export("ds_list_exists", ["set"], ANY_SIP, ds_list_exists)
        .export("ds_is_active", ["set"], ANY_SIP, ds_is_active)
        .export("ds_reload", [], ANY_SIP, ds_reload);
    Ok(())
}

/// `[modules.dispatcher]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The destinations.
    pub destination: Vec<Destination>,
    /// The table of the store that has more destinations; empty for none.
    ///
    /// A name of letters, digits and `_`. Default empty; Kamailio's is `dispatcher`.
    #[serde(deserialize_with = "known::name_of_table")]
    pub table_name: Box<str>,
    /// How long a call counts that was taken, by algorithm 10, in seconds; the BYE comes before.
    ///
    /// 1 to 604800. Default 7200.
    #[serde(deserialize_with = "ranged::<_, _, 1, 604_800>")]
    pub ds_hash_expire: u32,
    /// How long a call counts that nobody has taken or refused, by algorithm 10, in seconds.
    ///
    /// 1 to 604800. Default 7200.
    #[serde(deserialize_with = "ranged::<_, _, 1, 604_800>")]
    pub ds_hash_initexpire: u32,
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
    #[serde(deserialize_with = "question::method")]
    pub ds_ping_method: Box<str>,
    /// From of the question.
    ///
    /// A URI. Default `sip:dispatcher@localhost`.
    #[serde(deserialize_with = "question::destination")]
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
            table_name: "".into(),
            ds_hash_expire: 7200,
            ds_hash_initexpire: 7200,
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
    #[serde(deserialize_with = "question::destination")]
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
    /// The most calls that it gets, by algorithm 10; 0 for any number.
    ///
    /// 0 to 1000000. Default 0.
    #[serde(default, deserialize_with = "ranged::<_, _, 0, 1_000_000>")]
    pub maxload: u32,
    /// The flags of its row in the store.
    #[serde(skip)]
    pub flags: u32,
}

fn first_set() -> u32 {
    1
}

fn one() -> u16 {
    1
}

/// The parameters, the sets, and how their destinations are.
struct Dispatcher {
    config: Config,
    known: Arc<Known>,
    /// Where the table is, when there is one.
    store: Option<Store>,
    healths: Arc<Healths>,
    loads: Arc<Loads>,
}

/// The variable of the message that remembers its destinations.
const CHOSEN: &str = "_dispatcher";

/// The destinations that a message may go to, in the order in which they are tried.
#[derive(Clone)]
struct Chosen {
    uris: Vec<ImmutableString>,
    /// The one that it goes to now.
    at: usize,
    /// The call counts for the destination that it goes to.
    is_counted: bool,
}

/// Sets the next hop to a destination of the set, chosen by the algorithm; the others follow with `ds_next_dst`.
/// Returns false when the set does not exist or has no active destination.
///
/// The algorithms are 0, a hash of Call-ID; 1, of the URI of From; 2, of To; 3, of the Request-URI; 4, one after the other;
/// 6, at random; 8, by priority; 9, by weight; and 10, who has the fewest calls, and not more than `maxload`.
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
    let range = "0, 1, 2, 3, 4, 6, 8, 9 or 10";
    let error = RouteError::OutOfRange {
        function: "ds_select_dst",
        argument: "algorithm",
        range,
        found: algorithm,
    };
    let algorithm = Algorithm::from_number(algorithm).ok_or(error)?;
    let sets = dispatcher.sets(route)?;
    let Some(set) = sets.find(set) else { return Ok(false) };
    let turn = dispatcher.healths.turn(set.id);
    let uris = set.in_order(route, algorithm, turn, &dispatcher.loads)?;
    let is_counted = algorithm == Algorithm::CallLoad && begins_call(route)?;
    let chosen = Chosen { uris: uris.into_iter().map(Into::into).collect(), at: 0, is_counted };
    dispatcher.choose(route, chosen)
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
    dispatcher.choose(route, Chosen { at: chosen.at + 1, ..chosen })
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
    Ok(dispatcher.sets(route)?.iter().any(|set| is_from(route, set)))
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
    Ok(dispatcher.sets(route)?.find(set).is_some_and(|set| is_from(route, set)))
}

/// Is there a destination in this set?
///
/// ```rhai
/// if !ds_list_exists(7) { warn("set 7 is empty"); }
/// ```
fn ds_list_exists(
    route: &mut Route,
    dispatcher: &Dispatcher,
    set: i64,
) -> Result<bool, RouteError> {
    Ok(dispatcher.sets(route)?.find(set).is_some())
}

/// Is a destination of this set active?
///
/// ```rhai
/// if !ds_is_active(1) { sl_send_reply(503, "No Destination"); return; }
/// ```
fn ds_is_active(route: &mut Route, dispatcher: &Dispatcher, set: i64) -> Result<bool, RouteError> {
    let sets = dispatcher.sets(route)?;
    let is_active = |uri| dispatcher.healths.is_active(uri);
    Ok(sets.find(set).is_some_and(|set| set.uris().any(is_active)))
}

/// Reads the table of destinations anew. Returns false, and what was read before stays in force, when there is none or the
/// store does not answer.
///
/// ```rhai
/// if method() == "OPTIONS" && src_ip() == "127.0.0.1" { ds_reload(); }
/// ```
fn ds_reload(route: &mut Route, dispatcher: &Dispatcher) -> Result<bool, RouteError> {
    let Some(store) = &dispatcher.store else { return Ok(false) };
    let read = dispatcher.read(route, store);
    let read = read.inspect_err(|error| {
        tracing::warn!(%error, "dispatcher: destinations are not read anew");
    });
    Ok(read.is_ok())
}

/// Does the message begin a call, which is counted?
fn begins_call(route: &Route) -> Result<bool, RouteError> {
    Ok(route.message.method() == Method::Invite && route.message.to()?.tag().is_none())
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
    /// The sets; the first who asks for them reads the table.
    fn sets(&self, route: &Route) -> Result<Arc<Sets>, RouteError> {
        let has_own = !self.config.destination.is_empty();
        let is_due = || match has_own {
            true => self.known.must_read(route.now()),
            false => !self.known.is_read(),
        };
        if let Some(store) = self.store.as_ref().filter(|_| is_due())
            && let Err(error) = self.read(route, store)
        {
            tracing::warn!(%error, "dispatcher: destinations are not read");
            if !has_own {
                return Err(error);
            }
        }
        Ok(self.known.sets())
    }

    fn read(&self, route: &Route, store: &Store) -> Result<(), RouteError> {
        let rows = route.wait(store.query(known::question(&self.config.table_name)));
        match rows.and_then(|rows| Ok(rows?)) {
            Ok(rows) => {
                self.known.learn(&self.config.destination, &rows, &self.healths);
                Ok(())
            }
            Err(error) => {
                self.known.failed(route.now());
                Err(error)
            }
        }
    }

    /// Sends the message to the first active destination from `chosen.at` on.
    fn choose(&self, route: &mut Route, mut chosen: Chosen) -> Result<bool, RouteError> {
        let rest = chosen.uris.iter().skip(chosen.at);
        let found = rest.take_while(|uri| !self.healths.is_active(uri)).count() + chosen.at;
        chosen.at = found;
        let destination = chosen.uris.get(found).cloned();
        if let Some(destination) = destination.as_deref().filter(|_| chosen.is_counted) {
            self.count(route, destination)?;
        }
        let is_found = destination.is_some();
        if is_found {
            route.destination = destination;
        }
        route.variables.insert(CHOSEN.into(), Dynamic::from(chosen));
        Ok(is_found)
    }

    /// Counts the call for its destination, in a transaction, whose end ends the count.
    fn count(&self, route: &mut Route, destination: &str) -> Result<(), RouteError> {
        if !route.has_transaction {
            route.router().new_transaction(route)?;
        }
        if let Some(key) = route.key {
            let lasts = Duration::from_secs(self.config.ds_hash_initexpire.into());
            self.loads.place(route.now(), route.message.call_id()?, key, destination, lasts);
        }
        Ok(())
    }

    fn mark(&self, route: &Route, mark: Mark) -> Result<bool, RouteError> {
        let uri = chosen(route).and_then(|chosen| chosen.uris.get(chosen.at).cloned());
        let Some(uri) = uri else { return Ok(false) };
        self.healths.mark(&uri, mark, self.config.ds_probing_threshold);
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
