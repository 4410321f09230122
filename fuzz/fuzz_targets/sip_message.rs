//! Any datagram: what is framed leaves as it came, edits read back, a request can be answered.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sipjab::sip::{Body, Framed, Limits, Message, Uri, datagram, reply};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Framed::Message(mut message)) = datagram(Bytes::copy_from_slice(bytes)) else { return };
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n' | 0)).unwrap_or(0);
    assert!(bytes[start..].starts_with(&message.to_bytes()));
    let _ = message.validate();
    message.vias().for_each(drop);
    message.contacts().for_each(drop);
    if let Ok(uri) = Uri::parse(message.request_uri()) {
        assert!(uri.is_equivalent(&uri));
    }
    message.push_via("SIP/2.0/UDP p;branch=z9hG4bKp").expect("a plain value fits");
    message.set_header("Max-Forwards", "9").expect("a plain value fits");
    let _ = message.mark_source(([192, 0, 2, 9], 5060).into());
    let roomy = Limits { headers: 300, line: 32 << 10, header_block: 1 << 20, ..Limits::default() };
    let again = Message::parse_within(message.to_bytes(), &roomy).expect("what is written reads");
    assert!(again.headers().eq(message.headers()));
    if message.is_request() {
        let text = reply(&message, 400, "", Some("t"), &[], Body::default()).expect("plain values");
        Message::parse_within(text, &roomy).expect("a reply reads");
    }
});
