//! One message of the table `silo`.

use std::time::Duration;

use bytes::Bytes;

use crate::gateway::{RequestIds, sip_date};
use crate::script::error::RouteError;
use crate::script::route::Target;
use crate::sip::{Message, Uri};
use crate::store::{Row, Statement, Value};

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) id: i64,
    from: String,
    to: String,
    /// When it was stored, since 1970.
    since: Duration,
    content_type: String,
    body: Vec<u8>,
}

/// A time as the table counts it: seconds since 1970.
pub(super) fn seconds(unix: Duration) -> i64 {
    i64::try_from(unix.as_secs()).unwrap_or(i64::MAX)
}

/// The row of a message.
pub(super) fn insert(
    message: &Message,
    (user, host): (&str, &str),
    now: Duration,
    lifetime: Duration,
) -> Result<Statement, RouteError> {
    let sql = "INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, \
               snd_time, ctype, body) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?)";
    // RFC 3428 §10: the sender may say how long it makes sense.
    let expires = message.text(crate::sip::HeaderId::Expires);
    let asked = expires.and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
    let lifetime = asked.map_or(lifetime, |asked| asked.min(lifetime));
    let content_type = message.content_type();
    let content_type = content_type.as_deref().unwrap_or("text/plain");
    Ok(Statement::new(sql)
        .bind(message.from()?.uri)
        .bind(message.to()?.uri)
        .bind(user)
        .bind(host)
        .bind(seconds(now))
        .bind(seconds(now + lifetime))
        .bind(content_type)
        .bind(Value::Bytes(message.body().to_vec())))
}

impl Stored {
    pub(super) fn read(row: &Row) -> Option<Self> {
        Some(Self {
            id: row.int(0)?,
            from: row.text(1)?.to_owned(),
            to: row.text(2)?.to_owned(),
            since: Duration::from_secs(u64::try_from(row.int(3)?).unwrap_or(0)),
            content_type: row.text(4)?.to_owned(),
            body: row.bytes(5).unwrap_or_default().to_vec(),
        })
    }

    /// The MESSAGE that brings it to a contact; `None` for a row that makes none.
    pub(super) fn request(
        &self,
        way: &Target,
        aor: &str,
        ids: RequestIds<'_>,
        adds_date: bool,
    ) -> Option<Message> {
        let is_uri = |uri: &str| Uri::parse(uri).is_ok();
        let is_line = |text: &str| !text.contains(char::is_control);
        let to = if is_uri(&self.to) { &self.to } else { aor };
        if !is_uri(&self.from) || ![&self.from, to, &self.content_type].into_iter().all(is_line) {
            return None;
        }
        let RequestIds { tag, call_id, cseq } = ids;
        let date = sip_date(self.since).filter(|_| adds_date);
        let date = date.map(|date| format!("Date: {date}\r\n")).unwrap_or_default();
        let route = match way.path.is_empty() {
            true => String::new(),
            false => format!("Route: {}\r\n", way.path),
        };
        let head = format!(
            "MESSAGE {} SIP/2.0\r\n{route}Max-Forwards: 70\r\nFrom: <{}>;tag={tag}\r\n\
             To: <{to}>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} MESSAGE\r\n{date}\
             Content-Type: {}\r\nContent-Length: {}\r\n\r\n",
            way.uri,
            self.from,
            self.content_type,
            self.body.len()
        );
        Message::parse(Bytes::from([head.as_bytes(), &self.body].concat())).ok()
    }
}
