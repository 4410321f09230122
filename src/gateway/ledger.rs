//! The life of messages that were accepted for delivery: `accepted → sending → handed over → delivered | failed | expired`.
//!
//! A [`Ledger`] says which message may begin next, when it is tried again and when its time is over, and knows what
//! became of those before. It keeps the order per recipient, bounds what waits, and takes no message twice. Whoever
//! drives it stores each step before the next one is taken.

mod held;
mod id;
mod lane;
mod state;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::{AHashMap, AHashSet};

pub use held::Held;
pub use id::MessageId;
use lane::{Lane, Way};
pub use state::{Outcome, Side, State};

/// How often and how long a message is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Attempts that a recipient gets who is out of reach.
    pub attempts: u32,
    /// The wait after the first attempt, doubled by each further one.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// A message that may have arrived or not is sent once more; else it counts as failed.
    pub repeats_uncertain: bool,
    /// How long the fate of a message is remembered.
    pub keep: Duration,
}

/// What may be in a ledger at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Messages whose fate is open, and as many whose fate is remembered.
    pub messages: usize,
    /// Bytes of those whose fate is open.
    pub bytes: usize,
    /// Messages on their way to XMPP whose hand-over is awaited, on one stream.
    pub xmpp_window: usize,
    /// Messages on their way to SIP; one to each recipient (RFC 3428 §8).
    pub sip_window: usize,
}

/// A message to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// What it is known by; the same for a second copy of it.
    pub id: MessageId,
    /// Where it goes.
    pub side: Side,
    /// Whose messages keep their order among each other.
    pub lane: Arc<str>,
    /// When it is of no use any more.
    pub expires: Instant,
    /// Its bytes, which count towards the bound.
    pub size: usize,
    /// It is taken though there is no room: a report, which loses nothing else.
    pub is_report: bool,
    /// Its room is taken already ([`Held::take`]).
    pub is_held: bool,
    /// The message.
    pub value: T,
}

/// What becomes of a message that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It is new and must be stored now; with `starts` it begins as soon as it is.
    New {
        /// Nothing is in its way.
        starts: bool,
    },
    /// It was accepted before.
    Known(State),
    /// There is no room.
    Full,
}

/// What follows from the outcome of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// Its fate is known.
    Over(State, T),
    /// It waits for another attempt.
    Again,
}

/// Where an open message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is being stored, and begins then.
    Starting,
    /// It is being stored.
    Storing,
    /// It waits in its lane.
    Waiting,
    /// An attempt is under way.
    Sending,
}

#[derive(Debug)]
struct Open<T> {
    entry: Entry<T>,
    number: u64,
    stage: Stage,
    attempts: u32,
}

/// Messages and their fates. `T` is a message.
#[derive(Debug)]
pub struct Ledger<T> {
    policy: Policy,
    bounds: Bounds,
    open: AHashMap<MessageId, Open<T>>,
    held: Arc<Held>,
    /// The number of the next message: the order of acceptance.
    next_number: u64,
    ways: [Way; 3],
    lanes: AHashMap<(Side, Arc<str>), Lane>,
    /// The accounts whose streams are open.
    streams: AHashSet<Arc<str>>,
    /// Lanes that wait before they try again.
    pauses: BinaryHeap<Reverse<(Instant, Side, Arc<str>)>>,
    expiries: BTreeSet<(Instant, MessageId)>,
    known: AHashMap<MessageId, State>,
    /// Those that are known, in the order in which they are forgotten.
    forgetting: VecDeque<(Instant, MessageId)>,
}

impl<T> Ledger<T> {
    /// An empty ledger; both sides are closed.
    pub fn new(policy: Policy, bounds: Bounds) -> Self {
        Self {
            policy,
            bounds,
            open: AHashMap::new(),
            held: Arc::new(Held::new(bounds.messages, bounds.bytes)),
            next_number: 0,
            ways: [bounds.xmpp_window, usize::MAX, bounds.sip_window].map(Way::new),
            lanes: AHashMap::new(),
            streams: AHashSet::new(),
            pauses: BinaryHeap::new(),
            expiries: BTreeSet::new(),
            known: AHashMap::new(),
            forgetting: VecDeque::new(),
        }
    }

