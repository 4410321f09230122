//! What outlives the process, in SQLite or in MySQL: asked from any worker, answered or refused within a deadline.
//!
//! Threads of the store's own speak with the database: one makes all changes, in the order in which they were asked for,
//! and several answer questions. Questions that need not block are answered on the worker's own thread, since to wake
//! another costs more than the answer. Queues are bounded, and whoever asks waits for as long as the deadline at most,
//! whatever the database does.

mod backend;
mod error;
mod group;
mod lane;
mod mysql;
mod schema;
pub mod seal;
mod shape;
mod sqlite;
mod statement;
mod table;
pub mod users;
mod value;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use crate::clock;
use crate::config::{StoreConfig, StoreUrl};
use backend::{Backend, Dialect};
use lane::{Answer, CONNECTING, Lanes, Reads};
use mysql::Mysql;
use sqlite::{Durability, Sqlite};

pub use error::StoreError;
pub use statement::Statement;
pub use table::{Column, ColumnType, Table, is_name};
pub use value::{Row, Value};

/// The way to the database. Clones lead to the same.
#[derive(Clone)]
pub struct Store {
    way: Way,
    /// Lanes of one worker's thread, which answer what they can.
    local: Option<Reads>,
    dialect: &'static Dialect,
    timeout: Duration,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[derive(Clone)]
enum Way {
    /// A database that has nothing to wait for is used where it is asked.
    Memory(Arc<Mutex<Sqlite>>),
    Lanes(Lanes),
}

impl Store {
    /// Opens the database, makes the tables that it lacks and looks at the others.
    ///
    /// Waits some seconds at most. A MySQL server that is away is no error: the store refuses what it is
    /// asked until the server comes. A file that cannot be opened is one, and so is a table that does not fit.
    pub fn open(config: &StoreConfig, tables: &[Table]) -> Result<Self, StoreError> {
        Self::open_with(config, tables, Durability::Process)
    }

    /// The same, but what is changed outlives a crash of the machine, too, once that is answered.
    pub fn open_durable(config: &StoreConfig, tables: &[Table]) -> Result<Self, StoreError> {
        Self::open_with(config, tables, Durability::Machine)
    }

    fn open_with(
        config: &StoreConfig,
        tables: &[Table],
        durability: Durability,
    ) -> Result<Self, StoreError> {
        let (store, name, first) = Self::connect(config, tables, durability, false)?;
        match first {
            Ok(()) => tracing::info!(%name, "store open"),
            Err(error) if error.retry_after().is_some() => {
                tracing::warn!(%name, %error, "store away, we go on without it until it comes");
            }
            Err(error) => return Err(error),
        }
        Ok(store)
    }

    /// The store, its name without its password, and how the first attempt to connect went.
    fn connect(
        config: &StoreConfig,
        tables: &[Table],
        durability: Durability,
        is_read_only: bool,
    ) -> Result<(Self, String, Result<(), StoreError>), StoreError> {
        let (way, dialect, name, first) = match &config.url {
            StoreUrl::Memory => (memory(tables)?, &Sqlite::DIALECT, "memory".to_owned(), Ok(())),
            StoreUrl::Sqlite(path) => {
                let file = sqlite::File { path: path.clone(), durability, is_read_only };
                let (way, first) = lanes::<Sqlite>(&file, tables, config.queue)?;
                first?;
                (way, &Sqlite::DIALECT, format!("sqlite {}", path.display()), Ok(()))
            }
            StoreUrl::Mysql(url) => {
                let (address, name) = mysql::address(url.expose())?;
                let (way, first) = lanes::<Mysql>(&address, tables, config.queue)?;
                (way, &Mysql::DIALECT, name, first)
            }
        };
        Ok((Self { way, local: None, dialect, timeout: config.timeout }, name, first))
    }

    /// A database with these tables that ends with this value; for tests, and for who needs nothing kept.
    ///
    /// It answers at once: its futures are ready when they are polled first.
    pub fn in_memory(tables: &[Table]) -> Result<Self, StoreError> {
        let (dialect, local) = (&Sqlite::DIALECT, None);
        Ok(Self { way: memory(tables)?, local, dialect, timeout: Duration::from_secs(2) })
    }

