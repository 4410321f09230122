//! The XMPP server goes away and comes back.

use crate::peer::{Peer, each_peer};
use crate::process::PATIENCE;
use crate::sip::Outgoing;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};
use crate::xmpp_client::Client;

each_peer!(a_server_that_returns_is_used_again);
fn a_server_that_returns_is_used_again(peer: Peer) {
    let mut server = peer.start();
    let setup = Setup::gateway(server.component_port).reply("handed_over");
    let sipjab = Sipjab::start_connected(&setup);
    let mut agent = Agent::bind();
    let message = |text| Outgoing::new("sip:phone@sip.example", "sip:alice@xmpp.example", text);

    server.stop();
    let answer = agent.ask(&message("nobody carries this"), sipjab.udp);
    assert!(answer.status() >= 400, "not handed over, yet {}", answer.start);

    let mark = sipjab.process.mark();
    server.start(peer);
    assert!(sipjab.logs(mark, "component ready", PATIENCE * 3).is_some(), "no reconnection");
    let mut alice = Client::login(&server, "alice");
    assert_eq!(agent.ask(&message("back again"), sipjab.udp).status(), 200);
    while alice.next_message().child_text("body") != Some("back again") {}
    sipjab.terminate();
}
