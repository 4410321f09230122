#![doc = include_str!("README.md")]

mod groups;
mod table;
mod trusted;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, ImmutableString};

use self::groups::{Address, Groups, Prefix};
use self::table::{ADDRESS, Known, name_of_table, sensible};
use self::trusted::{Peers, TRUSTED};
use crate::config::value::ranged;
use crate::config::{ParamError, Params};
use crate::script::error::RouteError;
use crate::script::export::ANY_SIP;
use crate::script::module::{Exports, ModuleDef};
use crate::script::route::Route;
use crate::sip::transport::Transport;
use crate::store::{Row, Statement, Store};

/// `[modules.permissions]`
pub static MODULE: ModuleDef = ModuleDef { name: "permissions", load };

fn load(params: &Params, exports: &mut Exports) -> Result<(), ParamError> {
    let config = params.parse::<Config>()?;
    let (known, trusted) =
        (exports.common(Known::<Groups>::default), exports.common(Known::<Peers>::default));
    let own: Vec<_> = config.address.iter().map(Entry::address).collect();
    let store_of = |table: &str| exports.store().filter(|_| !table.is_empty());
    let (store, trusted_store) = (store_of(&config.address_table), store_of(&config.trusted_table));
    for (table, name) in [(&ADDRESS, &config.address_table), (&TRUSTED, &config.trusted_table)] {
        if !name.is_empty() {
            exports.table(&table.named(&**name));
        }
    }
    known.begin(Groups::new(own.iter().cloned()), store.is_some());
    trusted.begin(Peers::default(), trusted_store.is_some());
    exports
        .with(Permissions { config, own, store, known, trusted_store, trusted })
        .export("allow_source_address", [], ANY_SIP, allow_source_address)
        .export("allow_source_address", ["group"], ANY_SIP, allow_source_address_of)
        .export("allow_source_address_group", [], ANY_SIP, allow_source_address_group)
        .export("allow_address", ["group", "ip", "port"], ANY_SIP, allow_address)
        .export("allow_address_group", ["ip", "port"], ANY_SIP, allow_address_group)
        .export("allow_trusted", [], ANY_SIP, allow_trusted)
        .export("allow_trusted", ["ip", "proto"], ANY_SIP, allow_trusted_from);
    Ok(())
}

/// `[modules.permissions]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The addresses.
    pub address: Vec<Entry>,
    /// The table of the store that has more addresses; empty for none.
    ///
    /// A name of letters, digits and `_`. Default empty; Kamailio's is `address`.
    #[serde(deserialize_with = "name_of_table")]
    pub address_table: Box<str>,
    /// The table of the store that has trusted peers; empty for none.
    ///
    /// A name of letters, digits and `_`. Default empty; Kamailio's is `trusted`.
    #[serde(deserialize_with = "name_of_table")]
    pub trusted_table: Box<str>,
    /// How old what was read from the tables may become, in seconds.
    ///
    /// 1 to 86400. Default 60.
    #[serde(deserialize_with = "ranged::<_, _, 1, 86_400>")]
    pub reload_interval: u32,
    /// The variable that gets the tag of the address that was found; empty for none.
    ///
    /// Default empty.
    pub peer_tag_avp: Box<str>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: Vec::new(),
            address_table: "".into(),
            trusted_table: "".into(),
            reload_interval: 60,
            peer_tag_avp: "".into(),
        }
    }
}

/// `[[modules.permissions.address]]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The group.
    ///
    /// 1 to 2147483647. Default 1.
    #[serde(default = "first_group", deserialize_with = "ranged::<_, _, 1, 2_147_483_647>")]
    pub group: u32,
    /// An address or a network: `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/32`.
    pub ip: Prefix,
    /// The port, or 0 for any.
    ///
    /// 0 to 65535. Default 0.
    #[serde(default, deserialize_with = "ranged::<_, _, 0, 65_535>")]
    pub port: u16,
    /// A word that the script gets when the address is found.
    ///
    /// Default empty.
    #[serde(default)]
    pub tag: Box<str>,
}

