//! Why a message cannot be carried, with the answer for either side.

use thiserror::Error;

use super::address::AddressError;
use super::content::ContentError;
use crate::xmpp::{Condition, StanzaError};

/// Why a message cannot be carried to the other network, sorted by blame.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// A header the mapping needs is missing or malformed.
    #[error("{header} is missing or malformed")]
    BadHeader {
        /// The header's name.
        header: &'static str,
    },
    /// A stanza without a usable `from` or `to`.
    #[error("{attribute} is missing or no JID")]
    BadAttribute {
        /// The attribute's name.
        attribute: &'static str,
    },
    /// The body cannot be read.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The destination has no counterpart.
    #[error("no such recipient")]
    Recipient(#[source] AddressError),
    /// The sender has no counterpart.
    #[error("the sender has no address there")]
    Sender(#[source] AddressError),
    /// More than the other network takes.
    #[error("the message has {size} bytes, {max} are allowed")]
    TooLarge {
        /// Its size once translated.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// A sender whose domain this gateway does not speak for.
    #[error("{domain} is not served here")]
    ForeignSender {
        /// The sender's domain in XMPP.
        domain: String,
    },
}

impl MessageError {
    /// The reply to the SIP sender.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Self::BadHeader { .. } | Self::BadAttribute { .. } => (400, "Bad Request"),
            Self::Content(error) => error.status(),
            Self::Recipient(error) | Self::Sender(error) => error.status(),
            Self::TooLarge { .. } => (413, "Request Entity Too Large"),
            Self::ForeignSender { .. } => (403, "Forbidden"),
        }
    }

    /// The condition for the XMPP sender.
    pub fn condition(&self) -> Condition {
        match self {
            Self::BadHeader { .. } => Condition::BadRequest,
            Self::BadAttribute { .. } => Condition::JidMalformed,
            Self::Content(error) => error.condition(),
            Self::Recipient(error) | Self::Sender(error) => error.condition(),
            Self::TooLarge { .. } => Condition::PolicyViolation,
            Self::ForeignSender { .. } => Condition::Forbidden,
        }
    }

    /// The header that goes with the reply, such as Accept with 415.
    pub fn header(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Content(error) => error.header(),
            _ => None,
        }
    }

    /// The error to return to the XMPP sender.
    pub fn stanza_error(&self) -> StanzaError {
        StanzaError::from(self.condition()).with_text(self.to_string())
    }
}
