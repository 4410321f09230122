use super::*;
use crate::sip::transaction::ladder::{self, Machine};

const INVITE: &str = "INVITE sip:juliet@sip.example SIP/2.0\r\n\
    Via: SIP/2.0/UDP us.example;branch=z9hG4bKours\r\n\
    From: <sip:romeo@sip.example>;tag=r1\r\n\
    To: <sip:juliet@sip.example>\r\n\
    Call-ID: a@us.example\r\n\
    CSeq: 7 INVITE\r\n\r\n";

type Ladder = ladder::Ladder<InviteClient>;

impl Machine for InviteClient {
    type State = InviteClientState;

    fn state(&self) -> InviteClientState {
        self.state
    }

    fn fire(&mut self, now: Instant, timer: Timer) -> Outputs {
        self.handle(now, InviteClientInput::Timer(timer))
    }
}

impl Ladder {
    fn udp() -> Self {
        Self::over(false, Timings::RFC.invite_patience())
    }

    fn tcp() -> Self {
        Self::over(true, Timings::RFC.invite_patience())
    }

    fn over(is_reliable: bool, patience: Patience) -> Self {
        let request = Bytes::from_static(INVITE.as_bytes());
        let timings = Timings::RFC;
        Self::new("", |now| InviteClient::new(now, request, is_reliable, timings, patience))
    }

    fn hears(&mut self, code: u16) -> &mut Self {
        let arrow = format!("<-- {code}");
        let text = format!("SIP/2.0 {code} x\r\nTo: <sip:juliet@sip.example>;tag=j{code}\r\n\r\n");
        let response = Message::parse(Bytes::from(text)).unwrap();
        self.step(&arrow, |client, now| {
            client.handle(now, InviteClientInput::Response(code, &response))
        })
    }

    fn cancels(&mut self) -> &mut Self {
        self.step("(cancel)", |client, now| client.handle(now, InviteClientInput::Cancel))
    }

    fn breaks(&mut self) -> &mut Self {
        self.step("<-- broken", |client, now| client.handle(now, InviteClientInput::TransportError))
    }
}

/// Figure 5: timer A repeats the request in Calling with doubled intervals, timer B ends it.
#[test]
fn s17_1_1_2_an_unanswered_invite_is_repeated_until_it_times_out() {
    let mut call = Ladder::udp();
    call.run_until_idle();
    call.reads(
        "
            0 ms  --> INVITE                 Calling
          500 ms  --> INVITE
         1500 ms  --> INVITE
         3500 ms  --> INVITE
         7500 ms  --> INVITE
        15500 ms  --> INVITE
        31500 ms  --> INVITE
        32000 ms            user: Timeout    Terminated
        ",
    );
}

/// Figure 5: each 1xx goes up; nothing is repeated in Proceeding, and timer B has no say there.
#[test]
fn s17_1_1_2_a_provisional_response_ends_the_repetition() {
    let mut call = Ladder::udp();
    call.at(600).hears(100).at(700).hears(180).at(40_000).hears(180);
    call.at(60_000).hears(200).run_until_idle();
    call.reads(
        "
            0 ms  --> INVITE                 Calling
          500 ms  --> INVITE
          600 ms  <-- 100   user: 100        Proceeding
          700 ms  <-- 180   user: 180
        40000 ms  <-- 180   user: 180
        60000 ms  <-- 200   user: 200        Accepted
        92000 ms                             Terminated
        ",
    );
}

/// RFC 3261 §17.1.1.3: the ACK for a rejection is ours; the user sees the rejection once.
#[test]
fn s17_1_1_3_repeated_rejection_is_acked_again() {
    let mut call = Ladder::udp();
    call.at(100).hears(180).at(2000).hears(486).at(2500).hears(486).at(2600).hears(503);
    call.at(2700).hears(180).hears(200).run_until_idle();
    call.reads(
        "
            0 ms  --> INVITE                    Calling
          100 ms  <-- 180   user: 180           Proceeding
         2000 ms  <-- 486
                  --> ACK   user: 486           Completed
         2500 ms  <-- 486
                  --> ACK
         2600 ms  <-- 503
                  --> ACK
         2700 ms  <-- 180
         2700 ms  <-- 200
        34000 ms                                Terminated
        ",
    );
}

