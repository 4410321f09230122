use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A ledger with a clock.
struct Desk {
    ledger: Ledger<&'static str>,
    now: Instant,
}

#[allow(clippy::disallowed_methods, reason = "some beginning of time")]
fn desk_with(repeats_uncertain: bool) -> Desk {
    let policy = Policy {
        attempts: 3,
        first_wait: SECOND,
        longest_wait: 10 * SECOND,
        repeats_uncertain,
        keep: 100 * SECOND,
    };
    let bounds = Bounds { messages: 6, bytes: 1000, xmpp_window: 2, sip_window: 2 };
    let mut ledger = Ledger::new(policy, bounds);
    ledger.set_open(Side::Xmpp, true);
    ledger.set_open(Side::Sip, true);
    Desk { ledger, now: Instant::now() }
}

fn desk() -> Desk {
    desk_with(false)
}

fn id(name: &str) -> MessageId {
    MessageId::of_stanza_id(&format!(
        "{:032x}",
        name.bytes().fold(7, |n, b| n * 257 + u128::from(b))
    ))
    .unwrap()
}

impl Desk {
    fn entry(&self, side: Side, lane: &str, name: &'static str) -> Entry<&'static str> {
        let (lane, expires) = (Arc::from(lane), self.now + 50 * SECOND);
        Entry {
            id: id(name),
            side,
            lane,
            expires,
            size: 10,
            is_report: false,
            is_held: false,
            value: name,
        }
    }

    fn accept(&mut self, side: Side, lane: &str, name: &'static str) -> Acceptance {
        let entry = self.entry(side, lane, name);
        self.ledger.accept(entry)
    }

    /// Accepts and stores; true when the message begins.
    fn take(&mut self, side: Side, lane: &str, name: &'static str) -> bool {
        assert!(matches!(self.accept(side, lane, name), Acceptance::New { .. }), "{name}");
        self.ledger.handle_stored(id(name))
    }

    fn started(&mut self) -> Vec<&'static str> {
        let mut started = Vec::new();
        while let Some(id) = self.ledger.poll_start(self.now) {
            started.push(*self.ledger.get(id).unwrap());
        }
        started
    }

    fn conclude(&mut self, name: &str, outcome: Outcome) -> Option<State> {
        match self.ledger.conclude(self.now, id(name), outcome)? {
            Next::Over(state, _) => Some(state),
            Next::Again => None,
        }
    }
}

#[test]
fn a_message_begins_once_it_is_stored_and_not_before() {
    let mut desk = desk();
    assert_eq!(desk.accept(Side::Xmpp, "a", "one"), Acceptance::New { starts: true });
    assert_eq!((desk.started(), desk.ledger.state(id("one"))), (vec![], Some(State::Accepted)));
    assert!(desk.ledger.is_storing(id("one")));
    assert!(desk.ledger.handle_stored(id("one")));
    assert_eq!(desk.ledger.state(id("one")), Some(State::Sending));
    assert_eq!(desk.conclude("one", Outcome::HandedOver), Some(State::HandedOver));
    assert!(desk.ledger.is_empty());
    assert!(desk.ledger.handle_receipt(id("one")) && !desk.ledger.handle_receipt(id("one")));
    assert_eq!(desk.ledger.state(id("one")), Some(State::Delivered));
}

#[test]
fn a_sip_user_gets_one_at_a_time_and_in_order() {
    let mut desk = desk();
    assert!(desk.take(Side::Sip, "a", "one"));
    for name in ["two", "three"] {
        assert!(!desk.take(Side::Sip, "a", name));
    }
    assert!(desk.take(Side::Sip, "b", "four"), "others do not wait");
    assert_eq!(desk.started(), [""; 0]);
    assert_eq!(desk.conclude("one", Outcome::Delivered), Some(State::Delivered));
    assert_eq!(desk.started(), ["two"]);
    assert_eq!(desk.conclude("two", Outcome::Failed), Some(State::Failed));
    assert_eq!(desk.started(), ["three"]);
    assert_eq!(desk.ledger.under_way(), 2);
}

#[test]
fn what_is_stored_late_is_not_overtaken() {
    let mut desk = desk();
    assert!(desk.take(Side::Xmpp, "a", "one") && desk.take(Side::Xmpp, "a", "two"));
    assert_eq!(desk.accept(Side::Xmpp, "a", "three"), Acceptance::New { starts: false });
    desk.conclude("one", Outcome::HandedOver);
    assert_eq!(desk.accept(Side::Xmpp, "a", "four"), Acceptance::New { starts: false });
    assert!(!desk.ledger.handle_stored(id("four")));
    assert_eq!(desk.started(), [""; 0], "the third is not stored yet");
    assert!(!desk.ledger.handle_stored(id("three")));
    assert_eq!(desk.started(), ["three"]);
    desk.conclude("two", Outcome::HandedOver);
    assert_eq!(desk.started(), ["four"]);
}

