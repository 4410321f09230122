//! Which destination comes first.

use std::collections::BTreeMap;

use super::Destination;
use super::load::Loads;
use crate::script::error::RouteError;
use crate::script::route::Route;

/// How the first destination is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    CallId,
    From,
    To,
    RequestUri,
    RoundRobin,
    Random,
    Priority,
    Weight,
    CallLoad,
}

/// Kamailio's numbers.
const NUMBERS: &[(i64, Algorithm)] = &[
    (0, Algorithm::CallId),
    (1, Algorithm::From),
    (2, Algorithm::To),
    (3, Algorithm::RequestUri),
    (4, Algorithm::RoundRobin),
    (6, Algorithm::Random),
    (8, Algorithm::Priority),
    (9, Algorithm::Weight),
    (10, Algorithm::CallLoad),
];

impl Algorithm {
    pub(super) fn from_number(number: i64) -> Option<Self> {
        NUMBERS.iter().find(|(own, _)| *own == number).map(|(_, algorithm)| *algorithm)
    }
}

/// The destinations of one set.
#[derive(Debug)]
pub(super) struct DestinationSet {
    pub(super) id: u32,
    destinations: Vec<Destination>,
}

/// Every set.
#[derive(Debug, Default)]
pub(super) struct Sets(BTreeMap<u32, DestinationSet>);

impl Sets {
    pub(super) fn new(destinations: &[Destination]) -> Self {
        let mut sets = Self::default();
        for destination in destinations {
            let id = destination.set;
            let set = sets.0.entry(id).or_insert(DestinationSet { id, destinations: Vec::new() });
            set.destinations.push(destination.clone());
        }
        sets
    }

    pub(super) fn find(&self, set: i64) -> Option<&DestinationSet> {
        self.0.get(&u32::try_from(set).ok()?)
    }

    /// The flags that the store has for a destination; `None` when there is none such.
    pub(super) fn flags_of(&self, uri: &str) -> Option<u32> {
        let mut all = self.iter().flat_map(|set| &set.destinations);
        all.find(|destination| *destination.uri == *uri).map(|destination| destination.flags)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &DestinationSet> {
        self.0.values()
    }
}

impl DestinationSet {
    pub(super) fn uris(&self) -> impl Iterator<Item = &str> {
        self.destinations.iter().map(|destination| &*destination.uri)
    }

    /// Every destination, in the order in which they shall be tried; `turn` counts the messages of the set.
    pub(super) fn in_order(
        &self,
        route: &Route,
        algorithm: Algorithm,
        turn: u64,
        loads: &Loads,
    ) -> Result<Vec<&str>, RouteError> {
        let count = self.destinations.len() as u64;
        let first = match algorithm {
            Algorithm::CallId => hash(route.message.call_id()?) % count,
            Algorithm::From => hash(route.message.from()?.uri) % count,
            Algorithm::To => hash(route.message.to()?.uri) % count,
            Algorithm::RequestUri => hash(route.message.request_uri()) % count,
            Algorithm::RoundRobin => turn % count,
            Algorithm::Random => rand::random_range(0..count),
            Algorithm::Priority => return Ok(self.by_priority()),
            Algorithm::CallLoad => return Ok(self.by_load(route, loads)),
            Algorithm::Weight => self.by_weight(turn) as u64,
        };
        let mut uris: Vec<_> = self.uris().collect();
        uris.rotate_left(first as usize);
        Ok(uris)
    }

    fn by_priority(&self) -> Vec<&str> {
        let mut destinations: Vec<_> = self.destinations.iter().collect();
        destinations.sort_by_key(|destination| std::cmp::Reverse(destination.priority));
        destinations.into_iter().map(|destination| &*destination.uri).collect()
    }

    /// Who has the fewest calls comes first, and who has as many as it may not at all.
    fn by_load(&self, route: &Route, loads: &Loads) -> Vec<&str> {
        let now = route.now();
        let all = self.destinations.iter();
        let mut destinations: Vec<_> = all.map(|it| (loads.of(now, &it.uri), it)).collect();
        destinations.retain(|(load, it)| it.maxload == 0 || *load < it.maxload);
        destinations.sort_by_key(|(load, _)| *load);
        destinations.into_iter().map(|(_, destination)| &*destination.uri).collect()
    }

