//! The contacts of each address of record (RFC 3261 §10.3).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use thiserror::Error;

use super::transport::Transport;
use super::{HeaderError, Message, NameAddr, Uri, escape_user, unescape_text};

/// What a registration may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocationLimits {
    /// Seconds for which a contact is kept that does not say.
    pub default_expires: u32,
    /// The fewest seconds that may be asked for; fewer are answered 423.
    pub min_expires: u32,
    /// The most seconds; more are cut to this.
    pub max_expires: u32,
    /// Contacts of one address of record.
    pub max_contacts: usize,
    /// Addresses of record.
    pub max_addresses: usize,
}

impl Default for LocationLimits {
    fn default() -> Self {
        Self {
            default_expires: 3600,
            min_expires: 60,
            max_expires: 3600,
            max_contacts: 10,
            max_addresses: 1_000_000,
        }
    }
}

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
    call_id: String,
    cseq: u32,
}

/// Why a REGISTER was refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RegisterError {
    /// A header cannot be read.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// To or a contact is no SIP address, or `*` stands where it may not.
    #[error("bad registration: {0}")]
    Malformed(&'static str),
    /// An older or repeated request of the same client.
    #[error("out of order")]
    OutOfOrder,
    /// Too short a time.
    #[error("a contact must be kept for {min} s at least")]
    TooBrief {
        /// The shortest.
        min: u32,
    },
    /// More contacts or addresses than there is room for.
    #[error("too many contacts")]
    Full,
}

impl RegisterError {
    /// The reply (RFC 3261 §10.3).
    pub fn status(&self) -> (u16, &'static str) {
        match self {
            Self::Header(_) | Self::Malformed(_) => (400, "Bad Registration"),
            Self::OutOfOrder => (500, "Registration Out Of Order"),
            Self::TooBrief { .. } => (423, "Interval Too Brief"),
            Self::Full => (503, "Too Many Contacts"),
        }
    }

    /// The header that goes with the reply.
    pub fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::TooBrief { min } => Some(("Min-Expires", min.to_string())),
            _ => None,
        }
    }
}

/// Every binding, in memory.
#[derive(Debug)]
pub struct Location {
    limits: LocationLimits,
    bindings: AHashMap<String, Vec<Binding>>,
}

/// The address of record that a URI names: `user@host`, canonical (§10.3 step 5); `None` for what is no SIP URI.
pub fn address_of_record(uri: &str) -> Option<String> {
    let uri = Uri::parse(uri).ok().filter(Uri::is_sip)?;
    let host = uri.host().to_ascii_lowercase();
    Some(match uri.user() {
        Some(user) => format!("{}@{host}", escape_user(&unescape_text(user))),
        None => host,
    })
}

impl Location {
    /// No bindings yet.
    pub fn new(limits: LocationLimits) -> Self {
        Self { limits, bindings: AHashMap::new() }
    }

    /// Does what a REGISTER asks, all or nothing; gives the Contact values of the 200.
    pub fn register(
        &mut self,
        now: Instant,
        request: &Message,
        peer: SocketAddr,
        transport: Transport,
    ) -> Result<Vec<String>, RegisterError> {
        let to = request.to()?;
        let address = address_of_record(to.uri).ok_or(RegisterError::Malformed("To"))?;
        let mut known = self.bindings.get(&address).cloned().unwrap_or_default();
        known.retain(|binding| binding.expires_at > now);
        let contacts: Vec<_> = request.contacts().collect::<Result<_, _>>()?;
        if contacts.iter().any(NameAddr::is_wildcard) {
            self.forget_all(request, &contacts, &mut known)?;
        } else {
            for contact in &contacts {
                let wished = self.read(now, request, contact, (transport, peer))?;
                replace(&mut known, wished, now)?;
            }
        }
        let is_new = !self.bindings.contains_key(&address);
        if known.len() > self.limits.max_contacts
            || (is_new && self.bindings.len() >= self.limits.max_addresses)
        {
            return Err(RegisterError::Full);
        }
        let values = known.iter().map(|binding| binding.value(now)).collect();
        if known.is_empty() {
            self.bindings.remove(&address);
        } else {
            // The best first, the newest first among equals.
            known.sort_by_key(|binding| {
                (std::cmp::Reverse(binding.q), std::cmp::Reverse(binding.expires_at))
            });
            self.bindings.insert(address, known);
        }
        Ok(values)
    }

