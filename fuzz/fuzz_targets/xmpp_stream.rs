//! Any bytes on a component's stream: no panic, no more memory than the caps allow, and what
//! passes the gate reads as a tree and can be written again.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sipjab::xmpp::framer::{Frame, Framer, Limits};
use sipjab::xmpp::ns::{ContentNamespace, Scope};
use sipjab::xmpp::stream::StreamHeader;
use sipjab::xmpp::{Stanza, StanzaError, Writer};

const HEADER: &[u8] = b"<stream:stream>";

fuzz_target!(|input: &[u8]| {
    let limits = Limits { stanza: 4096, ..Limits::DEFAULT };
    let scope = Arc::new(Scope::new(ContentNamespace::Component));
    // The first byte says how the rest is cut into pieces, and whether a header comes first.
    let Some((cut, input)) = input.split_first() else { return };
    let mut framer = Framer::new(limits);
    if cut & 1 == 0 {
        assert!(framer.poll(&mut &HEADER[..]).is_ok());
    }
    for mut piece in input.chunks(usize::from(cut >> 1) + 1) {
        loop {
            match framer.poll(&mut piece) {
                Ok(Some(Frame::StreamOpen(tag))) => drop(StreamHeader::read(&tag)),
                Ok(Some(Frame::Stanza(bytes))) => {
                    if let Ok(stanza) = Stanza::read(bytes, &scope, &limits) {
                        use_stanza(&stanza);
                    }
                }
                Ok(Some(Frame::Whitespace | Frame::StreamClose)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});

fn use_stanza(stanza: &Stanza) {
    let tree = stanza.tree();
    assert_eq!(tree.root().name(), stanza.name());
    assert_eq!(tree.root().namespace(), stanza.namespace());
    let _ = (stanza.from_jid(), stanza.to_jid(), StanzaError::read(stanza));
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.start("message").attr_if("id", stanza.id().as_deref());
    for payload in stanza.payloads() {
        assert_eq!(payload.tree().root().text(), payload.text());
        writer.payload(payload);
    }
    writer.finish();
    // A copy declares what the original took from outside, in attributes of its own.
    let limits = Limits { attributes: 1000, ..Limits::DEFAULT };
    let scope = Arc::new(Scope::new(ContentNamespace::Component));
    let copy = Stanza::read(out.into(), &scope, &limits).expect("the writer writes XML");
    assert_eq!(copy.payloads().count(), stanza.payloads().count());
}
