//! A hashed timer wheel (Varghese and Lauck's scheme 6): setting and cancelling a timer costs
//! the same however many there are, and no timer has an allocation of its own.

use std::time::{Duration, Instant};

/// How many slots the wheel has; one turn takes 41 s, so that timers of 64·T1 fit into one.
const SLOTS: usize = 4096;
const TICKS_PER_SECOND: u64 = 100;
const NANOS_PER_TICK: u32 = 10_000_000;
/// Timers that may be late fire together, at ticks that are multiples of this.
const LATE: u64 = 16;

/// A timer that was set, for cancelling it. It stays harmless when that timer has fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId {
    node: u32,
    generation: u32,
}

/// The timers of one worker: gives each key back once its time has come.
///
/// It counts in ticks of 10 ms. No timer fires early; one fires at most a tick late.
#[derive(Debug)]
pub struct Wheel<K> {
    epoch: Instant,
    /// The last tick that was worked off.
    done: u64,
    /// The first [`SLOTS`] nodes are the rings' heads and hold no timer; node `i` is slot `i`'s.
    nodes: Vec<Node<K>>,
    /// The first of the unused nodes, linked by `next`; [`NONE`] if there is none.
    unused: u32,
    /// One bit for each slot with a timer in it.
    occupied: [u64; SLOTS / 64],
    len: usize,
}

/// A timer in the ring of its slot.
#[derive(Debug)]
struct Node<K> {
    prev: u32,
    next: u32,
    generation: u32,
    tick: u64,
    key: Option<K>,
}

const NONE: u32 = u32::MAX;

impl<K> Wheel<K> {
    /// An empty wheel that begins to turn now.
    pub fn new(now: Instant) -> Self {
        let head = |slot| Node { prev: slot, next: slot, generation: 0, tick: 0, key: None };
        Self {
            epoch: now,
            done: 0,
            nodes: (0..SLOTS as u32).map(head).collect(),
            unused: NONE,
            occupied: [0; SLOTS / 64],
            len: 0,
        }
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a timer. One whose deadline has passed fires with the next tick.
    pub fn insert(&mut self, deadline: Instant, key: K) -> TimerId {
        let tick = self.tick_from(deadline).max(self.done + 1);
        self.insert_at(tick, key)
    }

    /// Sets a timer that may fire up to 160 ms late, with others of its kind: each tick with a timer costs its worker a
    /// wake-up.
    pub fn insert_late(&mut self, deadline: Instant, key: K) -> TimerId {
        let tick = self.tick_from(deadline).max(self.done + 1);
        self.insert_at(tick.next_multiple_of(LATE), key)
    }

    fn insert_at(&mut self, tick: u64, key: K) -> TimerId {
        let node = self.take_node();
        let slot = slot_of(tick);
        let last = self.nodes[slot].prev;
        let new = &mut self.nodes[node as usize];
        (new.tick, new.key, new.prev, new.next) = (tick, Some(key), last, slot as u32);
        let generation = new.generation;
        self.nodes[last as usize].next = node;
        self.nodes[slot].prev = node;
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.len += 1;
        TimerId { node, generation }
    }

    /// Stops a timer and gives its key back; `None` if it has fired or was cancelled before.
    pub fn cancel(&mut self, timer: TimerId) -> Option<K> {
        let node = self.nodes.get(timer.node as usize)?;
        if node.generation != timer.generation {
            return None;
        }
        self.remove(timer.node)
    }

    /// Puts the keys of all timers that are due by `now` behind `fired`, the earlier tick first
    /// and in the order of their setting within one.
    ///
    /// After a sleep of more than a turn the order between turns is lost.
    pub fn advance(&mut self, now: Instant, fired: &mut Vec<K>) {
        let until = self.tick_before(now);
        while let Some(tick) = self.next_occupied().filter(|tick| *tick <= until) {
            self.fire(slot_of(tick), until, fired);
            self.done = tick;
        }
        self.done = self.done.max(until);
    }

    /// When [`advance`](Self::advance) should be called next; `None` with no timer set.
    ///
    /// Never too late. It may be too early, once in a turn, for a timer more than a turn ahead.
    pub fn next_deadline(&self) -> Option<Instant> {
        let tick = self.next_occupied()?;
        let nanos = (tick % TICKS_PER_SECOND) as u32 * NANOS_PER_TICK;
        Some(self.epoch + Duration::new(tick / TICKS_PER_SECOND, nanos))
    }

    /// Fires what is due in one slot and leaves what waits for a later turn.
    fn fire(&mut self, slot: usize, until: u64, fired: &mut Vec<K>) {
        let mut at = self.nodes[slot].next;
        while at as usize != slot {
            let Node { next, tick, .. } = self.nodes[at as usize];
            if tick <= until {
                fired.extend(self.remove(at));
            }
            at = next;
        }
    }

    /// Takes a node out of its ring; `None` for a head and for an unused node.
    fn remove(&mut self, node: u32) -> Option<K> {
        let Node { prev, next, tick, .. } = self.nodes[node as usize];
        let key = self.nodes[node as usize].key.take()?;
        self.nodes[prev as usize].next = next;
        self.nodes[next as usize].prev = prev;
        let slot = slot_of(tick);
        if self.nodes[slot].next as usize == slot {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
        let freed = &mut self.nodes[node as usize];
        freed.generation = freed.generation.wrapping_add(1);
        freed.next = self.unused;
        self.unused = node;
        self.len -= 1;
        Some(key)
    }

    fn take_node(&mut self) -> u32 {
        if self.unused != NONE {
            let node = self.unused;
            self.unused = self.nodes[node as usize].next;
            return node;
        }
        let node = u32::try_from(self.nodes.len()).expect("4 billion timers outgrow the memory");
        self.nodes.push(Node { prev: node, next: node, generation: 0, tick: 0, key: None });
        node
    }

    /// The next tick after `done` whose slot holds a timer, of this turn or a later one.
    fn next_occupied(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let first = self.done + 1;
        let from = slot_of(first);
        let words = self.occupied.len();
        // The first word is looked at twice: its bits from `from` on first, those below last.
        (0..=words).find_map(|step| {
            let word = (from / 64 + step) % words;
            let mask = match step {
                0 => !0 << (from % 64),
                _ if step == words => !(!0 << (from % 64)),
                _ => !0,
            };
            let bits = self.occupied[word] & mask;
            let slot = word * 64 + bits.trailing_zeros() as usize;
            (bits != 0).then(|| first + ((slot + SLOTS - from) % SLOTS) as u64)
        })
    }

    /// The first tick at or after an instant, so that nothing fires early.
    fn tick_from(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.epoch);
        since.as_secs() * TICKS_PER_SECOND
            + u64::from(since.subsec_nanos().div_ceil(NANOS_PER_TICK))
    }

    /// The last tick at or before an instant.
    fn tick_before(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.epoch);
        since.as_secs() * TICKS_PER_SECOND + u64::from(since.subsec_nanos() / NANOS_PER_TICK)
    }
}

