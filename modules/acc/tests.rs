use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::script::ending::AtEnd;
use crate::script::ending::sample::end;
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
    assert!(Params::from_toml("log_flags = 1").parse::<Config>().is_err());
}

/// The rows of both tables after the end of a transaction with these flags.
fn accounted(toml: &str, method: &str, status: Option<u16>, flags: u32) -> [Vec<Row>; 2] {
    let config: Config = Params::from_toml(toml).parse().unwrap();
    let accounting = accounting();
    let store = accounting.store.clone();
    let hook: AtEnd = Rc::new(move |ending| config.account(store.as_ref(), ending));
    let request = request(method, "sip:romeo@xmpp.example", "");
    for mut rest in end(&[hook], &request, None, status, flags) {
        let done = rest.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(done.is_ready(), "it is in memory");
    }
    ["acc", "missed_calls"].map(|table| rows(&accounting, table))
}

#[test]
fn a_transaction_with_a_flag_is_accounted_when_it_ends() {
    let flags = "db_flag = 1\ndb_missed_flag = 2\nfailed_transaction_flag = 3\nlog_flag = 4";
    let count = |method, status, flag_numbers: &[u32]| {
        let set = flag_numbers.iter().map(|number| 1 << number).sum();
        accounted(flags, method, status, set).map(|rows| rows.len())
    };
    assert_eq!(count("INVITE", Some(200), &[1, 2]), [1, 0]);
    assert_eq!(count("INVITE", Some(486), &[1, 2]), [0, 1]);
    assert_eq!(count("INVITE", Some(486), &[1, 2, 3]), [1, 1]);
    assert_eq!(count("INVITE", Some(486), &[1, 3]), [1, 0]);
    assert_eq!(count("BYE", Some(200), &[1]), [1, 0]);
    assert_eq!(count("MESSAGE", Some(404), &[1, 2]), [0, 0], "only calls are missed");
    assert_eq!(count("INVITE", Some(200), &[0, 3, 4]), [0, 0]);
    assert_eq!(count("BYE", None, &[1, 3]), [0, 0], "nobody answered");
    assert_eq!(accounted("", "INVITE", Some(200), u32::MAX).map(|rows| rows.len()), [0, 0]);
}

#[test]
fn what_is_accounted_is_what_was_answered() {
    let [_, missed] = accounted("db_missed_flag = 31", "INVITE", Some(487), 1 << 31);
    let texts: Vec<_> = (0..6).filter_map(|column| missed[0].text(column)).collect();
    assert_eq!(texts, ["INVITE", "a1", "b1", "call-1", "487", "Request Terminated"]);
    for bad in ["log_flag = 32", "db_flag = -1", "db_flag = 'x'"] {
        assert!(Params::from_toml(bad).parse::<Config>().is_err(), "{bad}");
    }
}
