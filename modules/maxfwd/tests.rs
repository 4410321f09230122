use std::rc::Rc;

use super::*;
use crate::script::export::Kind;
use crate::script::router::recording::{request, route};

/// A route of a request with this Max-Forwards.
fn with_hops(hops: Option<&str>) -> Box<Route> {
    let mut message = request("OPTIONS", "sip:a@sip.example", "");
    match hops {
        Some(hops) => message.set_header("Max-Forwards", hops).unwrap(),
        None => assert_eq!(message.remove_headers("Max-Forwards"), 1),
    }
    route(Kind::Request, message, &Rc::default())
}

/// What `process_maxfwd(10)` says, and the Max-Forwards that it leaves.
fn processed(hops: Option<&str>) -> (bool, Option<u8>) {
    let mut route = with_hops(hops);
    let goes_on = process_maxfwd(&mut route, &Config::default(), 10).unwrap();
    (goes_on, route.message.max_forwards().unwrap())
}

#[test]
fn rfc3261_16_6_3_each_hop_is_counted() {
    assert_eq!(processed(Some("70")), (true, Some(69)));
    assert_eq!(processed(Some("1")), (true, Some(0)));
    assert_eq!(processed(Some("0")), (false, Some(0)), "no hops left");
    assert_eq!(processed(None), (true, Some(10)), "a request without gets the limit");
    assert_eq!(processed(Some("255")), (true, Some(70)), "cut to max_limit");
}

#[test]
fn what_is_no_number_is_the_senders_fault() {
    for garbage in ["", "x", "-1", "256", "99999999999999999999", "7 0"] {
        let mut route = with_hops(Some(garbage));
        let error = process_maxfwd(&mut route, &Config::default(), 10).unwrap_err();
        assert_eq!(error.status().0, 400, "{garbage}");
        let error = is_maxfwd_lt(&mut route, &Config::default(), 10).unwrap_err();
        assert_eq!(error.status().0, 400, "{garbage}");
    }
}

#[test]
fn few_hops_are_noticed() {
    let is_lt = |hops, limit| is_maxfwd_lt(&mut with_hops(hops), &Config::default(), limit);
    assert_eq!(is_lt(Some("2"), 3), Ok(true));
    assert_eq!(is_lt(Some("3"), 3), Ok(false));
    assert_eq!(is_lt(None, 3), Ok(false), "it does not say");
}

#[test]
fn limits_are_1_to_255() {
    for limit in [0, -1, 256, i64::MAX] {
        let error = process_maxfwd(&mut with_hops(None), &Config::default(), limit).unwrap_err();
        assert_eq!(error.status().0, 500, "{limit}");
        assert!(is_maxfwd_lt(&mut with_hops(None), &Config::default(), limit).is_err());
    }
    for toml in ["max_limit = 0", "max_limit = 256", "max_limits = 1"] {
        assert!(Params::from_toml(toml).parse::<Config>().is_err(), "{toml}");
    }
    assert_eq!(Params::from_toml("max_limit = 255").parse(), Ok(Config { max_limit: 255 }));
}
