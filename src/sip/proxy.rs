//! What a proxy does to a message, without IO (RFC 3261 §16).

pub mod loose_route;
pub mod maddr;
pub mod record_route;
