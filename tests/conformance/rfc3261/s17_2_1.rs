//! §17.2.1, the INVITE server transaction, as RFC 6026 §7.1 and §8.5 to §8.8 change it.

use sipjab::sip::transaction::{
    Event, InviteServerState::*, KeySeed, Refused, ServerInput::*, Timer,
};
use sipjab::sip::{Message, Method};

use super::clockwork::{BOTH, Clockwork, message};

/// 100 is sent when the user says nothing within 200 ms.
#[test]
fn s17_2_1_trying_is_due_after_200_ms_of_silence() {
    for is_reliable in BOTH {
        let mut silent = Clockwork::invited(is_reliable);
        assert_eq!(silent.at(199).told, []);
        assert_eq!(silent.at(200).told, [Event::TryingDue]);
        assert_eq!(Clockwork::invited(is_reliable).at(100).answers(180).at(300).told, []);
    }
}

/// The user's provisional responses are sent.
#[test]
fn s17_2_1_provisional_responses_are_sent() {
    let mut call = Clockwork::invited(true);
    assert_eq!(call.answers(100).answers(180).answers(183).sent_words(), ["100", "180", "183"]);
}

/// In "Proceeding" the last provisional response answers a retransmission.
#[test]
fn s17_2_1_the_last_provisional_response_answers_a_retransmission() {
    let mut call = Clockwork::invited(false);
    call.answers(100).answers(180).hears(Retransmission);
    assert_eq!(call.sent_words(), ["100", "180", "180"]);
}

/// A 2xx is sent.
#[test]
fn s17_2_1_a_2xx_is_sent() {
    for is_reliable in BOTH {
        assert_eq!(Clockwork::invited(is_reliable).answers(200).sent_words(), ["200"]);
    }
}

/// RFC 6026 §8.5: a 2xx leads to "Accepted".
#[test]
fn rfc6026_8_5_a_2xx_leads_to_accepted() {
    for is_reliable in BOTH {
        assert_eq!(Clockwork::invited(is_reliable).answers(202).machine.state(), Accepted);
    }
}

/// A rejection is sent.
#[test]
fn s17_2_1_a_rejection_is_sent() {
    for code in [300, 486, 503, 699] {
        assert_eq!(Clockwork::invited(true).answers(code).sent_words(), [code.to_string()]);
    }
}

/// A rejection leads to "Completed".
#[test]
fn s17_2_1_a_rejection_leads_to_completed() {
    for code in [300, 486, 503, 699] {
        assert_eq!(Clockwork::invited(true).answers(code).machine.state(), Completed);
    }
}

/// In "Completed" timer H is 64·T1 over all transports.
#[test]
fn s17_2_1_timer_h_starts_with_64_t1_over_any_transport() {
    for is_reliable in BOTH {
        let mut call = Clockwork::invited(is_reliable);
        assert_eq!(call.at(1000).answers(486).due(Timer::H), Some(33_000));
    }
}

/// In "Completed" an ACK leads to "Confirmed".
#[test]
fn s17_2_1_an_ack_leads_to_confirmed() {
    let mut call = Clockwork::invited(false);
    assert_eq!(call.answers(486).hears(Ack).machine.state(), Confirmed);
}

/// Timer H ends "Completed".
#[test]
fn s17_2_1_timer_h_ends_completed() {
    for is_reliable in BOTH {
        let mut call = Clockwork::invited(is_reliable);
        assert_eq!(call.answers(486).at(31_999).machine.state(), Completed);
        assert_eq!(call.at(32_000).machine.state(), Terminated);
    }
}

/// Timer H tells the user that the transaction failed.
#[test]
fn s17_2_1_timer_h_tells_the_user() {
    assert_eq!(Clockwork::invited(true).answers(486).at(32_000).told, [Event::Unacknowledged]);
}

/// Timer I, T4 over unreliable transports and zero over reliable ones, ends "Confirmed".
#[test]
fn s17_2_1_timer_i_ends_confirmed() {
    let mut call = Clockwork::invited(false);
    assert_eq!(call.answers(486).hears(Ack).at(4999).machine.state(), Confirmed);
    assert_eq!(call.at(5000).machine.state(), Terminated);
    assert_eq!(Clockwork::invited(true).answers(486).hears(Ack).machine.state(), Terminated);
}

