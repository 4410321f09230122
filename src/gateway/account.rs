//! What one account does on its stream: messages both ways, rooms, transports, and when it goes.

mod incoming;
mod parcel;
mod rooms;
mod texts;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;

use self::rooms::Room;
use super::Ser;
use crate::xmpp::{FullJid, Jid, Stanza};

pub use incoming::error_words;
pub use parcel::{Received, Written};
pub use texts::Text;

/// A user who has done nothing for so long is not there, as far as the Jabber server needs to know (XEP-0352).
const QUIET: Duration = Duration::from_secs(60);

/// What the operator has chosen for all accounts.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// How addresses are written.
    pub ser: Ser,
    /// How long an account without traffic stays online; zero for ever.
    pub cache_time: Duration,
    /// How long a message waits for its transport.
    pub delay_time: Duration,
    /// Orders of one account that may wait.
    pub queue: usize,
    /// Rooms that one account may be in.
    pub max_rooms: usize,
    /// Whoever asks to see the account's presence may, as in SER.
    pub approves: bool,
    /// What the account writes from elsewhere goes to its SIP phones, too.
    pub sent_copies: bool,
}

/// What a SIP user wants of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Be online.
    Online,
    /// Be no longer.
    Offline,
    /// Write to a person.
    Send {
        /// Whom.
        to: Jid,
        /// What.
        stanza: Vec<u8>,
    },
    /// Write to a room.
    Say {
        /// The room's bare JID.
        room: Jid,
        /// What is said.
        stanza: Vec<u8>,
    },
    /// Join a room.
    Join {
        /// The room's bare JID.
        room: Jid,
        /// The nickname in it.
        nick: String,
    },
    /// Leave a room.
    Exit {
        /// The room's bare JID.
        room: Jid,
    },
}

/// A wish on its way. `W` is whom to tell.
#[derive(Clone, Debug)]
pub struct Order<W> {
    /// What is wanted.
    pub wish: Wish,
    /// The SIP URI that the user wrote to, from which texts come; empty with `Online` and `Offline`.
    pub address: String,
    /// When it makes no sense any more.
    pub deadline: Instant,
    /// Whom to tell.
    pub waiter: W,
}

/// What must be done.
#[derive(Debug)]
pub enum Action<W> {
    /// Open the stream, and open it again when it breaks.
    Connect,
    /// Close it.
    Disconnect,
    /// Write a stanza; with a token its fate comes back.
    Send(Option<u64>, Vec<u8>),
    /// Tell the server whether the user is there: while he is not, it may keep back what can wait (XEP-0352).
    Active(bool),
    /// An order is fulfilled.
    Done(W),
    /// An order has failed. Who does not wait for it any more gets the text, from the address.
    Failed(W, Text, String),
    /// The user gets a text, from the address; an empty one is the gateway's own.
    Notice(Text, String),
    /// The user gets a message.
    Deliver(Box<Incoming>),
}

/// A message for the SIP user.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The message itself; of a carbon what it holds.
    pub stanza: Stanza,
    /// The SIP URI that it comes from.
    pub from: String,
    /// What stands before its text.
    pub prefix: String,
    /// The sender may hear of a failure.
    pub may_bounce: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Off,
    /// Being opened, or broken and opened again.
    Opening,
    Ready,
}

/// An account. See [`Action`] for what comes out.
#[derive(Debug)]
pub struct Account<W> {
    settings: Arc<AccountSettings>,
    /// The name that the SIP user has in rooms when he says none.
    name: String,
    link: Link,
    jid: Option<FullJid>,
    /// What waits for the stream, a transport or a room, in order.
    waiting: VecDeque<Order<W>>,
    /// What the server has not acknowledged, by token.
    sent: AHashMap<u64, (W, String)>,
    tokens: u64,
    rooms: BTreeMap<Jid, Room<W>>,
    transports: BTreeMap<String, Transport>,
    has_roster: bool,
    expires: Option<Instant>,
    /// When the user, who does something, is there no more.
    quiet_at: Option<Instant>,
    /// What the server knows of that.
    is_active: bool,
    /// Something that is kept elsewhere waits for the stream, so that it is not given up.
    is_awaited: bool,
    /// The user wants to be offline, or has been silent for too long. What he has written before leaves first.
    is_leaving: bool,
    actions: VecDeque<Action<W>>,
}

