//! §17.1.1, the INVITE client transaction, as RFC 6026 §8.4 changes it.

use std::time::Duration;

use sipjab::sip::transaction::{Event, InviteClientState::*, Timer, Timings, ack_of};
use sipjab::sip::{HeaderId, Message};

use super::clockwork::{BOTH, Clockwork, INVITE, message, response};

/// "Calling" is entered when the user begins with an INVITE.
#[test]
fn s17_1_1_2_an_invite_begins_in_calling() {
    for is_reliable in BOTH {
        assert_eq!(Clockwork::invite(is_reliable).machine.state(), Calling);
    }
}

/// The request is passed to the transport.
#[test]
fn s17_1_1_2_the_invite_is_sent_at_once() {
    let call = Clockwork::invite(true);
    assert_eq!(call.sent, [(0, INVITE.into())]);
}

/// Over an unreliable transport timer A starts with T1.
#[test]
fn s17_1_1_2_timer_a_starts_with_t1_over_udp() {
    assert_eq!(Clockwork::invite(false).due(Timer::A), Some(500));
}

/// Over any transport timer B starts with 64·T1.
#[test]
fn s17_1_1_2_timer_b_starts_with_64_t1_over_any_transport() {
    for is_reliable in BOTH {
        assert_eq!(Clockwork::invite(is_reliable).due(Timer::B), Some(32_000));
    }
}

/// When timer A fires, the request is sent again.
#[test]
fn s17_1_1_2_timer_a_sends_the_invite_again() {
    let mut call = Clockwork::invite(false);
    call.at(500);
    assert_eq!(call.sent, [(0, INVITE.into()), (500, INVITE.into())]);
}

/// When timer A fires, it is set to 2·T1.
#[test]
fn s17_1_1_2_timer_a_is_set_to_2_t1() {
    let mut call = Clockwork::invite(false);
    assert_eq!(call.at(500).due(Timer::A), Some(1500));
}

/// When timer A fires 2·T1 later, the request is sent again.
#[test]
fn s17_1_1_2_the_invite_is_sent_again_2_t1_later() {
    let mut call = Clockwork::invite(false);
    assert_eq!(call.at(1500).sent_at(), [0, 500, 1500]);
}