/// A terminated transaction is destroyed at once: after timers H, I and L.
#[test]
fn s17_2_1_a_terminated_call_is_destroyed() {
    let mut calls = [(); 3].map(|()| Clockwork::invited(false));
    calls[0].answers(486);
    calls[1].answers(486).hears(Ack);
    calls[2].answers(200);
    for call in &mut calls {
        call.at(40_000);
        assert!(call.machine.state() == Terminated && call.is_over);
    }
}

/// RFC 6026 §6: whoever sends a 2xx keeps the transaction.
#[test]
fn rfc6026_6_a_2xx_does_not_destroy_the_transaction() {
    for is_reliable in BOTH {
        assert!(!Clockwork::invited(is_reliable).answers(200).is_over);
    }
}

/// RFC 6026 §6: a transport error does not destroy the transaction.
#[test]
fn rfc6026_6_a_transport_error_does_not_destroy_the_transaction() {
    for code in [180, 200, 486] {
        assert!(!Clockwork::invited(true).answers(code).hears(TransportError).is_over, "{code}");
    }
}

/// RFC 6026 §6: a match with an ACK that has no magic cookie is an ACK for the user when the INVITE was accepted.
#[test]
fn rfc6026_6_the_ack_of_an_rfc_2543_client_reaches_the_user() {
    let request = |method: &str, tag: &str| {
        message(&format!(
            "{method} sip:juliet@sip.example SIP/2.0\r\nVia: SIP/2.0/UDP a.example\r\n\
             From: <sip:romeo@sip.example>;tag=r1\r\nTo: <sip:juliet@sip.example>{tag}\r\n\
             Call-ID: c\r\nCSeq: 7 {method}\r\n\r\n"
        ))
    };
    let seed = KeySeed::new();
    let key =
        |request: &Message, method| seed.of(request, &request.top_via().unwrap(), method).unwrap();
    let (invite, ack) = (request("INVITE", ""), request("ACK", ";tag=j9"));
    assert_eq!(key(&invite, Method::Invite), key(&ack, Method::Ack));
    assert_eq!(Clockwork::invited(false).answers(200).hears(Ack).told, [Event::Ack]);
}

/// RFC 6026 §7.1: after a 2xx timer L is 64·T1.
#[test]
fn rfc6026_7_1_timer_l_starts_with_64_t1_over_any_transport() {
    for is_reliable in BOTH {
        let mut call = Clockwork::invited(is_reliable);
        assert_eq!(call.at(1000).answers(200).due(Timer::L), Some(33_000));
    }
}

/// RFC 6026 §7.1: the transaction repeats no 2xx by itself.
#[test]
fn rfc6026_7_1_a_2xx_is_not_repeated() {
    let mut call = Clockwork::invited(false);
    assert_eq!(call.answers(200).at(100).hears(Retransmission).at(31_999).sent_at(), [0]);
}

/// RFC 6026 §7.1: each 2xx that the user repeats is sent.
#[test]
fn rfc6026_7_1_the_users_further_2xx_are_sent() {
    let mut call = Clockwork::invited(false);
    assert_eq!(
        call.answers(200).at(500).answers(200).at(1500).answers(200).sent_at(),
        [0, 500, 1500]
    );
}

/// RFC 6026 §7.1: in "Accepted" each ACK goes to the user.
#[test]
fn rfc6026_7_1_acks_of_a_2xx_reach_the_user() {
    let mut call = Clockwork::invited(false);
    assert_eq!(call.answers(200).hears(Ack).hears(Ack).told, [Event::Ack, Event::Ack]);
}

/// RFC 6026 §7.1: timer L ends "Accepted".
#[test]
fn rfc6026_7_1_timer_l_ends_accepted() {
    let mut call = Clockwork::invited(false);
    assert_eq!(call.answers(200).at(31_999).machine.state(), Accepted);
    assert_eq!(call.at(32_000).machine.state(), Terminated);
}

/// RFC 6026 §7.1, §8.8: a transport error leaves the state as it is.
#[test]
fn rfc6026_8_8_a_transport_error_leaves_the_state() {
    for (code, state) in [(180, Proceeding), (200, Accepted), (486, Completed)] {
        let mut call = Clockwork::invited(true);
        assert_eq!(call.answers(code).hears(TransportError).machine.state(), state);
        assert_eq!(call.told, [Event::Unreachable]);
    }
}

/// RFC 6026 §8.3: what comes when the server transaction is over is discarded.
#[test]
fn rfc6026_8_3_a_response_after_the_end_is_discarded() {
    let mut call = Clockwork::invited(false);
    assert_eq!(call.answers(200).at(32_000).refuses(200), Refused::Over);
}
