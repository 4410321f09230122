//! The MESSAGEs that leave: what was stored, and notes about it.

use bytes::Bytes;

use crate::sip::{Message, Uri};

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Headers that what is stored may not bring along.
const OURS: &[&str] = &[
    "via",
    "v",
    "from",
    "f",
    "to",
    "t",
    "call-id",
    "i",
    "cseq",
    "route",
    "max-forwards",
    "contact",
    "m",
    "content-type",
    "c",
    "content-length",
    "l",
    "date",
    "record-route",
];

/// The parts of a MESSAGE.
pub(super) struct Parts<'a> {
    pub(super) uri: &'a str,
    /// Route headers, or empty.
    pub(super) path: &'a str,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    /// The same for each attempt.
    pub(super) call_id: &'a str,
    /// Seconds since 1970, when it was written; 0 leaves it out.
    pub(super) date: u64,
    pub(super) contact: Option<&'a str>,
    pub(super) content_type: &'a str,
    pub(super) extra: &'a str,
    pub(super) body: &'a [u8],
}

impl Parts<'_> {
    /// The request; `None` when a part cannot stand in one.
    pub(super) fn message(&self) -> Option<Message> {
        let is_uri = |uri: &str| Uri::parse(uri).is_ok() && is_plain(uri);
        if ![self.uri, self.from, self.to].into_iter().all(is_uri) || !is_plain(self.content_type) {
            return None;
        }
        let Self { uri, path, from, to, call_id, content_type, .. } = self;
        let mut text = format!("MESSAGE {uri} SIP/2.0\r\n");
        if !path.is_empty() {
            text += &format!("Route: {path}\r\n");
        }
        text += &format!(
            "Max-Forwards: 70\r\nFrom: <{from}>;tag={call_id}\r\nTo: <{to}>\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 MESSAGE\r\n"
        );
        if self.date > 0 {
            text += &format!("Date: {}\r\n", date_header(self.date));
        }
        if let Some(contact) = self.contact.filter(|contact| is_plain(contact)) {
            text += &format!("Contact: {contact}\r\n");
        }
        text += &extra_headers(self.extra);
        text += &format!("Content-Type: {content_type}\r\n");
        text += &format!("Content-Length: {}\r\n\r\n", self.body.len());
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(self.body);
        Message::parse(Bytes::from(bytes)).ok()
    }
}

/// Without anything that ends a line.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// The lines that are headers and not ours to write.
fn extra_headers(text: &str) -> String {
    let lines = text.lines().filter(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            let name = name.trim();
            let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
            !name.is_empty()
                && name.bytes().all(is_token)
                && !OURS.contains(&name.to_ascii_lowercase().as_str())
                && !value.chars().any(char::is_control)
        })
    });
    lines.map(|line| format!("{line}\r\n")).collect()
}

/// A text that says when it was stored.
pub(super) fn dated(what: &str, inc_time: u64, text: &[u8]) -> Vec<u8> {
    let (weekday, [year, month, day, hour, minute, second]) = calendar(inc_time);
    let month = MONTHS[month as usize - 1];
    let stamp =
        format!("[{what} - {weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} {year}] ");
    [stamp.as_bytes(), text].concat()
}

/// RFC 3261 §20.17.
fn date_header(unix: u64) -> String {
    let (weekday, [year, month, day, hour, minute, second]) = calendar(unix);
    let month = MONTHS[month as usize - 1];
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Weekday, and year to second, of a time in UTC.
fn calendar(unix: u64) -> (&'static str, [u64; 6]) {
    let (mut days, second) = (unix / 86_400, unix % 86_400);
    let weekday = WEEKDAYS[(days % 7) as usize];
    let mut year = 1970;
    while days >= days_of_year(year) {
        days -= days_of_year(year);
        year += 1;
    }
    let mut month = 1;
    while days >= days_of_month(year, month) {
        days -= days_of_month(year, month);
        month += 1;
    }
    (weekday, [year, month, days + 1, second / 3600, second / 60 % 60, second % 60])
}

/// Seconds since 1970 of `YYYYMMDDHHMMSS`, UTC.
pub(super) fn unix_of(text: &str) -> Option<u64> {
    if text.len() != 14 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
    let is_fine = (1970..=2100).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !is_fine {
        return None;
    }
    let days = (1970..year).map(days_of_year).sum::<u64>()
        + (1..month).map(|month| days_of_month(year, month)).sum::<u64>()
        + day
        - 1;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

fn days_of_year(year: u64) -> u64 {
    365 + u64::from(is_leap(year))
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_there_and_back() {
        for (text, unix) in [("19700101000000", 0), ("20040812190400", 1_092_337_440)] {
            assert_eq!(unix_of(text), Some(unix));
        }
        for text in ["", "2004", "20040230000000", "20041301000000", "2004081219040x"] {
            assert_eq!(unix_of(text), None, "{text}");
        }
        assert_eq!(date_header(1_092_337_440), "Thu, 12 Aug 2004 19:04:00 GMT");
        let dated = dated("Offline message", 1_092_337_440, b"Hi");
        assert_eq!(dated, b"[Offline message - Thu Aug 12 19:04:00 2004] Hi");
    }

    #[test]
    fn what_is_stored_cannot_write_our_headers() {
        let extra = "X-A: 1\r\nVia: evil\r\nno colon\r\n\r\nbody\r\nf: <sip:x@y>\r\nX-B:2";
        assert_eq!(extra_headers(extra), "X-A: 1\r\nX-B:2\r\n");
        let parts = Parts {
            uri: "sip:a@b",
            path: "",
            from: "sip:c@d>\r\nEvil: x",
            to: "sip:a@b",
            call_id: "i",
            date: 0,
            contact: None,
            content_type: "text/plain",
            extra: "",
            body: b"x",
        };
        assert!(parts.message().is_none());
        assert!(Parts { from: "sip:c@d", ..parts }.message().is_some());
    }
}
