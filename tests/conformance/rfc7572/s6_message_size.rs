//! RFC 7572 §6: message size.

use sipjab::gateway::{LargeMessages, Mapping};
use sipjab::xmpp::Condition;

use super::{mapping, plain, to_sip, to_xmpp, translate};

fn stanza(body_size: usize) -> String {
    let body = "x".repeat(body_size);
    format!(
        "<message from='juliet@example.com' to='romeo@example.net'><body>{body}</body></message>"
    )
}

#[test]
fn s6_more_than_1300_bytes_are_refused_with_policy_violation_where_the_operator_says_so() {
    let refusing = Mapping { large_messages: LargeMessages::Refuse, ..mapping() };
    assert!(!to_sip(&stanza(800), &refusing).is_large());
    let error = translate(&stanza(1300), &refusing).unwrap_err();
    assert_eq!(error.condition(), Condition::PolicyViolation);
}

/// RFC 3428 §8: a transport with congestion control.
#[test]
fn s6_more_than_1300_bytes_are_marked_for_tcp_by_default() {
    let request = to_sip(&stanza(5000), &mapping());
    assert!(request.is_large());
    assert_eq!(request.message.body().len(), 5000);
}

#[test]
fn s6_the_limit_leaves_room_for_the_via() {
    let largest =
        (0..1300).rev().find(|size| !to_sip(&stanza(*size), &mapping()).is_large()).unwrap();
    let mut message = to_sip(&stanza(largest), &mapping()).message;
    message
        .push_via("SIP/2.0/UDP [2001:db8:1:2:3:4:5:6]:5060;branch=z9hG4bK0123456789abcdef;rport")
        .unwrap();
    assert!(message.to_bytes().len() <= 1300);
}

#[test]
fn s6_toward_xmpp_up_to_the_limit_and_413_beyond() {
    assert!(to_xmpp(&plain(&"x".repeat(200_000)), &mapping()).is_ok());
    let error = to_xmpp(&plain(&"x".repeat(262_144)), &mapping()).unwrap_err();
    assert_eq!(error.status().0, 413);
    let escaped = to_xmpp(&plain(&"<".repeat(100_000)), &mapping()).unwrap_err();
    assert_eq!(escaped.status().0, 413);
}
