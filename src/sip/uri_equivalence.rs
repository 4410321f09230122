//! When two URIs are the same (RFC 3261 §19.1.4).

use super::escape::{escape_at, unescape_text};
use super::uri::{Scheme, Uri};

impl Uri<'_> {
    /// True when both URIs name the same resource by the rules of RFC 3261 §19.1.4.
    ///
    /// The relation is not transitive, so this is not `==`.
    pub fn is_equivalent(&self, other: &Uri<'_>) -> bool {
        if !self.scheme().is_same(&other.scheme()) {
            return false;
        }
        if matches!(self.scheme(), Scheme::Other(_)) {
            return self.opaque() == other.opaque();
        }
        is_equal_option(self.user(), other.user(), Case::Kept)
            && is_equal_option(self.password(), other.password(), Case::Kept)
            && is_equal_host(self, other)
            && self.port() == other.port()
            && agrees_in_params(self, other)
            && agrees_in_params(other, self)
            && has_headers_of(self, other)
            && has_headers_of(other, self)
    }
}

/// Compares the names of URI parameters, in which neither case nor escapes count.
pub(super) fn is_same_name(a: &str, b: &str) -> bool {
    is_equal(a, b, Case::Ignored)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Kept,
    Ignored,
}

/// Compares escaped texts: `%41` equals `A`, but an escaped reserved character only itself.
fn is_equal(a: &str, b: &str, case: Case) -> bool {
    let (mut a, mut b) = (Units(a.as_bytes()), Units(b.as_bytes()));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(x), Some(y)) if x == y => {}
            (Some((x, false)), Some((y, false)))
                if case == Case::Ignored && x.eq_ignore_ascii_case(&y) => {}
            _ => return false,
        }
    }
}

/// The characters of an escaped text: the byte, and whether it is a reserved one in escaped form.
struct Units<'a>(&'a [u8]);

impl Iterator for Units<'_> {
    type Item = (u8, bool);

    fn next(&mut self) -> Option<(u8, bool)> {
        if let Some(byte) = escape_at(self.0) {
            self.0 = &self.0[3..];
            return Some((byte, b";/?:@&=+$,".contains(&byte)));
        }
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some((*first, false))
    }
}

fn is_equal_option(a: Option<&str>, b: Option<&str>, case: Case) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => is_equal(a, b, case),
        _ => false,
    }
}

fn is_equal_host(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    match (a.host_ip(), b.host_ip()) {
        (Some(a), Some(b)) => a == b,
        _ => a.host().eq_ignore_ascii_case(b.host()),
    }
}

/// Parameters that differ by being absent from one of two URIs; all others may be absent.
const DECISIVE: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

/// True when each parameter of `a` stands in `b` with the same value, or may be absent there.
fn agrees_in_params(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    a.params().iter().all(|param| {
        let mut same =
            b.params().iter().filter(|other| is_same_name(other.name, param.name)).peekable();
        match same.peek() {
            Some(_) => same.any(|other| is_equal_option(param.value, other.value, Case::Ignored)),
            None => !DECISIVE.iter().any(|name| is_same_name(name, param.name)),
        }
    })
}

fn has_headers_of(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    header_fields(b).all(|(name, value)| {
        header_fields(a)
            .any(|(n, v)| is_same_name(n, name) && unescape_text(v) == unescape_text(value))
    })
}

fn header_fields<'a>(uri: &Uri<'a>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let pieces = uri.headers().unwrap_or_default().split('&').filter(|piece| !piece.is_empty());
    pieces.map(|piece| piece.split_once('=').unwrap_or((piece, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text).unwrap()
    }

    /// RFC 3261 §19.1.4, the examples of URIs that are equivalent.
    #[test]
    fn s19_1_4_equivalent() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]"),
        ] {
            assert!(uri(a).is_equivalent(&uri(b)) && uri(b).is_equivalent(&uri(a)), "{a} {b}");
        }
    }

    /// RFC 3261 §19.1.4, the examples of URIs that are not equivalent.
    #[test]
    fn s19_1_4_not_equivalent() {
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a@b", "sips:a@b"),
            ("sip:a@b", "sip:b"),
            ("sip:a%3Bb@c", "sip:a;b@c"),
        ] {
            assert!(!uri(a).is_equivalent(&uri(b)) && !uri(b).is_equivalent(&uri(a)), "{a} {b}");
        }
    }
}
