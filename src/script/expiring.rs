//! A map of bounded size whose entries expire, for modules that remember what passes.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::hash::Hash;
use std::time::Instant;

use ahash::AHashMap;

/// Entries that are looked at for each one that is added, so that what has expired goes without a sweep.
const STEPS: usize = 2;

/// Entries that are looked at when the map is full.
const SEARCH: usize = 16;

/// A map that holds at most so many entries and forgets those whose time is over.
///
/// Adding takes constant time: with each new entry, the two that were looked at longest ago are looked at again.
#[derive(Debug)]
pub struct ExpiringMap<K, V> {
    slots: AHashMap<K, Slot<V>>,
    /// Every entry once, and those that are gone until their turn comes.
    queue: VecDeque<(K, u64)>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Slot<V> {
    value: V,
    expires: Option<Instant>,
    /// Tells the place in the queue from those of earlier entries of the same key.
    ticket: u64,
}

/// The map holds as many entries as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<K, V> Default for ExpiringMap<K, V> {
    fn default() -> Self {
        Self { slots: AHashMap::new(), queue: VecDeque::new(), next_ticket: 0 }
    }
}

impl<V> Slot<V> {
    fn is_over(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl<K: Clone + Eq + Hash, V> ExpiringMap<K, V> {
    /// The value of a key.
    pub fn get<Q: ?Sized + Eq + Hash>(&self, now: Instant, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.slots.get(key).filter(|slot| !slot.is_over(now)).map(|slot| &slot.value)
    }

    /// The value of a key and when it expires, both to be changed.
    pub fn entry<Q: ?Sized + Eq + Hash>(
        &mut self,
        now: Instant,
        key: &Q,
    ) -> Option<(&mut V, &mut Option<Instant>)>
    where
        K: Borrow<Q>,
    {
        let slot = self.slots.get_mut(key).filter(|slot| !slot.is_over(now))?;
        Some((&mut slot.value, &mut slot.expires))
    }

    /// Sets the value of a key; an error when that is a new entry, and there are `limit` already.
    pub fn insert(
        &mut self,
        now: Instant,
        limit: usize,
        key: K,
        value: V,
        expires: Option<Instant>,
    ) -> Result<(), Full> {
        if let Some(slot) = self.slots.get_mut(&key) {
            (slot.value, slot.expires) = (value, expires);
            return Ok(());
        }
        self.forget(now, STEPS, usize::MAX);
        if self.slots.len() >= limit {
            self.forget(now, SEARCH, 1);
        }
        if self.slots.len() >= limit {
            return Err(Full);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.queue.push_back((key.clone(), ticket));
        self.slots.insert(key, Slot { value, expires, ticket });
        Ok(())
    }

    /// Removes an entry and gives its value.
    pub fn remove<Q: ?Sized + Eq + Hash>(&mut self, now: Instant, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.slots.remove(key).filter(|slot| !slot.is_over(now)).map(|slot| slot.value)
    }

    /// Removes the entry that was looked at longest ago, whether it has expired or not.
    pub fn evict(&mut self) {
        while let Some((key, ticket)) = self.queue.pop_front() {
            if self.slots.get(&key).is_some_and(|slot| slot.ticket == ticket) {
                self.slots.remove(&key);
                return;
            }
        }
    }

    /// Keeps the entries that `is_kept` picks; tells how many it did not.
    pub fn retain(&mut self, now: Instant, mut is_kept: impl FnMut(&K, &V) -> bool) -> usize {
        let mut removed = 0;
        self.slots.retain(|key, slot| {
            if slot.is_over(now) {
                return false;
            }
            let is_kept = is_kept(key, &slot.value);
            removed += usize::from(!is_kept);
            is_kept
        });
        self.queue
            .retain(|(key, ticket)| self.slots.get(key).is_some_and(|slot| slot.ticket == *ticket));
        removed
    }

    /// Every entry, in no order.
    pub fn iter(&self, now: Instant) -> impl Iterator<Item = (&K, &V)> {
        let live = self.slots.iter().filter(move |(_, slot)| !slot.is_over(now));
        live.map(|(key, slot)| (key, &slot.value))
    }

    /// How many entries there are, those included whose time is over and whose turn has not come.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Is there no entry?
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Looks at up to `steps` entries, and ends when `enough` are gone.
    fn forget(&mut self, now: Instant, steps: usize, enough: usize) {
        let mut gone = 0;
        for _ in 0..steps.min(self.queue.len()) {
            let Some((key, ticket)) = self.queue.pop_front() else { return };
            match self.slots.get(&key) {
                Some(slot) if slot.ticket == ticket && slot.is_over(now) => {
                    self.slots.remove(&key);
                    gone += 1;
                }
                Some(slot) if slot.ticket == ticket => self.queue.push_back((key, ticket)),
                _ => {}
            }
            if gone >= enough {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn an_entry_is_there_until_its_time_is_over() {
        let (start, mut map) = (crate::clock::now(), ExpiringMap::default());
        map.insert(start, 9, "a", 1, Some(at(start, 10))).unwrap();
        map.insert(start, 9, "b", 2, None).unwrap();
        assert_eq!(map.get(at(start, 9), "a"), Some(&1));
        assert_eq!(map.get(at(start, 10), "a"), None);
        assert!(map.entry(at(start, 10), "a").is_none());
        assert_eq!(map.remove(at(start, 10), "a"), None);
        assert_eq!(map.get(at(start, 1_000_000), "b"), Some(&2));
        assert_eq!(map.iter(at(start, 10)).collect::<Vec<_>>(), [(&"b", &2)]);
    }

    #[test]
    fn a_full_map_takes_no_more_until_something_has_expired() {
        let (start, mut map) = (crate::clock::now(), ExpiringMap::default());
        for key in 0..10 {
            map.insert(start, 10, key, (), Some(at(start, 10 + key))).unwrap();
        }
        assert_eq!(map.insert(start, 10, 10, (), None), Err(Full));
        assert_eq!(map.insert(start, 10, 9, (), None), Ok(()), "it is there already");
        assert_eq!(map.insert(at(start, 10), 10, 10, (), None), Ok(()));
        assert_eq!(map.len(), 10);
        map.evict();
        assert_eq!(map.len(), 9);
    }

    #[test]
    fn what_has_expired_goes_as_new_entries_come() {
        let (start, mut map) = (crate::clock::now(), ExpiringMap::default());
        for key in 0..100_000_u64 {
            let now = start + Duration::from_millis(key);
            map.insert(now, usize::MAX, key, (), Some(at(now, 1))).unwrap();
            assert!(map.len() <= 2_001 && map.queue.len() <= 2_001, "{key}: {}", map.len());
        }
    }

    #[test]
    fn a_key_that_comes_and_goes_leaves_nothing_behind() {
        let (start, mut map) = (crate::clock::now(), ExpiringMap::default());
        for key in 0..10 {
            map.insert(start, 100, key, 0, None).unwrap();
        }
        for round in 0..10_000 {
            map.insert(start, 100, 99, round, None).unwrap();
            assert_eq!(map.remove(start, &99), Some(round));
            assert!(map.queue.len() <= 30, "{}", map.queue.len());
        }
        assert_eq!(map.retain(start, |key, _| *key < 5), 5);
        assert_eq!((map.len(), map.queue.len()), (5, 5));
    }
}
