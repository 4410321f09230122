//! How a WebSocket begins: an HTTP request and its answer (RFC 6455 §4.2, RFC 7118 §4).

use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response, write_response};
use tungstenite::http::HeaderValue;

use super::{MAX_HEAD, Rules};

/// What a client's request comes to.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::net) enum Asked {
    /// The request is not whole yet.
    More,
    /// The WebSocket is open.
    Open {
        /// What the client must be told first.
        answer: Vec<u8>,
        /// The length of the request.
        length: usize,
    },
    /// There is no WebSocket.
    No(Refused),
}

/// Why there is no WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {reason}")]
pub(in crate::net) struct Refused {
    status: u16,
    reason: &'static str,
}

impl Refused {
    const TOO_LARGE: Self = Self { status: 431, reason: "Request Header Fields Too Large" };
    const NO_UPGRADE: Self = Self { status: 426, reason: "Upgrade Required" };
    const BAD_REQUEST: Self = Self { status: 400, reason: "Bad Request" };
    const NO_SIP: Self = Self { status: 400, reason: "Subprotocol sip Required" };
    const METHOD: Self = Self { status: 405, reason: "Method Not Allowed" };
    const PATH: Self = Self { status: 404, reason: "Not Found" };
    const ORIGIN: Self = Self { status: 403, reason: "Origin Not Allowed" };

    /// The response that says so.
    pub(in crate::net) fn response(self) -> String {
        let Self { status, reason } = self;
        let more = match status {
            426 => {
                "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n"
            }
            405 => "Allow: GET\r\n",
            _ => "",
        };
        let connection = if status == 426 { "Upgrade, close" } else { "close" };
        format!(
            "HTTP/1.1 {status} {reason}\r\n{more}Connection: {connection}\r\nContent-Length: 0\r\n\r\n"
        )
    }
}

/// Reads a client's request, of which `head` has come so far.
pub(in crate::net) fn answer(head: &[u8], rules: &Rules) -> Asked {
    let request = match Request::try_parse(head) {
        Ok(None) if head.len() >= MAX_HEAD => return Asked::No(Refused::TOO_LARGE),
        Ok(None) => return Asked::More,
        Ok(Some((length, _))) if length > MAX_HEAD => return Asked::No(Refused::TOO_LARGE),
        Ok(Some(request)) => request,
        Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => return Asked::No(Refused::METHOD),
        Err(_) => return Asked::No(Refused::BAD_REQUEST),
    };
    let (length, request) = request;
    match open(&request, rules) {
        Ok(answer) => Asked::Open { answer, length },
        Err(refused) => Asked::No(refused),
    }
}

fn open(request: &Request, rules: &Rules) -> Result<Vec<u8>, Refused> {
    if rules.path.as_deref().is_some_and(|path| path != request.uri().path()) {
        return Err(Refused::PATH);
    }
    let mut response = create_response(request).map_err(|error| match error {
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingSecWebSocketVersionHeader,
        ) => Refused::NO_UPGRADE,
        _ => Refused::BAD_REQUEST,
    })?;
    let origin = request.headers().get("origin").map(HeaderValue::as_bytes);
    let is_listed = |origin: &[u8]| {
        rules.origins.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(origin))
    };
    if !rules.origins.is_empty() && origin.is_some_and(|origin| !is_listed(origin)) {
        return Err(Refused::ORIGIN);
    }
    if !offers_sip(request) {
        return Err(Refused::NO_SIP);
    }
    response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("sip"));
    let mut answer = Vec::new();
    write_response(&mut answer, &response).map_err(|_| Refused::BAD_REQUEST)?;
    Ok(answer)
}

/// RFC 7118 §4: the client must offer the subprotocol.
fn offers_sip(request: &Request) -> bool {
    let offers = request.headers().get_all("sec-websocket-protocol").into_iter();
    let mut names =
        offers.filter_map(|offer| offer.to_str().ok()).flat_map(|offer| offer.split(','));
    names.any(|name| name.trim().eq_ignore_ascii_case("sip"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7118 §4.
    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: sip-ws.example.com\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Origin: http://www.example.com\r\nSec-WebSocket-Protocol: sip\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";

    fn status(request: &str, rules: &Rules) -> u16 {
        match answer(request.as_bytes(), rules) {
            Asked::More => 0,
            Asked::Open { .. } => 101,
            Asked::No(refused) => refused.status,
        }
    }

    #[test]
    fn rfc7118_s4_the_example_opens_a_websocket() {
        let bytes = format!("{REQUEST}rest");
        let Asked::Open { answer, length } = answer(bytes.as_bytes(), &Rules::default()) else {
            panic!("refused")
        };
        assert_eq!(length, REQUEST.len());
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        for line in
            ["sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "sec-websocket-protocol: sip"]
        {
            assert!(answer.contains(&format!("\r\n{line}\r\n")), "{answer}");
        }
    }

    #[test]
    fn each_demand_is_made() {
        let rules = Rules::default();
        let without = |line: &str| REQUEST.replace(line, "");
        for (request, expected) in [
            (without("Upgrade: websocket\r\n"), 426),
            (without("Connection: Upgrade\r\n"), 426),
            (without("Sec-WebSocket-Version: 13\r\n"), 426),
            (REQUEST.replace("n: 13", "n: 8"), 426),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 426),
            (without("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400),
            (without("Sec-WebSocket-Protocol: sip\r\n"), 400),
            (REQUEST.replace("col: sip", "col: xmpp, sips"), 400),
            (REQUEST.replace("col: sip", "col: xmpp, SIP"), 101),
            (REQUEST.replace("GET", "POST"), 405),
            (REQUEST.replace("1.1", "1.0"), 400),
            ("\u{16}\u{3}\u{1}\r\n\r\n".into(), 400),
            ("OPTIONS sip:a SIP/2.0\r\n\r\n".into(), 400),
            (REQUEST[..REQUEST.len() - 1].into(), 0),
        ] {
            assert_eq!(status(&request, &rules), expected, "{request}");
        }
    }

    #[test]
    fn path_and_origin_are_as_configured() {
        let at_sip = REQUEST.replace("GET / ", "GET /sip?x=1 ");
        let rules = Rules { path: Some("/sip".into()), ..Rules::default() };
        assert_eq!((status(REQUEST, &rules), status(&at_sip, &rules)), (404, 101));
        let rules = Rules { origins: vec!["https://phone.example".into()], ..Rules::default() };
        assert_eq!(status(REQUEST, &rules), 403);
        assert_eq!(
            status(&REQUEST.replace("http://www.example.com", "https://Phone.example"), &rules),
            101
        );
        assert_eq!(status(&REQUEST.replace("Origin: http://www.example.com\r\n", ""), &rules), 101);
    }

    #[test]
    fn a_head_without_end_is_refused() {
        let endless = format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(MAX_HEAD));
        assert_eq!(status(&endless, &Rules::default()), 431);
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
        assert_eq!(status(&many, &Rules::default()), 400);
    }
}
