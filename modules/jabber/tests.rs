use std::rc::Rc;

use super::*;
use crate::script::export::Kind;
use crate::script::router::recording::{Recording, route};
use crate::sip::Message;

fn jabber(more: &str) -> Jabber {
    let text = format!("jdomain = 'jabber.x.com=*'\naliases = '2;icq.x.com;msn.x.com=%;'\n{more}");
    let config = Params::from_toml(&text).parse::<Config>().unwrap();
    Jabber { ser: config.ser(), mapping: config.mapping(), config }
}

/// A MESSAGE of Joe's to these URIs, and who writes down what becomes of it.
fn message(ruri: &str, to: &str) -> (Box<Route>, Rc<Recording>) {
    let text = format!(
        "MESSAGE {ruri} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
         From: \"Joe\" <sip:joe@sip.example:5070;user=phone>;tag=1\r\nTo: <{to}>\r\nCall-ID: a\r\n\
         CSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
    );
    let router = Rc::<Recording>::default();
    (route(Kind::Request, Message::parse(text.into()).unwrap(), &router), router)
}

const ELSEWHERE: &str = "sip:x@elsewhere.com";

#[test]
fn the_sender_is_the_aor_of_from_and_the_destination_the_first_that_is_served() {
    for (ruri, to, expected) in [
        (
            "sip:al*y.com@jabber.x.com",
            ELSEWHERE,
            "send al@y.com from \"sip:al*y.com@jabber.x.com\"",
        ),
        (
            ELSEWHERE,
            "sip:al*y.com@JABBER.x.com:5060;x=y",
            "send al@y.com from \"sip:al*y.com@JABBER.x.com\"",
        ),
        (
            "sip:1@icq.x.com",
            "sip:al*y.com@jabber.x.com",
            "send 1@icq.x.com from \"sip:1@icq.x.com\"",
        ),
        (
            "sip:al*h.com@msn.x.com",
            ELSEWHERE,
            "send al%h.com@msn.x.com from \"sip:al*h.com@msn.x.com\"",
        ),
        (
            "sip:*r*c.y.com@jabber.x.com",
            ELSEWHERE,
            "say r@c.y.com from \"sip:*r*c.y.com@jabber.x.com\"",
        ),
    ] {
        let (mut route, router) = message(ruri, to);
        assert_eq!(send_message(&mut route, &jabber("")), Ok(true));
        let expected = format!("account sip:joe@sip.example {expected} HandedOver");
        assert_eq!(router.journal(), [expected]);
    }
}

#[test]
fn what_is_queued_has_an_id_that_the_script_can_ask_for() {
    for (reply, promise, has_id) in [
        ("queued", "Queued", true),
        ("handed_over", "HandedOver", false),
        ("delivered", "Delivered", false),
    ] {
        let (mut route, router) = message("sip:al*y.com@jabber.x.com", ELSEWHERE);
        let jabber = jabber(&format!("reply = '{reply}'"));
        assert_eq!(send_message(&mut route, &jabber), Ok(true));
        assert!(router.journal()[0].ends_with(promise), "{:?}", router.journal());
        assert_eq!(route.message_id.is_some(), has_id, "{reply}");
        assert_eq!(jabber.mapping.receipts, reply == "delivered");
    }
}

#[test]
fn what_is_not_of_the_jabber_network_is_404() {
    for ruri in [ELSEWHERE, "sip:al@jabber.x.com", "sip:a*b*c*d@jabber.x.com"] {
        let (mut route, router) = message(ruri, ELSEWHERE);
        assert_eq!(send_message(&mut route, &jabber("")), Ok(false), "{ruri}");
        assert_eq!(route.verdict.status, 404);
        assert!(router.journal().is_empty());
    }
    let (mut route, _) = message("sip:al*y.com@jabber.x.com", ELSEWHERE);
    assert_eq!(is_jabber_destination(&mut route, &jabber("")), Ok(true));
    let (mut route, _) = message(ELSEWHERE, ELSEWHERE);
    assert_eq!(is_jabber_destination(&mut route, &jabber("")), Ok(false));
}

