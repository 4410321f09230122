//! A small XMPP client: SASL PLAIN on loopback, one resource, stanzas as text out and as trees in.

use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::peer::{DOMAIN, SECRET, XmppServer};
use crate::process::PATIENCE;
use crate::xml::{Element, Inbox, escaped};

/// A client that is logged in and available.
pub(crate) struct Client {
    /// The full JID that the server bound.
    pub(crate) jid: String,
    stream: TcpStream,
    inbox: Inbox,
    last_id: u32,
}

impl Client {
    /// Logs `user` in (RFC 6120 §6, §7) and sends initial presence.
    pub(crate) fn login(server: &XmppServer, user: &str) -> Self {
        let client = Self::try_login(server.client_port, user);
        let mut client = client.unwrap_or_else(|what| panic!("{user} waited for {what}"));
        client.become_available();
        client
    }

    /// Logs `user` in; says what did not come when that fails. No presence is sent.
    pub(crate) fn try_login(port: u16, user: &str) -> Result<Self, &'static str> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|_| "a connection")?;
        stream.set_nodelay(true).unwrap();
        let inbox = Inbox::read(stream.try_clone().unwrap());
        let mut client = Self { jid: format!("{user}@{DOMAIN}"), stream, inbox, last_id: 0 };
        client.open_stream()?;
        let credentials = base64(format!("\0{user}\0{SECRET}").as_bytes());
        client.try_send(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{credentials}</auth>"
        ));
        client.await_element("the outcome of SASL", |element| element.name == "success")?;
        client.open_stream()?;
        let bound = client.try_iq(
            "",
            "set",
            "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>e2e</resource></bind>",
        )?;
        let jid = bound.child("bind").and_then(|bind| bind.child_text("jid"));
        client.jid = jid.ok_or("a bound JID")?.to_owned();
        client.try_iq("", "set", "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>")?;
        Ok(client)
    }

    /// Sends a chat message and returns its id.
    pub(crate) fn message(&mut self, to: &str, body: &str) -> String {
        let id = self.fresh_id();
        let (to, body) = (escaped(to), escaped(body));
        self.send(&format!(
            "<message to='{to}' type='chat' id='{id}'><body>{body}</body></message>"
        ));
        id
    }

    /// Sends a request and waits for its result or error; an empty `to` is the own server.
    pub(crate) fn iq(&mut self, to: &str, kind: &str, payload: &str) -> Element {
        let answer = self.try_iq(to, kind, payload);
        answer.unwrap_or_else(|what| panic!("{} waited for {what}", self.jid))
    }

    fn try_iq(&mut self, to: &str, kind: &str, payload: &str) -> Result<Element, &'static str> {
        let id = self.fresh_id();
        let to = if to.is_empty() { String::new() } else { format!(" to='{}'", escaped(to)) };
        self.try_send(&format!("<iq type='{kind}' id='{id}'{to}>{payload}</iq>"));
        let answer = |element: &Element| element.name == "iq" && element.attribute("id") == id;
        self.inbox.answer(PATIENCE, answer).map_err(|_| "the answer to an iq")
    }

    /// The next element of any kind; an error when time or the stream is over.
    pub(crate) fn next_element(&self, patience: Duration) -> Result<Element, RecvTimeoutError> {
        self.inbox.next_that(patience, |_| true)
    }

    /// The next message with a body or an error.
    pub(crate) fn next_message(&mut self) -> Element {
        self.expect("a message", |element| {
            element.name == "message"
                && (element.child("body").is_some() || element.child("error").is_some())
        })
    }

    /// The next message within `patience`, or nothing.
    pub(crate) fn message_within(&mut self, patience: Duration) -> Option<Element> {
        self.inbox.next_that(patience, |element| element.name == "message").ok()
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, text: &str) {
        assert!(self.try_send(text), "the server reads");
    }

    /// Sends bytes; false when the server is gone.
    pub(crate) fn try_send(&mut self, text: &str) -> bool {
        self.stream.write_all(text.as_bytes()).is_ok()
    }

    fn open_stream(&mut self) -> Result<(), &'static str> {
        self.try_send(&format!(
            "<?xml version='1.0'?><stream:stream to='{DOMAIN}' version='1.0' xml:lang='en' \
             xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        ));
        self.await_element("stream features", |element| element.name == "stream:features")?;
        Ok(())
    }

    /// Waits for the own presence to come back, so that messages to the bare JID arrive here.
    fn become_available(&mut self) {
        self.send("<presence><priority>1</priority></presence>");
        let bare = self.jid.split('/').next().unwrap_or_default().to_owned();
        let ping = self.iq(&bare, "get", "<query xmlns='http://jabber.org/protocol/disco#info'/>");
        assert_eq!(ping.name, "iq");
    }

    fn expect(&mut self, what: &'static str, wanted: impl Fn(&Element) -> bool) -> Element {
        let element = self.await_element(what, wanted);
        element.unwrap_or_else(|what| panic!("{} waited for {what}", self.jid))
    }

    fn await_element(
        &mut self,
        what: &'static str,
        wanted: impl Fn(&Element) -> bool,
    ) -> Result<Element, &'static str> {
        self.inbox.next_that(PATIENCE, wanted).map_err(|_| what)
    }

    fn fresh_id(&mut self) -> String {
        self.last_id += 1;
        format!("e2e-{}", self.last_id)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * position)) as usize & 63];
            text.push(if position <= chunk.len() { digit as char } else { '=' });
        }
    }
    text
}
