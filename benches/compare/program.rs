//! What the benchmark must know of a program to compare it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::case::Case;
use crate::error::Error;

/// What a program is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Its speed: it may take all memory that it could need in advance.
    Speed,
    /// Its memory: it takes what it needs when it needs it.
    Memory,
}

/// Where a program runs and whom it talks to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    pub(crate) purpose: Purpose,
    /// An empty folder, for its files.
    pub(crate) folder: &'a Path,
    /// Where it must listen, over UDP.
    pub(crate) listen: SocketAddr,
    /// The XMPP server.
    pub(crate) xmpp: SocketAddr,
    /// Where every MESSAGE from XMPP must go.
    pub(crate) outbound: SocketAddr,
    /// The URL of the database with users and their places, for work that needs one.
    pub(crate) database: Option<&'a str>,
}

/// A program that can do the work.
pub(crate) trait Program {
    /// The name for options and JSON.
    fn name(&self) -> &'static str;

    /// The name and version for the table's head.
    fn title(&self) -> String;

    /// Whether it can do this case at all.
    fn plays(&self, case: &Case) -> bool;

    /// Writes its configuration for `case` and says how it is started, in the foreground.
    fn prepare(&self, case: &Case, site: Site<'_>) -> Result<Command, Error>;

    /// What a reader of its figures must know.
    fn notes(&self) -> String;

    /// The SIP URI that leads to a user at `xmpp.example`.
    fn uri_of_xmpp_user(&self) -> &'static str;

    /// The JID that leads to the SIP user of this name.
    fn jid_of_sip_user(&self, name: &str) -> String;
}
