use std::rc::Rc;

use super::*;
use crate::modules::core::tests::to;
use crate::script::router::recording::message_route;

const NONE: &Config = &Config {};

#[test]
fn the_request_uri_has_parts() {
    let mut full = to("sip:a@h.example:5070;transport=tcp");
    assert_eq!(ruri(&mut full, NONE).unwrap(), "sip:a@h.example:5070;transport=tcp");
    assert_eq!(ruri_user(&mut full, NONE).unwrap(), "a");
    assert_eq!(ruri_host(&mut full, NONE).unwrap(), "h.example");
    assert_eq!(ruri_port(&mut full, NONE), Ok(5070));
    let mut bare = to("sip:h.example");
    assert_eq!(ruri_user(&mut bare, NONE).unwrap(), "");
    assert_eq!(ruri_port(&mut bare, NONE), Ok(0));
}

#[test]
fn from_and_to_have_parts() {
    let mut route = message_route(&Rc::default());
    assert_eq!(from_uri(&mut route, NONE).unwrap(), "sip:juliet@sip.example");
    assert_eq!(from_user(&mut route, NONE).unwrap(), "juliet");
    assert_eq!(from_host(&mut route, NONE).unwrap(), "sip.example");
    assert_eq!(from_tag(&mut route, NONE).unwrap(), "a1");
    assert_eq!(to_uri(&mut route, NONE).unwrap(), "sip:romeo@xmpp.example");
    assert_eq!(to_user(&mut route, NONE).unwrap(), "romeo");
    assert_eq!(to_host(&mut route, NONE).unwrap(), "xmpp.example");
    assert_eq!(to_tag(&mut route, NONE).unwrap(), "");
}

#[test]
fn a_broken_from_is_the_senders_fault() {
    let mut route = message_route(&Rc::default());
    route.message.set_header("From", "nonsense <").unwrap();
    assert_eq!(from_uri(&mut route, NONE).unwrap_err().status().0, 400);
    route.message.set_header("From", "<foo>").unwrap();
    assert_eq!(from_user(&mut route, NONE).unwrap_err().status().0, 400);
}
