//! "Is typing": isComposing documents (RFC 3994) ⇄ chat states (XEP-0085).

use super::content::ContentError;
use crate::xmpp::Stanza;
use crate::xmpp::ns::ContentNamespace;

/// The media type of isComposing documents.
pub(super) const MEDIA_TYPE: (&str, &str) = ("application", "im-iscomposing+xml");

/// The Content-Type of isComposing documents.
pub(super) const CONTENT_TYPE: &str = "application/im-iscomposing+xml";

/// The namespace of XEP-0085.
pub(super) const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";

const IS_COMPOSING: &str = "urn:ietf:params:xml:ns:im-iscomposing";

/// What the other side is doing (RFC 3994 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Composing {
    /// Writing a message.
    Active,
    /// Not writing.
    Idle,
}

impl Composing {
    /// The state in an isComposing document; an unknown one is idle (RFC 3994 §3.4).
    pub(super) fn parse(document: &[u8]) -> Result<Self, ContentError> {
        let malformed = || ContentError::MalformedDocument { media_type: "im-iscomposing+xml" };
        let text = std::str::from_utf8(document).map_err(|_| malformed())?.trim();
        let root = match text.strip_prefix("<?xml") {
            Some(declared) => declared.split_once("?>").map_or("", |(_, root)| root.trim()),
            None => text,
        };
        let root = Stanza::parse(root, ContentNamespace::Client).map_err(|_| malformed())?;
        if root.name() != "isComposing" || root.namespace() != IS_COMPOSING {
            return Err(malformed());
        }
        let state = root.payload("state", IS_COMPOSING).ok_or_else(malformed)?;
        Ok(if state.text().trim() == "active" { Self::Active } else { Self::Idle })
    }

    /// The state in a stanza; `gone` and the absence of any are none (RFC 7573 §6).
    pub(super) fn read(stanza: &Stanza) -> Option<Self> {
        let state = stanza.payloads().find(|payload| payload.namespace() == CHAT_STATES)?;
        match state.name() {
            "composing" => Some(Self::Active),
            "active" | "inactive" | "paused" => Some(Self::Idle),
            _ => None,
        }
    }

    /// The element of XEP-0085 that says so.
    pub(super) fn chat_state(self) -> &'static str {
        match self {
            Self::Active => "composing",
            Self::Idle => "active",
        }
    }

    /// The isComposing document that says so.
    pub(super) fn document(self) -> &'static str {
        match self {
            Self::Active => {
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
                 <isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\">\
                 <state>active</state><contenttype>text/plain</contenttype></isComposing>\r\n"
            }
            Self::Idle => {
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
                 <isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\">\
                 <state>idle</state><contenttype>text/plain</contenttype></isComposing>\r\n"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for state in [Composing::Active, Composing::Idle] {
            assert_eq!(Composing::parse(state.document().as_bytes()), Ok(state));
        }
    }

    #[test]
    fn s3_4_an_unknown_state_is_idle_and_prefixes_are_followed() {
        let document = b"<c:isComposing xmlns:c='urn:ietf:params:xml:ns:im-iscomposing'>\
            <c:state>thinking</c:state></c:isComposing>";
        assert_eq!(Composing::parse(document), Ok(Composing::Idle));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for document in [
            "",
            "typing",
            "<isComposing/>",
            "<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'/>",
            "<!DOCTYPE x [<!ENTITY a 'b'>]><isComposing/>",
            "<?xml version='1.0'",
        ] {
            let error = Composing::parse(document.as_bytes()).unwrap_err();
            assert_eq!(error.status().0, 400, "{document}");
        }
    }
}
