//! Which bindings the store does not know as they are.

use std::sync::Arc;

use ahash::AHashMap;

/// A binding's own name, and the address of record that it is or was of.
pub type Row = (Arc<str>, Arc<str>);

/// What has changed, in no order.
#[derive(Debug, Default)]
pub struct Changes(AHashMap<Arc<str>, Arc<str>>);

impl IntoIterator for Changes {
    type Item = Row;
    type IntoIter = std::collections::hash_map::IntoIter<Arc<str>, Arc<str>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Changed bindings by their own names: however often one changes, it is written once.
#[derive(Debug, Default)]
pub(super) struct Journal {
    changed: AHashMap<Arc<str>, Arc<str>>,
}

impl Journal {
    pub(super) fn note(&mut self, ruid: &Arc<str>, address: &Arc<str>) {
        self.changed.insert(ruid.clone(), address.clone());
    }

    /// What the store has never seen need not be removed from it.
    pub(super) fn forget(&mut self, ruid: &Arc<str>) {
        self.changed.remove(ruid);
    }

    pub(super) fn take(&mut self) -> Changes {
        Changes(std::mem::take(&mut self.changed))
    }

    pub(super) fn len(&self) -> usize {
        self.changed.len()
    }
}