/// What is known of a transport.
#[derive(Clone, Copy, Debug, Default)]
struct Transport {
    /// It stands in the roster: the user has an account behind it.
    is_known: bool,
    is_ready: bool,
}

impl<W> Account<W> {
    /// An account of a SIP user that is not online; `name` is his nickname unless he says another.
    pub fn new(settings: Arc<AccountSettings>, name: &str) -> Self {
        Self {
            settings,
            name: name.to_owned(),
            link: Link::Off,
            jid: None,
            waiting: VecDeque::new(),
            sent: AHashMap::new(),
            tokens: 0,
            rooms: BTreeMap::new(),
            transports: BTreeMap::new(),
            has_roster: false,
            expires: None,
            quiet_at: None,
            is_active: true,
            is_awaited: false,
            is_leaving: false,
            actions: VecDeque::new(),
        }
    }

    /// The stream is wanted.
    pub fn is_on(&self) -> bool {
        self.link != Link::Off
    }

    /// Stanzas may be sent.
    pub fn is_ready(&self) -> bool {
        self.link == Link::Ready
    }

    /// Nothing is open and nothing is to be told.
    pub fn is_over(&self) -> bool {
        !self.is_on() && self.is_idle()
    }

    /// No order is open and nothing is to be told.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty() && self.actions.is_empty()
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action<W>> {
        if self.actions.is_empty() {
            // Most accounts have nothing to do for most of their time, and keep no room for it.
            self.actions = VecDeque::new();
        }
        self.actions.pop_front()
    }

    /// Takes an order.
    pub fn handle_order(&mut self, now: Instant, order: Order<W>) {
        self.stay(now);
        // A phone registers again and again without its user.
        if !matches!(order.wish, Wish::Online | Wish::Offline) {
            self.quiet_at = Some(now + QUIET);
            self.tell_activity();
        }
        match &order.wish {
            Wish::Offline if self.is_on() => {
                self.is_leaving = true;
                self.actions.push_back(Action::Done(order.waiter));
            }
            Wish::Exit { room } if self.is_on() => {
                let room = room.clone();
                self.exit(&room, order);
            }
            Wish::Offline | Wish::Exit { .. } => self.fail(order, Text::InfDisconnected),
            _ if self.waiting.len() >= self.settings.queue => self.fail(order, Text::ErrStoreJmsg),
            _ => {
                self.waiting.push_back(order);
                self.connect();
                self.flush(now);
            }
        }
    }

    /// Tells that the stream is ready; a resumed one is as it was.
    pub fn handle_ready(&mut self, now: Instant, jid: FullJid, is_resumed: bool) {
        self.link = Link::Ready;
        self.is_awaited = false;
        self.jid = Some(jid);
        self.stay(now);
        // What each stream begins with, also a resumed one.
        self.is_active = true;
        self.tell_activity();
        if !is_resumed {
            self.has_roster = false;
            self.transports.clear();
            self.rejoin();
        }
        self.flush(now);
    }

    /// Tells that the stream broke, and that another one is tried.
    pub fn handle_broken(&mut self) {
        if self.is_on() {
            self.link = Link::Opening;
        }
    }

    /// Opens the stream, and keeps it open, for what waits elsewhere.
    pub fn open(&mut self, now: Instant) {
        self.stay(now);
        self.is_awaited |= self.link != Link::Ready;
        self.connect();
    }

