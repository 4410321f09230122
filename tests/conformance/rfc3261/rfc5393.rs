//! RFC 5393, which changes §16.3 step 4 and §16.6 step 8, and adds Max-Breadth.

use std::hash::RandomState;

use sipjab::sip::Message;
use sipjab::sip::proxy::{
    MAX_BREADTH, TargetSet, has_looped, incoming_breadth, loop_mark, set_breadth,
};
use sipjab::sip::transaction::BranchMint;

use super::clockwork::message;

fn request(method: &str, uri: &str, lines: &str) -> Message {
    message(&format!(
        "{method} {uri} SIP/2.0\r\n{lines}Via: SIP/2.0/UDP a.example;branch=z9hG4bKa\r\n\
         From: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\n\
         Call-ID: c\r\nCSeq: 1 {method}\r\n\r\n"
    ))
}

/// A proxy of ours, that knows its branches.
struct Proxy {
    seed: RandomState,
    mint: BranchMint,
}

impl Proxy {
    fn new() -> Self {
        Self { seed: RandomState::new(), mint: BranchMint::new() }
    }

    /// The Via line that a copy of this request leaves with when it is forked.
    fn via(&self, request: &Message) -> String {
        let (branch, mark) = (self.mint.mint(0, 1), loop_mark(&self.seed, request));
        format!("Via: SIP/2.0/UDP us.example;branch={branch}.{mark:08x}\r\n")
    }

    fn is_loop(&self, request: &Message) -> bool {
        let is_ours = |branch: &str| self.mint.parse(branch).is_some();
        has_looped(request, loop_mark(&self.seed, request), is_ours)
    }
}

/// §4.2.1: the second part of the branch varies with what decides where the request goes: Request-URI and Route.
#[test]
fn rfc5393_4_2_1_the_mark_varies_with_what_routes_the_request() {
    let proxy = Proxy::new();
    let mark = |uri: &str, lines: &str| loop_mark(&proxy.seed, &request("INVITE", uri, lines));
    let plain = mark("sip:b@b.example", "");
    assert_ne!(plain, mark("sip:c@b.example", ""));
    assert_ne!(plain, mark("sip:b@b.example", "Route: <sip:us.example;lr>\r\n"));
    assert_eq!(plain, mark("sip:b@b.example", "Subject: other\r\n"));
}

/// §4.2.1: the second part depends at least on the received Request-URI and Route.
#[test]
fn rfc5393_4_2_1_the_mark_is_that_of_the_request_as_it_came() {
    let proxy = Proxy::new();
    let came = request("INVITE", "sip:b@b.example", "Route: <sip:us.example;lr>\r\n");
    let mut edited = came.clone();
    edited.set_request_uri("sip:elsewhere@c.example").unwrap();
    edited.pop_value(sipjab::sip::HeaderId::Route);
    let again = Message::parse(edited.wire().clone()).unwrap();
    assert_eq!(loop_mark(&proxy.seed, &again), loop_mark(&proxy.seed, &came));
}

/// §4.2.1: the method is no part of it.
#[test]
fn rfc5393_4_2_1_the_method_is_no_part_of_the_mark() {
    let proxy = Proxy::new();
    let mark = |method| loop_mark(&proxy.seed, &request(method, "sip:b@b.example", ""));
    assert!(mark("INVITE") == mark("CANCEL") && mark("INVITE") == mark("ACK"));
}

/// §4.2.2: each Via of ours is looked at for the second part.
#[test]
fn rfc5393_4_2_2_each_via_of_ours_is_inspected() {
    let (proxy, other) = (Proxy::new(), "Via: SIP/2.0/UDP x.example;branch=z9hG4bKx\r\n");
    let came = request("INVITE", "sip:b@b.example", "");
    let deep = format!("{other}{other}{}", proxy.via(&came));
    assert!(proxy.is_loop(&request("INVITE", "sip:b@b.example", &deep)));
    let foreign = Proxy::new().via(&came);
    assert!(!proxy.is_loop(&request("INVITE", "sip:b@b.example", &foreign)));
}

/// §4.2.2: where there is a second part, it is compared with that of this request.
#[test]
fn rfc5393_4_2_2_the_mark_is_compared_with_that_of_this_request() {
    let proxy = Proxy::new();
    let via = proxy.via(&request("INVITE", "sip:b@b.example", ""));
    assert!(proxy.is_loop(&request("INVITE", "sip:b@b.example", &via)));
    assert!(!proxy.is_loop(&request("INVITE", "sip:c@b.example", &via)), "a spiral");
    let alone = format!("Via: SIP/2.0/UDP us.example;branch={}\r\n", proxy.mint.mint(0, 1));
    assert!(!proxy.is_loop(&request("INVITE", "sip:b@b.example", &alone)), "it was not forked");
}

/// §5.3.3: a request without Max-Breadth gets one of 60.
#[test]
fn rfc5393_5_3_3_a_request_without_breadth_gets_one() {
    let mut copy = request("INVITE", "sip:b@b.example", "");
    let breadth = incoming_breadth(&copy);
    set_breadth(&mut copy, breadth).unwrap();
    assert_eq!(copy.header_named("Max-Breadth"), Some(&b"60"[..]));
}

/// §5.3.3: there is a most that is taken.
#[test]
fn rfc5393_5_3_3_there_is_a_most_that_is_taken() {
    let huge = request("INVITE", "sip:b@b.example", "Max-Breadth: 4000000000\r\n");
    assert_eq!((incoming_breadth(&huge), MAX_BREADTH), (60, 60));
}

/// §5.3.3: more than that is overwritten.
#[test]
fn rfc5393_5_3_3_more_is_overwritten() {
    let mut copy = request("INVITE", "sip:b@b.example", "Max-Breadth: 61\r\n");
    let breadth = incoming_breadth(&copy);
    set_breadth(&mut copy, breadth).unwrap();
    assert_eq!(copy.header_named("Max-Breadth"), Some(&b"60"[..]));
}

/// §5.3.3: what leaves has a single Max-Breadth.
#[test]
fn rfc5393_5_3_3_a_copy_has_a_single_breadth() {
    let lines = "Max-Breadth: 9\r\nMax-Breadth: 8\r\n";
    let mut copy = request("INVITE", "sip:b@b.example", lines);
    set_breadth(&mut copy, 9).unwrap();
    let named = copy.headers().filter(|it| it.name == b"Max-Breadth").count();
    assert_eq!(named, 1);
}

/// §5.3.3: what leaves at once is no more than what came: the rest of the targets wait.
#[test]
fn rfc5393_5_3_3_no_more_branches_leave_at_once_than_the_breadth() {
    let mut targets = TargetSet::default();
    (0..5).for_each(|target| targets.push(1000, target, |a, b| a == b));
    assert_eq!(targets.next_group(2), [0, 1]);
    assert_eq!(targets.next_group(2), [2, 3]);
    assert_eq!(targets.next_group(2), [4]);
}
