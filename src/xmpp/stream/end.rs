//! How a stream ends: the errors of either side, and what else may happen.

use thiserror::Error;

use super::header::HeaderError;
use crate::xmpp::condition::StreamCondition;
use crate::xmpp::framer::FrameError;
use crate::xmpp::gate::Malformed;
use crate::xmpp::ns;
use crate::xmpp::stanza::Stanza;
use crate::xmpp::writer::Writer;

/// The error that a peer closed its stream with (RFC 6120 §4.9).
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}{}", condition.name(), text.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
pub struct StreamError {
    /// The defined condition.
    pub condition: StreamCondition,
    /// The description for people.
    pub text: Option<String>,
}

/// Why a stream is over.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer's bytes cannot be cut into elements.
    #[error("peer broke the stream: {0}")]
    Frame(#[from] FrameError),
    /// One element of the peer is not well-formed.
    #[error("peer sent an element that is not well-formed: {0}")]
    Malformed(#[from] Malformed),
    /// The peer's stream header cannot be accepted.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The peer did not keep to the protocol.
    #[error("peer misbehaved: {0}")]
    Protocol(&'static str),
    /// The peer reported an error.
    #[error("peer reported {0}")]
    StreamError(StreamError),
    /// The peer closed its stream.
    #[error("peer closed the stream")]
    Peer,
    /// The connection is gone.
    #[error("connection lost")]
    ConnectionLost,
    /// The peer did not answer in time.
    #[error("no {0} in time")]
    Timeout(&'static str),
    /// We closed the stream.
    #[error("closed by us")]
    Local,
}

impl CloseReason {
    /// The condition of the stream error that was sent or received, if there was one.
    pub fn condition(&self) -> Option<StreamCondition> {
        match self {
            Self::Frame(error) => Some(error.condition()),
            Self::Malformed(error) => Some(error.condition()),
            Self::Header(error) => Some(error.condition()),
            Self::Protocol(_) => Some(StreamCondition::UndefinedCondition),
            Self::StreamError(error) => Some(error.condition),
            Self::Timeout(_) => Some(StreamCondition::ConnectionTimeout),
            Self::Peer | Self::ConnectionLost | Self::Local => None,
        }
    }
}

/// The stream is not ready: nothing was sent.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the stream is not ready")]
pub struct NotReady;

impl StreamError {
    /// Reads a `<stream:error/>`.
    pub fn read(stanza: &Stanza) -> Self {
        let in_errors = |name: &str| stanza.payload(name, ns::STREAM_ERRORS);
        // COMPAT(jabberd, 1.4): the description is the element's own text.
        let legacy_text = Some(stanza.tree().root().text()).filter(|text| !text.trim().is_empty());
        let condition = stanza
            .payloads()
            .filter(|payload| payload.namespace() == ns::STREAM_ERRORS)
            .find_map(|payload| StreamCondition::from_name(payload.name()));
        Self {
            condition: condition.unwrap_or(StreamCondition::UndefinedCondition),
            text: in_errors("text").map(|text| text.text().into_owned()).or(legacy_text),
        }
    }
}

/// Writes a stream error and closes the stream (RFC 6120 §4.9.1).
pub fn write_stream_error(out: &mut Vec<u8>, condition: StreamCondition) {
    Writer::new(out).start("stream:error").empty(condition.name(), ns::STREAM_ERRORS).finish();
    out.extend_from_slice(CLOSING_TAG);
}

/// Conditions that the operator must mend, when they come before the stream is ready.
///
/// `conflict` is none: the server may not yet have noticed that our last connection is gone.
pub(super) fn is_refusal(condition: StreamCondition) -> bool {
    use StreamCondition::{
        HostGone, HostUnknown, ImproperAddressing, InvalidFrom, InvalidNamespace, NotAuthorized,
        UnsupportedVersion,
    };
    matches!(
        condition,
        HostGone
            | HostUnknown
            | ImproperAddressing
            | InvalidFrom
            | InvalidNamespace
            | NotAuthorized
            | UnsupportedVersion
    )
}

pub(super) const CLOSING_TAG: &[u8] = b"</stream:stream>";
