//! The non-INVITE server transaction (RFC 3261 §17.2.2, figure 8) with the rules of RFC 4320.

use std::time::Instant;

use bytes::Bytes;
use smallvec::smallvec;
use thiserror::Error;

use super::{Event, Output, Outputs, Timer, Timings};

/// Where a [`Server`] stands in figure 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// The user has the request and said nothing yet.
    Trying,
    /// 100 was sent.
    Proceeding,
    /// The final response was sent; it is repeated for each copy of the request.
    Completed,
    /// Over.
    Terminated,
}

/// What can happen to a [`Server`] or an [`InviteServer`](super::InviteServer) from outside; its user calls `respond`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerInput {
    /// The request arrived again.
    Retransmission,
    /// An ACK for the request arrived; only INVITE has one.
    Ack,
    /// A timer that the transaction had set fired.
    Timer(Timer),
    /// The transport failed to send a response (RFC 3261 §17.2.4).
    TransportError,
}

/// Why a response of the user is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// The status is no SIP status.
    #[error("{0} is no status code")]
    NoStatus(u16),
    /// Only 100 may precede the final response to a non-INVITE request (RFC 4320 §4.1).
    #[error("{0} may not answer a request other than INVITE")]
    Provisional(u16),
    /// 100 over an unreliable transport would only add to the traffic yet (RFC 4320 §4.1).
    #[error("100 is too early")]
    TooEarly,
    /// The client has given up by itself when we would say 408 (RFC 4320 §4.2).
    #[error("408 may not answer a request other than INVITE")]
    RequestTimeout,
    /// A final response was sent before.
    #[error("the request is answered")]
    Answered,
    /// The transaction is over, and late responses are not sent (RFC 4320 §4.2).
    #[error("the transaction is over")]
    Over,
}

/// One request other than INVITE and ACK from one client, and its answer.
#[derive(Debug)]
pub struct Server {
    /// The response as it was last sent; empty before the first.
    response: Bytes,
    /// From when on 100 may be sent over an unreliable transport.
    trying_from: Instant,
    timings: Timings,
    state: ServerState,
    is_reliable: bool,
}

impl Server {
    /// Starts the transaction for a request that the user has in hand.
    pub fn new(now: Instant, is_reliable: bool, timings: Timings) -> (Self, Outputs) {
        let trying_from = now + timings.until_trying();
        let out = smallvec![
            Output::SetTimer(Timer::Trying, trying_from),
            Output::SetTimer(Timer::Expiry, now + timings.patience()),
        ];
        let state = ServerState::Trying;
        (Self { response: Bytes::new(), trying_from, timings, state, is_reliable }, out)
    }

    /// Where the transaction stands.
    pub fn state(&self) -> ServerState {
        self.state
    }

