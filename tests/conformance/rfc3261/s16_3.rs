//! §16.3, request validation, and §16.4, route information preprocessing.

use sipjab::sip::proxy::loose_route::preprocess;
use sipjab::sip::proxy::maddr::strip_maddr;
use sipjab::sip::proxy::{ForwardError, count_hop, next_hop};
use sipjab::sip::transport::Transport;
use sipjab::sip::{Body, HeaderId, Message, Uri, reply};

use super::clockwork::message;

/// A request with these lines beside the usual ones.
fn request(uri: &str, lines: &str) -> Message {
    message(&format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKa\r\n{lines}\
         From: <sip:romeo@sip.example>;tag=r1\r\nTo: <sip:juliet@sip.example>\r\n\
         Call-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn routes(message: &Message) -> Vec<String> {
    message.addresses(HeaderId::Route).map(|route| route.unwrap().uri.to_owned()).collect()
}

/// We are `us.example`.
fn is_ours(uri: &Uri<'_>) -> bool {
    uri.host() == "us.example"
}

/// A request that fails a check is answered with an error, as a user agent server does.
#[test]
fn s16_3_a_request_that_fails_a_check_has_an_error_response() {
    let good = String::from_utf8(request("sip:juliet@sip.example", "").wire().to_vec()).unwrap();
    for (line, bad) in [
        ("CSeq: 1 INVITE", "CSeq: 1 BYE"),
        ("CSeq: 1 INVITE", "CSeq: x INVITE"),
        ("From: <sip:romeo@sip.example>;tag=r1", "From: <sip:romeo"),
        ("Call-ID: c", "X: c"),
        ("SIP/2.0\r\nVia", "SIP/7.0\r\nVia"),
    ] {
        let bad = message(&good.replace(line, bad));
        let (status, reason) = bad.validate().expect_err(line).status();
        assert!((400..600).contains(&status), "{line}");
        assert!(reply(&bad, status, reason, Some("t"), &[], Body::default()).is_ok(), "{line}");
    }
    assert_eq!(request("sip:juliet@sip.example", "").validate(), Ok(()));
}

/// §16.3 step 1: what a server transaction needs is well-formed: Via, From, To, Call-ID, CSeq.
#[test]
fn s16_3_1_what_a_server_transaction_needs_is_checked() {
    let good = String::from_utf8(request("sip:juliet@sip.example", "").wire().to_vec()).unwrap();
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        let lines = good.split("\r\n").filter(|line| !line.starts_with(&format!("{name}:")));
        let without = lines.collect::<Vec<_>>().join("\r\n");
        assert!(message(&without).validate().is_err(), "{name} is missing");
    }
}

/// §16.3 step 1: what routing needs is well-formed: Request-URI, Max-Forwards, Route.
#[test]
fn s16_3_1_what_forwarding_needs_is_checked() {
    assert!(request("sip:", "").validate().is_err());
    assert!(request("sip:a b", "").validate().is_err());
    let hops = count_hop(&mut request("sip:b@b.example", "Max-Forwards: many\r\n"));
    assert!(matches!(hops, Err(ForwardError::Header(_))), "{hops:?}");
    for route in ["<sip:", "<sip:>", "sip:x y>"] {
        let mut bad = request("sip:b@b.example", &format!("Route: {route}\r\n"));
        assert!(
            preprocess(&mut bad, is_ours).is_err() || next_hop(&mut bad, None).is_err(),
            "{route}"
        );
    }
}

/// §16.3 step 3: with no hop left the request is not forwarded.
#[test]
fn s16_3_3_a_request_without_hops_is_not_forwarded() {
    let mut last = request("sip:b@b.example", "Max-Forwards: 0\r\n");
    assert_eq!(count_hop(&mut last), Err(ForwardError::TooManyHops));
}

/// The Request-URI is inspected: a value of our own Record-Route is known again, a contact of ours is none.
#[test]
fn s16_4_the_request_uri_is_inspected() {
    for (uri, is_restored) in
        [("sip:us.example;lr", true), ("sip:user@us.example;lr", false), ("sip:us.example", false)]
    {
        let mut message = request(uri, "Route: <sip:b@b.example>\r\n");
        preprocess(&mut message, is_ours).unwrap();
        assert_eq!(message.request_uri() == "sip:b@b.example", is_restored, "{uri}");
    }
}

/// A Record-Route value of ours in the Request-URI gives way to the last Route value, which leaves the Route.
#[test]
fn s16_4_our_record_route_value_gives_way_to_the_last_route() {
    let lines = "Route: <sip:p1.example;lr>, <sip:p2.example;lr>\r\nRoute: <sip:b@b.example>\r\n";
    let mut message = request("sip:us.example;lr;ftag=r1", lines);
    preprocess(&mut message, is_ours).unwrap();
    assert_eq!(message.request_uri(), "sip:b@b.example");
    assert_eq!(routes(&message), ["sip:p1.example;lr", "sip:p2.example;lr"]);
}

/// Processing goes on as if the modified request had come.
#[test]
fn s16_4_processing_goes_on_with_the_modified_request() {
    let lines = "Route: <sip:us.example;lr>, <sip:p2.example;lr>, <sip:b@b.example>\r\n";
    let mut message = request("sip:us.example;lr", lines);
    preprocess(&mut message, is_ours).unwrap();
    assert_eq!(routes(&message), ["sip:p2.example;lr"], "our Route value is gone, too");
    assert_eq!(next_hop(&mut message, None).unwrap(), "sip:p2.example;lr");
}

/// What `strip_maddr` makes of a Request-URI; we are 192.0.2.1 and were reached over TCP at 5070.
fn stripped(uri: &str) -> String {
    let mut message = request(uri, "");
    let is_ours = |host: &str, _| host == "192.0.2.1";
    strip_maddr(&mut message, Transport::Tcp, 5070, is_ours).unwrap();
    message.request_uri().to_owned()
}

/// A maddr is compared with what the proxy is responsible for.
#[test]
fn s16_4_an_maddr_is_compared_with_what_is_ours() {
    let foreign = "sip:b@h.example:5070;maddr=192.0.2.9;transport=tcp";
    assert_eq!(stripped(foreign), foreign);
}

/// Ours, at the port and transport of the request, it is stripped, with a non-default port and transport.
#[test]
fn s16_4_an_maddr_of_ours_is_stripped_with_port_and_transport() {
    let ours = "sip:b@h.example:5070;maddr=192.0.2.1;transport=tcp;x=1";
    assert_eq!(stripped(ours), "sip:b@h.example;x=1");
    for elsewhere in [
        "sip:b@h.example:5071;maddr=192.0.2.1;transport=tcp",
        "sip:b@h.example:5070;maddr=192.0.2.1;transport=udp",
    ] {
        assert_eq!(stripped(elsewhere), elsewhere, "it came by another port or transport");
    }
}

/// The first Route value is removed when it names us.
#[test]
fn s16_4_the_first_route_is_removed_when_it_names_us() {
    let mut message =
        request("sip:b@b.example", "Route: <sip:us.example;lr>, <sip:p2.example;lr>\r\n");
    preprocess(&mut message, is_ours).unwrap();
    assert_eq!(routes(&message), ["sip:p2.example;lr"]);
    let mut other = request("sip:b@b.example", "Route: <sip:p2.example;lr>, <sip:us.example>\r\n");
    preprocess(&mut other, is_ours).unwrap();
    assert_eq!(routes(&other), ["sip:p2.example;lr", "sip:us.example"]);
}
