//! What was sent a short while ago, for the notice of an error that comes after its sender was told of success.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use bytes::Bytes;

use crate::xmpp::Jid;

/// The last requests that were handed over. What is beyond a bound is forgotten, the oldest first.
#[derive(Debug)]
pub struct Recent {
    bounds: RecentBounds,
    /// The recipient, a bare JID, and the request, by the hash of what is ours in the id of the stanza.
    requests: AHashMap<u64, (Arc<str>, Bytes)>,
    /// The keys in the order in which they came.
    order: VecDeque<(Instant, u64)>,
    bytes: usize,
}

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentBounds {
    /// Requests.
    pub requests: usize,
    /// Their bytes.
    pub bytes: usize,
    /// How long each is.
    pub time: Duration,
}

impl Recent {
    /// Nothing is remembered yet.
    pub fn new(bounds: RecentBounds) -> Self {
        Self { bounds, requests: AHashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    /// Remembers the request that the stanza `id` to `recipient`, a bare JID, was made from.
    pub fn note(&mut self, now: Instant, id: &str, recipient: Arc<str>, request: Bytes) {
        let (key, size) = (self.key(id), request.len());
        if size > self.bounds.bytes {
            return;
        }
        if let Some((_, before)) = self.requests.insert(key, (recipient, request)) {
            // Its first place in the order stays: that of the message.
            self.bytes = self.bytes - before.len() + size;
        } else {
            self.bytes += size;
            self.order.push_back((now, key));
        }
        self.forget(now);
    }

    /// The request that an error with this `id` is about. Only the recipient and his server speak for him.
    pub fn request(&mut self, now: Instant, id: &str, from: &Jid) -> Option<Bytes> {
        self.forget(now);
        let (recipient, request) = self.requests.get(&self.key(id))?;
        let server = recipient.split_once('@').map_or(&**recipient, |(_, domain)| domain);
        let speaker = from.to_bare().to_string();
        (speaker == **recipient || speaker == server).then(|| request.clone())
    }

    fn forget(&mut self, now: Instant) {
        while let Some((since, _)) = self.order.front()
            && (*since + self.bounds.time <= now
                || self.order.len() > self.bounds.requests
                || self.bytes > self.bounds.bytes)
            && let Some((_, key)) = self.order.pop_front()
        {
            let forgotten = self.requests.remove(&key);
            self.bytes -= forgotten.map_or(0, |(_, request)| request.len());
        }
    }

    /// In front of what is ours in an id may stand the branch of its request.
    fn key(&self, stanza_id: &str) -> u64 {
        let ours = stanza_id.rsplit('.').next().unwrap_or(stanza_id);
        self.requests.hasher().hash_one(ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::transaction::ladder::origin;
    use crate::xmpp::jid;

    const BOUNDS: RecentBounds =
        RecentBounds { requests: 3, bytes: 100, time: Duration::from_secs(10) };

    fn found(recent: &mut Recent, id: &str, from: &str) -> Option<Bytes> {
        recent.request(origin(), id, &jid::parse(from).unwrap())
    }

    #[test]
    fn the_recipient_and_his_server_name_a_message_and_nobody_else() {
        let mut recent = Recent::new(BOUNDS);
        recent.note(origin(), "z9hG4bK.1", "bob@x".into(), Bytes::from_static(b"hello"));
        for from in ["bob@x", "bob@x/phone", "x"] {
            assert_eq!(found(&mut recent, "z9hG4bK.1", from).as_deref(), Some(&b"hello"[..]));
        }
        assert!(found(&mut recent, "1", "bob@x").is_some(), "the branch says nothing");
        assert_eq!(found(&mut recent, "z9hG4bK.1", "eve@x"), None);
        assert_eq!(found(&mut recent, "2", "bob@x"), None);
    }

    #[test]
    fn number_bytes_and_time_are_bounded() {
        let mut recent = Recent::new(BOUNDS);
        for id in ["1", "2", "3", "4"] {
            recent.note(origin(), id, "bob@x".into(), Bytes::from_static(b"hello"));
        }
        assert_eq!(found(&mut recent, "1", "bob@x"), None, "one too many");
        assert!(found(&mut recent, "2", "bob@x").is_some());
        recent.note(origin(), "5", "bob@x".into(), Bytes::from(vec![b'x'; 98]));
        assert_eq!(found(&mut recent, "4", "bob@x"), None, "too many bytes");
        assert!(found(&mut recent, "5", "bob@x").is_some());
        recent.note(origin(), "6", "bob@x".into(), Bytes::from(vec![b'x'; 101]));
        assert!(found(&mut recent, "5", "bob@x").is_some(), "what is too large displaces nothing");
        let bob = jid::parse("bob@x").unwrap();
        assert_eq!(recent.request(origin() + BOUNDS.time, "5", &bob), None);
        assert_eq!((recent.bytes, recent.requests.len()), (0, 0));
    }

    #[test]
    fn a_second_try_counts_once() {
        let mut recent = Recent::new(BOUNDS);
        recent.note(origin(), "1", "bob@x".into(), Bytes::from_static(b"hello"));
        recent.note(origin(), "1", "bob@x".into(), Bytes::from_static(b"hello again"));
        assert_eq!((recent.bytes, recent.order.len()), (11, 1));
        assert_eq!(found(&mut recent, "1", "bob@x").as_deref(), Some(&b"hello again"[..]));
    }
}
