use std::rc::Rc;

use super::*;
use crate::script::commons::Commons;
use crate::script::export::Kind;
use crate::script::router::recording::{request, route};
use crate::sip::transport::Transport;

fn register(more: &str) -> Box<Route> {
    route(Kind::Request, request("REGISTER", "sip:sip.example", more), &Rc::default())
}

fn paths(route: &Route) -> Vec<String> {
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    route.message.values(HeaderId::Path).map(text).collect()
}

const NONE: &Config = &Config { use_received: false };

#[test]
fn rfc3327_s5_2_our_address_stands_on_top_of_other_proxies() {
    let mut route = register("Path: <sip:first.example;lr>\r\n");
    add_path(&mut route, NONE).unwrap();
    assert_eq!(paths(&route), ["<sip:192.0.2.1:5060;lr>", "<sip:first.example;lr>"]);
    let mut route = register("");
    add_path_of(&mut route, NONE, "edge 1".into()).unwrap();
    assert_eq!(paths(&route), ["<sip:edge%201@192.0.2.1:5060;lr>"]);
}

#[test]
fn the_source_is_named_so_that_it_stays_one_parameter() {
    let mut route = register("");
    route.source.transport = Transport::Tcp;
    add_path_received(&mut route, NONE).unwrap();
    let expected = "<sip:192.0.2.1:5060;transport=tcp;lr;\
        received=sip:192.0.2.7:5062%3Btransport%3Dtcp>";
    assert_eq!(paths(&route), [expected]);
    let mut route = register("");
    add_path_received_of(&mut route, NONE, "e".into()).unwrap();
    assert!(paths(&route)[0].starts_with("<sip:e@192.0.2.1:5060;lr;received=sip:"));
}

#[test]
fn the_parameter_reaches_loose_route() {
    let commons = Commons::default();
    let received = commons.part(Received::default);
    for (toml, is_used) in [("use_received = true", true), ("", false)] {
        load(&Params::from_toml(toml), &mut Exports::new(commons.clone())).unwrap();
        assert_eq!(received.is_used(), is_used);
    }
    assert!(Params::from_toml("use_receive = true").parse::<Config>().is_err());
}
