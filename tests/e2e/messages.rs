//! A thousand messages each way through the program, with every server.

use std::thread;
use std::time::Duration;

use crate::load::{Link, Pace, deliver};
use crate::peer::{Peer, XmppServer, each_peer};
use crate::process::PATIENCE;
use crate::sip::{Message, Outgoing};
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::texts;
use crate::xml::Element;
use crate::xmpp_client::Client;

const SMALL: usize = 900;
const LARGE: usize = 100;
const PHONE: &str = "sip:phone@sip.example";
const DESK: &str = "sip:desk@sip.example";
const ALICE: &str = "sip:alice@xmpp.example";

each_peer!(a_thousand_from_sip_arrive_once_in_order_and_unchanged);
fn a_thousand_from_sip_arrive_once_in_order_and_unchanged(peer: Peer) {
    let server = peer.start();
    let sipjab = Sipjab::start_connected(&Setup::gateway(server.component_port));
    let mut alice = Client::login(&server, "alice");
    let arrived = thread::scope(|scope| {
        scope.spawn(|| send_small(&sipjab));
        scope.spawn(|| send_large(&sipjab));
        (0..SMALL + LARGE).map(|_| alice.next_message()).collect::<Vec<_>>()
    });
    assert_eq!(bodies(&arrived, "phone@sip.example"), small_texts());
    assert_eq!(bodies(&arrived, "desk@sip.example"), large_texts());
    nothing_else_arrives_from_sip(&sipjab, &mut alice);
    sipjab.terminate();
}

each_peer!(a_thousand_from_xmpp_arrive_once_in_order_and_unchanged);
fn a_thousand_from_xmpp_arrive_once_in_order_and_unchanged(peer: Peer) {
    let server = peer.start();
    let mut agent = Agent::bind();
    let setup = Setup::gateway(server.component_port).outbound_proxy(agent.local);
    let sipjab = Sipjab::start_connected(&setup);
    let arrived = thread::scope(|scope| {
        scope.spawn(|| send_from(&server, "alice", "phone@sip.example", &small_texts()));
        scope.spawn(|| send_from(&server, "bob", "desk@sip.example", &large_texts()));
        let next = |_| agent.serve(200, "OK", PATIENCE).expect("a MESSAGE");
        (0..SMALL + LARGE).map(next).collect::<Vec<_>>()
    });
    assert_eq!(texts_to(&arrived, PHONE), small_texts());
    assert_eq!(texts_to(&arrived, DESK), large_texts());
    assert!(arrived.iter().all(|message| message.header("From").contains("@xmpp.example")));
    let surplus = agent.serve(200, "OK", Duration::from_millis(200));
    assert!(surplus.is_none(), "arrived twice: {surplus:?}");
    sipjab.terminate();
}

fn send_small(sipjab: &Sipjab) {
    let messages: Vec<_> =
        small_texts().iter().map(|text| Outgoing::new(PHONE, ALICE, text)).collect();
    let link = Link::Udp(sipjab.udp);
    let fates = deliver(&mut Agent::bind(), link, Pace::Window(16), PATIENCE, &messages, |_| {});
    for fate in &fates {
        let answer = fate.answer.as_ref().expect("every message is answered");
        assert_eq!(answer.status() / 100, 2, "{}", answer.start);
    }
}

fn send_large(sipjab: &Sipjab) {
    let messages: Vec<_> =
        large_texts().iter().map(|text| Outgoing::new(DESK, ALICE, text)).collect();
    let mut agent = Agent::bind();
    let stream = agent.connect(sipjab.tcp);
    let link = Link::Tcp(&stream);
    let fates = deliver(&mut agent, link, Pace::Window(8), PATIENCE, &messages, |_| {});
    assert!(fates.iter().all(|fate| fate.answer.as_ref().is_some_and(|it| it.status() / 100 == 2)));
}

/// What is sent last arrives next, so nothing else was on its way.
fn nothing_else_arrives_from_sip(sipjab: &Sipjab, alice: &mut Client) {
    Agent::bind().ask(&Outgoing::new(PHONE, ALICE, "the last one"), sipjab.udp);
    assert_eq!(alice.next_message().child_text("body"), Some("the last one"));
}

fn send_from(server: &XmppServer, user: &str, to: &str, texts: &[String]) {
    let mut client = Client::login(server, user);
    for text in texts {
        client.message(to, text);
    }
    let refused = client.message_within(Duration::from_millis(500));
    assert!(refused.is_none(), "an error came back to {user}: {refused:?}");
}

fn bodies(messages: &[Element], from: &str) -> Vec<String> {
    let own = messages.iter().filter(|message| message.attribute("from").starts_with(from));
    own.map(|message| message.child_text("body").unwrap_or_default().to_owned()).collect()
}

fn texts_to(messages: &[Message], uri: &str) -> Vec<String> {
    let own = messages.iter().filter(|message| message.request_uri().starts_with(uri));
    own.map(Message::text).collect()
}

fn small_texts() -> Vec<String> {
    (0..SMALL).map(texts::numbered).collect()
}

fn large_texts() -> Vec<String> {
    (0..LARGE).map(texts::large).collect()
}
