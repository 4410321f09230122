//! Which stanzas the other side has taken, on a stream without acknowledgements.
//!
//! Behind the stanzas for a domain goes a ping (XEP-0199) to that domain. Servers process a stream in order, so its
//! answer says that all before it was taken, and an error that came before it is the fate of its stanza.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ahash::AHashMap;

use super::OutgoingStanza;
use crate::xmpp::{Jid, Kind, Stanza, StanzaError, Writer, ns};

/// IQ replies and error stanzas that may wait.
const MAX_REPLIES: usize = 10_000;

/// What has become of a stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The recipient's server has taken it.
    HandedOver,
    /// It came back.
    Failed(StanzaError),
    /// The stream broke after it was written: it may have arrived or not.
    Lost,
    /// It was not written, or not answered for, in time.
    Expired,
}

/// Whose fate it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The recipient.
    pub to: Jid,
    /// The sender.
    pub from: Jid,
}

/// Stanzas on their way to be taken. `W` is whom to tell.
pub struct Handover<W> {
    own_domain: Box<str>,
    limit: usize,
    timeout: Duration,
    is_ready: bool,
    /// IQ replies and error stanzas, whose fate nobody asks for.
    replies: VecDeque<Vec<u8>>,
    /// Not yet written, in order.
    waiting: VecDeque<Entry<W>>,
    /// Written, in order; `None` where the fate is known. The first has the number `first`.
    written: VecDeque<Option<Entry<W>>>,
    first: u64,
    /// The numbers of what is written, by id.
    by_id: AHashMap<String, u64>,
    open: usize,
    domains: AHashMap<Box<str>, Domain>,
    /// Makes ping ids that nobody can guess.
    secret: ahash::RandomState,
    pings: u64,
    fates: VecDeque<(W, Addresses, Fate)>,
}

struct Entry<W> {
    stanza: OutgoingStanza,
    waiter: W,
    deadline: Instant,
}

/// What is written to one domain and not answered for.
#[derive(Default)]
struct Domain {
    /// The id of the ping that is out, and until when it counts.
    ping: Option<(String, Instant)>,
    /// What it answers for.
    covered: Vec<u64>,
    /// What the next one will answer for.
    uncovered: Vec<u64>,
}

impl<W> Handover<W> {
    /// For a stream of `own_domain`, with `limit` stanzas at most whose fate is open, each for `timeout` at most.
    pub fn new(own_domain: &str, limit: usize, timeout: Duration) -> Self {
        Self {
            own_domain: own_domain.into(),
            limit,
            timeout,
            is_ready: false,
            replies: VecDeque::new(),
            waiting: VecDeque::new(),
            written: VecDeque::new(),
            first: 0,
            by_id: AHashMap::new(),
            open: 0,
            domains: AHashMap::new(),
            secret: ahash::RandomState::new(),
            pings: 0,
            fates: VecDeque::new(),
        }
    }

    /// Takes a stanza; gives back whom to tell when there is no room.
    pub fn push(&mut self, now: Instant, stanza: OutgoingStanza, waiter: W) -> Result<(), W> {
        if self.waiting.len() + self.open >= self.limit {
            return Err(waiter);
        }
        self.waiting.push_back(Entry { stanza, waiter, deadline: now + self.timeout });
        Ok(())
    }

    /// Takes a stanza whose fate nobody asks for; false when there is no room.
    pub fn push_reply(&mut self, bytes: Vec<u8>) -> bool {
        let has_room = self.replies.len() < MAX_REPLIES;
        if has_room {
            self.replies.push_back(bytes);
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
        self.domains.clear();
        for number in self.first..self.first + self.written.len() as u64 {
            self.settle(number, |_| Fate::Lost);
        }
    }

    /// Appends what may leave now, about `max` bytes at most.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>, max: usize) {
        if !self.is_ready {
            return;
        }
        while out.len() < max
            && let Some(reply) = self.replies.pop_front()
        {
            out.extend_from_slice(&reply);
        }
        while out.len() < max
            && let Some(mut entry) = self.waiting.pop_front()
        {
            out.append(&mut entry.stanza.bytes);
            self.note_written(entry);
        }
        self.write_pings(now, out);
    }

