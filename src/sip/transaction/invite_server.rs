//! The INVITE server transaction (RFC 3261 §17.2.1, figure 7 as RFC 6026 §8.6 redraws it).

use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::smallvec;

use super::{Event, Output, Outputs, Refused, ServerInput, Timer, Timings};

/// How soon an INVITE must be answered by something (RFC 3261 §17.2.1).
const UNTIL_TRYING: Duration = Duration::from_millis(200);

/// Where an [`InviteServer`] stands in figure 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteServerState {
    /// The user has the request and gave no final response.
    Proceeding,
    /// A 2xx was sent; the user repeats it, copies of the request are absorbed (RFC 6026 §7.1).
    Accepted,
    /// Another final response was sent; it is repeated until its ACK comes.
    Completed,
    /// The ACK came; copies of it are absorbed.
    Confirmed,
    /// Over.
    Terminated,
}

/// One INVITE from one client, and its answer.
#[derive(Debug)]
pub struct InviteServer {
    /// The response as it was last sent; empty before the first, and when it is never repeated.
    response: Bytes,
    /// What timer G was last set to.
    interval: Duration,
    timings: Timings,
    state: InviteServerState,
    is_reliable: bool,
}

impl InviteServer {
    /// Starts the transaction for a request that the user has in hand.
    ///
    /// It waits for the user's final response as long as that takes.
    pub fn new(now: Instant, is_reliable: bool, timings: Timings) -> (Self, Outputs) {
        let (state, interval) = (InviteServerState::Proceeding, timings.t1());
        let server = Self { response: Bytes::new(), interval, timings, state, is_reliable };
        (server, smallvec![Output::SetTimer(Timer::Trying, now + UNTIL_TRYING)])
    }

    /// Where the transaction stands.
    pub fn state(&self) -> InviteServerState {
        self.state
    }

    /// Takes one arrow of the figure. An input with no arrow changes nothing.
    pub fn handle(&mut self, now: Instant, input: ServerInput) -> Outputs {
        use InviteServerState::*;
        use ServerInput::{Ack, Retransmission, TransportError};
        match (self.state, input) {
            (Proceeding, Retransmission) if self.response.is_empty() => Outputs::new(),
            (Proceeding | Completed, Retransmission) => {
                smallvec![Output::Send(self.response.clone())]
            }
            (Proceeding, ServerInput::Timer(Timer::Trying)) => {
                smallvec![Output::ToUser(Event::TryingDue)]
            }

            (Completed, ServerInput::Timer(Timer::G)) => {
                self.interval = self.timings.after(self.interval);
                smallvec![
                    Output::Send(self.response.clone()),
                    Output::SetTimer(Timer::G, now + self.interval),
                ]
            }
            (Completed, ServerInput::Timer(Timer::H)) => self.end(Some(Event::Unacknowledged)),
            (Completed, Ack) => self.confirm(now),
            (Confirmed, ServerInput::Timer(Timer::I)) => self.end(None),

            (Accepted, Ack) => smallvec![Output::ToUser(Event::Ack)],
            (Accepted, ServerInput::Timer(Timer::L)) => self.end(None),

            // RFC 6026 §8.8: the state stays, so that copies of the request are still absorbed.
            (Proceeding | Accepted | Completed, TransportError) => {
                smallvec![Output::ToUser(Event::Unreachable)]
            }
            _ => Outputs::new(),
        }
    }

    /// Sends the user's response, or says why it must not be sent.
    ///
    /// `response` is the whole message, ready for the wire, and `code` its status.
    pub fn respond(
        &mut self,
        now: Instant,
        code: u16,
        response: Bytes,
    ) -> Result<Outputs, Refused> {
        use InviteServerState::*;
        match (self.state, code) {
            (_, ..=99 | 700..) => Err(Refused::NoStatus(code)),
            (Proceeding, 100..=199) => {
                self.response = response.clone();
                Ok(smallvec![Output::Send(response), Output::CancelTimer(Timer::Trying)])
            }
            (Proceeding, 200..=299) => {
                self.state = Accepted;
                self.response = Bytes::new();
                Ok(smallvec![
                    Output::Send(response),
                    Output::CancelTimer(Timer::Trying),
                    Output::SetTimer(Timer::L, now + self.timings.patience()),
                ])
            }
            (Proceeding, 300..=699) => Ok(self.complete(now, response)),
            (Accepted, 200..=299) => Ok(smallvec![Output::Send(response)]),
            (Accepted | Completed | Confirmed, _) => Err(Refused::Answered),
            (Terminated, _) => Err(Refused::Over),
        }
    }

