//! Which stanzas the other side has taken, on a stream without acknowledgements.
//!
//! Behind the stanzas for a domain goes a ping (XEP-0199) to that domain. Servers process a stream in order, so its
//! answer says that all before it was taken, and an error that came before it is the fate of its stanza.

mod domain;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;

use self::domain::{Domain, Ping, Slot};
use super::OutgoingStanza;
use crate::xmpp::{Jid, Kind, Stanza, StanzaError, Writer, jid, ns};

/// IQ replies and error stanzas that may wait.
const MAX_REPLIES: usize = 10_000;

/// Stanzas that are worth a ping at once, where nobody waits for the fate of one.
const PING_AT: usize = 32;

/// How long fewer may wait for it.
const PING_PAUSE: Duration = Duration::from_millis(5);

/// What has become of a stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The recipient's server has taken it.
    HandedOver,
    /// It came back.
    Failed(StanzaError),
    /// The stream broke after it was written: it may have arrived or not.
    Lost,
    /// It was written, and not answered for in time.
    Unanswered,
    /// It was not written in time.
    Expired,
}

/// What is left of a stanza when its fate is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingStanzaMeta {
    /// Its `id`.
    pub id: String,
    /// The recipient.
    pub to: Jid,
    /// The sender.
    pub from: Jid,
}

/// Stanzas on their way to be taken. `W` is whom to tell.
///
/// The fates of stanzas to one domain become known in the order in which these were pushed, but for
/// failures, which come early.
#[derive(Debug)]
pub struct Handover<W> {
    own_domain: Box<str>,
    limit: usize,
    timeout: Duration,
    settles_late: bool,
    is_ready: bool,
    /// Not yet written.
    queue: VecDeque<Queued<W>>,
    /// Replies in the queue.
    replies: usize,
    /// Stanzas in the queue and slots of domains.
    len: usize,
    /// Those that something was written to and that have not answered for it. Each has a slot, so
    /// there are no more of them than stanzas.
    domains: AHashMap<Arc<str>, Domain<W>>,
    /// What the ids of stanzas and pings stand for that are out.
    ids: AHashMap<String, Meaning>,
    /// Domains that have slots and no ping.
    to_ping: Vec<Arc<str>>,
    /// No later than the first deadline there is.
    wake_at: Option<Instant>,
    fates: VecDeque<(W, OutgoingStanzaMeta, Fate)>,
}

#[derive(Debug)]
enum Queued<W> {
    Stanza { stanza: OutgoingStanza, waiter: W, deadline: Instant },
    Reply(Vec<u8>),
}

#[derive(Debug)]
enum Meaning {
    Stanza { domain: Arc<str>, number: u64 },
    Ping { domain: Arc<str> },
}

impl<W> Handover<W> {
    /// For a stream of `own_domain`, with `limit` stanzas at most whose fate is open, each for `timeout` at most.
    pub fn new(own_domain: &str, limit: usize, timeout: Duration) -> Self {
        Self {
            own_domain: own_domain.into(),
            limit,
            timeout,
            settles_late: false,
            is_ready: false,
            queue: VecDeque::new(),
            replies: 0,
            len: 0,
            domains: AHashMap::new(),
            ids: AHashMap::new(),
            to_ping: Vec::new(),
            wake_at: None,
            fates: VecDeque::new(),
        }
    }

    /// Waits for a second ping before it believes that a stanza was taken.
    ///
    /// The answer to the first may leave the server before the stanza does, and a server that is killed in between
    /// takes it along. This costs one more round trip, and ways where nobody waits for the fate can afford it. These can
    /// afford to wait a little, too, so that a few pings answer for many stanzas.
    pub fn settling_late(self) -> Self {
        Self { settles_late: true, ..self }
    }

    /// Takes a stanza; gives back whom to tell when there is no room.
    pub fn push(&mut self, now: Instant, stanza: OutgoingStanza, waiter: W) -> Result<(), W> {
        if self.len >= self.limit {
            return Err(waiter);
        }
        let deadline = now + self.timeout;
        if self.len == 0 {
            self.wake_at = Some(deadline);
        }
        self.len += 1;
        self.queue.push_back(Queued::Stanza { stanza, waiter, deadline });
        Ok(())
    }

    /// Takes a stanza whose fate nobody asks for, such as an IQ reply; false when there is no room
    /// and it was dropped. It keeps its place among the others and outlives the stream.
    pub fn push_reply(&mut self, bytes: Vec<u8>) -> bool {
        let has_room = self.replies < MAX_REPLIES;
        if has_room {
            self.replies += 1;
            self.queue.push_back(Queued::Reply(bytes));
        }
        has_room
    }

    /// Tells that the stream takes stanzas.
    pub fn handle_ready(&mut self) {
        self.is_ready = true;
    }

