//! A thread or a task with one connection, which takes its work from a queue that may have several such lanes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout, timeout_at};

use super::backend::{Backend, Purpose};
use super::error::StoreError;
use super::group::run_lists;
use super::schema;
use super::statement::Statement;
use super::table::Table;
use super::value::Row;
use crate::clock;

/// How long it may take to connect and to look at the tables.
pub(super) const CONNECTING: Duration = Duration::from_secs(5);

/// The wait before the second attempt to connect, doubled by each failure up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Changes that go into one transaction at most.
const GROUP: usize = 256;

/// One thing asked of the store.
struct Job<A, R> {
    ask: A,
    answer: oneshot::Sender<Result<R, StoreError>>,
    deadline: Instant,
}

/// An answer that will come.
pub(super) type Answer<R> = oneshot::Receiver<Result<R, StoreError>>;

impl<A, R> Job<A, R> {
    /// Answers; one who has stopped waiting hears nothing.
    fn answer(self, result: Result<R, StoreError>) {
        let _ = self.answer.send(result);
    }

    /// Is it too late for it?
    fn is_over(&self) -> bool {
        self.deadline <= clock::now()
    }
}

/// The bounded way to the lanes of one kind.
pub(super) struct Queue<A, R> {
    jobs: mpsc::Sender<Job<A, R>>,
    up: Arc<AtomicUsize>,
}

impl<A, R> Clone for Queue<A, R> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), up: self.up.clone() }
    }
}

/// The lanes' end of a queue.
struct Source<A, R> {
    jobs: Arc<Mutex<mpsc::Receiver<Job<A, R>>>>,
    up: Arc<AtomicUsize>,
}

impl<A, R> Clone for Source<A, R> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), up: self.up.clone() }
    }
}

fn queue<A, R>(length: usize) -> (Queue<A, R>, Source<A, R>) {
    let (sender, receiver) = mpsc::channel(length);
    let up = Arc::new(AtomicUsize::new(0));
    let source = Source { jobs: Arc::new(Mutex::new(receiver)), up: up.clone() };
    (Queue { jobs: sender, up }, source)
}

impl<A, R> Queue<A, R> {
    /// Is there anybody who can do something?
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed) > 0
    }

    /// Queues a job; refuses it at once when nobody can do it.
    pub(super) fn ask(&self, ask: A, deadline: Instant) -> Result<Answer<R>, StoreError> {
        if !self.is_up() {
            return Err(StoreError::away());
        }
        let (answer, receiver) = oneshot::channel();
        match self.jobs.try_send(Job { ask, answer, deadline }) {
            Ok(()) => Ok(receiver),
            Err(mpsc::error::TrySendError::Full(_)) => Err(StoreError::Full),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(StoreError::away()),
        }
    }
}

impl<A, R> Source<A, R> {
    /// The next job that is not too late; `None` when the store was dropped.
    async fn next(&self) -> Option<Job<A, R>> {
        let mut jobs = self.jobs.lock().await;
        loop {
            match jobs.recv().await? {
                job if job.is_over() => {}
                job => return Some(job),
            }
        }
    }

    /// The next job, when it is there already.
    async fn next_now(&self) -> Option<Job<A, R>> {
        let mut jobs = self.jobs.lock().await;
        std::iter::from_fn(|| jobs.try_recv().ok()).find(|job| !job.is_over())
    }

    fn is_away(&self) -> bool {
        self.up.load(Ordering::Relaxed) == 0
    }
}

pub(super) type Reads = Queue<Statement, Vec<Row>>;
pub(super) type Writes = Queue<Vec<Statement>, u64>;

/// How a lane's first attempt to connect went.
pub(super) type Attempts = std::sync::mpsc::Receiver<Result<(), StoreError>>;

/// What a lane connects with.
struct Lane<B: Backend> {
    address: B::Address,
    purpose: Purpose,
    /// Made or looked at by the lane that writes.
    tables: Vec<Table>,
    /// The tables are as they must be.
    is_fit: watch::Sender<bool>,
    first: Option<std::sync::mpsc::Sender<Result<(), StoreError>>>,
    is_up: bool,
}

/// The ways to all lanes.
#[derive(Clone)]
pub(super) struct Lanes {
    /// To the threads that read.
    pub(super) reads: Reads,
    /// To the thread that writes.
    pub(super) writes: Writes,
    /// Starts lanes that read on the calling thread, whose runtime has a `LocalSet`.
    pub(super) start_local: Arc<dyn Fn() -> Reads + Send + Sync>,
}

/// Starts the threads: one that writes, so that changes keep their order, and those that read.
pub(super) fn start<B: Backend>(
    address: &B::Address,
    tables: Vec<Table>,
    length: usize,
) -> io::Result<(Lanes, Attempts)> {
    let (first, attempts) = std::sync::mpsc::channel();
    let (is_fit, _) = watch::channel(false);
    let address = address.clone();
    let lane = move |purpose, tables, first| Lane::<B> {
        address: address.clone(),
        purpose,
        tables,
        is_fit: is_fit.clone(),
        first,
        is_up: false,
    };
    let (writes, source) = queue(length);
    let writer = lane(Purpose::Write, tables, Some(first.clone()));
    start_thread("store-write".to_owned(), move || writer.write(source))?;
    let (reads, source) = queue(length);
    for number in 0..B::READERS {
        let reader = lane(Purpose::Read, Vec::new(), Some(first.clone()));
        let source = source.clone();
        start_thread(format!("store-read-{number}"), move || reader.read(source))?;
    }
    let start_local = move || {
        let (reads, source) = queue(length);
        for _ in 0..B::LOCAL_READERS {
            let reader = lane(Purpose::Read, Vec::new(), None);
            tokio::task::spawn_local(reader.read(source.clone()));
        }
        reads
    };
    Ok((Lanes { reads, writes, start_local: Arc::new(start_local) }, attempts))
}

