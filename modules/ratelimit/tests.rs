use std::rc::Rc;

use super::*;
use crate::script::router::recording::{Recording, message_route};

const PIPES: &str = "
    timer_interval = 60
    [[pipe]]
    id = 1
    limit = 1
    [[pipe]]
    id = 2
    algorithm = 'RED'
    limit = 5
    [[queue]]
    pipe = 2
    method = 'INVITE'
    [[queue]]
    pipe = 1
    method = '*'
";

fn ratelimit(toml: &str) -> Ratelimit {
    let config = Params::from_toml(toml).parse().unwrap();
    Ratelimit { config, counters: Arc::default() }
}

#[test]
fn a_pipe_takes_as_many_as_its_limit_allows() {
    let ratelimit = ratelimit(PIPES);
    let mut route = message_route(&Rc::default());
    let passed = (0..100).filter(|_| rl_check_pipe(&mut route, &ratelimit, 1).unwrap()).count();
    assert_eq!(passed, 60);
    assert_eq!(rl_check(&mut route, &ratelimit), Ok(false), "MESSAGE goes through the same");
    assert_eq!(rl_check_pipe(&mut route, &ratelimit, 2), Ok(true), "another pipe");
}

#[test]
fn a_method_without_a_queue_passes() {
    let ratelimit =
        ratelimit("[[pipe]]\nid = 1\nlimit = 1\n[[queue]]\npipe = 1\nmethod = 'INVITE'");
    let mut route = message_route(&Rc::default());
    assert!((0..100).all(|_| rl_check(&mut route, &ratelimit).unwrap()));
}

#[test]
fn a_pipe_must_exist() {
    let mut route = message_route(&Rc::default());
    for pipe in [0, -1, 65_537, i64::MAX] {
        let error = rl_check_pipe(&mut route, &ratelimit(PIPES), pipe).unwrap_err();
        assert_eq!(error.status().0, 500, "{pipe}");
    }
}

#[test]
fn what_is_dropped_hears_when_to_return() {
    let router = Rc::<Recording>::default();
    let ratelimit = ratelimit("reply_code = 480\nreply_reason = 'Later'");
    let mut route = message_route(&router);
    rl_drop(&mut route, &ratelimit).unwrap();
    assert!(route.is_answered);
    rl_drop_until(&mut route, &ratelimit, 30).unwrap();
    assert!(rl_drop_until(&mut route, &ratelimit, -1).is_err());
    assert!(route.reply_headers.is_empty());
    assert_eq!(router.journal(), ["sl 480 Later", "sl 480 Later Retry-After: 30"]);
}

#[test]
fn parameters_have_their_ranges() {
    for bad in [
        "timer_interval = 0",
        "reply_code = 200",
        "[[pipe]]\nid = 1",
        "[[pipe]]\nid = 1\nlimit = 0",
        "[[pipe]]\nid = 70000\nlimit = 1",
        "[[pipe]]\nid = 1\nlimit = 1\nalgorithm = 'FEEDBACK'",
        "[[queue]]\nmethod = 'INVITE'",
    ] {
        assert!(Params::from_toml(bad).parse::<Config>().is_err(), "{bad}");
    }
    assert_eq!(Params::none().parse(), Ok(Config::default()));
}
