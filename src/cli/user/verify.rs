//! Logs in with accounts to see whether the server lets them.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use crate::config::DnsConfig;
use crate::engine::Jabber;
use crate::net::dns::Resolver;
use crate::net::xmpp::client::{ClientCarried, ClientEnd, carry};
use crate::store::users::User;
use crate::xmpp::{FullJid, Stanza};

/// Logins at the same time, so that the server does not take them for an attack.
const AT_ONCE: usize = 20;

/// How long one login may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which accounts are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Shown {
    All,
    /// Those that fail.
    Failures,
}

/// How many accounts were tried, and how many of them fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Tried {
    pub(in crate::cli) count: usize,
    pub(in crate::cli) failed: usize,
}

/// Tries each account that is enabled, and tells on standard output how it went.
pub(in crate::cli) async fn verify(
    jabber: &Arc<Jabber>,
    dns: &DnsConfig,
    users: Vec<User>,
    shown: Shown,
) -> Tried {
    let resolver = match dns.servers.as_slice() {
        [] => Resolver::from_system(dns.timeout),
        servers => Resolver::with_servers(servers, dns.timeout),
    };
    let resolver = Rc::new(resolver.ok());
    let places = Rc::new(Semaphore::new(AT_ONCE));
    let mut logins = Vec::new();
    for user in users.into_iter().filter(|user| user.is_enabled) {
        let (jabber, resolver, places) = (jabber.clone(), resolver.clone(), places.clone());
        logins.push(tokio::task::spawn_local(async move {
            let _place = places.acquire().await;
            let fault = fault(&jabber, resolver.as_ref().as_ref(), &user).await;
            match &fault {
                None if shown == Shown::All => println!("{} {} fine", user.sip_id, user.jab_id),
                None => {}
                Some(fault) => println!("{} {} {fault}", user.sip_id, user.jab_id),
            }
            fault.is_none()
        }));
    }
    let count = logins.len();
    let mut failed = 0;
    for login in logins {
        failed += usize::from(!login.await.unwrap_or(false));
    }
    Tried { count, failed }
}

/// Why an account cannot log in, if it cannot.
async fn fault(jabber: &Jabber, resolver: Option<&Resolver>, user: &User) -> Option<String> {
    let password = match jabber.users().password(user) {
        Ok(password) => password,
        Err(error) => return Some(error.to_string()),
    };
    let mut link = jabber.link(user, &password);
    // The account may be in use: nothing is taken away from it, and no message comes here.
    let client = Arc::make_mut(&mut link.client);
    client.resource = None;
    client.priority = -1;
    client.carbons = false;
    let (visit, wake, keys) = (Visit::default(), Notify::new(), RefCell::default());
    let closing = pin!(visit.done.notified());
    let carried = carry(&link, resolver, None, &keys, (&visit, &wake), closing);
    let end = timeout(PATIENCE, carried).await;
    match end {
        _ if visit.is_in.get() => None,
        Err(_) => Some("no answer in time".to_owned()),
        Ok((ClientEnd::Refused(refusal), _)) => Some(refusal.to_string()),
        Ok((end, _)) => Some(end.to_string()),
    }
}

/// Comes in and goes again.
#[derive(Default)]
struct Visit {
    is_in: Cell<bool>,
    done: Notify,
}

impl ClientCarried for Visit {
    fn handle_ready(&self, _: FullJid, _: bool) {
        self.is_in.set(true);
        self.done.notify_one();
    }

    fn handle_stanza(&self, _: Stanza) {}

    fn handle_fate(&self, _: u64, _: bool) {}

    fn poll_stanza(&self) -> Option<(Option<u64>, Vec<u8>)> {
        None
    }
}
