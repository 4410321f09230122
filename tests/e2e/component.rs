//! A bare XMPP component, to prove that the peers and the test client work without the gateway.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};

use crate::peer::{COMPONENT, SECRET, XmppServer};
use crate::process::PATIENCE;
use crate::xml::{Element, Inbox, escaped};

/// A component whose handshake was accepted.
pub(crate) struct Component {
    stream: TcpStream,
    inbox: Inbox,
}

impl Component {
    /// Connects and proves the secret (XEP-0114 §3).
    pub(crate) fn connect(server: &XmppServer) -> Self {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.component_port)).unwrap();
        let inbox = Inbox::read(stream.try_clone().unwrap());
        write!(
            stream,
            "<stream:stream xmlns='jabber:component:accept' \
             xmlns:stream='http://etherx.jabber.org/streams' to='{COMPONENT}'>"
        )
        .unwrap();
        let header = inbox.next_that(PATIENCE, |element| element.name == "stream:stream").unwrap();
        let proof = sha1(&format!("{}{SECRET}", header.attribute("id")));
        write!(stream, "<handshake>{proof}</handshake>").unwrap();
        inbox.next_that(PATIENCE, |element| element.name == "handshake").unwrap();
        Self { stream, inbox }
    }

    /// Sends a chat message from a user of the component's domain.
    pub(crate) fn message(&mut self, from: &str, to: &str, body: &str) {
        let body = escaped(body);
        write!(
            self.stream,
            "<message from='{from}' to='{to}' type='chat'><body>{body}</body></message>"
        )
        .unwrap();
    }

    /// The next message.
    pub(crate) fn next_message(&mut self) -> Element {
        self.inbox.next_that(PATIENCE, |element| element.name == "message").unwrap()
    }
}

/// The digest in lower-case hexadecimal digits, by the program that every Debian has.
fn sha1(text: &str) -> String {
    let mut child = Command::new("sha1sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sha1sum is in every Debian");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout[..40]).into_owned()
}
