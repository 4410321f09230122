//! `script`: the route script and what one run of it may use.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::value::{bounded, duration_to};

/// `script = "route.rhai"`, or `[script]` with `file` and limits.
///
/// A run that exceeds a limit ends with 500; the next message is served as if nothing had happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptConfig {
    /// `file`: the route script. Relative to the configuration; `import` stays in its folder.
    pub file: PathBuf,
    /// `max_operations`: steps of one run, the end of an endless loop.
    ///
    /// 100 to 1,000,000,000. Default 100,000: a hundred times a long route, some milliseconds.
    pub max_operations: usize,
    /// `deadline`: wall-clock time of one run, waiting included.
    ///
    /// 1ms to 600s. Default 10s: a caller hears something before timer F (32s) gives up.
    pub deadline: Duration,
    /// `max_string_size`: bytes of one string.
    ///
    /// 1024 to 16,777,216. Default 262,144, the largest message that TCP may bring.
    pub max_string_size: usize,
    /// `max_array_size`: elements of one array.
    ///
    /// 16 to 1,000,000. Default 10,000, more than any message has headers.
    pub max_array_size: usize,
    /// `max_map_size`: entries of one object map.
    ///
    /// 16 to 1,000,000. Default 10,000, as for arrays.
    pub max_map_size: usize,
    /// `max_call_levels`: functions that may be open at once.
    ///
    /// 4 to 64. Default 16: routes are flat, and a run's stack is bounded.
    pub max_call_levels: usize,
    /// `max_suspended`: runs that may wait at once in one worker; above that, 503.
    ///
    /// 1 to 1,000,000. Default 10,000, some 400 MB of stacks at the very worst.
    pub max_suspended: usize,
}

impl ScriptConfig {
    /// The script at `file` with every limit at its default.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self::from(Table { file: file.into(), ..Table::default() })
    }
}

/// The long form. `file` has no default, but its absence is told by [`ScriptVisitor`].
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Table {
    file: PathBuf,
    #[serde(deserialize_with = "bounded::<_, 100, 1_000_000_000>")]
    max_operations: usize,
    #[serde(deserialize_with = "duration_to::<_, 600>")]
    deadline: Duration,
    #[serde(deserialize_with = "bounded::<_, 1024, 16_777_216>")]
    max_string_size: usize,
    #[serde(deserialize_with = "bounded::<_, 16, 1_000_000>")]
    max_array_size: usize,
    #[serde(deserialize_with = "bounded::<_, 16, 1_000_000>")]
    max_map_size: usize,
    #[serde(deserialize_with = "bounded::<_, 4, 64>")]
    max_call_levels: usize,
    #[serde(deserialize_with = "bounded::<_, 1, 1_000_000>")]
    max_suspended: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            file: PathBuf::new(),
            max_operations: 100_000,
            deadline: Duration::from_secs(10),
            max_string_size: 262_144,
            max_array_size: 10_000,
            max_map_size: 10_000,
            max_call_levels: 16,
            max_suspended: 10_000,
        }
    }
}

impl From<Table> for ScriptConfig {
    fn from(table: Table) -> Self {
        Self {
            file: table.file,
            max_operations: table.max_operations,
            deadline: table.deadline,
            max_string_size: table.max_string_size,
            max_array_size: table.max_array_size,
            max_map_size: table.max_map_size,
            max_call_levels: table.max_call_levels,
            max_suspended: table.max_suspended,
        }
    }
}

struct ScriptVisitor;

impl<'de> Visitor<'de> for ScriptVisitor {
    type Value = ScriptConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path of a script, or a table with `file` and limits")
    }

    fn visit_str<E: Error>(self, file: &str) -> Result<ScriptConfig, E> {
        match file {
            "" => Err(E::custom("the path of the script is empty")),
            _ => Ok(ScriptConfig::new(file)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ScriptConfig, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        match table.file.as_os_str().is_empty() {
            true => Err(A::Error::missing_field("file")),
            false => Ok(table.into()),
        }
    }
}

impl<'de> Deserialize<'de> for ScriptConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScriptVisitor)
    }
}
