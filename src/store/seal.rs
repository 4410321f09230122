//! Passwords that only who has the key can read.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use thiserror::Error;

/// What a sealed password begins with.
const MARK: &str = "{sealed}";

/// The fewest letters that a key is made of.
const MIN_SECRET: usize = 16;

/// What seals and opens passwords.
pub struct Seal(LessSafeKey);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

/// Why a password cannot be sealed or opened.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SealError {
    /// Anybody could guess it.
    #[error("the secret of the seal has fewer than 16 characters")]
    WeakSecret,
    /// The password is sealed, and nobody has told us the secret.
    #[error("the password is sealed, and `seal_secret` is not set")]
    NoKey,
    /// It was sealed with another secret, or for another row, or it was changed.
    #[error("the sealed password does not open: another secret, or another row's password")]
    Broken,
}

impl Seal {
    /// The seal that a secret makes.
    pub fn new(secret: &str) -> Result<Self, SealError> {
        if secret.chars().count() < MIN_SECRET {
            return Err(SealError::WeakSecret);
        }
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"sipjab jusers");
        let derived = salt.extract(secret.as_bytes());
        let key = derived.expand(&[b"jab_passwd"], &CHACHA20_POLY1305).map(UnboundKey::from);
        Ok(Self(LessSafeKey::new(key.expect("a key is shorter than HKDF may be"))))
    }

    /// The password as it may stand in the database. It opens only for the same `owner`.
    pub fn seal(&self, password: &str, owner: &str) -> String {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut bytes = password.as_bytes().to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        let sealed = self.0.seal_in_place_append_tag(unique, Aad::from(owner), &mut bytes);
        sealed.expect("a password is shorter than the cipher may take");
        format!("{MARK}{}", STANDARD.encode([&nonce[..], &bytes].concat()))
    }

    fn open(&self, sealed: &str, owner: &str) -> Option<String> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(owner), &mut text).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }
}

/// Is this password sealed?
pub fn is_sealed(stored: &str) -> bool {
    stored.starts_with(MARK)
}

/// The password of `owner` from what stands in the database: sealed, or as SER kept it.
pub fn opened(seal: Option<&Seal>, stored: &str, owner: &str) -> Result<String, SealError> {
    let Some(sealed) = stored.strip_prefix(MARK) else { return Ok(stored.to_owned()) };
    let seal = seal.ok_or(SealError::NoKey)?;
    seal.open(sealed, owner).ok_or(SealError::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "sixteen letters!";

    #[test]
    fn what_is_sealed_opens_for_its_owner_alone() {
        let seal = Seal::new(SECRET).unwrap();
        let sealed = seal.seal("pä$$", "sip:a@x");
        assert!(is_sealed(&sealed) && !sealed.contains("pä$$"));
        assert_ne!(sealed, seal.seal("pä$$", "sip:a@x"));
        assert_eq!(opened(Some(&seal), &sealed, "sip:a@x").as_deref(), Ok("pä$$"));
        assert_eq!(opened(Some(&seal), &sealed, "sip:b@x"), Err(SealError::Broken));
        let other = Seal::new("another secret of theirs").unwrap();
        assert_eq!(opened(Some(&other), &sealed, "sip:a@x"), Err(SealError::Broken));
        assert_eq!(opened(None, &sealed, "sip:a@x"), Err(SealError::NoKey));
    }

    #[test]
    fn a_plain_row_is_itself_and_a_torn_one_is_an_error() {
        let seal = Seal::new(SECRET).unwrap();
        assert_eq!(opened(Some(&seal), "qw1joe#", "x").as_deref(), Ok("qw1joe#"));
        for torn in ["{sealed}", "{sealed}???", "{sealed}AAAA"] {
            assert_eq!(opened(Some(&seal), torn, "x"), Err(SealError::Broken), "{torn}");
        }
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused() {
        assert_eq!(Seal::new("secret").unwrap_err(), SealError::WeakSecret);
    }
}
