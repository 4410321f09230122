//! A dialog whose every request passes through the proxy, from UDP to TCP and back.

use std::fmt::Write as _;
use std::io::Write as _;
use std::thread;

use crate::process::PATIENCE;
use crate::sip::Message;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};

const ROUTE: &str = r#"
fn request_route() {
    if has_totag() {
        if !loose_route() { sl_send_reply(404, "Not Here"); return; }
        let direction = if is_direction("upstream") { "upstream" } else { "downstream" };
        info("$rm goes " + direction + ", recorded: " + is_recorded());
        if !check_route_param("mark=7") { sl_send_reply(400, "No Mark"); return; }
        t_relay();
        return;
    }
    if loose_route() { sl_send_reply(403, "Preload Route Denied"); return; }
    if is_method("SUBSCRIBE") { record_route(";mark=7"); }
    t_relay();
}
"#;

/// A request of a dialog; `tags` are those of From and To.
struct Request<'a> {
    start: &'a str,
    branch: &'a str,
    tags: (&'a str, &'a str),
    routes: &'a [String],
}

impl Request<'_> {
    fn to_bytes(&self, transport: &str, agent: &Agent) -> Vec<u8> {
        let (method, uri) = self.start.split_once(' ').unwrap();
        let (local, (from, to)) = (agent.local, self.tags);
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/{transport} {local};branch=z9hG4bK{};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:a@sip.example>;tag={from}\r\nTo: <sip:b@sip.example>{to}\r\n\
             Call-ID: dialog-1\r\nCSeq: 1 {method}\r\nContact: <sip:me@{local}>\r\n",
            self.branch
        );
        for route in self.routes {
            write!(text, "Route: {route}\r\n").unwrap();
        }
        (text + "Content-Length: 0\r\n\r\n").into_bytes()
    }

    /// Sends it over UDP; gives the final reply, and what arrived at `there`.
    fn exchange(&self, here: &mut Agent, there: &mut Agent, sipjab: &Sipjab) -> (Message, Message) {
        here.send_udp(&self.to_bytes("UDP", here), sipjab.udp);
        thread::scope(|scope| {
            let served = scope.spawn(|| there.serve(200, "OK", PATIENCE).expect("the request"));
            let branch = format!("z9hG4bK{}", self.branch);
            let reply = here.final_response(&branch, PATIENCE).expect("a reply");
            (reply, served.join().unwrap())
        })
    }

    /// Sends it over UDP; gives the final reply of the proxy.
    fn answered(&self, here: &mut Agent, sipjab: &Sipjab) -> u16 {
        here.send_udp(&self.to_bytes("UDP", here), sipjab.udp);
        let branch = format!("z9hG4bK{}", self.branch);
        here.final_response(&branch, PATIENCE).expect("a reply").status()
    }
}

fn values(message: &Message, name: &str) -> Vec<String> {
    let lines = message.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    lines.flat_map(|(_, value)| value.split(',').map(|it| it.trim().to_owned())).collect()
}

/// Alice on UDP subscribes to Bob on TCP; gives the route set as Bob sees it.
fn subscribe(alice: &mut Agent, bob: &mut Agent, sipjab: &Sipjab) -> Vec<String> {
    let start = format!("SUBSCRIBE sip:bob@{};transport=tcp", bob.local);
    let request = Request { start: &start, branch: "s1", tags: ("a1", ""), routes: &[] };
    let (reply, arrived) = request.exchange(alice, bob, sipjab);
    assert_eq!(reply.status(), 200);
    values(&arrived, "Record-Route")
}

#[test]
fn a_dialog_between_udp_and_tcp_stays_with_the_proxy_both_ways() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let (mut alice, mut bob) = (Agent::bind(), Agent::bind());
    let routes = subscribe(&mut alice, &mut bob, &sipjab);
    let (_, seal) = routes[0].split_once(";seal=").expect("a seal");
    let params = format!("r2=on;lr;ftag=a1;seal={seal}");
    let far = format!("<sip:{};transport=tcp;{params}", sipjab.tcp);
    let near = format!("<sip:{};{params}", sipjab.udp);
    assert!(seal.ends_with(";mark=7>"), "{seal}");
    assert_eq!(routes, [far, near]);

    let start = format!("NOTIFY sip:alice@{}", alice.local);
    let notify = Request { start: &start, branch: "n1", tags: ("b1", ";tag=a1"), routes: &routes };
    let mut stream = bob.connect(sipjab.tcp);
    stream.write_all(&notify.to_bytes("TCP", &bob)).unwrap();
    let arrived = alice.serve(200, "OK", PATIENCE).expect("the NOTIFY");
    assert!(arrived.start.starts_with("NOTIFY sip:alice@"), "{}", arrived.start);
    assert!(values(&arrived, "Route").is_empty());
    assert_eq!(bob.final_response("z9hG4bKn1", PATIENCE).expect("a reply").status(), 200);
    sipjab.process.wait_for("NOTIFY goes upstream, recorded: true");

    let reversed: Vec<_> = routes.into_iter().rev().collect();
    let start = format!("SUBSCRIBE sip:bob@{};transport=tcp", bob.local);
    let tags = ("a1", ";tag=b1");
    let again = Request { start: &start, branch: "s2", tags, routes: &reversed };
    let (reply, arrived) = again.exchange(&mut alice, &mut bob, &sipjab);
    assert_eq!(reply.status(), 200);
    assert!(arrived.header("Via").starts_with("SIP/2.0/TCP "));
    assert!(values(&arrived, "Route").is_empty());
    assert!(values(&arrived, "Record-Route").is_empty(), "the route set is fixed");
    sipjab.process.wait_for("SUBSCRIBE goes downstream, recorded: true");
    sipjab.terminate();
}

