use super::*;
use crate::modules::core::tests::to;

const NONE: &Config = &Config {};

/// The Request-URI after an edit, or the status of the error.
fn after(
    uri: &str,
    edit: impl FnOnce(&mut Route) -> Result<(), RouteError>,
) -> Result<String, u16> {
    let mut route = to(uri);
    edit(&mut route).map_err(|error| error.status().0)?;
    Ok(route.message.request_uri().to_owned())
}

fn is(uri: &str) -> Result<String, u16> {
    Ok(uri.to_owned())
}

#[test]
fn a_new_uri_must_be_one() {
    let set = |uri: &'static str| after("sip:a@b", |route| seturi(route, NONE, uri.into()));
    assert_eq!(set("sip:x@y:1"), is("sip:x@y:1"));
    for bad in ["", "x@y", "sip:", "sip:a b@c", "sip:a@b\r\nEvil: 1"] {
        assert_eq!(set(bad), Err(500), "{bad:?}");
    }
}

#[test]
fn a_new_user_is_escaped() {
    let set = |user: &'static str| after("sip:a@b:1;x=y", |r| setuser(r, NONE, user.into()));
    assert_eq!(set("operator"), is("sip:operator@b:1;x=y"));
    assert_eq!(set("a b@c:d"), is("sip:a%20b%40c%3Ad@b:1;x=y"));
    assert_eq!(set("é\r\n"), is("sip:%C3%A9%0D%0A@b:1;x=y"));
    assert_eq!(set(""), is("sip:b:1;x=y"));
}

#[test]
fn a_new_host_must_be_one() {
    let set = |host: &'static str| after("sip:a@b:1", |r| sethost(r, NONE, host.into()));
    assert_eq!(set("sip.example"), is("sip:a@sip.example:1"));
    assert_eq!(set("[2001:db8::1]"), is("sip:a@[2001:db8::1]:1"));
    for bad in ["", "a b", "h:5060", "2001:db8::1", "h;x=y"] {
        assert_eq!(set(bad), Err(500), "{bad}");
    }
}

#[test]
fn port_0_removes_the_port() {
    let set = |port| after("sip:a@b:1", |route| setport(route, NONE, port));
    assert_eq!(set(5062), is("sip:a@b:5062"));
    assert_eq!(set(0), is("sip:a@b"));
    assert_eq!(set(65_536), Err(500));
    assert_eq!(set(-1), Err(500));
}

#[test]
fn users_are_stripped_character_by_character() {
    let left = |uri: &'static str, count| after(uri, |route| strip(route, NONE, count));
    assert_eq!(left("sip:0049@b", 2), is("sip:49@b"));
    assert_eq!(left("sip:0049@b", 0), is("sip:0049@b"));
    assert_eq!(left("sip:0049@b", 4), is("sip:b"), "nothing is left");
    assert_eq!(left("sip:0049@b", i64::MAX), is("sip:b"), "beyond its length");
    assert_eq!(left("sip:0049@b", -1), is("sip:0049@b"));
    assert_eq!(left("sip:b", 1), is("sip:b"), "there is no user");
    assert_eq!(left("sip:%20%41b@c", 1), is("sip:%41b@c"), "an escape is one character");
}

#[test]
fn users_are_stripped_from_behind_too() {
    let left = |uri: &'static str, count| after(uri, |route| strip_tail(route, NONE, count));
    assert_eq!(left("sip:0049@b", 2), is("sip:00@b"));
    assert_eq!(left("sip:0049@b", 0), is("sip:0049@b"));
    assert_eq!(left("sip:0049@b", 4), is("sip:b"), "nothing is left");
    assert_eq!(left("sip:0049@b", i64::MAX), is("sip:b"), "beyond its length");
    assert_eq!(left("sip:0049@b", -1), is("sip:0049@b"));
    assert_eq!(left("sip:a%20%41@c", 1), is("sip:a%20@c"), "an escape is one character");
}

#[test]
fn host_and_port_come_together() {
    let set = |text: &'static str| after("sip:a@b:1;x=y", |r| sethostport(r, NONE, text.into()));
    assert_eq!(set("h.example:5070"), is("sip:a@h.example:5070;x=y"));
    assert_eq!(set("h.example"), is("sip:a@h.example;x=y"));
    assert_eq!(set("[2001:db8::1]:2"), is("sip:a@[2001:db8::1]:2;x=y"));
    for bad in ["", "a@b", "h:0x1", "h:65536", "h;lr", "h?a=b", "h h", "2001:db8::1"] {
        assert_eq!(set(bad), Err(500), "{bad}");
    }
}

#[test]
fn user_and_password_come_together() {
    let set = |text: &'static str| after("sip:a:p@b:1", |r| setuserpass(r, NONE, text.into()));
    assert_eq!(set("u:s"), is("sip:u:s@b:1"));
    assert_eq!(set("u"), is("sip:u@b:1"));
    assert_eq!(set("u:a:b@c"), is("sip:u:a%3Ab%40c@b:1"));
    assert_eq!(set(""), Err(500), "a password needs a user");
}

#[test]
fn the_first_request_uri_returns() {
    let mut route = to("sip:a@b");
    setuser(&mut route, NONE, "x".into()).unwrap();
    setport(&mut route, NONE, 7).unwrap();
    revert_uri(&mut route, NONE).unwrap();
    assert_eq!(route.message.request_uri(), "sip:a@b");
}

#[test]
fn a_prefix_is_escaped_too() {
    let put = |uri: &'static str, text: &'static str| {
        after(uri, |route| prefix(route, NONE, text.into()))
    };
    assert_eq!(put("sip:49@b", "+"), is("sip:+49@b"));
    assert_eq!(put("sip:b", "x"), is("sip:x@b"));
    assert_eq!(put("sip:b", ""), is("sip:b"));
    assert_eq!(put("sip:49@b", "@"), is("sip:%4049@b"));
}

#[test]
fn a_next_hop_is_set_and_forgotten() {
    let mut route = to("sip:a@b");
    setdsturi(&mut route, NONE, "sip:192.0.2.1".into()).unwrap();
    assert_eq!(route.destination.as_deref(), Some("sip:192.0.2.1"));
    assert_eq!(isdsturiset(&mut route, NONE), Ok(true));
    assert!(setdsturi(&mut route, NONE, "192.0.2.1".into()).is_err());
    assert_eq!(route.message.request_uri(), "sip:a@b");
    resetdsturi(&mut route, NONE).unwrap();
    assert_eq!(isdsturiset(&mut route, NONE), Ok(false));
}
