//! Calls between a phone on a connection, which SIPp cannot play, and one on UDP.

use crate::certificates::Authority;
use crate::phone::{Dialog, Phone};
use crate::secure_agent::SecureAgent;
use crate::sipjab::{Setup, Sipjab};

const ALICE: &str = "sip:alice@sip.example";

const ROUTE: &str = r#"
fn request_route() {
    if is_method("REGISTER") { fix_nated_register(); save("location"); return; }
    if has_totag() {
        if !loose_route() { if !is_method("ACK") { sl_send_reply(404, "Not Here"); } return; }
        handle_ruri_alias();
        t_on_reply("ALIAS");
        t_relay();
        return;
    }
    if is_method("CANCEL") { return; }
    if proto() != "udp" { set_contact_alias(); }
    record_route();
    t_on_reply("ALIAS");
    if ruri_user() == "alice" && !lookup("location") { sl_send_reply(404, "Not Found"); return; }
    t_relay();
}
fn onreply_route_ALIAS() { if proto() != "udp" { set_contact_alias(); } }
"#;

/// Alice, on a connection, calls Bob, on UDP, and is called by him.
fn calls_go_both_ways(sipjab: &Sipjab, mut alice: SecureAgent) {
    let mut bob = Phone::bind();
    let contact = alice.contact();
    assert_eq!(alice.register(ALICE, &contact).unwrap().status(), 200);
    alice_calls(sipjab, &mut alice, &mut bob);
    bob_calls(sipjab, &mut alice, &mut bob);
    alice_gives_up(&mut alice, &mut bob);
}

/// Alice calls; Bob changes the call and ends it.
fn alice_calls(sipjab: &Sipjab, alice: &mut SecureAgent, bob: &mut Phone) {
    let dialog = Dialog::to(&bob.uri());
    alice.request("INVITE", &dialog, "");
    let invite = bob.expect("INVITE");
    assert!(invite.header("Record-Route").contains(";r2=on"), "{}", invite.header("Record-Route"));
    bob.answer(&invite, 180, "");
    alice.expect("180 INVITE");
    bob.answer(&invite, 200, "");
    let answer = alice.expect("200 INVITE");
    alice.request("ACK", &Dialog { cseq: 1, ..dialog.after(&answer) }, "");
    bob.expect("ACK");
    let mut at_bob = Dialog::of_callee(&invite);
    bob.ask("INVITE", &at_bob, "", sipjab.udp);
    let change = alice.expect("INVITE");
    alice.answer(&change, 200);
    bob.expect("200 INVITE");
    bob.ask("ACK", &Dialog { cseq: at_bob.cseq, ..at_bob.next() }, "", sipjab.udp);
    alice.expect("ACK");
    at_bob = at_bob.next();
    bob.ask("BYE", &at_bob, "", sipjab.udp);
    let bye = alice.expect("BYE");
    alice.answer(&bye, 200);
    bob.expect("200 BYE");
}

/// Bob calls; Alice ends it.
fn bob_calls(sipjab: &Sipjab, alice: &mut SecureAgent, bob: &mut Phone) {
    let dialog = Dialog::to(ALICE);
    bob.ask("INVITE", &dialog, "", sipjab.udp);
    let invite = alice.expect("INVITE");
    alice.answer(&invite, 180);
    bob.expect("180 INVITE");
    alice.answer(&invite, 200);
    let answer = bob.expect("200 INVITE");
    let after = dialog.after(&answer);
    bob.ask("ACK", &Dialog { cseq: 1, ..after.next() }, "", sipjab.udp);
    alice.expect("ACK");
    alice.request("BYE", &Dialog::of_callee(&invite), "");
    let bye = bob.expect("BYE");
    bob.answer(&bye, 200, "");
    alice.expect("200 BYE");
}

/// Alice calls, and gives up while it rings.
fn alice_gives_up(alice: &mut SecureAgent, bob: &mut Phone) {
    let dialog = Dialog::to(&bob.uri());
    alice.request("INVITE", &dialog, "");
    let invite = bob.expect("INVITE");
    bob.answer(&invite, 180, "");
    alice.expect("180 INVITE");
    alice.request("CANCEL", &dialog, "");
    alice.expect("200 CANCEL");
    let cancel = bob.expect("CANCEL");
    bob.answer(&cancel, 200, "");
    bob.answer(&invite, 487, "");
    let end = alice.expect("487 INVITE");
    alice.request("ACK", &Dialog { to: end.header("To").into(), ..dialog }, "");
    bob.expect("ACK");
}

#[test]
fn a_phone_on_tls_calls_and_is_called() {
    let authority = Authority::new("ours");
    let setup = Setup::script(ROUTE)
        .file("sip.pem", &authority.sign("sip.example"))
        .listen(&["tls:127.0.0.1:0"], "[sip.tls]\ncertificate = \"sip.pem\"\n");
    let sipjab = Sipjab::start(&setup);
    let config = authority.client(None);
    let alice = SecureAgent::tls(sipjab.listener("tls:"), "sip.example", &config).unwrap();
    calls_go_both_ways(&sipjab, alice);
    sipjab.terminate();
}

#[test]
fn a_phone_in_a_page_calls_and_is_called() {
    let sipjab = Sipjab::start(&Setup::script(ROUTE).listen(&["ws:127.0.0.1:0"], ""));
    let alice = SecureAgent::ws(sipjab.listener("ws:"));
    calls_go_both_ways(&sipjab, alice);
    sipjab.terminate();
}

#[test]
fn a_phone_in_a_page_calls_and_is_called_over_tls() {
    let authority = Authority::new("ours");
    let setup = Setup::script(ROUTE)
        .file("sip.pem", &authority.sign("sip.example"))
        .listen(&["wss:127.0.0.1:0"], "[sip.tls]\ncertificate = \"sip.pem\"\n");
    let sipjab = Sipjab::start(&setup);
    let config = authority.client(None);
    let alice = SecureAgent::wss(sipjab.listener("wss:"), "sip.example", &config);
    calls_go_both_ways(&sipjab, alice);
    sipjab.terminate();
}
