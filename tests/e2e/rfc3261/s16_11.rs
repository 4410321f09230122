//! §16.11: forwarding without transactions.

use super::{Arrived, FORWARD, SILENCE, Scene, follow_up};
use crate::process::PATIENCE;
use crate::sip::Message;
use crate::sipjab::Setup;

/// No provisional response of our own.
#[test]
fn s16_11_no_100_of_our_own() {
    let mut scene = Scene::new(FORWARD);
    scene.send_to_bob("INVITE", "");
    scene.bob.hears("INVITE");
    assert!(scene.alice.agent.next(SILENCE).is_none());
}

/// A request is validated as ever.
#[test]
fn s16_11_a_request_is_validated() {
    let mut scene = Scene::new(FORWARD);
    scene.send_to_bob("MESSAGE", "Max-Forwards: 0\r\n");
    scene.alice.hears("SIP/2.0 483");
    let request = scene.request("MESSAGE", &scene.bob.uri(), "");
    scene.send(&request.replace("CSeq: 7 MESSAGE", "CSeq: 7 BYE"));
    scene.alice.hears("SIP/2.0 400");
    scene.bob.is_left_alone();
}

/// Route and targets are found as ever.
#[test]
fn s16_11_the_route_is_preprocessed() {
    let mut scene = Scene::new(FORWARD);
    let route = format!("Route: <sip:{};lr>, <{};lr>\r\n", scene.sipjab.udp, scene.bob.uri());
    let request = scene.request("MESSAGE", "sip:far@192.0.2.9", &route);
    scene.send(&request);
    let arrived = scene.bob.hears("MESSAGE");
    assert_eq!(arrived.values("Route"), [format!("<{};lr>", scene.bob.uri())]);
    assert_eq!(arrived.message.header("Max-Forwards"), "69");
}

/// One target is chosen.
#[test]
fn s16_11_one_target_is_chosen() {
    let mut scene = Scene::with(|_, carol| {
        let fork = format!("append_branch(\"{}\"); forward();", carol.uri());
        Setup::script(&format!("fn request_route() {{ {fork} }}"))
    });
    scene.send_to_bob("MESSAGE", "");
    scene.bob.hears("MESSAGE");
    scene.carol.is_left_alone();
}

/// What Bob gets of a request that is sent three times, recorded on its way.
fn repeated() -> Vec<Message> {
    let mut scene = Scene::new("fn request_route() { record_route(); forward(); }");
    let request = scene.send_to_bob("INVITE", "");
    scene.send(&request);
    scene.send(&request);
    (0..3).map(|_| scene.bob.agent.next(PATIENCE).expect("the INVITE").0).collect()
}

/// The choice depends on the message and on what does not change.
#[test]
fn s16_11_the_choice_depends_on_the_message_alone() {
    let copies = repeated();
    assert!(copies.iter().all(|copy| copy.start == copies[0].start));
}

/// A retransmission goes to the same destination.
#[test]
fn s16_11_a_retransmission_goes_the_same_way() {
    assert_eq!(repeated().len(), 3, "all of them came to Bob");
}

/// CANCEL and ACK go the way of their INVITE.
#[test]
fn s16_11_cancel_and_ack_go_the_way_of_their_invite() {
    let mut scene = Scene::new(FORWARD);
    let request = scene.send_to_bob("INVITE", "");
    let invite = scene.bob.hears("INVITE");
    for method in ["CANCEL", "ACK"] {
        scene.send(&follow_up(method, &request));
        assert_eq!(scene.bob.hears(method).message.branch(), invite.message.branch(), "{method}");
    }
}

/// The branch is the same for a retransmission.
#[test]
fn s16_11_the_branch_of_a_retransmission_is_the_same() {
    let copies = repeated();
    assert!(copies.iter().all(|copy| copy.branch() == copies[0].branch()));
}

/// The branch is a function of what a retransmission does not change, and so differs for another request.
#[test]
fn s16_11_the_branch_is_a_function_of_the_request() {
    let mut scene = Scene::new(FORWARD);
    let request = scene.send_to_bob("MESSAGE", "");
    let first = scene.bob.hears("MESSAGE").message;
    scene.send(&request.replace("branch=z9hG4bK", "branch=z9hG4bKother"));
    let second = scene.bob.hears("MESSAGE").message;
    scene.send_to_bob("MESSAGE", "");
    let third = scene.bob.hears("MESSAGE").message;
    assert_ne!(first.branch(), second.branch());
    assert_ne!(second.branch(), third.branch());
}

