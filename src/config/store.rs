//! `[store]`: the database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

use super::secret::Secret;
use super::value::{duration_to, ranged};

/// `[store]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `url`: `sqlite:PATH`, relative to the configuration, or `mysql://USER:PASSWORD@HOST/DATABASE`;
    /// `sqlite::memory:` forgets everything at the end.
    ///
    /// May lie elsewhere: `{ file = "path" }`, `{ env = "NAME" }`. Default `sqlite:sipjab.db`, which
    /// needs nothing installed.
    pub url: StoreUrl,
    /// `timeout`: how long anybody waits for the database; then the request that needs it gets 503.
    ///
    /// 1ms to 60s. Default 2s, before most clients send a request for the third time.
    #[serde(deserialize_with = "duration_to::<_, 60>")]
    pub timeout: Duration,
    /// `queue`: questions that may wait for the database, and as many changes; more are refused at once.
    ///
    /// 1 to 100000. Default 1000.
    #[serde(deserialize_with = "ranged::<_, _, 1, 100_000>")]
    pub queue: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { url: StoreUrl::default(), timeout: Duration::from_secs(2), queue: 1000 }
    }
}

/// Which database, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// The embedded database without a file.
    Memory,
    /// A file of the embedded database.
    Sqlite(PathBuf),
    /// A MySQL or MariaDB server; the whole address, since it has the password in it.
    Mysql(Secret),
}

impl Default for StoreUrl {
    fn default() -> Self {
        Self::Sqlite("sipjab.db".into())
    }
}

impl StoreUrl {
    pub(super) fn resolve(&mut self, base_dir: &Path) {
        if let Self::Sqlite(path) = self {
            *path = base_dir.join(&path);
        }
    }

    /// The database of a URL.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        match url.split_once(':') {
            Some(("sqlite", "")) => Err("the path behind `sqlite:` is missing"),
            Some(("sqlite", ":memory:")) => Ok(Self::Memory),
            Some(("sqlite", path)) => Ok(Self::Sqlite(path.into())),
            Some(("mysql", rest)) => match mysql_has_host_and_database(rest) {
                true => Ok(Self::Mysql(url.into())),
                false => Err("expected `mysql://USER:PASSWORD@HOST/DATABASE`"),
            },
            _ => Err("expected `sqlite:PATH` or `mysql://USER:PASSWORD@HOST/DATABASE`"),
        }
    }
}

fn mysql_has_host_and_database(rest: &str) -> bool {
    let Some((server, database)) = rest.strip_prefix("//").and_then(|rest| rest.rsplit_once('/'))
    else {
        return false;
    };
    let host = server.rsplit('@').next().unwrap_or_default();
    !host.is_empty() && !database.is_empty()
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let url = String::deserialize(deserializer)?;
        Self::parse(&url).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_databases_are_known() {
        assert_eq!(StoreUrl::parse("sqlite:a.db"), Ok(StoreUrl::Sqlite("a.db".into())));
        assert_eq!(StoreUrl::parse("sqlite::memory:"), Ok(StoreUrl::Memory));
        let mysql = "mysql://u:p/w@db.example:3306/sip";
        assert_eq!(StoreUrl::parse(mysql), Ok(StoreUrl::Mysql(mysql.into())));
        for wrong in ["", "sqlite:", "sip.db", "mysql:x", "mysql://h", "mysql://u@/d", "pg://h/d"] {
            assert!(StoreUrl::parse(wrong).is_err(), "{wrong}");
        }
    }
}
