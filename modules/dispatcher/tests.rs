use std::rc::Rc;

use super::*;
use crate::script::router::recording::{Recording, message_route};

const DESTINATIONS: &str = "
    ds_ping_interval = 10
    [[destination]]
    uri = 'sip:192.0.2.7:5062'
    [[destination]]
    uri = 'sip:b.example'
    [[destination]]
    set = 2
    uri = 'sip:c.example'
";

fn config(toml: &str) -> Config {
    Params::from_toml(toml).parse().unwrap()
}

fn dispatcher() -> Dispatcher {
    dispatcher_of(config(DESTINATIONS), None)
}

fn dispatcher_of(config: Config, store: Option<Store>) -> Dispatcher {
    let known = Arc::<Known>::default();
    known.begin(&config.destination);
    Dispatcher { config, known, store, healths: Arc::default(), loads: Arc::default() }
}

fn a_route() -> Box<Route> {
    message_route(&Rc::default())
}

#[test]
fn one_destination_is_tried_after_the_other() {
    let (dispatcher, mut route) = (dispatcher(), a_route());
    assert_eq!(ds_select_dst(&mut route, &dispatcher, 1, 4), Ok(true));
    assert_eq!(route.destination.as_deref(), Some("sip:192.0.2.7:5062"));
    assert_eq!(ds_next_dst(&mut route, &dispatcher), Ok(true));
    assert_eq!(route.destination.as_deref(), Some("sip:b.example"));
    assert_eq!(ds_next_dst(&mut route, &dispatcher), Ok(false));
    assert_eq!(ds_next_dst(&mut route, &dispatcher), Ok(false));
    assert_eq!(ds_mark_dst(&mut route, &dispatcher), Ok(false), "it goes to none now");
    let mut second = a_route();
    assert_eq!(ds_select_dst(&mut second, &dispatcher, 1, 4), Ok(true));
    assert_eq!(second.destination.as_deref(), Some("sip:b.example"), "the turns are shared");
}

#[test]
fn what_is_inactive_is_left_out() {
    let (dispatcher, mut route) = (dispatcher(), a_route());
    ds_select_dst(&mut route, &dispatcher, 1, 8).unwrap();
    assert_eq!(ds_mark_dst(&mut route, &dispatcher), Ok(true));
    let mut next = a_route();
    ds_select_dst(&mut next, &dispatcher, 1, 8).unwrap();
    assert_eq!(next.destination.as_deref(), Some("sip:b.example"));
    assert_eq!(ds_mark_dst_as(&mut next, &dispatcher, "d".into()), Ok(true));
    assert_eq!(ds_is_active(&mut route, &dispatcher, 1), Ok(false));
    assert_eq!(ds_is_active(&mut route, &dispatcher, 2), Ok(true));
    let mut none = a_route();
    assert_eq!(ds_select_dst(&mut none, &dispatcher, 1, 8), Ok(false));
    assert_eq!(none.destination, None);
}

#[test]
fn sets_and_algorithms_are_checked() {
    let (dispatcher, mut route) = (dispatcher(), a_route());
    for set in [0, 3, -1, i64::MAX] {
        assert_eq!(ds_select_dst(&mut route, &dispatcher, set, 4), Ok(false), "{set}");
        assert_eq!(ds_list_exists(&mut route, &dispatcher, set), Ok(false));
    }
    assert_eq!(ds_list_exists(&mut route, &dispatcher, 2), Ok(true));
    for algorithm in [-1, 5, 7, 11, 99] {
        let error = ds_select_dst(&mut route, &dispatcher, 1, algorithm).unwrap_err();
        assert_eq!(error.status().0, 500, "{algorithm}");
    }
    assert!(ds_next_dst(&mut a_route(), &dispatcher).is_err(), "nothing was selected");
    assert!(ds_mark_dst_as(&mut route, &dispatcher, "x".into()).is_err());
}

#[test]
fn a_source_is_a_destination_by_address_and_port() {
    let (dispatcher, mut route) = (dispatcher(), a_route());
    assert_eq!(ds_is_from_list(&mut route, &dispatcher), Ok(true));
    assert_eq!(ds_is_from_list_of(&mut route, &dispatcher, 1), Ok(true));
    assert_eq!(ds_is_from_list_of(&mut route, &dispatcher, 2), Ok(false));
    route.source.peer.set_port(5060);
    assert_eq!(ds_is_from_list(&mut route, &dispatcher), Ok(false));
}

#[test]
fn who_is_marked_is_asked_and_comes_back() {
    let router = Rc::<Recording>::default();
    let (dispatcher, mut route) = (dispatcher(), a_route());
    let prober = |config: &Config| {
        let (healths, known) = (dispatcher.healths.clone(), dispatcher.known.clone());
        Rc::new(probe::Prober::new(config, healths, known, None)).probe(router.clone())
    };
    let marked = config(DESTINATIONS);
    a_route().wait(prober(&marked)).unwrap();
    assert!(router.journal().is_empty(), "nobody is marked");
    ds_select_dst(&mut route, &dispatcher, 1, 8).unwrap();
    ds_mark_dst(&mut route, &dispatcher).unwrap();
    a_route().wait(prober(&marked)).unwrap();
    assert_eq!(router.journal(), ["request OPTIONS sip:192.0.2.7:5062"]);
    assert_eq!(ds_is_active(&mut route, &dispatcher, 1), Ok(true));
    let all = config(&format!("ds_probing_mode = 1\n{DESTINATIONS}"));
    a_route().wait(prober(&all)).unwrap();
    assert_eq!(router.journal().len(), 3);
}

