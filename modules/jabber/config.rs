//! The parameters of the `jabber` module: SER's names and meanings, and what SER did not have.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};
use sha2::{Digest, Sha256};

use crate::config::Secret;
use crate::config::value::{bounded, ranged, seconds};
use crate::gateway::{AccountSettings, ImType, Mapping, Ser, Text};
use crate::sip::Uri;
use crate::store::seal::Seal;

/// SER's resource.
const SER_RESOURCE: &str = "serXjab";

/// `[modules.jabber]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `jdomain`: the SIP domain of the Jabber network, `jabber.example` or with its delimiter `jabber.example=*`.
    ///
    /// Without it the module is off.
    pub jdomain: String,
    /// `aliases`: the domains of transports behind the server, `N;alias1=<delimiter>;alias2;`. Default none.
    pub aliases: String,
    /// `jaddress`: host name or address of the Jabber server. Default `127.0.0.1`.
    pub jaddress: String,
    /// `jport`: its port for clients. Default 5222.
    pub jport: u16,
    /// `srv`: look for the server with SRV records of `domain`; `jaddress` and `jport` are for when there are none.
    ///
    /// Default false.
    pub srv: bool,
    /// `domain`: the domain of accounts whose `jab_id` has none. Default `jaddress`, as in SER.
    pub domain: Option<String>,
    /// `tls`: `required`, `where_offered` (STARTTLS), `direct` (XEP-0368) or `off`.
    ///
    /// Default `required`; `where_offered` with `profile = "ser"`.
    pub tls: Option<TlsName>,
    /// `ca`: the authorities of the server's certificate, PEM. Default those that the system trusts.
    pub ca: Option<PathBuf>,
    /// `verify_server`: whether the certificate must be of the account's domain. Default true.
    pub verify_server: bool,
    /// `legacy_auth`: servers that know no SASL get `jabber:iq:auth` (XEP-0078). Default false.
    pub legacy_auth: bool,
    /// `profile`: `rfc`, or `ser` for the habits of SER's module: resource `serXjab`, success as soon as a message is taken,
    /// everybody may see the account's presence, TLS where it is offered. Default `rfc`.
    pub profile: Profile,
    /// `resource`: of every account. Default a word for each SIP user, so that two may share an account; `serXjab` with
    /// `profile = "ser"`.
    pub resource: Option<String>,
    /// `priority`: of every account's presence, −128 to 127. Default 9, so that messages come here.
    pub priority: i8,
    /// `workers`: with `max_jobs` the most accounts that may be open. Accounts are spread over all workers. Default 2.
    #[serde(deserialize_with = "bounded::<_, 1, 10_000>")]
    pub workers: usize,
    /// `max_jobs`: accounts for each of `workers`. Default 50,000.
    #[serde(deserialize_with = "bounded::<_, 1, 1_000_000>")]
    pub max_jobs: usize,
    /// `cache_time`: seconds that an account without traffic stays online; 0 for ever. Default 600.
    #[serde(deserialize_with = "seconds::<_, 0, 31_536_000>")]
    pub cache_time: Duration,
    /// `delay_time`: seconds that a message may wait for its transport, and any other order for the server. What is queued
    /// waits for the server in the spool. Default 90.
    #[serde(deserialize_with = "seconds::<_, 1, 86_400>")]
    pub delay_time: Duration,
    /// `sleep_time`: seconds between two looks at the rows of accounts that are online. Default 20.
    #[serde(deserialize_with = "seconds::<_, 1, 86_400>")]
    pub sleep_time: Duration,
    /// `proxy`: where every MESSAGE from Jabber goes whose recipient is not registered here, `host:port` or a SIP URI.
    #[serde(deserialize_with = "proxy")]
    pub proxy: Option<String>,
    /// `registrar`: whom the gateway's own texts come from. Default `jabber_gateway@127.0.0.1`.
    #[serde(deserialize_with = "registrar")]
    pub registrar: String,
    /// `reply`: what success of a function means: `queued` (the message is kept until its fate is known, any other order is
    /// taken), `handed_over` (the server has it) or `delivered` (the recipient's own device has it).
    ///
    /// Default `handed_over`; `queued` with `profile = "ser"`.
    pub reply: Option<Reply>,
    /// `approve`: whoever asks may see an account's presence. Default false; true with `profile = "ser"`.
    pub approve: Option<bool>,
    /// `carbons`: what comes to the user's other clients, and what they send, is seen on his phones (XEP-0280). Default true.
    pub carbons: bool,
    /// `always_online`: every account whose row counts is online from the start, and `cache_time` means nothing.
    ///
    /// Default false: the script says who is.
    pub always_online: bool,
    /// `logout_on_undeliverable`: an account goes offline when a message cannot be delivered to its user, as in SER.
    ///
    /// Default false.
    pub logout_on_undeliverable: bool,
    /// `queue`: orders of one account that may wait. Default 100.
    #[serde(deserialize_with = "bounded::<_, 1, 100_000>")]
    pub queue: usize,
    /// `max_rooms`: conferences that one user may be in. Default 12.
    #[serde(deserialize_with = "bounded::<_, 0, 1_000>")]
    pub max_rooms: usize,
    /// `ping_interval`: seconds of a server's silence after which it is probed; its answer may take as long, but no more than
    /// 30. Default 120.
    #[serde(deserialize_with = "seconds::<_, 1, 86_400>")]
    pub ping_interval: Duration,
    /// `max_stanza`: bytes of one stanza; above that, 413. 10,000 to 262,144. Default 262,144.
    #[serde(deserialize_with = "ranged::<_, _, 10_000, 262_144>")]
    pub max_stanza: usize,
    /// `seal_secret`: what passwords in the table are sealed with, at least 16 characters; `{ file = "path" }` or
    /// `{ env = "NAME" }` keep it elsewhere. Default none: they are plain, as in SER.
    #[serde(deserialize_with = "seal")]
    pub seal_secret: Option<Secret>,
    /// `[modules.jabber.texts]`: the texts to SIP users, by SER's names in small letters. Default SER's words.
    #[serde(deserialize_with = "texts")]
    pub texts: BTreeMap<Text, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            jdomain: String::new(),
            aliases: String::new(),
            jaddress: "127.0.0.1".to_owned(),
            jport: 5222,
            srv: false,
            domain: None,
            tls: None,
            ca: None,
            verify_server: true,
            legacy_auth: false,
            profile: Profile::Rfc,
            resource: None,
            priority: 9,
            workers: 2,
            max_jobs: 50_000,
            cache_time: Duration::from_secs(600),
            delay_time: Duration::from_secs(90),
            sleep_time: Duration::from_secs(20),
            proxy: None,
            registrar: "sip:jabber_gateway@127.0.0.1".to_owned(),
            reply: None,
            approve: None,
            carbons: true,
            always_online: false,
            logout_on_undeliverable: false,
            queue: 100,
            max_rooms: 12,
            ping_interval: Duration::from_secs(120),
            max_stanza: 262_144,
            seal_secret: None,
            texts: BTreeMap::new(),
        }
    }
}

