//! The Jabber accounts of SIP users: which worker has which, how many there may be, and whether they still may.

use std::cell::RefCell;
use std::path::Path;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::AHashMap;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::account::Login;
use super::bridge::Waiter;
use super::shared::Mail;
use super::spool::tell;
use super::worker::Worker;
use crate::clock;
use crate::gateway::{AccountSettings, Mapping, Order, Text, Wish};
use crate::modules::jabber::{Config, Reply, TlsName};
use crate::net::tls::{TlsError, for_xmpp};
use crate::net::xmpp::client::ClientLink;
use crate::script::router::{AccountOrder, Promise, Verdict, Waiting};
use crate::store::Store;
use crate::store::users::{User, Users};
use crate::xmpp::stream::client::{ClientConfig, Security};

/// Accounts that log in at the same time. More would only wait for each other, and a server for none of them.
const LOGINS: usize = 100;

/// Accounts that are looked at in one go.
const AT_ONCE: usize = 100;

/// What all accounts share.
pub struct Jabber {
    /// The parameters.
    pub config: Config,
    pub(super) settings: Arc<AccountSettings>,
    pub(super) mapping: Mapping,
    pub(super) users: Users,
    tls: Arc<rustls::ClientConfig>,
    /// Turns to log in.
    pub(super) logins: Arc<Semaphore>,
    /// The most accounts that may be open.
    capacity: usize,
    /// Accounts that are open, or have just been refused.
    open: AtomicUsize,
}

impl Jabber {
    /// The accounts in `store`; files are looked for in `base_dir`.
    pub fn new(config: Config, store: Store, base_dir: &Path) -> Result<Self, TlsError> {
        let ca = config.ca.as_ref().map(|file| base_dir.join(file));
        Ok(Self {
            settings: Arc::new(config.settings()),
            mapping: config.mapping(),
            users: Users::new(store, config.seal().map(Arc::new)),
            tls: for_xmpp(ca.as_deref(), config.verify_server)?,
            logins: Arc::new(Semaphore::new(LOGINS)),
            capacity: config.capacity(),
            open: AtomicUsize::new(0),
            config,
        })
    }

    /// The same where the process may open no more than so many files. A quarter is left to all else.
    pub fn within(mut self, files: u64) -> Self {
        let room = usize::try_from(files / 4 * 3).unwrap_or(usize::MAX);
        if room < self.capacity {
            tracing::warn!(
                files,
                accounts = room,
                wanted = self.capacity,
                "the limit of open files allows fewer accounts than `workers` × `max_jobs`"
            );
            self.capacity = room;
        }
        self
    }

    /// The users.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// How the account of a user reaches its server.
    pub fn link(&self, user: &User, password: &str) -> ClientLink {
        let config = &self.config;
        let (username, domain) = config.account(&user.jab_id);
        let mut client = ClientConfig::new(username, domain, password);
        client.resource = Some(config.resource(&user.sip_id));
        client.priority = config.priority;
        client.security = match config.tls() {
            TlsName::Required => Security::Required,
            TlsName::WhereOffered => Security::WhereOffered,
            TlsName::Direct | TlsName::Off => Security::Outside,
        };
        client.legacy_auth = config.legacy_auth;
        client.carbons = config.carbons;
        client.idle = config.ping_interval;
        client.ping_timeout = client.ping_timeout.min(config.ping_interval);
        client.keeps = true;
        client.settles_late = config.reply() == Reply::Queued;
        ClientLink {
            host: config.jaddress.clone(),
            port: config.jport,
            srv: config.srv,
            tls: self.tls.clone(),
            is_direct: config.tls() == TlsName::Direct,
            client: Arc::new(client),
        }
    }

