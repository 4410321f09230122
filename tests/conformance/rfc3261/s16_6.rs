//! §16.6, the copy of a request that is forwarded.

use std::collections::HashSet;

use sipjab::sip::proxy::record_route::{Hop, RecordRoute};
use sipjab::sip::proxy::{add_path, count_hop, next_hop};
use sipjab::sip::transaction::{BranchMint, InviteClientState, Timer, ack_of, cancel_of};
use sipjab::sip::transport::Transport;
use sipjab::sip::{HeaderId, Message, Scheme, Uri};

use super::clockwork::{BOTH, Clockwork, INVITE, message, response};

fn request(uri: &str, lines: &str) -> Message {
    message(&format!("INVITE {uri} SIP/2.0\r\n{lines}From: <sip:a@a.example>;tag=1\r\n\r\n"))
}

fn routes(message: &Message) -> Vec<String> {
    message.addresses(HeaderId::Route).map(|route| route.unwrap().uri.to_owned()).collect()
}

/// The copy's Max-Forwards is one less.
#[test]
fn s16_6_3_max_forwards_is_counted_down() {
    for (came, leaves) in [(70, 69), (1, 0), (255, 254)] {
        let mut copy = request("sip:b@b.example", &format!("Max-Forwards: {came}\r\n"));
        count_hop(&mut copy).unwrap();
        assert_eq!(copy.max_forwards(), Ok(Some(leaves)));
    }
}

/// A copy without Max-Forwards gets one, of 70.
#[test]
fn s16_6_3_max_forwards_is_added_when_it_is_missing() {
    let mut copy = request("sip:b@b.example", "");
    count_hop(&mut copy).unwrap();
    assert_eq!(copy.max_forwards(), Ok(Some(70)));
}

/// The Record-Route values for a request to this URI, between UDP and TCP, as URIs.
fn recorded(uri: &str, lines: &str) -> Vec<String> {
    let udp = Hop { transport: Transport::Udp, sent_by: "192.0.2.1:5060" };
    let tcp = Hop { transport: Transport::Tcp, sent_by: "192.0.2.1:5070" };
    let values = RecordRoute::default().values(&request(uri, lines), udp, tcp);
    let uri = |value: String| value.trim_matches(['<', '>']).to_owned();
    values.into_iter().map(uri).collect()
}

/// A Record-Route value is a SIP or SIPS URI.
#[test]
fn s16_6_4_record_route_is_a_sip_or_sips_uri() {
    for target in ["sip:b@b.example", "sips:b@b.example", "tel:+15550100"] {
        for uri in recorded(target, "") {
            assert!(Uri::parse(&uri).unwrap().is_sip(), "{uri}");
        }
    }
}

/// It has the parameter `lr`.
#[test]
fn s16_6_4_record_route_has_lr() {
    for target in ["sip:b@b.example", "sips:b@b.example"] {
        for uri in recorded(target, "") {
            assert!(Uri::parse(&uri).unwrap().has_param("lr"), "{uri}");
        }
    }
}

/// It is a SIPS URI when the Request-URI or the topmost Route is.
#[test]
fn s16_6_4_record_route_is_sips_when_the_next_hop_is() {
    let is_sips = |uri: &String| matches!(Uri::parse(uri).unwrap().scheme(), Scheme::Sips);
    assert!(recorded("sips:b@b.example", "").iter().all(is_sips));
    let route = "Route: <sips:p.example;lr>, <sip:q.example;lr>\r\n";
    assert!(recorded("sip:b@b.example", route).iter().all(is_sips));
}

/// It is no SIPS URI when neither is, whatever the request came over.
#[test]
fn s16_6_4_record_route_is_not_sips_when_the_next_hop_is_not() {
    let tls = Hop { transport: Transport::Tls, sent_by: "192.0.2.1:5061" };
    let udp = Hop { transport: Transport::Udp, sent_by: "192.0.2.1:5060" };
    let values = RecordRoute::default().values(&request("sip:b@b.example", ""), tls, udp);
    assert!(values.iter().all(|value| value.starts_with("<sip:")), "{values:?}");
}

/// A set of proxies that the request must visit stands in front of the Route that it has.
#[test]
fn s16_6_6_a_path_is_pushed_in_front_of_the_route() {
    let mut copy = request("sip:b@b.example", "Route: <sip:p.example;lr>\r\n");
    add_path(&mut copy, "<sip:edge.example;lr>,<sip:core.example;lr>").unwrap();
    assert_eq!(routes(&copy), ["sip:edge.example;lr", "sip:core.example;lr", "sip:p.example;lr"]);
}

