//! How many calls each destination has, for algorithm 10.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ahash::AHashMap;

use crate::script::ending::Ending;
use crate::sip::transaction::ServerKey;

/// The most calls that are counted.
pub(super) const MAX_CALLS: usize = 1_000_000;

/// A call on its way to a destination.
#[derive(Debug)]
struct Call {
    destination: Box<str>,
    /// The transaction of its INVITE.
    key: ServerKey,
    expires: Instant,
}

/// Every call that algorithm 10 has placed.
#[derive(Default)]
pub(super) struct Loads {
    state: Mutex<State>,
    /// How many there are, to be asked without the lock.
    count: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// By Call-ID.
    calls: AHashMap<Box<str>, Call>,
    /// The Call-ID of each INVITE without a final response.
    invites: AHashMap<ServerKey, Box<str>>,
    ends: BTreeSet<(Instant, Box<str>)>,
    /// By destination.
    sizes: AHashMap<Box<str>, u32>,
}

impl Loads {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let state = &mut *self.lock();
        let result = change(state);
        self.count.store(state.calls.len(), Ordering::Release);
        result
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// How many calls a destination has.
    pub(super) fn of(&self, now: Instant, destination: &str) -> u32 {
        self.change(|state| {
            state.forget(now);
            state.sizes.get(destination).copied().unwrap_or_default()
        })
    }

    /// A call goes to a destination, and to no other any longer; it is forgotten after a time.
    pub(super) fn place(
        &self,
        now: Instant,
        call_id: &str,
        key: ServerKey,
        destination: &str,
        lasts: Duration,
    ) {
        self.change(|state| {
            state.remove(call_id);
            if state.calls.len() >= MAX_CALLS {
                return tracing::warn!("dispatcher: too many calls to count them all");
            }
            let expires = now + lasts;
            let call = Call { destination: destination.into(), key, expires };
            state.calls.insert(call_id.into(), call);
            state.invites.insert(key, call_id.into());
            state.ends.insert((expires, call_id.into()));
            *state.sizes.entry(destination.into()).or_default() += 1;
        });
    }

    /// Takes what became of a request; a call that was taken is forgotten after a time.
    pub(super) fn end(&self, ending: &Ending<'_>, lasts: Duration) {
        if self.is_empty() {
            return;
        }
        if ending.is_method("INVITE") {
            return self.change(|state| {
                let Some(call_id) = state.invites.remove(&ending.key) else { return };
                match ending.is_success() {
                    true => state.prolong(&call_id, ending.now + lasts),
                    false => state.remove(&call_id),
                }
            });
        }
        // Who must prove to have sent the BYE sends it again.
        if ending.is_method("BYE") && !matches!(ending.status, Some(401 | 407)) {
            let request = ending.request();
            let call_id = request.as_ref().and_then(|request| request.call_id().ok());
            call_id.into_iter().for_each(|call_id| self.change(|state| state.hang_up(call_id)));
        }
    }
}

impl State {
    fn forget(&mut self, now: Instant) {
        while let Some((_, call_id)) = self.ends.first().filter(|(end, _)| *end <= now).cloned() {
            self.remove(&call_id);
        }
    }

    /// A call that was taken is over; any other ends with its INVITE.
    fn hang_up(&mut self, call_id: &str) {
        let is_open = |call: &Call| self.invites.contains_key(&call.key);
        if !self.calls.get(call_id).is_some_and(is_open) {
            self.remove(call_id);
        }
    }

    fn remove(&mut self, call_id: &str) {
        let Some((call_id, call)) = self.calls.remove_entry(call_id) else { return };
        self.invites.remove(&call.key);
        self.ends.remove(&(call.expires, call_id));
        if let Some(size) = self.sizes.get_mut(&call.destination) {
            *size -= 1;
            if *size == 0 {
                self.sizes.remove(&call.destination);
            }
        }
    }

    fn prolong(&mut self, call_id: &str, end: Instant) {
        let Some(call) = self.calls.get_mut(call_id) else { return };
        self.ends.remove(&(call.expires, call_id.into()));
        call.expires = end;
        self.ends.insert((end, call_id.into()));
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;

    use super::*;
    use crate::script::ending::AtEnd;
    use crate::script::ending::sample::end;
    use crate::script::router::recording::request;
    use crate::sip::transaction::KeySeed;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_call_counts_until_it_fails_or_ends() {
        let loads = Arc::<Loads>::default();
        let (now, known) = (crate::clock::now(), loads.clone());
        let hook: AtEnd = Rc::new(move |ending| {
            known.end(ending, LONG);
            None
        });
        let hooks = [hook];
        let key = KeySeed::new().by_branch("z9hG4bKx", "h", None, "INVITE").unwrap();
        let place = |uri: &str| loads.place(now, "call-1", key, uri, LONG);
        let sizes = || [loads.of(now, "a"), loads.of(now, "b")];
        let (invite, bye) = (request("INVITE", "sip:x", ""), request("BYE", "sip:x", ""));
        place("a");
        assert_eq!(sizes(), [1, 0]);
        place("b");
        assert_eq!(sizes(), [0, 1], "the next try");
        end(&hooks, &invite, Some(key), Some(503), 0);
        assert_eq!(sizes(), [0, 0]);
        place("a");
        end(&hooks, &bye, None, Some(481), 0);
        assert_eq!(sizes(), [1, 0], "it rings");
        end(&hooks, &invite, Some(key), Some(200), 0);
        end(&hooks, &invite, None, Some(488), 0);
        end(&hooks, &bye, None, Some(407), 0);
        assert_eq!(sizes(), [1, 0]);
        end(&hooks, &bye, None, None, 0);
        assert!(loads.is_empty());
    }

    #[test]
    fn a_call_whose_end_nobody_sees_is_forgotten() {
        let (now, loads) = (crate::clock::now(), Loads::default());
        let key = KeySeed::new().by_branch("z9hG4bKx", "h", None, "INVITE").unwrap();
        loads.place(now, "call-1", key, "a", LONG);
        assert_eq!(loads.of(now + LONG / 2, "a"), 1);
        assert_eq!(loads.of(now + LONG, "a"), 0);
        assert!(loads.is_empty());
    }
}
