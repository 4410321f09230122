//! RFC 7572: pager-mode messages between SIP and XMPP.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod s4_xmpp_to_sip;
mod s5_sip_to_xmpp;
mod s6_message_size;
mod s7_content_types;

use std::time::Duration;

use bytes::Bytes;
use sipjab::gateway::{
    Incoming, Mapping, MessageError, Outgoing, OutgoingRequest, RequestIds, message_from_stanza,
    stanza_from_message,
};
use sipjab::sip::Message;
use sipjab::xmpp::Stanza;
use sipjab::xmpp::ns::ContentNamespace::Component;

const IDS: RequestIds<'static> =
    RequestIds { tag: "12345", call_id: "fresh@gw", cseq: 1, unix_time: Duration::ZERO };

fn mapping() -> Mapping {
    Mapping { domains: vec!["example.net".to_owned()], ..Mapping::default() }
}

/// A MESSAGE of Romeo's with these header lines and this body.
fn romeo_sends(headers: &str, body: &[u8]) -> Message {
    let head = format!(
        "MESSAGE sip:juliet@example.com SIP/2.0\n\
         Via: SIP/2.0/TCP s2x.example.net;branch=z9hG4bKeskdgs677\n\
         Max-Forwards: 70\n\
         To: sip:juliet@example.com\n\
         From: sip:romeo@example.net;tag=vwxyz\n\
         Call-ID: 9E97FB43-85F4-4A00-8751-1124FD4C7B2E\n\
         CSeq: 1 MESSAGE\n\
         {headers}\
         Content-Length: {}\n\n",
        body.len()
    );
    let mut bytes = head.replace('\n', "\r\n").into_bytes();
    bytes.extend_from_slice(body);
    Message::parse(Bytes::from(bytes)).unwrap()
}

fn plain(text: &str) -> Message {
    romeo_sends("Content-Type: text/plain\n", text.as_bytes())
}

fn to_xmpp(request: &Message, mapping: &Mapping) -> Result<String, MessageError> {
    match stanza_from_message(request, "u1", mapping)? {
        Outgoing::Stanza(stanza) => {
            let text = String::from_utf8(stanza.bytes).unwrap();
            Stanza::parse(&text, Component).expect("what we write is well-formed");
            Ok(text)
        }
        Outgoing::Nothing(reason) => Ok(format!("{reason:?}")),
    }
}

fn translate(stanza: &str, mapping: &Mapping) -> Result<Incoming, MessageError> {
    message_from_stanza(&Stanza::parse(stanza, Component).unwrap(), IDS, mapping)
}

fn to_sip(stanza: &str, mapping: &Mapping) -> OutgoingRequest {
    match translate(stanza, mapping) {
        Ok(Incoming::Request(request)) => {
            let mut sent = request.message.clone();
            sent.push_via("SIP/2.0/TCP gw;branch=z9hG4bK1").unwrap();
            sent.validate().expect("what we write is valid");
            *request
        }
        other => panic!("no request: {other:?}"),
    }
}

fn wire(request: &OutgoingRequest) -> String {
    String::from_utf8(request.message.to_bytes().to_vec()).unwrap().replace("\r\n", "\n")
}
