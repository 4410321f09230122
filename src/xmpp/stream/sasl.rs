//! SASL as a client speaks it (RFC 6120 §6): which mechanism, and what is said.

mod scram;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::xmpp::ns;
use crate::xmpp::stanza::Stanza;

pub use scram::{Derivation, Hash, SaltedPassword};
use scram::{Flag, Scram};

/// The longest message of a server that is looked at.
const MAX_MESSAGE: usize = 16 * 1024;

/// Why authentication failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaslError {
    /// The server's message cannot be read.
    #[error("the server's SASL message {0}")]
    Malformed(&'static str),
    /// The server cannot prove that it knows the password.
    #[error("the server does not know the password, and may be a false one")]
    FalseServer,
    /// The server wants the password hashed more often than anybody should wait for, or hardly at all.
    #[error("the server asks for {0} iterations")]
    Iterations(u32),
    /// The server says no.
    #[error("{condition}{}", text.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    Failure {
        /// The name of its condition (RFC 6120 §6.5).
        condition: String,
        /// Its words.
        text: Option<String>,
    },
    /// The server offers nothing that we may use.
    #[error("the server offers no mechanism that we may use: {0}")]
    NoMechanism(String),
    /// The password cannot be prepared (RFC 4013).
    #[error("the password holds a character that SASL does not allow")]
    Password,
}

impl SaslError {
    /// Trying again later may help, with the same password.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Failure { condition, .. } if condition == "temporary-auth-failure")
    }

    /// Reads a `<failure/>`.
    pub fn read(stanza: &Stanza) -> Self {
        let conditions = stanza.payloads().filter(|payload| payload.name() != "text");
        let condition = conditions.map(|payload| payload.name().to_owned()).next();
        let text = stanza.payload("text", ns::SASL).map(|text| text.text().into_owned());
        Self::Failure { condition: condition.unwrap_or_else(|| "not-authorized".to_owned()), text }
    }
}

/// How the password is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    Scram(Hash, Flag),
    Plain,
}

/// What ties the authentication to the TLS connection: `tls-exporter` (RFC 9266).
pub type ChannelBinding = [u8; 32];

/// What the server offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The names of its mechanisms.
    pub mechanisms: Vec<String>,
    /// The channel bindings that it names (XEP-0440); `None` when it names none.
    pub bindings: Option<Vec<String>>,
}

impl Offer {
    /// The best mechanism that both sides know, and its name. PLAIN is the last, and only behind TLS.
    fn choose(&self, has_tls: bool, can_bind: bool) -> Option<(Mechanism, &'static str)> {
        let offers = |name: &str| self.mechanisms.iter().any(|offered| offered == name);
        let binds = self.mechanisms.iter().any(|offered| offered.ends_with("-PLUS"));
        let knows = |names: &Vec<String>| names.iter().any(|name| name == "tls-exporter");
        let can_bind = can_bind && self.bindings.as_ref().is_none_or(knows);
        // RFC 5802 §6: `y` says that the server offered none, so that nobody can take its offer away.
        let flag = if can_bind && !binds { Flag::Unoffered } else { Flag::None };
        let rows = [
            (can_bind, "SCRAM-SHA-256-PLUS", Mechanism::Scram(Hash::Sha256, Flag::Exporter)),
            (true, "SCRAM-SHA-256", Mechanism::Scram(Hash::Sha256, flag)),
            (can_bind, "SCRAM-SHA-1-PLUS", Mechanism::Scram(Hash::Sha1, Flag::Exporter)),
            (true, "SCRAM-SHA-1", Mechanism::Scram(Hash::Sha1, flag)),
            (has_tls, "PLAIN", Mechanism::Plain),
        ];
        let found = rows.into_iter().find(|(may, name, _)| *may && offers(name));
        found.map(|(_, name, mechanism)| (mechanism, name))
    }
}

/// One authentication on its way.
#[derive(Debug)]
pub struct Sasl {
    name: &'static str,
    scram: Option<Scram>,
    initial: Vec<u8>,
}

/// What follows from the server's challenge.
pub enum Challenge {
    /// The password must be hashed, which takes a while; the outcome goes to [`Sasl::respond`].
    Derive(Derivation),
    /// What the server must hear, in base64.
    Respond(String),
}

impl Sasl {
    /// Begins with the best mechanism. `nonce` is a word that nobody can guess.
    pub fn new(
        offer: &Offer,
        username: &str,
        password: &str,
        has_tls: bool,
        binding: Option<&ChannelBinding>,
        nonce: String,
    ) -> Result<Self, SaslError> {
        let chosen = offer.choose(has_tls, binding.is_some());
        let nothing = || SaslError::NoMechanism(offer.mechanisms.join(" "));
        let (mechanism, name) = chosen.ok_or_else(nothing)?;
        let password = stringprep::saslprep(password).map_err(|_| SaslError::Password)?;
        let (scram, initial) = match mechanism {
            Mechanism::Plain => (None, format!("\0{username}\0{password}").into_bytes()),
            Mechanism::Scram(hash, flag) => {
                let data = binding.filter(|_| flag == Flag::Exporter).map_or(&[][..], |it| it);
                let scram = Scram::new(hash, flag, data, username, &password, nonce);
                let initial = scram.first().into_bytes();
                (Some(scram), initial)
            }
        };
        Ok(Self { name, scram, initial })
    }