/// A retransmission is changed in the same way.
#[test]
fn s16_11_a_retransmission_is_changed_in_the_same_way() {
    let copies = repeated();
    assert!(copies.iter().all(|copy| copy.headers == copies[0].headers));
}

/// A retransmission gets the same Record-Route.
#[test]
fn s16_11_a_retransmission_gets_the_same_record_route() {
    let copies = repeated();
    assert!(copies[0].header("Record-Route").contains(";lr"));
    let is_same = |copy: &Message| copy.header("Record-Route") == copies[0].header("Record-Route");
    assert!(copies.iter().all(is_same));
}

/// A CANCEL is nothing special: it is forwarded, not answered.
#[test]
fn s16_11_a_cancel_is_nothing_special() {
    let mut scene = Scene::new(FORWARD);
    let request = scene.send_to_bob("INVITE", "");
    scene.bob.hears("INVITE");
    scene.send(&follow_up("CANCEL", &request));
    scene.bob.hears("CANCEL");
    scene.alice.is_left_alone();
}

/// An INVITE that was forwarded, and the text of a response to it.
fn forwarded() -> (Scene, Arrived) {
    let mut scene = Scene::new(FORWARD);
    scene.send_to_bob("INVITE", "");
    let invite = scene.bob.hears("INVITE");
    (scene, invite)
}

/// The topmost Via of a response is looked at.
#[test]
fn s16_11_a_response_is_known_by_its_topmost_via() {
    let (mut scene, invite) = forwarded();
    let (ours, theirs) = (invite.values("Via").remove(0), invite.values("Via").remove(1));
    let text = invite.response_text(200);
    let swapped = text
        .replace(&ours, "x")
        .replace(&theirs, &ours)
        .replace("Via: x", &format!("Via: {theirs}"));
    scene.bob.replies(&invite, swapped.as_bytes());
    scene.alice.is_left_alone();
}

/// When it is ours, it is removed, and the response goes where the next one says.
#[test]
fn s16_11_a_response_goes_where_the_next_via_says() {
    let (mut scene, invite) = forwarded();
    scene.bob.answers(&invite, 200);
    let response = scene.alice.hears("SIP/2.0 200");
    assert_eq!(response.values("Via"), invite.values("Via")[1..]);
}

/// The body of a response stays.
#[test]
fn s16_11_the_body_of_a_response_is_untouched() {
    let (mut scene, invite) = forwarded();
    let length = "Content-Type: x/y\r\nContent-Length: 4";
    let head = invite.response_text(200).replace("Content-Length: 0", length);
    scene.bob.replies(&invite, &[head.as_bytes(), b"\0\r\n\xff"].concat());
    assert_eq!(scene.alice.hears("SIP/2.0 200").message.body, b"\0\r\n\xff");
}

/// No other header is removed.
#[test]
fn s16_11_no_other_header_of_a_response_is_removed() {
    let (mut scene, invite) = forwarded();
    let lines = "X-Unheard: of\r\nX-Unheard: again\r\nk: timer\r\nContent-Length: 0";
    let text = invite.response_text(200).replace("Content-Length: 0", lines);
    scene.bob.replies(&invite, text.as_bytes());
    let response = scene.alice.hears("SIP/2.0 200").message;
    let found: Vec<_> =
        response.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let lines: Vec<_> = text.lines().skip(2).filter(|line| !line.is_empty()).collect();
    assert_eq!(found, lines);
}

/// A response whose topmost Via is not ours is discarded silently.
#[test]
fn s16_11_a_response_with_a_foreign_via_is_discarded() {
    let (mut scene, invite) = forwarded();
    let text = invite.response_text(200).replace(invite.message.branch(), "z9hG4bKforeign");
    scene.bob.replies(&invite, text.as_bytes());
    scene.alice.is_left_alone();
    scene.bob.is_left_alone();
}
