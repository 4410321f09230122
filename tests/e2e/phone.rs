//! A telephone on UDP that is played by hand: it sends what the test says, and the test names what it expects next.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::process::PATIENCE;
use crate::sip::Message;

/// A telephone.
pub(crate) struct Phone {
    /// Its address.
    pub(crate) local: SocketAddr,
    /// The address that it says it has.
    claimed: SocketAddr,
    socket: UdpSocket,
    /// Came, and nobody has asked for it.
    waiting: Vec<Message>,
}

/// What one side of a call knows.
#[derive(Clone)]
pub(crate) struct Dialog {
    /// The Request-URI.
    pub(crate) uri: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    pub(crate) branch: String,
    pub(crate) routes: Vec<String>,
}

impl Dialog {
    /// A call to `uri` that nobody has answered.
    pub(crate) fn to(uri: &str) -> Self {
        let unique = unique();
        Self {
            uri: uri.into(),
            from: format!("<sip:a@sip.example>;tag=a{unique}"),
            to: "<sip:b@sip.example>".into(),
            call_id: format!("call-{unique}"),
            cseq: 1,
            branch: format!("z9hG4bK{unique}"),
            routes: Vec::new(),
        }
    }

    /// The same for the next request of the dialog that `answer` has established.
    pub(crate) fn after(&self, answer: &Message) -> Self {
        let mut routes: Vec<_> = record_routes(answer);
        routes.reverse();
        Self { uri: contact(answer), to: answer.header("To").into(), routes, ..self.next() }
    }

    /// The callee's side of the dialog that `invite` has begun.
    pub(crate) fn of_callee(invite: &Message) -> Self {
        Self {
            uri: contact(invite),
            from: format!("{};tag=e2e", invite.header("To")),
            to: invite.header("From").into(),
            call_id: invite.header("Call-ID").into(),
            routes: record_routes(invite),
            ..Self::to("")
        }
    }

    /// A request of the dialog; `way` is the transport and sent-by of its Via, `more` are header lines.
    pub(crate) fn request(&self, method: &str, way: &str, contact: &str, more: &str) -> Vec<u8> {
        let Self { uri, from, to, call_id, cseq, branch, routes } = self;
        let routes: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{way};branch={branch};rport\r\n{routes}\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\nContact: <{contact}>\r\n{more}Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    /// The same dialog with a new branch and the next number.
    pub(crate) fn next(&self) -> Self {
        let branch = format!("z9hG4bK{}", unique());
        Self { branch, cseq: self.cseq + 1, ..self.clone() }
    }
}

fn unique() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("{}p{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed))
}

fn contact(message: &Message) -> String {
    message.header("Contact").trim_matches(['<', '>']).to_owned()
}

fn record_routes(message: &Message) -> Vec<String> {
    let lines = message.headers.iter().filter(|(name, _)| name == "Record-Route");
    lines.flat_map(|(_, value)| value.split(',')).map(|value| value.trim().to_owned()).collect()
}

impl Phone {
    /// A phone on a port of its own.
    pub(crate) fn bind() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let local = socket.local_addr().unwrap();
        Self { local, claimed: local, socket, waiting: Vec::new() }
    }

    /// A phone that believes to have another address than messages of its come from.
    pub(crate) fn behind_nat(claimed: &str) -> Self {
        Self { claimed: claimed.parse().unwrap(), ..Self::bind() }
    }

    /// Its URI.
    pub(crate) fn uri(&self) -> String {
        format!("sip:b@{}", self.local)
    }

    /// The URI of its Contact.
    pub(crate) fn contact(&self) -> String {
        format!("sip:me@{}", self.claimed)
    }

    /// Sends a request of the dialog; `more` are header lines.
    pub(crate) fn ask(&self, method: &str, dialog: &Dialog, more: &str, to: SocketAddr) {
        self.send(&self.bytes(method, dialog, more), to);
    }

    /// A request of the dialog as this phone writes it.
    pub(crate) fn bytes(&self, method: &str, dialog: &Dialog, more: &str) -> Vec<u8> {
        let via = format!("UDP {}", self.claimed);
        dialog.request(method, &via, &self.contact(), more)
    }

    /// Sends bytes.
    pub(crate) fn send(&self, bytes: &[u8], to: SocketAddr) {
        self.socket.send_to(bytes, to).expect("loopback takes a datagram");
    }

    /// Acknowledges a rejection.
    pub(crate) fn ack_rejection(&self, dialog: &Dialog, rejection: &Message, to: SocketAddr) {
        let to_tag = rejection.header("To").to_owned();
        self.ask("ACK", &Dialog { to: to_tag, ..dialog.clone() }, "", to);
    }

