//! `[modules.registrar]`

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

use crate::config::value::ranged;
use crate::sip::location::{AddressRules, OutboundMode, PathMode, Rules};

/// `[modules.registrar]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a contact is remembered when the REGISTER does not say, in seconds.
    ///
    /// 1 to 86400. Default 3600, RFC 3261 §10.2.1.1.
    #[serde(deserialize_with = "ranged::<_, _, 1, 86_400>")]
    pub default_expires: u32,
    /// The shortest time that may be asked for, in seconds; less is answered 423. Above 3600 it is as 3600.
    ///
    /// 0 to 86400; 0 allows all. Default 60.
    #[serde(deserialize_with = "ranged::<_, _, 0, 86_400>")]
    pub min_expires: u32,
    /// The longest that a contact is remembered, in seconds; a longer wish is cut to this.
    ///
    /// 1 to 86400. Default 3600.
    #[serde(deserialize_with = "ranged::<_, _, 1, 86_400>")]
    pub max_expires: u32,
    /// The rank of a contact that does not say, in thousandths.
    ///
    /// 0 to 1000. Default 1000, the q that RFC 3261 §10.2.1.2 has in mind for one contact.
    #[serde(deserialize_with = "ranged::<_, _, 0, 1000>")]
    pub default_q: u16,
    /// The most contacts of one address of record; a REGISTER that needs more is answered 403.
    ///
    /// 1 to 100. Default 10, more phones than most people have.
    #[serde(deserialize_with = "ranged::<_, _, 1, 100>")]
    pub max_contacts: u8,
    /// The most addresses of record; a REGISTER that needs more is answered 503.
    ///
    /// 1 to 10000000. Default 1000000, about 1 GB of memory.
    #[serde(deserialize_with = "ranged::<_, _, 1, 10_000_000>")]
    pub max_addresses: u32,
    /// The longest URI of a contact, in bytes; a longer one is answered 400.
    ///
    /// 64 to 512. Default 512, what the column holds.
    #[serde(deserialize_with = "ranged::<_, _, 64, 512>")]
    pub contact_max_size: u16,
    /// Whether `Alice` and `alice` are two users.
    ///
    /// Default false: people do not tell them apart.
    pub case_sensitive: bool,
    /// Whether the domain tells users apart.
    ///
    /// Default true: `alice` of one domain is nobody of another.
    pub use_domain: bool,
    /// Whether `lookup` gives every contact, or the best one.
    ///
    /// Default true.
    pub append_branches: bool,
    /// Whether `lookup` leaves out contacts that do not list the method of the request.
    ///
    /// Default false: some phones list less than they take.
    pub method_filtering: bool,
    /// Whether the Path of a REGISTER is kept (RFC 3327).
    ///
    /// Default true.
    pub use_path: bool,
    /// What becomes of a Path whose sender does not say `Supported: path`.
    ///
    /// `"off"` or 0: it is kept and never told; `"lazy"` or 1: it is kept, and told to those who support it; `"strict"` or 2:
    /// the REGISTER is answered 420. Default `"strict"`.
    #[serde(deserialize_with = "path_mode")]
    pub path_mode: PathMode,
    /// Whether phones get an address for each instance (GRUU, RFC 5627).
    ///
    /// Default true.
    pub gruu_enabled: bool,
    /// Whether contacts with `reg-id` make flows (RFC 5626).
    ///
    /// `"off"` or 0; `"supported"` or 1; `"required"` or 2: other contacts are answered 421. Default `"supported"`.
    #[serde(deserialize_with = "outbound_mode")]
    pub outbound_mode: OutboundMode,
    /// After how many seconds of silence a flow is dead, told in Flow-Timer to those who make one directly.
    ///
    /// 0 to 3600; 0 says nothing. Default 0.
    #[serde(deserialize_with = "ranged::<_, _, 0, 3600>")]
    pub flow_timer: u32,
    /// What goes to the table `location` of the store.
    ///
    /// `"none"` or 0: nothing; `"write-through"` or 1: each change, as soon as the store takes it; `"write-back"` or 2: what
    /// has changed, every `timer_interval`. A REGISTER waits for neither. Default `"write-through"`.
    #[serde(deserialize_with = "db_mode")]
    pub db_mode: DbMode,
    /// How often what has changed is written with `db_mode = "write-back"`, in seconds.
    ///
    /// 1 to 3600. Default 60.
    #[serde(deserialize_with = "ranged::<_, _, 1, 3600>")]
    pub timer_interval: u32,
}

