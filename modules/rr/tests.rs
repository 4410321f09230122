use std::rc::Rc;

use super::*;
use crate::script::commons::Commons;
use crate::script::export::Kind;
use crate::script::router::recording::{request, route};
use crate::sip::HeaderId;
use crate::sip::proxy::record_route::Hop;
use crate::sip::transport::Transport;

fn settings() -> Settings {
    with_received(false)
}

/// Our settings when `[modules.path]` says `use_received`.
fn with_received(is_used: bool) -> Settings {
    let commons = Commons::default();
    let toml = format!("use_received = {is_used}");
    let path = crate::modules::path::MODULE;
    (path.load)(&Params::from_toml(&toml), &mut Exports::new(commons.clone())).unwrap();
    let config = Config { enable_seal: false, ..Config::default() };
    Settings { sealer: config.sealer(), config, received: commons.part(Received::default) }
}

/// A request with these Route values; `tag` is that of To.
fn with_route(uri: &str, tag: &str, routes: &str) -> Box<Route> {
    let mut message = request("NOTIFY", uri, &format!("Route: {routes}\r\n"));
    message.set_header("To", &format!("<sip:b@b.example>{tag}")).unwrap();
    route(Kind::Request, message, &Rc::default())
}

fn plain() -> Box<Route> {
    route(Kind::Request, request("SUBSCRIBE", "sip:b@b.example", ""), &Rc::default())
}

/// The Record-Route of a request that stays on UDP, without our address and the tag.
fn recorded(route: &Route) -> Option<String> {
    let hop = Hop { transport: Transport::Udp, sent_by: "us" };
    let values = route.record_route.as_ref()?.values(&route.message, hop, hop);
    Some(values.join(", ").replace(";ftag=a1", ""))
}

#[test]
fn a_recorded_request_carries_what_was_added_before_and_after() {
    let settings = settings();
    let mut route = plain();
    add_rr_param(&mut route, &settings, ";a=1".into()).unwrap();
    assert_eq!(recorded(&route), None, "a parameter alone records nothing");
    record_route(&mut route, &settings).unwrap();
    record_route_with(&mut route, &settings, ";b=2".into()).unwrap();
    add_rr_param(&mut route, &settings, "c".into()).unwrap();
    assert_eq!(recorded(&route).unwrap(), "<sip:us;lr;a=1;b=2;c>");
    remove_record_route(&mut route, &settings).unwrap();
    assert_eq!(recorded(&route), None);
    record_route(&mut route, &settings).unwrap();
    assert_eq!(recorded(&route).unwrap(), "<sip:us;lr>");
}

#[test]
fn presets_stand_instead_of_our_addresses() {
    let settings = settings();
    let mut route = plain();
    record_preset(&mut route, &settings, "edge.example:5090;transport=tcp".into()).unwrap();
    assert_eq!(recorded(&route).unwrap(), "<sip:edge.example:5090;transport=tcp;lr>");
    record_presets(&mut route, &settings, "10.0.0.1".into(), "[2001:db8::1]:5060".into()).unwrap();
    let both = "<sip:10.0.0.1;r2=on;lr>, <sip:[2001:db8::1]:5060;r2=on;lr>";
    assert_eq!(recorded(&route).unwrap(), both);
}

#[test]
fn the_parameters_decide_how_it_looks() {
    let config =
        Params::from_toml("append_fromtag = false\nenable_full_lr = true\nenable_seal = false");
    let settings = Settings { config: config.parse().unwrap(), ..settings() };
    let mut route = plain();
    record_route(&mut route, &settings).unwrap();
    assert_eq!(recorded(&route).unwrap(), "<sip:us;lr=on>");
    assert!(Params::from_toml("enable_full_lr = 1").parse::<Config>().is_err());
}

#[test]
fn nothing_breaks_out_of_the_uri() {
    let settings = settings();
    let mut route = plain();
    for bad in ["", ";", ";;a", "a>", "a=1?b=c", "a b", "a\r\nB: c", "a,<sip:x>", "a@b", "a=\"b\""]
    {
        let found = record_route_with(&mut route, &settings, bad.into());
        assert!(found.is_err(), "{bad}");
        assert!(add_rr_param(&mut route, &settings, bad.into()).is_err(), "{bad}");
    }
    for bad in ["", "a@b", "h?x=y", "h:port", "h>", "h h", ":5060"] {
        assert!(record_preset(&mut route, &settings, bad.into()).is_err(), "{bad}");
    }
    assert_eq!(route.record_route, None);
}

