use std::rc::Rc;

use super::*;
use crate::script::router::recording::message_route;
use crate::store::Statement;

const ADDRESSES: &str = "
    peer_tag_avp = 'peer'
    [[address]]
    ip = '192.0.2.0/28'
    tag = 'office'
    [[address]]
    group = 2
    ip = '192.0.2.7'
    port = 5062
    tag = 'trunk'
";

fn permissions() -> Permissions {
    with_store(ADDRESSES, None)
}

fn with_store(toml: &str, store: Option<Store>) -> Permissions {
    let config: Config = Params::from_toml(toml).parse().unwrap();
    let own: Vec<_> = config.address.iter().map(Entry::address).collect();
    let known = Arc::new(Known::default());
    known.begin(Groups::new(own.iter().cloned()), store.is_some());
    let trusted_store = store.clone().filter(|_| !config.trusted_table.is_empty());
    Permissions { config, own, store, known, trusted_store, trusted: Arc::default() }
}

/// A store with these rows of `address`.
fn stored(rows: &[&str]) -> Store {
    let store = Store::in_memory(std::slice::from_ref(&ADDRESS)).unwrap();
    let insert = "INSERT INTO address (grp, ip_addr, mask, port, tag) VALUES";
    let inserts = rows.iter().map(|row| Statement::new(format!("{insert} ({row})"))).collect();
    message_route(&Rc::default()).wait(store.execute(inserts)).unwrap().unwrap();
    store
}

#[test]
fn the_store_has_more_addresses() {
    let rows = [
        "2, '192.0.2.7', 32, 0, 'stored'",
        "3, 'host.example', 32, 0, ''",
        "3, '192.0.2.7', 33, 0, NULL",
        "0, '192.0.2.7', 32, 0, NULL",
        "4, '192.0.2.0', 24, 5062, NULL",
    ];
    let toml = "address_table = 'address'\npeer_tag_avp = 'peer'\n[[address]]\nip = '10.0.0.1'";
    let permissions = with_store(toml, Some(stored(&rows)));
    let mut route = message_route(&Rc::default());
    assert_eq!(allow_source_address_group(&mut route, &permissions), Ok(2));
    assert_eq!(route.variables["peer"].clone().into_string(), Ok("stored".to_owned()));
    assert_eq!(allow_source_address_of(&mut route, &permissions, 4), Ok(true));
    assert_eq!(allow_source_address_of(&mut route, &permissions, 3), Ok(false));
    assert_eq!(allow_address(&mut route, &permissions, 1, "10.0.0.1".into(), 0), Ok(true));
}

#[test]
fn nobody_is_allowed_while_the_table_was_never_read() {
    let store = Store::in_memory(&[]).unwrap();
    let permissions = with_store("address_table = 'address'", Some(store));
    let mut route = message_route(&Rc::default());
    assert!(matches!(allow_source_address(&mut route, &permissions), Err(RouteError::Store(_))));
}

#[test]
fn the_source_is_looked_for_in_a_group() {
    let (permissions, mut route) = (permissions(), message_route(&Rc::default()));
    assert_eq!(allow_source_address(&mut route, &permissions), Ok(true));
    assert_eq!(route.variables["peer"].clone().into_string(), Ok("office".to_owned()));
    assert_eq!(allow_source_address_of(&mut route, &permissions, 2), Ok(true));
    assert_eq!(route.variables["peer"].clone().into_string(), Ok("trunk".to_owned()));
    assert_eq!(allow_source_address_of(&mut route, &permissions, 3), Ok(false));
    assert_eq!(allow_source_address_group(&mut route, &permissions), Ok(1));
    route.source.peer = "198.51.100.1:5060".parse().unwrap();
    assert_eq!(allow_source_address(&mut route, &permissions), Ok(false));
    assert_eq!(allow_source_address_group(&mut route, &permissions), Ok(-1));
}

#[test]
fn any_address_may_be_looked_for() {
    let (permissions, mut route) = (permissions(), message_route(&Rc::default()));
    let mut is_in =
        |group, ip: &str, port| allow_address(&mut route, &permissions, group, ip.into(), port);
    assert_eq!(is_in(2, "192.0.2.7", 5062), Ok(true));
    assert_eq!(is_in(2, "192.0.2.7", 0), Ok(false));
    assert_eq!(is_in(1, "192.0.2.1", 0), Ok(true));
    for (group, ip, port) in [
        (0, "192.0.2.1", 1),
        (-1, "192.0.2.1", 1),
        (1 << 31, "192.0.2.1", 1),
        (1, "host", 1),
        (1, "", 1),
        (1, "192.0.2.1", 65_536),
        (1, "192.0.2.1", -1),
    ] {
        assert_eq!(is_in(group, ip, port).unwrap_err().status().0, 500, "{group} {ip} {port}");
    }
    let group = allow_address_group(&mut route, &permissions, "192.0.2.15".into(), 9);
    assert_eq!(group, Ok(1));
    assert_eq!(allow_address_group(&mut route, &permissions, "192.0.2.16".into(), 9), Ok(-1));
}

#[test]
fn parameters_have_their_ranges() {
    for bad in [
        "address_table = 'a b'",
        "reload_interval = 0",
        "[[address]]\ngroup = 1",
        "[[address]]\nip = '192.0.2.1/33'",
        "[[address]]\nip = 'host'",
        "[[address]]\nip = '192.0.2.1'\ngroup = 0",
        "[[address]]\nip = '192.0.2.1'\nport = 65536",
        "[[address]]\nip = '192.0.2.1'\nmask = 24",
    ] {
        assert!(Params::from_toml(bad).parse::<Config>().is_err(), "{bad}");
    }
    assert_eq!(Params::none().parse(), Ok(Config::default()));
}

#[test]
fn who_is_in_the_table_of_peers_is_trusted() {
    let store = Store::in_memory(std::slice::from_ref(&TRUSTED)).unwrap();
    let insert = "INSERT INTO trusted (src_ip, proto, from_pattern, tag, priority) VALUES \
                  ('192.0.2.7', 'any', NULL, 'low', 1), ('192.0.2.7', 'udp', '^sip:juliet@', 'high', 9)";
    let mut route = message_route(&Rc::default());
    route.wait(store.execute(vec![Statement::new(insert)])).unwrap().unwrap();
    let permissions = with_store("trusted_table = 'trusted'\npeer_tag_avp = 'peer'", Some(store));
    let tag = |route: &Route| route.variables["peer"].clone().into_string().unwrap();
    assert_eq!(allow_trusted(&mut route, &permissions), Ok(true));
    assert_eq!(tag(&route), "high");
    let from = |route: &mut Route, ip: &str, proto: &str| {
        allow_trusted_from(route, &permissions, ip.into(), proto.into())
    };
    assert_eq!(from(&mut route, "192.0.2.7", "tcp"), Ok(true));
    assert_eq!(tag(&route), "low");
    assert_eq!(from(&mut route, "192.0.2.8", "udp"), Ok(false));
    assert!(from(&mut route, "host", "udp").is_err() && from(&mut route, "::1", "x").is_err());
    assert_eq!(allow_trusted(&mut route, &self::permissions()), Ok(false), "there is no table");
    let missing = Store::in_memory(&[]).unwrap();
    let missing = with_store("trusted_table = 'trusted'", Some(missing));
    assert!(allow_trusted(&mut route, &missing).is_err());
}