    /// Takes one arrow of the figure. An input with no arrow changes nothing.
    pub fn handle(&mut self, input: ServerInput) -> Outputs {
        use ServerInput::{Retransmission, TransportError};
        use ServerState::*;
        match (self.state, input) {
            (Proceeding | Completed, Retransmission) => {
                smallvec![Output::Send(self.response.clone())]
            }
            (Trying, ServerInput::Timer(Timer::Trying)) => {
                smallvec![Output::ToUser(Event::TryingDue)]
            }
            (Trying | Proceeding, ServerInput::Timer(Timer::Expiry)) => {
                self.end(Some(Event::Expired))
            }
            (Completed, ServerInput::Timer(Timer::J)) => self.end(None),
            (Proceeding | Completed, TransportError) => self.end(Some(Event::Unreachable)),
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
        use ServerState::*;
        match (self.state, code) {
            (_, ..=99 | 700..) => Err(Refused::NoStatus(code)),
            (Completed, _) => Err(Refused::Answered),
            (Terminated, _) => Err(Refused::Over),
            (_, 101..=199) => Err(Refused::Provisional(code)),
            (_, 408) => Err(Refused::RequestTimeout),
            (_, 100) if !self.is_reliable && now < self.trying_from => Err(Refused::TooEarly),
            (Trying | Proceeding, 100) => {
                self.state = Proceeding;
                self.response = response.clone();
                Ok(smallvec![Output::Send(response), Output::CancelTimer(Timer::Trying)])
            }
            (Trying | Proceeding, 200..=699) => Ok(self.complete(now, response)),
        }
    }

    /// Timer J is zero over reliable transports, so there the transaction ends at once.
    fn complete(&mut self, now: Instant, response: Bytes) -> Outputs {
        if self.is_reliable {
            self.state = ServerState::Terminated;
            return smallvec![Output::Send(response), Output::Terminated];
        }
        self.state = ServerState::Completed;
        self.response = response.clone();
        smallvec![
            Output::Send(response),
            Output::CancelTimer(Timer::Trying),
            Output::CancelTimer(Timer::Expiry),
            Output::SetTimer(Timer::J, now + self.timings.patience()),
        ]
    }

    fn end(&mut self, why: Option<Event>) -> Outputs {
        self.state = ServerState::Terminated;
        why.map(Output::ToUser).into_iter().chain([Output::Terminated]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::transaction::ladder::{self, Machine};

    type Ladder = ladder::Ladder<Server>;

    impl Machine for Server {
        type State = ServerState;

        fn state(&self) -> ServerState {
            self.state
        }

        fn fire(&mut self, _now: Instant, timer: Timer) -> Outputs {
            self.handle(ServerInput::Timer(timer))
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
            Self::new("<-- MESSAGE", |now| Server::new(now, is_reliable, Timings::RFC))
        }

        fn hears_again(&mut self) -> &mut Self {
            self.step("<-- MESSAGE", |server, _| server.handle(ServerInput::Retransmission))
        }

        fn breaks(&mut self) -> &mut Self {
            self.step("<-- broken", |server, _| server.handle(ServerInput::TransportError))
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

    /// Figure 8: silent in Trying; Completed repeats the answer until timer J.
    #[test]
    fn s17_2_2_the_answer_is_repeated_for_each_copy_of_the_request() {
        let mut message = Ladder::udp();
        message.at(50).hears_again().at(600).answers(202).at(1500).hears_again();
        message.at(3500).hears_again();
        message.run_until_idle();
        message.reads(
            "
                0 ms  <-- MESSAGE              Trying
               50 ms  <-- MESSAGE
              600 ms  --> 202                  Completed
             1500 ms  <-- MESSAGE
                      --> 202
             3500 ms  <-- MESSAGE
                      --> 202
            32600 ms                           Terminated
            ",
        );
    }

    /// Figure 8: Proceeding repeats 100, takes another, and is left by a final response.
    #[test]
    fn s17_2_2_proceeding_repeats_100_until_the_answer() {
        let mut message = Ladder::udp();
        message.at(3500).answers(100).at(3600).hears_again().at(4000).answers(100);
        message.at(5000).answers(486);
        message.run_until_idle();
        message.reads(
            "
                0 ms  <-- MESSAGE                   Trying
             3500 ms            user: TryingDue
             3500 ms  --> 100                       Proceeding
             3600 ms  <-- MESSAGE
                      --> 100
             4000 ms  --> 100
             5000 ms  --> 486                       Completed
            37000 ms                                Terminated
            ",
        );
    }

    #[test]
    fn s17_2_2_over_a_reliable_transport_the_answer_is_the_end() {
        let mut message = Ladder::tcp();
        message.at(10).answers(100).at(20).answers(200).at(30).hears_again();
        message.run_until_idle();
        message.reads(
            "
                0 ms  <-- MESSAGE              Trying
               10 ms  --> 100                  Proceeding
               20 ms  --> 200                  Terminated
               30 ms  <-- MESSAGE
            ",
        );
    }

    #[test]
    fn s17_2_2_a_second_final_response_is_refused() {
        let mut message = Ladder::udp();
        message.at(10).answers(200).at(20).refuses(500, Refused::Answered);
        message.refuses(100, Refused::Answered).at(30).hears_again();
        message.reads(
            "
                0 ms  <-- MESSAGE              Trying
               10 ms  --> 200                  Completed
               30 ms  <-- MESSAGE
                      --> 200
            ",
        );
        let mut message = Ladder::tcp();
        message.at(10).answers(200).refuses(200, Refused::Over);
    }

    /// Figure 8: a transport error ends Proceeding and Completed; in Trying nothing was sent.
    #[test]
    fn s17_2_4_a_transport_error_reaches_the_user() {
        let mut message = Ladder::udp();
        message.at(1).breaks().at(10).answers(200).at(11).breaks();
        message.run_until_idle();
        message.reads(
            "
                0 ms  <-- MESSAGE                    Trying
                1 ms  <-- broken
               10 ms  --> 200                        Completed
               11 ms  <-- broken  user: Unreachable  Terminated
            ",
        );

        let mut message = Ladder::tcp();
        message.at(10).answers(100).at(11).breaks();
        message.reads(
            "
                0 ms  <-- MESSAGE                    Trying
               10 ms  --> 100                        Proceeding
               11 ms  <-- broken  user: Unreachable  Terminated
            ",
        );
    }

    #[test]
    fn rfc4320_s4_1_no_provisional_response_but_100() {
        let mut message = Ladder::tcp();
        for code in [101, 180, 183, 199] {
            message.refuses(code, Refused::Provisional(code));
        }
    }

    #[test]
    fn rfc4320_s4_1_100_waits_over_an_unreliable_transport() {
        let mut message = Ladder::udp();
        message.at(3499).refuses(100, Refused::TooEarly).at(3500).answers(100);
        message.reads(
            "
                0 ms  <-- MESSAGE                   Trying
             3500 ms            user: TryingDue
             3500 ms  --> 100                       Proceeding
            ",
        );
    }

    #[test]
    fn rfc4320_s4_1_100_is_due_over_a_reliable_transport_too() {
        let mut message = Ladder::tcp();
        message.at(4000);
        message.reads(
            "
                0 ms  <-- MESSAGE                   Trying
             3500 ms            user: TryingDue
            ",
        );
    }

    #[test]
    fn rfc4320_s4_2_a_request_that_waits_too_long_gets_no_answer_at_all() {
        let mut message = Ladder::udp();
        message.at(31_999).refuses(408, Refused::RequestTimeout);
        message.run_until_idle();
        message.refuses(200, Refused::Over);
        message.reads(
            "
                0 ms  <-- MESSAGE                   Trying
             3500 ms            user: TryingDue
            32000 ms            user: Expired       Terminated
            ",
        );
    }

    #[test]
    fn a_number_that_is_no_status_is_refused() {
        let mut message = Ladder::tcp();
        for code in [0, 99, 700, u16::MAX] {
            message.refuses(code, Refused::NoStatus(code));
        }
    }

    #[test]
    fn an_input_without_an_arrow_changes_nothing() {
        let mut message = Ladder::udp();
        for timer in [Timer::E, Timer::F, Timer::J, Timer::K] {
            assert!(message.machine.fire(ladder::origin(), timer).is_empty());
        }
        message.at(10).answers(200);
        for timer in [Timer::Trying, Timer::Expiry] {
            assert!(message.machine.fire(ladder::origin(), timer).is_empty());
        }
        assert!(size_of::<Server>() <= 72, "{}", size_of::<Server>());
    }
}
