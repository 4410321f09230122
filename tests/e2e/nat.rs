//! A phone behind a NAT: what it says of itself is not where it is.

use crate::process::PATIENCE;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab};

const ROUTE: &str = r#"
fn request_route() {
    if nat_uac_test(19) { force_rport(); set_contact_alias(); }
    if has_totag() {
        if !loose_route() { sl_send_reply(404, "Not Here"); return; }
        handle_ruri_alias();
        t_relay();
        return;
    }
    record_route();
    t_relay();
}
"#;

/// A request that names a private address, sent by `agent`.
fn from_private(agent: &Agent, start: &str, headers: &str, sipjab: &Sipjab) {
    let method = start.split(' ').next().unwrap();
    let text = format!(
        "{start} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKnat{method}\r\n\
         Max-Forwards: 70\r\nCall-ID: nat\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:me@10.0.0.9;ob>\r\n{headers}Content-Length: 0\r\n\r\n"
    );
    agent.send_udp(text.as_bytes(), sipjab.udp);
}

/// RFC 3581 §4: the reply reaches the port that the request came from, which no Via names.
#[test]
fn a_phone_behind_a_nat_gets_its_reply_and_is_reached_again_by_its_alias() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE));
    let (mut phone, mut bob) = (Agent::bind(), Agent::bind());
    let start = format!("SUBSCRIBE sip:bob@{}", bob.local);
    let headers = "From: <sip:me@sip.example>;tag=p1\r\nTo: <sip:bob@sip.example>\r\n";
    from_private(&phone, &start, headers, &sipjab);
    let arrived = bob.serve(200, "OK", PATIENCE).expect("the SUBSCRIBE");
    let reply = phone.final_response("z9hG4bKnatSUBSCRIBE", PATIENCE).expect("the reply");
    let via = reply.header("Via");
    assert!(via.contains(&format!("rport={}", phone.local.port())), "{via}");
    assert!(via.contains("received=127.0.0.1"), "{via}");

    let alias = format!("alias=127.0.0.1~{}~1", phone.local.port());
    let contact = format!("<sip:me@10.0.0.9;ob;{alias}>");
    assert_eq!(arrived.header("Contact"), contact);
    let notify = format!(
        "NOTIFY {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKback\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@sip.example>;tag=b1\r\nTo: <sip:me@sip.example>;tag=p1\r\n\
         Call-ID: nat\r\nCSeq: 1 NOTIFY\r\nRoute: {}\r\nContent-Length: 0\r\n\r\n",
        contact.trim_matches(['<', '>']),
        bob.local,
        arrived.header("Record-Route"),
    );
    bob.send_udp(notify.as_bytes(), sipjab.udp);
    let arrived = phone.serve(200, "OK", PATIENCE).expect("the NOTIFY");
    assert_eq!(arrived.request_uri(), "sip:me@10.0.0.9;ob", "the phone finds its own URI");
    assert_eq!(bob.final_response("z9hG4bKback", PATIENCE).expect("a reply").status(), 200);
    sipjab.terminate();
}

/// Without a transaction the reply finds the same way.
#[test]
fn a_stateless_reply_goes_where_the_request_came_from() {
    let script = r#"fn request_route() { force_rport(); sl_send_reply(200, "OK"); }"#;
    let sipjab = Sipjab::start(&Setup::script(script));
    let mut phone = Agent::bind();
    let headers = "From: <sip:me@sip.example>;tag=p1\r\nTo: <sip:bob@sip.example>\r\n";
    from_private(&phone, "OPTIONS sip:sip.example", headers, &sipjab);
    let reply = phone.final_response("z9hG4bKnatOPTIONS", PATIENCE).expect("the reply");
    assert_eq!(reply.status(), 200);
    sipjab.terminate();
}

