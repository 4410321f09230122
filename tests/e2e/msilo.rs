//! Messages that wait until their recipient registers.

use std::time::{Duration, Instant};

use crate::mariadb::{Kind, each_database};
use crate::peer::Peer;
use crate::process::PATIENCE;
use crate::sip::Outgoing;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::xmpp_client::Client;

const JULIET: &str = "sip:juliet@sip.example";
const EXAMPLE: &str = include_str!("../../modules/msilo/example.rhai");
const MESSAGES: usize = 20;

fn register(agent: &mut Agent, sipjab: &Sipjab, expires: u32) {
    let local = agent.local;
    let headers = format!("Contact: <sip:juliet@{local}>\r\nExpires: {expires}\r\n");
    let cseq = 2 + u32::from(expires == 0);
    let answer = agent.ask(&Outgoing::register(JULIET, cseq, &headers), sipjab.udp);
    assert_eq!(answer.status(), 200, "{}", answer.start);
}

each_database!(what_waits_arrives_at_the_next_register_once_and_in_order);
fn what_waits_arrives_at_the_next_register_once_and_in_order(kind: Kind) {
    let database = kind.start();
    let store = format!("url = \"{}\"\n", database.url());
    let setup = Setup::script(EXAMPLE).store(&store).with("[modules.msilo]\nadd_date = false\n");
    let sipjab = Sipjab::start(&setup);
    let mut romeo = Agent::bind();
    let texts: Vec<_> = (0..MESSAGES).map(|number| format!("number {number} – ü")).collect();
    for text in &texts {
        let answer = romeo.ask(&Outgoing::new("sip:romeo@sip.example", JULIET, text), sipjab.udp);
        assert_eq!(answer.status(), 202, "{}", answer.start);
    }

    // What is stored outlives the server.
    let sipjab = sipjab.restart();
    let mut juliet = Agent::bind();
    register(&mut juliet, &sipjab, 600);
    let next = |agent: &mut Agent| agent.serve(200, "OK", PATIENCE).expect("a MESSAGE");
    let arrived: Vec<_> = (0..MESSAGES).map(|_| next(&mut juliet)).collect();
    assert_eq!(arrived.iter().map(|it| it.text()).collect::<Vec<_>>(), texts);
    assert!(arrived[0].header("From").contains("sip:romeo@sip.example"));
    assert!(arrived[0].header("Date").ends_with(" GMT"), "{:?}", arrived[0]);

    register(&mut juliet, &sipjab, 600);
    let more = juliet.serve(200, "OK", Duration::from_millis(300));
    assert!(more.is_none(), "arrived twice: {more:?}");
    sipjab.terminate();
}

#[test]
fn a_phone_that_refuses_gets_its_messages_another_time() {
    let sipjab = Sipjab::start(&Setup::script(EXAMPLE));
    let mut romeo = Agent::bind();
    let message = Outgoing::new("sip:romeo@sip.example", JULIET, "later");
    assert_eq!(romeo.ask(&message, sipjab.udp).status(), 202);
    let mut juliet = Agent::bind();
    register(&mut juliet, &sipjab, 600);
    let refused = juliet.serve(480, "Busy", PATIENCE).expect("a MESSAGE");
    assert!(refused.text().ends_with("] later"), "{}", refused.text());
    assert!(refused.text().starts_with("[Offline message - "), "{}", refused.text());
    // The refusal is on its way, and until it is there a REGISTER sends nothing again.
    let deadline = Instant::now() + PATIENCE;
    loop {
        register(&mut juliet, &sipjab, 600);
        if let Some(again) = juliet.serve(200, "OK", Duration::from_millis(200)) {
            assert!(again.text().ends_with("] later"));
            assert_eq!(again.header("Call-ID"), refused.header("Call-ID"));
            break;
        }
        assert!(Instant::now() < deadline, "the message is lost");
    }
    sipjab.terminate();
}

#[test]
fn a_sender_is_told_and_messages_from_xmpp_wait_too() {
    let server = Peer::Prosody.start();
    let script = format!(
        "{EXAMPLE}\nfn xmpp_message_route() {{
            if lookup(\"location\") {{ t_relay(); return; }}
            if !m_store() {{ xmpp_refuse(\"recipient-unavailable\", \"\"); }}
        }}"
    );
    let mut romeo = Agent::bind();
    let parameters = format!(
        "[modules.msilo]\nfrom_address = \"sip:$rU@sip.example\"\noffline_message = \"$rU is away\"\n\
         max_messages = 2\nadd_date = false\n# {}\n",
        romeo.local
    );
    let setup = Setup { script, ..Setup::gateway(server.component_port) };
    let sipjab = Sipjab::start_connected(&setup.with(&parameters));
    let contact = format!("Contact: <sip:romeo@{}>\r\n", romeo.local);
    let own = Outgoing::register("sip:romeo@sip.example", 1, &contact);
    assert_eq!(romeo.ask(&own, sipjab.udp).status(), 200);

    let message = Outgoing::new("sip:romeo@sip.example", JULIET, "first");
    assert_eq!(romeo.ask(&message, sipjab.udp).status(), 202);
    let note = romeo.serve(200, "OK", PATIENCE).expect("a note");
    assert_eq!(note.text(), "juliet is away");
    assert!(note.header("From").contains("sip:juliet@sip.example"));

    let mut alice = Client::login(&server, "alice");
    alice.message("juliet@sip.example", "second");
    // It has come this far once it makes the limit.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let id = alice.message("juliet@sip.example", "too many");
        let refused = alice.next_message();
        assert_eq!(refused.attribute("id"), id);
        if refused.condition() == Some("recipient-unavailable") {
            break;
        }
        assert!(Instant::now() < deadline, "{refused:?}");
    }
    let mut juliet = Agent::bind();
    register(&mut juliet, &sipjab, 600);
    for text in ["first", "second"] {
        let arrived = juliet.serve(200, "OK", PATIENCE).expect("a MESSAGE");
        assert_eq!(arrived.text(), text);
    }
    sipjab.terminate();
}
