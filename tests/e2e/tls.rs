//! SIP over TLS: phones, proxies that we connect to, and certificates of every kind.

use std::net::TcpListener;
use std::thread;

use crate::certificates::{self, Authority};
use crate::process::PATIENCE;
use crate::secure_agent::SecureAgent;
use crate::sip::{Outgoing, register};
use crate::sip_agent::Agent;
use crate::sipjab::{Setup, Sipjab, run_to_end};

const ALICE: &str = "sip:alice@sip.example";
const BOB: &str = "sip:bob@sip.example";

/// The route of `examples/tls`.
const PHONES: &str = include_str!("../../examples/tls/route.rhai");

const TABLE: &str = "[sip.tls]\ncertificate = \"sip.pem\"\nca = \"ca.pem\"\n";

/// A server for `sip.example` that listens for TLS.
fn setup(authority: &Authority, script: &str, more: &str) -> Setup {
    Setup::script(script)
        .file("sip.pem", &authority.sign("sip.example"))
        .file("ca.pem", &authority.pem())
        .listen(&["tls:127.0.0.1:0"], &format!("{TABLE}{more}"))
}

/// A phone that believes `authority`.
fn phone(sipjab: &Sipjab, authority: &Authority) -> SecureAgent {
    let config = authority.client(None);
    SecureAgent::tls(sipjab.listener("tls:"), "sip.example", &config).expect("a connection")
}

#[test]
fn phones_over_tls_and_udp_write_to_each_other() {
    let authority = Authority::new("ours");
    let both = authority.sign("sip.example");
    let setup = Setup::shipped("examples/tls/sipjab.toml")
        .file("certificate.pem", &both)
        .file("key.pem", &both);
    let sipjab = Sipjab::start(&setup);
    let mut alice = phone(&sipjab, &authority);
    let mut bob = Agent::bind();
    // Its own address leads nowhere, so that only the connection does.
    let registered = alice.register(ALICE, "sip:alice@192.0.2.1:5061;transport=tls").unwrap();
    assert_eq!(registered.status(), 200);
    let (branch, text) =
        register(BOB, &format!("sip:bob@{}", bob.local), "UDP", &bob.local.to_string());
    bob.send_udp(text.as_bytes(), sipjab.udp);
    assert_eq!(bob.final_response(&branch, PATIENCE).unwrap().status(), 200);

    let served = thread::scope(|scope| {
        let served = scope.spawn(|| alice.serve());
        let answer = bob.ask(&Outgoing::new(BOB, ALICE, "to TLS"), sipjab.udp);
        assert_eq!(answer.status(), 200);
        served.join().unwrap()
    });
    assert_eq!(served.text(), "to TLS");
    let via = served.header("Via");
    let ours = format!("SIP/2.0/TLS {};branch=", sipjab.listener("tls:"));
    assert!(via.starts_with(&ours), "{via}");

    let answer = thread::scope(|scope| {
        let served = scope.spawn(|| bob.serve(200, "OK", PATIENCE).expect("the MESSAGE"));
        let answer = alice.ask(&Outgoing::new(ALICE, BOB, "from TLS")).unwrap();
        assert_eq!(served.join().unwrap().text(), "from TLS");
        answer
    });
    assert_eq!(answer.status(), 200);
    sipjab.terminate();
}

#[test]
fn garbage_and_silence_on_the_port_cost_nobody_else() {
    use std::io::{Read, Write};
    let authority = Authority::new("ours");
    let sipjab = Sipjab::start(&setup(&authority, PHONES, "handshake_timeout = \"1s\"\n"));
    let mut silent = std::net::TcpStream::connect(sipjab.listener("tls:")).unwrap();
    let mut garbage = std::net::TcpStream::connect(sipjab.listener("tls:")).unwrap();
    garbage.write_all(b"OPTIONS sip:sip.example SIP/2.0\r\n\r\n").unwrap();
    let mut alice = phone(&sipjab, &authority);
    assert_eq!(alice.register(ALICE, "sip:alice@192.0.2.1").unwrap().status(), 200);
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0, "who says nothing is let go");
    assert_eq!(alice.register(ALICE, "sip:alice@192.0.2.1").unwrap().status(), 200);
    let log = sipjab.terminate().join("\n");
    assert!(log.contains("reason=\"handshake\" count=2"), "{log}");
}

