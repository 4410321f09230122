//! A scriptable SIP routing engine and SIP ⇄ XMPP gateway.

pub mod net;
pub mod gateway;
pub mod sip;
pub mod xmpp;
