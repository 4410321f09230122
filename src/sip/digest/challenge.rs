//! What a 401 or 407 demands (RFC 3261 §20.27 and §20.44, RFC 8760 §2.1).

use std::fmt;

use super::algorithm::Algorithm;

/// The qualities of protection that a challenge offers; never none (RFC 8760 §2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qops {
    /// `auth`: method and URI are protected.
    Auth,
    /// `auth-int`: so is the body.
    AuthInt,
    /// Either, as the client likes.
    Both,
}

/// One challenge, which `Display` writes as the value of WWW-Authenticate or Proxy-Authenticate.
#[derive(Clone, Copy, Debug)]
pub struct Challenge<'a> {
    /// The realm, without quotes.
    pub realm: &'a str,
    /// The nonce.
    pub nonce: &'a str,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// What may be protected.
    pub qops: Qops,
    /// The credentials were fine but for their nonce: the client need not ask its user again.
    pub is_stale: bool,
}

impl Qops {
    /// As it stands between the quotes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
            // COMPAT(old phones): without white space, which the RFC allows and some cannot read.
            Self::Both => "auth,auth-int",
        }
    }

    /// The qops of this name, as in `qop = "auth,auth-int"`.
    pub fn from_name(name: &str) -> Option<Self> {
        let plain: String = name.split_whitespace().collect();
        let known = [Self::Auth, Self::AuthInt, Self::Both];
        known.into_iter().find(|qops| qops.as_str().eq_ignore_ascii_case(&plain))
    }
}

impl fmt::Display for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest realm=\"")?;
        for letter in self.realm.chars() {
            if matches!(letter, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{letter}")?;
        }
        let (nonce, qops, algorithm) = (self.nonce, self.qops.as_str(), self.algorithm);
        write!(f, "\", nonce=\"{nonce}\", qop=\"{qops}\", algorithm={algorithm}")?;
        if self.is_stale { f.write_str(", stale=true") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_written_as_phones_read_it() {
        let mut challenge = Challenge {
            realm: "sip.example",
            nonce: "0a",
            algorithm: Algorithm::MD5,
            qops: Qops::Both,
            is_stale: false,
        };
        let expected =
            r#"Digest realm="sip.example", nonce="0a", qop="auth,auth-int", algorithm=MD5"#;
        assert_eq!(challenge.to_string(), expected);
        (challenge.realm, challenge.is_stale) = (r#"a"b\"#, true);
        let expected =
            r#"Digest realm="a\"b\\", nonce="0a", qop="auth,auth-int", algorithm=MD5, stale=true"#;
        assert_eq!(challenge.to_string(), expected);
    }

    #[test]
    fn qops_are_read_with_and_without_spaces() {
        assert_eq!(Qops::from_name("auth, auth-int"), Some(Qops::Both));
        assert_eq!(Qops::from_name("AUTH"), Some(Qops::Auth));
        assert_eq!(Qops::from_name("auth-int"), Some(Qops::AuthInt));
        assert_eq!(Qops::from_name(""), None);
    }
}
