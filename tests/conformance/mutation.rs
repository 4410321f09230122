//! Millions of broken messages made from the standards' own, always the same ones.
//!
//! `SIPJAB_MUTATIONS` sets how many; the default keeps a debug run short.

use bytes::Bytes;
use sipjab::sip::{
    Body, Frame, Framed, HeaderId, Limits, Message, NameAddr, StreamFramer, Uri, datagram, reply,
};

use crate::files;

/// Marsaglia's xorshift, 64 bits.
struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Pieces that parsers stumble over.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\r\n ",
    b"\0",
    b"\"",
    b"\\",
    b"<",
    b">",
    b";",
    b",",
    b":",
    b"=",
    b"@",
    b"?",
    b"%",
    b"%00",
    b"%4",
    b"[",
    b"]",
    b"::",
    b"/",
    b" ",
    b"\t",
    b"*",
    b"\xff",
    b"\xc3\xa4",
    b"SIP/2.0",
    b"sip:",
    b"Via: ",
    b"v:",
    b"l: 5\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"CSeq: 1 INVITE\r\n",
    b";tag=",
    b";rport",
    b";received=1.2.3.4",
    b"-1",
    b"4294967296",
];

fn mutate(random: &mut Xorshift, seeds: &[(String, Bytes)], out: &mut Vec<u8>) {
    let seed = &seeds[random.below(seeds.len())].1;
    out.clear();
    out.extend_from_slice(seed);
    for _ in 0..=random.below(4) {
        let at = random.below(out.len());
        let end = (at + random.below(16)).min(out.len());
        let piece = PIECES[random.below(PIECES.len())];
        match random.below(6) {
            0 => drop(out.drain(at..end)),
            1 => drop(out.splice(at..at, piece.iter().copied())),
            2 => drop(out.splice(at..end, piece.iter().copied())),
            3 if at < out.len() => out[at] = random.next() as u8,
            4 => out.truncate(at),
            _ => {
                let other = &seeds[random.below(seeds.len())].1;
                let from = random.below(other.len());
                let to = (from + random.below(64)).min(other.len());
                out.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
}

fn count() -> usize {
    let text = std::env::var("SIPJAB_MUTATIONS");
    text.map_or(50_000, |text| text.parse().expect("SIPJAB_MUTATIONS is a number"))
}

#[test]
fn mutated_messages_break_nothing() {
    let seeds = [files("rfc4475"), files("rfc5118")].concat();
    let mut random = Xorshift(0x5349_502f_322e_3021);
    let (mut parsed, mut valid) = (0, 0);
    let mut bytes = Vec::new();
    let count = count();
    for _ in 0..count {
        mutate(&mut random, &seeds, &mut bytes);
        check_stream(&bytes, 1 + random.below(400));
        if let Ok(Framed::Message(message)) = datagram(Bytes::copy_from_slice(&bytes)) {
            parsed += 1;
            valid += usize::from(message.validate().is_ok());
            check_message(message, &bytes);
        }
    }
    println!("{count} mutations: {parsed} framed, {valid} valid");
    assert!(valid > 0 && parsed < count);
}

fn check_message(mut message: Message, wire: &[u8]) {
    let written = message.to_bytes();
    let start = wire.iter().position(|byte| !matches!(byte, b'\r' | b'\n' | 0)).unwrap();
    assert!(wire[start..].starts_with(&written));
    read_everything(&message);
    let lines = message.headers().count();
    message.append_header("X-Last", "1").unwrap();
    message.push_via("SIP/2.0/UDP p;branch=z9hG4bKp").unwrap();
    message.set_header("Max-Forwards", "9").unwrap();
    let _ = message.mark_source("192.0.2.9:5060".parse().unwrap());
    assert_eq!(message.top_via().unwrap().branch, Some("z9hG4bKp"));
    assert_reads_as_written(&message);
    assert!(message.pop_via());
    message.pop_value(HeaderId::Route);
    let _ = message.mark_source("[2001:db8::9]:5060".parse().unwrap());
    assert!(message.headers().count() <= lines + 2);
    assert_reads_as_written(&message);
    if message.is_request() {
        let text = reply(&message, 400, "", Some("t"), &[], Body::default()).unwrap();
        let reply = Message::parse_within(text, &roomy()).unwrap();
        assert!(reply.header(HeaderId::CallId) == message.header(HeaderId::CallId));
        assert_eq!(reply.values(HeaderId::Via).count(), message.values(HeaderId::Via).count());
    }
}

fn assert_reads_as_written(message: &Message) {
    let again = Message::parse_within(message.to_bytes(), &roomy()).unwrap();
    assert!(again.headers().eq(message.headers()), "an edited message reads unlike it was written");
    assert_eq!(again.body(), message.body());
}

/// Limits that an edited message cannot hit.
fn roomy() -> Limits {
    Limits { headers: 300, line: 32 << 10, ..Limits::default() }
}

fn read_everything(message: &Message) {
    let _ = (message.method(), message.cseq(), message.max_forwards(), message.expires());
    let _ = (message.call_id(), message.text(HeaderId::Subject), message.content_type());
    if let Ok(uri) = Uri::parse(message.request_uri()) {
        assert!(uri.is_equivalent(&uri));
        for edited in [uri.with_user(Some("u")), uri.with_port(Some(1)), uri.with_params("lr")] {
            assert!(edited.is_err() || Uri::parse(&edited.unwrap()).is_ok());
        }
    }
    for header in message.headers() {
        if let Ok(text) = std::str::from_utf8(header.value) {
            let _ = NameAddr::parse(header.id, text).map(|address| {
                (address.display_name().len(), address.parsed_uri().is_ok(), address.tag())
            });
        }
    }
    message.vias().chain([message.top_via()]).for_each(drop);
}

/// Whatever the chunks are, frames are whole messages within the limits, and together they are the stream.
fn check_stream(bytes: &[u8], step: usize) {
    let limits = Limits { header_block: 8 << 10, line: 2 << 10, headers: 64, body: 4 << 10 };
    let mut framer = StreamFramer::new(limits);
    for chunk in bytes.chunks(step) {
        framer.push(chunk);
        loop {
            match framer.poll() {
                Ok(Some(Frame::Message(frame))) => {
                    assert!(frame.len() <= limits.header_block + limits.body);
                    let message = Message::parse_within(frame, &limits).unwrap();
                    assert_eq!(message.content_length(), Ok(Some(message.body().len())));
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    assert!(error.status().0 >= 400);
                    assert_eq!(framer.poll(), Err(error));
                    let _ = framer.refused();
                    return;
                }
            }
        }
    }
}
