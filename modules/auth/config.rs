//! `[modules.auth]`

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::config::value::{bounded, ranged};
use crate::config::{Secret, sealing_secret};
use crate::sip::digest::{Algorithm, Hash, Qops};
use crate::store::is_name;

/// `[modules.auth]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `user_column`: the column with the name of the user. Default `username`.
    #[serde(deserialize_with = "column")]
    pub user_column: String,
    /// `domain_column`: the column with the user's domain, in lower case; read with `use_domain`. Default `domain`.
    #[serde(deserialize_with = "column")]
    pub domain_column: String,
    /// `calculate_ha1`: `password_column` holds passwords as they are typed, not hashes. Default false.
    pub calculate_ha1: bool,
    /// `password_column`: the column with the HA1, or with `calculate_ha1` the password.
    ///
    /// Default `ha1`, or `password`.
    #[serde(deserialize_with = "optional_column")]
    pub password_column: Option<String>,
    /// `password_column_2`: the column with the HA1 of `user@domain`, for credentials whose username
    /// ends with a domain. Default `ha1b`.
    #[serde(deserialize_with = "column")]
    pub password_column_2: String,
    /// `sha256_column`: a column with the HA1 made with SHA-256, beside the one with MD5. Default none.
    #[serde(deserialize_with = "optional_column")]
    pub sha256_column: Option<String>,
    /// `sha256_column_2`: the same for credentials whose username ends with a domain. Default none.
    #[serde(deserialize_with = "optional_column")]
    pub sha256_column_2: Option<String>,
    /// `use_domain`: the same name in two domains is two users. Default false.
    pub use_domain: bool,
    /// `realm_prefix`: what is taken off the domain when it stands for the realm, such as `sip.`. Default nothing.
    pub realm_prefix: String,
    /// `algorithm`: the algorithms that a challenge offers, the preferred one first.
    ///
    /// Default `["SHA-256", "MD5"]` where both can be verified, that is with `calculate_ha1` or
    /// `sha256_column`, else `["MD5"]`.
    #[serde(deserialize_with = "algorithms")]
    pub algorithm: Vec<Algorithm>,
    /// `qop`: `auth`, `auth-int` or `auth,auth-int`: what a challenge offers when its flags do not say.
    ///
    /// With `auth-int` alone, credentials that do not protect the body are refused. Default `auth`.
    #[serde(deserialize_with = "qops")]
    pub qop: Qops,
    /// `require_qop`: refuse credentials without `qop`, as clients of RFC 2069 make them. Default true.
    ///
    /// With false, each of their nonces is good for one request.
    pub require_qop: bool,
    /// `check_uri`: refuse credentials whose URI has another user, host or port than the Request-URI. Default true.
    ///
    /// False where something between the phones and us rewrites Request-URIs.
    pub check_uri: bool,
    /// `nonce_expire`: how long a nonce is good, in seconds. 1 to 86400. Default 300.
    #[serde(deserialize_with = "ranged::<_, _, 1, 86_400>")]
    pub nonce_expire: u32,
    /// `nonce_count`: refuse a request that repeats the nonce and the count of another. Default true.
    pub nonce_count: bool,
    /// `nonce_cache`: nonces whose counts are remembered, about 100 bytes each; above that the oldest become stale.
    ///
    /// 100 to 10,000,000. Default 100,000.
    #[serde(deserialize_with = "bounded::<_, 100, 10_000_000>")]
    pub nonce_cache: usize,
    /// `secret`: what our nonces are sealed with; machines that share it know each other's. At least 16 bytes.
    ///
    /// Default: a random one at each start.
    #[serde(deserialize_with = "sealing_secret")]
    pub secret: Option<Secret>,
    /// `cache_time`: how long what the store says of a user is taken for true, in seconds. 0 to 86400. Default 60.
    #[serde(deserialize_with = "ranged::<_, _, 0, 86_400>")]
    pub cache_time: u32,
    /// `cache_grace`: how much longer, in seconds, while the store does not answer. 0 to 86400. Default 3600.
    #[serde(deserialize_with = "ranged::<_, _, 0, 86_400>")]
    pub cache_grace: u32,
    /// `cache_size`: the users that are remembered, about 400 bytes each; above that those who were not seen
    /// for the longest time are read again. 2 to 10,000,000. Default 20,000.
    #[serde(deserialize_with = "bounded::<_, 2, 10_000_000>")]
    pub cache_size: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            user_column: "username".to_owned(),
            domain_column: "domain".to_owned(),
            calculate_ha1: false,
            password_column: None,
            password_column_2: "ha1b".to_owned(),
            sha256_column: None,
            sha256_column_2: None,
            use_domain: false,
            realm_prefix: String::new(),
            algorithm: Vec::new(),
            qop: Qops::Auth,
            require_qop: true,
            check_uri: true,
            nonce_expire: 300,
            nonce_count: true,
            nonce_cache: 100_000,
            secret: None,
            cache_time: 60,
            cache_grace: 3600,
            cache_size: 20_000,
        }
    }
}

impl Config {
    /// The algorithms that challenges offer.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let plain = |hash| Algorithm { hash, is_session: false };
        match self.algorithm.is_empty() {
            false => self.algorithm.clone(),
            true if self.has_sha256() => vec![plain(Hash::Sha256), plain(Hash::Md5)],
            true => vec![plain(Hash::Md5)],
        }
    }

    /// How long a nonce is good.
    pub(super) fn nonce_lifetime(&self) -> Duration {
        Duration::from_secs(self.nonce_expire.into())
    }

    fn has_sha256(&self) -> bool {
        self.calculate_ha1 || self.sha256_column.is_some()
    }

    /// A challenge must not offer what no stored hash can verify: a phone that takes it never gets in.
    fn offers_only_what_it_can_verify(&self) -> bool {
        let mut hashes: Vec<_> = self.algorithms().iter().map(|algorithm| algorithm.hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        self.calculate_ha1 || hashes.len() == 1 || {
            self.sha256_column.is_some() && hashes == [Hash::Md5, Hash::Sha256]
        }
    }
}

/// Parameters that fit together.
pub(super) struct Sound(pub(super) Config);

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let config = Config::deserialize(deserializer)?;
        match config.offers_only_what_it_can_verify() {
            true => Ok(Self(config)),
            false => Err(D::Error::custom(
                "`algorithm` offers hashes that `password_column` cannot hold beside each other; \
                 set `sha256_column`, or `calculate_ha1 = true` with a column of passwords",
            )),
        }
    }
}

fn column<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    match is_name(&name) {
        true => Ok(name),
        false => Err(D::Error::custom(format!(
            "`{name}` is no column; its name has letters, digits and `_` only"
        ))),
    }
}

fn optional_column<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    column(d).map(Some)
}

fn algorithms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Algorithm>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    if names.is_empty() {
        return Err(D::Error::custom("at least one algorithm is needed, such as \"MD5\""));
    }
    let unknown = |name: &str| {
        D::Error::custom(format!(
            "`{name}` is no algorithm; there are MD5, SHA-256 and SHA-512-256, each also with `-sess`"
        ))
    };
    names.iter().map(|name| Algorithm::from_name(name).ok_or_else(|| unknown(name))).collect()
}

fn qops<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Qops, D::Error> {
    let name = String::deserialize(deserializer)?;
    Qops::from_name(&name)
        .ok_or_else(|| D::Error::custom("expected \"auth\", \"auth-int\" or \"auth,auth-int\""))
}
