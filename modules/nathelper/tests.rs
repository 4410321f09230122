use std::rc::Rc;

use super::*;
use crate::script::export::Kind;
use crate::script::router::recording::{request, route};
use crate::sip::{HeaderId, Message};

const NONE: &() = &();

/// From 192.0.2.7:5062 over UDP, which is also what Via says, with these headers and this body.
fn from_phone(more: &str) -> Box<Route> {
    route(Kind::Request, request("INVITE", "sip:b@sip.example", more), &Rc::default())
}

fn with_sdp(address: &str) -> Box<Route> {
    let body = format!("v=0\r\no=- 1 1 IN IP4 {address}\r\nc=IN IP4 {address}\r\n");
    let length = body.len();
    from_phone(&format!(
        "Content-Type: application/SDP; a=b\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

fn with_via(via: &str) -> Box<Route> {
    let mut route = from_phone("");
    route.message.replace_top_via(via).unwrap();
    route
}

/// The tests that find a NAT, as the sum of their bits.
fn found(route: &mut Route) -> i64 {
    let bits = (0..9).map(|bit| 1 << bit);
    bits.filter(|bit| nat_uac_test(route, NONE, *bit).unwrap()).sum()
}

fn contacts(message: &Message) -> String {
    let values: Vec<_> = message.values(HeaderId::Contact).map(String::from_utf8_lossy).collect();
    values.join(", ")
}

#[test]
fn each_test_finds_its_own_kind_of_nat() {
    let contact = |uri: &str| from_phone(&format!("Contact: {uri}\r\n"));
    let mut cases = [
        (contact("<sip:me@192.0.2.7:5062>"), 0),
        (contact("<sip:me@10.0.0.9:5062>"), 1),
        (contact("<sip:a@192.0.2.7:5062>, <sip:b@[fd00::1]:5062>"), 1),
        (contact("<sip:me@192.0.2.7:5070>"), 128),
        (contact("*"), 0),
        (contact("<sip:@>"), 0),
        (with_via("SIP/2.0/UDP 192.0.2.8:5062;branch=z9hG4bK1"), 2),
        (with_via("SIP/2.0/UDP phone.example:5062;branch=z9hG4bK1"), 2),
        (with_via("SIP/2.0/UDP 10.0.0.9:5062;branch=z9hG4bK1"), 2 | 4),
        (with_via("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1"), 16),
        (with_sdp("192.0.2.7"), 0),
        (with_sdp("10.0.0.9"), 8 | 256),
        (with_sdp("198.51.100.1"), 256),
        (with_sdp("0.0.0.0"), 0),
    ];
    for (number, (route, expected)) in cases.iter_mut().enumerate() {
        assert_eq!(found(route), *expected, "case {number}");
    }
    let mut route = from_phone("");
    route.source.peer = "10.0.0.9:5062".parse().unwrap();
    assert_eq!(found(&mut route), 2 | 32);
    let mut route = from_phone("");
    route.source.transport = Transport::Wss;
    assert_eq!(found(&mut route), 64);
}

#[test]
fn flags_are_added_up_and_have_their_range() {
    let mut route = with_via("SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1");
    assert_eq!(nat_uac_test(&mut route, NONE, 19), Ok(true));
    assert_eq!(nat_uac_test(&mut route, NONE, 3), Ok(false));
    assert_eq!(nat_uac_test(&mut route, NONE, 0), Ok(false));
    for flags in [-1, 512, i64::MAX] {
        assert!(nat_uac_test(&mut route, NONE, flags).is_err(), "{flags}");
        assert!(fix_nated_sdp(&mut route, NONE, flags).is_err(), "{flags}");
    }
}

#[test]
fn private_addresses_are_told() {
    let mut route = from_phone("");
    assert_eq!(is_rfc1918(&mut route, NONE, "172.20.1.1".into()), Ok(true));
    assert_eq!(is_rfc1918(&mut route, NONE, "[2001:db8::1]".into()), Ok(false));
    assert!(is_rfc1918(&mut route, NONE, "phone.example".into()).is_err());
}

#[test]
fn contacts_move_to_the_source_and_keep_the_rest() {
    let mut route = from_phone(
        "Contact: \"Me, \\\"too\\\"\" <sip:me@10.0.0.9:5070;transport=udp;ob>;q=0.5;\
         +sip.instance=\"<urn:x>\"\r\nm: sip:me@10.0.0.8;expires=60, <tel:1>\r\n",
    );
    assert_eq!(fix_nated_contact(&mut route, NONE), Ok(true));
    assert_eq!(
        contacts(&route.message),
        "\"Me, \\\"too\\\"\" <sip:me@192.0.2.7:5062;transport=udp;ob>;q=0.5;+sip.instance=\"<urn:x>\", \
         <sip:me@192.0.2.7:5062>;expires=60, <tel:1>"
    );
    assert_eq!(fix_nated_contact(&mut route, NONE), Ok(false), "nothing is left to change");
}

#[test]
fn what_has_no_sip_contact_stays_as_it_is() {
    for more in ["", "Contact: *\r\n", "Contact: <tel:1>\r\n"] {
        let mut route = from_phone(more);
        let before = route.message.to_bytes();
        assert_eq!(fix_nated_contact(&mut route, NONE), Ok(false), "{more}");
        assert_eq!(set_contact_alias(&mut route, NONE), Ok(false), "{more}");
        assert_eq!(route.message.to_bytes(), before);
    }
    let error = fix_nated_contact(&mut from_phone("Contact: <sip:a\r\n"), NONE).unwrap_err();
    assert_eq!(error.status().0, 400);
}

#[test]
fn an_alias_goes_out_in_the_contact_and_comes_back_in_the_request_uri() {
    let mut route = from_phone("Contact: <sip:me@10.0.0.9;ob>\r\n");
    assert_eq!(set_contact_alias(&mut route, NONE), Ok(true));
    assert_eq!(contacts(&route.message), "<sip:me@10.0.0.9;ob;alias=192.0.2.7~5062~1>");
    route.message.set_request_uri("sip:me@10.0.0.9;ob;alias=192.0.2.7~5062~1").unwrap();
    assert_eq!(handle_ruri_alias(&mut route, NONE), Ok(true));
    assert_eq!(route.message.request_uri(), "sip:me@10.0.0.9;ob");
    assert_eq!(route.destination.as_deref(), Some("sip:192.0.2.7:5062"));
    route.destination = None;
    assert_eq!(handle_ruri_alias(&mut route, NONE), Ok(false));
    assert_eq!(route.destination, None);
}

#[test]
fn add_contact_alias_adds_what_the_contact_does_not_say() {
    let add = |contact: &str| {
        let mut route = from_phone(&format!("Contact: <{contact}>\r\n"));
        add_contact_alias(&mut route, NONE).unwrap()
    };
    assert!(!add("sip:me@192.0.2.7:5062"));
    assert!(add("sip:me@192.0.2.7"), "another port");
    assert!(add("sip:me@192.0.2.7:5062;transport=tcp"), "another transport");
    assert!(add("sip:me@phone.example:5062"), "a name");
    let mut route = from_phone("Contact: <sip:me@10.0.0.9>\r\n");
    let mut add = |ip: &str, port, proto: &str| {
        add_contact_alias_of(&mut route, NONE, ip.into(), port, proto.into())
    };
    assert_eq!(add("2001:db8::9", 443, "WSS"), Ok(true));
    assert!(add("h", 1, "udp").is_err() && add("192.0.2.9", 1, "sctp").is_err());
    assert!(add("192.0.2.9", 0, "udp").is_err() && add("192.0.2.9", 65_536, "udp").is_err());
    assert_eq!(contacts(&route.message), "<sip:me@10.0.0.9;alias=[2001:db8::9]~443~6>");
}

#[test]
fn a_registers_source_is_noted() {
    let mut route = from_phone("");
    route.source.transport = Transport::Tcp;
    fix_nated_register(&mut route, NONE).unwrap();
    assert_eq!(route.received.as_deref(), Some("sip:192.0.2.7:5062;transport=tcp"));
}

#[test]
fn a_session_description_gets_the_source_and_its_length() {
    let mut route = with_sdp("10.0.0.9");
    assert_eq!(fix_nated_sdp(&mut route, NONE, 10), Ok(true));
    let body = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\nc=IN IP4 192.0.2.7\r\n";
    assert_eq!(route.message.body(), body.as_bytes());
    assert_eq!(route.message.content_length(), Ok(Some(body.len())));
    assert_eq!(route.message.content_type().unwrap(), "application/SDP; a=b");
    assert_eq!(fix_nated_sdp(&mut route, NONE, 10), Ok(false));
    assert_eq!(fix_nated_sdp_with(&mut route, NONE, 2, "198.51.100.1".into()), Ok(true));
    let text = "Content-Type: text/plain\r\n\r\nc=IN IP4 10.0.0.9\r\n";
    assert_eq!(fix_nated_sdp(&mut from_phone(text), NONE, 10), Ok(false));
}

#[test]
fn there_are_no_parameters() {
    for bad in [
        "natping_interval = 86401",
        "ping_nated_only = 2",
        "nat_bflag = 32",
        "sipping_bflag = -1",
        "sipping_method = 'INVITE'",
        "sipping_from = 'nobody'",
        "natping_processes = 1",
    ] {
        assert!(Params::from_toml(bad).parse::<Config>().is_err(), "{bad}");
    }
}