    /// The destination whose turn it is: in as many turns as the sum of weights, each has as many as its weight,
    /// spread out.
    fn by_weight(&self, turn: u64) -> usize {
        let total: u64 = self.destinations.iter().map(|it| u64::from(it.weight)).sum();
        if total == 0 {
            return (turn % self.destinations.len() as u64) as usize;
        }
        let mut place = turn % total * stride(total) % total;
        for (index, destination) in self.destinations.iter().enumerate() {
            let weight = u64::from(destination.weight);
            if place < weight {
                return index;
            }
            place -= weight;
        }
        0
    }
}

/// A step that visits each of `total` places once, far apart: near the golden section, and without a common divisor.
fn stride(total: u64) -> u64 {
    let divisor = |mut a: u64, mut b: u64| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let near = (total * 618 / 1000).max(1);
    (near..=total).find(|step| divisor(*step, total) == 1).unwrap_or(1)
}

/// The same for the same text in every worker, and after a restart.
fn hash(text: &str) -> u64 {
    ahash::RandomState::with_seeds(1, 2, 3, 4).hash_one(text)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::script::router::recording::message_route;

    /// A set of `a`, `b` … with these weights, which are their priorities, too.
    fn set(weights: &[u16]) -> DestinationSet {
        let names = ["a", "b", "c", "d"].into_iter();
        let destinations = names.zip(weights).map(|(name, weight)| Destination {
            set: 1,
            uri: name.into(),
            priority: *weight,
            weight: *weight,
            maxload: 2,
            flags: 0,
        });
        DestinationSet { id: 1, destinations: destinations.collect() }
    }

    fn orders(set: &DestinationSet, algorithm: Algorithm, turns: u64) -> Vec<String> {
        let route = message_route(&Rc::default());
        let order =
            |turn| set.in_order(&route, algorithm, turn, &Loads::default()).unwrap().concat();
        (0..turns).map(order).collect()
    }

    #[test]
    fn one_comes_after_the_other() {
        assert_eq!(
            orders(&set(&[1, 1, 1]), Algorithm::RoundRobin, 4),
            ["abc", "bca", "cab", "abc"]
        );
    }

    #[test]
    fn the_highest_priority_comes_first() {
        assert_eq!(orders(&set(&[1, 9, 5, 9]), Algorithm::Priority, 2), ["bdca", "bdca"]);
    }

    #[test]
    fn weights_are_shares() {
        let set = set(&[50, 30, 20, 0]);
        let orders = orders(&set, Algorithm::Weight, 1000);
        let share = |name: &str| orders.iter().filter(|order| order.starts_with(name)).count();
        assert_eq!([share("a"), share("b"), share("c"), share("d")], [500, 300, 200, 0]);
        let longest = orders.chunk_by(|a, b| a == b).map(<[_]>::len).max();
        assert!(longest <= Some(3), "{longest:?}: spread out");
    }

    #[test]
    fn who_has_the_fewest_calls_comes_first_and_who_is_full_not_at_all() {
        let (set, loads, route) =
            (set(&[0, 0, 0]), Loads::default(), message_route(&Rc::default()));
        let order = || set.in_order(&route, Algorithm::CallLoad, 0, &loads).unwrap().concat();
        let (now, long) = (route.now(), std::time::Duration::from_secs(60));
        let place = |id: &str, uri: &str| loads.place(now, id, route.key.unwrap(), uri, long);
        assert_eq!(order(), "abc");
        place("1", "a");
        assert_eq!(order(), "bca");
        place("2", "b");
        place("3", "b");
        assert_eq!(order(), "ca");
    }

    #[test]
    fn without_any_weight_one_comes_after_the_other() {
        assert_eq!(orders(&set(&[0, 0]), Algorithm::Weight, 2), ["ab", "ba"]);
    }

    #[test]
    fn what_belongs_together_goes_one_way() {
        let set = set(&[1, 1, 1, 1]);
        for algorithm in [Algorithm::CallId, Algorithm::From, Algorithm::To, Algorithm::RequestUri]
        {
            let mut orders = orders(&set, algorithm, 20);
            orders.dedup();
            assert_eq!(orders.len(), 1, "{algorithm:?}");
        }
        let mut route = message_route(&Rc::default());
        let mut firsts: Vec<_> = (0..100)
            .map(|n| {
                route.message.set_header("Call-ID", &n.to_string()).unwrap();
                set.in_order(&route, Algorithm::CallId, 0, &Loads::default()).unwrap()[0]
            })
            .collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts, ["a", "b", "c", "d"]);
        let mut random = orders(&set, Algorithm::Random, 200);
        random.sort_unstable();
        random.dedup();
        assert_eq!(random.len(), 4);
    }

    #[test]
    fn no_number_stands_for_two() {
        for (row, (number, algorithm)) in NUMBERS.iter().enumerate() {
            let others = &NUMBERS[row + 1..];
            assert!(others.iter().all(|(n, a)| n != number && a != algorithm), "{number}");
        }
        assert_eq!(Algorithm::from_number(5), None);
    }
}
