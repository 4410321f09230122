//! Replies to requests (RFC 3261 §8.2.6), built from whatever the request holds.

use std::io::Write;

use bytes::Bytes;
use smallvec::SmallVec;

use super::edit::{check_header, check_value};
use super::error::EditError;
use super::header::HeaderId;
use super::message::{Header, Message};

/// The room for what stands between the parts of a reply. A transaction keeps its reply for half a minute, so that
/// what is taken for nothing adds up.
const FRAME: usize = "SIP/2.0 200 \r\n;tag=Content-Type: \r\nContent-Length: \r\n\r\n".len();

/// The body of a message and what it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Body<'a> {
    /// The Content-Type; empty for no body.
    pub content_type: &'a str,
    /// The body's bytes.
    pub bytes: &'a [u8],
}

/// The reply to `request`; an empty reason becomes the standard phrase.
///
/// A malformed request is answered with the headers that it has. `to_tag` is added when To has no tag and the
/// status is not 100. Record-Route is copied into replies that create or may create a dialog (§12.1.1).
pub fn reply(
    request: &Message,
    status: u16,
    reason: &str,
    to_tag: Option<&str>,
    extra_headers: &[(&str, &str)],
    body: Body<'_>,
) -> Result<Bytes, EditError> {
    for (name, value) in extra_headers {
        check_header(name, value)?;
    }
    for text in [reason, to_tag.unwrap_or_default(), body.content_type] {
        check_value(text.as_bytes(), false)?;
    }
    let reason = if reason.is_empty() { standard_reason(status) } else { reason };
    let copied: SmallVec<[&Header; 16]> = copied(request, status).collect();
    let mut out = Writer(Vec::with_capacity(
        headers_size(&copied, extra_headers)
            + reason.len()
            + to_tag.map_or(0, str::len)
            + body.content_type.len()
            + body.bytes.len().checked_ilog10().map_or(1, |last| 1 + last as usize)
            + body.bytes.len()
            + FRAME,
    ));
    out.put(&[b"SIP/2.0 ", &digits(status), b" ", reason.as_bytes(), b"\r\n"]);
    for header in copied {
        let tag = to_tag.filter(|_| header.id == HeaderId::To && status != 100);
        out.copy(request, header, tag);
    }
    for (name, value) in extra_headers {
        out.put(&[name.as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    if !body.content_type.is_empty() {
        out.put(&[b"Content-Type: ", body.content_type.as_bytes(), b"\r\n"]);
    }
    let _ = write!(out.0, "Content-Length: {}\r\n\r\n", body.bytes.len());
    out.put(&[body.bytes]);
    Ok(out.0.into())
}

fn digits(status: u16) -> [u8; 3] {
    [status / 100 % 10, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8)
}

/// What a reply repeats of its request; of a header that may stand once, the first.
fn copied(request: &Message, status: u16) -> impl Iterator<Item = &Header> {
    let has_routes = (101..300).contains(&status) && request.method().creates_dialog();
    let mut seen = [false; HeaderId::Other as usize + 1];
    request.headers.iter().filter(move |header| {
        let is_first = !std::mem::replace(&mut seen[header.id as usize], true);
        match header.id {
            HeaderId::Via => true,
            HeaderId::From | HeaderId::To | HeaderId::CallId | HeaderId::CSeq => is_first,
            HeaderId::RecordRoute => has_routes,
            HeaderId::Timestamp => status == 100 && is_first,
            _ => false,
        }
    })
}

/// The room that headers take which are copied or added.
fn headers_size(copied: &[&Header], added: &[(&str, &str)]) -> usize {
    let copied = copied.iter().map(|it| it.name_end - it.start + it.value_end - it.value);
    let copied = copied.map(|size| size as usize);
    let added = added.iter().map(|(name, value)| name.len() + value.len());
    copied.chain(added).map(|size| size + b": \r\n".len()).sum()
}

struct Writer(Vec<u8>);

impl Writer {
    fn put(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.0.extend_from_slice(part);
        }
    }

    fn copy(&mut self, request: &Message, header: &Header, to_tag: Option<&str>) {
        match request.plain(header) {
            Some(plain) => self.put(&[plain]),
            None => self.put(&[request.name(header), b": ", request.value(header)]),
        }
        if let Some(tag) = to_tag {
            let has_tag = request.to().is_ok_and(|to| to.tag().is_some());
            if !has_tag {
                self.put(&[b";tag=", tag.as_bytes()]);
            }
        }
        self.put(&[b"\r\n"]);
    }
}

/// Every status code that a specification defines, and its phrase, ascending.
const REASONS: &[(u16, &str)] = &[
    (100, "Trying"),
    (180, "Ringing"),
    (181, "Call Is Being Forwarded"),
    (182, "Queued"),
    (183, "Session Progress"),
    (199, "Early Dialog Terminated"),
    (200, "OK"),
    (202, "Accepted"),
    (204, "No Notification"),
    (300, "Multiple Choices"),
    (301, "Moved Permanently"),
    (302, "Moved Temporarily"),
    (305, "Use Proxy"),
    (380, "Alternative Service"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (402, "Payment Required"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (407, "Proxy Authentication Required"),
    (408, "Request Timeout"),
    (410, "Gone"),
    (412, "Conditional Request Failed"),
    (413, "Request Entity Too Large"),
    (414, "Request-URI Too Long"),
    (415, "Unsupported Media Type"),
    (416, "Unsupported URI Scheme"),
    (417, "Unknown Resource-Priority"),
    (420, "Bad Extension"),
    (421, "Extension Required"),
    (422, "Session Interval Too Small"),
    (423, "Interval Too Brief"),
    (424, "Bad Location Information"),
    (425, "Bad Alert Message"),
    (428, "Use Identity Header"),
    (429, "Provide Referrer Identity"),
    (430, "Flow Failed"),
    (433, "Anonymity Disallowed"),
    (436, "Bad Identity-Info"),
    (437, "Unsupported Certificate"),
    (438, "Invalid Identity Header"),
    (439, "First Hop Lacks Outbound Support"),
    (440, "Max-Breadth Exceeded"),
    (469, "Bad Info Package"),
    (470, "Consent Needed"),
    (480, "Temporarily Unavailable"),
    (481, "Call/Transaction Does Not Exist"),
    (482, "Loop Detected"),
    (483, "Too Many Hops"),
    (484, "Address Incomplete"),
    (485, "Ambiguous"),
    (486, "Busy Here"),
    (487, "Request Terminated"),
    (488, "Not Acceptable Here"),
    (489, "Bad Event"),
    (491, "Request Pending"),
    (493, "Undecipherable"),
    (494, "Security Agreement Required"),
    (500, "Server Internal Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Server Time-out"),
    (505, "Version Not Supported"),
    (513, "Message Too Large"),
    (555, "Push Notification Service Not Supported"),
    (580, "Precondition Failure"),
    (600, "Busy Everywhere"),
    (603, "Decline"),
    (604, "Does Not Exist Anywhere"),
    (606, "Not Acceptable"),
    (607, "Unwanted"),
    (608, "Rejected"),
];

/// The phrase that the standards give a status, or its class's where they give none.
pub fn standard_reason(status: u16) -> &'static str {
    let row = |status: u16| REASONS.binary_search_by_key(&status, |row| row.0);
    let class = match status {
        100..=199 => 183,
        status => status / 100 * 100,
    };
    row(status).or_else(|_| row(class)).map_or("Unknown", |index| REASONS[index].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &'static str) -> Message {
        Message::parse(Bytes::from_static(text.as_bytes())).unwrap()
    }

    const INVITE: &str = "INVITE sip:b@h SIP/2.0\r\nv: SIP/2.0/UDP a;branch=z9hG4bK1,\r\n SIP/2.0/UDP b\r\n\
        Record-Route: <sip:p;lr>\r\nTimestamp: 5\r\nf: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
        Call-ID: c\r\nCSeq: 1 INVITE\r\nVia: SIP/2.0/UDP c\r\nl: 0\r\n\r\n";

    #[test]
    fn a_final_reply_gets_a_tag_and_its_header() {
        let text =
            reply(&request(INVITE), 404, "", Some("t"), &[("Retry-After", "5")], Body::default());
        assert_eq!(
            text.unwrap(),
            "SIP/2.0 404 Not Found\r\nv: SIP/2.0/UDP a;branch=z9hG4bK1,\r\n SIP/2.0/UDP b\r\n\
             f: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=t\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
             Via: SIP/2.0/UDP c\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_reply_takes_little_more_room_than_it_needs() {
        let request = request(INVITE);
        for (status, headers) in [(404, &[("Retry-After", "5")][..]), (200, &[])] {
            let text = reply(&request, status, "", Some("t"), headers, Body::default()).unwrap();
            let room = text.try_into_mut().unwrap().capacity();
            assert!(room <= length_of(&request, status, headers) + FRAME, "{room}");
        }
    }

    fn length_of(request: &Message, status: u16, headers: &[(&str, &str)]) -> usize {
        reply(request, status, "", Some("t"), headers, Body::default()).unwrap().len()
    }

    #[test]
    fn trying_has_a_timestamp_and_no_tag() {
        let text = reply(&request(INVITE), 100, "", Some("t"), &[], Body::default()).unwrap();
        let reply = Message::parse(text).unwrap();
        assert_eq!(reply.header(HeaderId::Timestamp), Some(&b"5"[..]));
        assert_eq!(reply.to().unwrap().tag(), None);
        assert_eq!(reply.header(HeaderId::RecordRoute), None);
    }

    #[test]
    fn replies_within_a_dialog_repeat_the_record_route_and_carry_a_body() {
        let body = Body { content_type: "text/plain", bytes: b"hi" };
        let text = reply(&request(INVITE), 200, "Fine", Some("t"), &[], body).unwrap();
        let reply = Message::parse(text).unwrap();
        assert_eq!((reply.status(), reply.reason(), reply.body()), (Some(200), "Fine", &b"hi"[..]));
        assert_eq!(reply.header(HeaderId::RecordRoute), Some(&b"<sip:p;lr>"[..]));
        assert_eq!(reply.content_length(), Ok(Some(2)));
    }

    #[test]
    fn a_request_without_its_headers_is_still_answered() {
        let text = reply(
            &request("X y SIP/2.0\r\nTo: \"a <b>\r\n\r\n"),
            400,
            "",
            Some("t"),
            &[],
            Body::default(),
        );
        assert_eq!(
            text.unwrap(),
            "SIP/2.0 400 Bad Request\r\nTo: \"a <b>;tag=t\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn line_breaks_are_refused_everywhere() {
        let request = request(INVITE);
        let refused = |reason, tag, headers: &[(&str, &str)]| {
            reply(&request, 200, reason, Some(tag), headers, Body::default()).is_err()
        };
        assert!(refused("a\r\nb: c", "t", &[]));
        assert!(refused("", "t\n", &[]));
        assert!(refused("", "t", &[("A", "b\r\n c")]));
        assert!(refused("", "t", &[("A b", "c")]));
    }

    #[test]
    fn reasons_ascend_and_every_class_has_one() {
        assert!(REASONS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!((100..700).all(|status| standard_reason(status) != "Unknown"));
        assert_eq!(standard_reason(499), "Bad Request");
        assert_eq!(standard_reason(486), "Busy Here");
    }
}
