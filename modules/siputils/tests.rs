use std::rc::Rc;

use bytes::Bytes;

use super::*;
use crate::script::export::Kind;
use crate::script::router::recording::{Recording, request, route};
use crate::sip::Message;

/// A route of an OPTIONS to `uri` with these header lines.
fn options(uri: &str, more: &str, router: &Rc<Recording>) -> Box<Route> {
    route(Kind::Request, request("OPTIONS", uri, more), router)
}

/// A route of a 200 with these header lines.
fn reply(more: &str) -> Box<Route> {
    let text = format!("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n{more}\r\n");
    route(Kind::OnReply, Message::parse(Bytes::from(text)).unwrap(), &Rc::default())
}

#[test]
fn requests_are_told_from_replies() {
    let (mut request, mut reply) = (options("sip:b", "", &Rc::default()), reply(""));
    let config = Config::default();
    assert_eq!(is_request(&mut request, &config), Ok(true));
    assert_eq!(is_reply(&mut request, &config), Ok(false));
    assert_eq!(is_request(&mut reply, &config), Ok(false));
    assert_eq!(is_reply(&mut reply, &config), Ok(true));
}

#[test]
fn the_first_hop_has_one_via_or_our_record_route_on_top() {
    let first = |route: &mut Route| is_first_hop(route, &Config::default());
    assert_eq!(first(&mut options("sip:b", "", &Rc::default())), Ok(true));
    let via = "Via: SIP/2.0/UDP 192.0.2.8\r\n";
    assert_eq!(first(&mut options("sip:b", via, &Rc::default())), Ok(false));
    for (lines, is_it) in [
        ("", false),
        ("Record-Route: <sip:sip.example;lr>, <sip:b;lr>\r\n", true),
        ("Record-Route: <sip:b;lr>, <sip:sip.example;lr>\r\n", false),
    ] {
        assert_eq!(first(&mut reply(lines)), Ok(is_it), "{lines}");
    }
    assert!(first(&mut reply("Record-Route: nonsense <\r\n")).is_err());
}

#[test]
fn supported_options_are_found_in_lists() {
    let mut route = options("sip:b", "k: path,  Timer\r\nSupported: gruu\r\n", &Rc::default());
    for (option, is_it) in [("path", true), ("timer", true), ("gruu", true), ("pat", false)] {
        assert_eq!(is_supported(&mut route, &Config::default(), option.into()), Ok(is_it));
    }
}

#[test]
fn options_for_the_server_are_answered_with_what_it_takes() {
    let router = Rc::<Recording>::default();
    let config = Config { options_support: "path".into(), ..Config::default() };
    let mut route = options("sip:sip.example", "", &router);
    assert_eq!(options_reply(&mut route, &config), Ok(true));
    assert!(route.is_answered && route.reply_headers.is_empty());
    assert_eq!(router.journal(), ["sl 200 OK Accept: */* Accept-Language: en Supported: path"]);
    assert_eq!(options_reply(&mut options("sip:a@sip.example", "", &router), &config), Ok(false));
    let message = request("MESSAGE", "sip:sip.example", "");
    assert_eq!(
        options_reply(&mut self::route(Kind::Request, message, &router), &config),
        Ok(false)
    );
    assert!(router.journal().is_empty());
}

#[test]
fn parameters_have_their_ranges() {
    for bad in ["e164_max_len = 0", "e164_max_len = 256", "options_acept = 'x'"] {
        assert!(Params::from_toml(bad).parse::<Config>().is_err(), "{bad}");
    }
    assert_eq!(Params::none().parse(), Ok(Config::default()));
}
