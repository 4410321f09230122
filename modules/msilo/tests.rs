use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::task::LocalSet;

use super::*;
use crate::script::route::Target;
use crate::script::router::recording::{Recording, message_route, request, route};
use crate::store::{Row, Statement};

const ROMEO: &str = "sip:romeo@xmpp.example";

fn office(toml: &str) -> Rc<Office> {
    let config = Params::from_toml(toml).parse::<Config>().unwrap();
    let store = Store::in_memory(std::slice::from_ref(&SILO)).unwrap();
    Rc::new(Office { config, store: Some(store), under_way: Arc::default() })
}

/// What a database in memory answers.
fn rows(office: &Office, sql: &'static str) -> Vec<Row> {
    let answer = pin!(office.store.as_ref().unwrap().query(Statement::new(sql)));
    match answer.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(rows) => rows.unwrap(),
        Poll::Pending => panic!("it is in memory"),
    }
}

fn count(office: &Office) -> usize {
    rows(office, "SELECT id FROM silo").len()
}

/// Runs what was left to the background, too.
fn play<T>(scene: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = LocalSet::new();
    let result = local.block_on(&runtime, async { scene() });
    runtime.block_on(local);
    result
}

fn registered(router: &Recording) {
    let contact = Target::new("sip:romeo@192.0.2.9");
    router.contacts.borrow_mut().insert(ROMEO.to_owned(), vec![contact]);
}

#[test]
fn a_message_waits_in_kamailios_columns() {
    let (office, mut route) = (office(""), message_route(&Rc::default()));
    assert_eq!(m_store(&mut route, &office), Ok(true));
    let rows = rows(
        &office,
        "SELECT src_addr, dst_addr, username, domain, ctype, body, callid, snd_time, \
         exp_time - inc_time FROM silo",
    );
    let texts: Vec<_> = (0..7).filter_map(|column| rows[0].text(column)).collect();
    let expected =
        ["sip:juliet@sip.example", ROMEO, "romeo", "xmpp.example", "text/plain", "Hello", "call-1"];
    assert_eq!(texts, expected);
    assert_eq!((rows[0].int(7), rows[0].int(8)), (Some(0), Some(259_200)));
}

#[test]
fn a_message_may_wait_between_other_addresses_and_with_more_headers() {
    let (office, mut route) =
        (office("extra_hdrs_avp = \"headers\""), message_route(&Rc::default()));
    route.variables.insert("headers".into(), "X-Kept: yes\r\n".into());
    let anonymous = "sip:anonymous@sip.example";
    let store = |route: &mut Route, src: &str, dst: &str| {
        m_store_addrs(route, &office, ROMEO.into(), src.into(), dst.into())
    };
    assert_eq!(store(&mut route, anonymous, ""), Ok(true));
    assert!(store(&mut route, "nobody", "").is_err());
    assert_eq!(store(&mut route, "", &format!("sip:{}@x", "x".repeat(300))), Ok(false), "too long");
    let rows = rows(&office, "SELECT src_addr, dst_addr, extra_hdrs FROM silo");
    let texts: Vec<_> = (0..3).filter_map(|column| rows[0].text(column)).collect();
    assert_eq!((texts, rows.len()), (vec![anonymous, ROMEO, "X-Kept: yes\r\n"], 1));
}

#[test]
fn what_says_nothing_or_nothing_later_is_not_stored() {
    let office = office("");
    for more in [
        "Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n",
        "Content-Type: application/im-iscomposing+xml\r\nContent-Length: 1\r\n\r\nx",
        "Expires: 0\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx",
    ] {
        let mut route = route(Kind::Request, request("MESSAGE", ROMEO, more), &Rc::default());
        assert_eq!(m_store(&mut route, &office), Ok(false), "{more}");
    }
    let mut route = message_route(&Rc::default());
    assert!(m_store_for(&mut route, &office, "sip:xmpp.example".into()).is_err());
    assert_eq!(count(&office), 0);
}

#[test]
fn a_user_has_no_more_than_he_may() {
    let office = office("max_messages = 2");
    let store =
        |owner: &str| m_store_for(&mut message_route(&Rc::default()), &office, owner.into());
    assert_eq!([store(ROMEO), store(ROMEO), store(ROMEO)], [Ok(true), Ok(true), Ok(false)]);
    assert_eq!(store("sip:mercutio@xmpp.example"), Ok(true), "others are others");
}