#[test]
fn a_changed_certificate_goes_live_and_a_broken_one_does_not() {
    let (authority, next) = (Authority::new("ours"), Authority::new("next"));
    let sipjab = Sipjab::start(&setup(&authority, PHONES, ""));
    let mut alice = phone(&sipjab, &authority);
    let mark = sipjab.process.mark();
    sipjab.write("sip.pem", "-----BEGIN CERTIFICATE-----\nnonsense");
    let line = sipjab.logs(mark, "certificates refused", PATIENCE).expect("it is noticed");
    assert!(line.contains("sip.pem: there is no PEM certificate in it"), "{line}");
    phone(&sipjab, &authority);
    let mark = sipjab.process.mark();
    sipjab.write("sip.pem", &next.sign("sip.example"));
    sipjab.logs(mark, "certificates live", PATIENCE).expect("it is read");
    phone(&sipjab, &next);
    let address = sipjab.listener("tls:");
    assert!(SecureAgent::tls(address, "sip.example", &authority.client(None)).is_err());
    assert_eq!(alice.register(ALICE, "sip:alice@192.0.2.1").unwrap().status(), 200);
    sipjab.terminate();
}

#[test]
fn a_client_gets_the_certificate_of_the_domain_that_it_names() {
    let authority = Authority::new("ours");
    let domain = "[[sip.tls.domains]]\nname = \"b.example\"\ncertificate = \"b.pem\"\n";
    let setup = setup(&authority, PHONES, domain).file("b.pem", &authority.sign("b.example"));
    let sipjab = Sipjab::start(&setup);
    let config = authority.client(None);
    for (name, is_there) in [("sip.example", true), ("b.example", true), ("c.example", false)] {
        let connected = SecureAgent::tls(sipjab.listener("tls:"), name, &config);
        assert_eq!(connected.is_ok(), is_there, "{name}");
    }
    sipjab.terminate();
}

#[test]
fn a_client_without_the_certificate_that_is_required_is_refused() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("theirs"));
    let script = r#"
fn request_route() {
    if is_peer_domain("partner.example") { sl_send_reply(200, "Partner"); return; }
    sl_send_reply(403, if is_peer_verified() { "Another" } else { "Nobody" });
}
"#;
    let more = "client_certificate = \"require\"\nclient_ca = \"ca.pem\"\n";
    let sipjab = Sipjab::start(&setup(&authority, script, more));
    let ask = |own: Option<String>| {
        let config = authority.client(own.as_deref());
        let mut agent = SecureAgent::tls(sipjab.listener("tls:"), "sip.example", &config)?;
        agent.ask(&Outgoing::new(ALICE, BOB, "who am I?"))
    };
    let partner = ask(Some(authority.sign("partner.example"))).unwrap();
    assert_eq!((partner.status(), partner.reason()), (200, "Partner"));
    let another = ask(Some(authority.sign("another.example"))).unwrap();
    assert_eq!((another.status(), another.reason()), (403, "Another"));
    for refused in [
        None,
        Some(stranger.sign("partner.example")),
        Some(authority.sign_expired("partner.example")),
    ] {
        assert!(ask(refused).is_err());
    }
    sipjab.terminate();
}