fn first_group() -> u32 {
    1
}

impl Entry {
    fn address(&self) -> Address {
        Address { group: self.group, prefix: self.ip, port: self.port, tag: (*self.tag).into() }
    }
}

/// The parameters, and the groups of addresses.
struct Permissions {
    config: Config,
    /// The addresses of the configuration.
    own: Vec<Address>,
    /// Where the table is, when there is one.
    store: Option<Store>,
    /// What all workers know.
    known: Arc<Known<Groups>>,
    /// The same of trusted peers.
    trusted_store: Option<Store>,
    trusted: Arc<Known<Peers>>,
}

/// Is the source of the message, address and port, in group 1?
///
/// ```rhai
/// if !allow_source_address() { sl_send_reply(403, "Forbidden"); return; }
/// ```
fn allow_source_address(route: &mut Route, permissions: &Permissions) -> Result<bool, RouteError> {
    let peer = route.source.peer;
    Ok(permissions.find(route, Some(1), peer.ip(), peer.port())?.is_some())
}

/// Is the source of the message, address and port, in this group?
///
/// ```rhai
/// if allow_source_address(2) { info("one of our trunks"); }
/// ```
fn allow_source_address_of(
    route: &mut Route,
    permissions: &Permissions,
    group: i64,
) -> Result<bool, RouteError> {
    let (group, peer) = (group_of("allow_source_address", group)?, route.source.peer);
    Ok(permissions.find(route, Some(group), peer.ip(), peer.port())?.is_some())
}

/// The lowest group that the source of the message is in, or -1.
///
/// ```rhai
/// if allow_source_address_group() == -1 { sl_send_reply(403, "Forbidden"); return; }
/// ```
fn allow_source_address_group(
    route: &mut Route,
    permissions: &Permissions,
) -> Result<i64, RouteError> {
    let peer = route.source.peer;
    Ok(permissions.find(route, None, peer.ip(), peer.port())?.map_or(-1, i64::from))
}

/// Is the address with this port in the group? Port 0 is only in what stands for any port.
///
/// ```rhai
/// if allow_address(2, "192.0.2.7", 5060) { info("one of our trunks"); }
/// ```
fn allow_address(
    route: &mut Route,
    permissions: &Permissions,
    group: i64,
    ip: ImmutableString,
    port: i64,
) -> Result<bool, RouteError> {
    let (ip, port) = address_of("allow_address", &ip, port)?;
    let group = group_of("allow_address", group)?;
    Ok(permissions.find(route, Some(group), ip, port)?.is_some())
}

/// The lowest group that the address with this port is in, or -1.
///
/// ```rhai
/// let group = allow_address_group(src_ip(), src_port());
/// ```
fn allow_address_group(
    route: &mut Route,
    permissions: &Permissions,
    ip: ImmutableString,
    port: i64,
) -> Result<i64, RouteError> {
    let (ip, port) = address_of("allow_address_group", &ip, port)?;
    Ok(permissions.find(route, None, ip, port)?.map_or(-1, i64::from))
}

/// Is the sender trusted: by the address and transport of the message, its From and its Request-URI?
///
/// ```rhai
/// if !allow_trusted() { sl_send_reply(403, "Forbidden"); return; }
/// ```
fn allow_trusted(route: &mut Route, permissions: &Permissions) -> Result<bool, RouteError> {
    let source = route.source;
    permissions.is_trusted(route, source.peer.ip(), source.transport)
}

/// The same as if the message had come from this address over this transport.
///
/// ```rhai
/// if allow_trusted("192.0.2.7", "udp") { info("one of our trunks"); }
/// ```
fn allow_trusted_from(
    route: &mut Route,
    permissions: &Permissions,
    ip: ImmutableString,
    proto: ImmutableString,
) -> Result<bool, RouteError> {
    let (ip, _) = address_of("allow_trusted", &ip, 0)?;
    let transport = proto.parse().map_err(|_| RouteError::BadArgument {
        argument: "proto",
        reason: format!("allow_trusted(): `{proto}` is none of udp, tcp, tls, ws and wss"),
    })?;
    permissions.is_trusted(route, ip, transport)
}

