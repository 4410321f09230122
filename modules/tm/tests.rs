use std::rc::Rc;

use super::*;
use crate::script::router::recording::{Recording, message_route};

#[test]
fn a_transaction_is_made_once() {
    let router = Rc::<Recording>::default();
    let mut route = message_route(&router);
    assert_eq!(t_check_trans(&mut route, &Config {}), Ok(false));
    assert_eq!(t_newtran(&mut route, &Config {}), Ok(true));
    assert_eq!(t_newtran(&mut route, &Config {}), Ok(false));
    assert_eq!(t_check_trans(&mut route, &Config {}), Ok(true));
    assert_eq!(router.journal(), ["transaction"]);
}

#[test]
fn a_reply_makes_the_transaction_that_it_needs() {
    let router = Rc::<Recording>::default();
    let mut route = message_route(&router);
    assert_eq!(t_reply(&mut route, &Config {}, Status(180), "Ringing".into()), Ok(true));
    assert!(!route.is_answered, "a provisional reply is not the answer");
    assert_eq!(t_reply(&mut route, &Config {}, Status(200), "OK".into()), Ok(true));
    assert!(route.is_answered);
    assert_eq!(router.journal(), ["transaction", "reply 180 Ringing", "reply 200 OK"]);
}

#[test]
fn a_message_is_relayed_to_its_next_hop() {
    let router = Rc::<Recording>::default();
    let mut route = message_route(&router);
    route.destination = Some("sip:192.0.2.1".into());
    assert_eq!(t_relay(&mut route, &Config {}), Ok(true));
    assert!(route.is_relayed);
    assert_eq!(router.journal(), ["relay sip:romeo@xmpp.example by sip:192.0.2.1"]);
}

#[test]
fn a_relay_that_fails_tells_the_status() {
    let router = Rc::<Recording>::default();
    let (destination, reason) = ("nowhere.example".to_owned(), "no address".to_owned());
    let error = RouteError::Unreachable { status: 478, destination, reason };
    router.relay_error.replace(Some(error));
    let mut route = message_route(&router);
    assert_eq!(t_relay(&mut route, &Config {}).unwrap_err().status().0, 478);
    assert!(!route.is_relayed);
}

#[test]
fn an_outbound_proxy_is_the_next_hop() {
    let router = Rc::<Recording>::default();
    let mut route = message_route(&router);
    t_relay_by(&mut route, &Config {}, "192.0.2.1".into(), 5070).unwrap();
    t_relay_to_udp(&mut route, &Config {}, "192.0.2.1".into(), 5070).unwrap();
    t_relay_to_tcp(&mut route, &Config {}, "192.0.2.1".into(), 5070).unwrap();
    let relay = "relay sip:romeo@xmpp.example by sip:192.0.2.1:5070";
    let journal =
        [relay.to_owned(), format!("{relay};transport=udp"), format!("{relay};transport=tcp")];
    assert_eq!(router.journal(), journal);
    assert!(t_relay_by(&mut route, &Config {}, "a b".into(), 1).is_err());
}

#[test]
fn a_copy_and_a_retransmission_leave() {
    let router = Rc::<Recording>::default();
    let mut route = message_route(&router);
    assert_eq!(t_replicate(&mut route, &Config {}, "sip:192.0.2.8".into()), Ok(true));
    assert_eq!(t_retransmit_reply(&mut route, &Config {}), Ok(true));
    assert!(!route.is_relayed);
    assert_eq!(router.journal(), ["replicate sip:192.0.2.8", "retransmit"]);
}
