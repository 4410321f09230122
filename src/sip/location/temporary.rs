//! Addresses of one instance that tell nobody whose they are: temporary GRUUs (RFC 5627 §3.1.2, Appendix A.2).
//!
//! Whom one means is sealed in it, so that none need be remembered. They live as long as their generation, which
//! the bindings of the instance have in common.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::sip::{Uri, unescape};

/// What the user part begins with.
const PREFIX: &str = "tgruu.";

/// Bytes of the place and the generation.
const MEANT: usize = 16;

/// Whom a temporary GRUU means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meant {
    /// The place of the address of record on the circle.
    pub(super) place: u64,
    /// The generation that the instance's bindings have.
    pub(super) generation: u64,
}

/// Makes temporary GRUUs, and knows its own.
#[derive(Debug)]
pub(super) struct Temporaries {
    key: LessSafeKey,
    generations: u64,
}

impl Temporaries {
    /// Nobody else knows what these mean, and nobody after this run.
    pub(super) fn new() -> Self {
        let key: [u8; 32] = rand::random();
        let key = UnboundKey::new(&AES_256_GCM, &key).expect("the key is as long as it must be");
        Self { key: LessSafeKey::new(key), generations: 0 }
    }

    /// A generation that no instance has had.
    pub(super) fn next_generation(&mut self) -> u64 {
        self.generations += 1;
        self.generations
    }

    /// Another address for whom is meant, in the domain of this address of record.
    pub(super) fn make(&self, address: &str, meant: Meant) -> String {
        let domain = domain(address);
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut text = [meant.place.to_be_bytes(), meant.generation.to_be_bytes()].concat();
        let (unique, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(domain));
        self.key
            .seal_in_place_append_tag(unique, aad, &mut text)
            .expect("so short a text can be sealed");
        let token = BASE64.encode([&nonce[..], &text].concat());
        format!("sip:{PREFIX}{token}@{domain};gr")
    }

    /// Whom a URI with this address of record means, when it is one of ours.
    pub(super) fn meant(&self, uri: &Uri<'_>, address: &str) -> Option<Meant> {
        let user = unescape(uri.user()?);
        let token = user.strip_prefix(PREFIX.as_bytes())?;
        let mut token = BASE64.decode(token).ok()?;
        let (nonce, text) = token.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.key.open_in_place(nonce, Aad::from(domain(address)), text).ok()?;
        let (place, generation) = text.split_at_checked(MEANT / 2)?;
        Some(Meant {
            place: u64::from_be_bytes(place.try_into().ok()?),
            generation: u64::from_be_bytes(generation.try_into().ok()?),
        })
    }
}

fn domain(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::location::Rules;
    use crate::sip::location::address::full_address;

    const MEANT: Meant = Meant { place: u64::MAX, generation: 7 };

    fn meant(temporaries: &Temporaries, uri: &str) -> Option<Meant> {
        let uri = Uri::parse(uri).unwrap();
        temporaries.meant(&uri, &full_address(&uri, Rules::default().address)?)
    }

    #[test]
    fn rfc5627_s5_1_each_is_another_and_means_the_same() {
        let temporaries = Temporaries::new();
        let one = temporaries.make("al%40ice@sip.example", MEANT);
        let other = temporaries.make("al%40ice@sip.example", MEANT);
        assert_ne!(one, other);
        assert!(!one.contains("ice@"), "{one}");
        for uri in [&one, &other, &one.replace("sip.example", "SIP.Example")] {
            assert_eq!(meant(&temporaries, uri), Some(MEANT));
        }
    }

    #[test]
    fn nobody_else_can_make_or_change_one() {
        let temporaries = Temporaries::new();
        let uri = temporaries.make("alice@sip.example", MEANT);
        assert_eq!(meant(&Temporaries::new(), &uri), None);
        assert_eq!(meant(&temporaries, &uri.replace("sip.example", "other.example")), None);
        let at = "sip:tgruu.".len();
        let changed = if uri.as_bytes()[at] == b'A' { "B" } else { "A" };
        assert_eq!(
            meant(&temporaries, &format!("{}{changed}{}", &uri[..at], &uri[at + 1..])),
            None
        );
        for bad in ["sip:tgruu.@sip.example;gr", "sip:tgruu.%ff@sip.example;gr", "sip:x@h;gr"] {
            assert_eq!(meant(&temporaries, bad), None, "{bad}");
        }
    }
}
