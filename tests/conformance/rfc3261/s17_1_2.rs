//! §17.1.2, the client transaction of any other request.

use sipjab::sip::transaction::{ClientState::*, Event, Timer};

use super::clockwork::{BOTH, Clockwork};

/// The request is passed to the transport.
#[test]
fn s17_1_2_2_the_request_is_sent_at_once() {
    for is_reliable in BOTH {
        assert_eq!(Clockwork::request(is_reliable).sent_at(), [0]);
    }
}

/// Over an unreliable transport timer E starts with T1.
#[test]
fn s17_1_2_2_timer_e_starts_with_t1_over_udp() {
    assert_eq!(Clockwork::request(false).due(Timer::E), Some(500));
    assert_eq!(Clockwork::request(true).due(Timer::E), None);
}

/// A provisional response in "Trying" is passed to the user.
#[test]
fn s17_1_2_2_a_provisional_response_reaches_the_user() {
    assert_eq!(Clockwork::request(false).hears(100).told, [Event::Response(100)]);
}

/// A final response in "Trying" is passed to the user.
#[test]
fn s17_1_2_2_a_final_response_in_trying_reaches_the_user() {
    for code in [200, 301, 404, 500, 699] {
        assert_eq!(Clockwork::request(false).hears(code).told, [Event::Response(code)]);
    }
}

/// A final response in "Trying" leads to "Completed".
#[test]
fn s17_1_2_2_a_final_response_in_trying_leads_to_completed() {
    for code in [200, 301, 404, 500, 699] {
        assert_eq!(Clockwork::request(false).hears(code).machine.state(), Completed);
    }
}

/// When timer E fires in "Proceeding", the request is sent again.
#[test]
fn s17_1_2_2_timer_e_in_proceeding_sends_the_request_again() {
    let mut request = Clockwork::request(false);
    assert_eq!(request.at(100).hears(100).at(500).sent_at(), [0, 500]);
}

/// When timer E fires in "Proceeding", it is set to T2.
#[test]
fn s17_1_2_2_timer_e_in_proceeding_is_set_to_t2() {
    let mut request = Clockwork::request(false);
    assert_eq!(request.at(100).hears(100).at(500).due(Timer::E), Some(4500));
}

/// When timer F fires in "Proceeding", the user is told.
#[test]
fn s17_1_2_2_timer_f_in_proceeding_tells_the_user() {
    for is_reliable in BOTH {
        let mut request = Clockwork::request(is_reliable);
        request.hears(100).at(32_000);
        assert_eq!(request.told, [Event::Response(100), Event::Timeout]);
    }
}

/// When timer F fires in "Proceeding", the transaction is terminated.
#[test]
fn s17_1_2_2_timer_f_in_proceeding_is_the_end() {
    let mut request = Clockwork::request(false);
    assert_eq!(request.hears(100).at(31_999).machine.state(), Proceeding);
    assert_eq!(request.at(32_000).machine.state(), Terminated);
}

/// A final response in "Proceeding" is passed to the user.
#[test]
fn s17_1_2_2_a_final_response_in_proceeding_reaches_the_user() {
    let mut request = Clockwork::request(false);
    assert_eq!(request.hears(100).hears(404).told, [100, 404].map(Event::Response));
}

/// A final response in "Proceeding" leads to "Completed".
#[test]
fn s17_1_2_2_a_final_response_in_proceeding_leads_to_completed() {
    let mut request = Clockwork::request(false);
    assert_eq!(request.hears(100).hears(200).machine.state(), Completed);
}

/// In "Completed" timer K is T4 over unreliable transports and zero over reliable ones.
#[test]
fn s17_1_2_2_timer_k_is_t4_over_udp_and_zero_over_tcp() {
    assert_eq!(Clockwork::request(false).at(1000).hears(200).due(Timer::K), Some(6000));
    assert!(Clockwork::request(true).hears(200).is_over);
}

/// Timer K ends "Completed".
#[test]
fn s17_1_2_2_timer_k_ends_completed() {
    let mut request = Clockwork::request(false);
    assert_eq!(request.hears(200).at(4999).machine.state(), Completed);
    assert_eq!(request.at(5000).machine.state(), Terminated);
}

/// A terminated transaction is destroyed at once.
#[test]
fn s17_1_2_2_a_terminated_request_is_destroyed() {
    let mut requests = [(); 3].map(|()| Clockwork::request(false));
    requests[1].hears(200);
    requests[2].breaks();
    for request in &mut requests {
        request.at(40_000);
        assert!(request.machine.state() == Terminated && request.is_over);
    }
}