    /// Tells that the stream is gone; what was not written waits for the next one.
    pub fn handle_closed(&mut self) {
        self.is_ready = false;
        self.ids.clear();
        self.to_ping.clear();
        for (_, mut domain) in std::mem::take(&mut self.domains) {
            while let Some(slot) = domain.pop() {
                self.len -= 1;
                self.fates.extend(slot.told(Fate::Lost));
            }
        }
    }

    /// Gives back whom to tell of stanzas that are not written yet, those that are `wanted`, and forgets these.
    pub fn withdraw(&mut self, wanted: impl Fn(&W) -> bool) -> Vec<W> {
        let mut withdrawn = Vec::new();
        for queued in std::mem::take(&mut self.queue) {
            match queued {
                Queued::Stanza { waiter, .. } if wanted(&waiter) => withdrawn.push(waiter),
                other => self.queue.push_back(other),
            }
        }
        self.len -= withdrawn.len();
        withdrawn
    }

    /// Appends what may leave now, about `max` bytes, and the pings that go behind it.
    ///
    /// There may be something new after each `push`, `push_reply` and `handle_*`. A stanza whose time is over
    /// holds up what is behind it until [`handle_timeout`](Self::handle_timeout), which is due then.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>, max: usize) {
        if !self.is_ready {
            return;
        }
        let end = out.len().saturating_add(max);
        while out.len() < end
            && let Some(queued) = self.queue.pop_front_if(|queued| !queued.is_due(now))
        {
            match queued {
                Queued::Reply(bytes) => {
                    self.replies -= 1;
                    out.extend_from_slice(&bytes);
                }
                Queued::Stanza { stanza, waiter, deadline } => {
                    out.extend_from_slice(&stanza.bytes);
                    self.note_written(stanza, waiter, deadline);
                }
            }
        }
        self.write_pings(out);
    }

    /// Takes what the stream brought; true when it was an answer to us and nothing is left to do.
    pub fn handle_stanza(&mut self, now: Instant, stanza: &Stanza) -> bool {
        let is_error = stanza.is_error();
        if !is_error && stanza.type_attribute().as_deref() != Some("result") {
            return false;
        }
        let is_iq = stanza.kind() == Kind::Iq;
        match stanza.id().and_then(|id| self.ids.get(&*id)) {
            Some(Meaning::Ping { domain }) if is_iq => {
                let domain = Arc::clone(domain);
                is_from(stanza, &domain) && self.handle_pong(now, &domain)
            }
            Some(Meaning::Stanza { domain, number }) if is_error && !is_iq => {
                let (domain, number) = (Arc::clone(domain), *number);
                self.handle_error(stanza, &domain, number)
            }
            _ => false,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called.
    ///
    /// It may find nothing to do then, because deadlines that are met are not looked for.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.wake_at.filter(|_| self.len > 0)
    }

    /// Tells that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        self.expire_queue(now);
        self.expire_domains(now);
        for (name, domain) in &mut self.domains {
            if domain.ping_at.take_if(|at| *at <= now).is_some() {
                self.to_ping.push(Arc::clone(name));
            }
        }
        let waiting = self.queue.iter().find_map(Queued::deadline);
        let written = self.domains.values().filter_map(Domain::deadline);
        let pings = self.domains.values().filter_map(|domain| domain.ping_at);
        self.wake_at = written.chain(pings).chain(waiting).min();
    }

    /// The next fate to tell.
    pub fn poll_fate(&mut self) -> Option<(W, OutgoingStanzaMeta, Fate)> {
        self.fates.pop_front()
    }

    /// Is nothing under way, nothing to send and nothing to tell?
    pub fn is_idle(&self) -> bool {
        self.is_empty() && self.queue.is_empty() && self.fates.is_empty()
    }

    /// Stanzas that count towards the limit: those that wait, and those that the domain has not
    /// answered for, even if they have failed meanwhile.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Does no stanza count towards the limit?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn note_written(&mut self, stanza: OutgoingStanza, waiter: W, deadline: Instant) {
        let OutgoingStanza { id, to, from, .. } = stanza;
        let name = to.domain().as_str();
        let domain = match self.domains.get_key_value(name) {
            Some((domain, _)) => Arc::clone(domain),
            None => {
                let domain = Arc::<str>::from(name);
                self.to_ping.push(Arc::clone(&domain));
                domain
            }
        };
        let slots = self.domains.entry(Arc::clone(&domain)).or_default();
        let number = slots.end();
        let meaning = Meaning::Stanza { domain: Arc::clone(&domain), number };
        self.ids.insert(id.clone(), meaning);
        slots.push(Slot::new(deadline, waiter, OutgoingStanzaMeta { id, to, from }));
        if slots.len() >= PING_AT && slots.ping_at.take().is_some() {
            self.to_ping.push(domain);
        }
    }

    fn write_pings(&mut self, out: &mut Vec<u8>) {
        for name in self.to_ping.drain(..) {
            let Some(domain) = self.domains.get_mut(&name) else { continue };
            if domain.ping.is_some() {
                continue;
            }
            let id = format!("{:016x}", rand::random::<u64>());
            Writer::new(out)
                .start("iq")
                .attr("type", "get")
                .attr("from", &self.own_domain)
                .attr("to", &name)
                .attr("id", &id)
                .empty("ping", ns::PING)
                .finish();
            domain.ping = Some(Ping { id: id.clone(), covers: domain.end() });
            self.ids.insert(id, Meaning::Ping { domain: name });
        }
    }

    fn handle_pong(&mut self, now: Instant, name: &Arc<str>) -> bool {
        let domain = self.domains.get_mut(name);
        let Some(domain) = domain else { return false };
        let Some(ping) = domain.ping.take() else { return false };
        self.ids.remove(&ping.id);
        let confirmed = match self.settles_late {
            true => std::mem::replace(&mut domain.confirmed, ping.covers),
            false => ping.covers,
        };
        self.settle(name, &Fate::HandedOver, |domain| domain.start() < confirmed);
        self.plan_ping(now, name);
        true
    }

    /// The fate of one stanza, if its recipient or the domain says so.
    fn handle_error(&mut self, stanza: &Stanza, name: &Arc<str>, number: u64) -> bool {
        let slot = self.domains.get_mut(name).and_then(|domain| domain.get_mut(number));
        let Some(slot) = slot.filter(|slot| {
            is_from(stanza, name) || slot.recipient().is_some_and(|to| is_from_user(stanza, to))
        }) else {
            return false;
        };
        let Some(error) = StanzaError::read(stanza) else { return false };
        let Some(told) = slot.take_told(Fate::Failed(error)) else { return false };
        self.ids.remove(&told.1.id);
        self.fates.push_back(told);
        true
    }

    /// Tells one fate for the first slots of a domain, `while_true`.
    fn settle(&mut self, name: &Arc<str>, fate: &Fate, while_true: impl Fn(&Domain<W>) -> bool) {
        let Some(domain) = self.domains.get_mut(name) else { return };
        while while_true(domain)
            && let Some(slot) = domain.pop()
        {
            self.len -= 1;
            if let Some(told) = slot.told(fate.clone()) {
                self.ids.remove(&told.1.id);
                self.fates.push_back(told);
            }
        }
        if let Some(ping) = domain.take_useless_ping() {
            self.ids.remove(&ping.id);
        }
        if domain.is_empty() {
            self.domains.remove(name);
        }
    }

    /// Sees to the next ping of a domain whose last one was answered or is of no use.
    fn plan_ping(&mut self, now: Instant, name: &Arc<str>) {
        let Some(domain) = self.domains.get_mut(name) else { return };
        if domain.ping.is_some() {
            return;
        }
        if self.settles_late && domain.len() < PING_AT {
            let at = now + PING_PAUSE;
            domain.ping_at = Some(at);
            self.wake_at = self.wake_at.map(|wake_at| wake_at.min(at)).or(Some(at));
        } else {
            self.to_ping.push(Arc::clone(name));
        }
    }

    fn expire(&mut self, stanza: OutgoingStanza, waiter: W) {
        self.len -= 1;
        let OutgoingStanza { id, to, from, .. } = stanza;
        self.fates.push_back((waiter, OutgoingStanzaMeta { id, to, from }, Fate::Expired));
    }

    /// Takes the stanzas whose time is over from the front of the queue, from between the replies.
    fn expire_queue(&mut self, now: Instant) {
        let mut replies = Vec::new();
        while let Some(queued) =
            self.queue.pop_front_if(|queued| queued.deadline().is_none_or(|at| at <= now))
        {
            match queued {
                Queued::Stanza { stanza, waiter, .. } => self.expire(stanza, waiter),
                reply @ Queued::Reply(_) => replies.push(reply),
            }
        }
        for reply in replies.into_iter().rev() {
            self.queue.push_front(reply);
        }
    }

    fn expire_domains(&mut self, now: Instant) {
        let is_due = |domain: &Domain<W>| domain.deadline().is_some_and(|at| at <= now);
        let due = self.domains.iter().filter(|(_, domain)| is_due(domain));
        let due: Vec<_> = due.map(|(name, _)| Arc::clone(name)).collect();
        for name in due {
            self.settle(&name, &Fate::Unanswered, is_due);
            self.plan_ping(now, &name);
        }
    }
}

impl<W> Queued<W> {
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Stanza { deadline, .. } => Some(*deadline),
            Self::Reply(_) => None,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }
}

/// Whether the domain itself says it, not one of its users; without `from` our own server does.
fn is_from(stanza: &Stanza, domain: &str) -> bool {
    stanza.from().is_none_or(|from| {
        *from == *domain || jid::parse(&from).is_ok_and(|from| from.as_str() == domain)
    })
}

/// Whether this user says it, from whatever resource.
fn is_from_user(stanza: &Stanza, user: &Jid) -> bool {
    matches!(stanza.from_jid(), Some(Ok(from)) if from.to_bare() == user.to_bare())
}

#[cfg(test)]
mod tests;
