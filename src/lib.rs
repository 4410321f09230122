//! A scriptable SIP routing engine and SIP ⇄ XMPP gateway.

pub mod net;
pub mod gateway;
pub mod sip;
pub mod xmpp;
pub mod cli;
pub mod config;
pub mod diagnostic;
pub mod modules;
pub mod script;
pub mod server;
