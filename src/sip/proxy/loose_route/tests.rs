use bytes::Bytes;

use super::*;

/// A request inside a dialog, with these Route values.
fn request(uri: &str, routes: &[&str]) -> Message {
    with_to(uri, "<sip:b@b.example>;tag=b1", routes)
}

fn with_to(uri: &str, to: &str, routes: &[&str]) -> Message {
    let routes: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
    let from = "<sip:a@a.example>;tag=a1";
    let text = format!("BYE {uri} SIP/2.0\r\nFrom: {from}\r\nTo: {to}\r\n{routes}\r\n");
    Message::parse(Bytes::from(text)).unwrap()
}

/// We are `p1.example`, on all ports.
fn follow(request: &mut Message) -> Option<Followed> {
    loose_route(request, |uri| uri.host() == "p1.example").unwrap()
}

fn left(request: &Message) -> Vec<String> {
    routes(request)
}

#[test]
fn a_request_without_route_is_not_followed() {
    let mut request = request("sip:b@b.example", &[]);
    assert_eq!(follow(&mut request), None);
    assert_eq!(request.to_bytes(), *request.wire());
}

/// RFC 3261 §16.12.1.1: both proxies of the trapezoid are loose routers.
#[test]
fn s16_12_1_1_the_first_value_is_ours_and_the_second_is_next() {
    let mut request = request("sip:b@ub", &["<sip:p1.example;lr>, <sip:p2.example;lr>"]);
    let followed = follow(&mut request).unwrap();
    assert_eq!(followed.next_hop.as_deref(), Some("sip:p2.example;lr"));
    assert!(followed.is_led());
    assert_eq!(request.request_uri(), "sip:b@ub");
    assert_eq!(left(&request), ["<sip:p2.example;lr>"]);
}

/// §16.12.1.2: a strict router in front of us and behind us.
#[test]
fn s16_12_1_2_strict_routers_are_traversed() {
    let mut downstream =
        request("sip:c@uc", &["<sip:p1.example;lr>", "<sip:p2.example>, <sip:p3.example;lr>"]);
    let followed = follow(&mut downstream).unwrap();
    assert_eq!(followed.next_hop.as_deref(), Some("sip:p2.example"));
    assert_eq!(downstream.request_uri(), "sip:p2.example");
    assert_eq!(left(&downstream), ["<sip:p3.example;lr>", "<sip:c@uc>"]);

    let mut upstream = request("sip:p1.example;lr;ftag=a1", &["<sip:p4.example;lr>, <sip:c@uc>"]);
    let followed = follow(&mut upstream).unwrap();
    assert_eq!(followed.next_hop.as_deref(), Some("sip:p4.example;lr"));
    assert_eq!(followed.param("ftag"), Some("a1"));
    assert_eq!(upstream.request_uri(), "sip:c@uc");
    assert_eq!(left(&upstream), ["<sip:p4.example;lr>"]);
}

#[test]
fn s16_4_a_strict_router_that_names_the_target_last_leaves_no_route() {
    let mut request = request("sip:p1.example;lr", &["<sip:c@uc>"]);
    let followed = follow(&mut request).unwrap();
    assert_eq!((followed.next_hop.as_deref(), followed.is_led()), (None, true));
    assert_eq!(request.request_uri(), "sip:c@uc");
    assert!(left(&request).is_empty());
}

/// A contact of ours, such as a gateway's, is no Record-Route value of ours.
#[test]
fn s16_4_only_what_we_recorded_is_restored() {
    for uri in ["sip:romeo@p1.example", "sip:p1.example", "sip:romeo@p1.example;lr"] {
        let mut request = request(uri, &["<sip:p1.example;lr>"]);
        assert!(follow(&mut request).unwrap().is_led());
        assert_eq!(request.request_uri(), uri);
        assert!(left(&request).is_empty());
    }
}

#[test]
fn both_values_of_a_double_record_route_go() {
    let double = "<sip:p1.example;r2=on;lr;ftag=a1>, <sip:p1.example:5061;transport=tcp;r2=on;lr>";
    let mut downstream = request("sip:b@ub", &[double, "<sip:p2.example;lr>"]);
    assert_eq!(follow(&mut downstream).unwrap().next_hop.as_deref(), Some("sip:p2.example;lr"));
    assert_eq!(left(&downstream), ["<sip:p2.example;lr>"]);
    // a strict router has taken the first one already
    let mut strict =
        request("sip:p1.example;r2=on;lr", &["<sip:p1.example:5061;r2=on;lr>", "<sip:b@ub>"]);
    assert_eq!(follow(&mut strict).unwrap().next_hop, None);
    assert_eq!(strict.request_uri(), "sip:b@ub");
    assert!(left(&strict).is_empty());
}

#[test]
fn a_spiral_passes_through_us_once_for_each_value() {
    let mut request = request("sip:b@ub", &["<sip:p1.example;lr>, <sip:p1.example;lr;x>"]);
    assert_eq!(follow(&mut request).unwrap().next_hop.as_deref(), Some("sip:p1.example;lr;x"));
    assert_eq!(left(&request), ["<sip:p1.example;lr;x>"]);
}

#[test]
fn a_route_that_does_not_name_us_is_followed_as_it_is() {
    let mut request = request("sip:b@ub", &["<sip:p2.example;lr>"]);
    let followed = follow(&mut request).unwrap();
    assert_eq!((followed.params.as_deref(), followed.is_led()), (None, true));
    assert_eq!(left(&request), ["<sip:p2.example;lr>"]);
}

/// A UA with us as its outbound proxy: the script still decides where the request goes.
#[test]
fn a_preloaded_route_to_us_alone_does_not_lead() {
    let mut outbound =
        with_to("sip:b@b.example", "<sip:b@b.example>", &["<sip:p1.example;lr;x=1>"]);
    let followed = follow(&mut outbound).unwrap();
    assert!(followed.is_preloaded && !followed.is_led());
    assert_eq!(followed.param("x"), Some("1"));
    assert!(left(&outbound).is_empty());
    let third = &["<sip:p1.example;lr>, <sip:third.example;lr>"];
    let mut third = with_to("sip:b@b.example", "<sip:b@b.example>", third);
    let followed = follow(&mut third).unwrap();
    assert!(followed.is_preloaded && followed.is_led());
}

#[test]
fn the_direction_follows_from_the_callers_tag() {
    let direction = |route: &str| {
        let mut request = request("sip:b@ub", &[route]);
        follow(&mut request).unwrap().direction(&request)
    };
    assert_eq!(direction("<sip:p1.example;lr;ftag=a1>"), Direction::Downstream);
    assert_eq!(direction("<sip:p1.example;lr;ftag=%611>"), Direction::Downstream);
    assert_eq!(direction("<sip:p1.example;lr;ftag=b1>"), Direction::Upstream);
    assert_eq!(direction("<sip:p1.example;lr>"), Direction::Downstream, "nothing is known");
}

#[test]
fn what_cannot_be_read_is_the_senders_fault() {
    for bad in ["<", "<sip:>", "x", "<sip:p1.example;lr>, <sip:@>"] {
        let mut request = request("sip:b@ub", &[bad]);
        let result = loose_route(&mut request, |uri| uri.host() == "p1.example");
        assert_eq!(result, Err(MALFORMED), "{bad}");
    }
    let mut strict = request("sip:p1.example;lr", &["<sip:p2.example;lr>, <sip:@>"]);
    assert!(loose_route(&mut strict, |uri| uri.host() == "p1.example").is_err());
}
