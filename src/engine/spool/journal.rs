//! What is to be written to the spool, and what follows once it is: many steps in one transaction.

use std::rc::Rc;
use std::time::Duration;

use ahash::AHashMap;

use super::row::{self, Change, Row};
use crate::gateway::MessageId;
use crate::store::Statement;

/// Words to the XMPP side about what has come before.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A stanza by the component.
    Component(Vec<u8>),
    /// A stanza by an account.
    Account(Rc<str>, Vec<u8>),
    /// So many stanzas are taken of those that came on this stream of an account.
    Ack(Rc<str>, u64, u32),
}

/// One step.
#[derive(Debug)]
pub(super) enum Step {
    /// A message is accepted.
    Insert(Box<Row>),
    /// A message is accepted that is not written.
    Keep(MessageId),
    /// Its attempt begins once that is written.
    Begin(MessageId, Change),
    /// It waits again, or has met its fate.
    Change(MessageId, Change),
    /// Nobody asks for it any more.
    Delete(MessageId),
    /// Words to the XMPP side, which may leave once what came before them is written.
    Reply(Reply),
}

impl Step {
    /// Must it be written however long that takes? A message that is not accepted is given back.
    pub(super) fn is_owed(&self) -> bool {
        match self {
            Self::Insert(row) => row.kind.is_report(),
            Self::Begin(..) | Self::Change(..) | Self::Delete(_) => true,
            Self::Keep(_) | Self::Reply(_) => false,
        }
    }
}

/// The transaction for these steps.
///
/// What is deleted goes first: a row that nobody is sure of may be written anew. Of several changes to one row the
/// last counts.
pub(super) fn statements(steps: &[Step], now: Duration) -> Vec<Statement> {
    let (mut deleted, mut inserts) = (Vec::new(), Vec::new());
    let mut changes: AHashMap<MessageId, &Change> = AHashMap::new();
    let mut order = Vec::new();
    for step in steps {
        match step {
            Step::Insert(row) => inserts.push(row.insert()),
            Step::Delete(id) => deleted.push(*id),
            Step::Begin(id, change) | Step::Change(id, change) => {
                if changes.insert(*id, change).is_none() {
                    order.push(*id);
                }
            }
            Step::Keep(_) | Step::Reply(_) => {}
        }
    }
    let mut groups: Vec<(&Change, Vec<MessageId>)> = Vec::new();
    let mut group_of: AHashMap<&Change, usize> = AHashMap::new();
    for id in order {
        let change = changes[&id];
        let group = *group_of.entry(change).or_insert_with(|| {
            groups.push((change, Vec::new()));
            groups.len() - 1
        });
        groups[group].1.push(id);
    }
    let changed = groups.into_iter().flat_map(|(change, ids)| change.statements(&ids, now));
    row::delete(&deleted).into_iter().chain(inserts).chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(state: &'static str) -> Change {
        Change { state, attempts: 1, status: 0, reason: String::new() }
    }

    #[test]
    fn the_last_change_of_a_message_counts_and_equal_ones_share_a_statement() {
        let id = |number: u32| MessageId::parse(&format!("{number:032x}")).unwrap();
        let mut steps: Vec<_> = (0..8).map(|n| Step::Begin(id(n), change("sending"))).collect();
        steps.extend((0..8).map(|n| Step::Change(id(n), change("delivered"))));
        steps.push(Step::Reply(Reply::Component(Vec::new())));
        assert_eq!(statements(&steps, Duration::ZERO).len(), 1);
        steps.push(Step::Delete(id(9)));
        steps.push(Step::Change(id(7), change("failed")));
        assert_eq!(statements(&steps, Duration::ZERO).len(), 3);
        assert!(statements(&[], Duration::ZERO).is_empty());
    }
}
