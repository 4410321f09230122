use std::rc::Rc;

use super::*;
use crate::script::router::Contact;
use crate::script::router::recording::{Recording, message_route};

const ROMEO: &str = "sip:romeo@xmpp.example";

/// A route to a user who is registered at these places.
fn registered(uri: &str, received: Option<&str>) -> Box<Route> {
    let router = Rc::<Recording>::default();
    let contact = Contact { uri: uri.into(), received: received.map(Into::into) };
    router.contacts.borrow_mut().insert(ROMEO.to_owned(), contact);
    message_route(&router)
}

#[test]
fn a_contact_becomes_the_request_uri_and_the_next_hop() {
    let mut route = registered("sip:r@192.0.2.9:5062", None);
    assert_eq!(lookup(&mut route, &Config::default(), "location".into()), Ok(true));
    assert_eq!(route.message.request_uri(), "sip:r@192.0.2.9:5062");
    assert_eq!(route.destination.as_deref(), Some("sip:r@192.0.2.9:5062"));
}

#[test]
fn a_phone_behind_nat_is_reached_where_its_register_came_from() {
    let mut route = registered("sip:r@10.0.0.9", Some("sip:192.0.2.9:40000"));
    assert_eq!(lookup(&mut route, &Config::default(), "location".into()), Ok(true));
    assert_eq!(route.message.request_uri(), "sip:r@10.0.0.9");
    assert_eq!(route.destination.as_deref(), Some("sip:192.0.2.9:40000"));
}

#[test]
fn nothing_changes_when_nobody_is_registered() {
    let mut elsewhere = registered("sip:r@192.0.2.9", None);
    let mut nobody = message_route(&Rc::default());
    for (route, table) in [(&mut elsewhere, "other"), (&mut nobody, "location")] {
        assert_eq!(lookup(route, &Config::default(), table.into()), Ok(false));
        assert_eq!(route.message.request_uri(), ROMEO);
        assert_eq!(route.destination, None);
    }
}

#[test]
fn a_register_is_answered() {
    let router = Rc::<Recording>::default();
    let mut route = message_route(&router);
    assert_eq!(save(&mut route, &Config::default(), "location".into()), Ok(true));
    assert!(route.is_answered);
    assert_eq!(router.journal(), ["save location"]);
}

#[test]
fn parameters_have_their_ranges() {
    for bad in ["default_expires = 0", "max_expires = 86401", "max_contacts = 0"] {
        assert!(Params::from_toml(bad).parse::<Config>().is_err(), "{bad}");
    }
    let good = "default_expires = 600\nmax_expires = 86400\nmax_contacts = 100";
    let read = Config { default_expires: 600, max_expires: 86_400, max_contacts: 100 };
    assert_eq!(Params::from_toml(good).parse(), Ok(read));
}
