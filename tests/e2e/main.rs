//! The program with real XMPP servers, SIPp and bad company, on loopback only.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::disallowed_methods, reason = "real processes are waited for in real time")]

// the cast
mod certificates;
mod component;
mod fake_server;
mod line;
mod load;
mod mariadb;
mod name_server;
mod peer;
mod phone;
mod port;
mod process;
mod secure_agent;
mod sip;
mod sip_agent;
mod sipjab;
mod sipp;
mod spool_cast;
mod subscriber;
mod texts;
mod xml;
mod xmpp_client;

// the plays
mod accounts;
mod auth;
mod bad_dialogs;
mod bad_script;
mod bad_sip;
mod bad_xmpp;
mod baresip;
mod calls;
mod cancel;
mod crowd;
mod default_route;
mod errors;
mod examples;
mod failover;
mod forking;
mod guards;
mod iq;
mod jabber;
mod jabber_crowd;
mod jabber_database;
mod jabber_kept;
mod jabber_users;
mod kept;
mod messages;
mod migrated;
mod migrated_db;
mod migrated_jabber;
mod msilo;
mod nat;
mod peers_alone;
mod receipts;
mod record_route;
mod registrar;
mod relay;
mod reload;
mod restart;
mod rfc3261;
mod secure_calls;
mod shutdown;
mod spool;
mod store;
mod tls;
mod torture;
mod ways;
mod websocket;
mod with_sipp;
