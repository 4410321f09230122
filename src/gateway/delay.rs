//! When a message was sent: XEP-0203 stamps → SIP Date.

use std::time::Duration;

use crate::xmpp::Stanza;

const DELAY: &str = "urn:xmpp:delay";

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The Date header (RFC 3261 §20.17) of a stanza that was kept on its way, `None` for one that was not.
pub(super) fn date_of(stanza: &Stanza) -> Option<String> {
    sip_date(&stanza.payload("delay", DELAY)?.attribute("stamp")?)
}

/// `2002-09-10T23:08:25Z` (XEP-0082 §3.2) as `Tue, 10 Sep 2002 23:08:25 GMT`.
fn sip_date(stamp: &str) -> Option<String> {
    let (date, time) = stamp.trim().split_once('T')?;
    let time = time.strip_suffix('Z').or_else(|| time.strip_suffix("+00:00"))?;
    let [year, month, day] = numbers(date, '-')?;
    let time = time.split_once('.').map_or(time, |(seconds, _)| seconds);
    let [hour, minute, second] = numbers(time, ':')?;
    let is_valid = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !is_valid {
        return None;
    }
    let weekday = WEEKDAYS[(days_since_1970(year, month, day) % 7) as usize];
    let month = MONTHS[month as usize - 1];
    Some(format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT"))
}

/// The time since 1970 as `2002-09-10T23:08:25Z` (RFC 3339, XEP-0082).
pub(super) fn stamp(unix: Duration) -> String {
    let (days, second) = (unix.as_secs() / 86_400, unix.as_secs() % 86_400);
    // 1970 to 9999; a clock beyond that is of no use.
    let mut left = u32::try_from(days).unwrap_or(0).min(2_932_896);
    let mut year = 1970;
    while left >= 365 + u32::from(is_leap(year)) {
        left -= 365 + u32::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    while left >= days_in(year, month) {
        left -= days_in(year, month);
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", left + 1)
}

fn numbers(text: &str, separator: char) -> Option<[u32; 3]> {
    let mut parts = text.split(separator).map(|part| {
        let is_number = part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u32>().ok().filter(|_| is_number)
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: u32, month: u32, day: u32) -> u32 {
    let before = year - 1;
    let leap_days = before / 4 - before / 100 + before / 400;
    const LEAP_DAYS_TO_1970: u32 = 1969 / 4 - 1969 / 100 + 1969 / 400;
    let years = (year - 1970) * 365 + leap_days - LEAP_DAYS_TO_1970;
    years + (1..month).map(|month| days_in(year, month)).sum::<u32>() + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_become_dates() {
        for (stamp, date) in [
            ("2002-09-10T23:08:25Z", "Tue, 10 Sep 2002 23:08:25 GMT"),
            ("2010-11-13T23:29:00.123Z", "Sat, 13 Nov 2010 23:29:00 GMT"),
            ("2000-02-29T00:00:00+00:00", "Tue, 29 Feb 2000 00:00:00 GMT"),
            ("1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("2026-11-21T02:20:00Z", "Sat, 21 Nov 2026 02:20:00 GMT"),
        ] {
            assert_eq!(sip_date(stamp).as_deref(), Some(date), "{stamp}");
        }
    }

    #[test]
    fn times_become_stamps() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_031_699_305, "2002-09-10T23:08:25Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
        ] {
            assert_eq!(stamp(Duration::from_secs(unix)), text);
        }
    }

    #[test]
    fn what_is_no_utc_stamp_is_none() {
        for stamp in [
            "",
            "2002-09-10",
            "20020910T23:08:25",
            "2002-09-10T23:08:25+02:00",
            "2001-02-29T00:00:00Z",
            "2002-13-01T00:00:00Z",
            "2002-09-10T24:00:00Z",
            "2002-+9-10T00:00:00Z",
            "99999999999-01-01T00:00:00Z",
        ] {
            assert_eq!(sip_date(stamp), None, "{stamp}");
        }
    }
}
