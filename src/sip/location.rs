//! The contacts of each address of record (RFC 3261 §10.3).

mod address;
mod binding;
mod error;
mod gruu;
mod journal;
mod methods;
mod registration;
mod rules;
mod temporary;
mod walk;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;

pub use self::address::{AddressRules, parts_of_address};
pub use self::binding::{BEST, Binding, Place};
pub use self::error::RegisterError;
use self::gruu::Gruu;
use self::journal::Journal;
pub use self::journal::{Changes, Row};
use self::registration::Asked;
pub use self::registration::{Manner, Registration};
pub use self::rules::{OutboundMode, PathMode, Rules};
use self::temporary::{Meant, Temporaries};
pub use self::walk::Walk;
use super::Uri;

/// For this long the same REGISTER may come again, since its answer was lost or is late (RFC 3261 §17.1.2.2).
const REPEATS: Duration = Duration::from_secs(32);

/// Every binding of one table, in memory.
#[derive(Debug)]
pub struct Location {
    rules: Rules,
    /// What the bindings' own names begin with, no other run's.
    run: String,
    named: u64,
    records: AHashMap<Arc<str>, Record>,
    /// When to look at each address of record for what has expired: not after the first of its contacts does.
    alarms: BTreeSet<(Instant, Arc<str>)>,
    /// Each address of record at its place, for walks.
    circle: BTreeSet<walk::Place>,
    /// Gives places that nobody outside foresees.
    places: ahash::RandomState,
    temporaries: Temporaries,
    /// There is a store behind.
    journal: Option<Journal>,
}

/// The bindings of one address of record.
#[derive(Debug)]
struct Record {
    /// The best first, the newest first among equals. Never empty.
    bindings: Vec<Binding>,
    alarm: Instant,
}

impl Record {
    fn live(&self, now: Instant) -> impl Iterator<Item = &Binding> {
        self.bindings.iter().filter(move |binding| binding.expires_at > now)
    }
}

impl Location {
    /// No bindings yet. `run` is a word that no other process and no other table has; with `has_store`, changes
    /// are noted until [`Location::take_changes`] fetches them.
    pub fn new(rules: Rules, run: impl Into<String>, has_store: bool) -> Self {
        Self {
            rules,
            run: run.into(),
            named: 0,
            records: AHashMap::new(),
            alarms: BTreeSet::new(),
            circle: BTreeSet::new(),
            places: ahash::RandomState::new(),
            temporaries: Temporaries::new(),
            journal: has_store.then(Journal::default),
        }
    }

    /// What may be registered.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Does what a REGISTER asks, all or nothing; gives the headers of the 200 (RFC 3261 §10.3 steps 6 to 8).
    pub fn register(
        &mut self,
        now: Instant,
        registration: Registration,
    ) -> Result<Vec<(&'static str, String)>, RegisterError> {
        let place = self.places.hash_one(&*registration.address);
        if registration.contacts.iter().any(|asked| self.is_temporary_of(asked, place)) {
            return Err(RegisterError::LeadsBack);
        }
        if self.is_change(now, &registration)? {
            self.apply(now, &registration);
        }
        let gruu_address = registration.gruu_address.as_deref();
        let temporary = |binding: &Binding| self.temporary_gruu(gruu_address?, binding, place);
        let live = self.contacts(now, &registration.address);
        let mut headers: Vec<_> = live
            .map(|binding| ("Contact", binding.contact(now, gruu_address, temporary(binding))))
            .collect();
        headers.extend(registration.headers);
        Ok(headers)
    }

    /// The contacts of an address of record, the best first and then the newest.
    pub fn contacts(&self, now: Instant, address: &str) -> impl Iterator<Item = &Binding> {
        self.records.get(address).into_iter().flat_map(move |record| record.live(now))
    }

    /// The next contacts of a walk with their addresses of record, no more than so many, or those of one address.
    pub fn walk(&self, now: Instant, walk: &mut Walk, at_most: usize) -> Vec<(&str, &Binding)> {
        let mut found = Vec::new();
        let mut seen = 0;
        for place in self.circle.range((walk.from.clone(), walk.to.clone())) {
            let Some(record) = self.records.get(&place.1) else { continue };
            if seen > 0 && seen + record.bindings.len() > at_most {
                return found;
            }
            seen += record.bindings.len();
            found.extend(record.live(now).map(|binding| (&*place.1, binding)));
            walk.pass(place);
        }
        walk.finish();
        found
    }

