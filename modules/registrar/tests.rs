use std::rc::Rc;

use super::config::DbMode;
use super::*;
use crate::script::router::recording::{Recording, message_route};
use crate::sip::location::{OutboundMode, PathMode};

const ROMEO: &str = "sip:romeo@xmpp.example";

fn config() -> Config {
    Config::default()
}

fn table() -> ImmutableString {
    "location".into()
}

/// A route to a user who is registered at these places.
fn route_to(targets: Vec<Target>) -> (Rc<Recording>, Box<Route>) {
    let router = Rc::<Recording>::default();
    router.contacts.borrow_mut().insert(ROMEO.to_owned(), targets);
    let route = message_route(&router);
    (router, route)
}

fn behind(uri: &str, destination: &str) -> Target {
    Target { destination: Some(destination.into()), ..Target::new(uri) }
}

#[test]
fn a_contact_becomes_the_request_uri_and_the_next_hop() {
    let (_, mut route) = route_to(vec![Target::new("sip:r@192.0.2.9:5062")]);
    assert_eq!(lookup(&mut route, &config(), table()), Ok(true));
    assert_eq!(route.message.request_uri(), "sip:r@192.0.2.9:5062");
    assert_eq!(route.destination.as_deref(), Some("sip:r@192.0.2.9:5062"));
}

#[test]
fn a_phone_behind_nat_is_reached_where_its_register_came_from() {
    let (_, mut route) = route_to(vec![behind("sip:r@10.0.0.9", "sip:192.0.2.9:40000")]);
    assert_eq!(lookup(&mut route, &config(), table()), Ok(true));
    assert_eq!(route.message.request_uri(), "sip:r@10.0.0.9");
    assert_eq!(route.destination.as_deref(), Some("sip:192.0.2.9:40000"));
}

#[test]
fn the_best_contact_leads_and_the_others_are_targets() {
    let best = Target {
        path: "<sip:edge;lr>".into(),
        flags: 2,
        q: 900,
        ..behind("sip:r@10.0.0.9", "sip:edge;lr")
    };
    let second = Target { q: 100, ..Target::new("sip:r@10.0.0.10") };
    let (_, mut route) = route_to(vec![best.clone(), second.clone()]);
    assert_eq!(lookup(&mut route, &config(), table()), Ok(true));
    assert_eq!((&*route.path, route.q, route.branch_flags), ("<sip:edge;lr>", 900, 2));
    assert_eq!(route.targets, std::slice::from_ref(&second));

    let (_, mut alone) = route_to(vec![best, second]);
    let one = Config { append_branches: false, ..config() };
    assert_eq!(lookup(&mut alone, &one, table()), Ok(true));
    assert!(alone.targets.is_empty());
}

#[test]
fn nothing_changes_when_nobody_is_registered() {
    let (_, mut elsewhere) = route_to(vec![Target::new("sip:r@192.0.2.9")]);
    let mut nobody = message_route(&Rc::default());
    for (route, table) in [(&mut elsewhere, "other"), (&mut nobody, "location")] {
        assert_eq!(lookup(route, &config(), table.into()), Ok(false));
        assert_eq!(route.message.request_uri(), ROMEO);
        assert_eq!(route.destination, None);
    }
}

#[test]
fn another_address_may_be_looked_up() {
    let (_, mut route) = route_to(vec![Target::new("sip:r@h")]);
    assert_eq!(lookup_uri(&mut route, &config(), table(), "sip:x@h".into()), Ok(false));
    assert_eq!(registered_uri(&mut route, &config(), table(), ROMEO.into()), Ok(true));
    assert_eq!(lookup_uri(&mut route, &config(), table(), ROMEO.into()), Ok(true));
    assert_eq!(
        registered(&mut route, &config(), table()),
        Ok(false),
        "the Request-URI is a contact now"
    );
}

