//! The parameters of the `msilo` module: Kamailio's names where the meaning is the same.

use serde::{Deserialize, Deserializer, de::Error};

use crate::config::value::ranged;
use crate::sip::Uri;
use crate::store::is_name;

/// `[modules.msilo]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `db_table`: the table. Default `silo`.
    #[serde(deserialize_with = "table")]
    pub db_table: String,
    /// `location`: the table of contacts that messages are delivered by. Default `location`.
    pub location: String,
    /// `expire_time`: how long a message is kept, in seconds; its own Expires may say less.
    ///
    /// 1 to 31536000. Default 259200, three days.
    #[serde(deserialize_with = "ranged::<_, _, 1, 31_536_000>")]
    pub expire_time: u32,
    /// `check_time`: how often messages are looked at that are too old, in seconds.
    ///
    /// 1 to 86400. Default 60.
    #[serde(deserialize_with = "ranged::<_, _, 1, 86_400>")]
    pub check_time: u32,
    /// `max_messages`: messages that one user may have waiting; 0 allows any number.
    ///
    /// 0 to 1000000. Default 0.
    #[serde(deserialize_with = "ranged::<_, _, 0, 1_000_000>")]
    pub max_messages: u32,
    /// `add_date`: a text begins with the time at which it was stored. Default true.
    pub add_date: bool,
    /// `from_address`: who tells the sender that his message waits, a SIP URI that may have `$rU` and its kind.
    ///
    /// Default none: nobody does.
    pub from_address: Option<String>,
    /// `offline_message`: what the sender is told, with pseudo-variables. Default none: nothing.
    pub offline_message: Option<String>,
    /// `content_type_hdr`: the Content-Type of that. Default `text/plain`.
    pub content_type_hdr: String,
    /// `contact_hdr`: the Contact of that, a whole value such as `<sip:$rU@sip.example>`. Default none, as RFC 3428 §4 has it.
    pub contact_hdr: Option<String>,
    /// `extra_hdrs`: more header lines of that, each ended by `\r\n`. Default none.
    pub extra_hdrs: Option<String>,
    /// `skip_notification_flag`: a message with this flag is stored without telling the sender.
    ///
    /// -1 to 31. Default -1: none has.
    #[serde(deserialize_with = "flag")]
    pub skip_notification_flag: i32,
    /// `outbound_proxy`: a SIP URI that takes every message that this module sends. Default none: they go to contacts.
    #[serde(deserialize_with = "sip_uri")]
    pub outbound_proxy: Option<String>,
    /// `snd_time_avp`: the variable that says when a message shall leave, `YYYYMMDDHHMMSS` in UTC: a reminder.
    ///
    /// Default none.
    pub snd_time_avp: Option<String>,
    /// `extra_hdrs_avp`: the variable that holds header lines to store with a message, each ended by `\r\n`.
    ///
    /// Default none.
    pub extra_hdrs_avp: Option<String>,
    /// `reminder`: whom reminders come from, a SIP URI. Default none: they stay.
    #[serde(deserialize_with = "sip_uri")]
    pub reminder: Option<String>,
    /// `send_time`: how often reminders are looked at, in seconds; 0 never.
    ///
    /// 0 to 86400. Default 0.
    #[serde(deserialize_with = "ranged::<_, _, 0, 86_400>")]
    pub send_time: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            db_table: "silo".to_owned(),
            location: "location".to_owned(),
            expire_time: 259_200,
            check_time: 60,
            max_messages: 0,
            add_date: true,
            from_address: None,
            offline_message: None,
            content_type_hdr: "text/plain".to_owned(),
            contact_hdr: None,
            extra_hdrs: None,
            skip_notification_flag: -1,
            outbound_proxy: None,
            snd_time_avp: None,
            extra_hdrs_avp: None,
            reminder: None,
            send_time: 0,
        }
    }
}

fn table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if is_name(&name) { Ok(name) } else { Err(D::Error::custom("expected the name of a table")) }
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    let flag = i32::deserialize(deserializer)?;
    match (-1..32).contains(&flag) {
        true => Ok(flag),
        false => Err(D::Error::custom("expected the number of a flag, 0 to 31, or -1")),
    }
}

fn sip_uri<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match Uri::parse(&text).is_ok_and(|uri| uri.is_sip()) {
        true => Ok(Some(text)),
        false => Err(D::Error::custom(format!("`{text}` is no SIP URI, like `sip:192.0.2.1`"))),
    }
}
