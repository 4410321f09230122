//! What one client hears from the server for accounts: only what sipjab needs, from the header to its presence.

use std::fmt::Write as _;
use std::io;
use std::mem;
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use ring::{hmac, pbkdf2};
use sipjab::xmpp::framer::{Frame, Framer, Limits};
use tokio::sync::mpsc;

use crate::c2s_server::{Accounts, DOMAIN};

/// The password of all accounts.
pub(crate) const PASSWORD: &str = "secret";
/// The salt of all accounts, which spares the server the hashing; clients know nothing of that.
const SALT: &[u8] = b"the salt of all!";
/// The fewest that RFC 7677 §4 allows, and what most servers ask for.
const ITERATIONS: u32 = 4096;

/// What signs for the server (RFC 5802 §3).
static SERVER_KEY: LazyLock<hmac::Key> = LazyLock::new(|| {
    let mut salted = [0; 32];
    let iterations = NonZeroU32::new(ITERATIONS).expect("it is more");
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, SALT, PASSWORD.as_bytes(), &mut salted);
    let salted = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let key = hmac::sign(&salted, b"Server Key");
    hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())
});

/// The name of an account.
pub(crate) fn account_name(number: u32) -> String {
    format!("user{number:05}")
}

/// What the connection must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Bring more bytes.
    More,
    /// Make TLS.
    Tls,
    /// Close.
    End,
}

/// One client's stream.
pub(crate) struct Session {
    accounts: Arc<Accounts>,
    orders: mpsc::UnboundedSender<Vec<u8>>,
    framer: Framer,
    has_tls: bool,
    is_authenticated: bool,
    /// The number of the account that logs in.
    number: Option<u32>,
    /// What both sides sign, as far as it has been said.
    signed: String,
    /// Stanzas since they are counted (XEP-0198).
    counted: Option<u32>,
    answer: String,
}

impl Session {
    /// A client that has just connected; `orders` is where stanzas for it are put.
    pub(crate) fn new(accounts: Arc<Accounts>, orders: mpsc::UnboundedSender<Vec<u8>>) -> Self {
        Self {
            accounts,
            orders,
            framer: Framer::new(Limits::DEFAULT),
            has_tls: false,
            is_authenticated: false,
            number: None,
            signed: String::new(),
            counted: None,
            answer: String::new(),
        }
    }

    /// TLS is made.
    pub(crate) fn restart(&mut self) {
        self.has_tls = true;
        self.framer.restart();
    }

    /// What the client must hear now.
    pub(crate) fn answer(&mut self) -> Vec<u8> {
        mem::take(&mut self.answer).into_bytes()
    }

    /// Takes what the client said.
    pub(crate) fn hear(&mut self, mut bytes: &[u8]) -> io::Result<Next> {
        while let Some(frame) = self.framer.poll(&mut bytes).map_err(io::Error::other)? {
            match frame {
                Frame::StreamOpen(_) => self.open(),
                Frame::Stanza(element) => match self.handle(&element)? {
                    Next::More => {}
                    next => return Ok(next),
                },
                Frame::Whitespace => {}
                Frame::StreamClose => {
                    self.answer += "</stream:stream>";
                    return Ok(Next::End);
                }
            }
        }
        Ok(Next::More)
    }

