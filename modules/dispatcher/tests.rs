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
    let config = config(DESTINATIONS);
    Dispatcher { sets: Sets::new(&config.destination), healths: Arc::default(), threshold: 1 }
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
    for algorithm in [-1, 5, 7, 10, 99] {
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
    let prober = probe::Prober::new(&config(DESTINATIONS), dispatcher.healths.clone());
    a_route().wait(prober.probe(router.clone())).unwrap();
    assert!(router.journal().is_empty(), "nobody is marked");
    ds_select_dst(&mut route, &dispatcher, 1, 8).unwrap();
    ds_mark_dst(&mut route, &dispatcher).unwrap();
    a_route().wait(prober.probe(router.clone())).unwrap();
    assert_eq!(router.journal(), ["request OPTIONS sip:192.0.2.7:5062"]);
    assert_eq!(ds_is_active(&mut route, &dispatcher, 1), Ok(true));
    let all = config(&format!("ds_probing_mode = 1\n{DESTINATIONS}"));
    a_route().wait(probe::Prober::new(&all, dispatcher.healths).probe(router.clone())).unwrap();
    assert_eq!(router.journal().len(), 3);
}

#[test]
fn parameters_have_their_ranges() {
    for bad in [
        "ds_ping_interval = 86401",
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
