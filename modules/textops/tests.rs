use std::rc::Rc;

use regex::Regex;

use super::*;
use crate::script::export::Kind;
use crate::script::router::recording::{message_route, request, route};
use crate::sip::EditError;

const NONE: &Config = &Config {};

fn hello() -> Box<Route> {
    message_route(&Rc::default())
}

/// A route of a request with these header lines and this body.
fn with(more: &str) -> Box<Route> {
    route(Kind::Request, request("MESSAGE", "sip:a@sip.example", more), &Rc::default())
}

fn pattern(text: &str) -> Pattern {
    Pattern(Rc::new(Regex::new(text).unwrap()))
}

#[test]
fn a_search_covers_first_line_headers_and_body() {
    for (text, is_there) in [
        ("^MESSAGE sip:romeo@xmpp.example SIP/2.0", true),
        ("User-Agent: test", true),
        ("Hello$", true),
        ("(?s)^MESSAGE.*Hello$", true),
        ("hello", false),
        ("(?i)hello", true),
    ] {
        assert_eq!(search(&mut hello(), NONE, pattern(text)), Ok(is_there), "{text}");
    }
    let mut route = hello();
    append_hf(&mut route, NONE, "X-New".into(), "fresh".into()).unwrap();
    assert_eq!(search(&mut route, NONE, pattern("X-New: fresh")), Ok(true), "edits are seen");
}

#[test]
fn a_search_in_the_body_sees_the_body_only() {
    assert_eq!(search_body(&mut hello(), NONE, pattern("^Hello$")), Ok(true));
    assert_eq!(search_body(&mut hello(), NONE, pattern("User-Agent")), Ok(false));
}

#[test]
fn a_search_in_a_header_sees_all_its_lines_under_both_names() {
    let mut route = with("s: first\r\nSubject: second\r\nX-Own: third\r\n");
    for (header, text, is_there) in [
        ("Subject", "first", true),
        ("s", "second", true),
        ("subject", "third", false),
        ("x-own", "third", true),
        ("X-Other", ".*", false),
    ] {
        let found = search_hf(&mut route, NONE, header.into(), pattern(text));
        assert_eq!(found, Ok(is_there), "{header} {text}");
    }
}

#[test]
fn methods_are_compared_as_they_are() {
    for (methods, is_it) in [
        ("MESSAGE", true),
        ("INVITE|MESSAGE", true),
        ("INVITE | MESSAGE", true),
        ("message", false),
        ("MESS", false),
        ("", false),
    ] {
        assert_eq!(is_method(&mut hello(), NONE, methods.into()), Ok(is_it), "{methods}");
    }
}

#[test]
fn a_body_has_the_type_that_its_header_says() {
    let typed = |value: &str| with(&format!("c: {value}\r\nContent-Length: 1\r\n\r\nx"));
    for value in ["text/plain", "TEXT/Plain;charset=utf-8", "text/plain ; a=b"] {
        let found = has_body_of(&mut typed(value), NONE, "text/plain".into());
        assert_eq!(found, Ok(true), "{value}");
    }
    assert_eq!(has_body_of(&mut typed("text/html"), NONE, "text/plain".into()), Ok(false));
    let mut untyped = with("Content-Length: 1\r\n\r\nx");
    assert_eq!(has_body(&mut untyped, NONE), Ok(true));
    assert_eq!(has_body_of(&mut untyped, NONE, "text/plain".into()), Ok(false));
    let mut empty = with("Content-Type: text/plain\r\nContent-Length: 0\r\n");
    assert_eq!(has_body(&mut empty, NONE), Ok(false));
    assert_eq!(has_body_of(&mut empty, NONE, "text/plain".into()), Ok(false));
}

#[test]
fn headers_are_read_added_and_removed() {
    let mut route = with("Subject: one\r\n");
    let value = |route: &mut Route| hdr(route, NONE, "s".into()).unwrap();
    assert_eq!(is_present_hf(&mut route, NONE, "s".into()), Ok(true));
    append_hf(&mut route, NONE, "Subject".into(), "two".into()).unwrap();
    assert_eq!(value(&mut route), "one");
    insert_hf(&mut route, NONE, "Subject".into(), "zero".into()).unwrap();
    assert_eq!(value(&mut route), "zero");
    set_hf(&mut route, NONE, "Subject".into(), "only".into()).unwrap();
    assert_eq!(value(&mut route), "only");
    assert_eq!(remove_hf(&mut route, NONE, "Subject".into()), Ok(true));
    assert_eq!(remove_hf(&mut route, NONE, "Subject".into()), Ok(false));
    assert_eq!(is_present_hf(&mut route, NONE, "Subject".into()), Ok(false));
    assert_eq!(value(&mut route), "");
}

#[test]
fn replies_carry_what_the_script_adds() {
    let mut route = hello();
    append_to_reply(&mut route, NONE, "Retry-After".into(), "60".into()).unwrap();
    assert_eq!(route.reply_headers, [("Retry-After".into(), "60".into())]);
    assert!(route.message.header_named("Retry-After").is_none());
    for (name, value) in [("", "1"), ("A B", "1"), ("X", "1\r\nEvil: 1")] {
        let error = append_to_reply(&mut route, NONE, name.into(), value.into()).unwrap_err();
        assert_eq!(error.status().0, 500, "{name}");
    }
    let mut more = |_| append_to_reply(&mut route, NONE, "X".into(), "1".into()).is_ok();
    let added = (0..MAX_REPLY_HEADERS).filter(|_| more(())).count();
    assert_eq!(added, MAX_REPLY_HEADERS - 1, "one was there");
}

#[test]
fn a_header_cannot_bring_another_one_along() {
    type Edit = fn(&mut Route, &Config, ImmutableString, ImmutableString) -> Result<(), RouteError>;
    for edit in [append_hf as Edit, insert_hf, set_hf] {
        for bad in ["x\r\nEvil: 1", "x\nEvil: 1", "x\rEvil: 1", "x\0"] {
            let error = edit(&mut hello(), NONE, "P-Hint".into(), bad.into()).unwrap_err();
            assert_eq!(error, RouteError::Edit(EditError::LineBreak), "{bad:?}");
            assert_eq!(error.status().0, 500);
        }
        for bad in ["", "P Hint", "P-Hint:", "Evil: 1\r\nP-Hint"] {
            let error = edit(&mut hello(), NONE, bad.into(), "x".into()).unwrap_err();
            assert_eq!(error, RouteError::Edit(EditError::Name), "{bad:?}");
        }
    }
    let error = set_body(&mut hello(), NONE, "x".into(), "a/b\r\nEvil: 1".into()).unwrap_err();
    assert_eq!(error, RouteError::Edit(EditError::LineBreak));
}

#[test]
fn a_new_body_brings_its_type_and_length() {
    let mut route = hello();
    set_body(&mut route, NONE, "Grüße".into(), "text/html".into()).unwrap();
    assert_eq!(route.message.body(), "Grüße".as_bytes());
    assert_eq!(hdr(&mut route, NONE, "Content-Type".into()).unwrap(), "text/html");
    assert_eq!(hdr(&mut route, NONE, "Content-Length".into()).unwrap(), "7");
}

#[test]
fn a_text_matches_where_the_pattern_is_anywhere_in_it() {
    for (text, is_there) in [("aBcD", true), ("abd", false), ("", false)] {
        assert_eq!(matches(&mut hello(), NONE, text.into(), pattern("(?i)b.d")), Ok(is_there));
    }
}