#[test]
fn a_dialogs_route_is_followed_and_leaves_its_parameters() {
    let settings = settings();
    let routes = "<sip:sip.example;lr;ftag=a1;nat=yes>, <sip:next.example;lr>";
    let mut route = with_route("sip:b@ub.example", ";tag=b1", routes);
    let check = |route: &mut Route, pattern: &str| {
        let pattern = Pattern(Rc::new(pattern.parse().unwrap()));
        check_route_param(route, &settings, pattern).unwrap()
    };
    assert!(!check(&mut route, "nat=yes"), "nothing is known yet");
    assert_eq!(loose_route(&mut route, &settings), Ok(true));
    assert_eq!(route.destination.as_deref(), Some("sip:next.example;lr"));
    assert_eq!(route.message.values(HeaderId::Route).count(), 1);
    assert!(check(&mut route, ";nat=yes$") && check(&mut route, "^;lr;"));
    assert!(!check(&mut route, "nat=no"));
    let mut is_direction = |direction: &str| is_direction(&mut route, &settings, direction.into());
    assert_eq!(is_direction("downstream"), Ok(true));
    assert_eq!(is_direction("upstream"), Ok(false));
    assert!(is_direction("sideways").is_err());
}

#[test]
fn the_callees_request_goes_upstream() {
    let mut route = with_route("sip:a@ua.example", ";tag=b1", "<sip:sip.example;lr;ftag=other>");
    let settings = settings();
    assert_eq!(loose_route(&mut route, &settings), Ok(true));
    assert_eq!(route.destination, None, "the Request-URI is next");
    assert_eq!(is_direction(&mut route, &settings, "upstream".into()), Ok(true));
}

#[test]
fn without_a_route_that_leads_on_the_script_decides() {
    let settings = settings();
    assert_eq!(loose_route(&mut plain(), &settings), Ok(false));
    let mut outbound = with_route("sip:b@b.example", "", "<sip:sip.example;lr>");
    assert_eq!(loose_route(&mut outbound, &settings), Ok(false));
    assert_eq!(outbound.destination, None);
    let third = "<sip:sip.example;lr>, <sip:third.example;lr>";
    let mut preloaded = with_route("sip:b@b.example", "", third);
    assert_eq!(
        loose_route(&mut preloaded, &settings),
        Ok(true),
        "the script must look at has_totag()"
    );
}

#[test]
fn rfc3327_a_received_address_in_our_route_is_used_when_it_may_be() {
    let routes = "<sip:sip.example;lr;received=sip:192.0.2.9:40000%3Btransport%3Dtcp>";
    let mut used = with_route("sip:b@10.0.0.9", "", routes);
    assert_eq!(loose_route(&mut used, &with_received(true)), Ok(true));
    assert_eq!(used.destination.as_deref(), Some("sip:192.0.2.9:40000;transport=tcp"));
    let mut unused = with_route("sip:b@10.0.0.9", "", routes);
    assert_eq!(loose_route(&mut unused, &settings()), Ok(false));
    assert_eq!(unused.destination, None);
}

#[test]
fn a_broken_route_is_the_senders_fault() {
    let mut route = with_route("sip:b@b.example", ";tag=b1", "<sip:sip.example;lr>, <sip:@>");
    let error = loose_route(&mut route, &settings()).unwrap_err();
    assert_eq!(error.status().0, 400);
}

#[test]
fn a_route_that_we_have_recorded_is_told_from_one_that_was_made_up() {
    let sealing = Settings { config: Config::default(), ..settings() };
    let mut invite = plain();
    record_route_with(&mut invite, &sealing, ";b=2".into()).unwrap();
    let recorded = recorded(&invite).unwrap();
    let seal = recorded.split(";seal=").nth(1).and_then(|rest| rest.get(..16)).expect("a seal");
    for (params, is_ours) in [
        (format!(";seal={seal};b=2"), true),
        (";seal=0123456789abcdef".to_owned(), false),
        (String::new(), false),
    ] {
        let own = format!("<sip:sip.example;lr{params}>");
        let mut bye = with_route("sip:b@far.example", ";tag=b1", &own);
        assert!(!is_recorded(&mut bye, &sealing).unwrap(), "nothing is followed yet");
        assert!(loose_route(&mut bye, &sealing).unwrap());
        assert_eq!(is_recorded(&mut bye, &sealing).unwrap(), is_ours, "{own}");
    }
}

#[test]
fn a_secret_is_long_enough() {
    let read = |toml: &str| Params::from_toml(toml).parse::<Config>();
    assert!(read("secret = \"0123456789abcdef\"").is_ok());
    assert!(read("secret = \"short\"").is_err());
}
