//! RFC 7247 §7: the tables of the RFC, copied from it line by line.

use sipjab::gateway::condition::{code_from_condition, condition_from_code};
use sipjab::gateway::{
    Addressing, ErrorMap, Mapping, Scope, error_from_response, failure_from_error,
};
use sipjab::xmpp::{Condition, ErrorType, Jid, StanzaError};

/// Table 2: condition, code about a full JID, code about a bare JID.
const TABLE_2: &str = "
    bad-request              400  400
    conflict                 400  400
    feature-not-implemented  405  501
    forbidden                403  603
    gone                     410  410
    internal-server-error    500  500
    item-not-found           404  604
    jid-malformed            400  400
    not-acceptable           406  606
    not-allowed              403  403
    not-authorized           401  401
    policy-violation         403  403
    recipient-unavailable    480  600
    redirect                 302  302
    registration-required    407  407
    remote-server-not-found  404  404
    remote-server-timeout    408  408
    resource-constraint      500  500
    service-unavailable      403  403
    subscription-required    400  400
    undefined-condition      400  400
    unexpected-request       491  491
";

/// Table 3, without its class rows.
const TABLE_3: &str = "
    300 redirect
    301 gone
    302 redirect
    305 redirect
    380 not-acceptable
    400 bad-request
    401 not-authorized
    402 bad-request
    403 forbidden
    404 item-not-found
    405 feature-not-implemented
    406 not-acceptable
    407 registration-required
    408 remote-server-timeout
    410 gone
    413 policy-violation
    414 policy-violation
    415 not-acceptable
    416 not-acceptable
    420 feature-not-implemented
    421 not-acceptable
    423 resource-constraint
    430 recipient-unavailable
    439 feature-not-implemented
    440 policy-violation
    480 recipient-unavailable
    481 item-not-found
    482 not-acceptable
    483 not-acceptable
    484 item-not-found
    485 item-not-found
    486 recipient-unavailable
    487 recipient-unavailable
    488 not-acceptable
    489 policy-violation
    491 unexpected-request
    493 bad-request
    500 internal-server-error
    501 feature-not-implemented
    502 remote-server-not-found
    503 internal-server-error
    504 remote-server-timeout
    505 not-acceptable
    513 policy-violation
    600 recipient-unavailable
    603 recipient-unavailable
    604 item-not-found
    606 not-acceptable
";

fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .filter(|row: &Vec<_>| !row.is_empty())
}

fn named(name: &str) -> Condition {
    Condition::from_name(name).unwrap_or_else(|| panic!("{name} is no condition"))
}

fn jid(text: &str) -> Jid {
    Jid::new(text).unwrap()
}

#[test]
fn s7_1_table_2_holds() {
    assert_eq!(rows(TABLE_2).count(), 22);
    for row in rows(TABLE_2) {
        let [name, device, user] = row[..] else { panic!("{row:?}") };
        let code = |scope| code_from_condition(named(name), scope, false).to_string();
        assert_eq!([code(Scope::Device), code(Scope::User)], [device, user], "{name}");
    }
}

#[test]
fn s7_2_table_3_holds() {
    for row in rows(TABLE_3) {
        let [code, name] = row[..] else { panic!("{row:?}") };
        let found = condition_from_code(code.parse().unwrap(), ErrorMap::Rfc7247);
        assert_eq!(found, Some(named(name)), "{code}");
    }
}

#[test]
fn s7_2_a_code_that_is_not_listed_is_read_by_its_class() {
    let listed: Vec<u16> = rows(TABLE_3).map(|row| row[0].parse().unwrap()).collect();
    for code in (300..700).filter(|code| !listed.contains(code)) {
        let class = match code / 100 {
            3 => "redirect",
            4 => "bad-request",
            5 => "internal-server-error",
            _ => "recipient-unavailable",
        };
        assert_eq!(condition_from_code(code, ErrorMap::Rfc7247), Some(named(class)), "{code}");
    }
}

#[test]
fn s7_1_note_3_gone_with_an_address_is_301_with_contact_and_410_without() {
    let mapping = Mapping::default();
    let mut error = StanzaError::from(Condition::Gone);
    let to = jid("juliet@example.com");
    assert_eq!(failure_from_error(&error, &to, &mapping).code, 410);
    for (address, contact) in [
        ("xmpp:juliet@capulet.example", "sip:juliet@capulet.example"),
        ("xmpp:o%5c27malley@x.example?message", "sip:o'malley@x.example"),
        ("juliet@capulet.example", "sip:juliet@capulet.example"),
        ("sip:juliet@capulet.example", "sip:juliet@capulet.example"),
    ] {
        error.address = Some(address.to_owned());
        let failure = failure_from_error(&error, &to, &mapping);
        assert_eq!((failure.code, failure.contact.as_deref()), (301, Some(contact)), "{address}");
    }
    for unusable in ["xmpp:", "http://example.com/a b", "x\r\ny"] {
        error.address = Some(unusable.to_owned());
        let failure = failure_from_error(&error, &to, &mapping);
        assert_eq!((failure.code, failure.contact), (410, None), "{unusable}");
    }
}

