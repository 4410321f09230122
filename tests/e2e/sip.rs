//! SIP messages as the tests see them: written out, and taken apart without the program's parser.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// A request or response, header names as they came.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Takes a whole message apart; `None` when it has no end of headers.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        });
        Some(Self { start, headers: headers.collect(), body: bytes[end + 4..].to_vec() })
    }

    /// The status of a response, 0 for a request.
    pub(crate) fn status(&self) -> u16 {
        let code = self.start.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
        code.map_or(0, |code| code.parse().unwrap_or(0))
    }

    /// The reason phrase of a response.
    pub(crate) fn reason(&self) -> &str {
        self.start.splitn(3, ' ').nth(2).unwrap_or_default()
    }

    /// The Request-URI of a request.
    pub(crate) fn request_uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The first value of a header by its long name, empty when it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    /// What tells a request from any other and a retransmission from nothing (RFC 3261 §17.2.3).
    pub(crate) fn branch(&self) -> &str {
        let via = self.header("Via").split("branch=").nth(1).unwrap_or_default();
        via.split([';', ',']).next().unwrap_or_default()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is UTF-8")
    }

    /// The response to this request, with a To tag and no body (RFC 3261 §8.2.6).
    pub(crate) fn response(&self, status: u16, reason: &str) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {status} {reason}\r\n");
        for (name, value) in &self.headers {
            let tag = if value.contains(";tag=") { "" } else { ";tag=e2e" };
            match name.to_ascii_lowercase().as_str() {
                "via" | "from" | "call-id" | "cseq" => {
                    write!(text, "{name}: {value}\r\n").unwrap();
                }
                "to" => write!(text, "{name}: {value}{tag}\r\n").unwrap(),
                _ => {}
            }
        }
        (text + "Content-Length: 0\r\n\r\n").into_bytes()
    }
}

/// A MESSAGE (RFC 3428) to be written out.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: String,
    pub(crate) from: String,
    pub(crate) call_id: String,
    pub(crate) branch: String,
    pub(crate) body: String,
    /// The CSeq and the header lines of a REGISTER, when it is one.
    pub(crate) register: Option<(u32, String)>,
}

impl Outgoing {
    /// A message with identifiers that no other message has.
    pub(crate) fn new(from: &str, to: &str, body: &str) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let unique = format!("{}-{number}", std::process::id());
        Self {
            to: to.into(),
            from: from.into(),
            call_id: format!("{unique}@e2e"),
            branch: format!("z9hG4bK-{unique}"),
            body: body.into(),
            register: None,
        }
    }

    /// A REGISTER of `user`; `headers` are whole lines.
    pub(crate) fn register(user: &str, cseq: u32, headers: &str) -> Self {
        Self { register: Some((cseq, headers.to_owned())), ..Self::new(user, user, "") }
    }

    fn register_bytes(&self, via: &str, cseq: u32, headers: &str) -> Vec<u8> {
        let Self { to, from, call_id, .. } = self;
        let domain = to.split('@').nth(1).unwrap_or_default();
        format!(
            "REGISTER sip:{domain} SIP/2.0\r\n{via}Max-Forwards: 70\r\nFrom: <{from}>;tag={call_id}\r\n\
             To: <{to}>\r\nCall-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\n{headers}\
             Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    /// The bytes, as sent from `local` over `transport` (`UDP` or `TCP`).
    pub(crate) fn to_bytes(&self, transport: &str, local: SocketAddr) -> Vec<u8> {
        self.written(transport, &local.to_string())
    }

    /// The bytes, with this sent-by in Via.
    pub(crate) fn written(&self, transport: &str, sent_by: &str) -> Vec<u8> {
        let Self { to, from, call_id, branch, body, register } = self;
        if let Some((cseq, headers)) = register {
            let via = format!("Via: SIP/2.0/{transport} {sent_by};branch={branch};rport\r\n");
            return self.register_bytes(&via, *cseq, headers);
        }
        let length = body.len();
        format!(
            "MESSAGE {to} SIP/2.0\r\n\
             Via: SIP/2.0/{transport} {sent_by};branch={branch};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <{from}>;tag={call_id}\r\n\
             To: <{to}>\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: 1 MESSAGE\r\n\
             Content-Type: text/plain;charset=UTF-8\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// A REGISTER of `user` for a contact, as sent from `sent_by` over `transport`; with its branch.
pub(crate) fn register(
    user: &str,
    contact: &str,
    transport: &str,
    sent_by: &str,
) -> (String, String) {
    let Outgoing { branch, call_id, .. } = Outgoing::new(user, user, "");
    let domain = user.split('@').nth(1).expect("an address of record");
    let text = format!(
        "REGISTER sip:{domain} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} {sent_by};branch={branch};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <{user}>;tag=1\r\n\
         To: <{user}>\r\n\
         Call-ID: {call_id}\r\n\
         CSeq: 1 REGISTER\r\n\
         Contact: <{contact}>\r\n\
         Content-Length: 0\r\n\r\n"
    );
    (branch, text)
}

/// Cuts the first whole message off a stream's buffer by its Content-Length (RFC 3261 §18.3).
pub(crate) fn cut_message(buffer: &mut Vec<u8>) -> Option<Message> {
    let blank = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    buffer.drain(..blank);
    let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let length: usize = Message::parse(&buffer[..end])?.header("Content-Length").parse().ok()?;
    if buffer.len() < end + length {
        return None;
    }
    let bytes: Vec<u8> = buffer.drain(..end + length).collect();
    Message::parse(&bytes)
}
