//! A scriptable SIP routing engine and SIP ⇄ XMPP gateway.

pub mod cli;
pub mod clock;
pub mod config;
pub mod diagnostic;
pub mod gateway;
pub mod modules;
pub mod net;
pub mod script;
pub mod server;
pub mod sip;
pub mod xmpp;