#[test]
fn nobody_within_reach_is_tried_again_and_holds_up_only_his_own_messages() {
    let mut desk = desk();
    assert!(desk.take(Side::Sip, "a", "one"));
    assert!(!desk.take(Side::Sip, "a", "two"));
    for wait in [SECOND, 2 * SECOND] {
        assert_eq!(desk.conclude("one", Outcome::OutOfReach), None);
        assert_eq!(desk.started(), [""; 0]);
        assert_eq!(desk.ledger.next_deadline(), Some(desk.now + wait));
        desk.now += wait;
        assert_eq!(desk.started(), ["one"], "before the second message");
    }
    assert!(desk.take(Side::Sip, "b", "three"));
    assert_eq!(desk.conclude("one", Outcome::OutOfReach), Some(State::Failed), "three attempts");
    assert_eq!(desk.started(), ["two"]);
}

#[test]
fn what_may_have_arrived_is_repeated_only_by_policy() {
    let mut desk = desk_with(false);
    assert!(desk.take(Side::Xmpp, "a", "one"));
    assert_eq!(desk.conclude("one", Outcome::Uncertain), Some(State::Failed));
    let mut desk = desk_with(true);
    assert!(desk.take(Side::Xmpp, "a", "one"));
    assert_eq!(desk.conclude("one", Outcome::Uncertain), None);
    desk.now += SECOND;
    assert_eq!(desk.started(), ["one"]);
}

#[test]
fn what_did_not_leave_goes_first_when_the_side_opens() {
    let mut desk = desk();
    assert!(desk.take(Side::Xmpp, "a", "one") && desk.take(Side::Xmpp, "a", "two"));
    desk.ledger.set_open(Side::Xmpp, false);
    assert!(!desk.take(Side::Xmpp, "a", "three"));
    for name in ["two", "one"] {
        assert_eq!(desk.conclude(name, Outcome::Unsent), None);
    }
    assert_eq!(desk.started(), [""; 0]);
    desk.ledger.set_open(Side::Xmpp, true);
    assert_eq!(desk.started(), ["one", "two"]);
    assert_eq!(desk.ledger.attempts(id("one")), 1, "what did not leave was no attempt");
}

#[test]
fn a_side_that_closes_while_a_message_is_stored_keeps_it() {
    let mut desk = desk();
    assert_eq!(desk.accept(Side::Xmpp, "a", "one"), Acceptance::New { starts: true });
    desk.ledger.set_open(Side::Xmpp, false);
    assert!(!desk.ledger.handle_stored(id("one")));
    desk.ledger.set_open(Side::Xmpp, true);
    assert_eq!(desk.started(), ["one"]);
}

#[test]
fn a_message_is_taken_once() {
    let mut desk = desk();
    assert!(desk.take(Side::Xmpp, "a", "one"));
    assert_eq!(desk.accept(Side::Xmpp, "a", "one"), Acceptance::Known(State::Sending));
    desk.conclude("one", Outcome::HandedOver);
    assert_eq!(desk.accept(Side::Xmpp, "a", "one"), Acceptance::Known(State::HandedOver));
    assert_eq!(desk.ledger.poll_forgotten(desk.now), None);
    desk.now += 100 * SECOND;
    assert_eq!(desk.ledger.poll_forgotten(desk.now), Some(id("one")));
    assert!(desk.take(Side::Xmpp, "a", "one"), "forgotten");
}

#[test]
fn what_cannot_be_stored_leaves_no_trace() {
    let mut desk = desk();
    assert_eq!(desk.accept(Side::Sip, "a", "one"), Acceptance::New { starts: true });
    assert_eq!(desk.accept(Side::Sip, "a", "two"), Acceptance::New { starts: false });
    for name in ["one", "two"] {
        assert_eq!(desk.ledger.handle_refused(id(name)), Some(name));
        assert_eq!(desk.ledger.state(id(name)), None);
    }
    assert!(desk.ledger.is_empty() && desk.ledger.lanes.is_empty());
    assert!(desk.take(Side::Sip, "a", "one"));
}

#[test]
fn there_is_no_room_beyond_the_bounds_but_for_reports() {
    let mut desk = desk();
    for name in ["1", "2", "3", "4", "5", "6"] {
        desk.take(Side::Sip, "a", name);
    }
    assert_eq!(desk.accept(Side::Sip, "b", "7"), Acceptance::Full);
    let report = Entry { is_report: true, ..desk.entry(Side::Sip, "b", "7") };
    assert_eq!(desk.ledger.accept(report), Acceptance::New { starts: true });
    let mut desk = self::desk();
    let large = Entry { size: 1001, ..desk.entry(Side::Sip, "a", "1") };
    assert_eq!(desk.ledger.accept(large), Acceptance::Full);
}

#[test]
fn time_ends_what_waits_and_not_what_is_under_way() {
    let mut desk = desk();
    assert!(desk.take(Side::Sip, "a", "one"));
    assert!(!desk.take(Side::Sip, "a", "two"));
    desk.now += 50 * SECOND;
    assert_eq!(desk.ledger.poll_expired(desk.now), Some((id("two"), "two")));
    assert_eq!(desk.ledger.poll_expired(desk.now), None);
    assert_eq!(desk.ledger.state(id("two")), Some(State::Expired));
    assert_eq!(desk.conclude("one", Outcome::OutOfReach), Some(State::Failed), "no more attempts");
}