    /// Answers a request the way it came, with a Contact and the Record-Route.
    pub(crate) fn answer(&self, request: &Message, status: u16, more: &str) {
        let response = response(request, status, &self.contact(), more);
        let via = request.header("Via");
        let sent_by = via.split_whitespace().nth(1).unwrap().split(';').next().unwrap();
        self.send(&response, sent_by.parse().unwrap());
    }

    /// The next message that is `what`: `INVITE`, `200 INVITE` … Others wait until they are asked for.
    #[track_caller]
    pub(crate) fn expect(&mut self, what: &str) -> Message {
        match self.find(what, PATIENCE) {
            Some(message) => message,
            None => {
                panic!("no {what}, but {:?}", self.waiting.iter().map(name).collect::<Vec<_>>())
            }
        }
    }

    /// The next final answer to a request of this method.
    #[track_caller]
    pub(crate) fn final_answer(&mut self, method: &str) -> Message {
        let is_it = |it: &Message| {
            it.status() >= 200 && name(it).split(' ').nth(1).is_some_and(|found| found == method)
        };
        self.find_by(is_it, PATIENCE).unwrap_or_else(|| panic!("no final answer to {method}"))
    }

    /// Asserts that no `what` comes for a while.
    #[track_caller]
    pub(crate) fn never(&mut self, what: &str, patience: Duration) {
        let found = self.find(what, patience);
        assert!(found.is_none(), "{what} came: {found:?}");
    }

    /// The same, if it comes in time.
    pub(crate) fn find(&mut self, what: &str, patience: Duration) -> Option<Message> {
        self.find_by(|message| name(message) == what, patience)
    }

    fn find_by(&mut self, is_it: impl Fn(&Message) -> bool, patience: Duration) -> Option<Message> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(at) = self.waiting.iter().position(&is_it) {
                return Some(self.waiting.remove(at));
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
            let mut buffer = [0; 65_536];
            let Ok((length, _)) = self.socket.recv_from(&mut buffer) else { continue };
            self.waiting.extend(Message::parse(&buffer[..length]));
        }
    }

    /// Forgets what came and was not asked for.
    pub(crate) fn forget(&mut self) {
        self.find_by(|_| false, Duration::from_millis(10));
        self.waiting.clear();
    }
}

/// Lets `callee` take the call that `caller` has sent by `dialog`: both sides of what it becomes.
#[track_caller]
pub(crate) fn take_call(
    caller: &mut Phone,
    callee: &mut Phone,
    dialog: &Dialog,
    server: SocketAddr,
) -> (Dialog, Dialog) {
    let invite = callee.expect("INVITE");
    assert_eq!(invite.request_uri(), callee.contact(), "the phone finds its own URI");
    callee.answer(&invite, 180, "");
    caller.expect("180 INVITE");
    callee.answer(&invite, 200, "");
    let answer = caller.expect("200 INVITE");
    let confirmed = dialog.after(&answer);
    let ack = Dialog { cseq: dialog.cseq, ..confirmed.clone() };
    caller.ask("ACK", &ack, "", server);
    callee.expect("ACK");
    (confirmed, Dialog::of_callee(&invite))
}

/// Sends a request inside of the dialog, which the other side answers; gives the answer.
#[track_caller]
pub(crate) fn inside(
    method: &str,
    dialog: &Dialog,
    here: &mut Phone,
    there: &mut Phone,
    server: SocketAddr,
) -> Message {
    here.ask(method, dialog, "", server);
    let request = there.expect(method);
    assert_eq!(request.request_uri(), there.contact(), "the phone finds its own URI");
    there.answer(&request, 200, "");
    here.expect(&format!("200 {method}"))
}

/// A response with a Contact, the Record-Route of the request and further header lines.
pub(crate) fn response(request: &Message, status: u16, contact: &str, more: &str) -> Vec<u8> {
    let text = String::from_utf8(request.response(status, "e2e")).unwrap();
    let records: String =
        record_routes(request).iter().map(|it| format!("Record-Route: {it}\r\n")).collect();
    let more = format!("{records}Contact: <{contact}>\r\n{more}Content-Length");
    text.replace("Content-Length", &more).into_bytes()
}

/// What a message is: `INVITE`, `200 INVITE` …
pub(crate) fn name(message: &Message) -> String {
    let method = message.header("CSeq").split(' ').nth(1).unwrap_or_default();
    match message.status() {
        0 => message.start.split(' ').next().unwrap_or_default().to_owned(),
        status => format!("{status} {method}"),
    }
}
