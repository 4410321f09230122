//! Every socket: what reads from the network and writes to it.

pub mod dns;
pub mod listen;
mod log_limit;
pub mod tcp;
pub mod tls;
pub mod udp;
pub mod ws;
pub mod xmpp;
