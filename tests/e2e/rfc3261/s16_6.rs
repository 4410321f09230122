//! §16.6: how a request leaves.

use std::io::Write as _;

use super::{Arrived, Phone, RELAY, Scene};
use crate::name_server::{NameServer, loopback, srv};
use crate::process::PATIENCE;
use crate::sipjab::Setup;

/// Headers of every kind.
const LINES: &str = "Via: SIP/2.0/TCP far.example;branch=z9hG4bKfar\r\n\
    Accept: text/plain\r\nAccept-Language: de, en\r\nsubject:  odd   spaces\r\n\
    Authorization: Digest username=\"a\"\r\nDate: Sat, 13 Nov 2010 23:29:00 GMT\r\n\
    X-Unheard: of\r\nRequire: nothing-known\r\nk: timer\r\nPriority: normal\r\n\
    P-Asserted-Identity: <sip:alice@a.example>\r\nX-Empty:\r\nx-unheard: again\r\n";

/// What Bob gets of a request with [`LINES`], and the request.
fn copied() -> (Arrived, String) {
    let mut scene = Scene::new(RELAY);
    let request = scene.send_to_bob("MESSAGE", LINES);
    (scene.bob.hears("MESSAGE"), request)
}

/// Step 1: the copy has all header fields of the request.
#[test]
fn s16_6_1_the_copy_has_all_header_fields() {
    let (copy, request) = copied();
    for line in request.lines().skip(1).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        let value = match name {
            "Max-Forwards" => "69",
            "Via" if value.contains(";rport") => continue,
            _ => value.trim(),
        };
        let found = |(key, found): &(String, String)| key == name && found == value;
        assert!(copy.message.headers.iter().any(found), "{name}: {value}");
    }
}

/// Step 1: no field is removed, and none written anew.
#[test]
fn s16_6_1_unknown_fields_stay_as_they_are() {
    let (copy, _) = copied();
    let of = |name: &str| -> Vec<_> {
        let named = copy.message.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(key, value)| (key.as_str(), value.as_str())).collect()
    };
    assert_eq!(of("x-unheard"), [("X-Unheard", "of"), ("x-unheard", "again")]);
    assert_eq!(of("subject"), [("subject", "odd   spaces")]);
    assert_eq!((of("k"), of("x-empty")), (vec![("k", "timer")], vec![("X-Empty", "")]));
}

/// Step 1: values of one name keep their order.
#[test]
fn s16_6_1_values_of_one_name_keep_their_order() {
    let mut scene = Scene::new(RELAY);
    let lines = "Via: SIP/2.0/TCP far2.example, SIP/2.0/UDP far1.example\r\n\
        X-List: 1, 2\r\nRecord-Route: <sip:p3.example;lr>\r\nX-List: 3\r\n\
        Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\r\nX-List: 4, 5\r\n";
    scene.send_to_bob("INVITE", lines);
    let copy = scene.bob.hears("INVITE");
    assert_eq!(copy.values("X-List"), ["1", "2", "3", "4", "5"]);
    let routes = ["p3", "p2", "p1"].map(|name| format!("<sip:{name}.example;lr>"));
    assert_eq!(copy.values("Record-Route"), routes);
    assert_eq!(copy.values("Via")[2..], ["SIP/2.0/TCP far2.example", "SIP/2.0/UDP far1.example"]);
}

/// Step 1: the body stays, whatever it is.
#[test]
fn s16_6_1_the_body_is_untouched() {
    let mut scene = Scene::new(RELAY);
    let body: Vec<u8> = (0..=255).chain(*b"\r\n\r\n\0").collect();
    let head = scene.request("MESSAGE", &scene.bob.uri(), "Content-Type: x/y\r\n");
    let head = head.replace("Content-Length: 0", &format!("Content-Length: {}", body.len()));
    scene.alice.agent.send_udp(&[head.as_bytes(), &body].concat(), scene.sipjab.udp);
    assert_eq!(scene.bob.hears("MESSAGE").message.body, body);
}

/// Step 2: the Request-URI of each copy is its target.
#[test]
fn s16_6_2_the_request_uri_is_that_of_the_target() {
    let mut scene = Scene::forking();
    scene.send_to_bob("INVITE", "");
    assert_eq!(scene.bob.hears("INVITE").message.request_uri(), scene.bob.uri());
    assert_eq!(scene.carol.hears("INVITE").message.request_uri(), scene.carol.uri());
}

