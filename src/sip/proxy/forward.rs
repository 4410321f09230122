//! The copy of a request that goes to one target (RFC 3261 §16.6).

use thiserror::Error;

use super::loose_route;
use crate::sip::{EditError, HeaderError, HeaderId, Message, Uri};

/// Max-Forwards of a request that has none (RFC 3261 §16.6 step 3).
const MAX_FORWARDS: &str = "70";

/// Why a request cannot be forwarded.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ForwardError {
    /// A header that the hop needs cannot be read.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The request has used up its hops (§16.3 step 3).
    #[error("no hops left")]
    TooManyHops,
    /// The copy cannot carry what it must.
    #[error(transparent)]
    Edit(#[from] EditError),
}

/// Counts one hop in Max-Forwards, and adds the header when it is missing (§16.6 step 3).
///
/// A header that was written here, by the script's own counting, is left as it is.
pub fn count_hop(copy: &mut Message) -> Result<(), ForwardError> {
    let id = HeaderId::MaxForwards;
    let is_counted =
        copy.headers.iter().find(|header| header.id == id).map(|header| header.is_edit);
    match (copy.max_forwards()?, is_counted) {
        (Some(_), Some(true)) => {}
        (Some(0), _) => return Err(ForwardError::TooManyHops),
        (Some(left), _) => copy.set_header(id.name(), &(left - 1).to_string())?,
        (None, _) => copy.set_header(id.name(), MAX_FORWARDS)?,
    }
    Ok(())
}

/// Puts the Path of a registered contact in front of the Route (RFC 3327 §5.3); `path` is one header value.
pub fn add_path(copy: &mut Message, path: &str) -> Result<(), EditError> {
    match path.is_empty() {
        true => Ok(()),
        false => copy.prepend_header(HeaderId::Route.name(), path),
    }
}

/// Takes from the Request-URI what none may have: headers and `method` (§16.6 step 2, table 1 in §19.1.1).
///
/// What is no URI of SIP, or none at all, stays as it is.
pub fn clean_request_uri(copy: &mut Message) -> Result<(), EditError> {
    match clean(copy.request_uri()) {
        Some(clean) => copy.set_request_uri(&clean),
        None => Ok(()),
    }
}

/// A URI as a Request-URI may have it; `None` when it is so already.
fn clean(text: &str) -> Option<String> {
    memchr::memchr2(b'?', b';', text.as_bytes())?;
    let uri = Uri::parse(text).ok().filter(Uri::is_sip)?;
    let without_method =
        uri.has_param("method").then(|| uri.without_param("method").ok()).flatten();
    let uri = match &without_method {
        Some(text) => Uri::parse(text).ok()?,
        None => uri,
    };
    match uri.headers() {
        Some(_) => uri.without_headers().ok(),
        None => without_method,
    }
}

/// Adds the Content-Length that every message over a stream has (§16.6 step 9, §20.14).
pub fn add_content_length(message: &mut Message) -> Result<(), EditError> {
    match message.header(HeaderId::ContentLength) {
        Some(_) => Ok(()),
        None => {
            let length = message.body().len().to_string();
            message.append_header(HeaderId::ContentLength.name(), &length)
        }
    }
}

