//! RFC 3994, "is typing", and XEP-0085, which it becomes and comes from (RFC 7573 §6).

use std::time::Duration;

use bytes::Bytes;
use sipjab::gateway::{
    Incoming, Mapping, Outgoing, RequestIds, message_from_stanza, stanza_from_message,
};
use sipjab::sip::Message;
use sipjab::xmpp::Stanza;
use sipjab::xmpp::ns::ContentNamespace::Component;

const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";

fn mapping() -> Mapping {
    let domains = vec!["example.net".to_owned()];
    Mapping { domains, chat_states: true, ..Mapping::default() }
}

fn stanza(document: &str) -> Stanza {
    let text = format!(
        "MESSAGE sip:juliet@example.com SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n\
         To: <sip:juliet@example.com>\r\nFrom: <sip:romeo@example.net>;tag=1\r\nCall-ID: i\r\n\
         CSeq: 1 MESSAGE\r\nContent-Type: application/im-iscomposing+xml\r\n\
         Content-Length: {}\r\n\r\n{document}",
        document.len()
    );
    let request = Message::parse(Bytes::from(text)).unwrap();
    match stanza_from_message(&request, "u1", &mapping()).unwrap() {
        Outgoing::Stanza(stanza) => {
            Stanza::parse(std::str::from_utf8(&stanza.bytes).unwrap(), Component).unwrap()
        }
        Outgoing::Nothing(why) => panic!("{why:?}"),
    }
}

/// §3.1 and §3.4: active, idle, and unknown states, which are idle; other elements change nothing.
#[test]
fn s3_states_become_chat_states() {
    for (state, chat_state) in [("active", "composing"), ("idle", "active"), ("dreaming", "active")]
    {
        let stanza = stanza(&format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\"><state>{state}</state>\
             <lastactive>2003-01-27T10:43:00Z</lastactive><contenttype>text/plain</contenttype>\
             <refresh>90</refresh></isComposing>"
        ));
        assert!(stanza.payload(chat_state, CHAT_STATES).is_some(), "{state}");
        assert!(stanza.child("body").is_none());
        assert!(stanza.payload("no-store", "urn:xmpp:hints").is_some(), "nobody keeps it");
    }
}

/// XEP-0085 §5.1: each chat state; what is not about writing says nothing.
#[test]
fn xep_0085_chat_states_become_documents() {
    for (chat_state, state) in [
        ("composing", Some("active")),
        ("active", Some("idle")),
        ("paused", Some("idle")),
        ("inactive", Some("idle")),
        ("gone", None),
    ] {
        let text = format!(
            "<message from='juliet@example.com/b' to='romeo@example.net' type='chat'>\
             <{chat_state} xmlns='{CHAT_STATES}'/></message>"
        );
        let stanza = Stanza::parse(&text, Component).unwrap();
        let ids = RequestIds { tag: "t", call_id: "c", cseq: 1, unix_time: Duration::ZERO };
        match (message_from_stanza(&stanza, ids, &mapping()), state) {
            (Ok(Incoming::Request(request)), Some(state)) => {
                let body = String::from_utf8(request.message.body().to_vec()).unwrap();
                assert!(body.contains(&format!("<state>{state}</state>")), "{chat_state}: {body}");
                assert!(request.is_transient, "{chat_state} is of no use later");
            }
            (Ok(Incoming::Nothing(_)), None) => {}
            (other, _) => panic!("{chat_state}: {other:?}"),
        }
    }
}
