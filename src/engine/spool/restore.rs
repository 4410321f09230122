//! What the spool had when the process ended, however it ended.

use std::time::Duration;

use super::row::{self, Row, Way};
use super::{Failure, Load, Spool, millis};
use crate::clock;
use crate::engine::bridge::Bridge;
use crate::gateway::MessageId;
use crate::gateway::ledger::{Entry, Outcome, Side, State};
use crate::store::StoreError;

/// Rows that are read at once.
const PAGE: u32 = 500;

/// How long streams wait for a spool that is away.
const PATIENCE: Duration = Duration::from_secs(5);

/// The wait between two tries.
const RETRY: Duration = Duration::from_secs(2);

impl Bridge {
    /// Takes what the store has kept, as soon as the store is there.
    pub(super) async fn restore_spool(&self) {
        let mut is_known = false;
        while !self.spool.is_restored.get() {
            match self.spool.read_store(|row| self.is_ours(row)).await {
                Ok(uncertain) => {
                    self.spool.is_restored.set(true);
                    let waiting = self.spool.ledger.borrow().len();
                    tracing::info!(waiting, uncertain = uncertain.len(), "spool restored");
                    for id in uncertain {
                        self.conclude(id, Outcome::Uncertain, Some(Failure::uncertain()));
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_known, true) {
                        tracing::warn!(%error, "no message is accepted until the spool is there");
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        for side in [Side::Sip, Side::Account] {
            self.spool.ledger.borrow_mut().set_open(side, true);
        }
        self.spool.restored.notify_waiters();
        self.spool.deadline_changed.notify_one();
        self.start_ready();
        self.open_streams();
    }

    /// Does a message belong to this worker? Those of an account do to the one that has its stream.
    fn is_ours(&self, row: &Row) -> bool {
        let Some(worker) = self.worker() else { return false };
        match row.kind.way {
            Way::Account if worker.accounts.is_some() => worker.owner_of(&row.lane) == worker.id,
            Way::Account | Way::Component => {
                let home = worker.shared.xmpp.as_ref().map_or(0, |xmpp| xmpp.worker);
                usize::from(worker.id) == home
            }
        }
    }

    /// Waits until the spool is restored, but not for ever.
    pub(in crate::engine) async fn await_spool(&self) {
        let restored = self.spool.restored.notified();
        if !self.spool.is_restored.get() {
            let _ = tokio::time::timeout(PATIENCE, restored).await;
        }
    }
}

impl Spool {
    /// Reads every row; gives the messages of which nobody knows whether they have arrived.
    async fn read_store(
        &self,
        is_ours: impl Fn(&Row) -> bool,
    ) -> Result<Vec<MessageId>, StoreError> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let (mut last, mut all) = (0, Vec::new());
        loop {
            let rows = store.query(row::rows_after(last, PAGE)).await?;
            let (read, end) = row::read(&rows);
            all.extend(read.into_iter().filter(&is_ours));
            let Some(end) = end else { break };
            last = end;
        }
        let mut uncertain = Vec::new();
        for row in all {
            let (id, state) = (row.id, row.state);
            self.restore_row(row);
            uncertain.extend((state == State::Sending).then_some(id));
        }
        Ok(uncertain)
    }

    fn restore_row(&self, row: Row) {
        let now = clock::now();
        let mut ledger = self.ledger.borrow_mut();
        if row.state.is_final() {
            return ledger.restore_fate(now, row.id, row.state);
        }
        let left = row.expires.saturating_sub(millis(clock::unix_time()));
        let (kind, lane, bytes) = (row.kind, row.lane, row.message.clone());
        let load = Load {
            kind,
            lane: lane.clone(),
            bytes,
            made: None,
            may_ask_receipt: true,
            waiters: Vec::new(),
        };
        let entry = Entry {
            id: row.id,
            side: kind.side(),
            lane,
            expires: now + Duration::from_millis(left),
            size: row.message.len(),
            is_report: row.kind.is_report(),
            is_held: false,
            value: Box::new(load),
        };
        match row.state {
            State::Sending => ledger.restore_under_way(entry, row.attempts),
            _ => ledger.restore(entry, row.attempts),
        }
    }
}
