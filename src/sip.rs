//! SIP without IO: bytes, events and the time go in; bytes and things to do come out.

pub mod dead_list;
pub mod target;
pub mod transaction;
pub mod transport;
