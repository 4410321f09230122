//! The dialogs that all workers know, and how many each profile counts.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ahash::AHashMap;
use smallvec::SmallVec;

use super::profile::Profile;
use crate::script::error::RouteError;
use crate::sip::transaction::ServerKey;

/// The most profiles that one dialog is counted in.
const MAX_PROFILES: usize = 32;

/// The most dialogs with one Call-ID and caller's tag: a well-behaved caller has one.
const MAX_ALIKE: usize = 16;

/// What names a dialog here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id(u64);

impl Id {
    /// As it stands in Record-Route.
    pub(super) fn text(self) -> String {
        format!("{:x}", self.0)
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

/// How long dialogs are followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lives {
    /// Before the INVITE has its final response.
    pub(super) early: Duration,
    /// After it was taken.
    pub(super) confirmed: Duration,
}

/// A dialog that may begin.
pub(super) struct New<'n> {
    pub(super) call_id: &'n str,
    /// The tag of From.
    pub(super) caller: &'n str,
    /// The transaction of the INVITE.
    pub(super) key: ServerKey,
    pub(super) lives: Lives,
    /// The INVITE has come through us before.
    pub(super) is_spiral: bool,
}

#[derive(Debug)]
struct Dialog {
    call: Call,
    /// The tag of the callee once the INVITE was taken.
    callee: Option<Box<str>>,
    key: ServerKey,
    expires: Instant,
    lasts: Duration,
    profiles: Vec<Profile>,
}

/// Call-ID and the caller's tag.
type Call = (Box<str>, Box<str>);

/// Every dialog.
#[derive(Default)]
pub(super) struct Dialogs {
    state: Mutex<State>,
    /// How many there are, to be asked without the lock.
    count: AtomicUsize,
}

#[derive(Default)]
struct State {
    last: u64,
    dialogs: AHashMap<Id, Dialog>,
    calls: AHashMap<Call, SmallVec<[Id; 1]>>,
    /// Dialogs whose INVITE has no final response yet.
    invites: AHashMap<ServerKey, Id>,
    ends: BTreeSet<(Instant, Id)>,
    sizes: AHashMap<Profile, i64>,
}

