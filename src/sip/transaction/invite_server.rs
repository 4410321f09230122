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
