use std::rc::Rc;

use super::*;
use crate::script::router::recording::{Recording, message_route};

#[test]
fn routes_are_armed_and_taken_back() {
    let mut route = message_route(&Rc::<Recording>::default());
    let is_set = |route: &mut Route, kind: &str| t_is_set(route, &Config {}, kind.into()).unwrap();
    for kind in ["branch_route", "onreply_route", "failure_route"] {
        assert!(!is_set(&mut route, kind));
    }
    t_on_branch(&mut route, &Config {}, BranchRoute(Some("A".into()))).unwrap();
    t_on_reply(&mut route, &Config {}, ReplyRoute(Some("B".into()))).unwrap();
    t_on_failure(&mut route, &Config {}, FailureRoute(Some("C".into()))).unwrap();
    for kind in ["branch_route", "onreply_route", "failure_route"] {
        assert!(is_set(&mut route, kind), "{kind}");
    }
    t_on_failure(&mut route, &Config {}, FailureRoute(None)).unwrap();
    assert!(!is_set(&mut route, "failure_route"));
    assert!(t_is_set(&mut route, &Config {}, "request_route".into()).is_err());
}

#[test]
fn times_are_set_and_have_a_range() {
    let mut route = message_route(&Rc::<Recording>::default());
    t_set_fr(&mut route, &Config {}, 20_000).unwrap();
    t_set_fr_both(&mut route, &Config {}, 30_000, 500).unwrap();
    let armed = route.armed.clone().unwrap();
    assert_eq!(armed.ringing, Some(Duration::from_secs(30)));
    assert_eq!(armed.silence, Some(Duration::from_millis(500)));
    t_set_fr(&mut route, &Config {}, 0).unwrap();
    assert_eq!(route.armed.clone().unwrap().ringing, None);
    assert!(t_set_fr(&mut route, &Config {}, -1).is_err());
    assert!(t_set_fr_both(&mut route, &Config {}, 1, LONGEST + 1).is_err());
}

#[test]
fn a_route_that_the_script_lacks_is_found_when_it_is_checked() {
    let exports = crate::modules::load(&Default::default(), &Default::default()).unwrap();
    let checker = crate::script::check::Checker::new(rhai::Engine::new(), exports.catalogue());
    let text = "fn request_route() { t_on_failure(\"MAIL\"); }\nfn failure_route_MAYL() {}\n";
    let found = checker.check_text("a.rhai", text);
    let missing = found.iter().find(|finding| finding.message.contains("no route `MAIL`"));
    assert!(missing.is_some(), "{found:?}");
}