#[test]
fn each_account_waits_for_its_own_stream() {
    let mut desk = desk();
    desk.ledger.set_open(Side::Account, true);
    desk.ledger.set_stream_open("a", true);
    assert!(desk.take(Side::Account, "a", "one"));
    assert!(!desk.take(Side::Account, "b", "two"));
    assert_eq!(desk.ledger.awaited_streams(), [Arc::from("b")]);
    assert_eq!(desk.accept(Side::Account, "b", "three"), Acceptance::New { starts: false });
    assert_eq!(desk.ledger.waiting_for("b"), [id("two")], "the other is not stored yet");
    desk.ledger.handle_stored(id("three"));

    desk.ledger.set_stream_open("a", false);
    assert_eq!(desk.conclude("one", Outcome::Unsent), None);
    assert!(desk.started().is_empty());
    desk.ledger.set_stream_open("b", true);
    assert_eq!(desk.started(), ["two", "three"]);
    assert_eq!(desk.ledger.waiting_for("a"), [id("one")]);
    assert_eq!(desk.conclude("one", Outcome::Failed), Some(State::Failed));
    assert!(desk.ledger.awaited_streams().is_empty());
}

#[test]
fn a_stream_that_breaks_while_a_message_is_stored_leaves_it_waiting() {
    let mut desk = desk();
    desk.ledger.set_open(Side::Account, true);
    desk.ledger.set_stream_open("a", true);
    assert_eq!(desk.accept(Side::Account, "a", "one"), Acceptance::New { starts: true });
    desk.ledger.set_stream_open("a", false);
    assert!(!desk.ledger.handle_stored(id("one")));
    assert_eq!(desk.ledger.state(id("one")), Some(State::Accepted));
    desk.ledger.set_stream_open("a", true);
    assert_eq!(desk.started(), ["one"]);
}

#[test]
fn one_account_has_no_more_under_way_than_one_stream_may() {
    let mut desk = desk();
    desk.ledger.set_open(Side::Account, true);
    for account in ["a", "b"] {
        desk.ledger.set_stream_open(account, true);
    }
    assert!(desk.take(Side::Account, "a", "one"));
    assert!(desk.take(Side::Account, "a", "two"));
    assert!(!desk.take(Side::Account, "a", "three"));
    assert!(desk.take(Side::Account, "b", "four"));
}

#[test]
fn ledgers_that_share_a_bound_keep_it_together() {
    let (mut one, mut two) = (desk(), desk());
    let held = Arc::new(Held::new(one.ledger.bounds.messages, one.ledger.bounds.bytes));
    for desk in [&mut one, &mut two] {
        let fresh = Ledger::new(desk.ledger.policy, desk.ledger.bounds);
        desk.ledger = fresh.sharing(held.clone());
    }
    for name in ["1", "2", "3"] {
        assert!(matches!(one.accept(Side::Sip, "a", name), Acceptance::New { .. }));
        assert!(matches!(two.accept(Side::Sip, "a", name), Acceptance::New { .. }));
    }
    assert_eq!(one.accept(Side::Sip, "a", "4"), Acceptance::Full);
    two.ledger.handle_refused(id("1"));
    assert!(matches!(one.accept(Side::Sip, "a", "4"), Acceptance::New { .. }));
}

#[test]
fn room_that_was_taken_before_is_taken_once_and_given_back_for_a_second_copy() {
    let mut desk = desk();
    for _ in 0..20 {
        assert!(desk.ledger.held.take(10, false));
        let entry = Entry { is_held: true, ..desk.entry(Side::Xmpp, "a", "one") };
        desk.ledger.accept(entry);
    }
    for name in ["2", "3", "4", "5", "6"] {
        assert!(matches!(desk.accept(Side::Xmpp, "a", name), Acceptance::New { .. }), "{name}");
    }
    assert_eq!(desk.accept(Side::Xmpp, "a", "7"), Acceptance::Full);
    assert!(!desk.ledger.held.take(10, false));
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut desk = desk();
    for (name, attempts) in [("one", 2), ("two", 0)] {
        let entry = desk.entry(Side::Sip, "a", name);
        desk.ledger.restore(entry, attempts);
    }
    desk.ledger.restore_fate(desk.now, id("zero"), State::Delivered);
    assert_eq!(desk.accept(Side::Sip, "a", "zero"), Acceptance::Known(State::Delivered));
    assert_eq!(desk.started(), ["one"]);
    assert_eq!(desk.conclude("one", Outcome::OutOfReach), Some(State::Failed), "the third attempt");
    assert_eq!(desk.started(), ["two"]);
}

#[test]
fn what_is_remembered_has_a_bound_too() {
    let mut desk = desk();
    for name in ["1", "2", "3", "4", "5", "6", "7"] {
        desk.ledger.restore_fate(desk.now, id(name), State::Delivered);
    }
    assert_eq!(desk.ledger.poll_forgotten(desk.now), Some(id("1")));
    assert_eq!(desk.ledger.poll_forgotten(desk.now), None);
}
