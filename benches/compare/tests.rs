//! The parts of the benchmark that must not miscount.

#![allow(dead_code, reason = "the benchmark uses what these tests leave out")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod lane;
mod sip_sink;
mod stanza_scanner;
mod tally;
mod template;
mod xmpp_server;

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::sip_sink::SipSink;
use crate::stanza_scanner::{Said, Scanner};
use crate::tally::Tally;
use crate::template::{BODY_LENGTH, TOKEN, Template, Token, USER, body};
use crate::xmpp_server::XmppServer;

const PHASE: u16 = 7;

fn token(sequence: u32) -> Token {
    Token { phase: PHASE, sequence }
}

#[test]
fn a_token_is_read_as_it_was_written() {
    let mut template = Template::new(&format!("branch={TOKEN};from=user{USER};body={TOKEN}"));
    for sequence in [0, 1, 99, 1042, 0x1234_5678, u32::MAX] {
        let text = template.stamp(token(sequence));
        assert_eq!(Token::after("branch=", text), Some(token(sequence)));
        assert_eq!(Token::after("body=", text), Some(token(sequence)));
    }
    let text = String::from_utf8_lossy(template.stamp(token(1042))).into_owned();
    assert!(text.contains("from=user042;"), "{text}");
}

#[test]
fn a_body_has_its_length() {
    assert_eq!(body().len(), BODY_LENGTH);
}

/// What a component says in a session, whatever the pieces in which it arrives.
#[test]
fn a_stream_is_read_in_pieces_of_any_size() {
    let mut message = Template::new(&format!(
        "<message from='a@sip.example' to='b@xmpp.example'><body>{}</body><subject/></message>",
        body()
    ));
    let mut stream = b"<?xml version='1.0'?><stream:stream to='sip.example' \
        xmlns='jabber:component:accept'><handshake>00</handshake>"
        .to_vec();
    stream.extend_from_slice(message.stamp(token(1)));
    stream.extend_from_slice(b"<iq type=\"get\" id='p1' from='sip.example'><ping/></iq>");
    stream.extend_from_slice(b"<iq type='result' id='p2' to='sip.example'/><body/>");
    stream.extend_from_slice(message.stamp(token(2)));
    stream.extend_from_slice(b"</stream:stream>");
    let said = [
        "Header { to: \"sip.example\" }".to_owned(),
        format!("{:?}", Said::Handshake),
        format!("{:?}", Said::Body(token(1))),
        format!("{:?}", Said::Query { id: "p1", from: "sip.example", to: "" }),
        format!("{:?}", Said::Body(token(2))),
        format!("{:?}", Said::End),
    ];
    for size in 1..stream.len() {
        let mut scanner = Scanner::default();
        let mut heard = Vec::new();
        for piece in stream.chunks(size) {
            scanner.feed(piece, |said| heard.push(format!("{said:?}")));
        }
        assert_eq!(heard, said, "pieces of {size} bytes");
    }
}

#[test]
fn an_answer_counts_once_and_a_missing_one_is_lost() {
    let start = Instant::now();
    let mut tally = Tally::new(PHASE, start);
    let tokens: Vec<_> = (0..4).map(|_| tally.next(start)).collect();
    let later = start + Duration::from_millis(2);
    tally.handle_answer(tokens[0], 200, later);
    tally.handle_answer(tokens[0], 200, later);
    tally.handle_answer(tokens[1], 100, later);
    tally.handle_answer(tokens[1], 503, later);
    tally.handle_answer(Token { phase: PHASE - 1, sequence: 2 }, 200, later);
    assert_eq!((tally.answered, tally.duplicates, tally.refused()), (2, 1, 1));
    assert_eq!((tally.in_flight(), tally.lost()), (2, 2));
    tally.give_up_before(later);
    assert_eq!((tally.in_flight(), tally.lost()), (0, 2));
    tally.handle_answer(tokens[3], 200, later);
    assert_eq!((tally.in_flight(), tally.lost()), (0, 1));
    assert_eq!(tally.p99(), Some(Duration::from_millis(2)));
}

#[test]
fn the_sink_answers_and_counts_a_retransmission_once() {
    let mut sink = SipSink::new().unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut request = Template::new(&format!(
        "MESSAGE sip:b@h SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP g\r\n\
         From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 MESSAGE\r\n\
         Subject: not copied\r\nContent-Length: {BODY_LENGTH}\r\n\r\n{}",
        body()
    ));
    peer.send_to(request.stamp(token(5)), sink.address().unwrap()).unwrap();
    let mut answers = Vec::new();
    peer.send_to(request.stamp(token(5)), sink.address().unwrap()).unwrap();
    sink.serve(Duration::from_secs(5), &mut answers).unwrap();
    assert_eq!(answers.iter().map(|answer| answer.token).collect::<Vec<_>>(), [token(5)]);
    let mut reply = [0; 1500];
    let length = peer.recv(&mut reply).unwrap();
    assert_eq!(peer.recv(&mut [0; 1500]).unwrap(), length, "the retransmission is answered too");
    assert_eq!(
        String::from_utf8_lossy(&reply[..length]),
        "SIP/2.0 200 OK\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP g\r\n\
         From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=sink\r\nCall-ID: c\r\nCSeq: 1 MESSAGE\r\n\
         Content-Length: 0\r\n\r\n"
    );
}

#[test]
fn the_server_takes_a_component_and_answers_its_pings() {
    let server = XmppServer::start().unwrap();
    server.begin(PHASE);
    let mut component = TcpStream::connect(server.address()).unwrap();
    component.write_all(b"<stream:stream to='sip.example'><handshake>0</handshake>").unwrap();
    read_until(&mut component, "<handshake/>");
    let mut message = Template::new(&format!("<message><body>{}</body></message>", body()));
    for sequence in [0, 1, 1] {
        component.write_all(message.stamp(token(sequence))).unwrap();
    }
    component.write_all(b"<iq type='get' id='7' from='sip.example' to='xmpp.example'/>").unwrap();
    read_until(&mut component, "<iq type='result' id='7' from='xmpp.example' to='sip.example'/>");
    assert!(server.has_component());
    assert_eq!(server.arrivals(), (2, 1));
    server.write(b"<message/>").unwrap();
    read_until(&mut component, "<message/>");
}

fn read_until(stream: &mut TcpStream, end: &str) {
    let mut heard = Vec::new();
    while !heard.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the server keeps the stream open");
        heard.extend(byte);
    }
}
