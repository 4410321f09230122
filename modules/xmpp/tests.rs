use std::rc::Rc;

use super::*;
use crate::script::export::Kind;
use crate::script::router::recording::{Recording, message_route, request, route, stanza_route};
use crate::xmpp::ns::ContentNamespace;

fn attached() -> Gateway {
    let toml = "backend = 'component'\nxmpp_domain = 'sip.example'";
    Gateway::from(Params::from_toml(toml).parse::<Config>().unwrap())
}

fn stanza_of(text: &str) -> Box<Route> {
    let stanza = Stanza::parse(text, ContentNamespace::Component).unwrap();
    stanza_route(stanza, &Rc::default())
}

#[test]
fn a_message_becomes_a_stanza_and_success_is_known() {
    for (reply, status, reason) in [("handed_over", 200, "OK"), ("queued", 202, "Accepted")] {
        let mut gateway = attached();
        gateway.config.reply = if reply == "queued" { Reply::Queued } else { Reply::HandedOver };
        let router = Rc::<Recording>::default();
        let mut route = message_route(&router);
        assert_eq!(xmpp_send_message(&mut route, &gateway), Ok(true));
        assert_eq!(xmpp_status(&mut route, &gateway), Ok(status));
        assert_eq!(xmpp_reason(&mut route, &gateway).unwrap(), reason);
        let journal = router.journal();
        assert!(journal[0].starts_with("stanza from juliet@sip.example"), "{journal:?}");
        assert!(journal[0].ends_with(" to romeo@xmpp.example"), "{journal:?}");
    }
}

#[test]
fn without_a_backend_nothing_is_sent() {
    let gateway = Gateway::from(Config::default());
    let router = Rc::<Recording>::default();
    let error = xmpp_send_message(&mut message_route(&router), &gateway).unwrap_err();
    assert_eq!(error.status().0, 500);
    assert!(router.journal().is_empty());
}

#[test]
fn what_cannot_be_carried_fails_with_its_status() {
    let router = Rc::<Recording>::default();
    let picture = "Content-Type: image/png\r\nContent-Length: 1\r\n\r\nx";
    let message = request("MESSAGE", "sip:romeo@xmpp.example", picture);
    let mut route = route(Kind::Request, message, &router);
    assert_eq!(xmpp_send_message(&mut route, &attached()), Ok(false));
    assert_eq!(xmpp_status(&mut route, &attached()), Ok(415));
    assert!(router.journal().is_empty());
}

#[test]
fn the_reply_carries_the_verdict_and_its_header() {
    let router = Rc::<Recording>::default();
    let header = Some(("Contact", "<sip:new@xmpp.example>".to_owned()));
    let verdict = Verdict { header, ..Verdict::new(302, "Moved Temporarily") };
    router.verdict.replace(Some(verdict));
    let mut route = message_route(&router);
    assert_eq!(xmpp_send_message(&mut route, &attached()), Ok(false));
    router.journal();
    assert_eq!(xmpp_reply(&mut route, &attached()), Ok(true));
    assert!(route.is_answered && route.has_transaction);
    let reply = "reply 302 Moved Temporarily Contact: <sip:new@xmpp.example>";
    assert_eq!(router.journal(), ["transaction", reply]);
}

#[test]
fn a_reply_before_any_message_says_so() {
    let router = Rc::<Recording>::default();
    let mut route = message_route(&router);
    route.has_transaction = true;
    assert_eq!(xmpp_reply(&mut route, &attached()), Ok(true));
    assert_eq!(router.journal(), ["reply 500 No Message Was Sent"]);
}

#[test]
fn a_stanza_has_parts() {
    let mut route = stanza_of(
        "<message from='romeo@xmpp.example/orchard' to='juliet@sip.example' id='7' type='chat' \
         xml:lang='it'><subject>O</subject><body>Ciao &amp; addio</body></message>",
    );
    let gateway = &attached();
    assert_eq!(stanza_from(&mut route, gateway).unwrap(), "romeo@xmpp.example/orchard");
    assert_eq!(stanza_to(&mut route, gateway).unwrap(), "juliet@sip.example");
    assert_eq!(stanza_id(&mut route, gateway).unwrap(), "7");
    assert_eq!(stanza_type(&mut route, gateway).unwrap(), "chat");
    assert_eq!(stanza_lang(&mut route, gateway).unwrap(), "it");
    assert_eq!(stanza_child(&mut route, gateway, "body".into()).unwrap(), "Ciao & addio");
    assert_eq!(stanza_child(&mut route, gateway, "thread".into()).unwrap(), "");
}

#[test]
fn what_a_stanza_does_not_say_is_empty_and_its_type_normal() {
    let mut route = stanza_of("<message from='a@xmpp.example' to='b@sip.example'/>");
    let gateway = &attached();
    assert_eq!(stanza_id(&mut route, gateway).unwrap(), "");
    assert_eq!(stanza_type(&mut route, gateway).unwrap(), "normal");
    assert_eq!(stanza_lang(&mut route, gateway).unwrap(), "");
    assert!(stanza_from(&mut message_route(&Rc::default()), gateway).is_err(), "no stanza");
}

#[test]
fn a_stanza_is_refused_with_a_condition_of_the_standard() {
    let router = Rc::<Recording>::default();
    let text = "<message from='a@xmpp.example' to='b@sip.example'/>";
    let stanza = Stanza::parse(text, ContentNamespace::Component).unwrap();
    let mut route = stanza_route(stanza, &router);
    let gateway = &attached();
    let error = xmpp_refuse(&mut route, gateway, "forbiden".into(), "".into()).unwrap_err();
    assert!(error.to_string().contains("`forbiden` is none of RFC 6120"), "{error}");
    assert!(router.journal().is_empty());
    xmpp_refuse(&mut route, gateway, "forbidden".into(), "Not here".into()).unwrap();
    assert_eq!(router.journal(), ["refuse forbidden Not here"]);
    assert!(route.xmpp.unwrap().is_refused);
}

#[test]
fn a_message_that_is_kept_has_an_id_and_a_fate() {
    let mut gateway = attached();
    gateway.config.reply = Reply::Queued;
    let router = Rc::<Recording>::default();
    let mut route = message_route(&router);
    assert_eq!(message_id(&mut route, &gateway).unwrap(), "");
    xmpp_send_message(&mut route, &gateway).unwrap();
    let id = message_id(&mut route, &gateway).unwrap();
    assert_eq!(id.len(), 32);
    assert_eq!(message_fate(&mut route, &gateway, id).unwrap(), "delivered");
    let error = message_fate(&mut route, &gateway, "x".into()).unwrap_err();
    assert!(error.to_string().contains("32 hexadecimal digits"), "{error}");
}
