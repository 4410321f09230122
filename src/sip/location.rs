//! The contacts of each address of record (RFC 3261 §10.3).

mod binding;
mod error;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ahash::AHashMap;

pub use self::binding::Binding;
pub use self::error::RegisterError;
use super::transport::Transport;
use super::{HeaderId, Message, NameAddr, Uri, escape_user, lex, unescape};

/// What a contact is kept for whose seconds cannot be read (RFC 3261 §20.10).
const UNREADABLE_EXPIRES: u32 = 3600;

/// Contacts that ask for this many seconds are never too brief (RFC 3261 §10.3 step 7).
const NEVER_TOO_BRIEF: u32 = 3600;

/// What a registration may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocationLimits {
    /// Seconds for which a contact is kept that does not say.
    pub default_expires: u32,
    /// The fewest seconds that may be asked for; fewer are answered 423. Beyond 3600 it is as 3600.
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

/// Every binding, in memory.
#[derive(Debug)]
pub struct Location {
    limits: LocationLimits,
    /// The best first, the newest first among equals. No list is empty.
    bindings: AHashMap<String, Vec<Binding>>,
}

/// The address of record that a URI names: `user@host`, canonical (§10.3 step 5); `None` for what is no SIP URI.
///
/// Scheme, password, port, parameters and headers are dropped. The user is escaped only where it must be, so that
/// each user has one spelling; the host is in lower case, an IP address in its shortest form.
pub fn address_of_record(uri: &str) -> Option<String> {
    let uri = Uri::parse(uri).ok().filter(Uri::is_sip)?;
    let host = match uri.host_ip() {
        Some(ip) => ip.to_string(),
        None => uri.host().strip_suffix('.').unwrap_or(uri.host()).to_ascii_lowercase(),
    };
    let Some(user) = uri.user() else { return Some(host) };
    let user = unescape(user);
    Some(format!("{}@{host}", escape_user(str::from_utf8(&user).ok()?)))
}

/// What a REGISTER says that holds for each of its contacts.
struct Registration<'a> {
    now: Instant,
    source: (Transport, SocketAddr),
    call_id: &'a str,
    cseq: u32,
    /// The Expires header.
    expires: Option<u32>,
}

impl Location {
    /// No bindings yet.
    pub fn new(limits: LocationLimits) -> Self {
        Self { limits, bindings: AHashMap::new() }
    }

    /// Does what a REGISTER asks, all or nothing; gives the Contact values of the 200.
    ///
    /// These are steps 5 to 8 of §10.3; whether we serve the domain and the user may register is asked before.
    pub fn register(
        &mut self,
        now: Instant,
        request: &Message,
        peer: SocketAddr,
        transport: Transport,
    ) -> Result<Vec<String>, RegisterError> {
        let address = address_of_record(request.to()?.uri).ok_or(RegisterError::AddressOfRecord)?;
        let registration = Registration {
            now,
            source: (transport, peer),
            call_id: request.call_id()?,
            cseq: request.cseq()?.number,
            expires: expires_header(request),
        };
        let known: Vec<_> = self.contacts(now, &address).cloned().collect();
        let has_wildcard = request.contacts().any(|it| it.is_ok_and(|it| it.is_wildcard()));
        let bindings = match has_wildcard {
            true => registration.without_all(request, &known)?,
            false => self.merged(&registration, request, known)?,
        };
        let is_new = !bindings.is_empty() && !self.bindings.contains_key(&address);
        if is_new && self.bindings.len() >= self.limits.max_addresses {
            return Err(RegisterError::Full);
        }
        let values = bindings.iter().map(|binding| binding.contact(now)).collect();
        if bindings.is_empty() {
            self.bindings.remove(&address);
        } else {
            self.bindings.insert(address, bindings);
        }
        Ok(values)
    }

    /// The contacts of an address of record, the best first and then the newest.
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

    /// §10.3 step 7: each contact in turn takes the place of an equivalent one, or removes it.
    fn merged(
        &self,
        registration: &Registration<'_>,
        request: &Message,
        mut known: Vec<Binding>,
    ) -> Result<Vec<Binding>, RegisterError> {
        let mut added: Vec<Binding> = Vec::new();
        for contact in request.contacts() {
            let contact = contact?;
            let uri = contact.parsed_uri().map_err(RegisterError::Contact)?;
            let seconds = self.seconds(registration, &contact)?;
            if let Some(at) = known.iter().position(|binding| binding.is_for(&uri)) {
                registration.check_order(&known[at])?;
                known.remove(at);
            }
            added.retain(|binding| !binding.is_for(&uri));
            if seconds > 0 {
                added.push(registration.binding(&contact, &uri, seconds)?);
            }
            if added.len() > self.limits.max_contacts {
                return Err(RegisterError::TooManyContacts);
            }
        }
        if !added.is_empty() && added.len() + known.len() > self.limits.max_contacts {
            return Err(RegisterError::TooManyContacts);
        }
        added.append(&mut known);
        added.sort_by_key(|binding| std::cmp::Reverse(binding.q));
        Ok(added)
    }

    /// §10.3 step 7: for how long a contact is kept.
    fn seconds(
        &self,
        registration: &Registration<'_>,
        contact: &NameAddr<'_>,
    ) -> Result<u32, RegisterError> {
        let asked = match contact.params.find("expires") {
            Some(param) => lex::number(param.text().as_bytes()).unwrap_or(UNREADABLE_EXPIRES),
            None => registration.expires.unwrap_or(self.limits.default_expires),
        };
        let min = self.limits.min_expires.min(NEVER_TOO_BRIEF);
        if asked > 0 && asked < min {
            return Err(RegisterError::TooBrief { min });
        }
        Ok(asked.min(self.limits.max_expires))
    }
}

/// The Expires header; one that cannot be read stands for an hour, as in a contact.
fn expires_header(request: &Message) -> Option<u32> {
    request.expires().unwrap_or(Some(UNREADABLE_EXPIRES))
}

impl Registration<'_> {
    /// §10.3 step 6: `Contact: *` with `Expires: 0` and nothing else removes every binding.
    fn without_all(
        &self,
        request: &Message,
        known: &[Binding],
    ) -> Result<Vec<Binding>, RegisterError> {
        if request.values(HeaderId::Contact).count() != 1 || self.expires != Some(0) {
            return Err(RegisterError::Wildcard);
        }
        known.iter().try_for_each(|binding| self.check_order(binding))?;
        Ok(Vec::new())
    }

    /// A request of the same client must be newer than the one that made the binding.
    fn check_order(&self, binding: &Binding) -> Result<(), RegisterError> {
        match binding.call_id == self.call_id && self.cseq <= binding.cseq {
            true => Err(RegisterError::OutOfOrder),
            false => Ok(()),
        }
    }

    fn binding(
        &self,
        contact: &NameAddr<'_>,
        uri: &Uri<'_>,
        seconds: u32,
    ) -> Result<Binding, RegisterError> {
        let (transport, peer) = self.source;
        let port = uri.port().unwrap_or(transport.default_port());
        let is_elsewhere = uri.host_ip() != Some(peer.ip()) || port != peer.port();
        let q = contact.params.find("q");
        Ok(Binding {
            uri: uri.as_str().to_owned(),
            received: (uri.is_sip() && is_elsewhere).then_some(self.source),
            expires_at: self.now + Duration::from_secs(seconds.into()),
            q: match q {
                Some(q) => binding::thousandths(&q.text()).ok_or(RegisterError::Q)?,
                None => binding::BEST,
            },
            call_id: self.call_id.to_owned(),
            cseq: self.cseq,
        })
    }
}

#[cfg(test)]
mod tests;
