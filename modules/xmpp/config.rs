//! The parameters of the `xmpp` module: Kamailio's names where the meaning is the same.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

use crate::config::Secret;
use crate::config::value::{bounded, duration_to};
use crate::gateway::{
    Addressing, Dialect, ErrorMap, ImType, Kamailio, LargeMessages, Mapping, SipsPolicy, Wording,
};
use crate::sip::Uri;

/// `[modules.xmpp]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `backend`: how we are attached to XMPP. Without it the module is off.
    pub backend: Option<Backend>,
    /// `xmpp_host`: host name or address of the server that we are a component of.
    ///
    /// Default `127.0.0.1`, since the component protocol has no encryption of its own.
    pub xmpp_host: String,
    /// `xmpp_port`: its component port. Default 5347.
    pub xmpp_port: u16,
    /// `xmpp_srv`: look for the server with the SRV records of `_xmpp-component._tcp.` and `xmpp_host`.
    ///
    /// Default false. `xmpp_port` has no meaning then.
    pub xmpp_srv: bool,
    /// `xmpp_password`: the secret that the server knows us by.
    pub xmpp_password: Secret,
    /// `xmpp_domain`: the component's domain, in which every SIP user has an address.
    pub xmpp_domain: String,
    /// `dialect`: how addresses are written: `rfc` (RFC 7247, one to one), `kamailio` or `opensips`. Default `rfc`.
    pub dialect: DialectName,
    /// `profile`: `rfc`, or `legacy` for the habits of the old modules: type `chat`, and `pua_xmpp`'s error table.
    ///
    /// `im_type` and `error_map` say it one by one. Default `rfc`.
    pub profile: Profile,
    /// `domain_separator`: dialect `kamailio`: between a user and the home domain. Default `*`.
    #[serde(deserialize_with = "separator")]
    pub domain_separator: char,
    /// `gateway_domain`: dialect `kamailio`: the domain of XMPP users in SIP.
    pub gateway_domain: String,
    /// `gwmap`: dialect `kamailio`: pairs of domains, `sip.example=xmpp.example;both.example`.
    ///
    /// With any, addresses are one to one and nothing is encoded.
    pub gwmap: String,
    /// `sip_domain`: dialect `opensips`: the domain that SIP users have in XMPP.
    pub sip_domain: Option<String>,
    /// `outbound_proxy`: a SIP URI that takes every message from XMPP whose recipient is not registered here.
    ///
    /// Without it they go where RFC 3263 leads.
    #[serde(deserialize_with = "sip_uri")]
    pub outbound_proxy: Option<String>,
    /// `reply`: what success means: `queued` (202, as soon as the message is kept, `[spool]`), `handed_over` (200, once
    /// the recipient's server has taken it) or `delivered` (200, once the recipient's device has confirmed it; 202 when
    /// it does not in time). Default `handed_over`.
    pub reply: Reply,
    /// `im_type`: the `type` of stanzas, `normal` or `chat`. Default by `profile`.
    pub im_type: Option<ImTypeName>,
    /// `error_map`: `rfc7247` or `pua_xmpp`. Default by `profile`.
    pub error_map: Option<ErrorMapName>,
    /// `html`: carry XHTML-IM to SIP as text/html. Default false: few phones read it.
    pub html: bool,
    /// `chat_states`: carry chat states to SIP as isComposing documents (RFC 3994). Default false.
    pub chat_states: bool,
    /// `receipts`: ask XMPP users' devices to confirm every message (XEP-0184), not only those whose SIP sender asks for
    /// it (RFC 5438). Default false.
    pub receipts: bool,
    /// `imdn`: ask phones to confirm messages whose XMPP sender wants a receipt, by message/cpim. Default false: a 200
    /// confirms them, since most phones do not know message/cpim.
    pub imdn: bool,
    /// `large_messages`: a MESSAGE above 1300 bytes toward SIP leaves over `tcp` only, or is returned: `refuse`.
    ///
    /// Default `tcp`, RFC 3428 §8.
    pub large_messages: LargeMessagesName,
    /// `max_stanza`: bytes of one stanza toward XMPP; above that, 413.
    ///
    /// 10,000 to 262,144. Default 262,144.
    #[serde(deserialize_with = "bounded::<_, 10_000, 262_144>")]
    pub max_stanza: usize,
    /// `sips`: messages to `sips:` URIs: `refuse` (RFC 7247 §8) or `allow`. Default `refuse`.
    pub sips: SipsName,
    /// `tel_domain`: the XMPP domain of `tel:` numbers. Default none: they are refused.
    pub tel_domain: Option<String>,
    /// `undelivered`: the text to a SIP user whose message failed later; `{to}`, `{reason}` and `{text}` stand
    /// for the recipient, the reason and the beginning of the message.
    ///
    /// Default `Your message to {to} was not delivered: {reason}.` and the text below it.
    pub undelivered: String,
    /// `name`: what XMPP users see us called. Default `SIP gateway`.
    pub name: String,
    /// `queue`: stanzas that may wait for the stream or for the server's word; above that, 503.
    ///
    /// 1 to 1,000,000. Default 10,000.
    #[serde(deserialize_with = "bounded::<_, 1, 1_000_000>")]
    pub queue: usize,
    /// `queue_timeout`: how long a stanza may wait; then its sender is told.
    ///
    /// Up to 600s. Default 60s.
    #[serde(deserialize_with = "duration_to::<_, 600>")]
    pub queue_timeout: Duration,
    /// `ping_interval`: silence of the server after which it is probed. Default 60s.
    #[serde(deserialize_with = "duration_to::<_, 600>")]
    pub ping_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend: None,
            xmpp_host: "127.0.0.1".to_owned(),
            xmpp_port: 5347,
            xmpp_srv: false,
            xmpp_password: Secret::from(""),
            xmpp_domain: String::new(),
            dialect: DialectName::Rfc,
            profile: Profile::Rfc,
            domain_separator: '*',
            gateway_domain: String::new(),
            gwmap: String::new(),
            sip_domain: None,
            outbound_proxy: None,
            reply: Reply::HandedOver,
            im_type: None,
            error_map: None,
            html: false,
            chat_states: false,
            receipts: false,
            imdn: false,
            large_messages: LargeMessagesName::Tcp,
            max_stanza: 262_144,
            sips: SipsName::Refuse,
            tel_domain: None,
            undelivered: Wording::default().undelivered,
            name: "SIP gateway".to_owned(),
            queue: 10_000,
            queue_timeout: Duration::from_secs(60),
            ping_interval: Duration::from_secs(60),
        }
    }
}

