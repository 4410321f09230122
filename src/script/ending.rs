//! What modules learn of a transaction that has ended: its request, and the final response that has passed.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;

use super::router::Waiting;
use crate::sip::Message;
use crate::sip::transaction::ServerKey;

/// A server transaction that has its final status, which it has once.
///
/// An INVITE that was taken ends here, too; its dialog begins.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'e> {
    /// What finds the transaction: the key of the routes that were about it.
    pub key: ServerKey,
    /// The flags of the message, as its last route has left them.
    pub flags: u32,
    /// The final status; none for a request that was never answered.
    pub status: Option<u16>,
    /// When it ended.
    pub now: Instant,
    /// The request as it came.
    pub request: &'e Bytes,
    /// The final response as it left; none when the status is.
    pub response: Option<&'e Bytes>,
}

/// What a module does when a transaction has ended, and, where it must wait for something, afterwards.
pub type AtEnd = Rc<dyn Fn(&Ending<'_>) -> Option<Waiting<()>>>;

impl Ending<'_> {
    /// Is this the request's method? Nothing is parsed for it.
    pub fn is_method(&self, method: &str) -> bool {
        let rest = self.request.strip_prefix(method.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&b' '))
    }

    /// Was the request taken?
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// The request, parsed.
    pub fn request(&self) -> Option<Message> {
        Message::parse(self.request.clone()).ok()
    }

    /// The final response, parsed.
    pub fn response(&self) -> Option<Message> {
        Message::parse(self.response?.clone()).ok()
    }
}

#[cfg(test)]
pub(crate) mod sample {
    use super::*;
    use crate::clock;
    use crate::sip::transaction::KeySeed;

    /// The end of the transaction of a request in a test, with the tag of who answered.
    pub(crate) fn end(
        hooks: &[AtEnd],
        request: &Message,
        key: Option<ServerKey>,
        status: Option<u16>,
        flags: u32,
    ) -> Vec<Waiting<()>> {
        let response = status.map(|status| {
            let reply = crate::sip::reply(request, status, "", Some("b1"), &[], Default::default());
            reply.expect("the request is sound")
        });
        let other = || KeySeed::new().by_branch("z9hG4bKother", "h", None, "BYE").expect("a key");
        let ending = Ending {
            key: key.unwrap_or_else(other),
            flags,
            status,
            now: clock::now(),
            request: &request.to_bytes(),
            response: response.as_ref(),
        };
        hooks.iter().filter_map(|hook| hook(&ending)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::sip::transaction::KeySeed;

    #[test]
    fn the_method_is_told_without_a_parser() {
        let request = Bytes::from_static(b"INVITE sip:a SIP/2.0\r\n\r\n");
        let key = KeySeed::new().by_branch("z9hG4bK1", "h", None, "INVITE").unwrap();
        let (status, now) = (Some(200), clock::now());
        let ending = Ending { key, flags: 0, status, now, request: &request, response: None };
        assert!(ending.is_method("INVITE") && ending.is_success());
        assert!(!ending.is_method("INV") && !ending.is_method("INVITE sip:a SIP/2.0"));
        assert!(ending.response().is_none());
    }
}
