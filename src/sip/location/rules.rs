//! What may be registered, and how much of it.

use super::AddressRules;
use super::binding::BEST;

/// What becomes of a Path whose sender does not say that it supports one (RFC 3327 §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathMode {
    /// It is kept, and never told.
    Off,
    /// It is kept, and told to those who support it.
    Lazy,
    /// The REGISTER is refused with 420.
    Strict,
}

/// What becomes of flows (RFC 5626).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboundMode {
    /// `reg-id` means nothing.
    Off,
    /// A contact with `reg-id` makes a flow.
    Supported,
    /// A contact that makes no flow is refused with 421.
    Required,
}

/// What may be registered, and what a registration may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Which users are the same.
    pub address: AddressRules,
    /// Seconds for which a contact is kept that does not say.
    pub default_expires: u32,
    /// The fewest seconds that may be asked for; fewer are answered 423. Beyond 3600 it is as 3600.
    pub min_expires: u32,
    /// The most seconds; more are cut to this.
    pub max_expires: u32,
    /// The rank of a contact that does not say, in thousandths.
    pub default_q: u16,
    /// Contacts of one address of record.
    pub max_contacts: usize,
    /// Addresses of record.
    pub max_addresses: usize,
    /// Bytes of a contact's URI.
    pub max_contact_length: usize,
    /// Whether Path counts.
    pub uses_path: bool,
    /// What becomes of a Path whose sender may not support it.
    pub path_mode: PathMode,
    /// Whether instances get an address of their own (RFC 5627).
    pub makes_gruus: bool,
    /// What becomes of flows.
    pub outbound: OutboundMode,
    /// Seconds within which a flow must show life (RFC 5626 §4.4); 0 says nothing.
    pub flow_timer: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            address: AddressRules { is_case_sensitive: false, uses_domain: true },
            default_expires: 3600,
            min_expires: 60,
            max_expires: 3600,
            default_q: BEST,
            max_contacts: 10,
            max_addresses: 1_000_000,
            max_contact_length: 512,
            uses_path: true,
            path_mode: PathMode::Strict,
            makes_gruus: true,
            outbound: OutboundMode::Supported,
            flow_timer: 0,
        }
    }
}
