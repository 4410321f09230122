//! Writes the `<message/>` stanzas that the gateway originates.

use super::composing::{CHAT_STATES, Composing};
use super::content::Content;
use super::html;
use super::imdn::{RECEIPTS, Receipt};
use super::mapping::ImType;
use crate::xmpp::ns::ContentNamespace;
use crate::xmpp::{Jid, Stanza, Writer};

/// XEP-0071.
const XHTML: &str = "http://www.w3.org/1999/xhtml";
/// XEP-0359.
const STANZA_IDS: &str = "urn:xmpp:sid:0";
/// XEP-0172.
const NICK: &str = "http://jabber.org/protocol/nick";
/// XEP-0334.
const HINTS: &str = "urn:xmpp:hints";

/// The parts of a stanza besides its content.
pub(super) struct Envelope<'a> {
    pub(super) to: &'a Jid,
    /// None on the stream of the sender's own account.
    pub(super) from: Option<&'a Jid>,
    pub(super) id: &'a str,
    pub(super) thread: &'a str,
    pub(super) subject: Option<&'a str>,
    pub(super) nick: Option<&'a str>,
    pub(super) lang: Option<&'a str>,
    pub(super) im_type: ImType,
    /// The recipient's device shall confirm it (XEP-0184).
    pub(super) asks_receipt: bool,
}

impl Envelope<'_> {
    /// A message with `content`.
    pub(super) fn write(&self, content: &Content) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size() + content.text.len());
        let mut writer = Writer::new(&mut bytes);
        self.start(&mut writer, self.im_type);
        if let Some(subject) = self.subject {
            writer.text_child("subject", subject);
        }
        if !content.text.is_empty() {
            writer.text_child("body", &content.text);
        }
        writer.text_child("thread", self.thread);
        if let Some(nick) = self.nick {
            writer.start_in("nick", NICK).text(nick).end();
        }
        if let Some(xhtml) = content.xhtml.as_deref().and_then(gated) {
            writer.payload(xhtml.payloads().next().expect("gated() puts one payload in"));
        }
        writer.start_in("origin-id", STANZA_IDS).attr("id", self.id).end();
        if self.asks_receipt {
            writer.empty("request", RECEIPTS);
        }
        writer.finish();
        bytes
    }

    /// A receipt; `None` when XMPP has no word for what it says.
    pub(super) fn write_receipt(&self, receipt: &Receipt) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(512);
        let mut writer = Writer::new(&mut bytes);
        self.start(&mut writer, self.im_type);
        if !receipt.write(&mut writer) {
            return None;
        }
        writer.finish();
        Some(bytes)
    }

    /// A chat state: type `chat` whatever messages have (XEP-0085 §5.1), and nothing to keep.
    pub(super) fn write_state(&self, state: Composing) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        let mut writer = Writer::new(&mut bytes);
        self.start(&mut writer, ImType::Chat);
        writer.empty(state.chat_state(), CHAT_STATES);
        writer.text_child("thread", self.thread);
        writer.empty("no-store", HINTS);
        writer.finish();
        bytes
    }

    /// The bytes of a stanza with ordinary words, its text left out.
    fn size(&self) -> usize {
        let addresses = self.to.as_str().len() + self.from.map_or(0, |from| from.as_str().len());
        let words = [self.subject, self.nick, self.lang].into_iter().flatten().map(str::len);
        addresses + 2 * self.id.len() + self.thread.len() + words.sum::<usize>() + 320
    }

    fn start(&self, writer: &mut Writer<'_>, im_type: ImType) {
        writer
            .start("message")
            .attr_if("from", self.from.map(|from| from.as_str()))
            .attr("to", self.to.as_str())
            .attr("id", self.id)
            .attr_if(
                "type",
                match im_type {
                    ImType::Normal => None,
                    ImType::Chat => Some("chat"),
                    ImType::Groupchat => Some("groupchat"),
                },
            )
            .attr_if("xml:lang", self.lang);
    }
}

/// The XHTML-IM element around `markup`, once the gate has agreed that it is well-formed.
fn gated(markup: &str) -> Option<Stanza> {
    let text = format!(
        "<message><html xmlns='{}'><body xmlns='{XHTML}'>{markup}</body></html></message>",
        html::NAMESPACE
    );
    Stanza::parse(&text, ContentNamespace::Client).ok()
}

/// The nickname a stanza gives its sender (XEP-0172 §4.5).
pub(super) fn nick_of(stanza: &Stanza) -> Option<String> {
    stanza.payload("nick", NICK).map(|nick| nick.text().into_owned())
}

/// Does the sender want to know when it has arrived?
pub fn asks_receipt(stanza: &Stanza) -> bool {
    let kind = stanza.type_attribute();
    stanza.payload("request", RECEIPTS).is_some()
        && !matches!(kind.as_deref(), Some("error" | "groupchat"))
}

/// The receipt for a stanza that asks for one (XEP-0184), `None` for one that does not.
///
/// To be sent when the SIP user answered 200: a 202 says that a relay has the message, not the user
/// (RFC 3428 §4). `id` is the receipt's own.
pub fn receipt_for(stanza: &Stanza, id: &str) -> Option<Vec<u8>> {
    if !asks_receipt(stanza) {
        return None;
    }
    let kind = stanza.type_attribute();
    let (received, from, to) = (stanza.id()?, stanza.to()?, stanza.from()?);
    let mut bytes = Vec::with_capacity(256);
    Writer::new(&mut bytes)
        .start("message")
        .attr("from", &from)
        .attr("to", &to)
        .attr("id", id)
        .attr_if("type", kind.as_deref())
        .start_in("received", RECEIPTS)
        .attr("id", &received)
        .finish();
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(attributes: &str) -> Option<String> {
        let text = format!(
            "<message from='j@a/b' to='r@c'{attributes}><body>x</body>\
             <request xmlns='urn:xmpp:receipts'/></message>"
        );
        let stanza = Stanza::parse(&text, ContentNamespace::Component).unwrap();
        receipt_for(&stanza, "r1").map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_receipt_names_the_message_and_goes_back() {
        assert_eq!(
            receipt(" id='m1' type='chat'").as_deref(),
            Some(
                "<message from='r@c' to='j@a/b' id='r1' type='chat'>\
                 <received xmlns='urn:xmpp:receipts' id='m1'/></message>"
            )
        );
    }

    #[test]
    fn no_receipt_for_errors_rooms_and_what_has_no_id() {
        for attributes in ["", " id='m1' type='error'", " id='m1' type='groupchat'"] {
            assert_eq!(receipt(attributes), None);
        }
    }
}
