//! Why the store did not answer, and whether it may answer later.

use std::time::Duration;

use thiserror::Error;

/// Why the store could not do what was asked of it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// A row with the same unique key is there already.
    #[error("the store has such a row already")]
    Duplicate,
    /// The database does not take the statement: it is wrong, or a value does not fit its column.
    #[error("the database refuses the statement: {0}")]
    Refused(String),
    /// A table of the database lacks what we need.
    #[error("table `{table}` has no column `{column}`; what mends it: {mend}")]
    Misfit {
        /// The table.
        table: String,
        /// The column that it lacks.
        column: String,
        /// The SQL statement that adds it.
        mend: String,
    },
    /// The address of the database cannot be used.
    #[error("the store cannot be opened: {0}")]
    Unopened(String),

    /// Another change came in between, and this one was undone.
    #[error("another change of the store came in between")]
    Conflict,
    /// As many requests wait for the database as may.
    #[error("too many requests wait for the store")]
    Full,
    /// The database did not answer in time. A change may have happened or not.
    #[error("the store did not answer in time")]
    Timeout,
    /// The database cannot be reached now.
    #[error("the store is away: {0}")]
    Away(String),
}

impl StoreError {
    /// Away, with nothing more to say.
    pub(super) fn away() -> Self {
        Self::Away("no connection".to_owned())
    }

    /// When it makes sense to ask again; `None` when only the operator can mend it.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Conflict | Self::Full | Self::Timeout | Self::Away(_) => {
                Some(Duration::from_secs(10))
            }
            Self::Duplicate | Self::Refused(_) | Self::Misfit { .. } | Self::Unopened(_) => None,
        }
    }
}
