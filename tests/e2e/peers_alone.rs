//! The peers without the gateway: what fails here is not the gateway's fault.

use crate::component::Component;
use crate::peer::{COMPONENT, Peer};
use crate::texts;
use crate::xmpp_client::Client;

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

#[test]
fn client_and_component_talk_prosody() {
    client_and_component_talk(Peer::Prosody);
}

#[test]
fn client_and_component_talk_ejabberd() {
    client_and_component_talk(Peer::Ejabberd);
}

#[test]
fn client_and_component_talk_jabberd2() {
    client_and_component_talk(Peer::Jabberd2);
}