    /// The contacts of an address of record, the best first.
    pub fn contacts(&self, now: Instant, address: &str) -> impl Iterator<Item = &Binding> {
        let bindings = self.bindings.get(address).map(Vec::as_slice).unwrap_or_default();
        bindings.iter().filter(move |binding| binding.expires_at > now)
    }

    /// Forgets what has expired.
    pub fn sweep(&mut self, now: Instant) {
        self.bindings.retain(|_, bindings| {
            bindings.retain(|binding| binding.expires_at > now);
            !bindings.is_empty()
        });
    }

    /// §10.3 step 6: `Contact: *` with `Expires: 0` and nothing else.
    fn forget_all(
        &self,
        request: &Message,
        contacts: &[NameAddr<'_>],
        known: &mut Vec<Binding>,
    ) -> Result<(), RegisterError> {
        if contacts.len() != 1 || request.expires()? != Some(0) {
            return Err(RegisterError::Malformed("* goes with Expires: 0 and no other contact"));
        }
        let (call_id, cseq) = (request.call_id()?, request.cseq()?.number);
        if known.iter().any(|binding| binding.call_id == call_id && binding.cseq >= cseq) {
            return Err(RegisterError::OutOfOrder);
        }
        known.clear();
        Ok(())
    }

    /// §10.3 step 7: what one contact asks for.
    fn read(
        &self,
        now: Instant,
        request: &Message,
        contact: &NameAddr<'_>,
        (transport, peer): (Transport, SocketAddr),
    ) -> Result<Binding, RegisterError> {
        let uri = contact.parsed_uri().map_err(|_| RegisterError::Malformed("Contact"))?;
        let said = contact.params.find("expires").and_then(|param| param.value?.parse().ok());
        let wished = match said {
            Some(seconds) => seconds,
            None => request.expires()?.unwrap_or(self.limits.default_expires),
        };
        let seconds = wished.min(self.limits.max_expires);
        if seconds > 0 && seconds < self.limits.min_expires {
            return Err(RegisterError::TooBrief { min: self.limits.min_expires });
        }
        let q = contact.params.find("q").and_then(|param| param.value?.parse::<f32>().ok());
        let port = uri.port().unwrap_or(transport.default_port());
        let is_there = uri.host_ip() == Some(peer.ip()) && port == peer.port();
        Ok(Binding {
            uri: uri.as_str().to_owned(),
            received: (!is_there).then_some((transport, peer)),
            expires_at: now + Duration::from_secs(seconds.into()),
            q: q.map_or(1000, |q| (q.clamp(0.0, 1.0) * 1000.0) as u16),
            call_id: request.call_id()?.to_owned(),
            cseq: request.cseq()?.number,
        })
    }
}

/// Puts a contact in the place of an equivalent one (§19.1.4), or removes that.
fn replace(known: &mut Vec<Binding>, wished: Binding, now: Instant) -> Result<(), RegisterError> {
    let is_same = |binding: &Binding| match (Uri::parse(&binding.uri), Uri::parse(&wished.uri)) {
        (Ok(one), Ok(other)) => one.is_equivalent(&other),
        _ => false,
    };
    if let Some(at) = known.iter().position(is_same) {
        if known[at].call_id == wished.call_id && known[at].cseq >= wished.cseq {
            return Err(RegisterError::OutOfOrder);
        }
        known.remove(at);
    }
    if wished.expires_at > now {
        known.push(wished);
    }
    Ok(())
}

impl Binding {
    fn value(&self, now: Instant) -> String {
        let seconds = self.expires_at.saturating_duration_since(now).as_secs();
        let mut value = format!("<{}>;expires={seconds}", self.uri);
        if self.q < 1000 {
            value += &format!(";q=0.{:03}", self.q);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::transaction::ladder::origin;
    use bytes::Bytes;

    fn phone() -> SocketAddr {
        "192.0.2.9:5060".parse().unwrap()
    }

    fn register(to: &str, cseq: u32, headers: &str) -> Message {
        let text = format!(
            "REGISTER sip:sip.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
             From: <{to}>;tag=1\r\nTo: <{to}>\r\nCall-ID: one\r\nCSeq: {cseq} REGISTER\r\n\
             {headers}Content-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    struct Registrar(Location);

    impl Registrar {
        fn new() -> Self {
            Self(Location::new(LocationLimits { max_contacts: 2, ..LocationLimits::default() }))
        }

        fn takes(&mut self, cseq: u32, headers: &str) -> Result<Vec<String>, RegisterError> {
            let request = register("sip:Alice@SIP.example;x=y", cseq, headers);
            self.0.register(origin(), &request, phone(), Transport::Udp)
        }
    }

    #[test]
    fn addresses_of_record_are_canonical() {
        let address = Some("alice@sip.example".to_owned());
        for uri in [
            "sip:alice@SIP.example",
            "sip:%61lice:pw@sip.example;x=y",
            "sips:alice@sip.example:5061",
        ] {
            assert_eq!(address_of_record(uri), address, "{uri}");
        }
        assert_eq!(address_of_record("tel:+1"), None);
    }

    #[test]
    fn s10_3_contacts_are_added_refreshed_and_removed() {
        let mut registrar = Registrar::new();
        let added = registrar.takes(1, "Contact: <sip:a@192.0.2.9>\r\n").unwrap();
        assert_eq!(added, ["<sip:a@192.0.2.9>;expires=3600"]);
        let refreshed =
            registrar.takes(2, "Contact: <sip:a@192.0.2.9>;expires=90;q=0.5\r\n").unwrap();
        assert_eq!(refreshed, ["<sip:a@192.0.2.9>;expires=90;q=0.500"]);
        assert_eq!(registrar.takes(3, "").unwrap(), refreshed, "no contact asks what is known");
        assert!(registrar.takes(4, "Contact: <sip:a@192.0.2.9>;expires=0\r\n").unwrap().is_empty());
        assert!(registrar.0.bindings.is_empty());
    }

    #[test]
    fn s10_3_step_6_a_star_forgets_all() {
        let mut registrar = Registrar::new();
        registrar.takes(1, "Contact: <sip:a@192.0.2.9>, <sip:b@192.0.2.9>\r\n").unwrap();
        let with_time = registrar.takes(2, "Contact: *\r\nExpires: 60\r\n");
        assert_eq!(with_time.unwrap_err().status().0, 400);
        assert_eq!(registrar.takes(2, "Contact: *\r\nExpires: 0\r\n").unwrap().len(), 0);
    }

    #[test]
    fn s10_3_step_7_an_older_request_changes_nothing() {
        let mut registrar = Registrar::new();
        registrar.takes(5, "Contact: <sip:a@192.0.2.9>\r\n").unwrap();
        let old = registrar.takes(4, "Contact: <sip:b@192.0.2.9>, <sip:a@192.0.2.9>;expires=0\r\n");
        assert_eq!(old, Err(RegisterError::OutOfOrder));
        assert_eq!(registrar.0.contacts(origin(), "alice@sip.example").count(), 1);
    }

    #[test]
    fn limits_are_answered() {
        let mut registrar = Registrar::new();
        let brief = registrar.takes(1, "Contact: <sip:a@192.0.2.9>;expires=5\r\n").unwrap_err();
        assert_eq!(
            (brief.status().0, brief.header()),
            (423, Some(("Min-Expires", "60".to_owned())))
        );
        let many = "Contact: <sip:a@h>, <sip:b@h>, <sip:c@h>\r\n";
        assert_eq!(registrar.takes(2, many), Err(RegisterError::Full));
        assert_eq!(registrar.takes(3, "").unwrap().len(), 0, "all or nothing");
    }

    #[test]
    fn the_best_contact_comes_first_until_it_expires() {
        let mut registrar = Registrar::new();
        let contacts = "Contact: <sip:a@h>;q=0.1, <sip:b@h>;expires=60\r\n";
        registrar.takes(1, contacts).unwrap();
        let best = |registrar: &Registrar, seconds| {
            let now = origin() + Duration::from_secs(seconds);
            registrar.0.contacts(now, "alice@sip.example").next().map(|best| best.uri.clone())
        };
        assert_eq!(best(&registrar, 0).as_deref(), Some("sip:b@h"));
        assert_eq!(best(&registrar, 61).as_deref(), Some("sip:a@h"));
        registrar.0.sweep(origin() + Duration::from_secs(4000));
        assert!(registrar.0.bindings.is_empty());
    }

    #[test]
    fn a_phone_behind_a_nat_is_found_where_it_sent_from() {
        let mut registrar = Registrar::new();
        registrar.takes(1, "Contact: <sip:a@10.0.0.1>\r\n").unwrap();
        let binding = registrar.0.contacts(origin(), "alice@sip.example").next();
        assert_eq!(binding.unwrap().received, Some((Transport::Udp, phone())));
    }
}
