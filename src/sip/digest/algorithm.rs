//! The hash functions that digests are made with, by their registered names (RFC 7616 §6.1).

use std::fmt;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// For phones that know nothing else.
    Md5,
    /// The one that RFC 7616 demands.
    Sha256,
    /// SHA-512, cut to 256 bits.
    Sha512_256,
}

/// The `algorithm` of a challenge or of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Algorithm {
    /// The hash function.
    pub hash: Hash,
    /// `-sess`: the nonces go into A1 as well (RFC 7616 §3.4.2).
    pub is_session: bool,
}

/// Name, hash, `-sess`.
const NAMES: &[(&str, Hash, bool)] = &[
    ("MD5", Hash::Md5, false),
    ("MD5-sess", Hash::Md5, true),
    ("SHA-256", Hash::Sha256, false),
    ("SHA-256-sess", Hash::Sha256, true),
    ("SHA-512-256", Hash::Sha512_256, false),
    ("SHA-512-256-sess", Hash::Sha512_256, true),
];

/// A hash as lower-case hexadecimal digits, 32 or 64 of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Hex {
    digits: [u8; 64],
    length: usize,
}

impl Algorithm {
    /// What credentials without `algorithm` mean.
    pub const MD5: Self = Self { hash: Hash::Md5, is_session: false };

    /// The algorithm of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let row = NAMES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
        row.map(|&(_, hash, is_session)| Self { hash, is_session })
    }

    /// The registered name.
    pub fn name(self) -> &'static str {
        let row = NAMES.iter().find(|row| (row.1, row.2) == (self.hash, self.is_session));
        row.expect("every hash has a row with and without -sess").0
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Hash {
    /// Every hash function, the weakest first.
    pub const ALL: [Self; 3] = [Self::Md5, Self::Sha256, Self::Sha512_256];

    /// How many hexadecimal digits its values have.
    pub const fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 | Self::Sha512_256 => 64,
        }
    }

    /// The hash of the parts with a colon between each two.
    pub(super) fn of(self, parts: &[&[u8]]) -> Hex {
        match self {
            Self::Md5 => Hex::of::<Md5>(parts),
            Self::Sha256 => Hex::of::<Sha256>(parts),
            Self::Sha512_256 => Hex::of::<Sha512_256>(parts),
        }
    }
}

impl Hex {
    fn of<D: Digest>(parts: &[&[u8]]) -> Self {
        let mut hasher = D::new();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                hasher.update(b":");
            }
            hasher.update(part);
        }
        let mut hex = Self { digits: [0; 64], length: 0 };
        for (pair, byte) in hex.digits.chunks_exact_mut(2).zip(hasher.finalize().iter()) {
            pair.copy_from_slice(&hex_pair(*byte));
            hex.length += 2;
        }
        hex
    }

    /// The digits of `text` in lower case; `None` unless they are exactly those of one hash value.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_hash = matches!(text.len(), 32 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        is_hash.then(|| {
            let mut digits = [0; 64];
            for (digit, byte) in digits.iter_mut().zip(text.bytes()) {
                *digit = byte.to_ascii_lowercase();
            }
            Self { digits, length: text.len() }
        })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.digits[..self.length]
    }
}

/// A byte as two lower-case hexadecimal digits.
pub(super) const fn hex_pair(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[(byte >> 4) as usize], DIGITS[(byte & 15) as usize]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_in_any_case() {
        for (name, ..) in NAMES {
            let algorithm = Algorithm::from_name(&name.to_ascii_lowercase()).unwrap();
            assert_eq!(algorithm.to_string(), *name);
        }
        assert_eq!(Algorithm::from_name("SHA-1"), None);
        for hash in Hash::ALL {
            assert_eq!(hash.of(&[b""]).as_bytes().len(), hash.digits());
        }
    }

    #[test]
    fn the_hash_of_no_body_is_that_of_the_rfcs() {
        let empty = |hash: Hash| String::from_utf8(hash.of(&[b""]).as_bytes().to_vec()).unwrap();
        assert_eq!(empty(Hash::Md5), "d41d8cd98f00b204e9800998ecf8427e", "RFC 3261 §22.4");
        let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty(Hash::Sha256), sha256, "RFC 8760 §2.6");
    }
}
