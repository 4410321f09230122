use super::*;
use crate::modules::core::tests::to;
use crate::script::route::Target;

const NONE: &Config = &Config {};

#[test]
fn flags_are_set_one_by_one() {
    let mut route = to("sip:a@b");
    setflag(&mut route, NONE, 0).unwrap();
    setflag(&mut route, NONE, 31).unwrap();
    assert_eq!(isflagset(&mut route, NONE, 31), Ok(true));
    assert_eq!(isflagset(&mut route, NONE, 1), Ok(false));
    resetflag(&mut route, NONE, 31).unwrap();
    assert_eq!(route.flags, 1);
}

#[test]
fn flags_go_from_0_to_31() {
    let mut route = to("sip:a@b");
    for flag in [-1, 32, i64::MAX] {
        assert_eq!(setflag(&mut route, NONE, flag).unwrap_err().status().0, 500, "{flag}");
        assert!(resetflag(&mut route, NONE, flag).is_err(), "{flag}");
        assert!(isflagset(&mut route, NONE, flag).is_err(), "{flag}");
    }
    assert_eq!(route.flags, 0);
}

#[test]
fn each_branch_has_its_own_flags() {
    let mut route = to("sip:a@b");
    route.targets.push(Target::new("sip:c@d"));
    setbflag(&mut route, NONE, 6).unwrap();
    setbflag_of(&mut route, NONE, 7, 1).unwrap();
    assert_eq!((route.branch_flags, route.targets[0].flags, route.flags), (1 << 6, 1 << 7, 0));
    assert_eq!(isbflagset(&mut route, NONE, 6), Ok(true));
    assert_eq!(isbflagset_of(&mut route, NONE, 6, 1), Ok(false));
    resetbflag(&mut route, NONE, 6).unwrap();
    resetbflag_of(&mut route, NONE, 7, 1).unwrap();
    assert_eq!((route.branch_flags, route.targets[0].flags), (0, 0));
}

#[test]
fn a_branch_must_exist() {
    let mut route = to("sip:a@b");
    for branch in [-1, 1, i64::MAX] {
        assert_eq!(setbflag_of(&mut route, NONE, 1, branch).unwrap_err().status().0, 500);
        assert!(resetbflag_of(&mut route, NONE, 1, branch).is_err(), "{branch}");
        assert!(isbflagset_of(&mut route, NONE, 1, branch).is_err(), "{branch}");
    }
    assert!(setbflag(&mut route, NONE, 32).is_err());
}

#[test]
fn variables_hold_one_value_of_any_kind() {
    let mut route = to("sip:a@b");
    assert!(avp(&mut route, NONE, "x".into()).unwrap().is_unit());
    set_avp(&mut route, NONE, "x".into(), 1_i64.into()).unwrap();
    set_avp(&mut route, NONE, "x".into(), "one".into()).unwrap();
    assert_eq!(avp(&mut route, NONE, "x".into()).unwrap().into_string(), Ok("one".to_owned()));
    assert_eq!(del_avp(&mut route, NONE, "x".into()), Ok(true));
    assert_eq!(del_avp(&mut route, NONE, "x".into()), Ok(false));
}

#[test]
fn both_ends_end_and_one_drops() {
    let mut route = to("sip:a@b");
    assert_eq!(exit(&mut route, NONE), Ok(End));
    assert!(!route.is_dropped);
    assert_eq!(drop(&mut route, NONE), Ok(End));
    assert!(route.is_dropped);
}