#[test]
fn conferences_take_the_users_own_name_for_a_nick_that_is_missing() {
    for (ruri, nick) in
        [("sip:bob*r*c.y.com@jabber.x.com", "bob"), ("sip:*r*c.y.com@jabber.x.com", "joe")]
    {
        let (mut route, router) = message(ruri, ELSEWHERE);
        assert_eq!(join_conference(&mut route, &jabber("")), Ok(true));
        assert_eq!(exit_conference(&mut route, &jabber("")), Ok(true));
        let line = |wish| format!("account sip:joe@sip.example {wish} from {ruri:?} HandedOver");
        assert_eq!(
            router.journal(),
            [line(format!("join r@c.y.com/{nick}")), line("exit r@c.y.com".into())]
        );
    }
    let (mut route, _) = message("sip:al*y.com@jabber.x.com", ELSEWHERE);
    assert_eq!(join_conference(&mut route, &jabber("")), Ok(false));
    assert_eq!(route.verdict.reason, "Not A Conference");
}

#[test]
fn an_order_waits_unless_the_profile_is_sers_or_the_reply_is_out() {
    let online = |more: &str, is_answered| {
        let (mut route, router) = message(ELSEWHERE, ELSEWHERE);
        route.is_answered = is_answered;
        assert_eq!(go_online(&mut route, &jabber(more)), Ok(true));
        assert_eq!(go_offline(&mut route, &jabber(more)), Ok(true));
        router.journal().concat()
    };
    assert!(online("", false).contains("online from \"\" HandedOver"));
    assert!(online("", true).contains("offline from \"\" Queued"));
    assert!(online("profile = 'ser'", false).contains("online from \"\" Queued"));
}

#[test]
fn without_jdomain_the_module_is_off() {
    let config = Config::default();
    let jabber = Jabber { ser: config.ser(), mapping: config.mapping(), config };
    let (mut route, _) = message(ELSEWHERE, ELSEWHERE);
    assert!(matches!(go_online(&mut route, &jabber), Err(RouteError::NotConfigured(_))));
}

#[test]
fn the_profile_of_ser_has_its_habits() {
    let ser = jabber("profile = 'ser'\njaddress = 'jab.x.com'").config;
    assert_eq!(
        (&*ser.resource("sip:joe@x"), ser.priority, ser.tls()),
        ("serXjab", 9, TlsName::WhereOffered)
    );
    assert!(ser.settings().approves);
    assert_eq!(ser.account("joe"), ("joe", "jab.x.com"));
    assert_eq!(ser.account("joe@y.com"), ("joe", "y.com"));
    let rfc = jabber("").config;
    assert_eq!(
        (rfc.resource("sip:joe@x"), rfc.tls()),
        (rfc.resource("sip:joe@x"), TlsName::Required)
    );
    assert_ne!(rfc.resource("sip:joe@x"), rfc.resource("sip:ann@x"));
    assert!(!rfc.settings().approves);
}

#[test]
fn parameters_are_looked_at() {
    let refused = |text: &str| Params::from_toml(text).parse::<Config>().unwrap_err().to_string();
    assert!(refused("seal_secret = 'short'").contains("fewer than 16"));
    assert!(refused("[texts]\nerr_jaut = 'x'").contains("there is no text `err_jaut`"));
    assert!(refused("registrar = 'a b'").contains("expected `user@host`"));
    let config =
        jabber("proxy = 'proxy.x.com:5062'\n[texts]\nerr_jauth = 'No.'\ninf_joffline = ''").config;
    assert_eq!(config.proxy.as_deref(), Some("sip:proxy.x.com:5062"));
    assert_eq!(config.words(crate::gateway::Text::ErrJauth), Some("No."));
    assert_eq!(config.words(crate::gateway::Text::InfJoffline), None);
}
