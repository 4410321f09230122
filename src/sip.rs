//! SIP without IO: bytes, events and the time go in; bytes and things to do come out.

pub mod transaction;
