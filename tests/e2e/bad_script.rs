//! Scripts and configurations that are wrong cost one request, or an exit code with a good reason.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use crate::sip::Outgoing;
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab, run_to_end};

const MISCHIEF: &str = r#"
fn deeper(level) {
    deeper(level + 1) + 1
}

fn request_route() {
    if search_body("spin") {
        let turns = 0;
        loop { turns += 1; }
    }
    if search_body("recurse") {
        deeper(0);
    }
    if search_body("throw") {
        throw "on purpose";
    }
    if search_body("grow") {
        let text = "x";
        loop { text += text; }
    }
    sl_send_reply(200, "OK");
}
"#;

const GOOD: &str = "fn request_route() {\n    sl_send_reply(200, \"OK\");\n}\n";

#[test]
fn a_script_that_misbehaves_costs_one_request() {
    let sipjab = Sipjab::start(&Setup::script(MISCHIEF));
    let mut agent = Agent::bind();
    for (body, status) in
        ["spin", "recurse", "throw", "grow"].into_iter().flat_map(|bad| [(bad, 500), ("fine", 200)])
    {
        let message = Outgoing::new("sip:a@sip.example", "sip:b@sip.example", body);
        let answer = agent.ask(&message, sipjab.udp);
        assert_eq!(answer.status(), status, "{body}: {}", answer.start);
    }
    sipjab.terminate();
}

#[test]
fn an_unknown_function_is_refused_before_the_start_with_place_and_suggestion() {
    let script = GOOD.replace("sl_send_reply", "sl_send_repli");
    for subcommand in ["run", "check"] {
        let output = run_to_end(subcommand, &configuration(""), &script);
        let text =
            String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && output.status.code() != Some(124), "{text}");
        assert!(text.contains("route.rhai:2"), "{text}");
        assert!(text.contains("sl_send_reply"), "no suggestion: {text}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_place_and_suggestion() {
    for subcommand in ["run", "check"] {
        let output = run_to_end(subcommand, &configuration("domians = []\n"), GOOD);
        let text =
            String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{text}");
        assert!(text.contains("sipjab.toml:4"), "{text}");
        assert!(text.contains("domains"), "no suggestion: {text}");
    }
}

#[test]
fn check_finds_nothing_in_good_files_and_cannot_read_missing_ones() {
    assert_eq!(run_to_end("check", &configuration(""), GOOD).status.code(), Some(0));
    let elsewhere = configuration("").replace("route.rhai", "missing.rhai");
    assert_eq!(run_to_end("check", &elsewhere, GOOD).status.code(), Some(2));
}

#[test]
fn a_port_in_use_is_named() {
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let held = [("udp", udp.local_addr().unwrap()), ("tcp", tcp.local_addr().unwrap())];
    for (scheme, address) in held {
        let configuration =
            configuration("").replace("udp:127.0.0.1:0", &format!("{scheme}:{address}"));
        let output = run_to_end("run", &configuration, GOOD);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && output.status.code() != Some(124), "{text}");
        assert!(text.contains(&address.to_string()), "{text}");
    }
}

fn configuration(more: &str) -> String {
    format!("script = \"route.rhai\"\n[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n{more}")
}
