//! The INVITE client transaction (RFC 3261 §17.1.1, figure 5 as RFC 6026 §8.4 redraws it), with timer C and
//! the rules for CANCEL.

use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::smallvec;

use super::{Event, Output, Outputs, Timer, Timings, ack_of, cancel_of};
use crate::sip::Message;

/// Where an [`InviteClient`] stands in figure 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteClientState {
    /// The request is on its way; nothing came back.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A 2xx came; its copies and those of other forks go up, too (RFC 6026 §7.2).
    Accepted,
    /// Another final response came; each copy is acknowledged.
    Completed,
    /// Over.
    Terminated,
}

/// What can happen to an [`InviteClient`].
#[derive(Clone, Copy, Debug)]
pub enum InviteClientInput<'a> {
    /// A response arrived and matched (RFC 3261 §17.1.3); its status stands in front.
    Response(u16, &'a Message),
    /// The user wants no answer any longer (RFC 3261 §9.1).
    Cancel,
    /// A timer that the transaction had set fired.
    Timer(Timer),
    /// The transport failed to send the request or the ACK (RFC 3261 §17.1.4).
    TransportError,
}

/// How long an INVITE waits for its responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the first of all, timer B; 64·T1 by RFC 3261 §17.1.1.2.
    pub first: Duration,
    /// For a final one after a provisional one, timer C; each but 100 makes it start again (RFC 3261 §16.7 step 2).
    pub last: Duration,
}

/// How far a CANCEL has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancelling {
    /// Nobody asked for one.
    No,
    /// It waits for a provisional response, before which it may not be sent.
    Waiting,
    /// It was sent.
    Sent,
}

/// One INVITE on its way to one target, until nothing more can come back.
#[derive(Debug)]
pub struct InviteClient {
    /// The request as it is sent, and in Completed its ACK; empty when neither is needed.
    message: Bytes,
    /// What timer A was last set to.
    interval: Duration,
    /// What timer C is set to.
    last: Duration,
    timings: Timings,
    state: InviteClientState,
    cancelling: Cancelling,
    is_reliable: bool,
}

impl InviteClient {
    /// Starts the transaction: sends `request` and sets its timers.
    ///
    /// Over a reliable transport nothing is repeated and nothing must be absorbed.
    pub fn new(
        now: Instant,
        request: Bytes,
        is_reliable: bool,
        timings: Timings,
        patience: Patience,
    ) -> (Self, Outputs) {
        let mut out: Outputs = smallvec![
            Output::Send(request.clone()),
            Output::SetTimer(Timer::B, now + patience.first),
        ];
        if !is_reliable {
            out.push(Output::SetTimer(Timer::A, now + timings.t1()));
        }
        let client = Self {
            message: request,
            interval: timings.t1(),
            last: patience.last,
            timings,
            state: InviteClientState::Calling,
            cancelling: Cancelling::No,
            is_reliable,
        };
        (client, out)
    }

    /// Where the transaction stands.
    pub fn state(&self) -> InviteClientState {
        self.state
    }

    /// Takes one arrow of the figure. An input with no arrow changes nothing.
    pub fn handle(&mut self, now: Instant, input: InviteClientInput<'_>) -> Outputs {
        use InviteClientInput::{Cancel, Response, TransportError};
        use InviteClientState::*;
        match (self.state, input) {
            (Calling, InviteClientInput::Timer(Timer::A)) => self.retransmit(now),
            (Calling | Proceeding, InviteClientInput::Timer(Timer::B)) => {
                self.give_up(Event::Timeout)
            }
            (Proceeding, InviteClientInput::Timer(Timer::C)) => {
                let mut out = self.cancel(now);
                out.push(Output::ToUser(Event::Overdue));
                out
            }

            (Calling, Response(code @ 100..=199, _)) => self.proceed(now, code),
            (Proceeding, Response(code @ 100..=199, _)) => self.hear_again(now, code),
            (Calling | Proceeding, Response(code @ 200..=299, _)) => self.accept(now, code),
            (Calling | Proceeding, Response(code @ 300..=699, response)) => {
                self.complete(now, code, response)
            }

            (Calling, Cancel) => {
                self.cancelling = Cancelling::Waiting;
                Outputs::new()
            }
            (Proceeding, Cancel) if self.cancelling != Cancelling::Sent => self.cancel(now),

            (Accepted, Response(code @ 200..=299, _)) => {
                smallvec![Output::ToUser(Event::Response(code))]
            }
            (Accepted, InviteClientInput::Timer(Timer::M)) => self.end(),

            (Completed, Response(300..=699, _)) => self.acknowledge().into_iter().collect(),
            (Completed, InviteClientInput::Timer(Timer::D)) => self.end(),

            (Calling | Completed, TransportError) => self.give_up(Event::Unreachable),
            _ => Outputs::new(),
        }
    }

