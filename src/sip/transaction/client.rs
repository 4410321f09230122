//! The non-INVITE client transaction (RFC 3261 §17.1.2, figure 6).

use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::smallvec;

use super::{Event, Output, Outputs, Timer, Timings};

/// Where a [`Client`] stands in figure 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// The request is on its way; nothing came back.
    Trying,
    /// A provisional response came.
    Proceeding,
    /// A final response came; copies of it are absorbed.
    Completed,
    /// Over.
    Terminated,
}

/// What can happen to a [`Client`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientInput {
    /// A response with this status arrived and matched (RFC 3261 §17.1.3).
    Response(u16),
    /// A timer that the transaction had set fired.
    Timer(Timer),
    /// The transport failed to send the request (RFC 3261 §17.1.4).
    TransportError,
}

/// One request other than INVITE and ACK on its way to one target, until its answer came.
#[derive(Debug)]
pub struct Client {
    /// The request as it is sent; empty once it needs no repetition.
    request: Bytes,
    /// What timer E was last set to.
    interval: Duration,
    timings: Timings,
    state: ClientState,
    is_reliable: bool,
}

impl Client {
    /// Starts the transaction: sends `request` and sets its timers. It gives up after `patience`, 64·T1 by default.
    ///
    /// Over a reliable transport nothing is repeated and nothing must be absorbed.
    pub fn new(
        now: Instant,
        request: Bytes,
        is_reliable: bool,
        timings: Timings,
        patience: Option<Duration>,
    ) -> (Self, Outputs) {
        let mut out: Outputs = smallvec![
            Output::Send(request.clone()),
            Output::SetTimer(Timer::F, now + patience.unwrap_or(timings.patience())),
        ];
        if !is_reliable {
            out.push(Output::SetTimer(Timer::E, now + timings.t1()));
        }
        let request = if is_reliable { Bytes::new() } else { request };
        let interval = timings.t1();
        (Self { request, interval, timings, state: ClientState::Trying, is_reliable }, out)
    }

    /// Where the transaction stands.
    pub fn state(&self) -> ClientState {
        self.state
    }

    /// Takes one arrow of the figure. An input with no arrow changes nothing.
    pub fn handle(&mut self, now: Instant, input: ClientInput) -> Outputs {
        use ClientInput::{Response, TransportError};
        use ClientState::*;
        match (self.state, input) {
            (Trying, ClientInput::Timer(Timer::E)) => {
                self.retransmit(now, self.timings.after(self.interval))
            }
            (Proceeding, ClientInput::Timer(Timer::E)) => self.retransmit(now, self.timings.t2()),

            (Trying | Proceeding, Response(code @ 100..=199)) => {
                self.state = Proceeding;
                smallvec![Output::ToUser(Event::Response(code))]
            }
            (Trying | Proceeding, Response(code @ 200..=699)) => self.complete(now, code),

            (Trying | Proceeding, ClientInput::Timer(Timer::F)) => self.give_up(Event::Timeout),
            (Trying | Proceeding, TransportError) => self.give_up(Event::Unreachable),

            (Completed, ClientInput::Timer(Timer::K)) => {
                self.state = Terminated;
                smallvec![Output::Terminated]
            }
            _ => Outputs::new(),
        }
    }

    fn retransmit(&mut self, now: Instant, interval: Duration) -> Outputs {
        self.interval = interval;
        smallvec![Output::Send(self.request.clone()), Output::SetTimer(Timer::E, now + interval),]
    }

    /// Timer K is zero over reliable transports, so there the transaction ends at once.
    fn complete(&mut self, now: Instant, code: u16) -> Outputs {
        self.request = Bytes::new();
        let answer = Output::ToUser(Event::Response(code));
        if self.is_reliable {
            self.state = ClientState::Terminated;
            return smallvec![answer, Output::Terminated];
        }
        self.state = ClientState::Completed;
        smallvec![
            answer,
            Output::CancelTimer(Timer::E),
            Output::CancelTimer(Timer::F),
            Output::SetTimer(Timer::K, now + self.timings.t4()),
        ]
    }

