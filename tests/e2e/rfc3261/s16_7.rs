//! §16.7: how a response goes upstream.

use super::{Arrived, Phone, RELAY, Scene};

/// An INVITE of Alice's that Bob has.
fn called() -> (Scene, Arrived) {
    let mut scene = Scene::new(RELAY);
    scene.send_to_bob("INVITE", "");
    let invite = scene.bob.hears("INVITE");
    (scene, invite)
}

/// RFC 6026 §8.2: a response without a transaction is not forwarded.
#[test]
fn rfc6026_8_2_a_stray_response_is_not_forwarded() {
    let (mut scene, invite) = called();
    let branch = invite.message.branch();
    let worn = format!("{}0", &branch[..branch.len() - 1]);
    let strange = [("z9hG4bKstrange"), worn.as_str()];
    for other in strange.into_iter().filter(|other| *other != branch) {
        scene.bob.replies(&invite, invite.response_text(200).replace(branch, other).as_bytes());
    }
    scene.alice.is_left_alone();
}

/// RFC 6026 §7.3: a response is compared with the transactions: what is over is none.
#[test]
fn rfc6026_7_3_a_response_to_an_ended_transaction_is_not_forwarded() {
    let mut scene = Scene::new(RELAY);
    let request = scene.request("MESSAGE", &format!("{};transport=tcp", scene.bob.uri()), "");
    scene.send(&request);
    let message = scene.bob.hears("MESSAGE");
    scene.bob.answers(&message, 200);
    scene.alice.hears("SIP/2.0 200");
    scene.bob.replies(&message, message.response_text(202).as_bytes());
    scene.alice.is_left_alone();
}

/// Step 3: a response without a further Via was for us and is not forwarded.
#[test]
fn s16_7_3_a_response_without_a_further_via_is_not_forwarded() {
    let (mut scene, invite) = called();
    let text = invite.response_text(200);
    let theirs = invite.values("Via").remove(1);
    let only_ours = text.replace(&format!("Via: {theirs}\r\n"), "");
    assert_ne!(text, only_ours);
    scene.bob.replies(&invite, only_ours.as_bytes());
    scene.alice.is_left_alone();
    scene.sipjab.process.wait_for("response without a way back");
    scene.bob.answers(&invite, 200);
    scene.alice.hears("SIP/2.0 200");
}

/// Step 6: no tag is inserted into To of a 1xx or 2xx.
#[test]
fn s16_7_6_no_tag_is_inserted_into_a_1xx_or_2xx() {
    let (mut scene, invite) = called();
    for status in [180, 200] {
        let text = invite.response_text(status).replace(";tag=e2e", "");
        scene.bob.replies(&invite, text.as_bytes());
        let response = scene.alice.hears(&format!("SIP/2.0 {status}"));
        assert_eq!(response.message.header("To"), "<sip:bob@b.example>");
    }
}

/// Step 6: the tag in To of a 1xx or 2xx stays.
#[test]
fn s16_7_6_the_tag_of_a_1xx_or_2xx_stays() {
    let (mut scene, invite) = called();
    for status in [180, 200] {
        scene.bob.answers(&invite, status);
        let response = scene.alice.hears(&format!("SIP/2.0 {status}"));
        assert_eq!(response.message.header("To"), "<sip:bob@b.example>;tag=e2e");
    }
}

/// Step 6: the tag in To stays in every response to a request that has one.
#[test]
fn s16_7_6_the_tag_of_a_dialog_stays() {
    let mut scene = Scene::new(RELAY);
    for status in [200, 404, 603] {
        let request = scene.request("INFO", &scene.bob.uri(), "");
        let to = "To: <sip:bob@b.example>;tag=dialog";
        scene.send(&request.replace("To: <sip:bob@b.example>", to));
        let info = scene.bob.hears("INFO");
        scene.bob.answers(&info, status);
        let response = scene.alice.hears(&format!("SIP/2.0 {status}"));
        assert_eq!(response.message.header("To"), "<sip:bob@b.example>;tag=dialog");
    }
}

/// Step 9: the body of a response stays.
#[test]
fn s16_7_9_the_body_is_untouched() {
    let (mut scene, invite) = called();
    let body: Vec<u8> = (0..=255).collect();
    let length = format!("Content-Type: x/y\r\nContent-Length: {}", body.len());
    let head = invite.response_text(200).replace("Content-Length: 0", &length);
    scene.bob.replies(&invite, &[head.as_bytes(), &body].concat());
    assert_eq!(scene.alice.hears("SIP/2.0 200").message.body, body);
}

/// Step 9: no header is removed but the topmost Via.
#[test]
fn s16_7_9_only_the_topmost_via_is_removed() {
    let (mut scene, invite) = called();
    let lines = "X-Unheard: of\r\nX-Unheard: again\r\nContact: <sip:bob@192.0.2.3>\r\n\
        Record-Route: <sip:p2.example;lr>\r\nk: timer\r\nContent-Length: 0";
    let text = invite.response_text(200).replace("Content-Length: 0", lines);
    scene.bob.replies(&invite, text.as_bytes());
    let response = scene.alice.hears("SIP/2.0 200").message;
    let mut lines: Vec<_> = text.lines().skip(1).filter(|line| !line.is_empty()).collect();
    assert!(lines.remove(0).starts_with("Via: "));
    let found: Vec<_> =
        response.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(found, lines);
}

/// Step 9: `received` stays in the Via of the next hop.
#[test]
fn s16_7_9_received_stays() {
    let mut scene = Scene::new(RELAY);
    let local = scene.alice.agent.local.to_string();
    let request = scene.request("INVITE", &scene.bob.uri(), "");
    scene.send(&request.replacen(&local, "phone.invalid", 1));
    let invite = scene.bob.hears("INVITE");
    scene.bob.answers(&invite, 200);
    let via = scene.alice.hears("SIP/2.0 200").values("Via").remove(0);
    assert!(via.starts_with("SIP/2.0/UDP phone.invalid;") && via.contains(";received=127.0.0.1"));
}

/// Step 9: the response goes through the server transaction, which repeats it.
#[test]
fn s16_7_9_the_response_goes_through_the_server_transaction() {
    let mut scene = Scene::new(RELAY);
    let request = scene.send_to_bob("MESSAGE", "");
    let message = scene.bob.hears("MESSAGE");
    scene.bob.answers(&message, 202);
    scene.alice.hears("SIP/2.0 202");
    scene.alice.heard.clear();
    scene.send(&request);
    scene.alice.hears("SIP/2.0 202");
    scene.bob.is_left_alone();
}

/// §17.1.1.2: the ACK of a rejection goes where the INVITE went.
#[test]
fn s17_1_1_2_the_ack_goes_where_the_invite_went() {
    let (mut scene, invite) = called();
    // The response comes from elsewhere.
    let elsewhere = Phone::new();
    elsewhere.replies(&invite, &invite.message.response(486, "Busy"));
    let ack = scene.bob.hears("ACK");
    assert_eq!(ack.message.branch(), invite.message.branch());
    scene.alice.hears("SIP/2.0 486");
}
