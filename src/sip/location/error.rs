//! Why a REGISTER is refused, and what it is answered.

use thiserror::Error;

use crate::sip::{HeaderError, UriError};

/// Why a REGISTER was refused; nothing has changed then.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// A header cannot be read.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// To names no SIP user or domain.
    #[error("To is no address of record")]
    AddressOfRecord,
    /// A contact is no URI.
    #[error("Contact is malformed: {0}")]
    Contact(UriError),
    /// The rank of a contact is no number from 0 to 1 with up to three decimals.
    #[error("the q of a contact is malformed")]
    Q,
    /// `*` goes with `Expires: 0` and no other contact.
    #[error("Contact * needs Expires: 0 and no other contact")]
    Wildcard,
    /// A text is longer than what is kept of one.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// One REGISTER makes one flow (RFC 5626 §6).
    #[error("a contact with reg-id goes with no other new contact")]
    ManyFlows,
    /// It requires what we do not support (RFC 3261 §8.2.2.3), or what its sender should support: Path (RFC 3327 §5.3).
    #[error("{0} is not supported")]
    Unsupported(String),
    /// A first hop without outbound support stands between a phone with it and us (RFC 5626 §6).
    #[error("the first hop lacks outbound support")]
    FirstHopLacksOutbound,
    /// Only flows are registered here (RFC 5626 §6).
    #[error("the contact makes no flow")]
    OutboundRequired,
    /// An older or repeated request of the same client.
    #[error("the request is older than what is registered")]
    OutOfOrder,
    /// Too short a time.
    #[error("a contact must be kept for {min} s at least")]
    TooBrief {
        /// The shortest, in seconds.
        min: u32,
    },
    /// The contact of an instance is no SIP URI (RFC 5627 §5.1).
    #[error("the contact of an instance is no SIP URI")]
    ContactIsNoSip,
    /// The contact of an instance is the address that it is registered for, or a GRUU of it (RFC 5627 §5.1).
    #[error("the contact leads back here")]
    LeadsBack,
    /// More contacts than one address of record may have.
    #[error("too many contacts")]
    TooManyContacts,
    /// More addresses of record than there is room for.
    #[error("too many addresses of record")]
    Full,
}

impl RegisterError {
    /// The reply (RFC 3261 §10.3).
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Header(_) | Self::AddressOfRecord => (400, "Bad Registration"),
            Self::Contact(_) | Self::Q => (400, "Bad Contact"),
            Self::Wildcard => (400, "Contact * Needs Expires 0"),
            Self::TooLong(_) => (400, "Contact Too Long"),
            Self::ManyFlows => (400, "One Flow At A Time"),
            Self::Unsupported(_) => (420, "Bad Extension"),
            Self::FirstHopLacksOutbound => (439, "First Hop Lacks Outbound Support"),
            Self::OutboundRequired => (421, "Extension Required"),
            Self::OutOfOrder => (500, "Registration Out Of Order"),
            Self::TooBrief { .. } => (423, "Interval Too Brief"),
            Self::ContactIsNoSip => (403, "Contact Is No SIP URI"),
            Self::LeadsBack => (403, "Contact Leads Back"),
            Self::TooManyContacts => (403, "Too Many Contacts"),
            Self::Full => (503, "Too Many Registrations"),
        }
    }

    /// The header that goes with the reply.
    pub fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::TooBrief { min } => Some(("Min-Expires", min.to_string())),
            Self::Unsupported(options) => Some(("Unsupported", options.clone())),
            Self::OutboundRequired => Some(("Require", "outbound".to_owned())),
            _ => None,
        }
    }
}
