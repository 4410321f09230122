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
