//! The driver: cores, script and sockets together. Read `receive.rs` first.

mod bridge;
mod drain;
mod owners;
mod receive;
mod record_route;
mod refusals;
mod registrar;
mod relay;
mod rest;
mod router;
mod shared;
mod transactions;
mod worker;

pub use owners::Owners;
pub use refusals::Refusals;
pub use rest::before_waiting;
pub use shared::{Attached, Mail, Shared};
pub use worker::{Script, Worker};
