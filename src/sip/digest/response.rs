//! The proof in credentials: what it must be, and whether it is that (RFC 7616 §3.4.1 to §3.4.3).

use std::fmt;

use ctutils::CtEq;

use super::algorithm::{Algorithm, Hash, Hex};
use super::credentials::{Credentials, Qop};

/// H(username:realm:password), which proves its owner as well as the password does. Never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ha1 {
    hash: Hash,
    hex: Hex,
}

impl Ha1 {
    /// The HA1 of a password.
    pub fn of_password(hash: Hash, username: &str, realm: &str, password: &str) -> Self {
        let parts = [username.as_bytes(), realm.as_bytes(), password.as_bytes()];
        Self { hash, hex: hash.of(&parts) }
    }

    /// The HA1 as databases keep it, in hexadecimal digits; `None` when they are not those of this hash.
    pub fn from_hex(hash: Hash, text: &str) -> Option<Self> {
        let hex = Hex::parse(text.trim())?;
        (hex.as_bytes().len() == hash.digits()).then_some(Self { hash, hex })
    }

    /// The hash that it was made with.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Do the credentials prove that their owner knows the password, for this method and, with `auth-int`, this body?
    ///
    /// False for an algorithm with another hash. Takes as long for a response that is nearly right as for any other.
    pub fn proves(&self, credentials: &Credentials<'_>, method: &str, body: &[u8]) -> bool {
        let Some(algorithm) = credentials.algorithm.filter(|it| it.hash == self.hash) else {
            return false;
        };
        let expected = self.response(algorithm, credentials, method, body);
        match Hex::parse(&credentials.response) {
            Some(given) => given.as_bytes().ct_eq(expected.as_bytes()).into(),
            None => false,
        }
    }

    /// The response that belongs to the other directives, as a client computes it.
    pub fn response_to(
        &self,
        credentials: &Credentials<'_>,
        method: &str,
        body: &[u8],
    ) -> Option<String> {
        let algorithm = credentials.algorithm.filter(|it| it.hash == self.hash)?;
        let hex = self.response(algorithm, credentials, method, body);
        Some(String::from_utf8_lossy(hex.as_bytes()).into_owned())
    }

    fn response(
        &self,
        algorithm: Algorithm,
        credentials: &Credentials<'_>,
        method: &str,
        body: &[u8],
    ) -> Hex {
        let hash = self.hash;
        let nonce = credentials.nonce.as_bytes();
        let cnonce = credentials.cnonce.as_deref().unwrap_or_default().as_bytes();
        let a1 = match algorithm.is_session {
            true => hash.of(&[self.hex.as_bytes(), nonce, cnonce]),
            false => self.hex,
        };
        let (method, uri) = (method.as_bytes(), credentials.uri.as_bytes());
        let a2 = match credentials.qop {
            Some(Qop::AuthInt) => hash.of(&[method, uri, hash.of(&[body]).as_bytes()]),
            Some(Qop::Auth) | None => hash.of(&[method, uri]),
        };
        let qop = match credentials.qop {
            // RFC 2069
            None => return hash.of(&[a1.as_bytes(), nonce, a2.as_bytes()]),
            Some(Qop::Auth) => "auth",
            Some(Qop::AuthInt) => "auth-int",
        };
        let nc = credentials.nc.map_or("", |nc| nc.text).as_bytes();
        hash.of(&[a1.as_bytes(), nonce, nc, cnonce, qop.as_bytes(), a2.as_bytes()])
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ha1({:?}, …)", self.hash)
    }
}
