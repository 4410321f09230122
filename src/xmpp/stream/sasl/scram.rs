//! SCRAM (RFC 5802, RFC 7677): both sides prove that they know the password, and neither says it.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use super::SaslError;

/// Fewer iterations than RFC 5802 §5.1 asks for protect nobody, and more than this take seconds.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=250_000;

/// The hash of a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl Hash {
    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        }
    }

    fn sign(self, key: &[u8], text: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(self.hmac(), key), text)
    }
}

/// A password to be hashed: work of milliseconds, for a thread that may take them.
#[derive(Clone, PartialEq, Eq)]
pub struct Derivation {
    hash: Hash,
    password: String,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl fmt::Debug for Derivation {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Derivation({:?}, {} iterations)", self.hash, self.iterations)
    }
}

impl Derivation {
    /// Hashes the password.
    pub fn run(&self) -> SaltedPassword {
        let mut bytes = vec![0; self.hash.digest().output_len()];
        let (algorithm, password) = (self.hash.pbkdf2(), self.password.as_bytes());
        pbkdf2::derive(algorithm, self.iterations, &self.salt, password, &mut bytes);
        let (hash, salt, iterations) = (self.hash, self.salt.clone(), self.iterations);
        SaltedPassword { hash, salt, iterations, bytes }
    }

    /// Is this what the work would give? Servers keep the salt of a user, so that it need not be done again, as
    /// long as the password is the same.
    pub fn gives(&self, keys: &SaltedPassword) -> bool {
        (self.hash, &self.salt, self.iterations) == (keys.hash, &keys.salt, keys.iterations)
    }
}

/// A password that was hashed for one server.
#[derive(Clone, PartialEq, Eq)]
pub struct SaltedPassword {
    hash: Hash,
    salt: Vec<u8>,
    iterations: NonZeroU32,
    bytes: Vec<u8>,
}

impl fmt::Debug for SaltedPassword {
    /// It is as good as the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SaltedPassword(…)")
    }
}

/// What the client says of channel binding (RFC 5802 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// We do not bind.
    None,
    /// We could, and the server did not offer it.
    Unoffered,
    /// `tls-exporter`
    Exporter,
}

impl Flag {
    fn header(self) -> &'static str {
        match self {
            Self::None => "n,,",
            Self::Unoffered => "y,,",
            Self::Exporter => "p=tls-exporter,,",
        }
    }
}

/// The client's side.
pub(super) struct Scram {
    hash: Hash,
    flag: Flag,
    /// What `c=` says, still unencoded.
    binding: Vec<u8>,
    bare: String,
    nonce: String,
    password: String,
    /// The server's first message, once it has come.
    challenge: Option<String>,
    is_proved: bool,
    /// What both sides sign.
    signed: String,
    server_key: Vec<u8>,
    is_verified: bool,
}

impl fmt::Debug for Scram {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scram({:?}, {:?})", self.hash, self.flag)
    }
}

impl Scram {
    pub(super) fn new(
        hash: Hash,
        flag: Flag,
        binding: &[u8],
        username: &str,
        password: &str,
        nonce: String,
    ) -> Self {
        let username = username.replace('=', "=3D").replace(',', "=2C");
        Self {
            hash,
            flag,
            binding: [flag.header().as_bytes(), binding].concat(),
            bare: format!("n={username},r={nonce}"),
            nonce,
            password: password.to_owned(),
            challenge: None,
            is_proved: false,
            signed: String::new(),
            server_key: Vec::new(),
            is_verified: false,
        }
    }

    /// `client-first-message`
    pub(super) fn first(&self) -> String {
        format!("{}{}", self.flag.header(), self.bare)
    }

    /// Our proof is out.
    pub(super) fn is_proved(&self) -> bool {
        self.is_proved
    }

    /// The server's proof is in.
    pub(super) fn is_verified(&self) -> bool {
        self.is_verified
    }

