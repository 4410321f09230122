use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::script::export::Kind;
use crate::script::router::recording::{Recording, message_route, request, route};
use crate::store::Row;

fn accounting() -> Accounting {
    let tables = [ACC.clone(), ACC.named("missed_calls")];
    Accounting { store: Some(Store::in_memory(&tables).unwrap()) }
}

/// The rows of a table that is in memory.
fn rows(accounting: &Accounting, table: &str) -> Vec<Row> {
    let sql =
        format!("SELECT method, from_tag, to_tag, callid, sip_code, sip_reason, time FROM {table}");
    let store = accounting.store.as_ref().unwrap();
    let answer = std::pin::pin!(store.query(Statement::new(sql)));
    match answer.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(rows) => rows.unwrap(),
        Poll::Pending => panic!("it is in memory"),
    }
}

#[test]
fn a_request_becomes_a_row() {
    let (accounting, mut route) = (accounting(), message_route(&Rc::<Recording>::default()));
    let stored =
        acc_db_request(&mut route, &accounting, "404 Not Found".into(), "missed_calls".into());
    assert_eq!(stored, Ok(true));
    let rows = rows(&accounting, "missed_calls");
    let texts: Vec<_> = (0..6).filter_map(|column| rows[0].text(column)).collect();
    assert_eq!(texts, ["MESSAGE", "a1", "", "call-1", "404", "Not Found"]);
    assert!(rows[0].unix_time(6).unwrap() > std::time::Duration::from_secs(1_700_000_000));
}

#[test]
fn both_ways_at_once() {
    let (accounting, mut route) = (accounting(), message_route(&Rc::<Recording>::default()));
    assert_eq!(acc_log_request(&mut route, &accounting, "seen".into()), Ok(true));
    assert_eq!(acc_request(&mut route, &accounting, "200 OK".into(), "acc".into()), Ok(true));
    assert_eq!(rows(&accounting, "acc").len(), 1);
}

#[test]
fn a_comment_without_a_status_is_all_reason() {
    assert_eq!(code_and_reason("486 Busy Here"), ("486", "Busy Here"));
    assert_eq!(code_and_reason("486"), ("486", ""));
    for comment in ["busy", "", "48é", "4 8 6"] {
        assert_eq!(code_and_reason(comment), ("", comment));
    }
}

#[test]
fn what_is_too_long_is_cut() {
    assert_eq!((cut("äöü", 2), cut("äöü", 3), cut("", 1)), ("äö", "äöü", ""));
    let method = "X".repeat(40);
    let message = request(&method, "sip:romeo@xmpp.example", "");
    let mut route = route(Kind::Request, message, &Rc::<Recording>::default());
    let accounting = accounting();
    assert_eq!(acc_db_request(&mut route, &accounting, "200".into(), "acc".into()), Ok(true));
    assert_eq!(rows(&accounting, "acc")[0].text(0), Some(&method[..16]));
}

#[test]
fn a_store_that_does_not_take_it_fails_no_call() {
    let (accounting, mut route) = (accounting(), message_route(&Rc::<Recording>::default()));
    let missing = acc_db_request(&mut route, &accounting, "200".into(), "nowhere".into());
    assert_eq!(missing, Ok(false));
    assert!(acc_db_request(&mut route, &accounting, "200".into(), "a b".into()).is_err());
    assert!(Params::from_toml("log_flag = 1").parse::<Config>().is_err());
}
