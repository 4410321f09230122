//! Going through all contacts in slices, so that nobody waits for long.
//!
//! Each address of record has a place on a circle, by a hash of it: parts of the circle have about as many each.

use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::sync::Arc;

/// A place on the circle and the address of record that has it.
pub(super) type Place = (u64, Arc<str>);

/// How far one has come in a part of the contacts.
#[derive(Clone, Debug)]
pub struct Walk {
    pub(super) from: Bound<Place>,
    pub(super) to: Bound<Place>,
    is_done: bool,
}

impl Walk {
    /// The part of this number, from 0, where the contacts are in so many parts of about the same size.
    ///
    /// As long as an address of record is registered, it is in the same part.
    pub fn part(number: u64, parts: u64) -> Self {
        let parts = u128::from(parts.max(1));
        let border = |number: u128| u64::try_from((number << 64) / parts).ok();
        let place = |at: u64| (at, Arc::from(""));
        let number = u128::from(number) % parts;
        Self {
            from: Included(place(border(number).unwrap_or(u64::MAX))),
            to: border(number + 1).map_or(Unbounded, |at| Excluded(place(at))),
            is_done: false,
        }
    }

    /// Has everything been seen?
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// There is nothing more to see.
    pub fn finish(&mut self) {
        self.is_done = true;
    }

    pub(super) fn pass(&mut self, place: &Place) {
        self.from = Excluded(place.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_without_a_gap() {
        for parts in [1, 2, 3, 7, 86_400] {
            let all: Vec<_> = (0..parts).map(|number| Walk::part(number, parts)).collect();
            assert_eq!(all[0].from, Included((0, "".into())));
            for pair in all.windows(2) {
                let (Excluded(end), Included(start)) = (&pair[0].to, &pair[1].from) else {
                    panic!("{pair:?}");
                };
                assert_eq!(end, start);
            }
            assert_eq!(all.last().map(|part| &part.to), Some(&Unbounded));
        }
        assert_eq!(Walk::part(9, 4).from, Walk::part(1, 4).from);
    }
}
