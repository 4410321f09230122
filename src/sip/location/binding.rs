//! One contact of an address of record.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::gruu;
use super::methods;
use super::registration::Asked;
use crate::sip::Uri;
use crate::sip::transport::Transport;

/// The highest rank, in thousandths.
pub const BEST: u16 = 1000;

/// A transport and an address of it.
pub type Place = (Transport, SocketAddr);

/// One registered contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The contact's URI.
    pub uri: String,
    /// Where the REGISTER came from, when that is the way to the contact: it makes a flow, or stands behind a NAT.
    pub received: Option<Place>,
    /// The Path that the REGISTER came with (RFC 3327), as one header value; or empty.
    pub path: String,
    /// When it is forgotten.
    pub expires_at: Instant,
    /// Its rank in thousandths.
    pub q: u16,
    /// The Call-ID of the REGISTER, its first 255 bytes.
    pub call_id: String,
    /// The CSeq of the REGISTER.
    pub cseq: u32,
    /// When the REGISTER came.
    pub updated_at: Instant,
    /// The User-Agent of the REGISTER, its first 255 bytes; or empty.
    pub user_agent: String,
    /// Where the REGISTER reached us.
    pub socket: Option<Place>,
    /// The methods that it takes, a bit each; all bits when it does not say.
    pub methods: u32,
    /// The user agent (`+sip.instance`, RFC 5626 §4.1), `<urn:…>`.
    pub instance: Option<String>,
    /// Which of the user agent's flows this is (RFC 5626 §4.2), from 1; 0 when it makes none.
    pub reg_id: u32,
    /// Its own name among all bindings.
    pub ruid: Arc<str>,
    /// The flags of its branch, as they were when it was saved.
    pub branch_flags: u32,
    /// It never leaves memory.
    pub is_volatile: bool,
    /// What it shares with the temporary GRUUs that lead to it.
    pub(super) generation: Option<u64>,
    /// It has been given to the store, or came from there.
    pub(super) is_stored: bool,
}

impl Binding {
    /// A binding with nothing but what each has.
    pub fn new(uri: String, ruid: impl Into<Arc<str>>, now: Instant, expires_at: Instant) -> Self {
        Self {
            uri,
            received: None,
            path: String::new(),
            expires_at,
            q: BEST,
            call_id: String::new(),
            cseq: 0,
            updated_at: now,
            user_agent: String::new(),
            socket: None,
            methods: methods::ALL,
            instance: None,
            reg_id: 0,
            ruid: ruid.into(),
            branch_flags: 0,
            is_volatile: false,
            generation: None,
            is_stored: false,
        }
    }

    /// Does it take every method, as far as it has said?
    pub fn takes_all(&self) -> bool {
        self.methods == methods::ALL
    }

    /// Does it take this method, as far as it has said?
    pub fn takes(&self, method: &str) -> bool {
        methods::takes(self.methods, method)
    }

    /// Whether it is what a contact of a REGISTER makes anew: the same flow (RFC 5626 §6), or an equivalent
    /// URI (RFC 3261 §19.1.4).
    pub(super) fn is_for(&self, asked: &Asked) -> bool {
        if self.reg_id != asked.reg_id {
            return false;
        }
        match asked.reg_id {
            0 => self.uri == asked.uri || is_equivalent(&self.uri, &asked.uri),
            _ => self.instance == asked.instance,
        }
    }

    /// The value of Contact in a 200 (RFC 3261 §10.3 step 8); `gruu_address` and a temporary GRUU are given to
    /// whoever understands GRUUs.
    pub(super) fn contact(
        &self,
        now: Instant,
        gruu_address: Option<&str>,
        temporary: Option<String>,
    ) -> String {
        let mut value = format!("<{}>", self.uri);
        if self.q < BEST {
            value += ";q=";
            value += &decimal(self.q);
        }
        let left = self.expires_at.saturating_duration_since(now).as_secs().max(1);
        write!(value, ";expires={left}").expect("a String takes everything");
        if let Some(instance) = &self.instance {
            write!(value, ";+sip.instance=\"{instance}\"").expect("a String takes everything");
            if let Some(gruu) = gruu_address.and_then(|address| gruu::public(address, instance)) {
                write!(value, ";pub-gruu=\"{gruu}\"").expect("a String takes everything");
            }
            if let Some(gruu) = temporary {
                write!(value, ";temp-gruu=\"{gruu}\"").expect("a String takes everything");
            }
        }
        if self.reg_id > 0 {
            write!(value, ";reg-id={}", self.reg_id).expect("a String takes everything");
        }
        value
    }
}

pub(super) fn is_equivalent(one: &str, other: &str) -> bool {
    match (Uri::parse(one), Uri::parse(other)) {
        (Ok(one), Ok(other)) => one.is_equivalent(&other),
        _ => false,
    }
}

/// A rank below the highest, as `qvalue`.
fn decimal(q: u16) -> String {
    let text = format!("0.{q:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
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

    #[test]
    fn ranks_are_written_as_short_as_they_can() {
        for (q, text) in [(0, "0"), (500, "0.5"), (50, "0.05"), (123, "0.123")] {
            assert_eq!(decimal(q), text);
        }
    }
}