    /// Takes `server-first-message`.
    pub(super) fn derivation(&mut self, message: &str) -> Result<Derivation, SaslError> {
        let malformed = |what| move || SaslError::Malformed(what);
        let nonce = attribute(message, "r").ok_or_else(malformed("has no nonce"))?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(SaslError::Malformed("has the nonce of another"));
        }
        let salt = attribute(message, "s").and_then(|salt| STANDARD.decode(salt).ok());
        let salt = salt.filter(|salt| !salt.is_empty()).ok_or_else(malformed("has no salt"))?;
        let count = attribute(message, "i").and_then(|count| count.parse().ok()).unwrap_or(0);
        let iterations = NonZeroU32::new(count).filter(|_| ITERATIONS.contains(&count));
        let iterations = iterations.ok_or(SaslError::Iterations(count))?;
        let binding = STANDARD.encode(&self.binding);
        self.signed = format!("{},{message},c={binding},r={nonce}", self.bare);
        self.challenge = Some(format!("c={binding},r={nonce}"));
        Ok(Derivation { hash: self.hash, password: self.password.clone(), salt, iterations })
    }

    /// `client-final-message`
    pub(super) fn proof(&mut self, keys: &SaltedPassword) -> Result<String, SaslError> {
        let unasked = SaslError::Malformed("has not come");
        let without_proof = self.challenge.take().ok_or(unasked)?;
        let client_key = self.hash.sign(&keys.bytes, b"Client Key");
        let stored_key = digest::digest(self.hash.digest(), client_key.as_ref());
        let signature = self.hash.sign(stored_key.as_ref(), self.signed.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        self.server_key = self.hash.sign(&keys.bytes, b"Server Key").as_ref().to_vec();
        self.is_proved = true;
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }

    /// Takes `server-final-message`.
    pub(super) fn verify(&mut self, message: &str) -> Result<(), SaslError> {
        if !self.is_proved {
            return Err(SaslError::FalseServer);
        }
        let shown = attribute(message, "v").and_then(|shown| STANDARD.decode(shown).ok());
        let shown = shown.ok_or(SaslError::FalseServer)?;
        let key = hmac::Key::new(self.hash.hmac(), &self.server_key);
        // Takes as long for a near miss as for a far one.
        hmac::verify(&key, self.signed.as_bytes(), &shown).map_err(|_| SaslError::FalseServer)?;
        self.is_verified = true;
        Ok(())
    }
}

fn attribute<'m>(message: &'m str, name: &str) -> Option<&'m str> {
    message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of an RFC: user, password, nonce, and the four messages.
    struct Example {
        hash: Hash,
        nonce: &'static str,
        first: &'static str,
        challenge: &'static str,
        proof: &'static str,
        outcome: &'static str,
    }

    const RFC_5802: Example = Example {
        hash: Hash::Sha1,
        nonce: "fyko+d2lbbFgONRv9qkxdawL",
        first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        challenge: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        proof: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        outcome: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    };

    const RFC_7677: Example = Example {
        hash: Hash::Sha256,
        nonce: "rOprNGfwEbeRWgbNEkqO",
        first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        challenge: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        proof: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        outcome: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    };

    fn begun(example: &Example) -> Scram {
        let nonce = example.nonce.to_owned();
        Scram::new(example.hash, Flag::None, &[], "user", "pencil", nonce)
    }

    #[test]
    fn the_examples_of_the_rfcs_hold() {
        for example in [RFC_5802, RFC_7677] {
            let mut scram = begun(&example);
            assert_eq!(scram.first(), example.first);
            let derivation = scram.derivation(example.challenge).unwrap();
            let keys = derivation.run();
            assert!(derivation.gives(&keys));
            assert_eq!(scram.proof(&keys).unwrap(), example.proof);
            assert_eq!(scram.verify(example.outcome), Ok(()));
        }
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let mut scram = begun(&RFC_7677);
        assert_eq!(scram.verify(RFC_7677.outcome), Err(SaslError::FalseServer));
        let keys = scram.derivation(RFC_7677.challenge).unwrap().run();
        scram.proof(&keys).unwrap();
        for outcome in ["", "v=", "v=AAAA", "e=other-error", RFC_5802.outcome] {
            assert_eq!(scram.verify(outcome), Err(SaslError::FalseServer), "{outcome}");
        }
        assert!(!scram.is_verified());
    }

    #[test]
    fn a_challenge_that_is_not_for_us_is_refused() {
        let refused = |message: &str| begun(&RFC_7677).derivation(message).unwrap_err();
        let own = RFC_7677.nonce;
        for message in [
            format!("r={own},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
            "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".to_owned(),
            format!("r={own}x,s=,i=4096"),
            format!("r={own}x,s=???,i=4096"),
            String::new(),
        ] {
            assert!(matches!(refused(&message), SaslError::Malformed(_)), "{message}");
        }
        for count in ["0", "1", "4095", "4000000000"] {
            let message = format!("r={own}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={count}");
            assert!(matches!(refused(&message), SaslError::Iterations(_)), "{message}");
        }
    }

    #[test]
    fn names_and_bindings_are_written_so_that_they_can_be_read() {
        let scram = Scram::new(Hash::Sha256, Flag::Exporter, b"tls", "a=b,c", "x", "N".to_owned());
        assert_eq!(scram.first(), "p=tls-exporter,,n=a=3Db=2Cc,r=N");
        assert_eq!(scram.binding, b"p=tls-exporter,,tls");
    }

    #[test]
    fn no_password_is_shown() {
        let mut scram = begun(&RFC_5802);
        let derivation = scram.derivation(RFC_5802.challenge).unwrap();
        let shown = format!("{scram:?} {derivation:?} {:?}", derivation.run());
        assert!(!shown.contains("pencil"), "{shown}");
    }
}
