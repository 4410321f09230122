//! A scriptable SIP routing engine and SIP ⇄ XMPP gateway.

pub mod config;
pub mod diagnostic;
pub mod script;