/// Figure 5: a rejection leads from Calling to Completed, too.
#[test]
fn s17_1_1_2_a_rejection_may_come_first() {
    let mut call = Ladder::udp();
    call.at(10).hears(302).run_until_idle();
    call.reads(
        "
            0 ms  --> INVITE                    Calling
           10 ms  <-- 302
                  --> ACK   user: 302           Completed
        32010 ms                                Terminated
        ",
    );
}

#[test]
fn s17_1_1_2_nothing_is_repeated_or_absorbed_over_a_reliable_transport() {
    let mut call = Ladder::tcp();
    call.at(9000).hears(407).at(9100).hears(407);
    call.run_until_idle();
    call.reads(
        "
            0 ms  --> INVITE                    Calling
         9000 ms  <-- 407
                  --> ACK   user: 407           Terminated
         9100 ms  <-- 407
        ",
    );

    let mut call = Ladder::tcp();
    call.run_until_idle();
    call.reads(
        "
            0 ms  --> INVITE                    Calling
        32000 ms            user: Timeout       Terminated
        ",
    );
}

#[test]
fn s17_1_1_3_the_ack_carries_the_tag_of_the_first_rejection() {
    let mut call = Ladder::udp();
    call.at(10).hears(486).at(20).hears(503);
    let ack = Message::parse(call.machine.message.clone()).unwrap();
    assert_eq!(ack.to().unwrap().tag(), Some("j486"));
    assert_eq!(ack.top_via().unwrap().branch, Some("z9hG4bKours"));
}

/// Figure 5: each 2xx goes up, whether a copy or from another fork; all else is absorbed.
#[test]
fn rfc6026_s7_2_every_2xx_reaches_the_user() {
    for mut call in [Ladder::udp(), Ladder::tcp()] {
        call.at(100).hears(200).at(600).hears(200).at(700).hears(202);
        call.at(800).hears(180).hears(486).run_until_idle();
        call.reads(
            "
                0 ms  --> INVITE                    Calling
              100 ms  <-- 200   user: 200           Accepted
              600 ms  <-- 200   user: 200
              700 ms  <-- 202   user: 202
              800 ms  <-- 180
              800 ms  <-- 486
            32100 ms                                Terminated
            ",
        );
    }
}

/// Figure 5: a transport error ends Calling and Completed; the other states have sent all they will.
#[test]
fn s17_1_4_a_transport_error_reaches_the_user() {
    let mut call = Ladder::udp();
    call.at(5).breaks();
    call.reads(
        "
            0 ms  --> INVITE                     Calling
            5 ms  <-- broken  user: Unreachable  Terminated
        ",
    );

    let mut call = Ladder::udp();
    call.at(5).hears(100).at(6).breaks().at(7).hears(486).at(8).breaks();
    call.reads(
        "
            0 ms  --> INVITE                     Calling
            5 ms  <-- 100     user: 100          Proceeding
            6 ms  <-- broken
            7 ms  <-- 486
                  --> ACK     user: 486          Completed
            8 ms  <-- broken  user: Unreachable  Terminated
        ",
    );

    let mut call = Ladder::tcp();
    call.at(5).hears(200).at(6).breaks();
    call.reads(
        "
            0 ms  --> INVITE                     Calling
            5 ms  <-- 200     user: 200          Accepted
            6 ms  <-- broken
        ",
    );
}

#[test]
fn s9_1_a_cancel_waits_for_a_provisional_response() {
    let mut call = Ladder::udp();
    call.at(100).cancels().cancels().at(600).hears(100).at(700).hears(180).cancels();
    call.at(800).hears(487).run_until_idle();
    call.reads(
        "
            0 ms  --> INVITE                     Calling
          100 ms  (cancel)
          100 ms  (cancel)
          500 ms  --> INVITE
          600 ms  <-- 100
                  --> CANCEL  user: 100          Proceeding
          700 ms  <-- 180     user: 180
          700 ms  (cancel)
          800 ms  <-- 487
                  --> ACK     user: 487          Completed
        32800 ms                                 Terminated
        ",
    );
}

