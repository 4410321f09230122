//! §16.10: CANCEL.

use super::{RELAY, Scene, follow_up};

/// A CANCEL that finds its request is answered with 200 at once.
#[test]
fn s16_10_a_cancel_is_answered_with_200_at_once() {
    let mut scene = Scene::new(RELAY);
    let request = scene.send_to_bob("INVITE", "");
    scene.bob.hears("INVITE");
    scene.send(&follow_up("CANCEL", &request));
    let answer = scene.alice.hears("SIP/2.0 200").message;
    assert_eq!(answer.header("CSeq"), "7 CANCEL");
    // Bob has said nothing, so that he may get no CANCEL (§9.1).
    scene.bob.is_left_alone();
}

/// Each branch that is pending gets a CANCEL.
#[test]
fn s16_10_each_pending_branch_gets_a_cancel() {
    let mut scene = Scene::forking();
    let request = scene.send_to_bob("INVITE", "");
    let mut branches = Vec::new();
    for phone in [&mut scene.bob, &mut scene.carol] {
        let invite = phone.hears("INVITE");
        phone.answers(&invite, 180);
        branches.push(invite);
    }
    scene.alice.hears("SIP/2.0 180");
    scene.send(&follow_up("CANCEL", &request));
    for (phone, invite) in [&mut scene.bob, &mut scene.carol].into_iter().zip(&branches) {
        let cancel = phone.hears("CANCEL");
        assert_eq!(cancel.message.branch(), invite.message.branch());
        assert_eq!(cancel.message.request_uri(), invite.message.request_uri());
        phone.answers(&cancel, 200);
        phone.answers(invite, 487);
        phone.hears("ACK");
    }
    let mut told = [(); 2].map(|()| scene.alice.hears("SIP/2.0 ").message.status());
    told.sort_unstable();
    assert_eq!(told, [200, 487]);
}

/// A CANCEL that finds no request is forwarded without a transaction.
#[test]
fn s16_10_a_cancel_without_a_context_is_forwarded() {
    let mut scene = Scene::new(RELAY);
    let request = scene.request("INVITE", &scene.bob.uri(), "");
    scene.send(&follow_up("CANCEL", &request));
    let cancel = scene.bob.hears("CANCEL");
    scene.bob.answers(&cancel, 481);
    assert_eq!(scene.alice.hears("SIP/2.0 481").message.header("CSeq"), "7 CANCEL");
}