    fn take_place(&self) -> bool {
        let has_room = |open| (open < self.capacity).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room).is_ok()
    }

    pub(super) fn leave_place(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An order on its way to the worker that has the account, with whom to tell.
pub struct Ordered {
    order: AccountOrder,
    waiter: oneshot::Sender<Verdict>,
}

/// The accounts of one worker.
pub(crate) struct Accounts {
    worker: Weak<Worker>,
    logins: RefCell<AHashMap<String, Rc<Login>>>,
    sleep_time: std::time::Duration,
}

impl Accounts {
    pub(super) fn new(worker: Weak<Worker>, jabber: &Jabber) -> Rc<Self> {
        let sleep_time = jabber.config.sleep_time;
        Rc::new(Self { worker, logins: RefCell::default(), sleep_time })
    }

    /// No order is open.
    pub(super) fn is_idle(&self) -> bool {
        self.logins.borrow().values().all(|login| login.is_idle())
    }

    /// Takes an order; who does not wait for its fate hears now whether it was taken.
    pub(super) fn take(&self, ordered: Ordered) {
        let Some(worker) = self.worker.upgrade() else { return };
        let Some(jabber) = &worker.shared.jabber else { return };
        let Ordered { order, waiter } = ordered;
        let say = |waiter: oneshot::Sender<Verdict>, text: Text| {
            let (status, words) = text.status();
            tell(Some(waiter), Verdict::new(status, words));
        };
        let needs_stream = matches!(order.wish, Wish::Offline | Wish::Exit { .. });
        let known = self.login(&order.sip_id).filter(|login| login.is_on() || !needs_stream);
        let login = match known {
            Some(login) => login,
            None if needs_stream => return say(waiter, Text::InfDisconnected),
            None => match self.new_login(&worker, jabber, &order.sip_id) {
                Some(login) => login,
                None => return say(waiter, Text::ErrJgwFull),
            },
        };
        if !needs_stream {
            login.stay_online();
        }
        let (now, patience) = (clock::now(), worker.shared.config.script.deadline * 9 / 10);
        let (waiter, patience) = match (order.promise, &order.message, &worker.bridge) {
            (Promise::Queued, Some(_), Some(bridge)) => {
                login.open();
                return bridge.spool_written(order, waiter);
            }
            (Promise::Queued, ..) => {
                tell(Some(waiter), Verdict::new(202, "Accepted"));
                (Waiter::Nobody, jabber.config.delay_time)
            }
            (promise, Some(message), Some(bridge)) if message.asks_receipt => {
                match bridge.expect_of_order(&order, message, promise, (waiter, patience)) {
                    Some(waiter) => (waiter, patience),
                    None => return,
                }
            }
            (Promise::HandedOver | Promise::Delivered, ..) => (Waiter::Script(waiter), patience),
        };
        let AccountOrder { wish, address, message, .. } = order;
        let waiter = match (&message, &worker.bridge) {
            (Some(message), Some(bridge)) => {
                bridge.remember_order(&wish, message);
                login.expect(&message.id, waiter)
            }
            _ => waiter,
        };
        login.handle_order(now, Order { wish, address, deadline: now + patience, waiter });
    }

    /// A new account, unless there is no place for it.
    fn new_login(&self, worker: &Rc<Worker>, jabber: &Jabber, sip_id: &str) -> Option<Rc<Login>> {
        if worker.shared.is_draining() || !jabber.take_place() {
            return None;
        }
        let login = Login::new(sip_id, self.worker.clone(), worker.shared.clone());
        self.logins.borrow_mut().insert(sip_id.to_owned(), login.clone());
        Some(login)
    }

    /// An account that is open, or was a moment ago.
    pub(super) fn login(&self, sip_id: &str) -> Option<Rc<Login>> {
        self.logins.borrow().get(sip_id).cloned()
    }

    /// An account whose stream takes stanzas.
    pub(super) fn ready(&self, sip_id: &str) -> Option<Rc<Login>> {
        self.login(sip_id).filter(|login| login.is_ready())
    }

    /// Opens an account for messages that wait for it; when there is no place they wait on.
    pub(super) fn open(&self, sip_id: &str) {
        let Some(worker) = self.worker.upgrade() else { return };
        let Some(jabber) = &worker.shared.jabber else { return };
        if let Some(login) = self.login(sip_id).or_else(|| self.new_login(&worker, jabber, sip_id))
        {
            login.open();
        }
    }

    /// Forgets an account that is over.
    pub(super) fn forget(&self, sip_id: &str) {
        let is_over = self.logins.borrow().get(sip_id).is_some_and(|login| login.is_over());
        if is_over && self.logins.borrow_mut().remove(sip_id).is_some() {
            let worker = self.worker.upgrade();
            if let Some(jabber) = worker.as_ref().and_then(|worker| worker.shared.jabber.as_ref()) {
                jabber.leave_place();
            }
        }
    }

    /// Looks again and again whether accounts that are online still may be, and whether others must.
    pub(super) async fn look_at_rows(self: Rc<Self>) {
        let mut is_away = false;
        loop {
            let Some(worker) = self.worker.upgrade() else { return };
            let Some(jabber) = &worker.shared.jabber else { return };
            if jabber.config.always_online && !worker.shared.is_draining() {
                self.bring_online(&worker, jabber).await;
            }
            tokio::time::sleep(self.sleep_time).await;
            if let Some(bridge) = &worker.bridge {
                bridge.open_streams();
            }
            let all: Vec<_> = self.logins.borrow().values().cloned().collect();
            for some in all.chunks(AT_ONCE) {
                is_away = self.look_at(jabber, some, is_away).await;
            }
        }
    }

    /// Closes the streams of those who have no row any more; is the store away?
    async fn look_at(&self, jabber: &Jabber, logins: &[Rc<Login>], was_away: bool) -> bool {
        let open: Vec<_> = logins.iter().filter(|login| login.is_on()).collect();
        let ids: Vec<_> = open.iter().map(|login| login.sip_id().to_owned()).collect();
        let rows = jabber.users.find_all(&ids).await;
        match &rows {
            Ok(rows) => {
                let may = |login: &Login| rows.get(login.sip_id()).is_some_and(|it| it.is_enabled);
                let lost = open.into_iter().filter(|login| !may(login));
                lost.for_each(|login| login.refuse(Text::InfDisconnected));
            }
            // A store that is away takes nobody's account.
            Err(error) if !was_away => tracing::warn!(%error, "accounts are not looked at"),
            Err(_) => {}
        }
        for login in logins {
            login.look_again();
            self.forget(login.sip_id());
        }
        rows.is_err()
    }

    /// Opens the accounts of ours that are not open.
    async fn bring_online(&self, worker: &Worker, jabber: &Jabber) {
        let mut last = i64::MIN;
        // A store that is away is asked again.
        while let Ok(users) = jabber.users.list_after(last).await
            && let Some(user) = users.last()
        {
            last = user.juid;
            self.bring_these_online(worker, users);
        }
    }

    fn bring_these_online(&self, worker: &Worker, users: Vec<User>) {
        for user in users.into_iter().filter(|user| user.is_enabled) {
            let is_known = self.logins.borrow().contains_key(&user.sip_id);
            if worker.owner_of(&user.sip_id) == worker.id && !is_known {
                let (wish, address) = (Wish::Online, String::new());
                let (promise, message) = (Promise::Queued, None);
                let order = AccountOrder { sip_id: user.sip_id, wish, address, promise, message };
                let (waiter, _) = oneshot::channel();
                self.take(Ordered { order, waiter });
            }
        }
    }

    /// Closes every stream in order; drops `done` once that is done.
    pub(super) fn close(&self, done: &mpsc::Sender<()>) {
        for login in self.logins.borrow().values() {
            login.close(done.clone());
        }
    }
}

impl Worker {
    /// The worker that has the account of a SIP user.
    pub(super) fn owner_of(&self, sip_id: &str) -> u16 {
        (self.shared.tags.hash_one(sip_id) % self.shared.mailboxes.len() as u64) as u16
    }

    /// Brings an order to the worker that has the account.
    pub(super) fn give_order(&self, order: AccountOrder) -> Waiting<Verdict> {
        let (waiter, verdict) = oneshot::channel();
        let owner = self.owner_of(&order.sip_id);
        let ordered = Ordered { order, waiter };
        match &self.accounts {
            Some(accounts) if owner == self.id => accounts.take(ordered),
            Some(_) => self.pass_on(owner, Mail::Account(Box::new(ordered))),
            None => {}
        }
        Box::pin(async {
            // A full mailbox drops what it does not take.
            verdict.await.unwrap_or_else(|_| Verdict::new(503, "The Gateway Is Full"))
        })
    }
}
