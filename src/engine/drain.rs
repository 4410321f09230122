//! The end of a worker: what runs is finished, nothing new is begun.

use std::time::Duration;

use super::worker::Worker;
use crate::clock;

/// How long what runs may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long nothing must have come, so that whoever has sent just now is answered.
const SILENCE: Duration = Duration::from_millis(100);

/// How often we look.
const STEP: Duration = Duration::from_millis(10);

impl Worker {
    /// Waits until every message that was taken has met its fate, with patience.
    pub(super) async fn drain(&self) {
        let end = clock::now() + PATIENCE;
        while clock::now() < end && !self.is_idle() {
            tokio::time::sleep(STEP).await;
        }
    }

    fn is_idle(&self) -> bool {
        self.script.suspended.get() == 0
            && self.unanswered.get() == 0
            && self.bridge.as_ref().is_none_or(|bridge| bridge.is_idle())
            && self.is_nothing_held()
            && self.deliveries.is_idle()
            && self.accounts.as_ref().is_none_or(|accounts| accounts.is_idle())
            && clock::now().duration_since(self.last_heard.get()) >= SILENCE
    }

    /// What is kept in memory has left, also what is on its way to the worker that keeps it.
    fn is_nothing_held(&self) -> bool {
        self.shared.spool.is_some() || self.shared.held.is_empty()
    }
}