fn start_thread<F: Future>(
    name: String,
    work: impl FnOnce() -> F + Send + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name(name).spawn(move || {
        runtime.block_on(work());
    })?;
    Ok(())
}

impl<B: Backend> Lane<B> {
    async fn read(mut self, source: Source<Statement, Vec<Row>>) {
        while let Some(mut backend) = self.connection(&source).await {
            loop {
                let Some(job) = source.next().await else { return };
                if job.answer.is_closed() {
                    continue;
                }
                let answered = backend.query(&job.ask, job.deadline);
                let result = within(job.deadline, answered).await;
                let is_broken = breaks(&result);
                job.answer(result);
                if is_broken {
                    break;
                }
            }
        }
    }

    async fn write(mut self, source: Source<Vec<Statement>, u64>) {
        while let Some(mut backend) = self.connection(&source).await {
            loop {
                let Some(job) = source.next().await else { return };
                let mut group = vec![job];
                while group.len() < GROUP
                    && let Some(job) = source.next_now().await
                {
                    group.push(job);
                }
                if self.write_group(&mut backend, group).await {
                    break;
                }
            }
        }
    }

    /// Makes the changes of several jobs and answers them; is the connection broken?
    async fn write_group(&self, backend: &mut B, group: Vec<Job<Vec<Statement>, u64>>) -> bool {
        let lists: Vec<_> = group.iter().map(|job| &*job.ask).collect();
        let deadline = group.iter().map(|job| job.deadline).max().unwrap_or_else(clock::now);
        let done = async { Ok(run_lists(backend, &lists, deadline).await) };
        let results = within(deadline, done).await;
        let results = results.unwrap_or_else(|error| vec![Err(error); group.len()]);
        let mut is_broken = false;
        for (job, result) in group.into_iter().zip(results) {
            is_broken |= breaks(&result);
            job.answer(result);
        }
        is_broken
    }

    /// A connection, made as soon as that is possible; `None` when the store was dropped.
    async fn connection<A, R>(&mut self, source: &Source<A, R>) -> Option<B> {
        if self.purpose == Purpose::Read {
            let mut is_fit = self.is_fit.subscribe();
            refuse_until(is_fit.wait_for(|is_fit| *is_fit), source).await?;
        }
        let mut wait = FIRST_WAIT;
        loop {
            match self.attempt().await {
                Ok(backend) => {
                    self.go_up(&source.up);
                    return Some(backend);
                }
                Err(error) => self.go_down(&source.up, error),
            }
            refuse_until(sleep(wait), source).await?;
            wait = LONGEST_WAIT.min(wait * 2);
        }
    }

    async fn attempt(&self) -> Result<B, StoreError> {
        let opened = async {
            let mut backend = B::open(&self.address, self.purpose).await?;
            schema::ensure(&mut backend, &self.tables, clock::now() + CONNECTING).await?;
            if self.purpose == Purpose::Write {
                self.is_fit.send_replace(true);
            }
            Ok(backend)
        };
        let late = |_| Err(StoreError::Away("no answer to a connection".to_owned()));
        timeout(CONNECTING, opened).await.unwrap_or_else(late)
    }

    fn go_up(&mut self, up: &AtomicUsize) {
        if !self.is_up {
            self.is_up = true;
            up.fetch_add(1, Ordering::Relaxed);
        }
        match self.first.take() {
            Some(first) => {
                let _ = first.send(Ok(()));
            }
            None if self.purpose == Purpose::Write => tracing::info!("store connected"),
            None => {}
        }
    }

    /// Tells of an outage once, when it begins.
    fn go_down(&mut self, up: &AtomicUsize, error: StoreError) {
        let is_news = std::mem::take(&mut self.is_up);
        if is_news {
            up.fetch_sub(1, Ordering::Relaxed);
        }
        match self.first.take() {
            Some(first) => {
                let _ = first.send(Err(error));
            }
            None if is_news || matches!(error, StoreError::Misfit { .. }) => {
                tracing::warn!(%error, "store away");
            }
            None => {}
        }
    }
}

/// Waits; what is queued meanwhile is refused when no lane is up. `None` when the store was dropped.
async fn refuse_until<A, R>(event: impl Future, source: &Source<A, R>) -> Option<()> {
    let refusing = async {
        while source.is_away() {
            match source.next().await {
                Some(job) => job.answer(Err(StoreError::away())),
                None => return,
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        () = refusing => None,
        _ = event => Some(()),
    }
}

/// Has the connection no further use? After a timeout it is in the middle of an answer.
fn breaks<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Away(_) | StoreError::Timeout))
}

async fn within<T>(
    deadline: Instant,
    answered: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout_at(deadline.into(), answered).await.unwrap_or(Err(StoreError::Timeout))
}
