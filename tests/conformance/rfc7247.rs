//! RFC 7247: architecture, addresses and error handling between SIP and XMPP.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod s6_address_mapping;
mod s7_error_mapping;
