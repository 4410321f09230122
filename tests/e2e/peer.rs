//! The XMPP servers that the gateway is tried with, each started in a folder of its own.

mod ejabberd;
mod jabberd2;
mod prosody;

use std::path::Path;

use tempfile::TempDir;

use crate::port;
use crate::process::Process;

/// The domain of the server's own users.
pub(crate) const DOMAIN: &str = "xmpp.example";
/// The domain of the component.
pub(crate) const COMPONENT: &str = "sip.example";
/// The component's secret and every account's password.
pub(crate) const SECRET: &str = "secret";
/// The accounts.
pub(crate) const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// The servers that can play every scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    Prosody,
    Ejabberd,
    Jabberd2,
}

/// A running server, stopped when dropped.
pub(crate) struct XmppServer {
    /// Where clients connect.
    pub(crate) client_port: u16,
    /// Where components connect.
    pub(crate) component_port: u16,
    /// Where clients connect with TLS from the first byte, when there is a certificate.
    pub(crate) direct_port: u16,
    /// The server's certificate and its key, PEM; without one there is no TLS.
    certificate: Option<String>,
    /// With a certificate, TLS must be.
    needs_tls: bool,
    /// Logins are bound to TLS, and whether to the connection that there is.
    binds: Option<bool>,
    /// Messages for who is not there are kept.
    keeps: bool,
    processes: Vec<Process>,
    folder: TempDir,
}

/// Plays a scenario, a function of the peer, with each server: `scenario::prosody` and so on.
macro_rules! each_peer {
    ($scenario:ident) => {
        mod $scenario {
            use crate::peer::Peer;

            #[test]
            fn prosody() {
                super::$scenario(Peer::Prosody);
            }

            #[test]
            fn ejabberd() {
                super::$scenario(Peer::Ejabberd);
            }

            #[test]
            fn jabberd2() {
                super::$scenario(Peer::Jabberd2);
            }
        }
    };
}
pub(crate) use each_peer;

impl Peer {
    /// Starts the server and waits until clients and components can connect.
    pub(crate) fn start(self) -> XmppServer {
        self.start_with(None, false)
    }

    /// Starts a Prosody that wants TLS and shows this certificate.
    pub(crate) fn start_secure(certificate: String) -> XmppServer {
        Self::Prosody.start_with(Some(certificate), false)
    }

    /// Starts a Prosody that has TLS for those who want it.
    pub(crate) fn start_with_tls(certificate: String) -> XmppServer {
        let mut server = Self::Prosody.not_started(Some(certificate));
        server.needs_tls = false;
        server.start(Self::Prosody);
        server
    }

    /// Starts a Prosody that wants TLS, and binds logins to its connection, or to another one.
    pub(crate) fn start_binding(certificate: String, knows_the_connection: bool) -> XmppServer {
        let mut server = Self::Prosody.not_started(Some(certificate));
        server.binds = Some(knows_the_connection);
        server.start(Self::Prosody);
        server
    }

    /// Starts a Prosody that keeps messages for who is not there.
    pub(crate) fn start_keeping() -> XmppServer {
        Self::Prosody.start_with(None, true)
    }

    fn start_with(self, certificate: Option<String>, keeps: bool) -> XmppServer {
        let mut server = self.not_started(certificate);
        server.keeps = keeps;
        server.start(self);
        server
    }

    fn not_started(self, certificate: Option<String>) -> XmppServer {
        XmppServer {
            client_port: port::free(),
            component_port: port::free(),
            direct_port: port::free(),
            certificate,
            needs_tls: true,
            binds: None,
            keeps: false,
            processes: Vec::new(),
            folder: TempDir::with_prefix("sipjab-peer-").unwrap(),
        }
    }
}

impl XmppServer {
    /// Starts the server again on the ports and data that it had.
    pub(crate) fn start(&mut self, peer: Peer) {
        self.processes = match peer {
            Peer::Prosody => vec![prosody::start(self)],
            Peer::Ejabberd => vec![ejabberd::start(self)],
            Peer::Jabberd2 => jabberd2::start(self),
        };
    }

    /// Makes an account with the password of all; Prosody alone can.
    pub(crate) fn add_account(&self, user: &str) {
        prosody::add_account(self, user, SECRET);
    }

    /// The first line with `words` in it that the server says, waited for.
    pub(crate) fn wait_for(&self, words: &str) -> String {
        self.processes.first().expect("the server runs").wait_for(words)
    }

    /// Kills the server; its ports and data stay reserved.
    pub(crate) fn stop(&mut self) {
        self.processes.clear();
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Fills in a configuration: `@FOLDER@`, `@CLIENT_PORT@` and the other words between `@`.
    fn fill(&self, template: &str) -> String {
        template
            .replace("@FOLDER@", self.folder().to_str().expect("temporary folders are ASCII"))
            .replace("@CLIENT_PORT@", &self.client_port.to_string())
            .replace("@COMPONENT_PORT@", &self.component_port.to_string())
            .replace("@DOMAIN@", DOMAIN)
            .replace("@COMPONENT@", COMPONENT)
            .replace("@SECRET@", SECRET)
    }
}
