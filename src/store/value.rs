//! What stands in the columns of a row, whichever database keeps it.

use std::time::Duration;

use crate::clock;

/// One value of a row or of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Int(i64),
    /// A number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes that are no text.
    Bytes(Vec<u8>),
}

impl Value {
    /// A date and time for a column of that type, in UTC, from the seconds since 1970.
    pub fn date_time(unix: Duration) -> Self {
        let (days, second) = (unix.as_secs() / DAY, unix.as_secs() % DAY);
        let (year, month, day) = date_of(i64::try_from(days).unwrap_or(i64::MAX / 2));
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        Self::Text(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"))
    }

    /// The date and time now.
    pub fn now() -> Self {
        Self::date_time(clock::unix_time())
    }

    /// The text, when it is text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The bytes of bytes or text.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The whole number, also when it is written as text or with a fraction of nothing.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Real(number) => (number.fract() == 0.0).then_some(*number as i64),
            _ => self.text()?.parse().ok(),
        }
    }

    /// The number, also when it is written as text.
    pub fn real(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Real(number) => Some(*number),
            _ => self.text()?.parse().ok(),
        }
    }

    /// The time since 1970 that a date and time in UTC names; zero for one before.
    ///
    /// COMPAT(Kamailio): its `db_sqlite` keeps Julian days as numbers.
    pub fn unix_time(&self) -> Option<Duration> {
        match self {
            Self::Real(julian) => {
                let seconds = ((julian - JULIAN_1970) * DAY as f64).round();
                Duration::try_from_secs_f64(seconds.max(0.0)).ok()
            }
            Self::Int(unix) => Some(Duration::from_secs(u64::try_from(*unix).unwrap_or(0))),
            _ => unix_of(self.text()?).map(Duration::from_secs),
        }
    }
}

/// The seconds of a day.
const DAY: u64 = 86_400;

/// 1970-01-01 as Julian day.
const JULIAN_1970: f64 = 2_440_587.5;

/// Seconds since 1970 of `2026-07-01 12:30:00`; a fraction is cut off.
fn unix_of(text: &str) -> Option<u64> {
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "0:0:0"));
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let time = time.split(['.', 'Z']).next().unwrap_or_default();
    let mut time = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let is_fine = (0..=9999).contains(&year)
        && (0..=12).contains(&month)
        && (0..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second);
    let days = is_fine.then(|| days_until(year, month, day))?;
    let seconds = days * DAY as i64 + hour * 3600 + minute * 60 + second;
    Some(u64::try_from(seconds).unwrap_or(0))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, whose years begin in March here, so that the
/// leap day comes last.
fn days_until(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// Year, month and day so many days after 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (day * 5 + 2) / 153;
    let day = day - (month * 153 + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

macro_rules! values {
    ($($type:ty => $variant:ident),* $(,)?) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

values!(i64 => Int, i32 => Int, u32 => Int, u16 => Int, bool => Int, f64 => Real, &str => Text, String => Text, Vec<u8> => Bytes);

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of an answer; columns are counted from 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The value of a column.
    pub fn value(&self, column: usize) -> Option<&Value> {
        self.0.get(column)
    }

    /// The text of a column.
    pub fn text(&self, column: usize) -> Option<&str> {
        self.value(column)?.text()
    }

    /// The bytes of a column.
    pub fn bytes(&self, column: usize) -> Option<&[u8]> {
        self.value(column)?.bytes()
    }

    /// The whole number of a column.
    pub fn int(&self, column: usize) -> Option<i64> {
        self.value(column)?.int()
    }

    /// The number of a column.
    pub fn real(&self, column: usize) -> Option<f64> {
        self.value(column)?.real()
    }

    /// The date and time of a column as the time since 1970, UTC.
    pub fn unix_time(&self, column: usize) -> Option<Duration> {
        self.value(column)?.unix_time()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_however_the_database_writes_them() {
        for value in [Value::from(7), "7".into(), 7.0.into(), Vec::from(b"7").into()] {
            assert_eq!(value.int(), Some(7), "{value:?}");
        }
        for value in [Value::Null, "x".into(), 7.5.into()] {
            assert_eq!(value.int(), None, "{value:?}");
        }
        assert_eq!(Row(vec![1.into()]).text(1), None);
    }

    #[test]
    fn dates_go_there_and_back() {
        for (unix, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_767_225_599, "2025-12-31 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            let time = Duration::from_secs(unix);
            assert_eq!(Value::date_time(time), text.into());
            assert_eq!(Value::from(text).unix_time(), Some(time), "{text}");
        }
        for day in 0..40_000 {
            let (year, month, date) = date_of(day);
            assert_eq!(days_until(year, month, date), day);
        }
    }

    #[test]
    fn compat_kamailio_julian_days_are_dates() {
        assert_eq!(Value::from(2_440_588.5).unix_time(), Some(Duration::from_secs(DAY)));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "soon", "2026-13-01 00:00:00", "2026-01-01 25:00:00", "9-9-9 1"] {
            assert_eq!(Value::from(text).unix_time(), None, "{text}");
        }
        assert_eq!(Value::from("0000-00-00 00:00:00").unix_time(), Some(Duration::ZERO));
        assert_eq!(Value::from("2026-01-01 00:00:00.5").unix_time().unwrap().subsec_nanos(), 0);
    }
}