#[test]
fn who_registers_gets_what_waits_once() {
    let (office, router) = (office(""), Rc::<Recording>::default());
    for _ in 0..2 {
        m_store(&mut message_route(&router), &office).unwrap();
    }
    let dump = || {
        let mut route = route(Kind::Request, request("REGISTER", ROMEO, ""), &router);
        play(|| m_dump(&mut route, &office))
    };
    assert_eq!(dump(), Ok(false), "he has no contact");
    assert_eq!(count(&office), 2);
    registered(&router);
    assert_eq!(dump(), Ok(true));
    let sent = "request MESSAGE sip:romeo@192.0.2.9";
    assert_eq!(router.journal().iter().filter(|line| *line == sent).count(), 2);
    assert_eq!(count(&office), 0);
    assert_eq!(dump(), Ok(true));
    assert!(!router.journal().contains(&sent.to_owned()));
}

#[test]
fn a_part_can_be_asked_for() {
    let (office, router) = (office(""), Rc::<Recording>::default());
    registered(&router);
    for _ in 0..3 {
        m_store(&mut message_route(&router), &office).unwrap();
    }
    let mut route = route(Kind::Request, request("REGISTER", ROMEO, ""), &router);
    assert_eq!(play(|| m_dump_some(&mut route, &office, ROMEO.into(), 2)), Ok(true));
    assert_eq!(count(&office), 1);
    assert!(m_dump_some(&mut route, &office, ROMEO.into(), -1).is_err());
}

#[test]
fn the_sender_is_told_when_he_shall_be() {
    let toml = "from_address = 'sip:desk@sip.example'\noffline_message = '$rU is away'\n\
                skip_notification_flag = 3\noutbound_proxy = 'sip:192.0.2.1'";
    let (office, router) = (office(toml), Rc::<Recording>::default());
    let mut route = message_route(&router);
    route.flags = 1 << 3;
    play(|| m_store(&mut route, &office)).unwrap();
    assert!(router.journal().is_empty(), "{:?}", router.journal());
    route.flags = 0;
    play(|| m_store(&mut route, &office)).unwrap();
    assert_eq!(router.journal(), ["request MESSAGE sip:192.0.2.1"]);
}

#[test]
fn a_reminder_leaves_when_its_time_has_come() {
    let toml = "snd_time_avp = 'when'\nreminder = 'sip:desk@sip.example'\nsend_time = 1";
    let (office, router) = (office(toml), Rc::<Recording>::default());
    registered(&router);
    for when in ["20200101000000", "20990101000000"] {
        let mut route = message_route(&router);
        route.variables.insert("when".into(), when.into());
        assert_eq!(m_store(&mut route, &office), Ok(true));
    }
    let mut wrong = message_route(&router);
    wrong.variables.insert("when".into(), "tomorrow".into());
    assert!(m_store(&mut wrong, &office).is_err());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(office.clone().remind(router.clone()));
    assert_eq!(router.journal(), ["request MESSAGE sip:romeo@192.0.2.9"]);
    assert_eq!(count(&office), 1);
}

#[test]
fn what_is_too_old_goes() {
    let office = office("");
    m_store(&mut message_route(&Rc::default()), &office).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(office.clone().clean());
    assert_eq!(count(&office), 1);
    let store = office.store.as_ref().unwrap();
    let age = Statement::new("UPDATE silo SET exp_time = 1");
    runtime.block_on(store.execute(vec![age])).unwrap();
    runtime.block_on(office.clone().clean());
    assert_eq!(count(&office), 0);
}

#[test]
fn a_stanza_that_is_stored_has_met_its_fate() {
    let (office, router) = (office(""), Rc::<Recording>::default());
    let text = "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx";
    let mut route = route(Kind::XmppMessage, request("MESSAGE", ROMEO, text), &router);
    assert_eq!(m_store(&mut route, &office), Ok(true));
    assert!(route.is_answered);
}

#[test]
fn wrong_parameters_are_refused() {
    for toml in [
        "db_table = 'a b'",
        "expire_time = 0",
        "skip_notification_flag = 32",
        "outbound_proxy = 'tel:1'",
        "reminder = 'desk'",
        "expires = 1",
    ] {
        assert!(Params::from_toml(toml).parse::<Config>().is_err(), "{toml}");
    }
}

/// The question of a second REGISTER may be answered before what the first one has sent is forgotten.
#[test]
fn what_was_delivered_is_not_sent_again_by_an_old_answer() {
    let (office, router) = (office(""), Rc::<Recording>::default());
    registered(&router);
    m_store(&mut message_route(&router), &office).unwrap();
    let question = silo::waiting("silo", "romeo", "xmpp.example", 0);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let rows = office.store.as_ref().unwrap().query(question).await.unwrap();
        let messages: Vec<_> = rows.iter().filter_map(silo::Waiting::read).collect();
        office.deliver(&*router, ROMEO, messages.clone()).await;
        office.deliver(&*router, ROMEO, messages).await;
    });
    let sent = router.journal().into_iter().filter(|line| line.starts_with("request")).count();
    assert_eq!(sent, 1);
}
