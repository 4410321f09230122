//! The answer to a STUN Binding Request, by which phones keep a UDP flow open and see that it lives (RFC 5626 §8).

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

/// Bytes of a header (RFC 5389 §6).
const HEADER: usize = 20;

const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();

const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_RESPONSE: [u8; 2] = [0x01, 0x01];
const BINDING_ERROR: [u8; 2] = [0x01, 0x11];

const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// USERNAME, MESSAGE-INTEGRITY, REALM and NONCE: we ask nobody who he is.
const IGNORED: [u16; 4] = [0x0006, 0x0008, 0x0014, 0x0015];

/// From here on attributes need not be understood.
const OPTIONAL: u16 = 0x8000;

/// Attributes that are told not to be understood; a request that has more is no phone's.
const MAX_UNKNOWN: usize = 8;

/// What a datagram from `peer` is answered when it is a Binding Request: the address that it came from.
pub fn answer(datagram: &[u8], peer: SocketAddr) -> Option<Bytes> {
    let (header, attributes) = datagram.split_at_checked(HEADER)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let is_request = header[..2] == BINDING_REQUEST && header[4..8] == COOKIE;
    if !is_request || length != attributes.len() {
        return None;
    }
    let unknown = unknown(attributes)?;
    Some(match unknown.is_empty() {
        true => message(BINDING_RESPONSE, header, &mapped_address(header, peer)),
        false => message(BINDING_ERROR, header, &not_understood(&unknown)),
    })
}

/// The attributes that must be understood and are not (RFC 5389 §7.3.1); `None` when they cannot be read.
fn unknown(mut attributes: &[u8]) -> Option<Vec<u16>> {
    let mut unknown = Vec::new();
    while !attributes.is_empty() {
        let (head, rest) = attributes.split_at_checked(4)?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        (_, attributes) = rest.split_at_checked(length.next_multiple_of(4))?;
        if kind < OPTIONAL && !IGNORED.contains(&kind) && unknown.len() < MAX_UNKNOWN {
            unknown.push(kind);
        }
    }
    Some(unknown)
}

/// RFC 5389 §15.2
fn mapped_address(header: &[u8], peer: SocketAddr) -> Vec<u8> {
    let mask = &header[4..];
    let masked = |bytes: &[u8]| -> Vec<u8> {
        bytes.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
    };
    let (family, ip) = match peer.ip().to_canonical() {
        IpAddr::V4(ip) => (1, masked(&ip.octets())),
        IpAddr::V6(ip) => (2, masked(&ip.octets())),
    };
    let port = masked(&peer.port().to_be_bytes());
    attribute(XOR_MAPPED_ADDRESS, &[&[0, family][..], &port, &ip].concat())
}

/// RFC 5389 §15.6 and §15.9
fn not_understood(unknown: &[u16]) -> Vec<u8> {
    let code = attribute(ERROR_CODE, b"\0\0\x04\x14Unknown Attribute");
    let kinds: Vec<u8> = unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
    [code, attribute(UNKNOWN_ATTRIBUTES, &kinds)].concat()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_be_bytes(), (value.len() as u16).to_be_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An answer with the transaction of the request that has this header.
fn message(kind: [u8; 2], header: &[u8], attributes: &[u8]) -> Bytes {
    let length = (attributes.len() as u16).to_be_bytes();
    [&kind[..], &length, &header[4..], attributes].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSACTION: &[u8] = b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";

    fn request(attributes: &[u8]) -> Vec<u8> {
        message(BINDING_REQUEST, &[&[0; 4][..], &COOKIE, TRANSACTION].concat(), attributes).to_vec()
    }

    fn answered(attributes: &[u8], peer: &str) -> Option<Bytes> {
        answer(&request(attributes), peer.parse().unwrap())
    }

    /// The addresses of RFC 5769 §2.2 and §2.3.
    #[test]
    fn rfc5626_s8_who_asks_is_told_his_address() {
        let head = |length| [&b"\x01\x01\0"[..], &[length], &COOKIE, TRANSACTION].concat();
        let v4 = [&*head(12), b"\0\x20\0\x08\0\x01\xa1\x47\xe1\x12\xa6\x43"].concat();
        for peer in ["192.0.2.1:32853", "[::ffff:192.0.2.1]:32853"] {
            assert_eq!(answered(b"", peer).as_deref(), Some(&*v4));
        }
        let v6 = b"\0\x20\0\x14\0\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\
                   \xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9";
        let peer = "[2001:db8:1234:5678:11:2233:4455:6677]:32853";
        assert_eq!(answered(b"", peer).as_deref(), Some(&*[&*head(24), v6].concat()));
    }

    #[test]
    fn rfc5389_s7_3_1_what_must_be_understood_and_is_not_is_named() {
        let peer = "192.0.2.1:5060";
        let harmless = b"\x80\x22\0\x03abc\0\0\x06\0\x01u\0\0\0";
        assert_eq!(&answered(harmless, peer).unwrap()[..2], BINDING_RESPONSE);
        let refusal = answered(b"\0\x03\0\x04\0\0\0\x06", peer).unwrap();
        assert_eq!(&refusal[..2], BINDING_ERROR);
        assert_eq!(usize::from(refusal[3]), refusal.len() - HEADER);
        assert_eq!(&refusal[HEADER + 4..HEADER + 8], b"\0\0\x04\x14", "420");
        assert!(refusal.ends_with(b"\0\x0a\0\x02\0\x03\0\0"));
        let many: Vec<u8> = [0, 3, 0, 0].repeat(1000);
        assert!(answered(&many, peer).unwrap().len() < 100);
    }

    #[test]
    fn nothing_else_is_answered() {
        let peer: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        let good = request(b"");
        for at in [0, 1, 3, 4] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(answer(&bad, peer), None, "byte {at}");
        }
        for bad in [&good[..19], b"", b"\0\0\0\0", b"OPTIONS sip:h SIP/2.0\r\n\r\n"] {
            assert_eq!(answer(bad, peer), None);
        }
        assert_eq!(answered(b"\x80\x22\0\x09abcd", "192.0.2.1:1"), None, "longer than it is");
    }
}
