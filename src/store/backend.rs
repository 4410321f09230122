//! What a database must be able to do to be the store.

use std::time::Instant;

use super::error::StoreError;
use super::statement::Statement;
use super::table::ColumnType;
use super::value::Row;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Questions; the database refuses changes.
    Read,
    /// Changes.
    Write,
}

/// Where the databases' SQL differs.
pub(super) struct Dialect {
    /// Begins a transaction that will write.
    pub(super) begin: &'static str,
    /// The columns of the table that is bound, none when there is no such table.
    pub(super) columns: &'static str,
    /// A column's type.
    pub(super) type_name: fn(ColumnType) -> String,
    /// What stands behind the closing bracket of a new table.
    pub(super) table_options: &'static str,
}

/// One connection to a database.
pub(super) trait Backend: Sized + Send + 'static {
    /// Where the database is.
    type Address: Clone + Send + Sync + 'static;

    /// How it speaks.
    const DIALECT: Dialect;

    /// How many connections of each worker answer its questions, on its own thread: none when that blocks.
    const LOCAL_READERS: usize;

    /// How many threads, each with a connection, answer the questions of others.
    const READERS: usize;

    /// Connects.
    fn open(
        address: &Self::Address,
        purpose: Purpose,
    ) -> impl Future<Output = Result<Self, StoreError>> + Send;

    /// The rows that answer a question.
    fn query(
        &mut self,
        statement: &Statement,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Makes one change and gives the number of rows that it touched. [`StoreError::Away`] says that the connection is
    /// broken.
    fn run(
        &mut self,
        statement: &Statement,
        deadline: Instant,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
}
