//! What senders hear of the fate of their messages: receipts, and the operator's questions.

use std::process::Command;
use std::time::Duration;

use crate::peer::{Peer, XmppServer};
use crate::process::PATIENCE;
use crate::sip::{Message, Outgoing};
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::xml::Element;
use crate::xmpp_client::Client;

const PHONE: &str = "sip:phone@sip.example";
const ALICE: &str = "sip:alice@xmpp.example";

fn confirm(alice: &mut Client, message: &Element) {
    assert!(message.child("request").is_some(), "nobody asks for a receipt: {message:?}");
    let (id, to) = (message.attribute("id"), message.attribute("from"));
    alice.send(&format!(
        "<message to='{to}' id='r1'><received xmlns='urn:xmpp:receipts' id='{id}'/></message>"
    ));
}

fn stage(reply: &str) -> (XmppServer, Agent, Sipjab, Client) {
    let server = Peer::Prosody.start();
    let agent = Agent::bind();
    let setup = Setup::gateway(server.component_port).reply(reply).outbound_proxy(agent.local);
    let sipjab = Sipjab::start_connected(&setup);
    let alice = Client::login(&server, "alice");
    (server, agent, sipjab, alice)
}

fn send(agent: &Agent, sipjab: &Sipjab, text: &str) -> String {
    let message = Outgoing::new(PHONE, ALICE, text);
    agent.send_udp(&message.to_bytes("UDP", agent.local), sipjab.udp);
    message.branch
}

#[test]
fn with_delivered_a_phone_hears_200_once_the_device_has_the_message() {
    let (_server, mut agent, sipjab, mut alice) = stage("delivered");
    let branch = send(&agent, &sipjab, "are you there?");
    let message = alice.next_message();
    let early = agent.final_response(&branch, Duration::from_millis(300));
    assert!(early.is_none(), "answered before the receipt: {early:?}");
    confirm(&mut alice, &message);
    let answer = agent.final_response(&branch, PATIENCE).expect("an answer");
    assert_eq!(answer.status(), 200);

    // A device that does not know receipts.
    let branch = send(&agent, &sipjab, "and now?");
    alice.next_message();
    let answer = agent.final_response(&branch, PATIENCE).expect("an answer");
    assert_eq!(answer.status(), 202);
    sipjab.terminate();
}

fn asking(wanted: &str) -> String {
    format!(
        "From: <{PHONE}>\r\nTo: <{ALICE}>\r\nNS: imdn <urn:ietf:params:imdn>\r\n\
         imdn.Message-ID: 34jk324j\r\nDateTime: 2006-04-04T12:16:49-05:00\r\n\
         imdn.Disposition-Notification: {wanted}\r\n\r\nContent-type: text/plain\r\n\r\nHello"
    )
}

/// Sends a message/cpim and returns the answer.
fn send_cpim(agent: &mut Agent, sipjab: &Sipjab, to: &str, body: &str) -> Message {
    let message = Outgoing::new(PHONE, to, body);
    let bytes = String::from_utf8(message.to_bytes("UDP", agent.local)).unwrap();
    let bytes = bytes.replace("text/plain;charset=UTF-8", "message/cpim");
    agent.send_udp(bytes.as_bytes(), sipjab.udp);
    agent.final_response(&message.branch, PATIENCE).expect("an answer")
}

#[test]
fn a_receipt_reaches_the_phone_that_asked_for_it_as_imdn() {
    let (_server, mut agent, sipjab, mut alice) = stage("queued");
    let answer = send_cpim(&mut agent, &sipjab, ALICE, &asking("positive-delivery"));
    assert_eq!(answer.status(), 202);
    let message = alice.next_message();
    assert_eq!(message.child_text("body"), Some("Hello"));
    confirm(&mut alice, &message);
    let imdn = agent.serve(200, "OK", PATIENCE).expect("a receipt");
    assert_eq!(imdn.header("Content-Type"), "message/cpim");
    let body = imdn.text();
    assert!(body.contains("<message-id>34jk324j</message-id>"), "{body}");
    assert!(body.contains("<status><delivered/></status>"), "{body}");

    let nobody = "sip:nobody@xmpp.example";
    let answer = send_cpim(&mut agent, &sipjab, nobody, &asking("negative-delivery"));
    assert_eq!(answer.status(), 202);
    let imdn = agent.serve(200, "OK", PATIENCE).expect("a receipt");
    assert!(imdn.text().contains("<status><failed/></status>"), "{}", imdn.text());
    sipjab.terminate();
}