/// Step 2: parameters that a Request-URI may not have are removed: `method` and headers, table 1 in §19.1.1.
#[test]
fn s16_6_2_what_a_request_uri_may_not_have_is_removed() {
    let mut scene = Scene::with(|_, carol| {
        let uri = format!("{};method=BYE;x=1?Subject=boo", carol.uri());
        Setup::script(&format!("fn request_route() {{ seturi(\"{uri}\"); t_relay(); }}"))
    });
    scene.send_to_bob("MESSAGE", "");
    let target = format!("{};x=1", scene.carol.uri());
    assert_eq!(scene.carol.hears("MESSAGE").message.request_uri(), target);
}

/// What Bob gets of a request that is recorded.
fn recorded(lines: &str) -> (Scene, Arrived) {
    let script = r#"
        fn request_route() {
            if has_totag() { loose_route(); } else { record_route(); }
            t_relay();
        }
    "#;
    let mut scene = Scene::new(script);
    scene.send_to_bob("INVITE", lines);
    let arrived = scene.bob.hears("INVITE");
    (scene, arrived)
}

/// Step 4: a Record-Route value stands in front of those there are, even where there is a Route.
#[test]
fn s16_6_4_record_route_stands_in_front_of_others() {
    let older = "Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>\r\n";
    let (scene, arrived) = recorded(older);
    let routes = arrived.values("Record-Route");
    assert!(routes[0].contains(&scene.sipjab.udp.to_string()), "{routes:?}");
    assert_eq!(routes[1..], ["<sip:p2.example;lr>", "<sip:p1.example;lr>"]);
    let mut scene = scene;
    let route = format!("Route: <sip:{};lr>\r\n{older}", scene.bob.agent.local);
    let request = scene.request("SUBSCRIBE", "sip:far@192.0.2.9", &route);
    scene.send(&request);
    assert_eq!(scene.bob.hears("SUBSCRIBE").values("Record-Route").len(), 3);
}

/// Step 4: the Record-Route value leads to the proxy that wrote it.
#[test]
fn s16_6_4_record_route_leads_back_to_us() {
    let (mut scene, arrived) = recorded("");
    let route = arrived.values("Record-Route").remove(0);
    let host = route.trim_start_matches("<sip:").split(';').next().unwrap().parse().unwrap();
    let request = scene
        .request("BYE", &scene.alice.uri(), &format!("Route: {route}\r\n"))
        .replace("To: <sip:bob@b.example>", "To: <sip:alice@a.example>;tag=x")
        .replace(&scene.alice.agent.local.to_string(), &scene.bob.agent.local.to_string())
        .replace(&format!("BYE {}", scene.bob.uri()), &format!("BYE {}", scene.alice.uri()));
    scene.bob.agent.send_udp(request.as_bytes(), host);
    let bye = scene.alice.hears("BYE");
    assert!(bye.values("Route").is_empty());
}

/// A request to a SIPS URI, by a next hop that the script sets or a Route that the request has; both are plain SIP.
fn to_sips(is_set: bool) -> Scene {
    let scene = Scene::with(|bob, _| match is_set {
        true => Setup::script(&format!(
            "fn request_route() {{ setdsturi(\"{}\"); t_relay(); }}",
            bob.uri()
        )),
        false => Setup::script(RELAY),
    });
    let route = match is_set {
        true => String::new(),
        false => format!("Route: <{};lr>\r\n", scene.bob.uri()),
    };
    let request = scene.request("MESSAGE", "sips:bob@b.example", &route);
    scene.send(&request);
    scene
}

/// Step 6: a SIPS Request-URI goes to a proxy of our choice over TLS only.
#[test]
fn s16_6_6_a_sips_request_goes_to_a_chosen_proxy_over_tls_only() {
    let mut scene = to_sips(true);
    scene.alice.hears("SIP/2.0 480");
    scene.bob.is_left_alone();
}

/// Step 7: for a SIPS Request-URI the way is found as if the input were a SIPS URI, whatever it is.
#[test]
fn s16_6_7_a_sips_request_is_routed_as_sips() {
    let mut scene = to_sips(false);
    scene.alice.hears("SIP/2.0 480");
    scene.bob.is_left_alone();
}

