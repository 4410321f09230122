//! What all workers share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::accounts::{Jabber, Ordered};
use super::balance::Balance;
use super::owners::Owners;
use super::refusals::Refusals;
use super::registrar::Locations;
use crate::config::Config;
use crate::gateway::ledger::{Held, State};
use crate::gateway::{MessageId, OutgoingStanza};
use crate::modules::xmpp::Gateway;
use crate::net::dns::Resolver;
use crate::net::tcp::Connections;
use crate::script::commons::Commons;
use crate::script::import::Sources;
use crate::script::router::Verdict;
use crate::sip::hex;
use crate::sip::transaction::{BranchMint, KeySeed};
use crate::sip::transport::{Source, Transport};
use crate::store::Store;

/// What one worker sends to another, or the server to all.
pub enum Mail {
    /// A message about a transaction of the addressee.
    Message(Bytes, Source),
    /// A stanza for the worker that has the stream.
    Stanza(Box<Sending>),
    /// What has become of a message, asked of the worker that has the stream.
    Fate(MessageId, oneshot::Sender<Option<State>>),
    /// An order for an account of the addressee's.
    Account(Box<Ordered>),
    /// The script has changed and is sound; the sender is dropped once it runs.
    Script(Arc<Sources>, mpsc::Sender<()>),
    /// Finish what runs; the sender is dropped once that is done.
    Drain(mpsc::Sender<()>),
    /// Close the stream; the sender is dropped once it is closed.
    Close(mpsc::Sender<()>),
}

/// A stanza on its way to the stream, with whom to tell of its fate.
pub struct Sending {
    /// The stanza.
    pub stanza: OutgoingStanza,
    /// The request that it was made from.
    pub request: Bytes,
    /// What success is.
    pub promised: Promised,
}

/// What success is, with the script that waits for it.
pub enum Promised {
    /// The message is kept by this id. Nobody waits when that was said already, and then its room is taken.
    Queued(MessageId, Option<oneshot::Sender<Verdict>>),
    /// The recipient's server has it.
    HandedOver(oneshot::Sender<Verdict>),
    /// The recipient's own device has it.
    Delivered(oneshot::Sender<Verdict>),
}

/// The XMPP side, when `[modules.xmpp]` says how to attach.
pub struct Attached {
    /// The parameters.
    pub gateway: Gateway,
    /// The worker that has the stream.
    pub worker: usize,
}

/// What all workers share.
pub struct Shared {
    /// The configuration.
    pub config: Arc<Config>,
    /// Makes the keys of server transactions.
    pub keys: KeySeed,
    /// Makes and reads our branches.
    pub mint: BranchMint,
    /// Which workers get requests.
    pub balance: Balance,
    /// Who has which server transaction.
    pub owners: Owners,
    /// The way to each worker.
    pub mailboxes: Vec<mpsc::Sender<Mail>>,
    /// SIP over TCP.
    pub connections: Connections,
    /// DNS; without it only numeric addresses are reached.
    pub resolver: Option<Resolver>,
    /// Registered contacts.
    pub locations: Locations,
    /// The XMPP side.
    pub xmpp: Option<Attached>,
    /// Where accepted messages are kept; without it, in memory.
    pub spool: Option<Store>,
    /// How much all workers keep.
    pub held: Arc<Held>,
    /// The accounts of SIP users.
    pub jabber: Option<Jabber>,
    /// Where we listen, ports as they are.
    pub listeners: Vec<(Transport, SocketAddr)>,
    /// No new work is taken.
    pub is_draining: AtomicBool,
    /// What was refused.
    pub refusals: Refusals,
    /// What the workers' modules share.
    pub commons: Commons,
    /// Makes tags.
    pub tags: ahash::RandomState,
    /// Part of every identifier that we make, new at each start.
    pub run: u64,
    /// The number of the next identifier.
    pub serial: AtomicU64,
}

impl Shared {
    /// A word that no other message of ours has, before or after a restart.
    pub fn unique_id(&self) -> String {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let random = hex::digits(self.tags.hash_one((self.run, serial)));
        let serial = hex::digits(serial);
        [hex::text(&random), hex::text(&serial).trim_start_matches('0')].concat()
    }

    /// Does this worker have the component's stream?
    pub(super) fn has_stream(&self, worker: u16) -> bool {
        self.xmpp.as_ref().is_some_and(|xmpp| xmpp.worker == usize::from(worker))
    }

    /// No new work is taken.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Is this host, with this port or none, ours? A domain of ours counts with any port.
    pub fn is_myself(&self, host: &str, port: Option<u16>) -> bool {
        if self.config.sip.domains.iter().any(|domain| domain.eq_ignore_ascii_case(host)) {
            return true;
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let Ok(ip) = bare.parse::<std::net::IpAddr>() else { return false };
        self.listeners.iter().any(|(transport, local)| {
            let port = port.unwrap_or(transport.default_port());
            local.port() == port && (local.ip() == ip || local.ip().is_unspecified())
        })
    }
}
