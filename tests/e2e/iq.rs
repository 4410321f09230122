//! Every IQ to the gateway is answered, to its domain and to its users alike.

use crate::peer::{Peer, each_peer};
use crate::sipjab::{Setup, Sipjab};
use crate::xmpp_client::Client;

each_peer!(every_iq_is_answered);
fn every_iq_is_answered(peer: Peer) {
    let server = peer.start();
    let sipjab = Sipjab::start_connected(&Setup::gateway(server.component_port));
    let mut alice = Client::login(&server, "alice");

    let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    let info = alice.iq("sip.example", "get", info);
    let query = info.child("query").expect("disco#info");
    let identity = query.child("identity").expect("an identity");
    assert_eq!(identity.attribute("category"), "gateway");
    let has = |feature| query.children.iter().any(|child| child.attribute("var") == feature);
    for feature in ["http://jabber.org/protocol/disco#info", "urn:xmpp:ping", "jabber:iq:version"] {
        assert!(has(feature), "{feature} is not announced");
    }

    let ping = alice.iq("sip.example", "get", "<ping xmlns='urn:xmpp:ping'/>");
    assert_eq!(ping.attribute("type"), "result");

    let version = alice.iq("sip.example", "get", "<query xmlns='jabber:iq:version'/>");
    let name = version.child("query").and_then(|query| query.child_text("name"));
    assert!(name.is_some_and(|name| name.to_lowercase().contains("sipjab")), "{name:?}");

    let time = alice.iq("sip.example", "get", "<time xmlns='urn:xmpp:time'/>");
    let time = time.child("time").expect("XEP-0202");
    assert!(time.child("tzo").is_some() && time.child("utc").is_some());

    let last = alice.iq("sip.example", "get", "<query xmlns='jabber:iq:last'/>");
    let seconds = last.child("query").expect("XEP-0012").attribute("seconds");
    assert!(seconds.parse::<u64>().is_ok(), "{seconds:?}");

    for to in ["sip.example", "phone@sip.example", "phone@sip.example/desk"] {
        for kind in ["get", "set"] {
            let answer = alice.iq(to, kind, "<query xmlns='urn:example:unheard-of'/>");
            assert_eq!(answer.condition(), Some("service-unavailable"), "{kind} to {to}");
            assert_eq!(answer.attribute("from"), to);
        }
    }
    sipjab.terminate();
}
