//! State that every worker's copy of a module shares, and that a new script finds as the old one left it.

use std::any::{Any, TypeId};
use std::sync::{Arc, Mutex, PoisonError};

use ahash::AHashMap;

use crate::store::Store;

/// The shared state of all modules, one part for each type. Clones share it.
#[derive(Clone, Default)]
pub struct Commons {
    parts: Arc<Mutex<AHashMap<TypeId, Arc<dyn Any + Send + Sync>>>>,
    store: Option<Store>,
}

impl Commons {
    /// Nothing yet but the database.
    pub fn with_store(store: Store) -> Self {
        Self { store: Some(store), ..Self::default() }
    }

    /// The database; none where a script is only checked.
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// The same, for a worker that asks the database from its own thread. To be called in a `LocalSet`.
    #[must_use]
    pub fn for_this_worker(&self) -> Self {
        let store = self.store.as_ref().map(Store::with_local_lanes);
        Self { store, ..self.clone() }
    }

    /// The part of this type, made by the first who asks for it.
    pub fn part<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let part = parts.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(make()));
        part.clone().downcast().expect("a part lies under its own type")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_made_once_for_all() {
        let (one, other) = (Commons::default(), Commons::default());
        let part = one.part(|| Mutex::new(1));
        *part.lock().unwrap() += 1;
        assert_eq!(*one.clone().part(|| Mutex::new(1)).lock().unwrap(), 2);
        assert_eq!(*other.part(|| Mutex::new(1)).lock().unwrap(), 1);
    }
}
