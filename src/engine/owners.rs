//! Which worker has the transaction of a request, so that a retransmission that comes another way is absorbed.

use std::sync::Mutex;

use ahash::AHashMap;

use crate::sip::transaction::ServerKey;

/// Locks, each for its share of the keys, so that workers seldom meet.
const SHARDS: usize = 64;

/// The worker of every live server transaction.
pub struct Owners {
    shards: Vec<Mutex<AHashMap<ServerKey, u16>>>,
    hasher: ahash::RandomState,
}

impl Default for Owners {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: ahash::RandomState::new() }
    }
}

impl Owners {
    /// Makes `worker` the owner of a transaction, unless there is one already: then that one.
    pub fn claim(&self, key: ServerKey, worker: u16) -> Result<(), u16> {
        let mut shard = self.shard(&key);
        match shard.get(&key) {
            Some(owner) if *owner != worker => Err(*owner),
            _ => {
                shard.insert(key, worker);
                Ok(())
            }
        }
    }

    /// The owner of a transaction.
    pub fn find(&self, key: &ServerKey) -> Option<u16> {
        self.shard(key).get(key).copied()
    }

    /// Forgets a transaction that is over.
    pub fn release(&self, key: &ServerKey) {
        self.shard(key).remove(key);
    }

    fn shard(&self, key: &ServerKey) -> std::sync::MutexGuard<'_, AHashMap<ServerKey, u16>> {
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
