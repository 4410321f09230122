//! Transactions (RFC 3261 §17) as machines without IO: what happened goes in with the time,
//! and what must be done comes out.

mod ack_cancel;
mod client;
mod invite_client;
mod invite_server;
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

pub use ack_cancel::{ack_of, cancel_of};
pub use client::{Client, ClientInput, ClientState};
pub use invite_client::{InviteClient, InviteClientInput, InviteClientState, Patience};
pub use invite_server::{InviteServer, InviteServerState};
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
    /// Send this CANCEL through a client transaction of its own (RFC 3261 §9.1).
    Cancel(Bytes),
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
    /// No final response came: timer B or F fired.
    Timeout,
    /// The INVITE rings for longer than timer C allows, so its CANCEL goes out. A final response may still come,
    /// and [`Timeout`](Self::Timeout) follows when none does.
    Overdue,
    /// The transport could not deliver what was sent.
    Unreachable,
    /// The user has to answer 100 now, if it has no better answer (RFC 3261 §17.2.1, RFC 4320 §4.1).
    TryingDue,
    /// An ACK arrived for a 2xx; it is the user's to pass on (RFC 6026 §7.1).
    Ack,
    /// Nobody acknowledged the rejection of an INVITE: timer H fired.
    Unacknowledged,
    /// Nobody waits for the user's answer any longer, so none may be sent (RFC 4320 §4.2).
    Expired,
}