impl Permissions {
    fn is_trusted(
        &self,
        route: &mut Route,
        ip: IpAddr,
        transport: Transport,
    ) -> Result<bool, RouteError> {
        let Some(store) = &self.trusted_store else { return Ok(false) };
        let table = &self.config.trusted_table;
        let question = || trusted::question(table);
        let peers = self.read(route, &self.trusted, store, question, |rows| {
            Peers::new(sensible(table, rows, trusted::peer))
        })?;
        let from = route.message.from()?.uri;
        let tag = peers.find(ip, transport, from, route.message.request_uri());
        let Some(tag) = tag.map(ImmutableString::from) else { return Ok(false) };
        self.note_tag(route, tag);
        Ok(true)
    }

    fn note_tag(&self, route: &mut Route, tag: ImmutableString) {
        if !self.config.peer_tag_avp.is_empty() {
            let name = ImmutableString::from(&*self.config.peer_tag_avp);
            route.variables.insert(name, Dynamic::from(tag));
        }
    }

    /// The group, this one or the lowest, that has an address; its tag becomes a variable of the message.
    fn find(
        &self,
        route: &mut Route,
        group: Option<u32>,
        ip: IpAddr,
        port: u16,
    ) -> Result<Option<u32>, RouteError> {
        let groups = self.groups(route)?;
        let Some((group, tag)) = groups.find(group, ip, port) else { return Ok(None) };
        self.note_tag(route, tag.into());
        Ok(Some(group))
    }

    fn groups(&self, route: &Route) -> Result<Arc<Groups>, RouteError> {
        let Some(store) = &self.store else { return Ok(self.known.value()) };
        let table = &self.config.address_table;
        self.read(
            route,
            &self.known,
            store,
            || table::question(table),
            |rows| {
                let read = sensible(table, rows, table::address);
                Groups::new(self.own.iter().cloned().chain(read))
            },
        )
    }

    /// What a table holds, read anew when it is too old. What is known is good enough while the store is away.
    fn read<T>(
        &self,
        route: &Route,
        known: &Known<T>,
        store: &Store,
        question: impl FnOnce() -> Statement,
        learn: impl FnOnce(&[Row]) -> T,
    ) -> Result<Arc<T>, RouteError> {
        let interval = Duration::from_secs(self.config.reload_interval.into());
        if !known.must_read(route.now(), interval) {
            return Ok(known.value());
        }
        let rows = route.wait(store.query(question()));
        match rows.and_then(|rows| Ok(rows?)) {
            Ok(rows) => Ok(known.learn(route.now(), learn(&rows))),
            Err(error) => match known.failed(route.now()) {
                Some(value) => {
                    tracing::warn!(%error, "permissions: a table is not read anew");
                    Ok(value)
                }
                None => Err(error),
            },
        }
    }
}

fn group_of(function: &'static str, group: i64) -> Result<u32, RouteError> {
    let range = "1 to 2147483647";
    let error = RouteError::OutOfRange { function, argument: "group", range, found: group };
    u32::try_from(group).ok().filter(|group| (1..=i32::MAX as u32).contains(group)).ok_or(error)
}

fn address_of(function: &'static str, ip: &str, port: i64) -> Result<(IpAddr, u16), RouteError> {
    let range = "0 to 65535";
    let error = RouteError::OutOfRange { function, argument: "port", range, found: port };
    let port = u16::try_from(port).map_err(|_| error)?;
    let parsed = ip.trim_matches(['[', ']']).parse().map_err(|_| RouteError::BadArgument {
        argument: "ip",
        reason: format!("{function}(): `{ip}` is no IP address"),
    })?;
    Ok((parsed, port))
}

#[cfg(test)]
mod tests;
