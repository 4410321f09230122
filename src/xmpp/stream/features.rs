//! What a server offers on a stream (RFC 6120 §4.3).

use super::sasl::Offer;
use crate::xmpp::ns;
use crate::xmpp::stanza::Stanza;

/// `<stream:features/>`, as far as a client uses them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// TLS may be begun.
    pub has_tls: bool,
    /// The server goes on only with TLS.
    pub needs_tls: bool,
    /// How one may authenticate.
    pub sasl: Option<Offer>,
    /// One may authenticate as before SASL (XEP-0078).
    pub has_legacy_auth: bool,
    /// A resource can be bound.
    pub has_bind: bool,
    /// A session must be asked for (RFC 3921 §3).
    pub needs_session: bool,
    /// Acknowledgements and resumption (XEP-0198).
    pub has_sm: bool,
    /// The server wants to know whether anybody looks (XEP-0352).
    pub has_csi: bool,
}

impl Features {
    /// Reads the element; `None` when it is another one.
    pub fn read(stanza: &Stanza) -> Option<Self> {
        if stanza.name() != "features" || stanza.namespace() != ns::STREAM {
            return None;
        }
        let has = |name, namespace| stanza.payload(name, namespace).is_some();
        let tls = stanza.payload("starttls", ns::TLS);
        let session = stanza.payload("session", ns::SESSION);
        Some(Self {
            has_tls: tls.is_some(),
            needs_tls: tls
                .is_some_and(|tls| tls.tree().root().child("required", ns::TLS).is_some()),
            sasl: offer(stanza),
            has_legacy_auth: has("auth", ns::LEGACY_AUTH_FEATURE),
            has_bind: has("bind", ns::BIND),
            needs_session: session.is_some_and(|session| {
                session.tree().root().child("optional", ns::SESSION).is_none()
            }),
            has_sm: has("sm", ns::SM),
            has_csi: has("csi", ns::CSI),
        })
    }
}

fn offer(stanza: &Stanza) -> Option<Offer> {
    let tree = stanza.payload("mechanisms", ns::SASL)?.tree();
    let names = tree.root().children().filter(|child| child.name() == "mechanism");
    let mechanisms = names.map(|name| name.text().trim().to_owned()).collect();
    let bindings = stanza.payload("sasl-channel-binding", ns::CHANNEL_BINDING).map(|payload| {
        let tree = payload.tree();
        let kinds = tree.root().children().filter_map(|child| child.attribute("type"));
        kinds.map(str::to_owned).collect()
    });
    Some(Offer { mechanisms, bindings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::ns::ContentNamespace::Client;

    fn read(inside: &str) -> Features {
        let text = format!(
            "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>{inside}\
             </stream:features>"
        );
        Features::read(&Stanza::parse(&text, Client).unwrap()).unwrap()
    }

    #[test]
    fn what_is_offered_before_and_after_authentication_is_read() {
        let before = read(
            "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
             <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>\
             <mechanism> SCRAM-SHA-1 </mechanism></mechanisms><sasl-channel-binding \
             xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/>\
             </sasl-channel-binding>",
        );
        assert!(before.has_tls && before.needs_tls && !before.has_bind);
        let offer = before.sasl.unwrap();
        assert_eq!(offer.mechanisms, ["PLAIN", "SCRAM-SHA-1"]);
        assert_eq!(offer.bindings.unwrap(), ["tls-exporter"]);
        let after = read(
            "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>\
             <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>\
             <csi xmlns='urn:xmpp:csi:0'/>",
        );
        assert!(after.has_bind && after.has_sm && after.has_csi);
        assert!(!after.needs_session && after.sasl.is_none());
        assert!(read("<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>").needs_session);
    }

    #[test]
    fn other_elements_are_no_features() {
        assert_eq!(Features::read(&Stanza::parse("<features/>", Client).unwrap()), None);
        assert_eq!(read(""), Features::default());
    }
}