/// What goes to the store, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DbMode {
    /// Nothing.
    None,
    /// Each change at once.
    WriteThrough,
    /// From time to time.
    WriteBack,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default_expires: 3600,
            min_expires: 60,
            max_expires: 3600,
            default_q: 1000,
            max_contacts: 10,
            max_addresses: 1_000_000,
            contact_max_size: 512,
            case_sensitive: false,
            use_domain: true,
            append_branches: true,
            method_filtering: false,
            use_path: true,
            path_mode: PathMode::Strict,
            gruu_enabled: true,
            outbound_mode: OutboundMode::Supported,
            flow_timer: 0,
            db_mode: DbMode::WriteThrough,
            timer_interval: 60,
        }
    }
}

impl Config {
    /// What may be registered.
    pub fn rules(&self) -> Rules {
        Rules {
            address: AddressRules {
                is_case_sensitive: self.case_sensitive,
                uses_domain: self.use_domain,
            },
            default_expires: self.default_expires,
            min_expires: self.min_expires,
            max_expires: self.max_expires,
            default_q: self.default_q,
            max_contacts: usize::from(self.max_contacts),
            max_addresses: self.max_addresses as usize,
            max_contact_length: usize::from(self.contact_max_size),
            uses_path: self.use_path,
            path_mode: self.path_mode,
            makes_gruus: self.gruu_enabled,
            outbound: self.outbound_mode,
            flow_timer: self.flow_timer,
        }
    }
}

/// The words of a parameter, in the order of their numbers.
type Words<T> = [(&'static str, T); 3];

const PATH_MODES: Words<PathMode> =
    [("off", PathMode::Off), ("lazy", PathMode::Lazy), ("strict", PathMode::Strict)];

const OUTBOUND_MODES: Words<OutboundMode> = [
    ("off", OutboundMode::Off),
    ("supported", OutboundMode::Supported),
    ("required", OutboundMode::Required),
];

const DB_MODES: Words<DbMode> = [
    ("none", DbMode::None),
    ("write-through", DbMode::WriteThrough),
    ("write-back", DbMode::WriteBack),
];

fn path_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathMode, D::Error> {
    deserializer.deserialize_any(Choice(PATH_MODES))
}

fn outbound_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OutboundMode, D::Error> {
    deserializer.deserialize_any(Choice(OUTBOUND_MODES))
}

fn db_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DbMode, D::Error> {
    deserializer.deserialize_any(Choice(DB_MODES))
}

/// Reads a word, or its number.
struct Choice<T: 'static>(Words<T>);

impl<T: Copy> Visitor<'_> for Choice<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c] = &self.0;
        write!(f, "\"{}\", \"{}\", \"{}\" or their numbers 0, 1 and 2", a.0, b.0, c.0)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<T, E> {
        let known = self.0.iter().find(|(known, _)| *known == word);
        known.map(|(_, value)| *value).ok_or_else(|| E::custom(Wrong(&self)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let known = usize::try_from(number).ok().and_then(|number| self.0.get(number));
        known.map(|(_, value)| *value).ok_or_else(|| E::custom(Wrong(&self)))
    }
}

struct Wrong<'a, T: 'static>(&'a Choice<T>);

impl<T: Copy> fmt::Display for Wrong<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected ")?;
        self.0.expecting(f)
    }
}
