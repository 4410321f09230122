//! §16.5: the targets of a request.

use super::{RELAY, Scene};
use crate::peer::COMPONENT;

const REGISTRAR: &str = r#"
fn request_route() {
    if method() == "REGISTER" { save("location"); return; }
    if !lookup("location") { sl_send_reply(404, "Not Found"); return; }
    t_relay();
}
"#;

/// A Request-URI with a maddr that is not ours is the only target.
#[test]
fn s16_5_a_request_uri_with_maddr_is_the_only_target() {
    let mut scene = Scene::new(RELAY);
    let bob = scene.bob.agent.local;
    let uri = format!("sip:bob@home.example:{};maddr={}", bob.port(), bob.ip());
    let request = scene.request("MESSAGE", &uri, "");
    scene.send(&request);
    assert_eq!(scene.bob.hears("MESSAGE").message.request_uri(), uri);
    scene.carol.is_left_alone();
}

/// A Request-URI of a domain that is not ours is the only target.
#[test]
fn s16_5_a_foreign_request_uri_is_the_only_target() {
    let mut scene = Scene::new(RELAY);
    scene.send_to_bob("MESSAGE", "");
    assert_eq!(scene.bob.hears("MESSAGE").message.request_uri(), scene.bob.uri());
    scene.carol.is_left_alone();
}

/// The location service is asked with the canonical Request-URI: §10.3, no parameters, nothing escaped.
#[test]
fn s16_5_the_location_service_is_asked_with_the_canonical_uri() {
    let mut scene = Scene::new(REGISTRAR);
    let to = format!("To: <sip:bob@{COMPONENT}>");
    let register = scene
        .request("REGISTER", &format!("sip:{COMPONENT}"), "")
        .replace("To: <sip:bob@b.example>", &to)
        .replace(&scene.alice.agent.local.to_string(), &scene.bob.agent.local.to_string())
        .replace("<sip:alice@127", "<sip:127");
    scene.bob.agent.send_udp(register.as_bytes(), scene.sipjab.udp);
    scene.bob.hears("SIP/2.0 200");
    let uri = format!("sip:%62ob@{};transport=udp;x=1", COMPONENT.to_uppercase());
    let request = scene.request("MESSAGE", &uri, "");
    scene.send(&request);
    assert_eq!(scene.bob.hears("MESSAGE").message.request_uri(), scene.bob.uri());
}

/// A target that is in the set is not added again.
#[test]
fn s16_5_a_target_is_not_added_twice() {
    let mut scene = Scene::new("fn request_route() { append_branch(ruri()); t_relay(); }");
    scene.send_to_bob("MESSAGE", "");
    scene.bob.hears("MESSAGE");
    scene.bob.is_left_alone();
}

/// A resource of ours that does not exist is answered with 404.
#[test]
fn s16_5_a_resource_that_does_not_exist_is_404() {
    let mut scene = Scene::new(REGISTRAR);
    let request = scene.request("INVITE", &format!("sip:nobody@{COMPONENT}"), "");
    scene.send(&request);
    scene.alice.hears("SIP/2.0 404");
}

/// A target set that stays empty is answered with an error, 480.
#[test]
fn s16_5_an_empty_target_set_is_480() {
    let script = r#"
        fn request_route() { t_on_branch("none"); t_relay(); }
        fn branch_route_none() { drop(); }
    "#;
    let mut scene = Scene::new(script);
    scene.send_to_bob("INVITE", "");
    scene.alice.hears("SIP/2.0 480");
    scene.bob.is_left_alone();
}
