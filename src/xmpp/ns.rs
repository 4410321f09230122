//! Namespace names, and the namespaces that a stream declares for everything on it.

/// Streams themselves: header, features, errors.
pub const STREAM: &str = "http://etherx.jabber.org/streams";
/// Conditions of stream errors.
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Conditions of stanza errors.
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// The `xml` prefix, bound in every document.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The `xmlns` prefix, which no document may bind.
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
/// XEP-0030 identities and features.
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// XEP-0030 items.
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// XEP-0199 pings.
pub const PING: &str = "urn:xmpp:ping";
/// XEP-0092 software version.
pub const VERSION: &str = "jabber:iq:version";
/// XEP-0202 entity time.
pub const TIME: &str = "urn:xmpp:time";
/// XEP-0012 last activity.
pub const LAST: &str = "jabber:iq:last";

/// RFC 6120 §5: negotiation of TLS.
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// RFC 6120 §6: authentication.
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// XEP-0440: channel bindings that a server knows.
pub const CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";
/// RFC 6120 §7: resource binding.
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// RFC 3921 §3: sessions, which servers of today need no more.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// XEP-0198 acknowledgements and resumption.
pub const SM: &str = "urn:xmpp:sm:3";
/// XEP-0352: whether anybody looks.
pub const CSI: &str = "urn:xmpp:csi:0";
/// XEP-0280 copies for the other resources.
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// XEP-0297, how a stanza stands in another.
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// RFC 6121 §2.
pub const ROSTER: &str = "jabber:iq:roster";
/// XEP-0078, the authentication of before SASL.
pub const LEGACY_AUTH: &str = "jabber:iq:auth";
/// XEP-0078 as a feature of a stream.
pub const LEGACY_AUTH_FEATURE: &str = "http://jabber.org/features/iq-auth";
/// XEP-0045 rooms.
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// XEP-0045 §16.5: what rooms tell occupants.
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";

/// XEP-0045 §16.6: what owners tell rooms.
pub const MUC_OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// XEP-0004 forms.
pub const DATA_FORMS: &str = "jabber:x:data";

/// The content namespace of a stream: what its stanzas are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentNamespace {
    /// `jabber:client`
    Client,
    /// `jabber:server`
    Server,
    /// `jabber:component:accept`, XEP-0114
    Component,
}

impl ContentNamespace {
    /// Every content namespace that a stream of ours can have.
    pub const ALL: [Self; 3] = [Self::Client, Self::Server, Self::Component];

    /// The namespace name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "jabber:client",
            Self::Server => "jabber:server",
            Self::Component => "jabber:component:accept",
        }
    }

    /// The content namespace with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|namespace| namespace.name() == name)
    }
}

/// The declarations of a stream header, in scope for every element on the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    content: ContentNamespace,
    prefixes: Vec<(Box<str>, Box<str>)>,
}

impl Scope {
    /// The scope of a header that declares `content` as default and `stream:` as usual.
    pub fn new(content: ContentNamespace) -> Self {
        Self::with_prefixes(content, [("stream".into(), STREAM.into())])
    }

    /// A scope with the default namespace `content` and these prefixes.
    pub fn with_prefixes(
        content: ContentNamespace,
        prefixes: impl IntoIterator<Item = (Box<str>, Box<str>)>,
    ) -> Self {
        Self { content, prefixes: prefixes.into_iter().collect() }
    }

    /// The content namespace, which is the default namespace of the stream.
    pub fn content(&self) -> ContentNamespace {
        self.content
    }

    /// Every declared prefix with its namespace.
    pub fn prefixes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.prefixes.iter().map(|(prefix, name)| (&**prefix, &**name))
    }

    /// The namespace that `prefix` is bound to.
    pub fn resolve(&self, prefix: &str) -> Option<&str> {
        self.prefixes().find(|(declared, _)| *declared == prefix).map(|(_, name)| name)
    }
}
