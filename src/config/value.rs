//! Values that occur in many sections: durations, bounded numbers, the number of cores.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

const MS: u64 = 1;
const SECOND: u64 = 1000 * MS;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Units of a duration; a unit stands before one that it ends with.
const UNITS: &[(&str, u64)] = &[("ms", MS), ("s", SECOND), ("m", MINUTE), ("h", HOUR)];

/// The duration in text like `500ms`, `32s`, `5m` or `1h`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) =
        UNITS.iter().find_map(|(name, ms)| Some((text.strip_suffix(name)?, ms)))?;
    let number: u64 = number.trim_end().parse().ok()?;
    number.checked_mul(*unit).map(Duration::from_millis)
}

/// Reads a string and makes a `T` of it; an error points at the string.
pub(super) fn text<'de, D: Deserializer<'de>, T, E: fmt::Display>(
    deserializer: D,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(Text { expected, parse })
}

struct Text<F> {
    expected: &'static str,
    parse: F,
}

impl<T, E: fmt::Display, F: FnOnce(&str) -> Result<T, E>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<X: Error>(self, text: &str) -> Result<T, X> {
        (self.parse)(text).map_err(X::custom)
    }
}

/// Reads a duration from 1 ms to `MAX_SECONDS`.
pub(crate) fn duration_to<'de, D: Deserializer<'de>, const MAX_SECONDS: u64>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    const EXPECTED: &str = "a duration with its unit, like \"500ms\", \"32s\", \"5m\" or \"1h\"";
    text(deserializer, EXPECTED, |written| match duration(written) {
        None => Err(format!("expected {EXPECTED}")),
        Some(it) if it.is_zero() || it > Duration::from_secs(MAX_SECONDS) => {
            Err(format!("the duration must be from 1ms to {MAX_SECONDS}s"))
        }
        Some(it) => Ok(it),
    })
}

/// Reads a whole number from `MIN` to `MAX`.
pub(crate) fn bounded<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<usize, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let allowed = u64::try_from(number).is_ok_and(|number| (MIN..=MAX).contains(&number));
    match usize::try_from(number) {
        Ok(number) if allowed => Ok(number),
        _ => Err(D::Error::custom(format!(
            "{number} is out of range; expected a whole number from {MIN} to {MAX}"
        ))),
    }
}

/// Reads a whole number from `MIN` to `MAX` into a type that holds all of these.
pub(crate) fn ranged<'de, D, T, const MIN: u64, const MAX: u64>(d: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<usize>,
{
    let number = bounded::<D, MIN, MAX>(d)?;
    T::try_from(number).map_err(|_| D::Error::custom(format!("{number} is too large")))
}

/// Reads whole seconds, from `MIN` to `MAX`.
pub(crate) fn seconds<'de, D: Deserializer<'de>, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let seconds = bounded::<D, MIN, MAX>(deserializer)?;
    Ok(Duration::from_secs(seconds as u64))
}

/// Reads a number of worker threads.
pub(super) fn workers<'de, D: Deserializer<'de>>(d: D) -> Result<NonZeroUsize, D::Error> {
    let workers = bounded::<D, 1, 1024>(d)?;
    Ok(NonZeroUsize::new(workers).expect("at least 1 by its bounds"))
}

/// One worker per core that we may use.
pub(super) fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        for (text, ms) in [("500ms", 500), ("32s", 32_000), ("5 m", 300_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["5", "", "s", "-1s", "1.5s", "99999999999999999999h", "18446744073709551615h"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn no_unit_is_hidden_by_an_earlier_one() {
        for (row, (unit, _)) in UNITS.iter().enumerate() {
            assert!(!UNITS[..row].iter().any(|(above, _)| unit.ends_with(above)), "{unit}");
        }
    }
}