impl Dialogs {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what there is, and counts it.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let state = &mut *self.lock();
        let result = change(state);
        self.count.store(state.dialogs.len(), Ordering::Release);
        result
    }

    /// Is none followed?
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Begins to follow a dialog; tells whether it is new, since a spiral brings it twice. Whoever calls twice with one Call-ID
    /// has two dialogs.
    pub(super) fn create(
        &self,
        now: Instant,
        limit: usize,
        new: &New<'_>,
    ) -> Result<(Id, bool), RouteError> {
        self.change(|state| {
            state.forget(now);
            let call: Call = (new.call_id.into(), new.caller.into());
            let alike = state.calls.get(&call).map_or(&[][..], |ids| ids);
            let known = state.invites.get(&new.key).or(alike.first().filter(|_| new.is_spiral));
            if let Some(id) = known {
                return Ok((*id, false));
            }
            if state.dialogs.len() >= limit || alike.len() >= MAX_ALIKE {
                return Err(RouteError::Overload("the table of dialogs"));
            }
            state.last += 1;
            let id = Id(state.last);
            let expires = now + new.lives.early;
            state.calls.entry(call.clone()).or_default().push(id);
            state.invites.insert(new.key, id);
            state.ends.insert((expires, id));
            let dialog = Dialog {
                call,
                callee: None,
                key: new.key,
                expires,
                lasts: new.lives.confirmed,
                profiles: Vec::new(),
            };
            state.dialogs.insert(id, dialog);
            Ok((id, true))
        })
    }

    /// The dialog that has not begun yet, and whose INVITE this is.
    pub(super) fn begins_with(&self, key: ServerKey) -> Option<Id> {
        self.lock().invites.get(&key).copied()
    }

    /// The INVITE was taken by the callee of this tag, or it has failed.
    pub(super) fn settle(&self, now: Instant, key: ServerKey, callee: Option<&str>) {
        self.change(|state| {
            let Some(id) = state.invites.remove(&key) else { return };
            match (callee, state.dialogs.get_mut(&id)) {
                (Some(callee), Some(dialog)) => {
                    dialog.callee = Some(callee.into());
                    let lasts = dialog.lasts;
                    state.set_end(id, now + lasts);
                }
                _ => state.remove(id),
            }
        });
    }

    /// The dialog with this Call-ID between these tags, from either side; else the one that is named, when it has the Call-ID.
    pub(super) fn find(
        &self,
        now: Instant,
        call_id: &str,
        from: &str,
        to: &str,
        named: Option<Id>,
    ) -> Option<Id> {
        let state = self.lock();
        let live = |id: &Id| state.dialogs.get(id).filter(|dialog| dialog.expires > now);
        let between = |caller: &str, callee: &str| {
            let ids = state.calls.get(&(call_id.into(), caller.into()))?;
            let is_of = |id: &&Id| live(id).is_some_and(|it| it.callee.as_deref() == Some(callee));
            let may_be =
                |id: &&Id| live(id).is_some_and(|it| it.callee.is_none() || callee.is_empty());
            ids.iter().find(is_of).or_else(|| ids.iter().find(may_be)).copied()
        };
        let by_tags = between(from, to).or_else(|| between(to, from));
        let is_named = |id: &Id| live(id).is_some_and(|it| *it.call.0 == *call_id);
        by_tags.or_else(|| named.filter(is_named))
    }

    /// A dialog is over. One whose INVITE is not answered ends with that.
    pub(super) fn end(&self, id: Id) {
        self.change(|state| {
            if state.dialogs.get(&id).is_some_and(|dialog| dialog.callee.is_some()) {
                state.remove(id);
            }
        });
    }

    /// How long the dialog lasts, from its answer or from now on.
    pub(super) fn set_timeout(&self, now: Instant, id: Id, lasts: Duration) -> bool {
        self.change(|state| {
            let Some(dialog) = state.dialogs.get_mut(&id) else { return false };
            dialog.lasts = lasts;
            if dialog.callee.is_some() {
                state.set_end(id, now + lasts);
            }
            true
        })
    }

    /// Counts a dialog in a profile, once.
    pub(super) fn enter(&self, id: Id, profile: Profile) -> Result<bool, RouteError> {
        let state = &mut *self.lock();
        let Some(dialog) = state.dialogs.get_mut(&id) else { return Ok(false) };
        if dialog.profiles.contains(&profile) {
            return Ok(true);
        }
        if dialog.profiles.len() >= MAX_PROFILES {
            return Err(RouteError::Overload("the number of profiles of a dialog"));
        }
        dialog.profiles.push(profile.clone());
        state.count(&profile, 1);
        Ok(true)
    }

    /// Counts a dialog no longer; false when it was not counted.
    pub(super) fn leave(&self, id: Id, profile: &Profile) -> bool {
        let state = &mut *self.lock();
        let Some(dialog) = state.dialogs.get_mut(&id) else { return false };
        let Some(at) = dialog.profiles.iter().position(|it| it == profile) else { return false };
        dialog.profiles.swap_remove(at);
        state.count(profile, -1);
        true
    }

    /// Is the dialog counted there? A whole profile counts all its values.
    pub(super) fn is_in(&self, id: Id, profile: &Profile) -> bool {
        let is_it =
            |it: &Profile| it == profile || (profile.value.is_none() && it.name == profile.name);
        self.lock().dialogs.get(&id).is_some_and(|dialog| dialog.profiles.iter().any(is_it))
    }

    /// How many dialogs are counted there.
    pub(super) fn size(&self, now: Instant, profile: &Profile) -> i64 {
        self.change(|state| {
            state.forget(now);
            state.sizes.get(profile).copied().unwrap_or_default()
        })
    }
}

impl State {
    /// Forgets the dialogs whose time is over.
    fn forget(&mut self, now: Instant) {
        while let Some((end, id)) = self.ends.first().copied().filter(|(end, _)| *end <= now) {
            tracing::debug!(id = id.0, "a dialog was followed for as long as it may last");
            self.ends.remove(&(end, id));
            self.remove(id);
        }
    }

    fn remove(&mut self, id: Id) {
        let Some(dialog) = self.dialogs.remove(&id) else { return };
        if let Some(alike) = self.calls.get_mut(&dialog.call) {
            alike.retain(|it| *it != id);
            if alike.is_empty() {
                self.calls.remove(&dialog.call);
            }
        }
        self.invites.remove(&dialog.key);
        self.ends.remove(&(dialog.expires, id));
        dialog.profiles.iter().for_each(|profile| self.count(profile, -1));
    }

    fn set_end(&mut self, id: Id, end: Instant) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        self.ends.remove(&(dialog.expires, id));
        dialog.expires = end;
        self.ends.insert((end, id));
    }

    /// Counts for the value, and for the profile as a whole.
    fn count(&mut self, profile: &Profile, step: i64) {
        let whole = profile.value.is_some().then(|| profile.whole());
        for counter in whole.iter().chain([profile]) {
            let size = self.sizes.entry(counter.clone()).or_default();
            *size += step;
            if *size <= 0 {
                self.sizes.remove(counter);
            }
        }
    }
}