#[test]
fn an_imdn_of_a_phone_reaches_who_asked_for_a_receipt() {
    let server = Peer::Prosody.start();
    let mut agent = Agent::bind();
    let mut setup = Setup::gateway(server.component_port).outbound_proxy(agent.local);
    setup.xmpp += "imdn = true\n";
    let sipjab = Sipjab::start_connected(&setup);
    let mut alice = Client::login(&server, "alice");
    alice.send(
        "<message to='phone@sip.example' type='chat' id='m1'><body>Hi</body>\
         <request xmlns='urn:xmpp:receipts'/></message>",
    );
    let asking = agent.serve(200, "OK", PATIENCE).expect("a MESSAGE").text();
    assert!(asking.contains("imdn.Message-ID: m1"), "{asking}");
    let imdn = "From: <sip:phone@sip.example>\r\nTo: <sip:alice@xmpp.example>\r\n\r\n\
                Content-Type: message/imdn+xml\r\n\r\n\
                <imdn xmlns=\"urn:ietf:params:xml:ns:imdn\"><message-id>m1</message-id>\
                <delivery-notification><status><delivered/></status></delivery-notification></imdn>";
    assert_eq!(send_cpim(&mut agent, &sipjab, ALICE, imdn).status(), 200);
    let receipt = alice.message_within(PATIENCE).expect("a receipt");
    assert_eq!(receipt.child("received").map(|it| it.attribute("id")), Some("m1"));
    sipjab.terminate();
}

#[test]
fn the_fate_of_a_message_can_be_asked_for() {
    let server = Peer::Prosody.start();
    let script = "fn request_route() {
        if is_method(\"OPTIONS\") { sl_send_reply(200, message_fate(hdr(\"X-Id\"))); return; }
        xmpp_send_message();
        append_to_reply(\"X-Id\", message_id());
        xmpp_reply();
    }";
    let setup = Setup { script: script.into(), ..Setup::gateway(server.component_port) };
    let sipjab = Sipjab::start_connected(&setup.reply("queued"));
    let mut alice = Client::login(&server, "alice");
    let mut agent = Agent::bind();
    let branch = send(&agent, &sipjab, "are you there?");
    let answer = agent.final_response(&branch, PATIENCE).expect("an answer");
    let id = answer.header("X-Id").to_owned();
    assert_eq!((answer.status(), id.len()), (202, 32), "{answer:?}");
    alice.next_message();
    let fate = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sipjab"));
        command.arg("fate").arg(&id).arg("-c").arg(sipjab.configuration());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let deadline = std::time::Instant::now() + PATIENCE;
    while !fate().1.contains("state     handed_over") {
        assert!(std::time::Instant::now() < deadline, "{:?}", fate());
    }
    assert!(fate().1.contains("to        sip:alice@xmpp.example"), "{:?}", fate());
    let question = Outgoing::new(PHONE, ALICE, "");
    let bytes = String::from_utf8(question.to_bytes("UDP", agent.local)).unwrap();
    let bytes =
        bytes.replace("MESSAGE", "OPTIONS").replace("Call-ID", &format!("X-Id: {id}\r\nCall-ID"));
    agent.send_udp(bytes.as_bytes(), sipjab.udp);
    let answer = agent.final_response(&question.branch, PATIENCE).expect("an answer");
    assert_eq!(answer.reason(), "handed_over");

    let mut unknown = Command::new(env!("CARGO_BIN_EXE_sipjab"));
    unknown.args(["fate", &"0".repeat(32), "-c"]).arg(sipjab.configuration());
    assert_eq!(unknown.output().unwrap().status.code(), Some(1));
    sipjab.terminate();
}
