use std::rc::Rc;

use super::*;
use crate::script::export::Kind;
use crate::script::router::recording::{Recording, message_route, request, route};

fn silo(params: &str) -> Silo {
    let store = Store::in_memory(std::slice::from_ref(&SILO)).unwrap();
    let config = Params::from_toml(params).parse().unwrap();
    Silo { config, store: Some(store), busy: Arc::default() }
}

fn message() -> (Box<Route>, Rc<Recording>) {
    let router = Rc::<Recording>::default();
    (message_route(&router), router)
}

async fn count(silo: &Silo) -> i64 {
    let store = silo.store.clone().unwrap();
    store.query(Statement::new("SELECT COUNT(*) FROM silo")).await.unwrap()[0].int(0).unwrap()
}

fn register(router: &Rc<Recording>) -> Box<Route> {
    route(Kind::Request, request("REGISTER", "sip:romeo@xmpp.example", ""), router)
}

/// Runs a play where tasks may be spawned.
fn play(play: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, play);
}

async fn settled() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn what_is_stored_is_delivered_to_every_phone_in_order_and_once() {
    play(async {
        let silo = silo("");
        let (mut one, router) = message();
        assert_eq!(m_store(&mut one, &silo), Ok(true));
        assert_eq!(m_store_for(&mut one, &silo, "sip:romeo@XMPP.example;x=y".into()), Ok(true));
        assert_eq!(count(&silo).await, 2);
        assert_eq!(m_dump(&mut register(&router), &silo), Ok(true));
        settled().await;
        assert_eq!(count(&silo).await, 2, "nobody was there");
        let contacts = ["sip:one@192.0.2.1", "sip:two@192.0.2.2"].map(Target::new).to_vec();
        router.contacts.borrow_mut().insert("sip:romeo@xmpp.example".into(), contacts);
        router.journal();
        assert_eq!(m_dump(&mut register(&router), &silo), Ok(true));
        assert_eq!(m_dump(&mut register(&router), &silo), Ok(true), "it is under way");
        settled().await;
        let line = |uri| format!("request MESSAGE {uri}");
        let (one, two) = (line("sip:one@192.0.2.1"), line("sip:two@192.0.2.2"));
        let mut journal = router.journal();
        journal.retain(|line| line.starts_with("request"));
        assert_eq!(journal, [one.clone(), two.clone(), one, two]);
        assert_eq!(count(&silo).await, 0);
        assert_eq!(m_dump(&mut register(&router), &silo), Ok(false));
    });
}

#[test]
fn users_have_a_limit_and_messages_an_end() {
    play(async {
        let silo = silo("max_messages = 1\nexpire_time = 60");
        let (mut route, router) = message();
        assert_eq!(m_store(&mut route, &silo), Ok(true));
        assert_eq!(m_store(&mut route, &silo), Ok(false));
        let store = silo.store.clone().unwrap();
        store.execute(vec![Statement::new("UPDATE silo SET exp_time = 1")]).await.unwrap();
        assert_eq!(m_dump(&mut register(&router), &silo), Ok(false));
        clean(store, router).await;
        assert_eq!(count(&silo).await, 0);
    });
}

#[test]
fn the_sender_is_told_when_the_operator_has_words_for_it() {
    play(async {
        let params = "from_address = 'sip:silo@sip.example'\noffline_message = 'Later.'";
        let (mut route, router) = message();
        assert_eq!(m_store(&mut route, &silo(params)), Ok(true));
        settled().await;
        let last = router.journal().pop();
        assert_eq!(last.as_deref(), Some("request MESSAGE sip:juliet@sip.example"));
    });
}

#[test]
fn only_messages_with_a_body_are_stored() {
    play(async {
        let silo = silo("");
        let router = Rc::<Recording>::default();
        let empty = request("MESSAGE", "sip:romeo@xmpp.example", "");
        assert_eq!(m_store(&mut route(Kind::Request, empty, &router), &silo), Ok(true));
        assert_eq!(m_store(&mut register(&router), &silo), Ok(false));
        assert_eq!(count(&silo).await, 0);
    });
}

#[test]
fn a_delivered_message_is_the_one_that_was_stored() {
    play(async {
        let silo = silo("");
        let (mut route, _) = message();
        assert_eq!(m_store(&mut route, &silo), Ok(true));
        let store = silo.store.clone().unwrap();
        store.execute(vec![Statement::new("UPDATE silo SET inc_time = 951782400")]).await.unwrap();
        let stored = page(&store, "romeo", "xmpp.example", 0).await.unwrap().remove(0);
        let way =
            Target { path: "<sip:edge.example;lr>".into(), ..Target::new("sip:one@192.0.2.1") };
        let ids = RequestIds { tag: "t", call_id: "c", cseq: 1 };
        let made = stored.request(&way, "sip:romeo@xmpp.example", ids, true).unwrap();
        let text = String::from_utf8(made.to_bytes().to_vec()).unwrap();
        for line in [
            "MESSAGE sip:one@192.0.2.1 SIP/2.0\r\nRoute: <sip:edge.example;lr>\r\n",
            "From: <sip:juliet@sip.example>;tag=t\r\nTo: <sip:romeo@xmpp.example>\r\n",
            "Date: Tue, 29 Feb 2000 00:00:00 GMT\r\nContent-Type: text/plain\r\n",
            "\r\n\r\nHello",
        ] {
            assert!(text.contains(line), "{text}");
        }
        store.execute(vec![Statement::new("UPDATE silo SET ctype = 'a\r\nX: y'")]).await.unwrap();
        let torn = page(&store, "romeo", "xmpp.example", 0).await.unwrap().remove(0);
        assert!(torn.request(&way, "sip:romeo@xmpp.example", ids, true).is_none());
    });
}