/// Whose habits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// The standards'.
    Rfc,
    /// SER's.
    Ser,
}

/// How streams get TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsName {
    /// STARTTLS, or no stream.
    Required,
    /// STARTTLS where the server offers it.
    WhereOffered,
    /// From the first byte.
    Direct,
    /// Never.
    Off,
}

/// What success means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The order is taken.
    Queued,
    /// The server has it.
    HandedOver,
    /// The recipient's own device has it; when it does not say so in time, the server.
    Delivered,
}

impl Config {
    /// Is the module on?
    pub fn is_on(&self) -> bool {
        !self.jdomain.is_empty()
    }

    /// How addresses are written.
    pub fn ser(&self) -> Ser {
        Ser::parse(&self.jdomain, &self.aliases)
    }

    /// How accounts behave.
    pub fn settings(&self) -> AccountSettings {
        AccountSettings {
            ser: self.ser(),
            cache_time: if self.always_online { Duration::ZERO } else { self.cache_time },
            delay_time: self.delay_time,
            queue: self.queue,
            max_rooms: self.max_rooms,
            approves: self.approve.unwrap_or(self.profile == Profile::Ser),
            sent_copies: self.carbons,
        }
    }

    /// How messages are carried.
    pub fn mapping(&self) -> Mapping {
        Mapping {
            im_type: ImType::Chat,
            max_stanza: self.max_stanza,
            receipts: self.reply() == Reply::Delivered,
            ..Mapping::default()
        }
    }