    fn open(&mut self) {
        let features = match (self.has_tls, self.is_authenticated) {
            (false, _) => {
                "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
            }
            (true, false) => {
                "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                 <mechanism>SCRAM-SHA-256</mechanism></mechanisms>"
            }
            (true, true) => {
                "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>\
                 <csi xmlns='urn:xmpp:csi:0'/>"
            }
        };
        self.say(format_args!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' \
             xmlns:stream='http://etherx.jabber.org/streams' from='{DOMAIN}' id='bench'>\
             <stream:features>{features}</stream:features>"
        ));
    }

    /// Takes one element.
    fn handle(&mut self, element: &[u8]) -> io::Result<Next> {
        let text = std::str::from_utf8(element).map_err(io::Error::other)?;
        match name(text) {
            "starttls" => {
                self.answer += "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
                return Ok(Next::Tls);
            }
            "auth" => self.challenge(content(text)),
            "response" => self.succeed(content(text)),
            "enable" => {
                self.counted = Some(0);
                let number = self.number.unwrap_or(0);
                self.say(format_args!(
                    "<enabled xmlns='urn:xmpp:sm:3' id='session-{number:05}' resume='true'/>"
                ));
            }
            "r" => {
                let count = self.counted.unwrap_or(0);
                self.say(format_args!("<a xmlns='urn:xmpp:sm:3' h='{count}'/>"));
            }
            "message" | "presence" | "iq" => self.handle_stanza(text),
            _ => {}
        }
        Ok(Next::More)
    }

    fn handle_stanza(&mut self, stanza: &str) {
        self.counted = self.counted.map(|count| count.wrapping_add(1));
        match (name(stanza), self.number) {
            ("message", _) => self.accounts.note_message(stanza.as_bytes()),
            ("presence", Some(number)) => self.accounts.note_online(number, self.orders.clone()),
            ("iq", Some(number)) => self.reply(stanza, number),
            _ => {}
        }
    }

    fn reply(&mut self, query: &str, number: u32) {
        let id = attribute(query, "id").unwrap_or_default();
        let inside = match memmem::find(query.as_bytes(), b"<bind").is_some() {
            true => {
                let (resource, name) = (content_of(query, "resource"), account_name(number));
                format!(
                    "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                     <jid>{name}@{DOMAIN}/{resource}</jid></bind>"
                )
            }
            false if query.contains("'jabber:iq:roster'") => {
                "<query xmlns='jabber:iq:roster'/>".to_owned()
            }
            false => String::new(),
        };
        self.say(format_args!("<iq type='result' id='{id}'>{inside}</iq>"));
    }

    /// Answers `client-first-message` (RFC 5802 §7).
    fn challenge(&mut self, text: &str) {
        let first = STANDARD.decode(text).unwrap_or_default();
        let first = String::from_utf8(first).unwrap_or_default();
        let bare = first.splitn(3, ',').nth(2).unwrap_or_default();
        let part =
            |key| bare.split(',').find_map(|part| part.strip_prefix(key)).unwrap_or_default();
        self.number = part("n=user").parse().ok();
        let (nonce, salt) = (part("r="), STANDARD.encode(SALT));
        let challenge = format!("r={nonce}bench,s={salt},i={ITERATIONS}");
        self.signed = format!("{bare},{challenge}");
        let challenge = STANDARD.encode(challenge);
        self.say(format_args!(
            "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{challenge}</challenge>"
        ));
    }

    /// Answers `client-final-message`, whose proof is believed.
    fn succeed(&mut self, text: &str) {
        let last = STANDARD.decode(text).unwrap_or_default();
        let last = String::from_utf8(last).unwrap_or_default();
        let without_proof = last.split(",p=").next().unwrap_or_default();
        let signed = format!("{},{without_proof}", self.signed);
        let signature = STANDARD.encode(hmac::sign(&SERVER_KEY, signed.as_bytes()).as_ref());
        let success = STANDARD.encode(format!("v={signature}"));
        self.is_authenticated = true;
        self.framer.restart();
        self.say(format_args!(
            "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{success}</success>"
        ));
    }

    fn say(&mut self, what: std::fmt::Arguments<'_>) {
        self.answer.write_fmt(what).expect("a String takes everything");
    }
}

/// The name of an element.
fn name(element: &str) -> &str {
    let end = element.find([' ', '/', '>']).unwrap_or(element.len());
    &element[1.min(end)..end]
}

/// The text behind an element's tag.
fn content(element: &str) -> &str {
    let inside = element.split_once('>').map_or("", |(_, inside)| inside);
    inside.split('<').next().unwrap_or_default()
}

/// The text of an element within another.
fn content_of<'e>(element: &'e str, name: &str) -> &'e str {
    element.split_once(&format!("<{name}")).map_or("", |(_, from)| content(from))
}

fn attribute<'e>(element: &'e str, name: &str) -> Option<&'e str> {
    let (_, from) = element.split_once(&format!(" {name}="))?;
    let quote = from.chars().next()?;
    from[1..].split(quote).next()
}
