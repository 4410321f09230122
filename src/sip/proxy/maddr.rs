//! A Request-URI whose `maddr` names us (RFC 3261 §16.4).

use crate::sip::transport::Transport;
use crate::sip::{EditError, Message, Uri, UriError};

/// Removes `maddr`, and a port and transport other than the default, from a Request-URI whose `maddr` is ours;
/// tells whether it has.
///
/// `transport` and `port` are those that the request came in by: they must be what the Request-URI says.
pub fn strip_maddr(
    request: &mut Message,
    transport: Transport,
    port: u16,
    is_ours: impl Fn(&str, Option<u16>) -> bool,
) -> Result<bool, EditError> {
    if !request.request_uri().contains(';') {
        return Ok(false);
    }
    let stripped = match request.uri() {
        Ok(uri) => stripped(&uri, transport, port, is_ours),
        Err(_) => None,
    };
    match stripped {
        Some(Ok(uri)) => request.set_request_uri(&uri).map(|()| true),
        _ => Ok(false),
    }
}

/// The URI as it reads without us; `None` when it is not for us.
fn stripped(
    uri: &Uri<'_>,
    transport: Transport,
    port: u16,
    is_ours: impl Fn(&str, Option<u16>) -> bool,
) -> Option<Result<String, UriError>> {
    let maddr = uri.param("maddr")?.value?;
    let is_sips = matches!(uri.scheme(), crate::sip::Scheme::Sips);
    let default = if is_sips { Transport::Tls } else { Transport::Udp };
    let named = match uri.param("transport") {
        Some(param) => param.value?.parse::<Transport>().ok()?,
        None => default,
    };
    let named = if is_sips { named.secured()? } else { named };
    let is_here = named == transport && uri.port().unwrap_or(named.default_port()) == port;
    (is_here && is_ours(maddr, Some(port))).then(|| without(uri, named, default))
}

fn without(uri: &Uri<'_>, named: Transport, default: Transport) -> Result<String, UriError> {
    let mut text = uri.without_param("maddr")?;
    if named != default {
        text = Uri::parse(&text)?.without_param("transport")?;
    }
    if uri.port() != Some(default.default_port()) {
        text = Uri::parse(&text)?.with_port(None)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// The Request-URI after a request over this transport and port; we are 192.0.2.1.
    fn after(uri: &str, transport: Transport, port: u16) -> String {
        let text = format!("OPTIONS {uri} SIP/2.0\r\n\r\n");
        let mut request = Message::parse(Bytes::from(text)).unwrap();
        strip_maddr(&mut request, transport, port, |host, _| host == "192.0.2.1").unwrap();
        request.request_uri().to_owned()
    }

    #[test]
    fn s16_4_an_maddr_of_ours_goes_with_port_and_transport() {
        let cases = [
            ("sip:a@b;maddr=192.0.2.1", Transport::Udp, 5060, "sip:a@b"),
            ("sip:a@b:5080;MADDR=192.0.2.1;x", Transport::Udp, 5080, "sip:a@b;x"),
            ("sip:a@b;transport=tcp;maddr=192.0.2.1", Transport::Tcp, 5060, "sip:a@b"),
            (
                "sip:a@b:5060;transport=udp;maddr=192.0.2.1",
                Transport::Udp,
                5060,
                "sip:a@b:5060;transport=udp",
            ),
            (
                "sips:a@b;transport=tcp;maddr=192.0.2.1",
                Transport::Tls,
                5061,
                "sips:a@b;transport=tcp",
            ),
        ];
        for (uri, transport, port, expected) in cases {
            assert_eq!(after(uri, transport, port), expected, "{uri}");
        }
    }

    #[test]
    fn s16_4_what_came_another_way_or_names_another_stays() {
        for uri in [
            "sip:a@b",
            "sip:a@b;maddr=192.0.2.2",
            "sip:a@b:5080;maddr=192.0.2.1",
            "sip:a@b;transport=tcp;maddr=192.0.2.1",
            "sip:a@b;transport=sctp;maddr=192.0.2.1",
            "sip:a@b;maddr",
            "tel:1;maddr=192.0.2.1",
            "sip:",
        ] {
            assert_eq!(after(uri, Transport::Udp, 5060), uri);
        }
    }
}
