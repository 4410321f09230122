//! `[spool]`: what is kept of accepted messages, and how often they are tried.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::store::{StoreConfig, StoreUrl};
use super::value::{bounded, duration_to, ranged};

/// `[spool]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpoolConfig {
    /// `durable`: accepted messages outlive the process, whatever ends it; without, they are kept in memory only.
    ///
    /// Default true.
    pub durable: bool,
    /// `file`: the file of the embedded database that they are kept in, relative to the configuration.
    ///
    /// Default: beside the file of `[store]`, `sipjab-spool.db` for `sipjab.db`; in the database itself when that is MySQL.
    pub file: Option<PathBuf>,
    /// `max_messages`: messages that may wait or be under way; above that, more are refused. As many fates are remembered.
    ///
    /// 1 to 10,000,000. Default 100,000.
    #[serde(deserialize_with = "bounded::<_, 1, 10_000_000>")]
    pub max_messages: usize,
    /// `max_bytes`: bytes of these messages.
    ///
    /// 1,000,000 to 64 GB. Default 256 MB.
    #[serde(deserialize_with = "bounded::<_, 1_000_000, 64_000_000_000>")]
    pub max_bytes: usize,
    /// `expire`: how long a message is of use. Then its sender is told.
    ///
    /// 1ms to 7 days. Default 1h: later than that he would rather know.
    #[serde(deserialize_with = "duration_to::<_, 604_800>")]
    pub expire: Duration,
    /// `attempts`: how often a recipient is tried who is out of reach: no answer, or 503 or 504.
    ///
    /// 1 to 1000. Default 3. Waiting for a stream is no attempt.
    #[serde(deserialize_with = "ranged::<_, _, 1, 1000>")]
    pub attempts: u32,
    /// `retry_after`: the wait after the first attempt; each further one is twice as long.
    ///
    /// 1ms to 1h. Default 1s.
    #[serde(deserialize_with = "duration_to::<_, 3600>")]
    pub retry_after: Duration,
    /// `max_retry_after`: the longest wait.
    ///
    /// 1ms to 24h. Default 5m.
    #[serde(deserialize_with = "duration_to::<_, 86_400>")]
    pub max_retry_after: Duration,
    /// `uncertain`: what becomes of a message that may have arrived or not, because the connection broke or we were
    /// killed while it was under way: `report` tells its sender so, `repeat` sends it once more.
    ///
    /// Default `report`: nothing arrives twice.
    pub uncertain: Uncertain,
    /// `keep`: how long fates are remembered, and a second copy of a message is known for one.
    ///
    /// 1s to 7 days. Default 1h.
    #[serde(deserialize_with = "duration_to::<_, 604_800>")]
    pub keep: Duration,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self {
            durable: true,
            file: None,
            max_messages: 100_000,
            max_bytes: 256_000_000,
            expire: Duration::from_secs(3600),
            attempts: 3,
            retry_after: Duration::from_secs(1),
            max_retry_after: Duration::from_secs(300),
            uncertain: Uncertain::Report,
            keep: Duration::from_secs(3600),
        }
    }
}

/// What becomes of a message that may have arrived or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Uncertain {
    /// Its sender is told.
    Report,
    /// It is sent once more.
    Repeat,
}

impl SpoolConfig {
    pub(super) fn resolve(&mut self, base_dir: &Path) {
        if let Some(file) = &mut self.file {
            *file = base_dir.join(&file);
        }
    }

    /// Where messages are kept, beside or in `store`; `None` when in memory.
    pub fn store(&self, store: &StoreConfig) -> Option<StoreConfig> {
        if !self.durable {
            return None;
        }
        let url = match (&self.file, &store.url) {
            (Some(file), _) => StoreUrl::Sqlite(file.clone()),
            (None, StoreUrl::Memory) => return None,
            (None, StoreUrl::Sqlite(path)) => StoreUrl::Sqlite(beside(path)),
            (None, url @ StoreUrl::Mysql(_)) => url.clone(),
        };
        Some(StoreConfig { url, ..store.clone() })
    }
}

/// `sipjab-spool.db` for `sipjab.db`
fn beside(store: &Path) -> PathBuf {
    let mut name = store.file_stem().unwrap_or_default().to_owned();
    name.push("-spool");
    if let Some(extension) = store.extension() {
        name.push(".");
        name.push(extension);
    }
    store.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(spool: SpoolConfig, url: StoreUrl) -> Option<StoreUrl> {
        spool.store(&StoreConfig { url, ..StoreConfig::default() }).map(|store| store.url)
    }

    #[test]
    fn messages_are_kept_beside_the_store() {
        let sqlite = |path: &str| StoreUrl::Sqlite(path.into());
        let spool = SpoolConfig::default();
        for (store, found) in [("/x/sipjab.db", "/x/sipjab-spool.db"), ("store", "store-spool")] {
            assert_eq!(place(spool.clone(), sqlite(store)), Some(sqlite(found)));
        }
        let mysql = StoreUrl::Mysql("mysql://u@h/d".into());
        assert_eq!(place(spool.clone(), mysql.clone()), Some(mysql.clone()));
        assert_eq!(place(spool, StoreUrl::Memory), None);
        let elsewhere = SpoolConfig { file: Some("/y".into()), ..SpoolConfig::default() };
        assert_eq!(place(elsewhere, mysql.clone()), Some(sqlite("/y")));
        let memory = SpoolConfig { durable: false, ..SpoolConfig::default() };
        assert_eq!(place(memory, mysql), None);
    }
}