    /// Takes what the stream brought; true when it was an answer to us and nothing is left to do.
    pub fn handle_stanza(&mut self, stanza: &Stanza) -> bool {
        match (stanza.kind(), stanza.type_attribute().as_deref()) {
            (Kind::Iq, Some("result" | "error")) => self.handle_pong(stanza),
            (Kind::Message, Some("error")) => self.handle_error(stanza),
            _ => false,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.front().map(|entry| entry.deadline);
        let written = self.written.front().and_then(Option::as_ref).map(|entry| entry.deadline);
        waiting.into_iter().chain(written).min()
    }

    /// Tells that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(entry) = self.waiting.pop_front_if(|entry| entry.deadline <= now) {
            self.fates.push_back(entry.told(Fate::Expired));
        }
        while let Some(Some(entry)) = self.written.front()
            && entry.deadline <= now
        {
            self.settle(self.first, |_| Fate::Expired);
        }
        let is_open = |numbers: &mut Vec<u64>, first| {
            numbers.retain(|number| *number >= first);
            !numbers.is_empty()
        };
        self.domains.retain(|_, domain| {
            domain.ping.take_if(|(_, until)| *until <= now);
            let covered = is_open(&mut domain.covered, self.first);
            is_open(&mut domain.uncovered, self.first) || covered || domain.ping.is_some()
        });
    }

    /// The next fate to tell.
    pub fn poll_fate(&mut self) -> Option<(W, Addresses, Fate)> {
        self.fates.pop_front()
    }

    /// Is nothing under way?
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.open == 0 && self.replies.is_empty()
    }

    fn note_written(&mut self, entry: Entry<W>) {
        let number = self.first + self.written.len() as u64;
        let name = entry.stanza.to.domain().as_str();
        match self.domains.get_mut(name) {
            Some(domain) => domain.uncovered.push(number),
            None => {
                let domain = Domain { uncovered: vec![number], ..Domain::default() };
                self.domains.insert(name.into(), domain);
            }
        }
        self.by_id.insert(entry.stanza.id.clone(), number);
        self.written.push_back(Some(entry));
        self.open += 1;
    }

    fn write_pings(&mut self, now: Instant, out: &mut Vec<u8>) {
        for (name, domain) in &mut self.domains {
            if domain.ping.is_some() || domain.uncovered.is_empty() {
                continue;
            }
            self.pings += 1;
            let id = format!("{:016x}", self.secret.hash_one((name, self.pings)));
            Writer::new(out)
                .start("iq")
                .attr("type", "get")
                .attr("from", &self.own_domain)
                .attr("to", name)
                .attr("id", &id)
                .empty("ping", ns::PING)
                .finish();
            domain.ping = Some((id, now + self.timeout));
            domain.covered.append(&mut domain.uncovered);
        }
    }

    /// Only the domain that was asked can answer; a user of it cannot.
    fn handle_pong(&mut self, stanza: &Stanza) -> bool {
        let (Some(from), Some(id)) = (stanza.from(), stanza.id()) else { return false };
        let Some(domain) = self.domains.get_mut(from.as_ref()) else { return false };
        if domain.ping.take_if(|(sent, _)| *sent == *id).is_none() {
            return false;
        }
        let covered = std::mem::take(&mut domain.covered);
        if domain.uncovered.is_empty() {
            self.domains.remove(from.as_ref());
        }
        for number in covered {
            self.settle(number, |_| Fate::HandedOver);
        }
        true
    }

    fn handle_error(&mut self, stanza: &Stanza) -> bool {
        let Some(number) = stanza.id().and_then(|id| self.by_id.get(id.as_ref()).copied()) else {
            return false;
        };
        let index = (number - self.first) as usize;
        let recipient = self.written.get(index).and_then(Option::as_ref);
        let (Some(recipient), Some(Ok(from))) = (recipient, stanza.from_jid()) else {
            return false;
        };
        let to = &recipient.stanza.to;
        if from.to_bare() != to.to_bare() && from.as_str() != to.domain().as_str() {
            return false;
        }
        let Some(error) = StanzaError::read(stanza) else { return false };
        self.settle(number, |_| Fate::Failed(error));
        true
    }

    /// Notes the fate of what was written, unless it is known.
    fn settle(&mut self, number: u64, fate: impl FnOnce(&OutgoingStanza) -> Fate) {
        let Some(index) = number.checked_sub(self.first) else { return };
        let entry = self.written.get_mut(index as usize).and_then(Option::take);
        let Some(entry) = entry else { return };
        self.open -= 1;
        self.by_id.remove(&entry.stanza.id);
        let fate = fate(&entry.stanza);
        self.fates.push_back(entry.told(fate));
        while self.written.pop_front_if(|entry| entry.is_none()).is_some() {
            self.first += 1;
        }
    }
}

impl<W> Entry<W> {
    fn told(self, fate: Fate) -> (W, Addresses, Fate) {
        let OutgoingStanza { to, from, .. } = self.stanza;
        (self.waiter, Addresses { to, from }, fate)
    }
}

#[cfg(test)]
mod tests;
