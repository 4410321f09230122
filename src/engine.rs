//! The driver: cores, script and sockets together. Read `receive.rs` first.

mod account;
mod account_home;
mod accounts;
mod balance;
mod bridge;
mod cancel;
mod delivery;
mod drain;
mod forwarding;
mod kept;
mod location_store;
mod own_addresses;
mod owners;
mod receipts;
mod receive;
mod record_route;
mod refusals;
mod registrar;
mod relay;
mod rest;
mod router;
mod shared;
mod spool;
mod stateless;
mod transactions;
mod upstream;
mod worker;

pub use accounts::Jabber;
pub use balance::Balance;
pub use owners::Owners;
pub use refusals::Refusals;
pub use registrar::Locations;
pub use rest::{after_waiting, before_waiting};
pub use shared::{Attached, Mail, Shared};
pub use spool::{SPOOL, Told};
pub use worker::{Script, Worker};