fn slot_of(tick: u64) -> usize {
    tick as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::{BinaryHeap, HashSet};

    use super::*;
    use crate::sip::transaction::ladder::origin;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn fired<K>(wheel: &mut Wheel<K>, now: Instant) -> Vec<K> {
        let mut fired = Vec::new();
        wheel.advance(now, &mut fired);
        fired
    }

    #[test]
    fn timers_that_may_be_late_fire_together() {
        let start = origin();
        let mut wheel = Wheel::new(start);
        for millis in [5, 10, 155, 160] {
            wheel.insert_late(start + ms(millis), millis);
        }
        assert_eq!(wheel.next_deadline(), Some(start + ms(160)));
        assert_eq!(fired(&mut wheel, start + ms(160)), [5, 10, 155, 160]);
    }

    #[test]
    fn timers_fire_in_order_and_never_early() {
        let start = origin();
        let mut wheel = Wheel::new(start);
        for millis in [500, 5, 32_000, 10, 500] {
            wheel.insert(start + ms(millis), millis);
        }
        assert_eq!(wheel.next_deadline(), Some(start + ms(10)));
        assert!(fired(&mut wheel, start + ms(9)).is_empty());
        assert_eq!(fired(&mut wheel, start + ms(10)), [5, 10]);
        assert_eq!(wheel.next_deadline(), Some(start + ms(500)));
        assert_eq!(fired(&mut wheel, start + ms(32_000)), [500, 500, 32_000]);
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn a_timer_of_the_past_fires_with_the_next_tick() {
        let start = origin();
        let mut wheel = Wheel::new(start);
        assert_eq!(fired(&mut wheel, start + ms(1000)), [] as [&str; 0]);
        wheel.insert(start, "late");
        assert_eq!(fired(&mut wheel, start + ms(1009)), [] as [&str; 0]);
        assert_eq!(fired(&mut wheel, start + ms(1010)), ["late"]);
    }

    #[test]
    fn a_timer_beyond_one_turn_waits_for_its_own() {
        let start = origin();
        let mut wheel = Wheel::new(start);
        wheel.insert(start + ms(180_000), "C");
        assert_eq!(fired(&mut wheel, start + ms(179_990)), [] as [&str; 0]);
        assert_eq!(wheel.next_deadline(), Some(start + ms(180_000)));
        assert_eq!(fired(&mut wheel, start + ms(180_000)), ["C"]);
    }

    #[test]
    fn a_timer_exactly_one_turn_ahead_is_found() {
        let start = origin();
        let mut wheel = Wheel::new(start);
        fired(&mut wheel, start + ms(10 * 63));
        let turn = ms(10 * SLOTS as u64);
        wheel.insert(start + ms(10 * 63) + turn, "E");
        assert_eq!(wheel.next_deadline(), Some(start + ms(10 * 63) + turn));
        assert_eq!(fired(&mut wheel, start + ms(10 * 63) + turn), ["E"]);
    }

    #[test]
    fn a_cancelled_timer_is_gone_and_its_place_is_used_again() {
        let start = origin();
        let mut wheel = Wheel::new(start);
        let first = wheel.insert(start + ms(100), 'a');
        assert_eq!(wheel.cancel(first), Some('a'));
        let room = wheel.nodes.len();
        let second = wheel.insert(start + ms(200), 'b');
        assert_eq!(wheel.nodes.len(), room);
        assert_eq!(wheel.cancel(first), None, "the old id must not reach the new timer");
        assert_eq!(fired(&mut wheel, start + ms(300)), ['b']);
        assert_eq!(wheel.cancel(second), None);
        assert!(wheel.is_empty());
    }

    /// Numbers that look random and are the same in each run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % limit
        }
    }

    /// A heap and a set of cancelled keys, which is what the wheel replaces.
    #[derive(Default)]
    struct Model {
        heap: BinaryHeap<Reverse<(u64, usize)>>,
        gone: HashSet<usize>,
    }

    impl Model {
        fn first_tick(&mut self) -> Option<u64> {
            while let Some(Reverse((tick, key))) = self.heap.peek().copied() {
                if !self.gone.contains(&key) {
                    return Some(tick);
                }
                self.heap.pop();
            }
            None
        }

        fn advance(&mut self, now: u64) -> Vec<usize> {
            let mut fired = Vec::new();
            while self.first_tick().is_some_and(|tick| tick <= now) {
                let Reverse((_, key)) = self.heap.pop().unwrap();
                self.gone.insert(key);
                fired.push(key);
            }
            fired
        }
    }

    #[test]
    fn the_wheel_does_what_a_heap_does() {
        for seed in 1..=40 {
            let mut random = Random(seed);
            let start = origin();
            let (mut wheel, mut model) = (Wheel::new(start), Model::default());
            let mut ids = Vec::new();
            let mut now = 0;
            for _ in 0..3000 {
                match random.below(10) {
                    0..5 => {
                        let deadline = now + [20, 500, 32_000, 200_000][random.below(4) as usize];
                        let deadline = deadline - random.below(20);
                        let tick = deadline.div_ceil(10).max(now / 10 + 1);
                        model.heap.push(Reverse((tick, ids.len())));
                        ids.push(wheel.insert(start + ms(deadline), ids.len()));
                    }
                    5..7 if !ids.is_empty() => {
                        let key = random.below(ids.len() as u64) as usize;
                        let was_set = model.gone.insert(key);
                        assert_eq!(wheel.cancel(ids[key]), was_set.then_some(key));
                    }
                    _ => {
                        now += [1, 10, 300, 50_000][random.below(4) as usize];
                        let mut expected = model.advance(now / 10);
                        let mut found = fired(&mut wheel, start + ms(now));
                        expected.sort_unstable();
                        found.sort_unstable();
                        assert_eq!(found, expected, "seed {seed} at {now} ms");
                    }
                }
                assert_eq!(wheel.is_empty(), model.first_tick().is_none());
                if let Some(tick) = model.first_tick() {
                    let next = wheel.next_deadline().unwrap();
                    assert!(next <= start + ms(tick * 10), "seed {seed}: too late at {now} ms");
                    assert!(next > start + ms(now), "seed {seed}: already past at {now} ms");
                }
            }
        }
    }
}