    /// Has the bounds in common with other ledgers.
    pub fn sharing(self, held: Arc<Held>) -> Self {
        Self { held, ..self }
    }

    /// Tells whether messages may leave on a side.
    pub fn set_open(&mut self, side: Side, is_open: bool) {
        self.ways[side as usize].is_open = is_open;
    }

    /// Tells whether messages may leave on the stream of an account.
    pub fn set_stream_open(&mut self, account: &str, is_open: bool) {
        if is_open {
            let name: Arc<str> = Arc::from(account);
            self.streams.insert(name.clone());
            self.wake(Side::Account, &name);
        } else {
            self.streams.remove(account);
        }
    }

    /// May messages leave on the stream of an account?
    pub fn is_stream_open(&self, account: &str) -> bool {
        self.streams.contains(account)
    }

    /// The accounts whose messages wait for their streams.
    pub fn awaited_streams(&self) -> Vec<Arc<str>> {
        let is_awaited = |side: Side, name: &str, lane: &Lane| {
            side == Side::Account && !lane.waiting.is_empty() && !self.streams.contains(name)
        };
        let awaited =
            self.lanes.iter().filter(|((side, name), lane)| is_awaited(*side, name, lane));
        awaited.map(|((_, name), _)| name.clone()).collect()
    }

    /// Has an account messages that have still to leave, or whose fate is open?
    pub fn has_open(&self, account: &str) -> bool {
        let lane = self.lanes.get(&(Side::Account, Arc::from(account)));
        lane.is_some_and(|lane| !lane.waiting.is_empty() || lane.under_way > 0)
    }

    /// The messages that wait for the stream of an account and are stored, in order.
    pub fn waiting_for(&self, account: &str) -> Vec<MessageId> {
        let Some(lane) = self.lanes.get(&(Side::Account, Arc::from(account))) else {
            return Vec::new();
        };
        let ids = lane.waiting.iter().map(|(_, id)| *id);
        ids.filter(|id| !self.is_storing(*id)).collect()
    }

    /// Takes a message, to be stored; [`Ledger::handle_stored`] or [`Ledger::handle_refused`] must follow when it is new.
    pub fn accept(&mut self, entry: Entry<T>) -> Acceptance {
        if let Some(state) = self.state(entry.id) {
            if entry.is_held {
                self.held.give_back(entry.size);
            }
            return Acceptance::Known(state);
        }
        if !entry.is_held && !self.held.take(entry.size, entry.is_report) {
            return Acceptance::Full;
        }
        let limit = self.limit(entry.side, &entry.lane);
        let key = (entry.side, entry.lane.clone());
        let way = &mut self.ways[entry.side as usize];
        let lane = self.lanes.entry(key).or_default();
        let starts = way.has_room() && lane.may_pass(limit);
        if starts {
            way.under_way += 1;
            lane.under_way += 1;
        } else {
            lane.waiting.push_back((self.next_number, entry.id));
        }
        self.insert(entry, if starts { Stage::Starting } else { Stage::Storing });
        Acceptance::New { starts }
    }

    /// Takes a message that was stored before.
    pub fn restore(&mut self, entry: Entry<T>, attempts: u32) {
        self.held.take(entry.size, true);
        let (id, key) = (entry.id, (entry.side, entry.lane.clone()));
        self.lanes.entry(key).or_default().waiting.push_back((self.next_number, id));
        self.insert(entry, Stage::Waiting);
        if let Some(open) = self.open.get_mut(&id) {
            open.attempts = attempts;
        }
        self.wake_lane_of(id);
    }

