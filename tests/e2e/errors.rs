//! What goes wrong on one side is told to the other.

use crate::peer::{Peer, each_peer};
use crate::process::PATIENCE;
use crate::sip::Outgoing;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::xmpp_client::Client;

const PHONE: &str = "sip:phone@sip.example";
const NOBODY: &str = "sip:nobody@xmpp.example";

/// RFC 7247 §7.2: the codes of `service-unavailable` and `item-not-found`, which servers answer for
/// an account that does not exist; never 503, which would take the whole gateway out of service.
const NO_SUCH_USER: [u16; 4] = [403, 404, 405, 604];

each_peer!(an_unknown_jid_becomes_the_final_reply);
fn an_unknown_jid_becomes_the_final_reply(peer: Peer) {
    let server = peer.start();
    let setup = Setup::gateway(server.component_port).reply("handed_over");
    let sipjab = Sipjab::start_connected(&setup);
    let mut agent = Agent::bind();
    let answer = agent.ask(&Outgoing::new(PHONE, NOBODY, "anybody there?"), sipjab.udp);
    assert!(NO_SUCH_USER.contains(&answer.status()), "{}", answer.start);

    let _alice = Client::login(&server, "alice");
    let message = Outgoing::new(PHONE, "sip:alice@xmpp.example", "and you?");
    assert_eq!(agent.ask(&message, sipjab.udp).status(), 200);
    sipjab.terminate();
}

each_peer!(an_error_after_the_reply_returns_as_a_message);
fn an_error_after_the_reply_returns_as_a_message(peer: Peer) {
    let server = peer.start();
    let mut agent = Agent::bind();
    let setup = Setup::gateway(server.component_port).reply("queued").outbound_proxy(agent.local);
    let sipjab = Sipjab::start_connected(&setup);
    let answer = agent.ask(&Outgoing::new(PHONE, NOBODY, "anybody there?"), sipjab.udp);
    assert_eq!(answer.status(), 202, "{}", answer.start);
    let notice = agent.serve(200, "OK", PATIENCE).expect("a MESSAGE about the failure");
    assert!(notice.request_uri().starts_with(PHONE), "{}", notice.start);
    assert!(notice.header("From").contains("nobody@xmpp.example"), "{}", notice.header("From"));
    sipjab.terminate();
}

/// The recipient's device returns what its server has taken: the notice names the message all the same.
#[test]
fn an_error_long_after_the_reply_names_the_message() {
    for reply in ["handed_over", "queued"] {
        let server = Peer::Prosody.start();
        let mut agent = Agent::bind();
        let setup = Setup::gateway(server.component_port).reply(reply).outbound_proxy(agent.local);
        let sipjab = Sipjab::start_connected(&setup);
        let mut alice = Client::login(&server, "alice");
        let message = Outgoing::new(PHONE, "sip:alice@xmpp.example", "are you there?");
        let answer = agent.ask(&message, sipjab.udp);
        assert!((200..300).contains(&answer.status()), "{}", answer.start);
        let arrived = alice.next_message();
        let (id, to) = (arrived.attribute("id"), arrived.attribute("from"));
        alice.send(&format!(
            "<message to='{to}' id='{id}' type='error'><error type='cancel'>\
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        ));
        let notice = agent.serve(200, "OK", PATIENCE).expect("a MESSAGE about the failure");
        assert!(notice.header("From").contains("alice@xmpp.example"), "{}", notice.header("From"));
        assert!(notice.text().ends_with("\n> are you there?"), "{reply}: {}", notice.text());
        sipjab.terminate();
    }
}

each_peer!(a_sip_failure_becomes_a_stanza_error);
fn a_sip_failure_becomes_a_stanza_error(peer: Peer) {
    let server = peer.start();
    let mut agent = Agent::bind();
    let setup = Setup::gateway(server.component_port).outbound_proxy(agent.local);
    let sipjab = Sipjab::start_connected(&setup);
    let mut alice = Client::login(&server, "alice");
    for (status, reason, condition) in [
        (404, "Not Found", "item-not-found"),
        (486, "Busy Here", "recipient-unavailable"),
        (403, "Forbidden", "forbidden"),
        (413, "Request Entity Too Large", "policy-violation"),
        (500, "Server Internal Error", "internal-server-error"),
    ] {
        let id = alice.message("phone@sip.example", "are you there?");
        agent.serve(status, reason, PATIENCE).expect("a MESSAGE");
        let error = alice.next_message();
        assert_eq!(error.attribute("type"), "error");
        assert_eq!(error.attribute("id"), id);
        assert_eq!(error.attribute("from"), "phone@sip.example");
        assert_eq!(error.condition(), Some(condition), "{status}");
    }
    sipjab.terminate();
}

/// RFC 3261 §17.1.2.2, Timer F: 64 round trips, here of 50 ms.
#[test]
fn a_silent_phone_becomes_a_timeout_error() {
    let server = Peer::Prosody.start();
    let agent = Agent::bind();
    let setup = Setup::gateway(server.component_port).outbound_proxy(agent.local).t1("50ms");
    let sipjab = Sipjab::start_connected(&setup);
    let mut alice = Client::login(&server, "alice");
    alice.message("phone@sip.example", "are you there?");
    let error = alice.message_within(PATIENCE).expect("an error");
    assert_eq!(error.condition(), Some("remote-server-timeout"));
    sipjab.terminate();
}