#[test]
fn parameters_have_their_ranges() {
    for bad in [
        "ds_ping_interval = 86401",
        "table_name = 'a b'",
        "ds_hash_expire = 0",
        "ds_probing_mode = 2",
        "ds_ping_method = 'INVITE'",
        "ds_ping_method = 'A B'",
        "ds_ping_from = 'nobody'",
        "ds_probing_threshold = 0",
        "ds_inactive_threshold = 0",
        "[[destination]]\nset = 1",
        "[[destination]]\nuri = 'host'",
        "[[destination]]\nuri = 'sip:a?b=c'",
        "[[destination]]\nuri = 'sip:a'\nweight = 1001",
    ] {
        assert!(Params::from_toml(bad).parse::<Config>().is_err(), "{bad}");
    }
    assert_eq!(Params::none().parse(), Ok(Config::default()));
}

fn insert(store: &Store, sql: &'static str) {
    let changed = store.execute(vec![crate::store::Statement::new(sql)]);
    assert!(a_route().wait(changed).unwrap().is_ok());
}

#[test]
fn destinations_of_the_store_are_read_once_and_again_when_asked() {
    let store = Store::in_memory(std::slice::from_ref(&DISPATCHER)).unwrap();
    insert(&store, "INSERT INTO dispatcher (setid, destination) VALUES (7, 'sip:a')");
    let config = config("table_name = 'dispatcher'\nds_ping_interval = 1\nds_probing_mode = 1");
    let dispatcher = dispatcher_of(config.clone(), Some(store.clone()));
    let router = Rc::<Recording>::default();
    let (healths, known) = (dispatcher.healths.clone(), dispatcher.known.clone());
    let prober = probe::Prober::new(&config, healths, known, Some(store.clone()));
    a_route().wait(Rc::new(prober).probe(router.clone())).unwrap();
    assert_eq!(router.journal(), ["request OPTIONS sip:a"], "the table is read for it");
    insert(&store, "INSERT INTO dispatcher (setid, destination, priority) VALUES (7, 'sip:b', 9)");
    let mut route = a_route();
    let select = |route: &mut Route| {
        assert_eq!(ds_select_dst(route, &dispatcher, 7, 8), Ok(true));
        route.destination.clone().unwrap()
    };
    assert_eq!(select(&mut route), "sip:a");
    assert_eq!(ds_reload(&mut route, &dispatcher), Ok(true));
    assert_eq!(select(&mut route), "sip:b");
    insert(&store, "DROP TABLE dispatcher");
    assert_eq!(ds_reload(&mut route, &dispatcher), Ok(false));
    assert_eq!(select(&mut route), "sip:b", "what was read stays");
    assert_eq!(ds_reload(&mut route, &self::dispatcher()), Ok(false), "there is no table");
}

#[test]
fn a_table_that_was_never_read_is_an_error_unless_there_are_others() {
    let store = Store::in_memory(&[]).unwrap();
    let alone = dispatcher_of(config("table_name = 'dispatcher'"), Some(store.clone()));
    assert!(ds_select_dst(&mut a_route(), &alone, 1, 4).is_err());
    assert!(ds_select_dst(&mut a_route(), &alone, 1, 4).is_err(), "nothing is known");
    let own = config(&format!("table_name = 'dispatcher'\n{DESTINATIONS}"));
    let own = dispatcher_of(own, Some(store));
    assert_eq!(ds_select_dst(&mut a_route(), &own, 1, 4), Ok(true));
}

#[test]
fn calls_go_where_the_fewest_are() {
    use crate::script::export::Kind;
    use crate::script::router::recording::{request, route};
    let destinations = DESTINATIONS.replace("b.example'", "b.example'\nmaxload = 1");
    let dispatcher = dispatcher_of(config(&destinations), None);
    let select = |method: &str, number: u32| {
        let mut message = request(method, "sip:x", "");
        message.set_header("Call-ID", &number.to_string()).unwrap();
        let mut route = route(Kind::Request, message, &Rc::default());
        let seed = crate::sip::transaction::KeySeed::new();
        route.key = seed.by_branch(&format!("z9hG4bK{number}"), "h", None, "INVITE");
        assert_eq!(ds_select_dst(&mut route, &dispatcher, 1, 10), Ok(true));
        let destination = route.destination.clone().unwrap();
        (if destination.contains('b') { "b" } else { "a" }, route)
    };
    let mut first = select("INVITE", 1);
    assert!(first.1.has_transaction, "its end is noticed");
    assert_eq!((first.0, select("MESSAGE", 8).0, select("MESSAGE", 9).0), ("a", "b", "b"));
    assert_eq!((select("INVITE", 2).0, select("INVITE", 3).0), ("b", "a"));
    assert_eq!(select("INVITE", 4).0, "a", "b has as many as it may");
    let now = first.1.now();
    assert_eq!(ds_next_dst(&mut first.1, &dispatcher), Ok(true));
    let load = |uri: &str| dispatcher.loads.of(now, uri);
    assert_eq!((load("sip:192.0.2.7:5062"), load("sip:b.example")), (2, 2), "it goes on to b");
}