    /// Takes a message that was stored while an attempt was under way; [`Ledger::conclude`] must follow.
    pub fn restore_under_way(&mut self, entry: Entry<T>, attempts: u32) {
        self.held.take(entry.size, true);
        let (id, side) = (entry.id, entry.side);
        let lane = self.lanes.entry((side, entry.lane.clone())).or_default();
        lane.under_way += 1;
        self.ways[side as usize].under_way += 1;
        self.insert(entry, Stage::Sending);
        if let Some(open) = self.open.get_mut(&id) {
            open.attempts = attempts;
        }
    }

    /// Takes the fate of a message that was stored before.
    pub fn restore_fate(&mut self, now: Instant, id: MessageId, state: State) {
        self.remember(now, id, state);
    }

    fn insert(&mut self, entry: Entry<T>, stage: Stage) {
        self.expiries.insert((entry.expires, entry.id));
        let (id, number) = (entry.id, self.next_number);
        self.next_number += 1;
        self.open.insert(id, Open { entry, number, stage, attempts: 0 });
    }

    /// Tells that a message is stored; true when its first attempt begins now.
    pub fn handle_stored(&mut self, id: MessageId) -> bool {
        let Some(open) = self.open.get(&id) else { return false };
        let (side, name) = (open.entry.side, open.entry.lane.clone());
        let is_open = self.ways[side as usize].is_open && self.limit(side, &name) > 0;
        let Some(open) = self.open.get_mut(&id) else { return false };
        match open.stage {
            Stage::Starting if is_open => {
                open.stage = Stage::Sending;
                open.attempts += 1;
                true
            }
            Stage::Starting => {
                self.put_back(id);
                false
            }
            Stage::Storing => {
                open.stage = Stage::Waiting;
                self.wake_lane_of(id);
                false
            }
            Stage::Waiting | Stage::Sending => false,
        }
    }

    /// Tells that a message cannot be stored, and gives it back.
    pub fn handle_refused(&mut self, id: MessageId) -> Option<T> {
        self.take(id)
    }

    /// The next message whose attempt may begin; it counts as under way.
    pub fn poll_start(&mut self, now: Instant) -> Option<MessageId> {
        self.end_pauses(now);
        [Side::Xmpp, Side::Account, Side::Sip].into_iter().find_map(|side| self.start_on(side))
    }

    fn start_on(&mut self, side: Side) -> Option<MessageId> {
        while self.ways[side as usize].has_room() {
            let name = self.ways[side as usize].ready.pop_front()?;
            let limit = self.limit(side, &name);
            let Some(lane) = self.lanes.get_mut(&(side, name.clone())) else { continue };
            lane.is_ready = false;
            let Some(&(_, id)) = lane.waiting.front() else { continue };
            let Some(open) = self.open.get_mut(&id) else { continue };
            if !lane.has_room(limit) || open.stage != Stage::Waiting {
                continue;
            }
            lane.waiting.pop_front();
            lane.under_way += 1;
            open.stage = Stage::Sending;
            open.attempts += 1;
            self.ways[side as usize].under_way += 1;
            self.wake(side, &name);
            return Some(id);
        }
        None
    }

    /// The message, while its fate is open.
    pub fn get(&self, id: MessageId) -> Option<&T> {
        self.open.get(&id).map(|open| &open.entry.value)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, id: MessageId) -> Option<&mut T> {
        self.open.get_mut(&id).map(|open| &mut open.entry.value)
    }

    /// Attempts so far, the one under way included.
    pub fn attempts(&self, id: MessageId) -> u32 {
        self.open.get(&id).map_or(0, |open| open.attempts)
    }

