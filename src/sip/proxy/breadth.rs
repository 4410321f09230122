//! Max-Breadth: how many copies of a request may be under way at once (RFC 5393 §5).

use crate::sip::{EditError, HeaderRef, Message};

/// The breadth of a request that names none, and the most that we take (RFC 5393 §5.3.3).
pub const MAX_BREADTH: u32 = 60;

const NAME: &str = "Max-Breadth";

/// The breadth of a request, as its branches share it (RFC 5393 §5.3.3).
///
/// Those that are under way together get no more than came. Loop detection alone lets a request that is forked again
/// and again visit its targets in every order, so that what we have forked before may spend its breadth but once, on
/// later branches, too: one request never becomes more than a few thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breadth {
    incoming: u32,
    /// What a request that has come back may still spend.
    left: Option<u32>,
}

impl Breadth {
    /// That of a request which came with `incoming`, and which we have forked on its way here when it `is_spiral`.
    pub fn new(incoming: u32, is_spiral: bool) -> Self {
        Self { incoming, left: is_spiral.then_some(incoming) }
    }

    /// How many branches may leave together; none when it is spent.
    pub fn limit(&self) -> usize {
        self.left.unwrap_or(self.incoming) as usize
    }

    /// What each of so many branches gets that leave together, which are no more than its limit.
    pub fn share(&mut self, branches: usize) -> u32 {
        let branches = u32::try_from(branches.max(1)).unwrap_or(u32::MAX);
        match &mut self.left {
            None => (self.incoming / branches).max(1),
            Some(left) => {
                // As much as one of them stays for those that come later.
                let share = (*left / branches.saturating_add(1)).max(1);
                *left = left.saturating_sub(share.saturating_mul(branches));
                share
            }
        }
    }
}

/// How many copies of a request may be under way at once. What is no number counts as none named; 0 stays 0.
pub fn incoming_breadth(request: &Message) -> u32 {
    let named = request.header_named(NAME).and_then(|value| std::str::from_utf8(value).ok());
    let named = named.and_then(|value| value.parse::<u32>().ok());
    named.map_or(MAX_BREADTH, |breadth| breadth.min(MAX_BREADTH))
}

/// Gives a copy its share of the breadth, in a single header. One that says so already is left alone.
pub fn set_breadth(copy: &mut Message, share: u32) -> Result<(), EditError> {
    let value = share.to_string();
    let says_so = copy.header_named(NAME) == Some(value.as_bytes());
    let is_named = |header: &HeaderRef<'_>| header.name.eq_ignore_ascii_case(NAME.as_bytes());
    match says_so && copy.headers().filter(is_named).count() == 1 {
        true => Ok(()),
        false => copy.set_header(NAME, &value),
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
    fn rfc5393_s5_3_3_branches_that_leave_together_share_the_breadth() {
        let mut breadth = Breadth::new(7, false);
        for branches in [1, 3, 7] {
            assert_eq!((breadth.limit(), breadth.share(branches)), (7, 7 / branches as u32));
        }
    }

    #[test]
    fn what_comes_back_spends_its_breadth_once() {
        let mut breadth = Breadth::new(20, true);
        let shares = [3, 1, 1, 1].map(|branches| (breadth.limit(), breadth.share(branches)));
        assert_eq!(shares, [(20, 5), (5, 2), (3, 1), (2, 1)]);
        breadth.share(1);
        assert_eq!(breadth.limit(), 0);
    }

    /// Each node sends to `count` others, one after the other; as many requests as that makes.
    #[test]
    fn the_requests_of_a_spiral_are_no_more_than_their_breadth_and_depth() {
        fn requests(mut breadth: Breadth, count: usize, hops: usize) -> usize {
            let mut all = 1;
            for _ in 0..count {
                if hops == 0 || breadth.limit() == 0 {
                    break;
                }
                all += requests(Breadth::new(breadth.share(1), true), count, hops - 1);
            }
            all
        }
        assert!(requests(Breadth::new(60, true), 10, 70) <= 60 * 70);
    }

    #[test]
    fn rfc5393_s5_3_3_every_copy_has_one_header_of_breadth() {
        let mut copy = request("Max-Breadth: 100\r\nMax-Breadth: 7\r\n");
        set_breadth(&mut copy, 30).unwrap();
        assert_eq!(copy.to_bytes(), "INVITE sip:a SIP/2.0\r\nMax-Breadth: 30\r\n\r\n");
        let mut copy = request("Max-Breadth: 9\r\nmax-breadth: 8\r\n");
        set_breadth(&mut copy, 9).unwrap();
        assert_eq!(copy.to_bytes(), "INVITE sip:a SIP/2.0\r\nMax-Breadth: 9\r\n\r\n");
        let mut copy = request("");
        set_breadth(&mut copy, 60).unwrap();
        assert_eq!(copy.header_named("Max-Breadth"), Some(&b"60"[..]));
    }
}
