//! §17.2.2, the server transaction of any other request, with RFC 4320.

use sipjab::sip::transaction::{Event, Refused, ServerInput::*, ServerState::*, Timer};

use super::clockwork::{BOTH, Clockwork};

/// A provisional response in "Trying" leads to "Proceeding".
#[test]
fn s17_2_2_a_provisional_response_leads_to_proceeding() {
    assert_eq!(Clockwork::requested(true).answers(100).machine.state(), Proceeding);
}

/// It is sent.
#[test]
fn s17_2_2_a_provisional_response_is_sent() {
    assert_eq!(Clockwork::requested(true).answers(100).sent_words(), ["100"]);
}

/// Further ones are sent.
#[test]
fn s17_2_2_further_provisional_responses_are_sent() {
    assert_eq!(Clockwork::requested(true).answers(100).answers(100).sent_words(), ["100", "100"]);
}

/// In "Proceeding" the last provisional response answers a retransmission.
#[test]
fn s17_2_2_the_provisional_response_answers_a_retransmission() {
    let mut request = Clockwork::requested(true);
    assert_eq!(request.answers(100).hears(Retransmission).sent_words(), ["100", "100"]);
}

/// A final response in "Proceeding" leads to "Completed".
#[test]
fn s17_2_2_a_final_response_leads_to_completed() {
    let mut request = Clockwork::requested(false);
    assert_eq!(request.at(3500).answers(100).answers(200).machine.state(), Completed);
}

/// It is sent.
#[test]
fn s17_2_2_a_final_response_is_sent() {
    let mut request = Clockwork::requested(false);
    assert_eq!(request.at(3500).answers(100).answers(404).sent_words(), ["100", "404"]);
}

/// In "Completed" timer J is 64·T1 over unreliable transports and zero over reliable ones.
#[test]
fn s17_2_2_timer_j_is_64_t1_over_udp_and_zero_over_tcp() {
    let mut request = Clockwork::requested(false);
    assert_eq!(request.at(1000).answers(200).due(Timer::J), Some(33_000));
    assert!(Clockwork::requested(true).answers(200).is_over);
}

/// In "Completed" the final response answers each retransmission.
#[test]
fn s17_2_2_the_final_response_answers_each_retransmission() {
    let mut request = Clockwork::requested(false);
    request.answers(200).hears(Retransmission).at(31_999).hears(Retransmission);
    assert_eq!(request.sent_words(), ["200", "200", "200"]);
}

/// In "Completed" other final responses of the user are discarded.
#[test]
fn s17_2_2_a_second_final_response_is_discarded() {
    let mut request = Clockwork::requested(false);
    assert_eq!(request.answers(200).refuses(500), Refused::Answered);
    assert_eq!(request.hears(Retransmission).sent_words(), ["200", "200"]);
}

/// Timer J ends "Completed".
#[test]
fn s17_2_2_timer_j_ends_completed() {
    let mut request = Clockwork::requested(false);
    assert_eq!(request.answers(200).at(31_999).machine.state(), Completed);
    assert_eq!(request.at(32_000).machine.state(), Terminated);
}

/// A terminated transaction is destroyed at once.
#[test]
fn s17_2_2_a_terminated_request_is_destroyed() {
    let mut answered = Clockwork::requested(false);
    assert!(answered.answers(200).at(32_000).is_over);
    let mut broken = Clockwork::requested(false);
    assert!(broken.answers(200).hears(TransportError).is_over);
}

/// RFC 4320 §4.1: no provisional response but 100.
#[test]
fn rfc4320_4_1_no_provisional_response_but_100() {
    for code in [101, 180, 183, 199] {
        assert_eq!(Clockwork::requested(true).refuses(code), Refused::Provisional(code));
    }
}

/// RFC 4320 §4.1: over an unreliable transport no 100 before timer E would be T2.
#[test]
fn rfc4320_4_1_over_udp_100_waits_until_timer_e_is_t2() {
    let mut request = Clockwork::requested(false);
    assert_eq!(request.at(3499).refuses(100), Refused::TooEarly);
    assert_eq!(request.at(3500).answers(100).sent_words(), ["100"]);
}

/// RFC 4320 §4.1: after that time 100 is sent when nothing else was, over any transport.
#[test]
fn rfc4320_4_1_100_is_due_when_timer_e_is_t2() {
    for is_reliable in BOTH {
        assert_eq!(Clockwork::requested(is_reliable).at(3500).told, [Event::TryingDue]);
    }
}

/// RFC 4320 §4.2: no 408.
#[test]
fn rfc4320_4_2_408_is_never_sent() {
    for is_reliable in BOTH {
        assert_eq!(Clockwork::requested(is_reliable).refuses(408), Refused::RequestTimeout);
    }
}

/// RFC 4320 §4.2: no response when the server transaction is over.
#[test]
fn rfc4320_4_2_a_late_response_is_not_sent() {
    let mut request = Clockwork::requested(false);
    assert_eq!(request.at(32_000).told.last(), Some(&Event::Expired));
    assert_eq!((request.refuses(200), request.sent.len()), (Refused::Over, 0));
}