macro_rules! choice {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $row:literal])* $variant:ident),* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[doc = $row])* $variant),* }
    };
}

choice! {
    /// How we are attached to XMPP.
    Backend {
        /// An external component of a server (XEP-0114).
        Component
    }
}
choice! {
    /// How addresses are written.
    DialectName {
        /// RFC 7247.
        Rfc,
        /// Kamailio's `xmpp` module.
        Kamailio,
        /// OpenSIPS's `xmpp` module.
        Opensips
    }
}
choice! {
    /// Whose habits are kept.
    Profile {
        /// The standards'.
        Rfc,
        /// The old modules'.
        Legacy
    }
}
choice! {
    /// What a message's success means.
    Reply {
        /// It waits for the stream.
        Queued,
        /// The recipient's server has taken it.
        HandedOver,
        /// The recipient's own device has it.
        Delivered
    }
}
choice! {
    /// The `type` of stanzas.
    ImTypeName {
        /// No `type`.
        Normal,
        /// `chat`.
        Chat
    }
}
choice! {
    /// Which table turns SIP codes into conditions.
    ErrorMapName {
        /// RFC 7247 §7.
        Rfc7247,
        /// Kamailio's `pua_xmpp`.
        PuaXmpp
    }
}
choice! {
    /// What becomes of long messages.
    LargeMessagesName {
        /// They leave over TCP.
        Tcp,
        /// They are returned.
        Refuse
    }
}
choice! {
    /// What becomes of messages to `sips:`.
    SipsName {
        /// They are refused.
        Refuse,
        /// They are carried as if they were to `sip:`.
        Allow
    }
}

impl Config {
    /// How messages are carried under these parameters.
    pub fn mapping(&self) -> Mapping {
        let is_legacy = self.profile == Profile::Legacy;
        let chat = self.im_type.map_or(is_legacy, |kind| kind == ImTypeName::Chat);
        let pua = self.error_map.map_or(is_legacy, |map| map == ErrorMapName::PuaXmpp);
        Mapping {
            addressing: Addressing {
                dialect: self.dialect(),
                sips: match self.sips {
                    SipsName::Refuse => SipsPolicy::Refuse,
                    SipsName::Allow => SipsPolicy::Allow,
                },
                tel_domain: self.tel_domain.clone(),
            },
            domains: vec![self.xmpp_domain.clone()],
            im_type: if chat { ImType::Chat } else { ImType::Normal },
            html: self.html,
            chat_states: self.chat_states,
            receipts: self.receipts || self.reply == Reply::Delivered,
            imdn: self.imdn,
            large_messages: match self.large_messages {
                LargeMessagesName::Tcp => LargeMessages::Tcp,
                LargeMessagesName::Refuse => LargeMessages::Refuse,
            },
            max_stanza: self.max_stanza,
            error_map: if pua { ErrorMap::PuaXmpp } else { ErrorMap::Rfc7247 },
            wording: Wording { undelivered: self.undelivered.clone() },
        }
    }

    fn dialect(&self) -> Dialect {
        let xmpp_domain = self.xmpp_domain.clone();
        match self.dialect {
            DialectName::Rfc => Dialect::Rfc,
            DialectName::Kamailio => Dialect::Kamailio(Kamailio {
                domain_separator: self.domain_separator,
                gateway_domain: self.gateway_domain.clone(),
                xmpp_domain,
                gwmap: Kamailio::gwmap(&self.gwmap),
            }),
            DialectName::Opensips => {
                Dialect::Opensips { xmpp_domain, sip_domain: self.sip_domain.clone() }
            }
        }
    }
}

fn separator<'de, D: Deserializer<'de>>(deserializer: D) -> Result<char, D::Error> {
    let text = String::deserialize(deserializer)?;
    // Kamailio takes the first character and ignores the rest.
    text.chars().next().ok_or_else(|| D::Error::custom("one character is needed, like `*`"))
}

fn sip_uri<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match Uri::parse(&text) {
        Ok(uri) if uri.is_sip() => Ok(Some(text)),
        _ => Err(D::Error::custom(format!("`{text}` is no SIP URI, like `sip:192.0.2.1:5060`"))),
    }
}
