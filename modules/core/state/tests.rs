use super::*;
use crate::modules::core::tests::to;

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
