//! Nonces that tell their age and that nobody else can have made, so that none need be remembered (RFC 7616 §5.4).

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::algorithm::hex_pair;

/// Bytes of the time, of the random number and of the seal.
const TIME: usize = 6;
const RANDOM: usize = 8;
const SEAL: usize = 16;
const LENGTH: usize = TIME + RANDOM + SEAL;

/// What a nonce of ours says. Of two, the one made earlier is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce {
    /// When it was made, in milliseconds since 1970.
    issued: u64,
    random: u64,
}

/// Makes nonces and recognizes them; everyone with the same secret recognizes the same ones.
#[derive(Clone)]
pub struct Nonces(Hmac<Sha256>);

impl Nonce {
    /// A nonce made at `now`, the time since 1970; `random` tells it from others of the same millisecond.
    pub fn new(now: Duration, random: u64) -> Self {
        let issued = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        Self { issued: issued & ((1 << (8 * TIME)) - 1), random }
    }

    /// Was it made no longer than `lifetime` ago? The clocks of machines that share a secret may differ by as much.
    pub fn is_fresh(&self, now: Duration, lifetime: Duration) -> bool {
        self.made().abs_diff(now) <= lifetime
    }

    /// When it was made, since 1970.
    pub fn made(&self) -> Duration {
        Duration::from_millis(self.issued)
    }

    fn to_bytes(self) -> [u8; TIME + RANDOM] {
        let mut bytes = [0; TIME + RANDOM];
        bytes[..TIME].copy_from_slice(&self.issued.to_be_bytes()[8 - TIME..]);
        bytes[TIME..].copy_from_slice(&self.random.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Self { issued: number(&bytes[..TIME]), random: number(&bytes[TIME..TIME + RANDOM]) }
    }
}

impl Nonces {
    /// Seals with this secret, which should not be guessable.
    pub fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// The nonce as text, good for one realm.
    pub fn seal(&self, nonce: Nonce, realm: &str) -> String {
        let bytes = nonce.to_bytes();
        let seal = self.mac(&bytes, realm).finalize().into_bytes();
        let all = bytes.iter().chain(&seal[..SEAL]);
        all.flat_map(|byte| hex_pair(*byte)).map(char::from).collect()
    }

    /// What a nonce of ours says; `None` when it is not ours, or was for another realm.
    pub fn open(&self, text: &str, realm: &str) -> Option<Nonce> {
        let bytes = from_hex(text)?;
        let (nonce, seal) = bytes.split_at(TIME + RANDOM);
        self.mac(nonce, realm).verify_truncated_left(seal).ok()?;
        Some(Nonce::from_bytes(nonce))
    }

    fn mac(&self, nonce: &[u8], realm: &str) -> Hmac<Sha256> {
        self.0.clone().chain_update(nonce).chain_update(realm.as_bytes())
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces(…)")
    }
}

/// The bytes of a whole nonce. Upper-case digits are none of ours.
fn from_hex(text: &str) -> Option<[u8; LENGTH]> {
    if text.len() != 2 * LENGTH {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        if hex_pair(*byte) != pair {
            return None;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const LIFETIME: Duration = Duration::from_secs(300);

    #[test]
    fn a_nonce_is_recognized_without_having_been_kept() {
        let nonces = Nonces::new(b"secret");
        let nonce = Nonce::new(NOW, 7);
        let text = nonces.seal(nonce, "sip.example");
        assert_eq!(nonces.open(&text, "sip.example"), Some(nonce));
        assert_eq!(Nonces::new(b"secret").open(&text, "sip.example"), Some(nonce));
        assert_ne!(nonces.seal(Nonce::new(NOW, 8), "sip.example"), text);
    }

    #[test]
    fn nobody_else_makes_a_nonce_and_none_can_be_altered() {
        let nonces = Nonces::new(b"secret");
        let text = nonces.seal(Nonce::new(NOW, 7), "sip.example");
        assert_eq!(Nonces::new(b"other").open(&text, "sip.example"), None);
        assert_eq!(nonces.open(&text, "other.example"), None);
        assert_eq!(nonces.open(&text.to_uppercase(), "sip.example"), None);
        for at in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(nonces.open(&forged, "sip.example"), None, "digit {at}");
        }
        for garbage in ["", "0", "é", &text[1..], &format!("{text}0"), &"g".repeat(60)] {
            assert_eq!(nonces.open(garbage, "sip.example"), None, "{garbage}");
        }
    }

    #[test]
    fn a_nonce_ages() {
        let nonce = Nonce::new(NOW, 7);
        assert_eq!(nonce.made(), NOW);
        assert!(nonce.is_fresh(NOW, LIFETIME) && nonce.is_fresh(NOW + LIFETIME, LIFETIME));
        assert!(!nonce.is_fresh(NOW + LIFETIME + Duration::from_millis(1), LIFETIME));
        assert!(!nonce.is_fresh(NOW - LIFETIME * 2, LIFETIME), "from the future");
    }
}
