//! RFC 5393: loops of forked requests, Max-Breadth.

use super::{Arrived, Phone, RELAY, Scene};
use crate::sipjab::Setup;

/// A request that is forked to Bob, with its Request-URI unchanged, and to Carol; and what Bob gets.
fn forked(lines: &str) -> (Scene, Arrived) {
    let mut scene = Scene::with(|bob, carol| {
        let fork =
            format!("setdsturi(\"{}\"); append_branch(\"{}\"); t_relay();", bob.uri(), carol.uri());
        Setup::script(&format!("fn request_route() {{ {fork} }}"))
    });
    let request = scene.request("INVITE", "sip:bob@b.example", lines);
    scene.send(&request);
    let invite = scene.bob.hears("INVITE");
    (scene, invite)
}

/// A request as it is passed on by a proxy that changes nothing but its Via.
fn passed_on(invite: &Arrived, by: &Phone) -> String {
    let mut text = format!(
        "{}\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKback;rport\r\n",
        invite.message.start, by.agent.local
    );
    for (name, value) in &invite.message.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text + "\r\n"
}

/// §4.1: a request that is forked does not loop.
#[test]
fn rfc5393_4_1_a_forked_request_does_not_loop() {
    let (mut scene, invite) = forked("");
    scene.carol.hears("INVITE");
    scene.bob.agent.send_udp(passed_on(&invite, &scene.bob).as_bytes(), scene.sipjab.udp);
    scene.bob.hears("SIP/2.0 4");
    scene.carol.is_left_alone();
}

/// §4.2.1: each copy has a Via in front of the others.
#[test]
fn rfc5393_4_2_1_each_copy_of_a_fork_has_a_via() {
    let (mut scene, invite) = forked("");
    let vias = invite.values("Via");
    let at_carol = scene.carol.hears("INVITE").values("Via");
    assert_eq!((vias.len(), &vias[1..]), (2, &at_carol[1..]));
    assert!(vias[0].contains(&scene.sipjab.udp.to_string()) && vias[0] != at_carol[0]);
}

/// §4.2.1: the first part of the branch is as §8.1.1.7 wants it.
#[test]
fn rfc5393_4_2_1_the_first_part_of_the_branch_is_unique() {
    let (mut scene, invite) = forked("");
    let first = |arrived: &Arrived| arrived.message.branch().split('.').next().unwrap().to_owned();
    let (bob, carol) = (first(&invite), first(&scene.carol.hears("INVITE")));
    assert!(bob.starts_with("z9hG4bK") && carol.starts_with("z9hG4bK") && bob != carol);
}

/// §4.2.1: CANCEL and the ACK of a rejection have the branch of their request, with both parts.
#[test]
fn rfc5393_4_2_1_cancel_and_ack_have_both_parts_of_the_branch() {
    let (mut scene, at_bob) = forked("");
    let at_carol = scene.carol.hears("INVITE");
    assert!(at_bob.message.branch().contains('.'));
    scene.carol.answers(&at_carol, 180);
    scene.alice.hears("SIP/2.0 180");
    scene.bob.answers(&at_bob, 603);
    assert_eq!(scene.bob.hears("ACK").message.branch(), at_bob.message.branch());
    assert_eq!(scene.carol.hears("CANCEL").message.branch(), at_carol.message.branch());
}

/// §4.2.2: a request that has looped is refused with 482.
#[test]
fn rfc5393_4_2_2_a_loop_is_refused_with_482() {
    let (mut scene, invite) = forked("");
    scene.bob.agent.send_udp(passed_on(&invite, &scene.bob).as_bytes(), scene.sipjab.udp);
    let refusal = scene.bob.hears("SIP/2.0 482");
    assert_eq!(refusal.message.branch(), "z9hG4bKback");
}

/// §5.3.3: the breadth of all branches under way is no more than what came.
#[test]
fn rfc5393_5_3_3_the_breadth_is_shared_by_the_branches() {
    let (mut scene, at_bob) = forked("Max-Breadth: 5\r\n");
    let at_carol = scene.carol.hears("INVITE");
    let breadth = |it: &Arrived| it.message.header("Max-Breadth").parse::<u32>().unwrap();
    assert!(breadth(&at_bob) >= 1 && breadth(&at_carol) >= 1);
    assert!(breadth(&at_bob) + breadth(&at_carol) <= 5);

    let (mut scene, at_bob) = forked("Max-Breadth: 1\r\n");
    scene.carol.is_left_alone();
    scene.bob.answers(&at_bob, 404);
    scene.bob.hears("ACK");
    assert_eq!(breadth(&scene.carol.hears("INVITE")), 1, "one after the other");
}

/// §5.3.3: without breadth the answer is 440.
#[test]
fn rfc5393_5_3_3_without_breadth_the_answer_is_440() {
    let mut scene = Scene::forking();
    scene.send_to_bob("INVITE", "Max-Breadth: 0\r\n");
    scene.alice.hears("SIP/2.0 440");
    scene.bob.is_left_alone();
}

/// §5.3.3: the breadth is not counted down by hops.
#[test]
fn rfc5393_5_3_3_a_hop_does_not_count_breadth() {
    let mut scene = Scene::new(RELAY);
    scene.send_to_bob("MESSAGE", "Max-Breadth: 7\r\n");
    assert_eq!(scene.bob.hears("MESSAGE").message.header("Max-Breadth"), "7");
}
