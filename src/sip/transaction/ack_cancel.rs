//! ACK and CANCEL, the requests that travel hop by hop behind an INVITE and are built from it.

use bytes::{Bytes, BytesMut};

use crate::sip::error::HeaderError;
use crate::sip::{HeaderId, Message};

/// The ACK for a response of 300 to 699 to `request` (RFC 3261 §17.1.1.3).
///
/// `request` is as it was sent, with our Via on top. To comes from the response, all else from the request.
pub fn ack_of(request: &Message, response: &Message) -> Result<Bytes, HeaderError> {
    build(request, "ACK", response)
}

/// The CANCEL for `request` (RFC 3261 §9.1), which is as it was sent, with our Via on top.
pub fn cancel_of(request: &Message) -> Result<Bytes, HeaderError> {
    build(request, "CANCEL", request)
}

fn build(request: &Message, method: &str, to_of: &Message) -> Result<Bytes, HeaderError> {
    let number = request.cseq()?.number.to_string();
    let via = HeaderId::Via;
    let top_via = request.values(via).next().ok_or(HeaderError::Missing(via))?;
    let mut out = BytesMut::with_capacity(512);
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
    put(&[method.as_bytes(), b" ", request.request_uri().as_bytes(), b" SIP/2.0\r\n"]);
    put(&[b"Via: ", top_via, b"\r\nMax-Forwards: 70\r\n"]);
    for header in request.headers().filter(|header| header.id == HeaderId::Route) {
        put(&[b"Route: ", header.value, b"\r\n"]);
    }
    for (id, from) in
        [(HeaderId::From, request), (HeaderId::To, to_of), (HeaderId::CallId, request)]
    {
        let value = from.header(id).ok_or(HeaderError::Missing(id))?;
        put(&[id.name().as_bytes(), b": ", value, b"\r\n"]);
    }
    put(&[b"CSeq: ", number.as_bytes(), b" ", method.as_bytes(), b"\r\n"]);
    put(&[b"Content-Length: 0\r\n\r\n"]);
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:juliet@home.example SIP/2.0\r\n\
        Via: SIP/2.0/UDP us.example;branch=z9hG4bKours;x=\"a,b\", SIP/2.0/TCP upstream.example\r\n\
        v: SIP/2.0/UDP phone.example;branch=z9hG4bKphone\r\n\
        Max-Forwards: 12\r\n\
        Route: <sip:a.example;lr>, <sip:b.example;lr>\r\n\
        f: \"Romeo\" <sip:romeo@sip.example>;tag=r1\r\n\
        Route: <sip:c.example;lr>\r\n\
        To: <sip:juliet@sip.example>\r\n\
        i: a84b4c\r\n\
        CSeq: 314 INVITE\r\n\
        Require: 100rel\r\n\
        Proxy-Require: sec-agree\r\n\
        Contact: <sip:romeo@phone.example>\r\n\
        Content-Type: application/sdp\r\n\
        Content-Length: 4\r\n\r\nv=0\n";

    fn message(text: &'static str) -> Message {
        Message::parse(Bytes::from_static(text.as_bytes())).unwrap()
    }

    #[test]
    fn s17_1_1_3_an_ack_takes_to_from_the_response_and_all_else_from_the_invite() {
        let busy = message(
            "SIP/2.0 486 Busy Here\r\n\
            Via: SIP/2.0/UDP us.example;branch=z9hG4bKours;received=10.0.0.1\r\n\
            From: <sip:other@sip.example>;tag=zz\r\n\
            To: <sip:juliet@sip.example>;tag=j9\r\n\
            Call-ID: other\r\nCSeq: 99 INVITE\r\n\r\n",
        );
        assert_eq!(
            ack_of(&message(INVITE), &busy).unwrap(),
            "ACK sip:juliet@home.example SIP/2.0\r\n\
            Via: SIP/2.0/UDP us.example;branch=z9hG4bKours;x=\"a,b\"\r\n\
            Max-Forwards: 70\r\n\
            Route: <sip:a.example;lr>, <sip:b.example;lr>\r\n\
            Route: <sip:c.example;lr>\r\n\
            From: \"Romeo\" <sip:romeo@sip.example>;tag=r1\r\n\
            To: <sip:juliet@sip.example>;tag=j9\r\n\
            Call-ID: a84b4c\r\n\
            CSeq: 314 ACK\r\n\
            Content-Length: 0\r\n\r\n"
        );
    }

    /// One Via, the same Route, no Require and no Proxy-Require.
    #[test]
    fn s9_1_a_cancel_repeats_what_identifies_the_invite() {
        assert_eq!(
            cancel_of(&message(INVITE)).unwrap(),
            "CANCEL sip:juliet@home.example SIP/2.0\r\n\
            Via: SIP/2.0/UDP us.example;branch=z9hG4bKours;x=\"a,b\"\r\n\
            Max-Forwards: 70\r\n\
            Route: <sip:a.example;lr>, <sip:b.example;lr>\r\n\
            Route: <sip:c.example;lr>\r\n\
            From: \"Romeo\" <sip:romeo@sip.example>;tag=r1\r\n\
            To: <sip:juliet@sip.example>\r\n\
            Call-ID: a84b4c\r\n\
            CSeq: 314 CANCEL\r\n\
            Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn what_both_build_is_a_valid_request() {
        let invite = message(INVITE);
        for built in [cancel_of(&invite).unwrap(), ack_of(&invite, &invite).unwrap()] {
            let built = Message::parse(built).unwrap();
            assert_eq!(built.validate(), Ok(()));
            assert_eq!(built.vias().count(), 1);
        }
    }

    #[test]
    fn an_invite_without_a_header_that_is_needed_has_neither() {
        for (line, id) in [
            ("To: <sip:juliet@sip.example>\r\n", HeaderId::To),
            ("i: a84b4c\r\n", HeaderId::CallId),
            ("CSeq: 314 INVITE\r\n", HeaderId::CSeq),
        ] {
            let text = INVITE.replace(line, "");
            let invite = Message::parse(Bytes::from(text)).unwrap();
            assert_eq!(cancel_of(&invite), Err(HeaderError::Missing(id)));
        }
    }
}
