//! The peers without the gateway: what fails here is not the gateway's fault.

use crate::component::Component;
use crate::peer::{COMPONENT, Peer, each_peer};
use crate::texts;
use crate::xmpp_client::Client;

each_peer!(client_and_component_talk);
fn client_and_component_talk(peer: Peer) {
    let server = peer.start();
    let mut component = Component::connect(&server);
    let mut alice = Client::login(&server, "alice");
    let texts: Vec<_> = (0..20).map(texts::numbered).chain([texts::large(20)]).collect();
    for text in &texts {
        component.message(&format!("phone@{COMPONENT}"), "alice@xmpp.example", text);
        alice.message(&format!("phone@{COMPONENT}"), text);
    }
    for text in &texts {
        assert_eq!(alice.next_message().child_text("body"), Some(text.as_str()));
        assert_eq!(component.next_message().child_text("body"), Some(text.as_str()));
    }
}