    /// Takes what an attempt has come to; `None` for a message that has met its fate.
    pub fn conclude(&mut self, now: Instant, id: MessageId, outcome: Outcome) -> Option<Next<T>> {
        let open = self.open.get_mut(&id)?;
        let is_last = open.attempts >= self.policy.attempts || now >= open.entry.expires;
        let state = match outcome {
            Outcome::HandedOver => State::HandedOver,
            Outcome::Delivered => State::Delivered,
            Outcome::Failed => State::Failed,
            Outcome::Uncertain if !self.policy.repeats_uncertain && !open.entry.is_report => {
                State::Failed
            }
            Outcome::OutOfReach | Outcome::Uncertain if is_last => State::Failed,
            Outcome::OutOfReach | Outcome::Uncertain => {
                let wait = self.wait(id);
                self.put_back(id);
                self.pause(id, now + wait);
                return Some(Next::Again);
            }
            Outcome::Unsent => {
                open.attempts -= 1;
                self.put_back(id);
                return Some(Next::Again);
            }
        };
        let value = self.take(id)?;
        self.remember(now, id, state);
        Some(Next::Over(state, value))
    }

    /// Tells that the recipient's own device has a message that was handed over; true when that is news.
    pub fn handle_receipt(&mut self, id: MessageId) -> bool {
        match self.known.get_mut(&id) {
            Some(state @ State::HandedOver) => {
                *state = State::Delivered;
                true
            }
            _ => false,
        }
    }

    /// The next message whose time is over while it waits.
    pub fn poll_expired(&mut self, now: Instant) -> Option<(MessageId, T)> {
        while let Some(&(at, id)) = self.expiries.first()
            && at <= now
        {
            self.expiries.pop_first();
            let is_waiting = self.open.get(&id).is_some_and(|open| open.stage == Stage::Waiting);
            if is_waiting && let Some(value) = self.take(id) {
                self.remember(now, id, State::Expired);
                return Some((id, value));
            }
        }
        None
    }

    /// The next message whose fate is forgotten.
    pub fn poll_forgotten(&mut self, now: Instant) -> Option<MessageId> {
        let is_due = |at: Instant, count: usize| at <= now || count > self.bounds.messages;
        let count = self.forgetting.len();
        let (_, id) = self.forgetting.pop_front_if(|(at, _)| is_due(*at, count))?;
        self.known.remove(&id);
        Some(id)
    }