    /// The same store, with connections of this thread's own for questions. To be called in a `LocalSet`.
    #[must_use]
    pub fn with_local_lanes(&self) -> Self {
        let local = match &self.way {
            Way::Memory(_) => None,
            Way::Lanes(lanes) => Some((lanes.start_local)()),
        };
        Self { local, ..self.clone() }
    }

    /// The rows that answer a question, asked now; the database refuses changes in it.
    ///
    /// Questions are answered in any order, and may overtake changes whose answer was not waited for.
    pub fn query(
        &self,
        statement: Statement,
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send + use<> {
        let deadline = clock::now() + self.timeout;
        let pending = match &self.way {
            Way::Memory(sqlite) => Pending::Over(at_once(lock(sqlite).query(&statement, deadline))),
            Way::Lanes(lanes) => {
                let local = self.local.as_ref().filter(|reads| reads.is_up());
                Pending::from(local.unwrap_or(&lanes.reads).ask(statement, deadline))
            }
        };
        pending.until(deadline)
    }

    /// Makes changes, all of them or none, and gives the number of rows that they touched.
    ///
    /// They are made in the order in which they were asked for, whether or not anybody waits for the answer. An
    /// empty list is answered when all that was asked for before is done. A REPLACE counts the row that it took away,
    /// too, with MySQL.
    pub fn execute(
        &self,
        statements: Vec<Statement>,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send + use<> {
        let deadline = clock::now() + self.timeout;
        let pending = match &self.way {
            Way::Memory(sqlite) => {
                let lists = [&*statements];
                let done = at_once(group::run_lists(&mut *lock(sqlite), &lists, deadline));
                Pending::Over(done.into_iter().next().unwrap_or(Ok(0)))
            }
            Way::Lanes(lanes) => Pending::from(lanes.writes.ask(statements, deadline)),
        };
        pending.until(deadline)
    }
}

fn memory(tables: &[Table]) -> Result<Way, StoreError> {
    let mut sqlite = Sqlite::in_memory()?;
    at_once(schema::ensure(&mut sqlite, tables, clock::now() + CONNECTING))?;
    Ok(Way::Memory(Arc::new(Mutex::new(sqlite))))
}

/// The way through threads, and how their first attempt to connect went.
fn lanes<B: Backend>(
    address: &B::Address,
    tables: &[Table],
    queue: usize,
) -> Result<(Way, Result<(), StoreError>), StoreError> {
    let started = lane::start::<B>(address, tables.to_vec(), queue);
    let (lanes, attempts) = started.map_err(|error| StoreError::Unopened(error.to_string()))?;
    let next = || {
        let attempt = attempts.recv_timeout(CONNECTING + Duration::from_secs(1));
        attempt.unwrap_or(Err(StoreError::Timeout))
    };
    // The one that writes comes first, since those that read wait until it has seen to the tables.
    let first = next().and_then(|()| next());
    Ok((Way::Lanes(lanes), first))
}

fn lock(sqlite: &Mutex<Sqlite>) -> MutexGuard<'_, Sqlite> {
    sqlite.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What SQLite does, which is done when it is asked for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("SQLite does not wait by future"),
    }
}

/// What will be answered, or was.
enum Pending<R> {
    Over(Result<R, StoreError>),
    Asked(Answer<R>),
}

impl<R> From<Result<Answer<R>, StoreError>> for Pending<R> {
    fn from(asked: Result<Answer<R>, StoreError>) -> Self {
        asked.map_or_else(|error| Self::Over(Err(error)), Self::Asked)
    }
}

impl<R> Pending<R> {
    async fn until(self, deadline: Instant) -> Result<R, StoreError> {
        let mut answer = match self {
            Self::Over(result) => return result,
            Self::Asked(answer) => answer,
        };
        // A lane that is gone drops what it was asked.
        match timeout_at(deadline.into(), &mut answer).await {
            Ok(answered) => answered.unwrap_or_else(|_| Err(StoreError::away())),
            Err(_) => Err(StoreError::Timeout),
        }
    }
}

#[cfg(test)]
mod tests;
