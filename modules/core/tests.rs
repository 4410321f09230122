use std::rc::Rc;

use super::*;
use crate::script::export::Kind;
use crate::script::router::recording::{message_route, request, route};

/// A script in a word: what a function gives in a route of a MESSAGE to `uri`.
pub(super) fn to(uri: &str) -> Box<Route> {
    route(Kind::Request, request("MESSAGE", uri, ""), &Rc::default())
}

#[test]
fn the_message_says_what_it_is() {
    let mut route = message_route(&Rc::default());
    assert_eq!(method(&mut route, &Config {}).unwrap(), "MESSAGE");
    assert_eq!(call_id(&mut route, &Config {}).unwrap(), "call-1");
    assert_eq!(body(&mut route, &Config {}).unwrap(), "Hello");
    assert_eq!(src_ip(&mut route, &Config {}).unwrap(), "192.0.2.7");
    assert_eq!(src_port(&mut route, &Config {}), Ok(5062));
    assert_eq!(proto(&mut route, &Config {}).unwrap(), "udp");
}

#[test]
fn a_body_that_is_not_utf8_is_shown_with_signs() {
    let mut route = message_route(&Rc::default());
    route.message.set_body("text/plain", bytes::Bytes::from_static(b"a\xffb")).unwrap();
    assert_eq!(body(&mut route, &Config {}).unwrap(), "a\u{fffd}b");
}

#[test]
fn ours_is_what_the_server_says_and_nothing_that_is_no_uri() {
    let mut route = message_route(&Rc::default());
    for (uri, is_ours) in [
        ("sip:a@sip.example", true),
        ("sips:sip.example:5061", true),
        ("sip:a@xmpp.example", false),
        ("sip.example", false),
        ("", false),
    ] {
        assert_eq!(is_myself(&mut route, &Config {}, uri.into()), Ok(is_ours), "{uri}");
    }
}

#[test]
fn a_tag_in_to_means_a_dialog() {
    let mut route = message_route(&Rc::default());
    assert_eq!(has_totag(&mut route, &Config {}), Ok(false));
    route.message.set_header("To", "<sip:romeo@xmpp.example>;tag=b2").unwrap();
    assert_eq!(has_totag(&mut route, &Config {}), Ok(true));
}

#[test]
fn pseudo_variables_are_replaced() {
    let mut route = message_route(&Rc::default());
    let text = pv(&mut route, &Config {}, "$rm $(rU)x $nothing $$".into());
    assert_eq!(text.unwrap(), "MESSAGE romeox $nothing $");
}

#[test]
fn the_length_counts_every_byte_and_every_edit() {
    let mut route = message_route(&Rc::default());
    let length = i64::try_from(route.message.to_bytes().len()).unwrap();
    assert_eq!(len_gt(&mut route, &Config {}, length), Ok(false));
    assert_eq!(len_gt(&mut route, &Config {}, length - 1), Ok(true));
    assert_eq!(len_gt(&mut route, &Config {}, -1), Ok(true));
    route.message.append_header("X", "1").unwrap();
    assert_eq!(len_gt(&mut route, &Config {}, length), Ok(true));
}