#[test]
fn s9_1_a_cancel_in_proceeding_leaves_at_once_and_64_t1_later_all_is_over() {
    let mut call = Ladder::udp();
    call.at(100).hears(180).at(5000).cancels().at(20_000).hears(180).run_until_idle();
    call.reads(
        "
            0 ms  --> INVITE                     Calling
          100 ms  <-- 180     user: 180          Proceeding
         5000 ms  (cancel)
                  --> CANCEL
        20000 ms  <-- 180     user: 180
        37000 ms              user: Timeout      Terminated
        ",
    );
}

#[test]
fn s9_1_nothing_is_cancelled_after_a_final_response() {
    for code in [200, 486] {
        let mut call = Ladder::udp();
        call.at(10).cancels().at(20).hears(code);
        assert!(call.machine.handle(ladder::origin(), InviteClientInput::Cancel).is_empty());
        assert_eq!(call.machine.cancelling, Cancelling::Waiting);
    }
    let mut call = Ladder::udp();
    call.at(10).cancels().run_until_idle();
    assert_eq!(call.machine.state(), InviteClientState::Terminated);
}

/// A 2xx that crosses the CANCEL goes up, and timer B does not cut Accepted short.
#[test]
fn s9_1_a_2xx_may_cross_the_cancel() {
    let mut call = Ladder::udp();
    call.at(10).hears(180).at(20).cancels().at(9000).hears(200).run_until_idle();
    call.reads(
        "
            0 ms  --> INVITE                     Calling
           10 ms  <-- 180     user: 180          Proceeding
           20 ms  (cancel)
                  --> CANCEL
         9000 ms  <-- 200     user: 200          Accepted
        41000 ms                                 Terminated
        ",
    );
}

#[test]
fn s16_8_timer_c_cancels_an_invite_that_rings_too_long() {
    let mut call = Ladder::udp();
    call.at(10).hears(180).run_until_idle();
    call.reads(
        "
            0 ms  --> INVITE                     Calling
           10 ms  <-- 180     user: 180          Proceeding
       185010 ms  --> CANCEL  user: Overdue
       217010 ms              user: Timeout      Terminated
        ",
    );
}

#[test]
fn s16_7_provisional_responses_but_100_start_timer_c_again() {
    let mut call = Ladder::udp();
    call.at(10).hears(100).at(100_000).hears(183).at(200_000).hears(100).at(285_001);
    call.hears(487);
    call.reads(
        "
            0 ms  --> INVITE                     Calling
           10 ms  <-- 100     user: 100          Proceeding
       100000 ms  <-- 183     user: 183
       200000 ms  <-- 100     user: 100
       285000 ms  --> CANCEL  user: Overdue
       285001 ms  <-- 487
                  --> ACK     user: 487          Completed
        ",
    );
}

#[test]
fn one_transaction_may_have_less_patience_than_others() {
    let patience = Patience { first: Duration::from_secs(2), last: Duration::from_secs(5) };
    let mut call = Ladder::over(true, patience);
    call.run_until_idle();
    call.reads(
        "
            0 ms  --> INVITE                     Calling
         2000 ms              user: Timeout      Terminated
        ",
    );

    let mut call = Ladder::over(true, patience);
    call.at(1999).hears(100).at(7000);
    call.reads(
        "
            0 ms  --> INVITE                     Calling
         1999 ms  <-- 100     user: 100          Proceeding
         6999 ms  --> CANCEL  user: Overdue
        ",
    );
}

#[test]
fn an_input_without_an_arrow_changes_nothing() {
    let mut call = Ladder::udp();
    call.hears(100);
    for timer in [Timer::A, Timer::D, Timer::M, Timer::E, Timer::Trying] {
        assert!(call.machine.fire(ladder::origin(), timer).is_empty());
    }
    assert_eq!(call.machine.state(), InviteClientState::Proceeding);
    call.hears(200);
    for timer in [Timer::A, Timer::B, Timer::C, Timer::D] {
        assert!(call.machine.fire(ladder::origin(), timer).is_empty());
    }
    assert!(call.machine.message.is_empty(), "the request is dropped with its 2xx");
}
