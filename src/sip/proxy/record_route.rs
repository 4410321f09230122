//! The Record-Route values that keep us in the way of a dialog (RFC 3261 §16.6 step 4, RFC 5658).

use std::borrow::Cow;

use crate::sip::transport::Transport;
use crate::sip::{HeaderId, Message, Scheme, Uri, escape_param};

/// One side of ours: how peers there reach us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop<'a> {
    /// The transport there.
    pub transport: Transport,
    /// `host:port`; an IPv6 address in its brackets.
    pub sent_by: &'a str,
}

impl Hop<'_> {
    /// The URI of this side without angle brackets: what peers put into Route to come back.
    ///
    /// RFC 7118 §5.2: `transport=ws` is that of a WebSocket, and `sips` makes it one over TLS.
    pub fn uri(&self, user: Option<&str>, is_sips: bool) -> String {
        let scheme = if is_sips { "sips" } else { "sip" };
        let (user, at) = user.map_or(("", ""), |user| (user, "@"));
        let transport = match (self.transport, is_sips) {
            (Transport::Udp, _) | (Transport::Tcp | Transport::Tls, true) => "",
            (Transport::Tcp, false) => ";transport=tcp",
            (Transport::Tls, false) => ";transport=tls",
            (Transport::Ws | Transport::Wss, _) => ";transport=ws",
        };
        [scheme, ":", user, at, self.sent_by, transport].concat()
    }
}

/// What a script wants in Record-Route; the values depend on the way that the request takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRoute {
    /// Further parameters of the URI, each with its `;` in front.
    pub params: String,
    /// `host:port` of ours instead of those of the hops: the side that the request leaves by first.
    pub preset: Vec<String>,
    /// Two values when the request leaves by another transport or address than it came in by.
    pub is_double: bool,
    /// `ftag`, by which in-dialog requests tell their direction.
    pub has_from_tag: bool,
    /// `lr=on`, for peers that lose parameters without value.
    pub has_full_lr: bool,
}

impl Default for RecordRoute {
    fn default() -> Self {
        Self {
            params: String::new(),
            preset: Vec::new(),
            is_double: true,
            has_from_tag: true,
            has_full_lr: false,
        }
    }
}

impl RecordRoute {
    /// The values, topmost first, for a request that came in by one hop and leaves by another.
    ///
    /// Two, each with `r2=on`, let each side see the address that it can reach (RFC 5658 §4); the one of the
    /// side that the request goes to stands on top. They are `sips` when the request is (§16.6 step 4).
    pub fn values(&self, request: &Message, incoming: Hop<'_>, outgoing: Hop<'_>) -> Vec<String> {
        let is_sips = is_sips(request);
        let uris: Vec<String> = match &self.preset[..] {
            [] if !self.is_double || incoming == outgoing => vec![outgoing.uri(None, is_sips)],
            [] => vec![outgoing.uri(None, is_sips), incoming.uri(None, is_sips)],
            preset => {
                let scheme = if is_sips { "sips" } else { "sip" };
                preset.iter().map(|address| [scheme, ":", address].concat()).collect()
            }
        };
        let r2 = if uris.len() > 1 { ";r2=on" } else { "" };
        let lr = if self.has_full_lr { ";lr=on" } else { ";lr" };
        let tag = request.from().ok().and_then(|from| from.tag()).filter(|_| self.has_from_tag);
        let (ftag, tag) = tag.map_or(("", Cow::default()), |tag| (";ftag=", escape_param(tag)));
        let value = |uri: &String| ["<", uri, r2, lr, ftag, &tag, &self.params, ">"].concat();
        uris.iter().map(value).collect()
    }
}

