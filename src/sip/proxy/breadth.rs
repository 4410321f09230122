//! Max-Breadth: how many copies of a request may be under way at once (RFC 5393 §5).

use crate::sip::{EditError, Message};

/// The breadth of a request that names none, and the most that we take (RFC 5393 §5.3.3).
pub const MAX_BREADTH: u32 = 60;

const NAME: &str = "Max-Breadth";

/// How many copies of a request may be under way at once. What is no number counts as none named; 0 stays 0.
pub fn incoming_breadth(request: &Message) -> u32 {
    let named = request.header_named(NAME).and_then(|value| std::str::from_utf8(value).ok());
    let named = named.and_then(|value| value.parse::<u32>().ok());
    named.map_or(MAX_BREADTH, |breadth| breadth.min(MAX_BREADTH))
}

/// Gives a copy its share of the breadth. A header that says so already is left alone.
pub fn set_breadth(copy: &mut Message, share: u32) -> Result<(), EditError> {
    let value = share.to_string();
    match copy.header_named(NAME) {
        Some(named) if named == value.as_bytes() => Ok(()),
        Some(_) => copy.set_header(NAME, &value),
        None => copy.append_header(NAME, &value),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn request(headers: &str) -> Message {
        Message::parse(Bytes::from(format!("INVITE sip:a SIP/2.0\r\n{headers}\r\n"))).unwrap()
    }

    #[test]
    fn rfc5393_s5_3_3_a_request_without_breadth_gets_sixty() {
        for (headers, breadth) in [
            ("", 60),
            ("Max-Breadth: 7\r\n", 7),
            ("max-breadth: 61\r\n", 60),
            ("Max-Breadth: 99999999999\r\n", 60),
            ("Max-Breadth: x\r\n", 60),
            ("Max-Breadth: 0\r\n", 0),
        ] {
            assert_eq!(incoming_breadth(&request(headers)), breadth, "{headers}");
        }
    }

    #[test]
    fn rfc5393_s5_3_3_every_copy_has_one_header_of_breadth() {
        let mut copy = request("Max-Breadth: 100\r\nMax-Breadth: 7\r\n");
        set_breadth(&mut copy, 30).unwrap();
        assert_eq!(copy.to_bytes(), "INVITE sip:a SIP/2.0\r\nMax-Breadth: 30\r\n\r\n");
        let mut copy = request("");
        set_breadth(&mut copy, 60).unwrap();
        assert_eq!(copy.header_named("Max-Breadth"), Some(&b"60"[..]));
    }
}
