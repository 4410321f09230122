//! What an operator may choose about messages between the networks.

use super::condition::ErrorMap;
use super::dialect::Addressing;
use super::notice::Wording;
use crate::xmpp::Jid;

/// The `type` of a stanza made from a MESSAGE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImType {
    /// No `type` attribute, which means `normal`: RFC 7572 §5 demands it.
    #[default]
    Normal,
    /// `chat`, as the legacy gateways send; most clients show it better.
    Chat,
}

/// What becomes of a stanza whose MESSAGE would be longer than 1300 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LargeMessages {
    /// Sent over TCP or TLS only.
    ///
    /// RFC 3428 §8 allows it when no hop is congestion-unsafe; the operator who keeps this default says so
    /// of the network behind the next hop.
    #[default]
    Tcp,
    /// Returned with `policy-violation` (RFC 7572 §6).
    Refuse,
}

/// The settings of the message gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// How addresses are written.
    pub addressing: Addressing,
    /// The XMPP domains that are ours. A stanza leaves only when its `from` is in one of them, since a server
    /// closes the stream of a component that speaks for others.
    pub domains: Vec<String>,
    /// The `type` of stanzas. Default `normal`.
    pub im_type: ImType,
    /// Whether XHTML-IM goes to SIP as text/html; else its plain text does. Default false, since few phones
    /// read HTML.
    pub html: bool,
    /// Whether chat states go to SIP as isComposing documents (RFC 3994). Default false, since phones that do not
    /// know them show them as text. From SIP they are always taken.
    pub chat_states: bool,
    /// Whether XMPP users' devices are asked to confirm every message (XEP-0184). Those of SIP users who ask for it are
    /// confirmed anyway. Default false.
    pub receipts: bool,
    /// Whether SIP users' phones are asked to confirm messages whose sender wants that, by message/cpim (RFC 5438). Default
    /// false, since phones that do not know it show it as text: a 200 confirms a message, then.
    pub imdn: bool,
    /// What becomes of long messages toward SIP. Default `Tcp`.
    pub large_messages: LargeMessages,
    /// The longest stanza in bytes, 10000 to 262144. A MESSAGE that would need more is answered 413. Default
    /// 262144, what our own streams accept.
    pub max_stanza: usize,
    /// Which table turns SIP codes into conditions. Default RFC 7247.
    pub error_map: ErrorMap,
    /// The texts of notices to SIP users.
    pub wording: Wording,
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            addressing: Addressing::default(),
            domains: Vec::new(),
            im_type: ImType::default(),
            html: false,
            chat_states: false,
            receipts: false,
            imdn: false,
            large_messages: LargeMessages::default(),
            max_stanza: 256 * 1024,
            error_map: ErrorMap::default(),
            wording: Wording::default(),
        }
    }
}

impl Mapping {
    /// Whether a stanza may leave with this `from`.
    pub fn is_ours(&self, jid: &Jid) -> bool {
        let domain = jid.domain().as_str();
        self.domains.iter().any(|ours| ours.eq_ignore_ascii_case(domain))
    }
}