/// The URI that says where the copy goes: `destination`, else the first Route, else its Request-URI (§16.6 step 7).
///
/// A strict router that is the first Route gets the copy in its form (step 6).
pub fn next_hop(copy: &mut Message, destination: Option<&str>) -> Result<String, ForwardError> {
    if let Some(uri) = destination {
        return Ok(uri.to_owned());
    }
    let next = loose_route::first_hop(copy)?;
    Ok(next.unwrap_or_else(|| copy.request_uri().to_owned()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn request(headers: &str) -> Message {
        Message::parse(Bytes::from(format!("INVITE sip:b@home SIP/2.0\r\n{headers}\r\n"))).unwrap()
    }

    fn routes(message: &Message) -> Vec<String> {
        let uris = message.addresses(HeaderId::Route).map(|route| route.unwrap().uri.to_owned());
        uris.collect()
    }

    #[test]
    fn s16_6_step_3_a_hop_is_counted_once() {
        let mut copy = request("Max-Forwards: 9\r\n");
        count_hop(&mut copy).unwrap();
        assert_eq!(copy.max_forwards(), Ok(Some(8)));
        count_hop(&mut copy).unwrap();
        assert_eq!(copy.max_forwards(), Ok(Some(8)), "the script has counted already");
        let mut copy = request("");
        count_hop(&mut copy).unwrap();
        assert_eq!(copy.max_forwards(), Ok(Some(70)));
    }

    #[test]
    fn s16_3_a_request_without_hops_goes_nowhere() {
        let mut copy = request("Max-Forwards: 0\r\n");
        assert_eq!(count_hop(&mut copy), Err(ForwardError::TooManyHops));
        let mut last = request("Max-Forwards: 1\r\n");
        assert_eq!(count_hop(&mut last), Ok(()));
        assert_eq!(last.max_forwards(), Ok(Some(0)), "it may reach the next hop");
    }

    #[test]
    fn s16_6_step_7_the_destination_goes_before_the_route_and_that_before_the_request_uri() {
        let with_route = "Route: <sip:p1;lr>, <sip:p2;lr>\r\n";
        let hop = |headers: &str, to: Option<&str>| next_hop(&mut request(headers), to).unwrap();
        assert_eq!(hop(with_route, Some("sip:out")), "sip:out");
        assert_eq!(hop(with_route, None), "sip:p1;lr");
        assert_eq!(hop("", None), "sip:b@home");
    }

    #[test]
    fn s16_6_step_6_a_strict_router_finds_itself_in_the_request_uri() {
        let mut copy = request("Route: <sip:strict>, <sip:p2;lr>\r\n");
        assert_eq!(next_hop(&mut copy, None).unwrap(), "sip:strict");
        assert_eq!(copy.request_uri(), "sip:strict");
        assert_eq!(routes(&copy), ["sip:p2;lr", "sip:b@home"]);
        copy.set_request_uri("sip:b@home;x=1;method=BYE?s=t").unwrap();
        copy.prepend_header("Route", "<sip:strict>").unwrap();
        next_hop(&mut copy, None).unwrap();
        assert_eq!(routes(&copy).last().unwrap(), "sip:b@home;x=1", "it is one again later");
    }

    #[test]
    fn s16_6_step_2_a_request_uri_loses_headers_and_method_and_nothing_else() {
        for (came, leaves) in [
            ("sip:a:p@h:5070;lr;method=BYE;x=1?s=t", "sip:a:p@h:5070;lr;x=1"),
            ("sips:h;METHOD=x;transport=tcp", "sips:h;transport=tcp"),
            ("sip:h;%6dethod=x", "sip:h"),
            ("sip:a@h?s=t", "sip:a@h"),
            ("sip:a@h;user=phone;ttl=1;maddr=m;transport=udp", ""),
            ("sip:method@h", ""),
            ("tel:1;method=x", ""),
            ("news:a?b;c", ""),
        ] {
            let mut copy = request("");
            copy.set_request_uri(came).unwrap();
            clean_request_uri(&mut copy).unwrap();
            let expected = if leaves.is_empty() { came } else { leaves };
            assert_eq!(copy.request_uri(), expected);
        }
    }

    #[test]
    fn s16_6_step_9_a_content_length_is_added_once() {
        let text = |head: &str| Bytes::from(format!("INVITE sip:b SIP/2.0\r\n{head}\r\nhello"));
        for (head, length) in [("", "5"), ("l: 7\r\n", "7")] {
            let mut copy = Message::parse(text(head)).unwrap();
            add_content_length(&mut copy).unwrap();
            add_content_length(&mut copy).unwrap();
            let found: Vec<_> = copy.values(HeaderId::ContentLength).collect();
            assert_eq!(found, [length.as_bytes()]);
        }
    }

    #[test]
    fn rfc3327_s5_3_a_path_is_travelled_before_the_route() {
        let mut copy = request("Route: <sip:p2;lr>\r\n");
        add_path(&mut copy, "<sip:edge;lr>,<sip:core;lr>").unwrap();
        assert_eq!(routes(&copy), ["sip:edge;lr", "sip:core;lr", "sip:p2;lr"]);
        assert_eq!(next_hop(&mut copy, None).unwrap(), "sip:edge;lr");
    }

    #[test]
    fn a_route_that_cannot_be_read_is_the_senders_fault() {
        let mut copy = request("Route: <sip:\r\n");
        assert!(matches!(next_hop(&mut copy, None), Err(ForwardError::Header(_))));
    }
}
