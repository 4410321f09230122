//! What may be held at a time, by one ledger or by several together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How much is held, and how much may be. Ledgers that share it share the bounds.
#[derive(Debug)]
pub struct Held {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    max_messages: usize,
    max_bytes: usize,
}

impl Held {
    /// Room for so many messages, of so many bytes together.
    pub fn new(max_messages: usize, max_bytes: usize) -> Self {
        Self { messages: AtomicUsize::new(0), bytes: AtomicUsize::new(0), max_messages, max_bytes }
    }

    /// Takes room for a message of this size; false, when there is none and it is not one that must be taken.
    pub fn take(&self, size: usize, is_owed: bool) -> bool {
        let messages = self.messages.fetch_add(1, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(size, Ordering::Relaxed);
        let fits = messages < self.max_messages && bytes.saturating_add(size) <= self.max_bytes;
        if !fits && !is_owed {
            self.give_back(size);
        }
        fits || is_owed
    }

    /// Is nothing held?
    pub fn is_empty(&self) -> bool {
        self.messages.load(Ordering::Relaxed) == 0
    }

    /// Lets a message of this size go.
    pub fn give_back(&self, size: usize) {
        self.messages.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(size, Ordering::Relaxed);
    }
}
