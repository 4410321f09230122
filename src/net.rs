//! Every socket: what reads from the network and writes to it.

pub mod dns;
