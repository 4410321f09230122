//! The parameters of the `msilo` module: Kamailio's names and meanings.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

use crate::config::value::{bounded, seconds};
use crate::sip::Uri;

/// `[modules.msilo]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `expire_time`: seconds after which a stored message is forgotten. Default 259,200, three days.
    #[serde(deserialize_with = "seconds::<_, 1, 31_536_000>")]
    pub expire_time: Duration,
    /// `check_time`: seconds between two looks for expired messages. Default 60.
    #[serde(deserialize_with = "seconds::<_, 1, 86_400>")]
    pub check_time: Duration,
    /// `max_messages`: the most messages that are stored for one user; 0 for no limit. Default 0.
    #[serde(deserialize_with = "bounded::<_, 0, 1_000_000>")]
    pub max_messages: usize,
    /// `add_date`: a delivered message says when it was stored, in the header Date. Default true.
    pub add_date: bool,
    /// `from_address`: whom the sender is told by that his message waits, a SIP URI. Default none: he is not told.
    #[serde(deserialize_with = "sip_uri")]
    pub from_address: Option<String>,
    /// `offline_message`: what he is told. Default none: he is not told.
    pub offline_message: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            expire_time: Duration::from_secs(259_200),
            check_time: Duration::from_secs(60),
            max_messages: 0,
            add_date: true,
            from_address: None,
            offline_message: None,
        }
    }
}

fn sip_uri<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let uri = String::deserialize(deserializer)?;
    match Uri::parse(&uri).is_ok_and(|uri| uri.is_sip()) {
        true => Ok(Some(uri)),
        false => Err(D::Error::custom("expected a SIP URI")),
    }
}