    /// The contacts that a request to this URI goes to, the best first: all of its address of record, or those of
    /// the instance that a GRUU names (RFC 5627 §5.1). Of several flows of one instance, the newest (RFC 5626 §7).
    pub fn targets(&self, now: Instant, uri: &str) -> Vec<&Binding> {
        let Ok(uri) = Uri::parse(uri) else { return Vec::new() };
        let gruu = Gruu::of(&uri);
        let live: Vec<_> = match gruu {
            Gruu::Temporary => self.of_temporary(now, &uri),
            _ => {
                let Some(address) = self.rules.address.address_of(&uri) else { return Vec::new() };
                let all = self.contacts(now, &address);
                all.filter(|binding| gruu.means(binding.instance.as_deref())).collect()
            }
        };
        let is_one = gruu != Gruu::None;
        let is_superseded = |binding: &Binding| {
            let rivals = live.iter().filter(|other| other.instance == binding.instance);
            (is_one || binding.reg_id > 0)
                && rivals.filter(|other| is_one || other.reg_id > 0).any(|other| {
                    (other.updated_at, &other.ruid) > (binding.updated_at, &binding.ruid)
                })
        };
        live.iter().copied().filter(|binding| !is_superseded(binding)).collect()
    }

    /// Forgets the contacts of an address of record: all, or the one of this URI or own name. Tells how many.
    pub fn unregister(&mut self, now: Instant, address: &str, contact: Option<&str>) -> usize {
        let Some((address, record)) = self.records.remove_entry(address) else { return 0 };
        self.alarms.remove(&(record.alarm, address.clone()));
        let is_meant = |binding: &Binding| {
            contact.is_none_or(|contact| {
                *binding.ruid == *contact || binding::is_equivalent(&binding.uri, contact)
            })
        };
        let (gone, kept): (Vec<_>, Vec<_>) = record.bindings.into_iter().partition(is_meant);
        gone.iter().for_each(|binding| self.note_gone(&address, binding));
        self.keep(address, kept);
        gone.iter().filter(|binding| binding.expires_at > now).count()
    }

    /// Forgets what has expired, looking at no more than so many addresses of record; tells whether there may be more.
    pub fn sweep(&mut self, now: Instant, at_most: usize) -> bool {
        for _ in 0..at_most {
            if self.alarms.first().is_none_or(|(alarm, _)| *alarm > now) {
                return false;
            }
            let Some((_, address)) = self.alarms.pop_first() else { return false };
            let Some(record) = self.records.remove(&address) else { continue };
            let is_live = |binding: &Binding| binding.expires_at > now;
            let (kept, gone): (Vec<_>, Vec<_>) = record.bindings.into_iter().partition(is_live);
            gone.iter().for_each(|binding| self.note_gone(&address, binding));
            self.keep(address, kept);
        }
        true
    }

    /// How many addresses of record have contacts.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Nobody is registered.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Takes a binding that the store has kept. What memory has is newer: then the store's goes.
    pub fn restore(&mut self, now: Instant, address: String, mut binding: Binding) {
        binding.is_stored = true;
        let known = self.records.get(address.as_str());
        let asked = Asked::of(&binding);
        let is_known = known.is_some_and(|record| record.live(now).any(|it| it.is_for(&asked)));
        let address: Arc<str> = address.into();
        if is_known || binding.expires_at <= now {
            return self.note_gone(&address, &binding);
        }
        let mut bindings = self.take(&address);
        bindings.push(binding);
        bindings.sort_by_key(|binding| std::cmp::Reverse((binding.q, binding.updated_at)));
        self.keep(address, bindings);
    }

    /// What has changed since the last call; ask [`Location::row`] for how it is now.
    pub fn take_changes(&mut self) -> Changes {
        self.journal.as_mut().map(Journal::take).unwrap_or_default()
    }