    /// The user wants to go, and has not gone yet: see [`leave`](Self::leave).
    pub fn is_leaving(&self) -> bool {
        self.is_leaving && self.is_on()
    }

    /// Tells that nothing is kept elsewhere that has still to leave. Who wants to go does now, unless orders of his are
    /// still open here: each of them ends, by its deadline at the latest.
    pub fn leave(&mut self) {
        let is_joining = self.rooms.values().any(|room| room.deadline().is_some());
        let is_done = self.waiting.is_empty() && self.sent.is_empty() && !is_joining;
        if self.is_leaving() && is_done {
            self.go(Some(Text::InfJoffline));
        }
    }

    /// The user wants the stream: if he wanted to go, he does no more.
    pub fn stay_online(&mut self) {
        self.is_leaving = false;
    }

    /// Takes orders back that are not fulfilled yet, to be given anew.
    pub fn withdraw(&mut self, is_meant: impl Fn(&W) -> bool) -> Vec<W> {
        let (withdrawn, kept) =
            std::mem::take(&mut self.waiting).into_iter().partition(|it| is_meant(&it.waiter));
        self.waiting = kept;
        let withdrawn: VecDeque<Order<W>> = withdrawn;
        withdrawn.into_iter().map(|order| order.waiter).collect()
    }

    /// Who is told of a stanza's fate.
    pub fn waiter(&self, token: u64) -> Option<&W> {
        self.sent.get(&token).map(|(waiter, _)| waiter)
    }

    /// Tells that a stanza never left: gives back whom that concerns.
    pub fn handle_unsent(&mut self, token: u64) -> Option<W> {
        self.sent.remove(&token).map(|(waiter, _)| waiter)
    }

    /// Tells that no stream comes about: everything that waits fails, once with this text. `is_told` says that the user
    /// hears it anyway.
    pub fn handle_refused(&mut self, text: Text, is_told: bool) {
        if !self.is_on() {
            return;
        }
        let had_orders = is_told || !self.waiting.is_empty();
        self.go(None);
        while let Some(order) = self.waiting.pop_front() {
            self.fail(order, text);
        }
        if !had_orders {
            self.actions.push_back(Action::Notice(text, String::new()));
        }
    }

    /// The server has taken a stanza.
    pub fn handle_acked(&mut self, token: u64) {
        if let Some((waiter, _)) = self.sent.remove(&token) {
            self.actions.push_back(Action::Done(waiter));
        }
        if self.sent.is_empty() {
            self.sent.shrink_to_fit();
        }
    }

    /// Nobody knows what became of a stanza.
    pub fn handle_lost(&mut self, token: u64) {
        if let Some((waiter, address)) = self.sent.remove(&token) {
            self.actions.push_back(Action::Failed(waiter, Text::ErrSendJmsg, address));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.iter().map(|order| order.deadline);
        let joining = self.rooms.values().filter_map(Room::deadline);
        let expires = self.expires.filter(|_| self.is_on() && !self.is_awaited);
        waiting.chain(joining).chain(expires).chain(self.quiet_at).min()
    }

    /// Tells that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let mut kept = VecDeque::with_capacity(self.waiting.len());
        while let Some(order) = self.waiting.pop_front() {
            match order.deadline <= now {
                true if self.link != Link::Ready => self.fail(order, Text::ErrNoJsrv),
                true => self.fail(order, Text::ErrSendIm),
                false => kept.push_back(order),
            }
        }
        self.waiting = kept;
        self.expire_rooms(now);
        if self.quiet_at.is_some_and(|at| at <= now) {
            self.quiet_at = None;
            self.tell_activity();
        }
        let is_silent = self.expires.is_some_and(|at| at <= now);
        if self.is_on() && is_silent && !self.is_awaited {
            self.expires = None;
            self.is_leaving = true;
        }
    }

    /// Tells the server whether the user is there, unless it knows.
    fn tell_activity(&mut self) {
        let is_active = self.quiet_at.is_some();
        if self.link == Link::Ready && self.is_active != is_active {
            self.is_active = is_active;
            self.actions.push_back(Action::Active(is_active));
        }
    }

