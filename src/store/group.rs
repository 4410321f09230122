//! Many changes in one transaction, so that the disk is waited for once, each failing for itself.

use std::time::Instant;

use super::backend::Backend;
use super::error::StoreError;
use super::statement::Statement;

/// Runs each list as a whole or not at all, and tells of each how many rows it touched.
///
/// A list that fails leaves the others alone. The lists take effect in their order.
pub(super) async fn run_lists<B: Backend>(
    backend: &mut B,
    lists: &[&[Statement]],
    deadline: Instant,
) -> Vec<Result<u64, StoreError>> {
    if let [[statement]] = lists {
        return vec![backend.run(statement, deadline).await];
    }
    match together(backend, lists, deadline).await {
        Ok(results) => results,
        Err(error @ (StoreError::Away(_) | StoreError::Timeout)) => {
            lists.iter().map(|_| Err(error.clone())).collect()
        }
        // The transaction as a whole has failed, which may be one list's fault.
        Err(_) => one_by_one(backend, lists, deadline).await,
    }
}

async fn one_by_one<B: Backend>(
    backend: &mut B,
    lists: &[&[Statement]],
    deadline: Instant,
) -> Vec<Result<u64, StoreError>> {
    let mut results = Vec::with_capacity(lists.len());
    for list in lists {
        let done = together(backend, std::slice::from_ref(list), deadline).await;
        results.push(done.and_then(|mut results| results.remove(0)));
    }
    results
}

/// One transaction; an error means that none of the lists has had an effect.
async fn together<B: Backend>(
    backend: &mut B,
    lists: &[&[Statement]],
    deadline: Instant,
) -> Result<Vec<Result<u64, StoreError>>, StoreError> {
    say(backend, B::DIALECT.begin, deadline).await?;
    let mut results = Vec::with_capacity(lists.len());
    for list in lists {
        match run_list(backend, list, deadline).await {
            Err(error) if is_fatal(&error) => {
                // A broken connection has rolled back already.
                let _ = say(backend, "ROLLBACK", deadline).await;
                return Err(error);
            }
            result => results.push(result),
        }
    }
    if let Err(error) = say(backend, "COMMIT", deadline).await {
        let _ = say(backend, "ROLLBACK", deadline).await;
        return Err(error);
    }
    Ok(results)
}

/// A list inside of a transaction, undone when one of its statements fails.
async fn run_list<B: Backend>(
    backend: &mut B,
    list: &[Statement],
    deadline: Instant,
) -> Result<u64, StoreError> {
    let needs_savepoint = list.len() > 1;
    if needs_savepoint {
        say(backend, "SAVEPOINT list", deadline).await?;
    }
    let mut touched = 0;
    for statement in list {
        match backend.run(statement, deadline).await {
            Ok(count) => touched += count,
            Err(error) => {
                if needs_savepoint && !is_fatal(&error) {
                    say(backend, "ROLLBACK TO SAVEPOINT list", deadline).await?;
                }
                return Err(error);
            }
        }
    }
    if needs_savepoint {
        say(backend, "RELEASE SAVEPOINT list", deadline).await?;
    }
    Ok(touched)
}

/// Is this the end of the whole transaction?
fn is_fatal(error: &StoreError) -> bool {
    matches!(error, StoreError::Away(_) | StoreError::Timeout | StoreError::Conflict)
}

async fn say<B: Backend>(
    backend: &mut B,
    words: &'static str,
    deadline: Instant,
) -> Result<(), StoreError> {
    backend.run(&Statement::new(words), deadline).await.map(|_| ())
}