    /// How streams get TLS.
    pub fn tls(&self) -> TlsName {
        self.tls.unwrap_or(match self.profile {
            Profile::Rfc => TlsName::Required,
            Profile::Ser => TlsName::WhereOffered,
        })
    }

    /// The resource of a SIP user's account: his own, so that two who share an account do not push each other out.
    pub fn resource(&self, sip_id: &str) -> String {
        match (&self.resource, self.profile) {
            (Some(resource), _) => resource.clone(),
            (None, Profile::Ser) => SER_RESOURCE.to_owned(),
            (None, Profile::Rfc) => {
                let hash = Sha256::digest(sip_id.as_bytes());
                format!("sipjab-{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2])
            }
        }
    }

    /// What success means.
    pub fn reply(&self) -> Reply {
        self.reply.unwrap_or(match self.profile {
            Profile::Rfc => Reply::HandedOver,
            Profile::Ser => Reply::Queued,
        })
    }

    /// The most accounts that may be open.
    pub fn capacity(&self) -> usize {
        self.workers * self.max_jobs
    }

    /// Local part and domain of an account.
    pub fn account<'c>(&'c self, jab_id: &'c str) -> (&'c str, &'c str) {
        let own = self.domain.as_deref().unwrap_or(&self.jaddress);
        jab_id.split_once('@').unwrap_or((jab_id, own))
    }

    /// The words of a text; none when the operator wants nothing said.
    pub fn words(&self, text: Text) -> Option<&str> {
        let words = self.texts.get(&text).map_or(text.words(), String::as_str);
        Some(words).filter(|words| !words.is_empty())
    }

    /// What opens passwords.
    pub fn seal(&self) -> Option<Seal> {
        // Its length was looked at when it was read.
        self.seal_secret.as_ref().and_then(|secret| Seal::new(secret.expose()).ok())
    }
}

fn proxy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let written = String::deserialize(deserializer)?;
    sip_uri(&written).map(Some).ok_or_else(|| D::Error::custom("expected `host:port` or a SIP URI"))
}

fn registrar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let written = String::deserialize(deserializer)?;
    sip_uri(&written).ok_or_else(|| D::Error::custom("expected `user@host` or a SIP URI"))
}

/// SER adds the scheme where it is missing.
fn sip_uri(written: &str) -> Option<String> {
    let has_scheme = ["sip:", "sips:"].iter().any(|scheme| written.starts_with(scheme));
    let uri = if has_scheme { written.to_owned() } else { format!("sip:{written}") };
    Uri::parse(&uri).is_ok_and(|uri| uri.is_sip()).then_some(uri)
}

fn seal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let secret = Secret::deserialize(deserializer)?;
    Seal::new(secret.expose()).map_err(D::Error::custom)?;
    Ok(Some(secret))
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Text, String>, D::Error> {
    let written = BTreeMap::<String, String>::deserialize(deserializer)?;
    let text = |(name, words): (String, String)| {
        let text = Text::from_name(&name);
        let known = || Text::ALL.iter().map(|text| text.name()).collect::<Vec<_>>().join(", ");
        let unknown = || D::Error::custom(format!("there is no text `{name}`; texts: {}", known()));
        Ok((text.ok_or_else(unknown)?, words))
    };
    written.into_iter().map(text).collect()
}
