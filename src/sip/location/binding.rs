//! One contact of an address of record.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Instant;

use crate::sip::Uri;
use crate::sip::transport::Transport;

/// The rank of a contact that does not say, in thousandths.
pub(super) const BEST: u16 = 1000;

/// One registered contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The contact's URI.
    pub uri: String,
    /// Where the REGISTER came from, when the contact itself names another place: a phone behind a NAT.
    pub received: Option<(Transport, SocketAddr)>,
    /// When it is forgotten.
    pub expires_at: Instant,
    /// Its rank in thousandths; 1000 unless the contact says.
    pub q: u16,
    /// The Call-ID of the REGISTER.
    pub call_id: String,
    /// The CSeq of the REGISTER.
    pub cseq: u32,
}

impl Binding {
    /// Whether its URI is equivalent (RFC 3261 §19.1.4).
    pub(super) fn is_for(&self, uri: &Uri<'_>) -> bool {
        Uri::parse(&self.uri).is_ok_and(|own| own.is_equivalent(uri))
    }

    /// The value of Contact in a 200 (RFC 3261 §10.3 step 8).
    pub(super) fn contact(&self, now: Instant) -> String {
        let mut value = format!("<{}>", self.uri);
        if self.q < BEST {
            let decimals = format!("{:03}", self.q);
            value += ";q=0";
            let decimals = decimals.trim_end_matches('0');
            if !decimals.is_empty() {
                value += ".";
                value += decimals;
            }
        }
        let left = self.expires_at.saturating_duration_since(now).as_secs().max(1);
        write!(value, ";expires={left}").expect("a String takes everything");
        value
    }
}

/// A `qvalue` in thousandths (RFC 3261 §25.1).
pub(super) fn thousandths(q: &str) -> Option<u16> {
    let (whole, decimals) = q.split_once('.').unwrap_or((q, ""));
    let is_number = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let part = format!("{decimals:0<3}").parse().ok().filter(|_| is_number)?;
    match (whole, part) {
        ("0", part) => Some(part),
        ("1", 0) => Some(BEST),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_read_in_thousandths() {
        for (text, q) in
            [("0", 0), ("0.", 0), ("0.5", 500), ("0.05", 50), ("0.123", 123), ("1", 1000)]
        {
            assert_eq!(thousandths(text), Some(q), "{text}");
        }
        assert_eq!(thousandths("1.000"), Some(1000));
        for bad in ["", ".", ".5", "2", "1.1", "-1", "0.1234", "NaN", "0.+1", "1e0", "0.1.1"] {
            assert_eq!(thousandths(bad), None, "{bad}");
        }
    }
}
