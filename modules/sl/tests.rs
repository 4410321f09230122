use std::rc::Rc;

use super::*;
use crate::script::router::recording::{Recording, message_route};

#[test]
fn a_final_reply_answers_the_request_and_a_provisional_one_does_not() {
    let router = Rc::<Recording>::default();
    let mut route = message_route(&router);
    sl_send_reply(&mut route, &Config {}, Status(100), "Trying".into()).unwrap();
    assert!(!route.is_answered);
    sl_send_reply(&mut route, &Config {}, Status(404), "".into()).unwrap();
    assert!(route.is_answered && !route.has_transaction);
    assert_eq!(router.journal(), ["sl 100 Trying", "sl 404 "]);
}

#[test]
fn a_reply_goes_through_the_transaction_where_there_is_one() {
    let router = Rc::<Recording>::default();
    let mut route = message_route(&router);
    send_reply(&mut route, &Config {}, Status(180), "Ringing".into()).unwrap();
    route.has_transaction = true;
    assert!(!route.is_answered);
    send_reply(&mut route, &Config {}, Status(404), "Not Found".into()).unwrap();
    assert!(route.is_answered);
    assert_eq!(router.journal(), ["sl 180 Ringing", "reply 404 Not Found"]);
}

#[test]
fn an_error_becomes_the_reply_that_it_stands_for() {
    let router = Rc::<Recording>::default();
    let mut route = message_route(&router);
    sl_reply_error(&mut route, &Config {}).unwrap();
    route.last_error = Some(RouteError::TooManyHops.refusal());
    send_reply_error(&mut route, &Config {}).unwrap();
    route.has_transaction = true;
    send_reply_error(&mut route, &Config {}).unwrap();
    assert_eq!(
        router.journal(),
        ["sl 500 Server Internal Error", "sl 483 Too Many Hops", "reply 483 Too Many Hops"]
    );
}