/// A request without Route gets one for it.
#[test]
fn s16_6_6_a_path_makes_a_route_where_there_is_none() {
    let mut copy = request("sip:b@b.example", "");
    add_path(&mut copy, "<sip:edge.example;lr>").unwrap();
    assert_eq!(routes(&copy), ["sip:edge.example;lr"]);
}

/// The first Route value is inspected: only one without `lr` changes the copy.
#[test]
fn s16_6_6_the_first_route_is_inspected() {
    let mut loose = request("sip:b@b.example", "Route: <sip:p.example;lr>, <sip:q.example>\r\n");
    next_hop(&mut loose, None).unwrap();
    assert_eq!(loose.request_uri(), "sip:b@b.example");
    assert_eq!(routes(&loose), ["sip:p.example;lr", "sip:q.example"]);
}

/// A copy for a strict router, whose Route is this.
fn to_strict_router() -> (Message, String) {
    let lines = "Route: <sip:strict.example>\r\nRoute: <sip:q.example;lr>\r\n";
    let mut copy = request("sip:b@b.example;x=1", lines);
    let hop = next_hop(&mut copy, None).unwrap();
    (copy, hop)
}

/// For a strict router the copy is modified.
#[test]
fn s16_6_6_a_strict_router_gets_the_copy_in_its_form() {
    let copy = to_strict_router().0;
    assert_eq!(copy.request_uri(), "sip:strict.example");
    assert_eq!(routes(&copy), ["sip:q.example;lr", "sip:b@b.example;x=1"]);
}

/// For a strict router the Request-URI becomes the last Route value.
#[test]
fn s16_6_6_the_request_uri_becomes_the_last_route() {
    assert_eq!(routes(&to_strict_router().0).last().unwrap(), "sip:b@b.example;x=1");
}

/// For a strict router the first Route value becomes the Request-URI and leaves the Route.
#[test]
fn s16_6_6_the_first_route_becomes_the_request_uri() {
    let copy = to_strict_router().0;
    assert_eq!(copy.request_uri(), "sip:strict.example");
    assert!(!routes(&copy).contains(&"sip:strict.example".to_owned()));
}

/// A request in a strict router's form goes to its Request-URI.
#[test]
fn s16_6_7_a_strict_router_is_reached_by_the_request_uri() {
    let (copy, hop) = to_strict_router();
    assert_eq!(hop, copy.request_uri());
}

/// Any other goes to its first Route value, else to its Request-URI.
#[test]
fn s16_6_7_the_first_route_goes_before_the_request_uri() {
    let lines = "Route: <sip:p.example;lr>, <sip:q.example;lr>\r\n";
    let hop = |lines: &str| next_hop(&mut request("sip:b@b.example", lines), None).unwrap();
    assert_eq!(hop(lines), "sip:p.example;lr");
    assert_eq!(hop(""), "sip:b@b.example");
}

/// The branch has the magic cookie and is unique.
#[test]
fn s16_6_8_a_branch_has_the_cookie_and_is_unique() {
    let mint = BranchMint::new();
    let branches: HashSet<String> = (0..3)
        .flat_map(|worker| (0..1000).map(move |id| (worker, id)))
        .map(|(worker, id)| mint.mint(worker, id).to_string())
        .collect();
    assert_eq!(branches.len(), 3000);
    assert!(branches.iter().all(|branch| branch.starts_with("z9hG4bK") && branch.len() > 16));
}

/// CANCEL and the ACK of a rejection have the branch of their INVITE.
#[test]
fn s16_6_8_cancel_and_ack_have_the_branch_of_their_invite() {
    let invite = message(INVITE);
    for built in [cancel_of(&invite).unwrap(), ack_of(&invite, &response(486)).unwrap()] {
        let built = Message::parse(built).unwrap();
        assert_eq!(built.top_via().unwrap().branch, Some("z9hG4bKours"));
    }
}

/// Timer C runs for each INVITE that rings.
#[test]
fn s16_6_11_timer_c_runs_for_each_invite() {
    for is_reliable in BOTH {
        let mut call = Clockwork::invite(is_reliable);
        assert!(call.due(Timer::B).is_some(), "nothing came: timer B is shorter");
        assert!(call.hears(100).due(Timer::C).is_some());
        assert_eq!(call.machine.state(), InviteClientState::Proceeding);
    }
}

/// Timer C is larger than 3 minutes.
#[test]
fn s16_6_11_timer_c_is_larger_than_3_minutes() {
    let mut call = Clockwork::invite(false);
    let due = call.at(1000).hears(100).due(Timer::C).unwrap();
    assert!(due - 1000 > 180_000, "{due}");
}
