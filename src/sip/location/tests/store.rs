//! What the store is given and gives back.

use super::*;

/// What a store holds that is given every change.
#[derive(Default)]
struct Rows(std::collections::BTreeMap<Arc<str>, Binding>);

impl Rows {
    fn catch_up(&mut self, location: &mut Location) {
        for row in location.take_changes() {
            match location.row(&row) {
                Some(binding) => self.0.insert(row.0, binding.clone()),
                None => self.0.remove(&row.0),
            };
        }
    }

    fn uris(&self) -> Vec<&str> {
        self.0.values().map(|binding| &*binding.uri).collect()
    }
}

#[test]
fn the_store_follows() {
    let (mut registrar, mut rows) = (Registrar::new(), Rows::default());
    registrar.takes(1, "Contact: <sip:a@h>, <sip:b@h>;expires=60\r\n").unwrap();
    rows.catch_up(&mut registrar.location);
    assert_eq!(rows.uris(), ["sip:a@h", "sip:b@h"]);
    registrar.takes(2, "Contact: <sip:a@h>;q=0.5;expires=100\r\n").unwrap();
    registrar.takes(3, "Contact: <sip:a@h>;q=0.7;expires=100\r\n").unwrap();
    assert_eq!(registrar.location.changes(), 1, "however often it changes, it is written once");
    rows.catch_up(&mut registrar.location);
    assert_eq!(rows.0.values().map(|binding| binding.q).collect::<Vec<_>>(), [700, 1000]);
    registrar.now += seconds(60);
    registrar.location.sweep(registrar.now, 10);
    rows.catch_up(&mut registrar.location);
    assert_eq!(rows.uris(), ["sip:a@h"]);
    assert_eq!(registrar.location.unregister(registrar.now, ALICE, None), 1);
    rows.catch_up(&mut registrar.location);
    assert!(rows.0.is_empty());
}

#[test]
fn what_comes_and_goes_while_the_store_is_away_costs_nothing() {
    let mut registrar = Registrar::new();
    for cseq in 0..100 {
        registrar.takes(2 * cseq, "Contact: <sip:a@h>\r\n").unwrap();
        registrar.takes(2 * cseq + 1, "Contact: *\r\nExpires: 0\r\n").unwrap();
    }
    assert_eq!(registrar.location.changes(), 0);
}

#[test]
fn what_shall_stay_in_memory_leaves_the_store() {
    let (mut registrar, mut rows) = (Registrar::new(), Rows::default());
    registrar.takes(1, "Contact: <sip:a@h>\r\n").unwrap();
    rows.catch_up(&mut registrar.location);
    let again = request("sip:alice@sip.example", "one", 2, "Contact: <sip:a@h>\r\n");
    let manner = Manner { is_volatile: true, ..Manner::default() };
    registrar.hears_as(&again, manner).unwrap();
    rows.catch_up(&mut registrar.location);
    assert_eq!((rows.0.len(), registrar.uris().len()), (0, 1));
}

#[test]
fn what_the_store_kept_returns_unless_memory_knows_better() {
    let (mut old, mut rows) = (Registrar::new(), Rows::default());
    old.takes(1, "Contact: <sip:a@h>;q=0.5, <sip:b@h>\r\n").unwrap();
    rows.catch_up(&mut old.location);

    let mut new = Registrar::new();
    new.location.run = "run2".into();
    new.takes(9, "Contact: <sip:a@h>;q=0.9\r\n").unwrap();
    for binding in rows.0.values().cloned().collect::<Vec<_>>() {
        new.location.restore(new.now, ALICE.into(), binding);
    }
    assert_eq!(new.uris(), ["sip:b@h", "sip:a@h"]);
    assert_eq!(new.location.contacts(new.now, ALICE).last().unwrap().q, 900);
    rows.catch_up(&mut new.location);
    assert_eq!(rows.uris(), ["sip:b@h", "sip:a@h"], "the row that is older is gone");
    new.location.restore(
        new.now + seconds(3600),
        ALICE.into(),
        rows.0.values().next().unwrap().clone(),
    );
    assert_eq!(new.location.changes(), 1, "what has expired meanwhile goes");
}

#[test]
fn a_sweep_looks_at_no_more_than_it_is_told() {
    let mut registrar = Registrar::new();
    registrar.location.rules.max_addresses = 10;
    for user in 0..10 {
        let to = format!("sip:u{user}@h");
        registrar.hears(&request(&to, &to, 1, "Contact: <sip:a@h>;expires=60\r\n")).unwrap();
        registrar.hears(&request(&to, &to, 2, "Contact: <sip:a@h>;expires=70\r\n")).unwrap();
    }
    assert_eq!(registrar.location.alarms.len(), 10);
    let later = registrar.now + seconds(65);
    assert!(registrar.location.sweep(later, 6), "there may be more");
    assert!(!registrar.location.sweep(later, 6));
    assert_eq!(registrar.location.len(), 10, "all were refreshed");
    assert!(!registrar.location.sweep(registrar.now + seconds(70), 11));
    assert!(registrar.location.is_empty() && registrar.location.alarms.is_empty());
}
