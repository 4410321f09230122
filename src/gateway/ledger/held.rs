//! What may be held at a time, by one ledger or by several together.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Bounds;

/// How much is held. Ledgers that share it share the bounds.
#[derive(Debug, Default)]
pub struct Held {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl Held {
    /// Takes a message of this size; false, when there is no room and it is not one that must be taken.
    pub(super) fn take(&self, size: usize, bounds: &Bounds, is_owed: bool) -> bool {
        let messages = self.messages.fetch_add(1, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(size, Ordering::Relaxed);
        let fits = messages < bounds.messages && bytes.saturating_add(size) <= bounds.bytes;
        if !fits && !is_owed {
            self.give_back(size);
        }
        fits || is_owed
    }

    /// Lets a message of this size go.
    pub(super) fn give_back(&self, size: usize) {
        self.messages.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(size, Ordering::Relaxed);
    }
}
