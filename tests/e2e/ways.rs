//! The ways that messages and streams take: by name, over TCP because they are long, over IPv6.

use std::thread;

use crate::fake_server::FakeServer;
use crate::name_server::{NameServer, loopback, srv};
use crate::process::PATIENCE;
use crate::sip::{Message, Outgoing};
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};

const ALICE: &str = "sip:alice@sip.example";

/// A script that sends every request to `next_hop`.
fn relay_to(next_hop: &str) -> Setup {
    Setup::script(&format!("fn request_route() {{ setdsturi(\"{next_hop}\"); t_relay(); }}"))
}

/// Alice writes `text` through the program; the answer that she gets, what Bob gets, and how.
fn write(sipjab: &Sipjab, alice: &mut Agent, bob: &mut Agent, text: &str) -> (Message, Message) {
    let message = Outgoing::new(ALICE, "sip:bob@elsewhere.example", text);
    thread::scope(|scope| {
        let served = scope.spawn(|| bob.serve(200, "OK", PATIENCE).expect("the MESSAGE"));
        (alice.ask(&message, sipjab.udp), served.join().unwrap())
    })
}

fn transport_of(message: &Message) -> &str {
    message.header("Via").trim_start_matches("SIP/2.0/").split(' ').next().unwrap_or_default()
}

/// RFC 3263 §4.2.
#[test]
fn a_service_record_leads_to_the_phone() {
    let (mut alice, mut bob) = (Agent::bind(), Agent::bind());
    let names = NameServer::start(vec![
        ("_sip._udp.elsewhere.example.", srv(1, bob.local.port(), "phone.elsewhere.example.")),
        ("phone.elsewhere.example.", loopback()),
    ]);
    let mut setup = relay_to("sip:elsewhere.example");
    setup.tables += &names.table();
    let sipjab = Sipjab::start(&setup);
    let (answer, arrived) = write(&sipjab, &mut alice, &mut bob, "by name");
    assert_eq!((answer.status(), arrived.text().as_str()), (200, "by name"));
    sipjab.terminate();
}

#[test]
fn a_name_that_does_not_exist_is_told_to_the_sender() {
    let names = NameServer::start(Vec::new());
    let mut setup = relay_to("sip:nowhere.example");
    setup.tables += &names.table();
    let sipjab = Sipjab::start(&setup);
    let answer = Agent::bind().ask(&Outgoing::new(ALICE, ALICE, "anybody?"), sipjab.udp);
    assert_eq!(answer.status(), 404);
    sipjab.terminate();
}

/// XEP-0114 knows no SRV records; the name is Prosody's and jabberd2's custom.
#[test]
fn a_service_record_leads_to_the_xmpp_server() {
    let server = FakeServer::start(|_, mut session| {
        session.accept();
        session.stall();
    });
    let names = NameServer::start(vec![
        ("_xmpp-component._tcp.xmpp.example.", srv(1, server.port, "host.xmpp.example.")),
        ("host.xmpp.example.", loopback()),
    ]);
    let mut setup = Setup::gateway(server.port);
    setup.xmpp_host = "xmpp.example".to_owned();
    setup.xmpp += "xmpp_srv = true\n";
    setup.tables += &names.table();
    Sipjab::start_connected(&setup).terminate();
}

/// RFC 3261 §18.1.1: over 1300 bytes it leaves over TCP.
#[test]
fn a_long_request_leaves_over_tcp() {
    let (mut alice, mut bob) = (Agent::bind(), Agent::bind());
    let sipjab = Sipjab::start(&relay_to(&format!("sip:{}", bob.local)));
    let long = "long ".repeat(400);
    let (answer, arrived) = write(&sipjab, &mut alice, &mut bob, &long);
    assert_eq!((answer.status(), transport_of(&arrived)), (200, "TCP"));
    assert_eq!(arrived.text(), long);
    let (_, arrived) = write(&sipjab, &mut alice, &mut bob, "short");
    assert_eq!(transport_of(&arrived), "UDP");
    sipjab.terminate();
}

/// RFC 3261 §18.1.1: where nobody listens on TCP, it leaves over UDP all the same.
#[test]
fn a_long_request_falls_back_to_udp() {
    let (mut alice, mut bob) = (Agent::bind(), Agent::bind_udp("127.0.0.1"));
    let sipjab = Sipjab::start(&relay_to(&format!("sip:{}", bob.local)));
    let long = "long ".repeat(400);
    let (answer, arrived) = write(&sipjab, &mut alice, &mut bob, &long);
    assert_eq!((answer.status(), transport_of(&arrived)), (200, "UDP"));
    assert_eq!(arrived.text(), long);
    sipjab.terminate();
}

#[test]
fn between_ipv6_and_ipv4_each_side_sees_its_own_family() {
    let (mut alice, mut bob) = (Agent::bind_udp("::1"), Agent::bind());
    let mut setup = relay_to(&format!("sip:{}", bob.local));
    setup.listen = vec!["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "udp:[::1]:0", "tcp:[::1]:0"];
    let sipjab = Sipjab::start(&setup);
    let six = sipjab.listener("udp:[");
    let message = Outgoing::new(ALICE, "sip:bob@[2001:db8::7]", "over both");
    let (answer, arrived) = thread::scope(|scope| {
        let served = scope.spawn(|| bob.serve(200, "OK", PATIENCE).expect("the MESSAGE"));
        (alice.ask(&message, six), served.join().unwrap())
    });
    assert_eq!(answer.status(), 200);
    let vias: Vec<_> = arrived.headers.iter().filter(|(name, _)| name == "Via").collect();
    assert!(vias[0].1.starts_with(&format!("SIP/2.0/UDP {}", sipjab.udp)), "{vias:?}");
    assert!(vias[1].1.starts_with("SIP/2.0/UDP [::1]:"), "{vias:?}");
    sipjab.terminate();
}

/// The other way, with the Request-URI as the only guide, over TCP.
#[test]
fn an_ipv6_uri_leads_over_tcp_too() {
    let mut alice = Agent::bind();
    let mut bob = Agent::bind_at("::1");
    let mut setup = Setup::script("fn request_route() { t_relay(); }");
    setup.listen = vec!["udp:127.0.0.1:0", "tcp:127.0.0.1:0", "udp:[::1]:0", "tcp:[::1]:0"];
    let sipjab = Sipjab::start(&setup);
    let to = format!("sip:bob@{};transport=tcp", bob.local);
    let message = Outgoing::new(ALICE, &to, "numbers");
    let (answer, arrived) = thread::scope(|scope| {
        let served = scope.spawn(|| bob.serve(200, "OK", PATIENCE).expect("the MESSAGE"));
        (alice.ask(&message, sipjab.udp), served.join().unwrap())
    });
    assert_eq!((answer.status(), transport_of(&arrived)), (200, "TCP"));
    assert!(arrived.header("Via").starts_with("SIP/2.0/TCP [::1]:"), "{}", arrived.header("Via"));
    sipjab.terminate();
}