/// §16.6 step 4: the Request-URI or the topmost Route is a SIPS URI.
fn is_sips(request: &Message) -> bool {
    let is_sips = |uri: &str| Uri::parse(uri).is_ok_and(|it| matches!(it.scheme(), Scheme::Sips));
    let route = request.addresses(HeaderId::Route).next();
    is_sips(request.request_uri()) || route.is_some_and(|it| it.is_ok_and(|it| is_sips(it.uri)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn request(uri: &str, more: &str) -> Message {
        let text = format!("SUBSCRIBE {uri} SIP/2.0\r\nFrom: <sip:a@b>;tag=a1\r\n{more}\r\n");
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn hop(transport: Transport, sent_by: &str) -> Hop<'_> {
        Hop { transport, sent_by }
    }

    const UDP: Hop<'_> = Hop { transport: Transport::Udp, sent_by: "192.0.2.1:5060" };

    #[test]
    fn s16_6_4_one_value_with_lr_when_both_sides_are_the_same() {
        let values = RecordRoute::default().values(&request("sip:c@d", ""), UDP, UDP);
        assert_eq!(values, ["<sip:192.0.2.1:5060;lr;ftag=a1>"]);
    }

    #[test]
    fn rfc5658_s4_each_side_has_its_own_value_and_the_far_side_is_on_top() {
        let request = request("sip:c@d", "");
        let cases = [
            (hop(Transport::Tcp, "192.0.2.1:5060"), "sip:192.0.2.1:5060;transport=tcp"),
            (hop(Transport::Udp, "198.51.100.1:5060"), "sip:198.51.100.1:5060"),
            (hop(Transport::Udp, "[2001:db8::1]:5060"), "sip:[2001:db8::1]:5060"),
            (hop(Transport::Tls, "192.0.2.1:5061"), "sip:192.0.2.1:5061;transport=tls"),
            (hop(Transport::Wss, "192.0.2.1:443"), "sip:192.0.2.1:443;transport=ws"),
        ];
        for (outgoing, uri) in cases {
            let values = RecordRoute::default().values(&request, UDP, outgoing);
            let below = "<sip:192.0.2.1:5060;r2=on;lr;ftag=a1>";
            assert_eq!(values, [&format!("<{uri};r2=on;lr;ftag=a1>"), below]);
        }
    }

    #[test]
    fn s16_6_4_a_sips_request_is_recorded_with_sips() {
        let tls = hop(Transport::Tls, "192.0.2.1:5061");
        for request in [request("sips:c@d", ""), request("sip:c@d", "Route: <sips:p;lr>\r\n")] {
            let values = RecordRoute::default().values(&request, tls, tls);
            assert_eq!(values, ["<sips:192.0.2.1:5061;lr;ftag=a1>"]);
        }
        let wss = hop(Transport::Wss, "192.0.2.1:443");
        assert_eq!(wss.uri(None, true), "sips:192.0.2.1:443;transport=ws");
    }

    #[test]
    fn settings_and_parameters_show() {
        let tcp = hop(Transport::Tcp, "192.0.2.1:5060");
        let wish = RecordRoute {
            params: ";nat=yes".into(),
            is_double: false,
            has_from_tag: false,
            has_full_lr: true,
            ..RecordRoute::default()
        };
        let values = wish.values(&request("sip:c@d", ""), UDP, tcp);
        assert_eq!(values, ["<sip:192.0.2.1:5060;transport=tcp;lr=on;nat=yes>"]);
    }

    #[test]
    fn a_preset_takes_the_place_of_our_addresses() {
        let preset = |addresses: &[&str]| RecordRoute {
            preset: addresses.iter().map(|&address| address.into()).collect(),
            ..RecordRoute::default()
        };
        let request = request("sip:c@d", "");
        let values = preset(&["edge.example:5090"]).values(&request, UDP, UDP);
        assert_eq!(values, ["<sip:edge.example:5090;lr;ftag=a1>"]);
        let values = preset(&["a.example", "b.example"]).values(&request, UDP, UDP);
        let expected = ["<sip:a.example;r2=on;lr;ftag=a1>", "<sip:b.example;r2=on;lr;ftag=a1>"];
        assert_eq!(values, expected);
    }

    #[test]
    fn a_tag_cannot_break_out_of_its_parameter() {
        let text = "SUBSCRIBE sip:c@d SIP/2.0\r\nFrom: <sip:a@b>;tag=\"x;lr>,<sip:evil\"\r\n\r\n";
        let request = Message::parse(Bytes::from_static(text.as_bytes())).unwrap();
        let values = RecordRoute::default().values(&request, UDP, UDP);
        let inner = values[0].strip_prefix('<').and_then(|it| it.strip_suffix('>')).unwrap();
        assert_eq!(Uri::parse(inner).unwrap().params().iter().count(), 2, "{inner}");
        assert!(!inner.contains(['<', '>', ',', '"']), "{inner}");
    }
}
