//! The embedded database.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi, params_from_iter};

use super::backend::{Backend, Dialect, Purpose};
use super::error::StoreError;
use super::statement::Statement;
use super::table::ColumnType;
use super::value::{Row, Value};
use crate::clock;

/// Virtual machine instructions between two looks at the clock.
const LOOK: i32 = 10_000;

/// Prepared statements that a connection keeps.
const CACHED: usize = 256;

/// What a change outlives once it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// This process.
    Process,
    /// A crash of the machine.
    Machine,
}

/// A file, and what is asked of it.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) durability: Durability,
    /// It must be there, and nothing of it is changed.
    pub(super) is_read_only: bool,
}

/// A connection to a file, or a database in memory.
pub(super) struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// A database that ends with this value.
    pub(super) fn in_memory() -> Result<Self, StoreError> {
        Connection::open_in_memory()
            .and_then(Self::prepared)
            .map_err(|error| StoreError::Unopened(error.to_string()))
    }

    fn in_file(file: &File, purpose: Purpose) -> rusqlite::Result<Self> {
        if file.is_read_only {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            return Self::prepared(Connection::open_with_flags(&file.path, flags)?);
        }
        let connection = Connection::open(&file.path)?;
        connection.busy_timeout(Duration::from_secs(2))?;
        // Readers go on while a change is written.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = match file.durability {
            // A crash of the machine may lose the last changes, but never damages the file.
            Durability::Process => "NORMAL",
            Durability::Machine => "FULL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "query_only", purpose == Purpose::Read)?;
        Self::prepared(connection)
    }

    fn prepared(connection: Connection) -> rusqlite::Result<Self> {
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(CACHED);
        Ok(Self { connection })
    }

    fn limit(&mut self, deadline: Instant) -> rusqlite::Result<()> {
        self.connection.busy_timeout(deadline.saturating_duration_since(clock::now()))?;
        self.connection.progress_handler(LOOK, Some(move || clock::now() >= deadline))
    }

    fn rows(&mut self, statement: &Statement, deadline: Instant) -> rusqlite::Result<Vec<Row>> {
        self.limit(deadline)?;
        let mut prepared = self.connection.prepare_cached(&statement.sql)?;
        let columns = prepared.column_count();
        let mut rows = prepared.query(params_from_iter(&statement.values))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..columns).map(|column| row.get_ref(column).map(value_of));
            found.push(Row(values.collect::<rusqlite::Result<_>>()?));
        }
        Ok(found)
    }

    fn change(&mut self, statement: &Statement, deadline: Instant) -> rusqlite::Result<u64> {
        self.limit(deadline)?;
        let mut prepared = self.connection.prepare_cached(&statement.sql)?;
        let changed = prepared.execute(params_from_iter(&statement.values))?;
        Ok(changed as u64)
    }
}

impl Backend for Sqlite {
    type Address = File;

    const DIALECT: Dialect = Dialect {
        begin: "BEGIN IMMEDIATE",
        columns: "SELECT name FROM pragma_table_info(?)",
        type_name,
        table_options: "",
    };

    // Reading a file blocks.
    const LOCAL_READERS: usize = 0;
    const READERS: usize = 1;

    async fn open(file: &File, purpose: Purpose) -> Result<Self, StoreError> {
        Self::in_file(file, purpose).map_err(|error| {
            let path = file.path.display();
            StoreError::Unopened(match error.sqlite_error_code() {
                // SQLite does not say which of them it is.
                Some(ErrorCode::CannotOpen) => format!(
                    "{path}: its folder must be there, and we must be allowed to write both"
                ),
                _ => format!("{path}: {error}"),
            })
        })
    }

    async fn query(
        &mut self,
        statement: &Statement,
        deadline: Instant,
    ) -> Result<Vec<Row>, StoreError> {
        self.rows(statement, deadline).map_err(explain)
    }

    async fn run(&mut self, statement: &Statement, deadline: Instant) -> Result<u64, StoreError> {
        self.change(statement, deadline).map_err(explain)
    }
}

fn type_name(kind: ColumnType) -> String {
    match kind {
        ColumnType::Id => "INTEGER PRIMARY KEY AUTOINCREMENT".to_owned(),
        ColumnType::Text(length) => format!("VARCHAR({length})"),
        ColumnType::LongText => "TEXT".to_owned(),
        ColumnType::Int => "INTEGER".to_owned(),
        ColumnType::BigInt => "BIGINT".to_owned(),
        ColumnType::Real => "REAL".to_owned(),
        ColumnType::Blob => "BLOB".to_owned(),
        // An affinity that leaves text as it is.
        ColumnType::DateTime => "TEXT".to_owned(),
    }
}

/// SQLite's messages name tables and columns, never values.
fn explain(error: rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqliteFailure(cause, _) = &error else {
        return StoreError::Refused(error.to_string());
    };
    match (cause.code, cause.extended_code) {
        (_, ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => {
            StoreError::Duplicate
        }
        (
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OperationInterrupted,
            _,
        ) => StoreError::Timeout,
        (
            ErrorCode::SystemIoFailure
            | ErrorCode::DiskFull
            | ErrorCode::CannotOpen
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::OutOfMemory,
            _,
        ) => StoreError::Away(error.to_string()),
        _ => StoreError::Refused(error.to_string()),
    }
}

fn value_of(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Bytes(text.to_owned()),
        },
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_owned()),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
