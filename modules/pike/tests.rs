use std::rc::Rc;

use super::*;
use crate::script::router::recording::message_route;

fn pike(density: u32) -> Pike {
    let config =
        Config { reqs_density_per_unit: density, sampling_time_unit: 60, ..Config::default() };
    Pike { rate: config.rate(), sources: Arc::default() }
}

#[test]
fn a_source_that_sends_too_much_is_noticed_and_others_are_not() {
    let pike = pike(2);
    let mut route = message_route(&Rc::default());
    for expected in [true, true, false, false] {
        assert_eq!(pike_check_req(&mut route, &pike), Ok(expected));
    }
    route.source.peer = "192.0.2.8:5060".parse().unwrap();
    assert_eq!(pike_check_req(&mut route, &pike), Ok(true));
    assert_eq!(pike_check_ip(&mut route, &pike, "192.0.2.7".into()), Ok(false));
    assert_eq!(pike_check_ip(&mut route, &pike, "[2001:db8::1]".into()), Ok(true));
}

#[test]
fn an_address_must_be_one() {
    let mut route = message_route(&Rc::default());
    for bad in ["", "host", "192.0.2.1:5060", "192.0.2"] {
        let error = pike_check_ip(&mut route, &pike(1), bad.into()).unwrap_err();
        assert_eq!(error.status().0, 500, "{bad}");
    }
}

#[test]
fn workers_count_together() {
    let load_one = |commons: &crate::script::commons::Commons| {
        let mut exports = Exports::new(commons.clone());
        load(&Params::none(), &mut exports).unwrap();
        exports.common(Sources::default)
    };
    let commons = crate::script::commons::Commons::default();
    assert!(Arc::ptr_eq(&load_one(&commons), &load_one(&commons)));
}

#[test]
fn parameters_have_their_ranges() {
    for bad in [
        "sampling_time_unit = 0",
        "reqs_density_per_unit = 0",
        "remove_latency = 0",
        "max_sources = 1",
        "density = 1",
    ] {
        assert!(Params::from_toml(bad).parse::<Config>().is_err(), "{bad}");
    }
    assert_eq!(Params::none().parse(), Ok(Config::default()));
}