#[test]
fn s7_1_redirect_names_its_address_as_contact() {
    let mut error = StanzaError::from(Condition::Redirect);
    error.address = Some("xmpp:a@b.example".to_owned());
    let failure = failure_from_error(&error, &jid("juliet@example.com"), &Mapping::default());
    assert_eq!((failure.code, failure.contact.as_deref()), (302, Some("sip:a@b.example")));
}

#[test]
fn s7_1_note_5_service_unavailable_is_never_503() {
    for to in ["juliet@example.com", "juliet@example.com/balcony"] {
        let error = StanzaError::from(Condition::ServiceUnavailable);
        assert_eq!(failure_from_error(&error, &jid(to), &Mapping::default()).code, 403);
    }
}

#[test]
fn s7_2_note_1_301_brings_the_new_address_and_410_none() {
    let mapping = Mapping::default();
    let contact = Some("sip:o'malley@moved.example");
    let gone = error_from_response(301, "Moved", contact, &mapping).unwrap();
    assert_eq!(gone.condition, Condition::Gone);
    assert_eq!(gone.address.as_deref(), Some("xmpp:o%5C27malley@moved.example"));
    let gone = error_from_response(410, "Gone", contact, &mapping).unwrap();
    assert_eq!((gone.condition, gone.address), (Condition::Gone, None));
    let redirect = error_from_response(302, "Elsewhere", contact, &mapping).unwrap();
    assert_eq!(redirect.condition, Condition::Redirect);
    assert_eq!(redirect.address.as_deref(), Some("xmpp:o%5C27malley@moved.example"));
}

#[test]
fn s7_the_reason_phrase_and_the_text_carry_each_other() {
    let mapping = Mapping::default();
    let error = error_from_response(480, "Gone fishing", None, &mapping).unwrap();
    assert_eq!(error.text.as_deref(), Some("Gone fishing"));
    assert_eq!(error.error_type, ErrorType::Wait);
    assert_eq!(failure_from_error(&error, &jid("a@b/c"), &mapping).reason, "Gone fishing");
    let plain = StanzaError::from(Condition::ItemNotFound);
    assert_eq!(failure_from_error(&plain, &jid("a@b/c"), &mapping).reason, "Not Found");
}

#[test]
fn s7_a_text_cannot_break_out_of_the_status_line() {
    let error =
        StanzaError::from(Condition::Forbidden).with_text("no\r\nContact: <sip:evil@x>\0\n\n");
    let failure = failure_from_error(&error, &jid("a@b/c"), &Mapping::default());
    assert_eq!(failure.reason, "no Contact: <sip:evil@x>");
    let long = StanzaError::from(Condition::Forbidden).with_text("x".repeat(10_000));
    let failure = failure_from_error(&long, &jid("a@b/c"), &Mapping::default());
    assert_eq!(failure.reason.len(), sipjab::gateway::text::MAX_LINE);
}

#[test]
fn s7_2_a_success_is_no_error() {
    for code in [100, 183, 200, 202, 299, 700] {
        assert_eq!(error_from_response(code, "OK", None, &Mapping::default()), None);
    }
}

/// The older table that a migrated site may choose.
#[test]
fn compat_pua_xmpp_has_its_own_table() {
    let mapping = Mapping {
        error_map: ErrorMap::PuaXmpp,
        addressing: Addressing::default(),
        ..Mapping::default()
    };
    let rows = "
        300 redirect               301 gone                    302 redirect
        305 redirect               380 not-acceptable          400 bad-request
        401 not-authorized         402 payment-required        403 forbidden
        404 item-not-found         405 not-allowed             406 not-acceptable
        407 registration-required  408 service-unavailable     410 gone
        413 bad-request            414 bad-request             415 bad-request
        416 bad-request            420 bad-request             421 bad-request
        423 bad-request            480 recipient-unavailable   481 item-not-found
        482 not-acceptable         483 not-acceptable          484 jid-malformed
        485 item-not-found         488 not-acceptable          491 unexpected-request
        500 internal-server-error  501 feature-not-implemented 502 remote-server-not-found
        503 service-unavailable    504 remote-server-timeout   505 not-acceptable
        513 bad-request            600 service-unavailable     603 service-unavailable
        604 item-not-found         606 not-acceptable          486 not-acceptable
    ";
    let words: Vec<&str> = rows.split_whitespace().collect();
    for pair in words.chunks(2) {
        let error = error_from_response(pair[0].parse().unwrap(), "", None, &mapping).unwrap();
        assert_eq!(error.condition, named(pair[1]), "{}", pair[0]);
    }
}