    /// How many bindings the store does not know as they are.
    pub fn changes(&self) -> usize {
        self.journal.as_ref().map_or(0, Journal::len)
    }

    /// The binding that the store is to have; `None` when it is to have none. It counts as stored from now on.
    pub fn row(&mut self, (ruid, address): &Row) -> Option<&Binding> {
        let record = self.records.get_mut(address)?;
        let binding = record.bindings.iter_mut().find(|binding| binding.ruid == *ruid)?;
        if binding.is_volatile {
            return None;
        }
        binding.is_stored = true;
        Some(binding)
    }

    /// §10.3 steps 6 and 7 without touching anything; false when there is nothing to do.
    fn is_change(&self, now: Instant, asks: &Registration) -> Result<bool, RegisterError> {
        let record = self.records.get(asks.address.as_str());
        let live = || record.into_iter().flat_map(|record| record.live(now));
        if asks.removes_all {
            live().try_for_each(|binding| asks.check_order(binding))?;
            return Ok(record.is_some());
        }
        let find = |asked: &Asked| live().find(|binding| binding.is_for(asked));
        let is_repeated = |asked: &Asked| match find(asked) {
            Some(binding) => asked.seconds > 0 && asks.is_repeat_of(now, binding),
            None => asked.seconds == 0,
        };
        if asks.contacts.iter().all(is_repeated) {
            return Ok(false);
        }
        let mut matched = 0;
        for binding in asks.contacts.iter().filter_map(find) {
            asks.check_order(binding)?;
            matched += 1;
        }
        let added = asks.contacts.iter().filter(|asked| asked.seconds > 0).count();
        let others = if asks.replaces_all { 0 } else { live().count() - matched };
        if added > 0 && added + others > self.rules.max_contacts {
            return Err(RegisterError::TooManyContacts);
        }
        if record.is_none() && added > 0 && self.records.len() >= self.rules.max_addresses {
            return Err(RegisterError::Full);
        }
        Ok(true)
    }

    /// §10.3 step 7: each contact takes the place of the one that it is, or removes it.
    fn apply(&mut self, now: Instant, asks: &Registration) {
        let address = match self.records.get_key_value(asks.address.as_str()) {
            Some((address, _)) => address.clone(),
            None => Arc::from(asks.address.as_str()),
        };
        let mut known = self.take(&address);
        let mut bindings: Vec<Binding> = Vec::with_capacity(asks.contacts.len() + known.len());
        let generations = self.generations(now, asks, &known);
        for asked in &asks.contacts {
            let old = known.iter().position(|binding| binding.is_for(asked));
            let old = old.map(|at| known.remove(at));
            if asked.seconds == 0 {
                old.iter().for_each(|old| self.note_gone(&address, old));
                continue;
            }
            let (ruid, is_stored) = match old {
                Some(old) => (old.ruid, old.is_stored),
                None => (self.next_name(), false),
            };
            if let Some(journal) = &mut self.journal {
                journal.note(&ruid, &address);
            }
            bindings.push(asks.binding(now, asked, ruid, is_stored));
        }
        let adds = !bindings.is_empty();
        for binding in known {
            if asks.removes_all || (asks.replaces_all && adds) || binding.expires_at <= now {
                self.note_gone(&address, &binding);
            } else {
                bindings.push(binding);
            }
        }
        for (instance, generation) in generations {
            let is_of_it = |binding: &&mut Binding| binding.instance.as_deref() == Some(instance);
            bindings.iter_mut().filter(is_of_it).for_each(|it| it.generation = Some(generation));
        }
        bindings.sort_by_key(|binding| std::cmp::Reverse(binding.q));
        self.keep(address, bindings);
    }

