//! The program with real XMPP servers, SIPp and bad company, on loopback only.
#![allow(clippy::disallowed_methods, reason = "real processes are waited for in real time")]

mod component;
mod peer;
mod peers_alone;
mod port;
mod process;
mod texts;
mod xml;
mod xmpp_client;