    /// The ACK is waited for over all transports, but repetition is for unreliable ones.
    fn complete(&mut self, now: Instant, response: Bytes) -> Outputs {
        self.state = InviteServerState::Completed;
        self.response = response.clone();
        let mut out: Outputs = smallvec![
            Output::Send(response),
            Output::CancelTimer(Timer::Trying),
            Output::SetTimer(Timer::H, now + self.timings.patience()),
        ];
        if !self.is_reliable {
            out.push(Output::SetTimer(Timer::G, now + self.interval));
        }
        out
    }

    /// Timer I is zero over reliable transports, so there the transaction ends at once.
    fn confirm(&mut self, now: Instant) -> Outputs {
        if self.is_reliable {
            return self.end(None);
        }
        self.state = InviteServerState::Confirmed;
        self.response = Bytes::new();
        smallvec![
            Output::CancelTimer(Timer::G),
            Output::CancelTimer(Timer::H),
            Output::SetTimer(Timer::I, now + self.timings.t4()),
        ]
    }

    fn end(&mut self, why: Option<Event>) -> Outputs {
        self.state = InviteServerState::Terminated;
        why.map(Output::ToUser).into_iter().chain([Output::Terminated]).collect()
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::transaction::ladder::{self, Machine};

    type Ladder = ladder::Ladder<InviteServer>;

    impl Machine for InviteServer {
        type State = InviteServerState;

        fn state(&self) -> InviteServerState {
            self.state
        }

        fn fire(&mut self, now: Instant, timer: Timer) -> Outputs {
            self.handle(now, ServerInput::Timer(timer))
        }
    }

    impl Ladder {
        fn udp() -> Self {
            Self::over(false)
        }

        fn tcp() -> Self {
            Self::over(true)
        }

        fn over(is_reliable: bool) -> Self {
            Self::new("<-- INVITE", |now| InviteServer::new(now, is_reliable, Timings::RFC))
        }

        fn hears_again(&mut self) -> &mut Self {
            self.step("<-- INVITE", |server, now| server.handle(now, ServerInput::Retransmission))
        }

        fn hears_ack(&mut self) -> &mut Self {
            self.step("<-- ACK", |server, now| server.handle(now, ServerInput::Ack))
        }

        fn breaks(&mut self) -> &mut Self {
            self.step("<-- broken", |server, now| server.handle(now, ServerInput::TransportError))
        }

        fn answers(&mut self, code: u16) -> &mut Self {
            let response = Bytes::from(code.to_string());
            self.step("", |server, now| server.respond(now, code, response).unwrap())
        }

        #[track_caller]
        fn refuses(&mut self, code: u16, why: Refused) -> &mut Self {
            self.step("", |server, now| {
                assert_eq!(server.respond(now, code, Bytes::new()), Err(why));
                Outputs::new()
            })
        }
    }

    #[test]
    fn s17_2_1_100_is_due_after_200_ms_of_silence() {
        let mut call = Ladder::udp();
        call.at(50).hears_again().at(200).answers(100).at(500).hears_again();
        call.reads(
            "
                0 ms  <-- INVITE                   Proceeding
               50 ms  <-- INVITE
              200 ms            user: TryingDue
              200 ms  --> 100
              500 ms  <-- INVITE
                      --> 100
            ",
        );

        let mut call = Ladder::tcp();
        call.at(10).answers(180).at(1000);
        call.reads(
            "
                0 ms  <-- INVITE                   Proceeding
               10 ms  --> 180
            ",
        );
    }

    /// Figure 7: Proceeding takes any provisional response and repeats the last one.
    #[test]
    fn s17_2_1_a_copy_of_the_invite_brings_the_last_provisional_response_again() {
        let mut call = Ladder::udp();
        call.at(1).answers(100).at(500).hears_again().at(600).answers(180);
        call.at(700).answers(183).at(1500).hears_again().hears_ack();
        call.reads(
            "
                0 ms  <-- INVITE                   Proceeding
                1 ms  --> 100
              500 ms  <-- INVITE
                      --> 100
              600 ms  --> 180
              700 ms  --> 183
             1500 ms  <-- INVITE
                      --> 183
             1500 ms  <-- ACK
            ",
        );
    }

    /// Figure 7: timer G repeats the rejection up to every T2, each copy of the INVITE brings it again, the ACK
    /// ends that, and timer I absorbs copies of the ACK.
    #[test]
    fn s17_2_1_a_rejection_is_repeated_until_its_ack() {
        let mut call = Ladder::udp();
        call.at(100).answers(486).at(200).hears_again().at(12_000).hears_ack();
        call.at(12_100).hears_ack().hears_again().run_until_idle();
        call.reads(
            "
                0 ms  <-- INVITE                   Proceeding
              100 ms  --> 486                      Completed
              200 ms  <-- INVITE
                      --> 486
              600 ms  --> 486
             1600 ms  --> 486
             3600 ms  --> 486
             7600 ms  --> 486
            11600 ms  --> 486
            12000 ms  <-- ACK                      Confirmed
            12100 ms  <-- ACK
            12100 ms  <-- INVITE
            17000 ms                               Terminated
            ",
        );
    }

    #[test]
    fn s17_2_1_without_an_ack_timer_h_ends_it_and_the_user_knows() {
        let mut call = Ladder::tcp();
        call.at(100).answers(603).run_until_idle();
        call.reads(
            "
                0 ms  <-- INVITE                        Proceeding
              100 ms  --> 603                           Completed
            32100 ms            user: Unacknowledged    Terminated
            ",
        );

        let mut call = Ladder::udp();
        call.answers(603).at(31_999);
        assert_eq!(call.machine.state(), InviteServerState::Completed);
        call.at(32_000);
        assert_eq!(call.machine.state(), InviteServerState::Terminated);
    }

    #[test]
    fn s17_2_1_over_a_reliable_transport_the_ack_is_the_end() {
        let mut call = Ladder::tcp();
        call.at(100).answers(300).at(5000).hears_again().hears_ack().run_until_idle();
        call.reads(
            "
                0 ms  <-- INVITE                   Proceeding
              100 ms  --> 300                      Completed
             5000 ms  <-- INVITE
                      --> 300
             5000 ms  <-- ACK                      Terminated
            ",
        );
    }

    #[test]
    fn s17_2_1_a_second_final_response_is_refused() {
        let mut call = Ladder::udp();
        call.at(10).answers(486).refuses(486, Refused::Answered).refuses(180, Refused::Answered);
        call.hears_ack().refuses(200, Refused::Answered).run_until_idle();
        call.refuses(200, Refused::Over);
    }

    /// Figure 7: copies of the INVITE are absorbed, each 2xx of the user is sent, each ACK goes up.
    #[test]
    fn rfc6026_s7_1_accepted_repeats_nothing_by_itself() {
        for mut call in [Ladder::udp(), Ladder::tcp()] {
            call.at(100).answers(200).at(500).hears_again().at(600).answers(200);
            call.at(700).answers(202).at(800).hears_ack().hears_ack();
            call.refuses(486, Refused::Answered).refuses(180, Refused::Answered);
            call.run_until_idle();
            call.reads(
                "
                    0 ms  <-- INVITE                   Proceeding
                  100 ms  --> 200                      Accepted
                  500 ms  <-- INVITE
                  600 ms  --> 200
                  700 ms  --> 202
                  800 ms  <-- ACK   user: Ack
                  800 ms  <-- ACK   user: Ack
                32100 ms                               Terminated
                ",
            );
        }
    }

    /// Figure 7: a transport error is told and changes no state.
    #[test]
    fn rfc6026_s8_8_a_transport_error_reaches_the_user_and_ends_nothing() {
        let mut call = Ladder::udp();
        call.at(1).answers(180).breaks().at(10).answers(200).breaks();
        call.reads(
            "
                0 ms  <-- INVITE                     Proceeding
                1 ms  --> 180
                1 ms  <-- broken  user: Unreachable
               10 ms  --> 200                        Accepted
               10 ms  <-- broken  user: Unreachable
            ",
        );

        let mut call = Ladder::udp();
        call.at(1).answers(500).breaks().hears_ack().breaks();
        call.reads(
            "
                0 ms  <-- INVITE                     Proceeding
                1 ms  --> 500                        Completed
                1 ms  <-- broken  user: Unreachable
                1 ms  <-- ACK                        Confirmed
                1 ms  <-- broken
            ",
        );
    }

    #[test]
    fn a_number_that_is_no_status_is_refused() {
        let mut call = Ladder::tcp();
        for code in [0, 99, 700, u16::MAX] {
            call.refuses(code, Refused::NoStatus(code));
        }
    }

    #[test]
    fn an_input_without_an_arrow_changes_nothing() {
        let mut call = Ladder::udp();
        for timer in [Timer::G, Timer::H, Timer::I, Timer::L, Timer::Expiry] {
            assert!(call.machine.fire(ladder::origin(), timer).is_empty());
        }
        call.answers(200);
        for timer in [Timer::G, Timer::H, Timer::I, Timer::Trying] {
            assert!(call.machine.fire(ladder::origin(), timer).is_empty());
        }
        assert_eq!(call.machine.state(), InviteServerState::Accepted);
    }
}