/// RFC 3327: what the registrar has kept of the edge proxy leads a later request to the phone.
#[test]
fn an_edge_proxy_is_in_the_path_to_the_phone() {
    let (mut phone, mut registrar) = (Agent::bind(), Agent::bind());
    let script = format!(
        r#"fn request_route() {{
            if is_method("REGISTER") {{ add_path_received(); setdsturi("sip:{}"); t_relay(); return; }}
            if src_port() == {} && loose_route() {{ t_relay(); return; }}
            sl_send_reply(403, "Forbidden");
        }}"#,
        registrar.local,
        registrar.local.port()
    );
    let mut setup = Setup::script(&script);
    setup.tables += "[modules.path]\nuse_received = true\n";
    let edge = Sipjab::start(&setup);
    let headers = "Supported: path\r\nFrom: <sip:me@sip.example>;tag=p1\r\n\
        To: <sip:me@sip.example>\r\n";
    from_private(&phone, "REGISTER sip:sip.example", headers, &edge);
    let registered = registrar.serve(200, "OK", PATIENCE).expect("the REGISTER");
    let path = registered.header("Path");
    assert!(path.starts_with(&format!("<sip:{};lr;received=sip:127.0.0.1:", edge.udp)), "{path}");

    let message = format!(
        "MESSAGE sip:me@10.0.0.9;ob SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKpath\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bob@sip.example>;tag=b1\r\nTo: <sip:me@sip.example>\r\n\
         Call-ID: path\r\nCSeq: 1 MESSAGE\r\nRoute: {path}\r\nContent-Length: 0\r\n\r\n",
        registrar.local,
    );
    registrar.send_udp(message.as_bytes(), edge.udp);
    let arrived = phone.serve(200, "OK", PATIENCE).expect("the MESSAGE");
    assert_eq!(arrived.request_uri(), "sip:me@10.0.0.9;ob");
    assert_eq!(registrar.final_response("z9hG4bKpath", PATIENCE).expect("a reply").status(), 200);
    edge.terminate();
}

const REGISTRAR: &str = r#"
fn request_route() {
    if nat_uac_test(19) { force_rport(); fix_nated_register(); }
    if is_method("OPTIONS") { sl_send_reply(if registered("location") { 200 } else { 404 }, ""); return; }
    save("location");
}
"#;

#[test]
fn a_registered_phone_behind_a_nat_is_asked_and_one_that_is_silent_removed() {
    let setup = Setup::script(REGISTRAR).t1("20ms").with(
        "[modules.nathelper]\nnatping_interval = 1\nping_nated_only = 1\n\
         sipping_from = \"sip:ping@sip.example\"\nkeepalive_timeout = 2\n",
    );
    let sipjab = Sipjab::start(&setup);
    let mut phones = [Agent::bind(), Agent::bind()];
    for (phone, name) in phones.iter_mut().zip(["lively", "silent"]) {
        let more = format!(
            "From: <sip:{name}@sip.example>;tag=1\r\nTo: <sip:{name}@sip.example>\r\nExpires: 600\r\n"
        );
        from_private(phone, "REGISTER sip:sip.example", &more, &sipjab);
        assert_eq!(phone.final_response("z9hG4bKnatREGISTER", PATIENCE).unwrap().status(), 200);
    }
    let [lively, silent] = &mut phones;
    let ping = lively.serve(200, "OK", PATIENCE).expect("a ping");
    assert_eq!(ping.start, "OPTIONS sip:me@10.0.0.9;ob SIP/2.0");
    assert!(ping.header("From").starts_with("<sip:ping@sip.example>"));
    silent.next(PATIENCE).expect("a ping");
    let end = std::time::Instant::now() + PATIENCE;
    while sipjab.logs(0, "a contact that does not answer was removed", Default::default()).is_none()
    {
        lively.serve(404, "Not Found", std::time::Duration::from_millis(100));
        assert!(std::time::Instant::now() < end, "the silent one stays");
    }
    for (name, status) in [("lively", "200"), ("silent", "404")] {
        let more = format!("From: <sip:x@sip.example>;tag=1\r\nTo: <sip:{name}@sip.example>\r\n");
        let start = format!("OPTIONS sip:{name}@sip.example");
        from_private(silent, &start, &more, &sipjab);
        let answer = silent.final_response("z9hG4bKnatOPTIONS", PATIENCE).unwrap();
        assert_eq!(answer.status().to_string(), status, "{name}");
    }
    sipjab.terminate();
}