#[test]
fn a_server_that_we_connect_to_must_prove_its_domain() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("theirs"));
    let script = "fn request_route() { t_relay(); }";
    let sipjab = Sipjab::start(&setup(&authority, script, ""));
    let mut alice = Agent::bind();
    for (certificate, status, words) in [
        (authority.sign("127.0.0.1"), 200, ""),
        (authority.sign("other.example"), 503, "not valid for name"),
        (authority.sign_expired("127.0.0.1"), 503, "certificate expired"),
        (stranger.sign("127.0.0.1"), 503, "UnknownIssuer"),
    ] {
        let mark = sipjab.process.mark();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = certificates::server(&certificate);
        let peer = thread::spawn(move || {
            SecureAgent::accept(&listener, &config).map(|mut agent| agent.serve())
        });
        let uri = format!("sips:bob@127.0.0.1:{port}");
        let answer = alice.ask(&Outgoing::new(ALICE, &uri, "to a proxy"), sipjab.udp);
        assert_eq!(answer.status(), status);
        assert!(status == 200 || sipjab.logs(mark, words, PATIENCE).is_some(), "{words}");
        let served = peer.join().unwrap();
        assert_eq!(served.is_ok(), status == 200);
        if let Ok(served) = served {
            assert!(served.header("Via").starts_with("SIP/2.0/TLS "), "{}", served.header("Via"));
        }
    }
    sipjab.terminate();
}

/// RFC 3261 §16.6 step 7: the Request-URI wants TLS, whatever the next hop that the script sets or the Route names.
#[test]
fn a_sips_request_leaves_over_tls_past_a_next_hop_that_is_plain() {
    let authority = Authority::new("ours");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("sip:{}", listener.local_addr().unwrap());
    let script = format!(
        r#"fn request_route() {{
            if ruri_user() == "udp" {{ setdsturi("{proxy};transport=udp"); }}
            if ruri_user() == "set" {{ setdsturi("{proxy}"); }}
            t_relay();
        }}"#
    );
    let sipjab = Sipjab::start(&setup(&authority, &script, ""));
    let mut alice = Agent::bind();
    let config = certificates::server(&authority.sign("127.0.0.1"));
    let peer = thread::spawn(move || {
        let mut agent = SecureAgent::accept(&listener, &config).expect("a connection");
        [agent.serve(), agent.serve()]
    });
    let ask = |alice: &mut Agent, user: &str, route: &str| {
        let message = Outgoing::new(ALICE, &format!("sips:{user}@sip.example"), "in private");
        let text = String::from_utf8(message.to_bytes("UDP", alice.local)).unwrap();
        let text = text.replace("Max-Forwards", &format!("{route}Max-Forwards"));
        alice.send_udp(text.as_bytes(), sipjab.udp);
        alice.final_response(&message.branch, PATIENCE).expect("an answer").status()
    };
    assert_eq!(ask(&mut alice, "udp", ""), 480);
    assert_eq!(ask(&mut alice, "set", ""), 200);
    assert_eq!(ask(&mut alice, "routed", &format!("Route: <{proxy};lr>\r\n")), 200);
    for message in peer.join().unwrap() {
        assert!(message.header("Via").starts_with("SIP/2.0/TLS "), "{}", message.header("Via"));
    }
    sipjab.terminate();
}

#[test]
fn a_certificate_of_ours_that_is_of_no_use_is_named() {
    let authority = Authority::new("ours");
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let expired = write("old.pem", &authority.sign_expired("sip.example"));
    let garbage = write("garbage.pem", "garbage");
    for (tls, reason) in [
        (format!("[sip.tls]\ncertificate = \"{expired}\""), "old.pem: the certificate has expired"),
        (format!("[sip.tls]\ncertificate = \"{garbage}\""), "no PEM certificate in it"),
        ("[sip.tls]\ncertificate = \"none.pem\"".into(), "none.pem: No such file"),
        (String::new(), "`tls:127.0.0.1:0` needs `certificate` in [sip.tls]"),
    ] {
        let configuration =
            format!("script = \"route.rhai\"\n[sip]\nlisten = [\"tls:127.0.0.1:0\"]\n{tls}\n");
        for subcommand in ["run", "check"] {
            let output = run_to_end(subcommand, &configuration, PHONES);
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(output.status.code(), Some(1), "{subcommand}: {said}");
            assert!(said.contains(reason), "{subcommand}: {said}");
        }
    }
}
