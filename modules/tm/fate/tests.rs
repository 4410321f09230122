use std::rc::Rc;

use regex::Regex;

use super::*;
use crate::script::router::recording::{self, Recording};

fn failed(outcome: Outcome) -> Box<Route> {
    let message = recording::request("INVITE", "sip:romeo@sip.example", "");
    let mut route = recording::route(Kind::Failure, message, &Rc::<Recording>::default());
    route.outcome = Some(outcome);
    route
}

fn pattern(text: &str) -> Pattern {
    Pattern(Rc::new(Regex::new(text).unwrap()))
}

#[test]
fn the_status_of_the_best_reply_is_matched() {
    let mut route = failed(Outcome { status: 486, ..Outcome::default() });
    assert_eq!(t_check_status(&mut route, &Config {}, pattern("486|408")), Ok(true));
    assert_eq!(t_check_status(&mut route, &Config {}, pattern("^5")), Ok(false));
}

#[test]
fn what_became_of_the_branches_is_told() {
    let mut route = failed(Outcome {
        is_cancelled: true,
        any_replied: true,
        last_local: true,
        branch_timed_out: true,
        branch_replied: true,
        ..Outcome::default()
    });
    assert_eq!(t_is_canceled(&mut route, &Config {}), Ok(true));
    assert_eq!(t_any_replied(&mut route, &Config {}), Ok(true));
    assert_eq!(t_branch_timeout(&mut route, &Config {}), Ok(true));
    assert_eq!(t_branch_replied(&mut route, &Config {}), Ok(true));
    assert_eq!(t_local_replied(&mut route, &Config {}, "all".into()), Ok(false));
    assert_eq!(t_local_replied(&mut route, &Config {}, "last".into()), Ok(true));
    assert!(t_local_replied(&mut route, &Config {}, "first".into()).is_err());
}

#[test]
fn the_kind_of_the_route_is_told() {
    let mut route = failed(Outcome::default());
    assert_eq!(t_is_failure_route(&mut route, &Config {}), Ok(true));
    assert_eq!(t_is_branch_route(&mut route, &Config {}), Ok(false));
}