    fn give_up(&mut self, why: Event) -> Outputs {
        self.state = ClientState::Terminated;
        smallvec![Output::ToUser(why), Output::Terminated]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::transaction::ladder::{self, Machine};

    type Ladder = ladder::Ladder<Client>;

    impl Machine for Client {
        type State = ClientState;

        fn state(&self) -> ClientState {
            self.state
        }

        fn fire(&mut self, now: Instant, timer: Timer) -> Outputs {
            self.handle(now, ClientInput::Timer(timer))
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
            let request = Bytes::from_static(b"MESSAGE");
            Self::new("", |now| Client::new(now, request, is_reliable, Timings::RFC, None))
        }

        fn hears(&mut self, code: u16) -> &mut Self {
            let arrow = format!("<-- {code}");
            self.step(&arrow, |client, now| client.handle(now, ClientInput::Response(code)))
        }

        fn breaks(&mut self) -> &mut Self {
            self.step("<-- broken", |client, now| client.handle(now, ClientInput::TransportError))
        }
    }

    /// Figure 6: timer E repeats the request in Trying, timer F ends it.
    #[test]
    fn s17_1_2_2_an_unanswered_request_is_repeated_until_it_times_out() {
        let mut message = Ladder::udp();
        message.run_until_idle();
        message.reads(
            "
                0 ms  --> MESSAGE                 Trying
              500 ms  --> MESSAGE
             1500 ms  --> MESSAGE
             3500 ms  --> MESSAGE
             7500 ms  --> MESSAGE
            11500 ms  --> MESSAGE
            15500 ms  --> MESSAGE
            19500 ms  --> MESSAGE
            23500 ms  --> MESSAGE
            27500 ms  --> MESSAGE
            31500 ms  --> MESSAGE
            32000 ms            user: Timeout     Terminated
            ",
        );
    }

    /// Figure 6: a final response goes up once; copies are absorbed until timer K.
    #[test]
    fn s17_1_2_2_copies_of_the_answer_are_absorbed() {
        let mut message = Ladder::udp();
        message.at(100).hears(202).at(600).hears(202).at(700).hears(404).at(800).hears(180);
        message.run_until_idle();
        message.reads(
            "
                0 ms  --> MESSAGE                 Trying
              100 ms  <-- 202   user: 202         Completed
              600 ms  <-- 202
              700 ms  <-- 404
              800 ms  <-- 180
             5100 ms                              Terminated
            ",
        );
    }

    /// Figure 6: in Proceeding, timer E comes every T2, and each 1xx goes up.
    #[test]
    fn s17_1_2_2_a_provisional_response_slows_the_repetition() {
        let mut message = Ladder::udp();
        message.at(600).hears(100).at(700).hears(100).at(6000).hears(486);
        message.run_until_idle();
        message.reads(
            "
                0 ms  --> MESSAGE                 Trying
              500 ms  --> MESSAGE
              600 ms  <-- 100   user: 100         Proceeding
              700 ms  <-- 100   user: 100
             1500 ms  --> MESSAGE
             5500 ms  --> MESSAGE
             6000 ms  <-- 486   user: 486         Completed
            11000 ms                              Terminated
            ",
        );
    }

    /// Figure 6: timer F ends Proceeding, too.
    #[test]
    fn s17_1_2_2_a_provisional_response_does_not_stop_timer_f() {
        let mut message = Ladder::tcp();
        message.at(100).hears(100);
        message.run_until_idle();
        message.reads(
            "
                0 ms  --> MESSAGE                 Trying
              100 ms  <-- 100   user: 100         Proceeding
            32000 ms            user: Timeout     Terminated
            ",
        );
    }

    #[test]
    fn s17_1_2_2_nothing_is_repeated_or_absorbed_over_a_reliable_transport() {
        let mut message = Ladder::tcp();
        message.at(9000).hears(200).at(9100).hears(200);
        message.run_until_idle();
        message.reads(
            "
                0 ms  --> MESSAGE                 Trying
             9000 ms  <-- 200   user: 200         Terminated
             9100 ms  <-- 200
            ",
        );
    }

    /// Figure 6: a transport error ends Trying and Proceeding.
    #[test]
    fn s17_1_4_a_transport_error_reaches_the_user() {
        let mut message = Ladder::udp();
        message.at(5).breaks();
        message.run_until_idle();
        message.reads(
            "
                0 ms  --> MESSAGE                    Trying
                5 ms  <-- broken  user: Unreachable  Terminated
            ",
        );

        let mut message = Ladder::tcp();
        message.at(5).hears(100).at(6).breaks();
        message.reads(
            "
                0 ms  --> MESSAGE                    Trying
                5 ms  <-- 100     user: 100          Proceeding
                6 ms  <-- broken  user: Unreachable  Terminated
            ",
        );
    }

    #[test]
    fn s17_1_4_a_transport_error_after_the_answer_is_nobodys_concern() {
        let mut message = Ladder::udp();
        message.at(5).hears(200).at(6).breaks();
        message.reads(
            "
                0 ms  --> MESSAGE                 Trying
                5 ms  <-- 200     user: 200       Completed
                6 ms  <-- broken
            ",
        );
    }

    #[test]
    fn an_input_without_an_arrow_changes_nothing() {
        let mut message = Ladder::udp();
        message.at(5).hears(99).hears(700);
        for timer in [Timer::J, Timer::K, Timer::Trying, Timer::Expiry] {
            assert!(message.machine.fire(ladder::origin(), timer).is_empty());
        }
        assert_eq!(message.machine.state(), ClientState::Trying);
    }

    #[test]
    fn the_request_is_dropped_with_its_answer() {
        let mut message = Ladder::udp();
        message.at(5).hears(200);
        assert!(message.machine.request.is_empty());
        assert!(size_of::<Client>() <= 72, "{}", size_of::<Client>());
    }
}