    /// When there is something to poll, at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        let pause = self.pauses.peek().map(|Reverse((at, ..))| *at);
        let expiry = self.expiries.first().map(|(at, _)| *at);
        let forgotten = self.forgetting.front().map(|(at, _)| *at);
        [pause, expiry, forgotten].into_iter().flatten().min()
    }

    /// What is known of a message.
    pub fn state(&self, id: MessageId) -> Option<State> {
        let open = || {
            self.open.get(&id).map(|open| match open.stage {
                Stage::Starting | Stage::Storing | Stage::Waiting => State::Accepted,
                Stage::Sending => State::Sending,
            })
        };
        self.known.get(&id).copied().or_else(open)
    }

    /// Is a message being stored, so that nobody may count on it?
    pub fn is_storing(&self, id: MessageId) -> bool {
        let is_storing = |open: &Open<T>| matches!(open.stage, Stage::Starting | Stage::Storing);
        self.open.get(&id).is_some_and(is_storing)
    }

    /// Has a message an attempt under way?
    pub fn is_under_way(&self, id: MessageId) -> bool {
        self.open.get(&id).is_some_and(|open| open.stage == Stage::Sending)
    }

    /// Messages whose fate is open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Is no fate open?
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// How many messages of a lane may be under way.
    fn limit(&self, side: Side, name: &Arc<str>) -> usize {
        match side {
            // A stream keeps their order.
            Side::Xmpp => usize::MAX,
            Side::Account if self.streams.contains(name) => self.bounds.xmpp_window,
            Side::Account => 0,
            Side::Sip => 1,
        }
    }

    /// Messages with an attempt under way.
    pub fn under_way(&self) -> usize {
        self.ways.iter().map(|way| way.under_way).sum()
    }

    /// The wait after the last attempt.
    fn wait(&self, id: MessageId) -> Duration {
        let doublings = self.attempts(id).saturating_sub(1).min(20);
        self.policy.first_wait.saturating_mul(1 << doublings).min(self.policy.longest_wait)
    }

    /// Brings a message back to its place in its lane.
    fn put_back(&mut self, id: MessageId) {
        self.leave(id);
        let Some(open) = self.open.get_mut(&id) else { return };
        open.stage = Stage::Waiting;
        // Its time may have passed while it was under way.
        self.expiries.insert((open.entry.expires, id));
        let (number, side, name) = (open.number, open.entry.side, open.entry.lane.clone());
        let lane = self.lanes.entry((side, name)).or_default();
        let place = lane.waiting.partition_point(|(before, _)| *before < number);
        lane.waiting.insert(place, (number, id));
        self.wake_lane_of(id);
    }

    fn pause(&mut self, id: MessageId, until: Instant) {
        let Some(open) = self.open.get(&id) else { return };
        let (side, name) = (open.entry.side, open.entry.lane.clone());
        if let Some(lane) = self.lanes.get_mut(&(side, name.clone())) {
            lane.paused_until = Some(until);
            self.pauses.push(Reverse((until, side, name)));
        }
    }

    fn end_pauses(&mut self, now: Instant) {
        while let Some(Reverse((at, ..))) = self.pauses.peek()
            && *at <= now
            && let Some(Reverse((_, side, name))) = self.pauses.pop()
        {
            let lane = self.lanes.get_mut(&(side, name.clone()));
            if let Some(lane) = lane.filter(|lane| lane.paused_until.is_some_and(|at| at <= now)) {
                lane.paused_until = None;
                match lane.is_unused() {
                    true => drop(self.lanes.remove(&(side, name))),
                    false => self.wake(side, &name),
                }
            }
        }
    }

    /// Ends the attempt that a message has under way.
    fn leave(&mut self, id: MessageId) {
        let Some(open) = self.open.get(&id) else { return };
        if !matches!(open.stage, Stage::Starting | Stage::Sending) {
            return;
        }
        let (side, name) = (open.entry.side, open.entry.lane.clone());
        self.ways[side as usize].under_way -= 1;
        if let Some(lane) = self.lanes.get_mut(&(side, name.clone())) {
            lane.under_way -= 1;
        }
        self.wake(side, &name);
    }

    /// Takes a message out, wherever it is.
    fn take(&mut self, id: MessageId) -> Option<T> {
        self.leave(id);
        let Open { entry, number, stage, .. } = self.open.remove(&id)?;
        self.held.give_back(entry.size);
        self.expiries.remove(&(entry.expires, id));
        let key = (entry.side, entry.lane.clone());
        let lane = self.lanes.get_mut(&key)?;
        if matches!(stage, Stage::Storing | Stage::Waiting) {
            let place = lane.waiting.partition_point(|(before, _)| *before < number);
            if lane.waiting.get(place).is_some_and(|(_, found)| *found == id) {
                lane.waiting.remove(place);
            }
        }
        match lane.is_unused() {
            true => drop(self.lanes.remove(&key)),
            false => self.wake(key.0, &key.1),
        }
        Some(entry.value)
    }

    fn wake_lane_of(&mut self, id: MessageId) {
        if let Some(open) = self.open.get(&id) {
            let (side, name) = (open.entry.side, open.entry.lane.clone());
            self.wake(side, &name);
        }
    }

    /// Puts a lane in the queue of those that may have something to begin.
    fn wake(&mut self, side: Side, name: &Arc<str>) {
        let limit = self.limit(side, name);
        let Some(lane) = self.lanes.get_mut(&(side, name.clone())) else { return };
        if !lane.is_ready && lane.has_room(limit) && !lane.waiting.is_empty() {
            lane.is_ready = true;
            self.ways[side as usize].ready.push_back(name.clone());
        }
    }

    fn remember(&mut self, now: Instant, id: MessageId, state: State) {
        self.known.insert(id, state);
        self.forgetting.push_back((now + self.policy.keep, id));
    }
}

#[cfg(test)]
mod tests;