/// An INVITE to a name that leads to Carol first, who says 503, and then to Bob.
fn failed_over() -> (Scene, Arrived, Arrived) {
    let mut scene = Scene::with(|bob, carol| {
        let names = NameServer::start(vec![
            ("_sip._udp.b.example.", srv(1, carol.agent.local.port(), "h.b.example.")),
            ("_sip._udp.b.example.", srv(2, bob.agent.local.port(), "h.b.example.")),
            ("h.b.example.", loopback()),
        ]);
        let mut setup = Setup::script(RELAY);
        setup.tables += &names.table();
        setup
    });
    let request = scene.request("INVITE", "sip:bob@b.example", "");
    scene.send(&request);
    let first = scene.carol.hears("INVITE");
    scene.bob.is_left_alone();
    scene.carol.answers(&first, 503);
    scene.carol.hears("ACK");
    let second = scene.bob.hears("INVITE");
    scene.bob.answers(&second, 200);
    scene.alice.hears("SIP/2.0 200");
    (scene, first, second)
}

/// Step 7: the addresses are tried in their order until one takes the request.
#[test]
fn s16_6_7_the_addresses_are_tried_in_order() {
    failed_over();
}

/// Step 7: for each address the request is formed anew and gets a client transaction.
#[test]
fn s16_6_7_each_address_gets_a_transaction_of_its_own() {
    let (_, first, second) = failed_over();
    assert_eq!(first.message.start, second.message.start);
    assert_eq!((first.values("Via").len(), second.values("Via").len()), (2, 2));
}

/// Step 7: the branch differs for each address.
#[test]
fn s16_6_7_each_address_gets_a_branch_of_its_own() {
    let (_, first, second) = failed_over();
    assert_ne!(first.message.branch(), second.message.branch());
}

/// Step 8: a Via stands in front of those there are.
#[test]
fn s16_6_8_a_via_stands_in_front_of_the_others() {
    let mut scene = Scene::new(RELAY);
    scene.send_to_bob("MESSAGE", "Via: SIP/2.0/UDP far.example;branch=z9hG4bKfar\r\n");
    let vias = scene.bob.hears("MESSAGE").values("Via");
    let begins = [scene.sipjab.udp.to_string(), scene.alice.agent.local.to_string()];
    assert!(vias[0].starts_with(&format!("SIP/2.0/UDP {};branch=z9hG4bK", begins[0])), "{vias:?}");
    assert!(vias[1].starts_with(&format!("SIP/2.0/UDP {};branch=z9hG4bKa", begins[1])), "{vias:?}");
    assert_eq!(vias[2..], ["SIP/2.0/UDP far.example;branch=z9hG4bKfar"]);
}

/// Step 9: over a stream a request without Content-Length gets the right one.
#[test]
fn s16_6_9_a_stream_gets_a_content_length() {
    let mut scene = Scene::new(RELAY);
    let uri = format!("{};transport=tcp", scene.bob.uri());
    let request = scene.request("MESSAGE", &uri, "Content-Type: text/plain\r\n");
    scene.send(&request.replace("Content-Length: 0\r\n\r\n", "\r\nhello"));
    let arrived = scene.bob.hears("MESSAGE").message;
    assert!(arrived.header("Via").starts_with("SIP/2.0/TCP"));
    assert_eq!((arrived.header("Content-Length"), arrived.text().as_str()), ("5", "hello"));

    // So does a response that has come over UDP.
    let request = scene.request("MESSAGE", &scene.bob.uri(), "").replace("/UDP", "/TCP");
    let mut stream = scene.alice.agent.connect(scene.sipjab.tcp);
    stream.write_all(request.as_bytes()).unwrap();
    let message = scene.bob.hears("MESSAGE");
    let bare = message.response_text(200).replace("Content-Length: 0\r\n", "");
    scene.bob.replies(&message, bare.as_bytes());
    assert_eq!(scene.alice.hears("SIP/2.0 200").message.header("Content-Length"), "0");
}

/// Step 10: each copy has a client transaction, which sends to the address of step 7.
#[test]
fn s16_6_10_each_copy_has_a_client_transaction() {
    let mut scene = Scene::forking();
    scene.send_to_bob("INVITE", "");
    for phone in [&mut scene.bob, &mut scene.carol] {
        let again = |phone: &mut Phone| phone.agent.next(PATIENCE).expect("an INVITE").0;
        let (first, second) = (again(phone), again(phone));
        assert_eq!(first.start, format!("INVITE {} SIP/2.0", phone.uri()));
        assert_eq!(first.branch(), second.branch());
    }
}
