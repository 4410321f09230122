//! Transactions (RFC 3261 §17) as machines without IO: what happened goes in with the time,
//! and what must be done comes out.

mod client;
mod key;
#[cfg(test)]
pub(crate) mod ladder;
mod server;
mod table;
mod timer;
mod wheel;

use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

pub use client::{Client, ClientInput, ClientState};
pub use key::{Branch, BranchMint, KeyHasher, KeySeed, Rfc2543, ServerKey};
pub use server::{Refused, Server, ServerInput, ServerState};
pub use table::{Fired, Full, Owner, Step, Table};
pub use timer::{Timer, Timings};
pub use wheel::{TimerId, Wheel};

/// What a transaction asks for after one step, in the order in which it must be done.
pub type Outputs = SmallVec<[Output; 4]>;

/// One thing that a transaction asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Pass these bytes to the transport.
    Send(Bytes),
    /// Call the timer back at that instant. Replaces the same timer if it runs.
    SetTimer(Timer, Instant),
    /// Stop the timer. One that still fires does no harm, it has no arrow.
    CancelTimer(Timer),
    /// Tell the transaction user.
    ToUser(Event),
    /// Destroy the transaction with all its timers; it takes no further step.
    Terminated,
}

/// What a transaction tells its user (the TU of RFC 3261 §17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A response arrived that the user has to see.
    Response(u16),
    /// The client never answered by anything final: timer B or F fired.
    Timeout,
    /// The transport could not deliver what was sent.
    Unreachable,
    /// The user has to answer 100 now, if it has no better answer (RFC 4320 §4.1).
    TryingDue,
    /// Nobody waits for the user's answer any longer, so none may be sent (RFC 4320 §4.2).
    Expired,
}