/// It goes on so, with intervals that double.
#[test]
fn s17_1_1_2_intervals_double_while_it_is_calling() {
    let mut call = Clockwork::invite(false);
    assert_eq!(call.at(40_000).sent_at(), [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
}

/// Whatever T1 is, the backoff is exponential.
#[test]
fn s17_1_1_2_another_t1_backs_off_the_same_way() {
    let [t1, t2, t4] = [100, 4000, 5000].map(Duration::from_millis);
    let mut call = Clockwork::invite_by(false, Timings::new(t1, t2, t4));
    assert_eq!(call.at(7000).sent_at(), [0, 100, 300, 700, 1500, 3100, 6300]);
}

/// When timer B fires, no ACK is made.
#[test]
fn s17_1_1_2_a_timeout_is_not_acknowledged() {
    let mut call = Clockwork::invite(true);
    call.at(32_000);
    assert_eq!((call.told.as_slice(), call.sent.len()), (&[Event::Timeout][..], 1));
}

/// The provisional response that ends "Calling" is passed to the user.
#[test]
fn s17_1_1_2_the_first_provisional_response_reaches_the_user() {
    let mut call = Clockwork::invite(false);
    call.hears(100);
    assert_eq!((call.machine.state(), call.told), (Proceeding, vec![Event::Response(100)]));
}

/// So is any other in "Proceeding".
#[test]
fn s17_1_1_2_further_provisional_responses_reach_the_user() {
    let mut call = Clockwork::invite(false);
    call.hears(100).hears(180).hears(180).hears(199);
    assert_eq!(call.told, [100, 180, 180, 199].map(Event::Response));
}

/// In "Calling" and "Proceeding", 300 to 699 lead to "Completed".
#[test]
fn s17_1_1_2_a_rejection_leads_to_completed() {
    for code in [300, 408, 486, 503, 699] {
        assert_eq!(Clockwork::invite(false).hears(code).machine.state(), Completed, "{code}");
        let mut rings = Clockwork::invite(false);
        assert_eq!(rings.hears(180).hears(code).machine.state(), Completed, "{code}");
    }
}

/// The rejection is passed to the user.
#[test]
fn s17_1_1_2_a_rejection_reaches_the_user() {
    for is_reliable in BOTH {
        let mut call = Clockwork::invite(is_reliable);
        assert_eq!(call.hears(486).told, [Event::Response(486)]);
    }
}

/// The rejection is acknowledged, even over a reliable transport.
#[test]
fn s17_1_1_2_a_rejection_is_acknowledged_even_over_tcp() {
    for is_reliable in BOTH {
        let mut call = Clockwork::invite(is_reliable);
        assert_eq!(call.hears(486).sent_words(), ["INVITE", "ACK"]);
    }
}

/// A repeated rejection has the ACK sent again.
#[test]
fn s17_1_1_2_a_repeated_rejection_is_acknowledged_again() {
    let mut call = Clockwork::invite(false);
    call.hears(486).hears(486).hears(603);
    assert_eq!(call.sent_words(), ["INVITE", "ACK", "ACK", "ACK"]);
    assert!(call.sent[1].1 == call.sent[2].1 && call.sent[2].1 == call.sent[3].1);
}

/// A repeated rejection is not passed to the user.
#[test]
fn s17_1_1_2_a_repeated_rejection_does_not_reach_the_user() {
    let mut call = Clockwork::invite(false);
    assert_eq!(call.hears(486).hears(486).told, [Event::Response(486)]);
}

/// Timer D ends "Completed".
#[test]
fn s17_1_1_2_timer_d_ends_completed() {
    let mut call = Clockwork::invite(false);
    assert_eq!(call.hears(486).at(31_999).machine.state(), Completed);
    assert_eq!(call.at(32_000).machine.state(), Terminated);
}

/// RFC 6026 §8.4: timer D is at least 32 s over unreliable transports, whatever T1 is, and zero over reliable ones.
#[test]
fn rfc6026_8_4_timer_d_is_32_seconds_over_udp_and_zero_over_tcp() {
    let [t1, t2, t4] = [10, 4000, 5000].map(Duration::from_millis);
    let mut call = Clockwork::invite_by(false, Timings::new(t1, t2, t4));
    assert_eq!(call.hears(486).due(Timer::D), Some(32_000));
    assert!(Clockwork::invite(true).hears(486).is_over);
}

/// RFC 6026 §8.4: a 2xx in "Calling" and "Proceeding" leads to "Accepted".
#[test]
fn rfc6026_8_4_a_2xx_leads_to_accepted() {
    for is_reliable in BOTH {
        assert_eq!(Clockwork::invite(is_reliable).hears(200).machine.state(), Accepted);
        let mut rings = Clockwork::invite(is_reliable);
        assert_eq!(rings.hears(180).hears(299).machine.state(), Accepted);
    }
}

/// RFC 6026 §8.4: timer M starts with 64·T1.
#[test]
fn rfc6026_8_4_timer_m_starts_with_64_t1() {
    for is_reliable in BOTH {
        let mut call = Clockwork::invite(is_reliable);
        assert_eq!(call.at(1000).hears(200).due(Timer::M), Some(33_000));
    }
}

/// RFC 6026 §8.4: the 2xx is passed to the user.
#[test]
fn rfc6026_8_4_a_2xx_reaches_the_user() {
    assert_eq!(Clockwork::invite(false).hears(200).told, [Event::Response(200)]);
}

/// RFC 6026 §8.4: the transaction makes no ACK for a 2xx.
#[test]
fn rfc6026_8_4_a_2xx_is_not_acknowledged() {
    assert_eq!(Clockwork::invite(false).hears(200).at(40_000).sent_words(), ["INVITE"]);
}

/// RFC 6026 §8.4: each further 2xx is passed to the user.
#[test]
fn rfc6026_8_4_further_2xx_reach_the_user() {
    let mut call = Clockwork::invite(false);
    call.hears(200).at(500).hears(200).at(31_999).hears(202);
    assert_eq!(call.told, [200, 200, 202].map(Event::Response));
}

/// RFC 6026 §8.4: no ACK for a further 2xx, either.
#[test]
fn rfc6026_8_4_further_2xx_are_not_acknowledged() {
    let mut call = Clockwork::invite(true);
    assert_eq!(call.hears(200).hears(200).hears(200).sent_words(), ["INVITE"]);
}

/// RFC 6026 §8.4: timer M ends "Accepted".
#[test]
fn rfc6026_8_4_timer_m_ends_accepted() {
    let mut call = Clockwork::invite(false);
    assert_eq!(call.hears(200).at(31_999).machine.state(), Accepted);
    assert_eq!(call.at(32_000).machine.state(), Terminated);
}

/// A transaction is destroyed when it is terminated: by timers B, D and M, and by the transport.
#[test]
fn s17_1_1_2_a_terminated_invite_is_destroyed() {
    let mut calls = [(); 4].map(|()| Clockwork::invite(false));
    calls[1].hears(486);
    calls[2].hears(200);
    calls[3].breaks();
    for call in &mut calls {
        call.at(40_000);
        assert!(call.machine.state() == Terminated && call.is_over);
    }
}

/// The ACK that [`INVITE`] is followed by, with the rejection.
fn ack() -> (Message, Message) {
    let rejection = response(486);
    (Message::parse(ack_of(&message(INVITE), &rejection).unwrap()).unwrap(), rejection)
}

/// Call-ID, From and Request-URI of the ACK are those of the INVITE.
#[test]
fn s17_1_1_3_the_ack_repeats_call_id_from_and_request_uri() {
    let (ack, invite) = (ack().0, message(INVITE));
    assert_eq!(ack.request_uri(), invite.request_uri());
    for id in [HeaderId::CallId, HeaderId::From] {
        assert_eq!(ack.header(id), invite.header(id));
    }
}

/// To of the ACK is that of the response.
#[test]
fn s17_1_1_3_the_ack_takes_to_from_the_response() {
    let (ack, rejection) = ack();
    assert_eq!(ack.header(HeaderId::To), rejection.header(HeaderId::To));
    assert_eq!(ack.to().unwrap().tag(), Some("j9"));
}

/// The ACK has a single Via.
#[test]
fn s17_1_1_3_the_ack_has_a_single_via() {
    assert_eq!(ack().0.vias().count(), 1);
}

/// It is the topmost Via of the INVITE.
#[test]
fn s17_1_1_3_the_via_of_the_ack_is_the_topmost_of_the_invite() {
    let (ack, invite) = (ack().0, message(INVITE));
    assert_eq!(ack.top_via().unwrap().as_str(), invite.top_via().unwrap().as_str());
}

/// The number in CSeq is that of the INVITE.
#[test]
fn s17_1_1_3_the_ack_keeps_the_number_in_cseq() {
    assert_eq!(ack().0.cseq().unwrap().number, 314);
}

/// The method in CSeq is ACK.
#[test]
fn s17_1_1_3_the_method_in_cseq_is_ack() {
    assert_eq!(ack().0.cseq().unwrap().method.as_str(), "ACK");
}

/// The Route of the INVITE is in the ACK.
#[test]
fn s17_1_1_3_the_ack_repeats_the_route() {
    let (ack, invite) = (ack().0, message(INVITE));
    let values = |message: &Message| -> Vec<Vec<u8>> {
        message.values(HeaderId::Route).map(<[u8]>::to_vec).collect()
    };
    assert_eq!(values(&ack), values(&invite));
    assert_eq!(values(&ack).len(), 2);
}
