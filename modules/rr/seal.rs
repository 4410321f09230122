//! The mark in our Record-Route that nobody else can make, so that a Route which brings it back is no invention.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::sip::{Message, hex};

/// Bytes of a seal: whoever guesses one must send us 2⁶³ requests on average.
const LENGTH: usize = 8;

/// Seals dialogs and knows its seals again; everyone with the same secret knows the same ones.
#[derive(Clone)]
pub(super) struct Sealer(Hmac<Sha256>);

impl Sealer {
    /// Seals with this secret, which should not be guessable.
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// The seal of the dialog that a request begins, in hexadecimal digits.
    pub(super) fn seal(&self, request: &Message) -> String {
        let mac = self.mac(request, from_tag(request)).finalize().into_bytes();
        let mut seal = [0; LENGTH];
        seal.copy_from_slice(&mac[..LENGTH]);
        hex::text(&hex::digits(u64::from_be_bytes(seal))).to_owned()
    }

    /// Has a request of this dialog, from either side, been sealed with this?
    pub(super) fn is_of(&self, seal: &str, request: &Message) -> bool {
        let Some(bytes) = from_hex(seal) else { return false };
        let is_by = |tag| self.mac(request, tag).verify_truncated_left(&bytes).is_ok();
        is_by(from_tag(request)) || is_by(to_tag(request))
    }

    /// What stays the same in a dialog: its Call-ID and the caller's tag.
    fn mac(&self, request: &Message, tag: &str) -> Hmac<Sha256> {
        let call_id = request.call_id().unwrap_or_default();
        let mac = self.0.clone().chain_update(call_id.len().to_be_bytes());
        mac.chain_update(call_id).chain_update(tag)
    }
}

fn from_tag(request: &Message) -> &str {
    request.from().ok().and_then(|from| from.tag()).unwrap_or_default()
}

fn to_tag(request: &Message) -> &str {
    request.to().ok().and_then(|to| to.tag()).unwrap_or_default()
}

fn from_hex(seal: &str) -> Option<[u8; LENGTH]> {
    let number = hex::parse(seal.as_bytes()).filter(|_| seal.len() == 2 * LENGTH)?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::router::recording::request;

    fn with_tags(from: &str, to: &str) -> Message {
        let mut message = request("BYE", "sip:b@h", "");
        message.set_header("From", &format!("<sip:a@h>;tag={from}")).unwrap();
        message.set_header("To", &format!("<sip:b@h>{to}")).unwrap();
        message
    }

    #[test]
    fn a_seal_fits_its_dialog_from_both_sides_and_no_other() {
        let sealer = Sealer::new(b"a secret of this test");
        let seal = sealer.seal(&with_tags("caller", ""));
        assert_eq!(seal.len(), 16);
        assert!(sealer.is_of(&seal, &with_tags("caller", ";tag=callee")));
        assert!(sealer.is_of(&seal, &with_tags("callee", ";tag=caller")));
        assert!(!sealer.is_of(&seal, &with_tags("other", ";tag=callee")));
        let mut foreign = with_tags("caller", ";tag=callee");
        foreign.set_header("Call-ID", "another").unwrap();
        assert!(!sealer.is_of(&seal, &foreign));
        assert!(!Sealer::new(b"another secret").is_of(&seal, &with_tags("caller", "")));
    }

    #[test]
    fn what_is_no_seal_fits_nothing() {
        let sealer = Sealer::new(b"a secret of this test");
        for text in ["", "+123456789012345", "0", "xyz", "0000000000000000", "00000000000000000"] {
            assert!(!sealer.is_of(text, &with_tags("caller", "")), "{text}");
        }
    }
}
