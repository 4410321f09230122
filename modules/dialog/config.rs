//! `[modules.dialog]`: how long dialogs are followed, how many, and where they are counted.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::config::value::ranged;

/// The longest time of a dialog, in seconds: a week.
pub(super) const LONGEST: u64 = 604_800;

/// `[modules.dialog]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a dialog is followed after its INVITE was taken, in seconds.
    ///
    /// 1 to 604800. Default 43200, 12 hours.
    #[serde(deserialize_with = "ranged::<_, _, 1, 604_800>")]
    pub default_timeout: u64,
    /// How long one is followed whose INVITE has no final response, in seconds.
    ///
    /// 1 to 604800. Default 300.
    #[serde(deserialize_with = "ranged::<_, _, 1, 604_800>")]
    pub early_timeout: u64,
    /// The parameter of Record-Route that tells the dialog; empty for none.
    ///
    /// A token. Default `did`.
    #[serde(deserialize_with = "token")]
    pub rr_param: Box<str>,
    /// The profiles that count under values.
    ///
    /// Names with `;` between them. Default none.
    pub profiles_with_value: Profiles,
    /// The profiles that count as a whole.
    ///
    /// Names with `;` between them. Default none.
    pub profiles_no_value: Profiles,
    /// The most dialogs at a time.
    ///
    /// 1 to 10000000. Default 100000.
    #[serde(deserialize_with = "ranged::<_, _, 1, 10_000_000>")]
    pub max_dialogs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default_timeout: 43_200,
            early_timeout: 300,
            rr_param: "did".into(),
            profiles_with_value: Profiles::default(),
            profiles_no_value: Profiles::default(),
            max_dialogs: 100_000,
        }
    }
}

/// The names of profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profiles(pub Vec<Box<str>>);

impl<'de> Deserialize<'de> for Profiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<str>::deserialize(deserializer)?;
        let names = text.split(';').map(str::trim).filter(|name| !name.is_empty());
        let names: Vec<Box<str>> = names.map(Into::into).collect();
        match names.iter().all(|name| is_token(name)) {
            true => Ok(Self(names)),
            false => Err(D::Error::custom("a profile has a name of letters, digits, - and _")),
        }
    }
}

fn is_token(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<str>, D::Error> {
    let text = Box::<str>::deserialize(deserializer)?;
    match is_token(&text) {
        true => Ok(text),
        false => Err(D::Error::custom("expected letters, digits, - and _")),
    }
}
