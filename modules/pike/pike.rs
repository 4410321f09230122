#![doc = include_str!("README.md")]

mod sources;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rhai::ImmutableString;

use self::sources::{Rate, Sources};
use crate::config::value::ranged;
use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::{ANY_SIP, REQUEST};
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;

/// `[modules.pike]`
pub static MODULE: ModuleDef = ModuleDef { name: "pike", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    let sources = exports.common(Sources::default);
    exports
        .with(Pike { rate: config.rate(), sources })
        .export("pike_check_req", [], REQUEST, pike_check_req)
        .export("pike_check_ip", ["ip"], ANY_SIP, pike_check_ip);
    Ok(())
}

/// `[modules.pike]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The time in which requests are counted, in seconds.
    ///
    /// 1 to 3600. Default 2: a flood is noticed at once, and a phone that starts is not taken for one.
    #[serde(deserialize_with = "ranged::<_, _, 1, 3600>")]
    pub sampling_time_unit: u32,
    /// How many requests of one source in this time pass; more are a flood.
    ///
    /// 1 to 1000000. Default 30.
    #[serde(deserialize_with = "ranged::<_, _, 1, 1_000_000>")]
    pub reqs_density_per_unit: u32,
    /// How long a source is remembered after its last request, in seconds; at least two units in any case.
    ///
    /// 1 to 86400. Default 120.
    #[serde(deserialize_with = "ranged::<_, _, 1, 86_400>")]
    pub remove_latency: u32,
    /// The most sources that are remembered; then the oldest are forgotten.
    ///
    /// 16 to 10000000. Default 100000, some 10 MB.
    #[serde(deserialize_with = "ranged::<_, _, 16, 10_000_000>")]
    pub max_sources: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sampling_time_unit: 2,
            reqs_density_per_unit: 30,
            remove_latency: 120,
            max_sources: 100_000,
        }
    }
}

impl Config {
    fn rate(&self) -> Rate {
        let unit = Duration::from_secs(self.sampling_time_unit.into());
        let memory = Duration::from_secs(self.remove_latency.into());
        Rate {
            unit,
            density: self.reqs_density_per_unit,
            memory: memory.max(2 * unit),
            max_sources: self.max_sources,
        }
    }
}

/// The parameters, and the sources that all workers count together.
struct Pike {
    rate: Rate,
    sources: Arc<Sources>,
}

/// Counts the request, and returns false when its source sends too many.
///
/// A source is an IPv4 address or a /64 of IPv6. It is a flood when more requests than `reqs_density_per_unit` came in
/// this unit or in the one before, and ends to be one when it has been quieter for a unit.
///
/// ```rhai
/// if !pike_check_req() { drop(); }
/// ```
fn pike_check_req(route: &mut Route, pike: &Pike) -> Result<bool, RouteError> {
    Ok(pike.count(route, route.source.peer.ip()))
}

/// Like `pike_check_req` for an address that the script names.
///
/// ```rhai
/// if !pike_check_ip(src_ip()) { drop(); }
/// ```
fn pike_check_ip(route: &mut Route, pike: &Pike, ip: ImmutableString) -> Result<bool, RouteError> {
    let ip = ip.trim_matches(['[', ']']).parse().map_err(|_| RouteError::BadArgument {
        argument: "ip",
        reason: format!("pike_check_ip(): `{ip}` is no IP address"),
    })?;
    Ok(pike.count(route, ip))
}

impl Pike {
    fn count(&self, route: &Route, ip: IpAddr) -> bool {
        let found = self.sources.count(route.now(), &self.rate, ip);
        if found.has_begun {
            tracing::warn!(%ip, "pike: a flood has begun");
        }
        !found.is_flood
    }
}

#[cfg(test)]
mod tests;
