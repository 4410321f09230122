#![doc = include_str!("README.md")]

mod pipe;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::pipe::{Algorithm, Counter};
use crate::config::value::ranged;
use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{ANY_SIP, REQUEST};
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;

/// `[modules.ratelimit]`
pub static MODULE: ModuleDef = ModuleDef { name: "ratelimit", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    let counters = exports.common(Counters::default);
    exports
        .with(Ratelimit { config, counters })
        .export("rl_check", [], ANY_SIP, rl_check)
        .export("rl_check", ["pipe"], ANY_SIP, rl_check_pipe)
        .export("rl_drop", [], REQUEST, rl_drop)
        .export("rl_drop", ["retry_after"], REQUEST, rl_drop_until);
    Ok(())
}

/// `[modules.ratelimit]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The time in which messages are counted, in seconds.
    ///
    /// 1 to 3600. Default 10.
    #[serde(deserialize_with = "ranged::<_, _, 1, 3600>")]
    pub timer_interval: u32,
    /// The status that `rl_drop` answers with.
    ///
    /// 400 to 699. Default 503.
    #[serde(deserialize_with = "ranged::<_, _, 400, 699>")]
    pub reply_code: u16,
    /// The reason that `rl_drop` answers with; empty for the standard one.
    ///
    /// Text of one line. Default empty.
    pub reply_reason: Box<str>,
    /// The pipes.
    pub pipe: Vec<Pipe>,
    /// Which pipe the messages of a method go through.
    pub queue: Vec<Queue>,
}

/// `[[modules.ratelimit.pipe]]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipe {
    /// The number by which scripts name it.
    ///
    /// 0 to 65535.
    #[serde(deserialize_with = "ranged::<_, _, 0, 65_535>")]
    pub id: u16,
    /// What is dropped when there are too many.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// How many messages a second pass.
    ///
    /// 1 to 10000000.
    #[serde(deserialize_with = "ranged::<_, _, 1, 10_000_000>")]
    pub limit: u32,
}

/// `[[modules.ratelimit.queue]]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// The pipe.
    #[serde(deserialize_with = "ranged::<_, _, 0, 65_535>")]
    pub pipe: u16,
    /// The method, or `*` for every one that no queue before it names.
    pub method: Box<str>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timer_interval: 10,
            reply_code: 503,
            reply_reason: "".into(),
            pipe: Vec::new(),
            queue: Vec::new(),
        }
    }
}

/// What all workers have counted, by pipe.
#[derive(Default)]
struct Counters(Mutex<BTreeMap<u16, Counter>>);

/// The parameters, and the counters.
struct Ratelimit {
    config: Config,
    counters: Arc<Counters>,
}

/// Counts the message in the pipe of its method. Returns false when it should be dropped; true when no queue names
/// the method.
///
/// ```rhai
/// if !rl_check() { rl_drop(); return; }
/// ```
fn rl_check(route: &mut Route, ratelimit: &Ratelimit) -> Result<bool, RouteError> {
    let method = route.message.method();
    let fits = |queue: &&Queue| matches!(&*queue.method, "*") || *queue.method == *method.as_str();
    match ratelimit.config.queue.iter().find(fits) {
        Some(queue) => rl_check_pipe(route, ratelimit, queue.pipe.into()),
        None => Ok(true),
    }
}

/// Counts the message in a pipe. Returns false when it should be dropped.
///
/// ```rhai
/// if method() == "REGISTER" && !rl_check(0) { rl_drop(); return; }
/// ```
fn rl_check_pipe(route: &mut Route, ratelimit: &Ratelimit, pipe: i64) -> Result<bool, RouteError> {
    let found = ratelimit.config.pipe.iter().find(|known| i64::from(known.id) == pipe);
    let range = "the id of a [[modules.ratelimit.pipe]]";
    let error =
        RouteError::OutOfRange { function: "rl_check", argument: "pipe", range, found: pipe };
    let pipe = found.ok_or(error)?;
    let interval = Duration::from_secs(ratelimit.config.timer_interval.into());
    let limit = u64::from(pipe.limit) * u64::from(ratelimit.config.timer_interval);
    let now = route.now();
    let mut counters = ratelimit.counters.0.lock().unwrap_or_else(PoisonError::into_inner);
    let counter = counters.entry(pipe.id).or_insert_with(|| Counter::new(now));
    Ok(counter.admits(now, interval, pipe.algorithm, limit))
}

/// Refuses the request with `reply_code`, through the transaction where the script has one.
///
/// ```rhai
/// if !rl_check() { rl_drop(); return; }
/// ```
fn rl_drop(route: &mut Route, ratelimit: &Ratelimit) -> Result<(), RouteError> {
    route.reply(ratelimit.config.reply_code, &ratelimit.config.reply_reason)
}

/// Refuses the request with `reply_code` and a Retry-After of so many seconds.
///
/// ```rhai
/// if !rl_check() { rl_drop(30); return; }
/// ```
fn rl_drop_until(
    route: &mut Route,
    ratelimit: &Ratelimit,
    retry_after: i64,
) -> Result<(), RouteError> {
    let range = "0 to 4294967295 seconds";
    let error = RouteError::OutOfRange {
        function: "rl_drop",
        argument: "retry_after",
        range,
        found: retry_after,
    };
    let seconds = u32::try_from(retry_after).map_err(|_| error)?;
    let header = ("Retry-After".into(), seconds.to_string().into());
    let Config { reply_code, reply_reason, .. } = &ratelimit.config;
    route.reply_with(*reply_code, reply_reason, [header])
}

#[cfg(test)]
mod tests;