    fn connect(&mut self) {
        if !self.is_on() {
            self.link = Link::Opening;
            self.actions.push_back(Action::Connect);
        }
    }

    /// Closes the stream, and tells the user.
    fn go(&mut self, text: Option<Text>) {
        if self.link == Link::Ready {
            let rooms: Vec<_> = self.rooms.values().map(|room| room.leaving()).collect();
            rooms.into_iter().for_each(|bytes| self.write(bytes));
            self.write(b"<presence type='unavailable'/>".to_vec());
        }
        self.link = Link::Off;
        self.expires = None;
        self.is_awaited = false;
        self.is_leaving = false;
        for (_, room) in std::mem::take(&mut self.rooms) {
            if let Some(order) = room.into_order() {
                self.fail(order, Text::ErrJoinJconf);
            }
        }
        self.actions.push_back(Action::Disconnect);
        self.actions.extend(text.map(|text| Action::Notice(text, String::new())));
    }

    /// Puts off the end of an account without traffic.
    fn stay(&mut self, now: Instant) {
        let cache_time = self.settings.cache_time;
        self.expires = (!cache_time.is_zero()).then(|| now + cache_time);
    }

    fn fail(&mut self, order: Order<W>, text: Text) {
        self.actions.push_back(Action::Failed(order.waiter, text, order.address));
    }

    fn write(&mut self, bytes: Vec<u8>) {
        self.actions.push_back(Action::Send(None, bytes));
    }

    /// Fulfils what can be fulfilled now. What waits for a transport or a room lets the others by.
    fn flush(&mut self, now: Instant) {
        if self.link != Link::Ready {
            return;
        }
        let mut kept = VecDeque::new();
        while let Some(order) = self.waiting.pop_front() {
            kept.extend(self.fulfil(now, order));
        }
        self.waiting = kept;
    }

    /// Does what an order wants; gives it back when it must wait.
    fn fulfil(&mut self, now: Instant, order: Order<W>) -> Option<Order<W>> {
        match &order.wish {
            Wish::Online => self.actions.push_back(Action::Done(order.waiter)),
            Wish::Send { to, .. } => match self.readiness(to) {
                Ok(true) => self.send(order),
                Ok(false) => return Some(order),
                Err(text) => self.fail(order, text),
            },
            Wish::Say { room, .. } => match self.rooms.get(room).map(Room::is_joined) {
                Some(true) => self.send(order),
                Some(false) => return Some(order),
                None => self.fail(order, Text::ErrNotJconf),
            },
            Wish::Join { room, nick } => {
                let (room, nick) = (room.clone(), nick.clone());
                self.join(now, room, nick, order);
            }
            Wish::Exit { room } => {
                let room = room.clone();
                self.exit(&room, order);
            }
            Wish::Offline => self.is_leaving = true,
        }
        None
    }

    fn send(&mut self, order: Order<W>) {
        let (Wish::Send { stanza, .. } | Wish::Say { stanza, .. }) = order.wish else { return };
        self.tokens += 1;
        self.sent.insert(self.tokens, (order.waiter, order.address));
        self.actions.push_back(Action::Send(Some(self.tokens), stanza));
    }

    /// Whether a user may be written to now; false while his transport is on its way.
    fn readiness(&self, to: &Jid) -> Result<bool, Text> {
        let domain = to.domain().as_str();
        if !self.settings.ser.is_alias(domain) {
            return Ok(true);
        }
        match self.transports.get(domain).copied().unwrap_or_default() {
            Transport { is_ready: true, .. } => Ok(true),
            Transport { is_known: true, .. } => Ok(false),
            _ if !self.has_roster => Ok(false),
            _ => Err(Text::ErrNoRegim),
        }
    }
}

#[cfg(test)]
mod tests;
