//! A scriptable SIP routing engine and SIP ⇄ XMPP gateway.

pub mod gateway;
pub mod sip;
pub mod xmpp;
