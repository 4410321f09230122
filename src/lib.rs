//! A scriptable SIP routing engine and SIP ⇄ XMPP gateway.
//!
//! # Layers
//!
//! Each may use those below it and none above; `tests/house.rs` holds the borders.
//!
//! | layer | what it is |
//! |---|---|
//! | [`cli`] | one subcommand, one file |
//! | [`server`] | wires everything together and runs until shutdown |
//! | [`engine`] | the driver: cores, script and sockets together; `receive.rs` is where to begin |
//! | [`script`], [`modules`] | Rhai, and what a route may call |
//! | [`migrate`] | old configurations become route scripts |
//! | [`net`] | every socket |
//! | [`store`] | what outlives the process: SQLite or MySQL |
//! | [`gateway`] | SIP ⇄ XMPP as pure functions over tables and small machines |
//! | [`sip`], [`xmpp`] | the protocols, without IO and without a clock |
//!
//! # The path of one message
//!
//! A MESSAGE comes to a worker's UDP socket ([`net::udp`]). `engine/receive.rs` frames and indexes it
//! ([`sip::Message`]), finds no transaction that knows it, and runs `request_route` ([`script::engine`]) on a stack of its
//! own ([`script::fiber`]). The route calls `xmpp_send_message()` ([`modules::xmpp`]), which makes a stanza of it
//! ([`gateway::stanza_from_message`]) and waits: the script is parked and the worker takes the next message.
//! `engine/bridge.rs` queues the stanza ([`gateway::Handover`]), and the stream ([`net::xmpp`],
//! [`xmpp::stream`]) writes what is queued in one piece, with a ping behind it. When the server answers the ping, it has
//! taken the stanza; the script goes on and replies 200 through its transaction ([`sip::transaction`]).
//!
//! With `reply = "queued"` the script goes on as soon as the message is on disk: [`gateway::Ledger`] says what happens to it
//! from then on, and `engine/spool.rs` does that.
//!
//! The other way a stanza becomes a MESSAGE ([`gateway::message_from_stanza`]), the spool keeps it, `xmpp_message_route` runs, and
//! `engine/relay.rs` sends it through a client transaction. Its final response, when it is a failure, becomes
//! an error stanza to the sender.
//!
//! # Where to change what
//!
//! What a script may call: `modules/`. How an address or an error is mapped: [`gateway`]. What a message may look like:
//! [`sip`]. When something is sent again: [`sip::transaction`]. Which settings there are: [`config`] and each
//! module's `Config`.

pub mod cli;
pub mod clock;
pub mod config;
pub mod diagnostic;
pub mod engine;
pub mod gateway;
pub mod migrate;
pub mod modules;
pub mod net;
pub mod script;
pub mod server;
pub mod sip;
pub mod store;
pub mod xmpp;