#[test]
fn branches_are_looked_up_as_well() {
    let (router, mut route) = route_to(vec![Target::new("sip:r@h")]);
    let both = vec![Target::new("sip:j@one"), Target::new("sip:j@two")];
    router.contacts.borrow_mut().insert("sip:juliet@h".to_owned(), both.clone());
    let fixed = behind("sip:juliet@h", "sip:gateway");
    route.targets = vec![Target::new("sip:juliet@h"), fixed.clone(), Target::new("sip:x@h")];
    assert_eq!(lookup_branches(&mut route, &config(), table()), Ok(true));
    assert_eq!(route.message.request_uri(), "sip:r@h");
    let expected = [both, vec![fixed, Target::new("sip:x@h")]].concat();
    assert_eq!(route.targets, expected);
}

#[test]
fn a_method_is_asked_for_where_that_is_wished_and_not_within_a_dialog() {
    let filtering = Config { method_filtering: true, ..config() };
    let (router, mut route) = route_to(Vec::new());
    lookup(&mut route, &filtering, table()).unwrap();
    assert_eq!(router.journal(), ["contacts for MESSAGE"]);
    route.message.set_header("To", "<sip:romeo@xmpp.example>;tag=1").unwrap();
    lookup(&mut route, &filtering, table()).unwrap();
    assert_eq!(router.journal(), [""; 0]);
}

#[test]
fn a_register_is_answered() {
    let router = Rc::<Recording>::default();
    let mut route = message_route(&router);
    assert_eq!(save(&mut route, &config(), table()), Ok(true));
    assert!(route.is_answered);
    assert_eq!(router.journal(), ["save location"]);
}

#[test]
fn a_register_is_saved_as_the_flags_say() {
    let router = Rc::<Recording>::default();
    let mut route = message_route(&router);
    assert_eq!(save_with(&mut route, &config(), table(), 2), Ok(true));
    assert!(!route.is_answered, "the script answers");
    save_with(&mut route, &config(), table(), 5).unwrap();
    save_uri(&mut route, &config(), table(), 8, "sip:desk@h".into()).unwrap();
    assert_eq!(
        router.journal(),
        ["save location silently", "save location in memory alone", "save location for sip:desk@h"]
    );
    for bad in [-1, 0x20] {
        assert!(save_with(&mut route, &config(), table(), bad).is_err());
    }
}

#[test]
fn contacts_are_forgotten_when_the_script_says_so() {
    let (router, mut route) = route_to(vec![Target::new("sip:r@h")]);
    assert_eq!(
        unregister_contact(&mut route, &config(), table(), "sip:x@h".into(), "sip:r@h".into()),
        Ok(false)
    );
    assert_eq!(unregister(&mut route, &config(), table(), ROMEO.into()), Ok(true));
    assert_eq!(unregister(&mut route, &config(), table(), ROMEO.into()), Ok(false));
    assert_eq!(router.journal().len(), 3);
}

#[test]
fn parameters_have_their_ranges() {
    for bad in [
        "default_expires = 0",
        "max_expires = 86401",
        "max_contacts = 0",
        "contact_max_size = 513",
        "path_mode = 3",
        "path_mode = \"rather\"",
        "db_mode = -1",
        "timer_interval = 0",
    ] {
        assert!(Params::from_toml(bad).parse::<Config>().is_err(), "{bad}");
    }
    let good = "default_expires = 600\nmax_expires = 86400\nmax_contacts = 100";
    let read = Config { default_expires: 600, max_expires: 86_400, max_contacts: 100, ..config() };
    assert_eq!(Params::from_toml(good).parse(), Ok(read));
}

#[test]
fn modes_are_words_or_numbers() {
    let words = "path_mode = \"lazy\"\noutbound_mode = \"required\"\ndb_mode = \"write-back\"";
    let read = Config {
        path_mode: PathMode::Lazy,
        outbound_mode: OutboundMode::Required,
        db_mode: DbMode::WriteBack,
        ..config()
    };
    assert_eq!(Params::from_toml(words).parse(), Ok(read.clone()));
    let numbers = "path_mode = 1\noutbound_mode = 2\ndb_mode = 2";
    assert_eq!(Params::from_toml(numbers).parse(), Ok(read));
}