/// RFC 3261 §16.4: a strict router sends our Record-Route value as Request-URI, and the target as last Route.
#[test]
fn strict_routers_on_either_side_are_traversed() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let (mut alice, mut bob) = (Agent::bind(), Agent::bind());
    let us = format!("sip:{};lr;mark=7", sipjab.udp);
    let start = format!("SUBSCRIBE {us}");
    let target = format!("<sip:bob@{}>", bob.local);
    let tags = ("a1", ";tag=b1");
    let from_strict = Request { start: &start, branch: "t1", tags, routes: &[target] };
    let (reply, arrived) = from_strict.exchange(&mut alice, &mut bob, &sipjab);
    assert_eq!(reply.status(), 200);
    assert_eq!(arrived.request_uri(), format!("sip:bob@{}", bob.local));
    assert!(values(&arrived, "Route").is_empty());

    let routes = [format!("<{us}>"), format!("<sip:{}>", bob.local)];
    let to_strict =
        Request { start: "SUBSCRIBE sip:carol@192.0.2.5", branch: "t2", tags, routes: &routes };
    let (reply, arrived) = to_strict.exchange(&mut alice, &mut bob, &sipjab);
    assert_eq!(reply.status(), 200);
    assert_eq!(arrived.request_uri(), format!("sip:{}", bob.local));
    assert_eq!(values(&arrived, "Route"), ["<sip:carol@192.0.2.5>"]);
    sipjab.terminate();
}

#[test]
fn the_proxy_is_no_open_relay_and_lets_no_forged_dialog_through() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let (mut mallory, mut victim) = (Agent::bind(), Agent::bind());
    let own = format!("<sip:{};lr>", sipjab.udp);
    let third = format!("<sip:{};lr>", victim.local);
    let start = format!("MESSAGE sip:victim@{}", victim.local);
    let mut refused = |branch, to, routes: &[String]| {
        let request = Request { start: &start, branch, tags: ("m1", to), routes };
        request.answered(&mut mallory, &sipjab)
    };
    assert_eq!(refused("p1", "", &[own.clone(), third.clone()]), 403, "preloaded behind us");
    assert_eq!(refused("p2", "", &[third]), 403, "preloaded past us");
    assert_eq!(refused("p3", ";tag=x", &[own]), 400, "not what we recorded");
    assert_eq!(refused("p4", ";tag=x", &[]), 404, "no route at all");
    assert_eq!(refused("p5", ";tag=x", &["<sip:@>".to_owned()]), 400, "no URI");
    assert!(victim.serve(200, "OK", std::time::Duration::from_millis(200)).is_none());
    sipjab.terminate();
}

/// A script that does not look at Route: the request goes along it all the same, once past us.
#[test]
fn a_route_is_followed_also_by_a_script_that_only_relays() {
    let sipjab = Sipjab::start(&Setup::script("fn request_route() { t_relay(); }"));
    let (mut alice, mut bob) = (Agent::bind(), Agent::bind());
    let double = [
        format!("<sip:{};r2=on;lr>", sipjab.udp),
        format!("<sip:{};transport=tcp;r2=on;lr>", sipjab.tcp),
        format!("<sip:{};lr>", bob.local),
    ];
    let request = Request {
        start: "MESSAGE sip:carol@192.0.2.5",
        branch: "r1",
        tags: ("a1", ";tag=b1"),
        routes: &double,
    };
    let (reply, arrived) = request.exchange(&mut alice, &mut bob, &sipjab);
    assert_eq!(reply.status(), 200);
    assert_eq!(values(&arrived, "Route"), [format!("<sip:{};lr>", bob.local)]);
    sipjab.terminate();
}

/// RFC 3261 §16.4: the script sees the Request-URI without what only brought it to us.
#[test]
fn an_maddr_of_ours_is_gone_before_the_script_looks() {
    let script = r#"fn request_route() { info("for " + ruri()); sl_send_reply(200, "OK"); }"#;
    let sipjab = Sipjab::start(&Setup::script(script));
    let mut alice = Agent::bind();
    let (ip, port) = (sipjab.udp.ip(), sipjab.udp.port());
    let start = format!("OPTIONS sip:home.example:{port};maddr={ip}");
    let request = Request { start: &start, branch: "m1", tags: ("a1", ""), routes: &[] };
    assert_eq!(request.answered(&mut alice, &sipjab), 200);
    sipjab.process.wait_for("for sip:home.example");
    let lines = sipjab.terminate().join("\n");
    assert!(!lines.contains("maddr"), "{lines}");
}
