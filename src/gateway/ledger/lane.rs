//! The messages to one recipient, in order, and what all recipients of a side have in common.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::MessageId;

/// One recipient.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// What waits, by the number of its acceptance.
    pub(super) waiting: VecDeque<(u64, MessageId)>,
    pub(super) under_way: usize,
    pub(super) paused_until: Option<Instant>,
    /// It stands in the queue of its way.
    pub(super) is_ready: bool,
}

impl Lane {
    /// May another message begin, when so many may be under way?
    pub(super) fn has_room(&self, limit: usize) -> bool {
        self.paused_until.is_none() && self.under_way < limit
    }

    /// May a new message begin at once?
    pub(super) fn may_pass(&self, limit: usize) -> bool {
        self.waiting.is_empty() && self.has_room(limit)
    }

    pub(super) fn is_unused(&self) -> bool {
        self.waiting.is_empty() && self.under_way == 0 && self.paused_until.is_none()
    }
}

/// One side.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) is_open: bool,
    pub(super) under_way: usize,
    window: usize,
    /// Lanes that may have something to begin.
    pub(super) ready: VecDeque<Arc<str>>,
}

impl Way {
    pub(super) fn new(window: usize) -> Self {
        Self { is_open: false, under_way: 0, window, ready: VecDeque::new() }
    }

    /// May another message begin?
    pub(super) fn has_room(&self) -> bool {
        self.is_open && self.under_way < self.window
    }
}
