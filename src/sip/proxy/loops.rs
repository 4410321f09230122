//! Loops and spirals of forked requests (RFC 5393 §4.2).

use std::hash::{BuildHasher, Hash, Hasher};

use crate::sip::{HeaderId, Message};

/// The second part of a forked request's branch: the same when the request comes again with nothing changed that
/// decides where it goes.
///
/// `received` is the request as it came, before any edit. The method is no part of it, so that CANCEL and ACK may
/// carry the branch of their INVITE. Call-ID and CSeq keep a collision from being repeated.
pub fn loop_mark(seed: &impl BuildHasher, received: &Message) -> u32 {
    let mut state = seed.build_hasher();
    received.request_uri().hash(&mut state);
    for route in received.values(HeaderId::Route) {
        route.hash(&mut state);
    }
    received.header(HeaderId::CallId).hash(&mut state);
    let party = |address: Result<crate::sip::NameAddr<'_>, _>| {
        address.ok().map(|address| (address.uri.to_owned(), address.tag().map(str::to_owned)))
    };
    party(received.from()).hash(&mut state);
    party(received.to()).hash(&mut state);
    received.cseq().ok().map(|cseq| cseq.number).hash(&mut state);
    state.finish() as u32
}

/// Has this request been here before with the same mark? `is_ours` knows a branch that we wrote.
///
/// A branch of ours with another mark is a spiral, and one without is of a request that was not forked.
pub fn has_looped(received: &Message, mark: u32, is_ours: impl Fn(&str) -> bool) -> bool {
    let mark = format!("{mark:08x}");
    received.vias().filter_map(Result::ok).any(|via| {
        let branch = via.branch.unwrap_or_default();
        let second = branch.rsplit_once('.').map(|(_, second)| second);
        second == Some(mark.as_str()) && is_ours(branch)
    })
}

/// Have we forked this request before, which then has come back? `is_ours` knows a branch that we wrote.
pub fn is_spiral(received: &Message, is_ours: impl Fn(&str) -> bool) -> bool {
    let mut branches = received.vias().filter_map(|via| via.ok()?.branch);
    branches.any(|branch| branch.contains('.') && is_ours(branch))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::sip::transaction::BranchMint;

    fn request(uri: &str, vias: &str, more: &str) -> Message {
        let text = format!(
            "INVITE {uri} SIP/2.0\r\n{vias}Via: SIP/2.0/UDP a.example;branch=z9hG4bKa\r\n\
             From: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\nCall-ID: c\r\n\
             CSeq: 1 INVITE\r\n{more}\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    #[test]
    fn rfc5393_s4_2_2_a_request_that_comes_back_unchanged_has_looped() {
        let (seed, mint) = (std::hash::RandomState::new(), BranchMint::new());
        let is_ours = |branch: &str| mint.parse(branch).is_some();
        let mark = loop_mark(&seed, &request("sip:b@b.example", "", ""));
        let via = format!("Via: SIP/2.0/UDP us;branch={}.{mark:08x}\r\n", mint.mint(0, 1));
        let back = request("sip:b@b.example", &via, "");
        assert_eq!(loop_mark(&seed, &back), mark, "our Via is no part of the mark");
        assert!(has_looped(&back, mark, is_ours) && is_spiral(&back, is_ours));
        let foreign = format!("Via: SIP/2.0/UDP x;branch=z9hG4bKx.{mark:08x}\r\n");
        let foreign = request("sip:b@b.example", &foreign, "");
        assert!(!has_looped(&foreign, mark, is_ours) && !is_spiral(&foreign, is_ours));
        let alone = format!("Via: SIP/2.0/UDP us;branch={}\r\n", mint.mint(0, 1));
        let alone = request("sip:b@b.example", &alone, "");
        assert!(!has_looped(&alone, mark, is_ours) && !is_spiral(&alone, is_ours));
    }

    #[test]
    fn rfc5393_s4_2_2_a_request_that_comes_back_changed_spirals() {
        let seed = std::hash::RandomState::new();
        let mark = loop_mark(&seed, &request("sip:b@b.example", "", ""));
        for (uri, more) in [("sip:c@b.example", ""), ("sip:b@b.example", "Route: <sip:us;lr>\r\n")]
        {
            assert_ne!(loop_mark(&seed, &request(uri, "", more)), mark, "{uri} {more}");
        }
    }

    #[test]
    fn rfc5393_s4_2_1_the_method_is_no_part_of_the_mark() {
        let seed = std::hash::RandomState::new();
        let invite = request("sip:b@b.example", "", "");
        let wire = String::from_utf8(invite.wire().to_vec()).unwrap();
        let cancel = Message::parse(Bytes::from(wire.replace("INVITE", "CANCEL"))).unwrap();
        assert_eq!(loop_mark(&seed, &cancel), loop_mark(&seed, &invite));
    }
}
