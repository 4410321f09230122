//! The parts of the benchmark that must not miscount.

#![allow(dead_code, reason = "the benchmark uses what these tests leave out")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod c2s_server;
mod c2s_session;
mod lane;
mod phones;
mod sip_sink;
mod sipp_statistics;
mod stanza_scanner;
mod tally;
mod template;
mod uac;
mod xmpp_server;

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sipjab::xmpp::stream::Client;
use sipjab::xmpp::stream::client::{ClientConfig, Event, Security};
use tokio::sync::mpsc;

use crate::c2s_server::{Accounts, DOMAIN};
use crate::c2s_session::{PASSWORD, Session, account_name};
use crate::lane::Lane;
use crate::phones::{Phones, digest, md5};
use crate::sip_sink::SipSink;
use crate::sipp_statistics::Statistics;
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
fn an_account_logs_in_and_its_messages_are_counted() {
    let (orders, _nobody_sends) = mpsc::unbounded_channel();
    let accounts = Arc::new(Accounts::default());
    let mut session = Session::new(accounts.clone(), orders);
    session.restart();
    accounts.begin(PHASE);
    let mut config = ClientConfig::new(account_name(42), DOMAIN, PASSWORD);
    (config.security, config.resource) = (Security::Outside, Some("desk".to_owned()));
    let now = Instant::now();
    let mut client = Client::new(config, None, now);
    client.start(now);
    let mut acked = None;
    while let Some(said) = client.poll_transmit() {
        session.hear(&said).unwrap();
        client.handle_bytes(now, &session.answer());
        while let Some(event) = client.poll_event() {
            match event {
                Event::Derive(derivation) => client.handle_keys(now, &derivation.run()),
                Event::Ready { jid, is_resumed } => {
                    assert!(!is_resumed && jid.to_string() == "user00042@xmpp.example/desk");
                    let mut message =
                        Template::new(&format!("<message><body>{}</body></message>", body()));
                    client.send(Some(7), message.stamp(token(3)).to_vec()).unwrap();
                }
                Event::Acked(token) => acked = Some(token),
                _ => {}
            }
        }
    }
    assert_eq!((accounts.online(), accounts.arrivals(), acked), (1, (1, 0), Some(7)));
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

/// A registrar that takes one REGISTER, answers it with `status`, and gives it to the test.
fn registrar_answers(registrar: &UdpSocket, status: &str) -> String {
    let mut request = [0; 1500];
    let (length, phone) = registrar.recv_from(&mut request).expect("the phone sends");
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let via =
        request.lines().find(|line| line.starts_with("Via: ")).expect("every request has one");
    let challenge = "WWW-Authenticate: Digest realm=\"sip.example\", nonce=\"n1\", qop=\"auth\"";
    let reply = format!("SIP/2.0 {status}\r\n{via}\r\n{challenge}\r\n\r\n");
    registrar.send_to(reply.as_bytes(), phone).expect("the phone listens");
    request
}

#[test]
fn a_phone_meets_a_challenge_once_and_uses_its_nonce_again() {
    let registrar = UdpSocket::bind("127.0.0.1:0").unwrap();
    registrar.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut phones = Phones::new(registrar.local_addr().unwrap()).unwrap();
    let mut answers = Vec::new();
    let patience = Duration::from_secs(5);

    phones.send(token(7)).unwrap();
    let bare = registrar_answers(&registrar, "401 Unauthorized");
    assert!(!bare.contains("Authorization:"), "{bare}");
    phones.receive(patience, &mut answers).unwrap();
    let proved = registrar_answers(&registrar, "200 OK");
    assert!(proved.contains("CSeq: 2 REGISTER") && proved.contains("nc=00000001"), "{proved}");
    phones.receive(patience, &mut answers).unwrap();

    phones.send(token(1007)).unwrap();
    let again = registrar_answers(&registrar, "401 Unauthorized");
    assert!(again.contains("nonce=\"n1\"") && again.contains("nc=00000002"), "{again}");
    phones.receive(patience, &mut answers).unwrap();
    registrar_answers(&registrar, "401 Unauthorized");
    phones.receive(patience, &mut answers).unwrap();
    let answers: Vec<_> = answers.iter().map(|answer| (answer.token, answer.code)).collect();
    assert_eq!(answers, [(token(7), 200), (token(1007), 401)]);
}

/// RFC 2617 §3.5, with the values of its example but for what the program itself decides.
#[test]
fn a_digest_is_that_of_the_standard() {
    let secret = md5("Mufasa:testrealm@host.com:Circle Of Life");
    let request = md5("GET:/dir/index.html");
    let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
    assert_eq!(
        digest(&secret, nonce, "00000001", "0a4f113b", &request),
        "6629fae49393a05397450978507c4ef1"
    );
}

const STATISTICS: &str = "\
StartTime;CurrentTime;TotalCallCreated;SuccessfulCall(P);SuccessfulCall(C);Retransmissions(C);
d\tt\t100.5;d\tt\t101.5;590;9;0;0;
d\tt\t100.5;d\tt\t102.0;600;9;400;1;
d\tt\t100.5;d\tt\t103.0;600;9;598;3;
d\tt\t100.5;d\tt\t1";

#[test]
fn statistics_of_sipp_are_read_to_the_last_whole_line() {
    let told = Statistics {
        created: 600,
        successful: 598,
        retransmissions: 3,
        beginning: Duration::from_millis(1500),
    };
    assert_eq!(Statistics::read(STATISTICS), Some(told));
    assert_eq!(Statistics::read(STATISTICS.lines().next().unwrap()), None);
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
