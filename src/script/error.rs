//! Why a function could not do what the route asked, and the reply that follows.

use thiserror::Error;

use super::export::{Kind, Kinds};
use crate::sip::proxy::ForwardError;
use crate::sip::{EditError, HeaderError, UriError};
use crate::store::StoreError;

/// Why a script function could not do its work.
///
/// Grouped by whose fault it is, because that decides the reply.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteError {
    /// The sender broke the protocol in a header.
    #[error("bad request: {0}")]
    Header(#[from] HeaderError),
    /// The sender wrote a URI that cannot be read.
    #[error("bad request: {part}: {source}")]
    Uri {
        /// Where it stands: `Request-URI`, `From` …
        part: &'static str,
        /// What is wrong with it.
        source: UriError,
    },
    /// The request has used up its hops (RFC 3261 §16.3 step 3).
    #[error("no hops left")]
    TooManyHops,
    /// The request came back unchanged (RFC 5393 §4.2).
    #[error("the request has come in a loop")]
    Loop,
    /// The request demands of proxies what we do not understand: these option tags (RFC 3261 §16.3 step 5).
    #[error("proxies must understand {0}")]
    Extension(String),
    /// The request may not be forked any further (RFC 5393 §5.3).
    #[error("no breadth left")]
    Breadth,
    /// The caller has cancelled the request.
    #[error("the caller has cancelled")]
    Cancelled,
    /// The request has run for longer than a script may.
    #[error("the script took longer than its deadline")]
    Deadline,

    /// The script called a function where it has no meaning.
    #[error("{function}() may not be called from {found}; allowed in {allowed}")]
    WrongRoute {
        /// The function.
        function: &'static str,
        /// Where it was called.
        found: Kind,
        /// Where it has a meaning.
        allowed: Kinds,
    },
    /// The script passed a value outside the documented range.
    #[error("{function}(): {argument} must be {range}, not {found}")]
    OutOfRange {
        /// The function.
        function: &'static str,
        /// The parameter's name.
        argument: &'static str,
        /// What it takes.
        range: &'static str,
        /// What it got.
        found: i64,
    },
    /// The script passed a text that cannot be used.
    #[error("{argument}: {reason}")]
    BadArgument {
        /// The parameter's name, or what it is.
        argument: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The script wrote what a message cannot carry.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The script asked for a transaction twice, or for a reply without or after one.
    #[error("{function}(): {reason}")]
    State {
        /// The function.
        function: &'static str,
        /// What stands in the way.
        reason: &'static str,
    },

    /// There is no way to the next hop; the status says why.
    #[error("cannot reach {destination}: {reason}")]
    Unreachable {
        /// The reply that tells it.
        status: u16,
        /// Where the message should have gone.
        destination: String,
        /// What stands in the way.
        reason: String,
    },
    /// A limit of ours is reached.
    #[error("{0} is at its limit")]
    Overload(&'static str),
    /// The store did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration lacks what the function needs.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// This version cannot do it.
    #[error("{0} is not supported by this version")]
    Unsupported(&'static str),
}

impl From<ForwardError> for RouteError {
    fn from(error: ForwardError) -> Self {
        match error {
            ForwardError::Header(source) => Self::Header(source),
            ForwardError::TooManyHops => Self::TooManyHops,
            ForwardError::Edit(source) => Self::Edit(source),
        }
    }
}

impl RouteError {
    /// The reply that is sent when the script does not handle the error itself.
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Header(_) => (400, "Bad Request"),
            Self::Uri { .. } => (400, "Bad URI"),
            Self::TooManyHops => (483, "Too Many Hops"),
            Self::Loop => (482, "Loop Detected"),
            Self::Extension(_) => (420, "Bad Extension"),
            Self::Breadth => (440, "Max-Breadth Exceeded"),
            Self::Cancelled => (487, "Request Terminated"),
            Self::Unreachable { status, .. } => (*status, crate::sip::standard_reason(*status)),
            Self::Store(error) if error.retry_after().is_some() => (503, "Service Unavailable"),
            Self::Overload(_) => (503, "Service Unavailable"),
            Self::Unsupported(_) => (501, "Not Implemented"),
            Self::Deadline
            | Self::WrongRoute { .. }
            | Self::OutOfRange { .. }
            | Self::BadArgument { .. }
            | Self::Edit(_)
            | Self::State { .. }
            | Self::Store(_)
            | Self::NotConfigured(_) => (500, "Server Internal Error"),
        }
    }

    /// Whether the sender alone has caused it, who may do so as often as it likes.
    pub fn is_senders_fault(&self) -> bool {
        use RouteError::{Breadth, Extension, Header, Loop, TooManyHops, Uri};
        matches!(self, Header(_) | Uri { .. } | TooManyHops | Loop | Extension(_) | Breadth)
    }

    /// A header that the reply must carry: what is not supported, or when to ask again (RFC 3261 §20.33).
    pub fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Extension(options) => Some(("Unsupported", options.clone())),
            Self::Store(error) => {
                error.retry_after().map(|wait| ("Retry-After", wait.as_secs().to_string()))
            }
            _ => None,
        }
    }

    /// The whole reply.
    pub fn refusal(&self) -> Refusal {
        let (status, reason) = self.status();
        Refusal { status, reason, header: self.header() }
    }
}

/// The reply that an error becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// Its words.
    pub reason: &'static str,
    /// A header that says more.
    pub header: Option<(&'static str, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_slow_is_asked_again_and_a_wrong_statement_is_not() {
        let slow = RouteError::from(StoreError::Timeout);
        assert_eq!((slow.status().0, slow.header().unwrap().0), (503, "Retry-After"));
        let wrong = RouteError::from(StoreError::Refused("no such table: x".to_owned()));
        assert_eq!((wrong.status().0, wrong.header()), (500, None));
    }
}
