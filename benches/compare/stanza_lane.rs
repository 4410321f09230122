//! The way from XMPP to SIP: stanzas go in at the component stream, MESSAGEs come out at the sink.

use std::io;
use std::time::Duration;

use crate::lane::{Answer, Lane};
use crate::sip_sink::SipSink;
use crate::template::{TOKEN, Template, Token, USER, body};
use crate::xmpp_server::XmppServer;

/// Users of the XMPP server, 1,000 of them, each of whom writes to a SIP user of the same name.
pub(crate) struct StanzaLane<'a> {
    server: &'a XmppServer,
    sink: &'a mut SipSink,
    stanza: Template,
    taken: Vec<u8>,
}

impl<'a> StanzaLane<'a> {
    /// Stanzas from `server` to the address `to`, which must arrive at `sink`.
    pub(crate) fn new(server: &'a XmppServer, sink: &'a mut SipSink, to: &str) -> Self {
        let stanza = Template::new(&format!(
            "<message type='chat' id='{TOKEN}' from='user{USER}@xmpp.example/bench' to='{to}'>\
             <body>{}</body></message>",
            body()
        ));
        Self { server, sink, stanza, taken: Vec::new() }
    }
}

impl Lane for StanzaLane<'_> {
    fn send(&mut self, token: Token) -> io::Result<()> {
        self.taken.extend_from_slice(self.stanza.stamp(token));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.taken.is_empty() {
            self.server.write(&self.taken)?;
            self.taken.clear();
        }
        Ok(())
    }

    fn receive(&mut self, wait: Duration, answers: &mut Vec<Answer>) -> io::Result<()> {
        self.sink.serve(wait, answers)
    }
}
