//! Phones that register again and again, and prove who they are by digest (RFC 3261 §22).

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use md5::{Digest as _, Md5};
use memchr::memmem;

use crate::lane::{Answer, Lane, loopback_socket, ready, wait_readable};
use crate::template::{TOKEN, Template, Token, USERS};
use crate::uac::{BRANCH, SOCKETS, status};

/// The realm, which is the domain of all users.
pub(crate) const REALM: &str = "sip.example";
/// The Request-URI.
const REGISTRAR: &str = "sip:sip.example";
/// One in so many registrations begins without credentials, as those of phones that were just switched on.
const FORGETFUL: u32 = 100;

/// The name of a user.
pub(crate) fn user_name(number: u32) -> String {
    format!("user{number:03}")
}

/// What a database stores of a user instead of the password: MD5 of name, realm and password.
pub(crate) fn stored_secret(number: u32) -> String {
    let name = user_name(number);
    md5(&format!("{name}:{REALM}:secret of {name}"))
}

/// The response to a challenge with `qop=auth`; `request` is the hash of method and URI (RFC 2617 §3.2.2.1).
pub(crate) fn digest(
    secret: &str,
    nonce: &str,
    count: &str,
    cnonce: &str,
    request: &str,
) -> String {
    md5(&format!("{secret}:{nonce}:{count}:{cnonce}:auth:{request}"))
}

/// The hash in hexadecimal digits.
pub(crate) fn md5(text: &str) -> String {
    Md5::digest(text).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes everything");
        hex
    })
}

/// What a phone does with a request, told in its branch after the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// Asks for a challenge.
    Bare = b'a' as isize,
    /// Uses the nonce of an earlier challenge.
    Known = b'b' as isize,
    /// Answers the challenge.
    Challenged = b'c' as isize,
}

/// One user's phone.
#[derive(Debug)]
struct Phone {
    secret: String,
    nonce: Option<String>,
    /// How often the nonce was used.
    count: u32,
    cseq: u32,
}

/// A thousand phones behind a few ports, each the phone of a user of its own.
#[derive(Debug)]
pub(crate) struct Phones {
    sockets: Vec<UdpSocket>,
    addresses: Vec<SocketAddr>,
    phones: Vec<Phone>,
    /// The hash of method and URI, the same in every request.
    request_hash: String,
    token: Template,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Phones {
    /// Phones of the registrar at `server`.
    pub(crate) fn new(server: SocketAddr) -> io::Result<Self> {
        let phones = (0..USERS).map(stored_secret);
        let phones = phones.map(|secret| Phone { secret, nonce: None, count: 0, cseq: 0 });
        let mut all = Self {
            sockets: Vec::new(),
            addresses: Vec::new(),
            phones: phones.collect(),
            request_hash: md5(&format!("REGISTER:{REGISTRAR}")),
            token: Template::new(TOKEN),
            request: Vec::new(),
            buffer: vec![0; 65536],
        };
        for _ in 0..SOCKETS {
            let socket = loopback_socket()?;
            socket.connect(server)?;
            all.addresses.push(socket.local_addr()?);
            all.sockets.push(socket);
        }
        Ok(all)
    }

    fn register(&mut self, token: Token, attempt: Attempt) -> io::Result<()> {
        let number = token.sequence % USERS;
        let socket = number as usize % SOCKETS;
        let phone = &mut self.phones[number as usize];
        phone.cseq += 1;
        let local = self.addresses[socket];
        let (name, cseq) = (user_name(number), phone.cseq);
        let token = String::from_utf8_lossy(self.token.stamp(token));
        self.request.clear();
        write!(
            self.request,
            "REGISTER {REGISTRAR} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};rport;{BRANCH}{token}{}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:{name}@{REALM}>;tag={token}\r\n\
             To: <sip:{name}@{REALM}>\r\n\
             Call-ID: {name}-registers@127.0.0.1\r\n\
             CSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{name}@{local}>;expires=600\r\n\
             User-Agent: sipjab-bench\r\n",
            attempt as u8 as char
        )?;
        if let (Attempt::Known | Attempt::Challenged, Some(nonce)) = (attempt, &phone.nonce) {
            phone.count += 1;
            let count = format!("{:08x}", phone.count);
            let response = digest(&phone.secret, nonce, &count, &token, &self.request_hash);
            write!(
                self.request,
                "Authorization: Digest username=\"{name}\", realm=\"{REALM}\", nonce=\"{nonce}\", \
                 uri=\"{REGISTRAR}\", response=\"{response}\", algorithm=MD5, cnonce=\"{token}\", \
                 qop=auth, nc={count}\r\n"
            )?;
        }
        self.request.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        ready(self.sockets[socket].send(&self.request))?;
        Ok(())
    }

    /// Takes a response; a challenge is met, once, and what comes of it is the answer.
    fn handle_response(&mut self, length: usize) -> io::Result<Option<Answer>> {
        let response = &self.buffer[..length];
        let (Some(code), Some((token, attempt))) = (status(response), sent(response)) else {
            return Ok(None);
        };
        if code != 401 || attempt == Attempt::Challenged {
            return Ok(Some(Answer { token, code }));
        }
        let Some(nonce) = nonce(response) else { return Ok(Some(Answer { token, code })) };
        let phone = &mut self.phones[(token.sequence % USERS) as usize];
        (phone.nonce, phone.count) = (Some(nonce.to_owned()), 0);
        self.register(token, Attempt::Challenged)?;
        Ok(None)
    }
}

impl Lane for Phones {
    fn send(&mut self, token: Token) -> io::Result<()> {
        let Token { sequence, .. } = token;
        // another tenth of them in each turn
        let is_forgetful = (sequence + sequence / USERS).is_multiple_of(FORGETFUL);
        let phone = &self.phones[(sequence % USERS) as usize];
        let attempt = match phone.nonce {
            Some(_) if !is_forgetful => Attempt::Known,
            _ => Attempt::Bare,
        };
        self.register(token, attempt)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, wait: Duration, answers: &mut Vec<Answer>) -> io::Result<()> {
        wait_readable(&self.sockets, wait)?;
        for socket in 0..SOCKETS {
            while let Some(length) = ready(self.sockets[socket].recv(&mut self.buffer))? {
                answers.extend(self.handle_response(length)?);
            }
        }
        Ok(())
    }
}

/// Which request a response is for.
fn sent(response: &[u8]) -> Option<(Token, Attempt)> {
    let at = memmem::find(response, BRANCH.as_bytes())? + BRANCH.len();
    let attempt = match response.get(at + Token::LENGTH)? {
        b'a' => Attempt::Bare,
        b'b' => Attempt::Known,
        b'c' => Attempt::Challenged,
        _ => return None,
    };
    Some((Token::parse(&response[at..])?, attempt))
}

/// The nonce of a challenge.
fn nonce(response: &[u8]) -> Option<&str> {
    let at = memmem::find(response, b"nonce=\"")? + b"nonce=\"".len();
    std::str::from_utf8(response[at..].split(|&byte| byte == b'"').next()?).ok()
}
