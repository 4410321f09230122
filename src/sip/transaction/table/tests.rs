use std::time::Duration;

use super::*;
use crate::sip::transaction::KeySeed;
use crate::sip::transaction::ladder::origin;

const MS: Duration = Duration::from_millis(1);

fn table(now: Instant, limit: usize) -> Table<&'static str, &'static str> {
    Table::new(now, 3, BranchMint::new(), Timings::RFC, limit)
}

fn key(branch: &str) -> ServerKey {
    thread_local!(static SEED: KeySeed = KeySeed::new());
    SEED.with(|seed| seed.by_branch(branch, "a.example", None, "MESSAGE").unwrap())
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn response(code: u16, headers: &str) -> Message {
    Message::parse(Bytes::from(format!("SIP/2.0 {code} \r\n{headers}\r\n"))).unwrap()
}

fn nothing<U>() -> Step<U> {
    Step { send: None, cancel: None, event: None, over: None }
}

#[test]
fn a_request_is_answered_and_forgotten_when_timer_j_fired() {
    let (now, a) = (origin(), key("z9hG4bKa"));
    let mut table = table(now, 10);
    assert_eq!(table.handle_server(now, &a, ServerInput::Retransmission), None);
    table.open_server(now, a, false, "peer").unwrap();
    assert_eq!(table.handle_server(now, &a, ServerInput::Retransmission), Some(nothing()));
    let sent = Step { send: Some(bytes("200")), ..nothing() };
    assert_eq!(table.respond(now, &a, 200, bytes("200")), Ok(sent));
    let repeated = Step { send: Some(bytes("200")), ..nothing() };
    assert_eq!(table.handle_server(now, &a, ServerInput::Retransmission), Some(repeated));
    assert_eq!(table.wheel.len(), 1, "only timer J runs");

    let mut fired = Vec::new();
    table.advance(now + 31_990 * MS, &mut fired);
    assert_eq!(fired, []);
    table.advance(now + 32_000 * MS, &mut fired);
    assert_eq!(fired, [Fired::Server(a, Step { over: Some("peer"), ..nothing() })]);
    assert!(table.is_empty() && table.next_deadline().is_none());
    assert_eq!(table.respond(now, &a, 200, bytes("200")), Err(Refused::Over));
}

#[test]
fn a_response_finds_the_request_by_its_branch() {
    let now = origin();
    let mut table = table(now, 10);
    let branch = table.next_branch();
    assert_eq!(branch.worker(), 3);
    assert_ne!(branch, table.next_branch());
    let step = table.open_client(now, branch, bytes("MESSAGE"), false, None, "caller").unwrap();
    assert_eq!(step, Step { send: Some(bytes("MESSAGE")), ..nothing() });

    let heard = table.mint.parse(branch.text().as_ref()).unwrap();
    let step = table.handle_response(now, &heard, &response(202, ""));
    assert_eq!(step, Some(Step { event: Some(Event::Response(202)), ..nothing() }));
    assert_eq!(table.client(&heard), Some(&"caller"));
    assert_eq!(table.wheel.len(), 1, "only timer K runs");
}

#[test]
fn timers_repeat_a_request_until_it_times_out() {
    let now = origin();
    let mut table = table(now, 10);
    let branch = table.next_branch();
    let _sent = table.open_client(now, branch, bytes("MESSAGE"), false, None, "caller").unwrap();
    let mut fired = Vec::new();
    while let Some(deadline) = table.next_deadline() {
        table.advance(deadline, &mut fired);
    }
    let again = Step { send: Some(bytes("MESSAGE")), ..nothing() };
    assert_eq!(fired.len(), 11);
    assert!(fired[..10].iter().all(|f| matches!(f, Fired::Client(_, step) if *step == again)));
    let end = Step { event: Some(Event::Timeout), over: Some("caller"), ..nothing() };
    assert_eq!(fired.last(), Some(&Fired::Client(branch, end)));
    assert!(table.is_empty() && table.wheel.is_empty());
}

#[test]
fn over_a_reliable_transport_nothing_stays_behind() {
    let (now, a) = (origin(), key("z9hG4bKa"));
    let mut table = table(now, 10);
    table.open_server(now, a, true, "peer").unwrap();
    let step = table.respond(now, &a, 200, bytes("200")).unwrap();
    assert_eq!(step, Step { send: Some(bytes("200")), over: Some("peer"), ..nothing() });
    let branch = table.next_branch();
    let _sent = table.open_client(now, branch, bytes("MESSAGE"), true, None, "caller").unwrap();
    let step = table.handle_client_error(now, &branch).unwrap();
    assert_eq!((step.event, step.over), (Some(Event::Unreachable), Some("caller")));
    assert!(table.is_empty() && table.wheel.is_empty());
    assert_eq!(table.handle_response(now, &branch, &response(200, "")), None);
}

#[test]
fn a_full_table_takes_no_more() {
    let now = origin();
    let mut table = table(now, 2);
    table.open_server(now, key("z9hG4bKa"), false, "peer").unwrap();
    table.open_server(now, key("z9hG4bKb"), false, "peer").unwrap();
    assert_eq!(table.open_server(now, key("z9hG4bKc"), false, "peer"), Err(Full));
    let branch = table.next_branch();
    assert_eq!(table.open_client(now, branch, Bytes::new(), false, None, "caller"), Err(Full));
    assert_eq!(table.len(), 2);
}

const INVITE: &str = "INVITE sip:juliet@sip.example SIP/2.0\r\n\
    Via: SIP/2.0/UDP us.example;branch=z9hG4bKours\r\n\
    From: <sip:romeo@sip.example>;tag=r1\r\nTo: <sip:juliet@sip.example>\r\n\
    Call-ID: a@us.example\r\nCSeq: 7 INVITE\r\n\r\n";

/// The first word of what is sent.
fn method(bytes: Option<&Bytes>) -> Option<&str> {
    std::str::from_utf8(bytes?).unwrap().split(' ').next()
}

#[test]
fn an_invite_and_its_cancel_share_a_branch() {
    let now = origin();
    let mut table = table(now, 1);
    let branch = table.next_branch();
    let step = table.open_invite_client(now, branch, bytes(INVITE), false, None, "call");
    assert_eq!(step, Ok(Step { send: Some(bytes(INVITE)), ..nothing() }));
    assert_eq!(table.cancel(now, &branch), Some(nothing()), "nothing came back yet");

    let step = table.handle_response(now, &branch, &response(180, "")).unwrap();
    assert_eq!(step.event, Some(Event::Response(180)));
    assert_eq!(method(step.cancel.as_ref()), Some("CANCEL"));
    let cancel = branch.of_cancel();
    let sent = table.open_client(now, cancel, step.cancel.unwrap(), false, None, "cancel").unwrap();
    assert_eq!(method(sent.send.as_ref()), Some("CANCEL"));
    assert_eq!((table.client(&branch), table.client(&cancel)), (Some(&"call"), Some(&"cancel")));

    let heard = table.handle_response(now, &cancel, &response(200, ""));
    assert_eq!(heard, Some(Step { event: Some(Event::Response(200)), ..nothing() }));
    let to = "To: <sip:juliet@sip.example>;tag=j1\r\n";
    let step = table.handle_response(now, &branch, &response(487, to)).unwrap();
    assert_eq!(method(step.send.as_ref()), Some("ACK"));
    assert_eq!((step.event, step.over), (Some(Event::Response(487)), None));
    assert_eq!(table.cancel(now, &branch), Some(nothing()), "it has its final response");
    assert_eq!(table.wheel.len(), 2, "only timers D and K run");
}

#[test]
fn a_rejected_invite_waits_for_its_ack_and_is_forgotten() {
    let (now, a) = (origin(), key("z9hG4bKa"));
    let mut table = table(now, 1);
    table.open_invite_server(now, a, false, "peer").unwrap();
    let sent = Step { send: Some(bytes("486")), ..nothing() };
    assert_eq!(table.respond(now, &a, 486, bytes("486")), Ok(sent));
    let again = Step { send: Some(bytes("486")), ..nothing() };
    let mut fired = Vec::new();
    table.advance(now + 500 * MS, &mut fired);
    assert_eq!(fired, [Fired::Server(a, again)]);
    assert_eq!(table.handle_server(now, &a, ServerInput::Ack), Some(nothing()));
    assert_eq!(table.wheel.len(), 1, "only timer I runs");
    fired.clear();
    table.advance(now + 5_160 * MS, &mut fired);
    assert_eq!(fired, [Fired::Server(a, Step { over: Some("peer"), ..nothing() })]);
    assert_eq!(table.handle_server(now, &a, ServerInput::Ack), None);
}

#[test]
fn an_accepted_invite_passes_more_2xx_and_tells_of_acks() {
    let (now, a) = (origin(), key("z9hG4bKa"));
    let mut table = table(now, 1);
    table.open_invite_server(now, a, true, "peer").unwrap();
    for _ in 0..2 {
        let sent = Step { send: Some(bytes("200")), ..nothing() };
        assert_eq!(table.respond(now, &a, 200, bytes("200")), Ok(sent));
    }
    assert_eq!(table.handle_server(now, &a, ServerInput::Retransmission), Some(nothing()));
    let told = Step { event: Some(Event::Ack), ..nothing() };
    assert_eq!(table.handle_server(now, &a, ServerInput::Ack), Some(told));
}

#[test]
fn timer_c_of_one_invite_may_be_shorter() {
    let now = origin();
    let mut table = table(now, 1);
    let branch = table.next_branch();
    let patience = Some(Patience { first: 2_000 * MS, last: 3_000 * MS });
    let _sent =
        table.open_invite_client(now, branch, bytes(INVITE), false, patience, "call").unwrap();
    let _told = table.handle_response(now, &branch, &response(180, "")).unwrap();
    let mut fired = Vec::new();
    table.advance(now + 3_000 * MS, &mut fired);
    let Some(Fired::Client(_, step)) = fired.pop() else { panic!("timer C is late") };
    assert_eq!((step.event, step.over), (Some(Event::Overdue), None));
    assert_eq!(method(step.cancel.as_ref()), Some("CANCEL"));
    table.advance(now + 35_000 * MS, &mut fired);
    let end = Step { event: Some(Event::Timeout), over: Some("call"), ..nothing() };
    assert_eq!(fired, [Fired::Client(branch, end)]);
    assert!(table.is_empty() && table.wheel.is_empty());
}

#[test]
fn a_live_transaction_is_small() {
    let links = 24;
    let nodes = 2 * (size_of::<(Owner, Timer)>() + links);
    let server = size_of::<(ServerKey, Entry<ServerMachine, ()>)>() + nodes;
    let client = size_of::<(Branch, Entry<ClientMachine, ()>)>() + nodes;
    assert!(server <= 320 && client <= 320, "{server} {client}");
}