    /// RFC 5627 §5.1: each instance that is registered, and the generation of its temporary GRUUs: a new one when
    /// the instance is new or its Call-ID is another, so that earlier GRUUs mean nobody any longer.
    fn generations<'a>(
        &mut self,
        now: Instant,
        asks: &'a Registration,
        known: &[Binding],
    ) -> Vec<(&'a str, u64)> {
        let mut all: Vec<(&str, u64)> = Vec::new();
        for asked in asks.contacts.iter().filter(|it| it.seconds > 0 && self.rules.makes_gruus) {
            let Some(instance) = asked.instance.as_deref() else { continue };
            if all.iter().any(|(it, _)| *it == instance) {
                continue;
            }
            let live = known.iter().filter(|binding| binding.expires_at > now);
            let of_it: Vec<_> =
                live.filter(|it| it.instance.as_deref() == Some(instance)).collect();
            let is_flow = |it: &&&Binding| asked.reg_id == 0 || it.reg_id == asked.reg_id;
            let last = of_it.iter().filter(is_flow).max_by_key(|it| it.updated_at);
            let is_same_call = last.is_none_or(|last| last.call_id == asks.call_id);
            let current = of_it.iter().find_map(|it| it.generation).filter(|_| is_same_call);
            all.push((instance, current.unwrap_or_else(|| self.temporaries.next_generation())));
        }
        all
    }

    /// A new temporary GRUU for the instance of a binding.
    fn temporary_gruu(&self, gruu_address: &str, binding: &Binding, place: u64) -> Option<String> {
        let meant = Meant { place, generation: binding.generation? };
        Some(self.temporaries.make(gruu_address, meant))
    }

    /// Whom a temporary GRUU means.
    fn meant(&self, uri: &Uri<'_>) -> Option<Meant> {
        let full = address::full_address(uri, self.rules.address)?;
        self.temporaries.meant(uri, &full)
    }

    /// Is a contact a temporary GRUU of the address of record at this place (RFC 5627 §5.1)?
    fn is_temporary_of(&self, asked: &Asked, place: u64) -> bool {
        let uri = Uri::parse(&asked.uri).ok();
        let uri = uri.filter(|_| asked.instance.is_some() && asked.seconds > 0);
        uri.and_then(|uri| self.meant(&uri)).is_some_and(|meant| meant.place == place)
    }

    /// The contacts that a temporary GRUU means: none when it is not of this generation.
    fn of_temporary(&self, now: Instant, uri: &Uri<'_>) -> Vec<&Binding> {
        let Some(Meant { place, generation }) = self.meant(uri) else { return Vec::new() };
        let from = (place, Arc::from(""));
        let there = self.circle.range(from..).take_while(|it| it.0 == place);
        there
            .flat_map(|(_, address)| self.contacts(now, address))
            .filter(|binding| binding.generation == Some(generation))
            .collect()
    }

    /// The bindings of an address of record, which has none until [`Location::keep`].
    fn take(&mut self, address: &Arc<str>) -> Vec<Binding> {
        let Some(record) = self.records.get_mut(address) else { return Vec::new() };
        std::mem::take(&mut record.bindings)
    }

    fn keep(&mut self, address: Arc<str>, bindings: Vec<Binding>) {
        let first = bindings.iter().map(|binding| binding.expires_at).min();
        let alarm = self.records.get(&address).map(|record| record.alarm);
        let Some(first) = first else {
            self.records.remove(&address);
            self.circle.remove(&self.place(&address));
            if let Some(alarm) = alarm {
                self.alarms.remove(&(alarm, address));
            }
            return;
        };
        if alarm.is_none() {
            self.circle.insert(self.place(&address));
        }
        let alarm = match alarm {
            // An alarm that comes too early is set anew when it comes.
            Some(alarm) if alarm <= first => alarm,
            later => {
                if let Some(later) = later {
                    self.alarms.remove(&(later, address.clone()));
                }
                self.alarms.insert((first, address.clone()));
                first
            }
        };
        self.records.insert(address, Record { bindings, alarm });
    }

    fn place(&self, address: &Arc<str>) -> walk::Place {
        (self.places.hash_one(&**address), address.clone())
    }

    fn note_gone(&mut self, address: &Arc<str>, binding: &Binding) {
        match &mut self.journal {
            Some(journal) if binding.is_stored => journal.note(&binding.ruid, address),
            Some(journal) => journal.forget(&binding.ruid),
            None => {}
        }
    }

    fn next_name(&mut self) -> Arc<str> {
        self.named += 1;
        format!("{}-{:x}", self.run, self.named).into()
    }
}

#[cfg(test)]
mod tests;
