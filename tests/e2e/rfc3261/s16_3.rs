//! §16.1 to §16.3: statefulness, what every request goes through, validation.

use std::io::Write as _;

use super::{RELAY, Scene};
use crate::process::PATIENCE;

/// §16.1: who answers a request directly does it as §8.2 says.
#[test]
fn s16_1_an_answer_of_our_own_is_that_of_a_user_agent_server() {
    let mut scene = Scene::new(RELAY);
    let request = scene.send_to_bob("MESSAGE", "Max-Forwards: 0\r\n");
    let answer = scene.alice.hears("SIP/2.0 483").message;
    for name in ["From", "Call-ID", "CSeq"] {
        assert!(request.contains(&format!("\r\n{name}: {}\r\n", answer.header(name))), "{name}");
    }
    let to = answer.header("To").strip_prefix("<sip:bob@b.example>;tag=").expect("a tag");
    assert!(!to.is_empty());
    assert!(answer.header("Via").starts_with(&format!("SIP/2.0/UDP {}", scene.alice.agent.local)));
}

/// §16.1: a request that is forwarded to more than one location has a transaction.
#[test]
fn s16_1_a_forked_request_is_handled_statefully() {
    let mut scene = Scene::forking();
    let request = scene.send_to_bob("INVITE", "");
    let at_bob = scene.bob.hears("INVITE");
    let at_carol = scene.carol.hears("INVITE");
    scene.send(&request);
    scene.bob.answers(&at_bob, 486);
    scene.carol.answers(&at_carol, 486);
    scene.alice.hears("SIP/2.0 486");
    scene.bob.hears("ACK");
    scene.carol.hears("ACK");
    scene.bob.is_left_alone();
    scene.carol.is_left_alone();
}

/// §16.1: between transports of which one is unreliable a request is handled statefully.
#[test]
fn s16_1_from_tcp_to_udp_the_proxy_repeats_the_request() {
    let mut scene = Scene::new(RELAY);
    let request = scene.request("MESSAGE", &scene.bob.uri(), "").replace("/UDP", "/TCP");
    let mut stream = scene.alice.agent.connect(scene.sipjab.tcp);
    stream.write_all(request.as_bytes()).unwrap();
    let (first, _) = scene.bob.agent.next(PATIENCE).expect("the MESSAGE");
    let (second, _) = scene.bob.agent.next(PATIENCE).expect("the MESSAGE again");
    assert!(first.header("Via").starts_with("SIP/2.0/UDP"));
    assert_eq!((first.start.as_str(), first.branch()), (second.start.as_str(), second.branch()));
}

/// §16.2: 100 is that of a user agent server, §8.2.6: no tag of its own, the Timestamp of the request.
#[test]
fn s16_2_trying_is_that_of_a_user_agent_server() {
    let mut scene = Scene::new(RELAY);
    scene.send_to_bob("INVITE", "Timestamp: 54\r\n");
    scene.bob.hears("INVITE");
    let (trying, _) = scene.alice.agent.next(PATIENCE).expect("a 100");
    assert_eq!((trying.status(), trying.header("Timestamp")), (100, "54"));
    assert_eq!(trying.header("To"), "<sip:bob@b.example>");
}

/// §16.2: each new request, also of an unknown method, is validated, has its Route preprocessed, is given targets, is
/// forwarded, and has its responses processed.
#[test]
fn s16_2_an_unknown_method_takes_every_step() {
    let mut scene = Scene::new(RELAY);
    scene.send_to_bob("SUMMON", "Max-Forwards: 0\r\n");
    scene.alice.hears("SIP/2.0 483");
    let route = format!("Route: <sip:{};lr>\r\n", scene.sipjab.udp);
    scene.send_to_bob("SUMMON", &route);
    let summon = scene.bob.hears("SUMMON");
    assert!(summon.values("Route").is_empty());
    assert_eq!((summon.message.header("Max-Forwards"), summon.values("Via").len()), ("69", 2));
    scene.bob.answers(&summon, 200);
    assert_eq!(scene.alice.hears("SIP/2.0 200").values("Via").len(), 1);
}

/// §16.3: a request is validated before it is proxied.
#[test]
fn s16_3_a_bad_request_is_not_proxied() {
    let mut scene = Scene::new(RELAY);
    let request = scene.request("MESSAGE", &scene.bob.uri(), "");
    scene.send(&request.replace("CSeq: 7 MESSAGE", "CSeq: 7 BYE"));
    scene.alice.hears("SIP/2.0 400");
    scene.bob.is_left_alone();
}

/// §16.3: merged requests are no error.
#[test]
fn s16_3_merged_requests_are_no_error() {
    let mut scene = Scene::new(RELAY);
    let request = scene.send_to_bob("MESSAGE", "");
    scene.send(&request.replace("branch=z9hG4bK", "branch=z9hG4bKother"));
    for _ in 0..2 {
        let message = scene.bob.hears("MESSAGE");
        scene.bob.answers(&message, 200);
        scene.alice.hears("SIP/2.0 200");
    }
}

/// §16.3 step 1: no request is refused for an unknown method or header.
#[test]
fn s16_3_1_unknown_methods_and_headers_are_proxied() {
    let mut scene = Scene::new(RELAY);
    scene.send_to_bob("SUMMON", "X-Unheard: of\r\nRequire: nothing-known\r\n");
    let summon = scene.bob.hears("SUMMON");
    assert_eq!(summon.message.header("X-Unheard"), "of");
}

/// §16.3 step 3: without hops the answer is 483.
#[test]
fn s16_3_3_zero_max_forwards_is_refused_with_483() {
    let mut scene = Scene::new(RELAY);
    scene.send_to_bob("INVITE", "Max-Forwards: 0\r\n");
    scene.alice.hears("SIP/2.0 483");
    scene.bob.is_left_alone();
}

/// §16.3 step 5: an option of Proxy-Require that is not understood is refused with 420.
#[test]
fn s16_3_5_an_unknown_proxy_require_is_refused_with_420() {
    let mut scene = Scene::new(RELAY);
    for method in ["MESSAGE", "INVITE"] {
        scene.send_to_bob(method, "Proxy-Require: nothing-known\r\n");
        scene.alice.hears("SIP/2.0 420");
    }
    // §20.29: an ACK cannot be refused.
    scene.send_to_bob("ACK", "Proxy-Require: nothing-known\r\n");
    scene.bob.hears("ACK");
}

/// §16.3 step 5: the 420 lists what was not understood.
#[test]
fn s16_3_5_the_420_lists_what_is_not_understood() {
    let mut scene = Scene::new(RELAY);
    scene.send_to_bob("MESSAGE", "Proxy-Require: nothing-known, nor-this\r\n");
    let refusal = scene.alice.hears("SIP/2.0 420");
    assert_eq!(refusal.values("Unsupported"), ["nothing-known", "nor-this"]);
    let caught =
        "fn request_route() { try { forward(); } catch (e) { t_reply(e.status, e.reason); } }";
    let mut scene = Scene::new(caught);
    scene.send_to_bob("MESSAGE", "Proxy-Require: nothing-known\r\n");
    assert_eq!(scene.alice.hears("SIP/2.0 420").values("Unsupported"), ["nothing-known"]);
}

/// §17.2.1: a new INVITE is passed to the user, who is the script.
#[test]
fn s17_2_1_a_new_invite_reaches_the_script() {
    let scene = Scene::new(r#"fn request_route() { info("it is " + method()); t_relay(); }"#);
    scene.send_to_bob("INVITE", "");
    scene.sipjab.process.wait_for("it is INVITE");
}
