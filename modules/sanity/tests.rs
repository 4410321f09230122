use std::rc::Rc;

use super::*;
use crate::script::export::Kind;
use crate::script::router::recording::{Recording, message_route, request, route};

/// What `sanity_check` with one check says of a request with these header lines, and the reply.
fn checked(uri: &str, more: &str, checks: i64, uris: i64) -> (bool, Vec<String>) {
    let router = Rc::<Recording>::default();
    let mut route = route(Kind::Request, request("MESSAGE", uri, more), &router);
    let found = sanity_check_both(&mut route, &Config::default(), checks, uris).unwrap();
    assert_eq!(route.is_answered, !found);
    assert!(route.reply_headers.is_empty());
    (found, router.journal())
}

#[test]
fn each_fault_is_found_by_its_check_and_answered() {
    let digest = "Authorization: Digest username=\"a, b\", realm=\"r\", nonce=\"n\", uri=\"sip:x\"";
    for (bit, more, said) in [
        (64, "CSeq: 2147483648 MESSAGE\r\n", "400 Bad CSeq"),
        (128, "Content-Length: 1\r\n\r\nab", "400 Content-Length Mismatch"),
        (128, "l: x\r\n", "400 Bad Content-Length"),
        (256, "Expires: soon\r\n", "400 Bad Expires"),
        (512, "Proxy-Require: a, b\r\n", "420 Bad Extension Unsupported: a, b"),
        (512, "Proxy-Require: a\r\n  b\r\n", "400 Bad Proxy-Require"),
        (2048, "Proxy-Authorization: Digest\r\n", "400 Bad Proxy-Authorization"),
        (2048, "Authorization: digest a=\"username=x\"\r\n", "400 Bad Authorization"),
        (8192, &format!("{digest}\r\n"), "400 Bad Authorization"),
        (4096, "From: <sip:a@b>;tag=1;tag=2\r\n", "400 Two From Tags"),
    ] {
        let router = Rc::<Recording>::default();
        let mut message = request("MESSAGE", "sip:b@c", more);
        // A header that may stand once takes the place of the one that every request has.
        for name in ["From", "CSeq"].iter().filter(|name| more.starts_with(**name)) {
            let value = more.trim_end().split_once(": ").unwrap().1;
            message.set_header(name, value).unwrap();
        }
        let mut route = route(Kind::Request, message, &router);
        let all_others = 32_767 & !bit;
        let found = sanity_check_message(&mut route, &Config::default(), bit).unwrap();
        assert_eq!((found, router.journal()), (false, vec![format!("sl {said}")]), "{more}");
        let harmless = if matches!(bit, 2048 | 8192) { 1 } else { all_others & !1024 };
        let mut route = self::route(Kind::Request, route.message.clone(), &router);
        let found = sanity_check_message(&mut route, &Config::default(), harmless);
        assert_eq!(found, Ok(true), "{more}: {:?}", router.journal());
    }
}

#[test]
fn a_good_request_passes_every_check() {
    let digest = "Authorization: Digest username=\"a\\\", b\", realm=\"r\", nonce=\"n\", \
                  uri=\"sip:x\", response=\"0\"\r\nProxy-Authorization: Basic x\r\nContact: *\r\n";
    assert_eq!(checked("sip:b@c", digest, 32_767, 15), (true, vec![]));
}

#[test]
fn a_request_with_a_transaction_is_answered_through_it() {
    let router = Rc::<Recording>::default();
    let mut route = message_route(&router);
    route.has_transaction = true;
    route.message.set_header("Expires", "x").unwrap();
    assert_eq!(sanity_check(&mut route, &Config::default()), Ok(false));
    assert_eq!(router.journal(), ["reply 400 Bad Expires"]);
}

#[test]
fn schemes_that_lead_nowhere_are_refused() {
    for (uri, is_good) in
        [("sip:a", true), ("tel:+1", true), ("urn:service:sos", true), ("http://a", false)]
    {
        assert_eq!(checked(uri, "", 2, 0).0, is_good, "{uri}");
    }
}

#[test]
fn uris_are_checked_where_they_are_asked_for() {
    let contact = "Contact: <nonsense>\r\n";
    assert_eq!(checked("sip:b@c", contact, 1024, 7), (true, vec![]));
    let refused = vec!["sl 400 Bad Contact URI".to_owned()];
    assert_eq!(checked("sip:b@c", contact, 1024, 8), (false, refused));
    assert!(checked("sip:b@c", contact, 999, 15).0, "1024 asks for URIs");
}

#[test]
fn options_of_ours_may_be_required() {
    let config = Config { proxy_require: vec!["Gin".into()], ..Config::default() };
    let mut message = request("MESSAGE", "sip:b@c", "Proxy-Require: gin\r\n");
    let mut route = route(Kind::Request, message.clone(), &Rc::default());
    assert_eq!(sanity_check(&mut route, &config), Ok(true));
    assert!(route.meets_proxy_require);
    message.set_header("Proxy-Require", "gin, sec-agree").unwrap();
    route.message = message;
    assert_eq!(sanity_check(&mut route, &config), Ok(false));
    let last = route.last_error.clone().unwrap();
    assert_eq!((last.status, last.reason), (420, "Bad Extension"));
    assert_eq!(last.header, Some(("Unsupported", "sec-agree".to_owned())));
}

#[test]
fn the_script_may_answer_by_itself() {
    let router = Rc::<Recording>::default();
    let config = Config { noreply: true, ..Config::default() };
    let mut route = message_route(&router);
    route.message.set_header("Expires", "x").unwrap();
    assert_eq!(sanity_check(&mut route, &config), Ok(false));
    assert!(router.journal().is_empty() && !route.is_answered);
    let last = route.last_error.clone().unwrap();
    assert_eq!((last.status, last.reason), (400, "Bad Expires"));
}

#[test]
fn sums_have_their_ranges() {
    let mut route = message_route(&Rc::default());
    for bad in [-1, 32_768, i64::MAX] {
        assert!(sanity_check_message(&mut route, &Config::default(), bad).is_err(), "{bad}");
    }
    let error = sanity_check_both(&mut route, &Config::default(), 1, 16).unwrap_err();
    assert_eq!(error.status().0, 500);
    for bad in ["default_checks = 32768", "uri_checks = 16", "noreply = 1", "autodrop = 1"] {
        assert!(Params::from_toml(bad).parse::<Config>().is_err(), "{bad}");
    }
}

#[test]
fn every_check_has_a_number_of_its_own() {
    for rows in [MESSAGE_CHECKS, URI_CHECKS] {
        let sum = rows.iter().fold(0_u16, |sum, row| {
            assert!(row.bit.is_power_of_two() && sum & row.bit == 0, "{}", row.bit);
            sum | row.bit
        });
        assert!(sum < 32_768);
    }
}