    /// The name of the mechanism.
    pub fn mechanism(&self) -> &'static str {
        self.name
    }

    /// The initial response, in base64.
    pub fn initial(&self) -> String {
        STANDARD.encode(&self.initial)
    }

    /// Takes the text of a `<challenge/>`.
    pub fn challenge(&mut self, text: &str) -> Result<Challenge, SaslError> {
        let message = decoded(text)?;
        let Some(scram) = &mut self.scram else {
            return Err(SaslError::Malformed("was not expected"));
        };
        match scram.is_proved() {
            // COMPAT(many): the server's signature comes as a challenge of its own.
            true => scram.verify(&message).map(|()| Challenge::Respond(String::new())),
            false => scram.derivation(&message).map(Challenge::Derive),
        }
    }

    /// The proof for the server, in base64, from the hashed password that it was asked for.
    pub fn respond(&mut self, keys: &SaltedPassword) -> Result<String, SaslError> {
        let scram = self.scram.as_mut().ok_or(SaslError::Malformed("was not expected"))?;
        scram.proof(keys).map(|proof| STANDARD.encode(proof))
    }

    /// Takes the text of `<success/>`: an error when it comes from somebody who does not know the password.
    pub fn finish(&mut self, text: &str) -> Result<(), SaslError> {
        match &mut self.scram {
            None => Ok(()),
            Some(scram) if scram.is_verified() => Ok(()),
            Some(scram) => scram.verify(&decoded(text)?),
        }
    }
}

fn decoded(text: &str) -> Result<String, SaslError> {
    if text.len() > MAX_MESSAGE {
        return Err(SaslError::Malformed("is too long"));
    }
    let text = text.trim();
    let bytes = if text == "=" { Ok(Vec::new()) } else { STANDARD.decode(text) };
    let bytes = bytes.map_err(|_| SaslError::Malformed("is no base64"))?;
    String::from_utf8(bytes).map_err(|_| SaslError::Malformed("is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(names: &str) -> Offer {
        let mechanisms = names.split(' ').map(str::to_owned).collect();
        Offer { mechanisms, bindings: None }
    }

    fn chosen(names: &str, has_tls: bool, can_bind: bool) -> Option<&'static str> {
        offer(names).choose(has_tls, can_bind).map(|(_, name)| name)
    }

    #[test]
    fn the_strongest_mechanism_is_taken_and_plain_only_behind_tls() {
        let all = "PLAIN SCRAM-SHA-1 SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-256-PLUS X-OAUTH2";
        for (names, has_tls, can_bind, expected) in [
            (all, true, true, Some("SCRAM-SHA-256-PLUS")),
            (all, true, false, Some("SCRAM-SHA-256")),
            ("PLAIN SCRAM-SHA-1 SCRAM-SHA-1-PLUS", true, true, Some("SCRAM-SHA-1-PLUS")),
            ("PLAIN SCRAM-SHA-1", false, false, Some("SCRAM-SHA-1")),
            ("PLAIN DIGEST-MD5", true, true, Some("PLAIN")),
            ("PLAIN DIGEST-MD5", false, false, None),
        ] {
            assert_eq!(chosen(names, has_tls, can_bind), expected, "{names}");
        }
    }

    #[test]
    fn a_binding_that_the_server_does_not_name_is_not_used() {
        let bindings = Some(vec!["tls-server-end-point".to_owned()]);
        let offer = Offer { bindings, ..offer("SCRAM-SHA-256 SCRAM-SHA-256-PLUS") };
        assert_eq!(offer.choose(true, true).map(|(_, name)| name), Some("SCRAM-SHA-256"));
    }

    #[test]
    fn plain_says_it_all_at_once() {
        let mut sasl =
            Sasl::new(&offer("PLAIN"), "juliet", "r0m30", true, None, String::new()).unwrap();
        assert_eq!(sasl.initial(), "AGp1bGlldAByMG0zMA==");
        assert!(sasl.challenge("").is_err());
        assert_eq!(sasl.finish(""), Ok(()));
    }

    #[test]
    fn a_failure_is_read_with_its_words() {
        let text = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/>\
                    <text>no</text></failure>";
        let stanza = Stanza::parse(text, ns::ContentNamespace::Client).unwrap();
        let error = SaslError::read(&stanza);
        assert_eq!(error.to_string(), "not-authorized: no");
        assert!(!error.is_temporary());
    }
}