    /// RFC 3261 §17.1.1.2: the interval doubles without a limit but timer B.
    fn retransmit(&mut self, now: Instant) -> Outputs {
        self.interval *= 2;
        smallvec![
            Output::Send(self.message.clone()),
            Output::SetTimer(Timer::A, now + self.interval),
        ]
    }

    fn proceed(&mut self, now: Instant, code: u16) -> Outputs {
        let mut out: Outputs = smallvec![Output::ToUser(Event::Response(code))];
        out.extend(self.running().iter().copied().map(Output::CancelTimer));
        self.state = InviteClientState::Proceeding;
        match self.cancelling {
            Cancelling::Waiting => out.extend(self.cancel(now)),
            _ => out.push(Output::SetTimer(Timer::C, now + self.last)),
        }
        out
    }

    /// RFC 3261 §16.7 step 2: timer C starts again with each provisional response but 100.
    fn hear_again(&mut self, now: Instant, code: u16) -> Outputs {
        let mut out: Outputs = smallvec![Output::ToUser(Event::Response(code))];
        if code != 100 && self.cancelling == Cancelling::No {
            out.push(Output::SetTimer(Timer::C, now + self.last));
        }
        out
    }

    /// RFC 3261 §9.1: a cancelled INVITE without a final response is over after 64·T1.
    fn cancel(&mut self, now: Instant) -> Outputs {
        self.cancelling = Cancelling::Sent;
        let mut out: Outputs = smallvec![
            Output::CancelTimer(Timer::C),
            Output::SetTimer(Timer::B, now + self.timings.patience()),
        ];
        // A request that was answered is a message, so it has its CANCEL.
        let request = Message::parse(self.message.clone()).ok();
        let cancel = request.and_then(|request| cancel_of(&request).ok());
        out.extend(cancel.map(Output::Cancel));
        out
    }

    fn accept(&mut self, now: Instant, code: u16) -> Outputs {
        let mut out: Outputs = smallvec![
            Output::ToUser(Event::Response(code)),
            Output::SetTimer(Timer::M, now + self.timings.patience()),
        ];
        out.extend(self.running().iter().copied().map(Output::CancelTimer));
        self.state = InviteClientState::Accepted;
        self.message = Bytes::new();
        out
    }

    /// Timer D is zero over reliable transports, so there the transaction ends at once.
    fn complete(&mut self, now: Instant, code: u16, response: &Message) -> Outputs {
        // A request that was answered is a message, so it has its ACK.
        let request = Message::parse(std::mem::take(&mut self.message)).ok();
        let ack = request.and_then(|request| ack_of(&request, response).ok());
        self.message = ack.unwrap_or_default();
        let mut out: Outputs = self.acknowledge().into_iter().collect();
        out.push(Output::ToUser(Event::Response(code)));
        if self.is_reliable {
            self.state = InviteClientState::Terminated;
            out.push(Output::Terminated);
            return out;
        }
        out.extend(self.running().iter().copied().map(Output::CancelTimer));
        out.push(Output::SetTimer(Timer::D, now + self.timings.absorption()));
        self.state = InviteClientState::Completed;
        out
    }

    fn acknowledge(&self) -> Option<Output> {
        (!self.message.is_empty()).then(|| Output::Send(self.message.clone()))
    }

    /// The timers that wait for a final response.
    fn running(&self) -> &'static [Timer] {
        match (self.state, self.cancelling) {
            (InviteClientState::Calling, _) if self.is_reliable => &[Timer::B],
            (InviteClientState::Calling, _) => &[Timer::A, Timer::B],
            (_, Cancelling::Sent) => &[Timer::B],
            _ => &[Timer::C],
        }
    }

    fn give_up(&mut self, why: Event) -> Outputs {
        self.state = InviteClientState::Terminated;
        smallvec![Output::ToUser(why), Output::Terminated]
    }

    fn end(&mut self) -> Outputs {
        self.state = InviteClientState::Terminated;
        smallvec![Output::Terminated]
    }
}
#[cfg(test)]
mod tests;
