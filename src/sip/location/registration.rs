//! What a REGISTER asks for, read and checked before anything is touched.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::REPEATS;
use super::address::full_address;
use super::binding::{Binding, Place, thousandths};
use super::error::RegisterError;
use super::methods;
use super::rules::{OutboundMode, PathMode, Rules};
use crate::sip::transport::Source;
use crate::sip::{HeaderError, HeaderId, Message, NameAddr, Uri, lex};

/// What a contact is kept for whose seconds cannot be read (RFC 3261 §20.10).
const UNREADABLE_EXPIRES: u32 = 3600;

/// Contacts that ask for this many seconds are never too brief (RFC 3261 §10.3 step 7).
const NEVER_TOO_BRIEF: u32 = 3600;

/// Bytes that are kept of Call-ID and User-Agent, and the most of an instance: what the table's columns hold.
const COLUMN: usize = 255;

/// The most bytes of a Path: what its column holds.
const MAX_PATH: usize = 512;

/// Bytes of a contact besides its URI: the name and the parameters.
const MAX_BESIDE_URI: usize = 1024;

/// What the script adds to a REGISTER.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner<'a> {
    /// The URI that is registered, when it is not that of To.
    pub uri: Option<&'a str>,
    /// The contacts stay in memory.
    pub is_volatile: bool,
    /// What is registered takes the place of all that was.
    pub replaces_all: bool,
    /// The flags of the contacts' branches.
    pub branch_flags: u32,
}

/// One contact that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) uri: String,
    /// For how long; 0 forgets it.
    pub(super) seconds: u32,
    pub(super) q: u16,
    pub(super) methods: u32,
    pub(super) instance: Option<String>,
    /// 0 unless it makes a flow.
    pub(super) reg_id: u32,
}

/// What the option tags of Supported and Require name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options {
    path: bool,
    gruu: bool,
    outbound: bool,
}

/// What a REGISTER asks for (RFC 3261 §10.3 steps 2 and 5 to 7).
#[derive(Clone, Debug)]
pub struct Registration {
    pub(super) address: String,
    /// The address of record with its domain, to make GRUUs of.
    pub(super) gruu_address: Option<String>,
    pub(super) contacts: Vec<Asked>,
    pub(super) removes_all: bool,
    pub(super) replaces_all: bool,
    pub(super) call_id: String,
    pub(super) cseq: u32,
    pub(super) path: String,
    /// Where it came from, when nobody stands between the phone and us.
    pub(super) received: Option<Place>,
    pub(super) socket: Place,
    pub(super) user_agent: String,
    pub(super) branch_flags: u32,
    pub(super) is_volatile: bool,
    /// Headers of the 200 besides Contact.
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Registration {
    /// Reads a REGISTER that has come from `source`.
    ///
    /// Whether we serve the domain and the user may register is asked before.
    pub fn read(
        request: &Message,
        source: Source,
        rules: &Rules,
        manner: Manner<'_>,
    ) -> Result<Self, RegisterError> {
        let to = request.to()?;
        let uri =
            Uri::parse(manner.uri.unwrap_or(to.uri)).map_err(|_| RegisterError::AddressOfRecord)?;
        let address = rules.address.address_of(&uri).ok_or(RegisterError::AddressOfRecord)?;
        let options = options(request, rules)?;
        let is_direct = request.values(HeaderId::Via).nth(1).is_none();
        let path = path(request, rules, options)?;
        let reader = Reader { rules, options, expires: expires_header(request), request };
        let removes_all = reader.removes_all()?;
        let contacts = match removes_all {
            true => Vec::new(),
            false => reader.contacts(is_direct || path.ends_at_outbound_edge)?,
        };
        if rules.makes_gruus {
            contacts.iter().try_for_each(|asked| asked.check_instance(&uri, &address, rules))?;
        }
        let makes_flow = contacts.iter().any(|asked| asked.reg_id > 0);
        let mut registration = Self {
            gruu_address: full_address(&uri, rules.address)
                .filter(|_| options.gruu && rules.makes_gruus),
            address,
            contacts,
            removes_all,
            replaces_all: manner.replaces_all,
            call_id: start(request.call_id()?, COLUMN).to_owned(),
            cseq: request.cseq()?.number,
            path: path.value,
            received: is_direct.then_some((source.transport, source.peer)),
            socket: (source.transport, source.local),
            user_agent: start(&request.text(HeaderId::UserAgent).unwrap_or_default(), COLUMN)
                .to_owned(),
            branch_flags: manner.branch_flags,
            is_volatile: manner.is_volatile,
            headers: Vec::new(),
        };
        registration.add_headers(rules, options, makes_flow);
        Ok(registration)
    }

    /// A request of the same client must be newer than the one that made the binding.
    pub(super) fn check_order(&self, binding: &Binding) -> Result<(), RegisterError> {
        match binding.call_id == self.call_id && self.cseq <= binding.cseq {
            true => Err(RegisterError::OutOfOrder),
            false => Ok(()),
        }
    }

    /// Was the binding made by this very request, not long ago?
    pub(super) fn is_repeat_of(&self, now: Instant, binding: &Binding) -> bool {
        binding.call_id == self.call_id
            && binding.cseq == self.cseq
            && now.saturating_duration_since(binding.updated_at) < REPEATS
    }

    /// The binding that one of the contacts makes.
    pub(super) fn binding(
        &self,
        now: Instant,
        asked: &Asked,
        ruid: Arc<str>,
        is_stored: bool,
    ) -> Binding {
        Binding {
            received: self.received.filter(|place| asked.reg_id > 0 || is_elsewhere(asked, *place)),
            uri: asked.uri.clone(),
            path: self.path.clone(),
            expires_at: now + Duration::from_secs(asked.seconds.into()),
            q: asked.q,
            call_id: self.call_id.clone(),
            cseq: self.cseq,
            updated_at: now,
            user_agent: self.user_agent.clone(),
            socket: Some(self.socket),
            methods: asked.methods,
            instance: asked.instance.clone(),
            reg_id: asked.reg_id,
            ruid,
            branch_flags: self.branch_flags,
            is_volatile: self.is_volatile,
            generation: None,
            is_stored,
        }
    }

    fn add_headers(&mut self, rules: &Rules, options: Options, makes_flow: bool) {
        let is_told = rules.path_mode != PathMode::Off && options.path;
        if is_told && !self.path.is_empty() {
            self.headers.push(("Path", self.path.clone()));
        }
        if makes_flow && options.outbound {
            self.headers.push(("Require", "outbound".to_owned()));
            if rules.flow_timer > 0 && self.received.is_some() {
                self.headers.push(("Flow-Timer", rules.flow_timer.to_string()));
            }
        }
    }
}

/// Does a contact name another place than the one that it was registered from? Then it stands behind a NAT.
fn is_elsewhere(asked: &Asked, (transport, peer): Place) -> bool {
    let Ok(uri) = Uri::parse(&asked.uri) else { return false };
    let port = uri.port().unwrap_or(transport.default_port());
    uri.is_sip() && (uri.host_ip() != Some(peer.ip()) || port != peer.port())
}

/// The option tags of a REGISTER that we know; an error for one that is required and unknown (RFC 3261 §8.2.2.3).
fn options(request: &Message, rules: &Rules) -> Result<Options, RegisterError> {
    let mut options = Options::default();
    let mut unknown = String::new();
    for id in [HeaderId::Supported, HeaderId::Require] {
        for tag in request.values(id).filter_map(|tag| str::from_utf8(tag).ok()) {
            let is = |name: &str| tag.eq_ignore_ascii_case(name);
            match tag {
                _ if is("path") && rules.uses_path => options.path = true,
                _ if is("gruu") && rules.makes_gruus => options.gruu = true,
                _ if is("outbound") && rules.outbound != OutboundMode::Off => {
                    options.outbound = true;
                }
                _ if id == HeaderId::Require && unknown.len() < COLUMN => {
                    unknown += if unknown.is_empty() { "" } else { ", " };
                    unknown += start(tag, COLUMN);
                }
                _ => {}
            }
        }
    }
    if unknown.is_empty() { Ok(options) } else { Err(RegisterError::Unsupported(unknown)) }
}

struct Path {
    value: String,
    /// The first hop keeps flows: its URI has `ob` (RFC 5626 §5.1). Each hop puts itself in front, so it is last.
    ends_at_outbound_edge: bool,
}

fn path(request: &Message, rules: &Rules, options: Options) -> Result<Path, RegisterError> {
    let mut path = Path { value: String::new(), ends_at_outbound_edge: false };
    if !rules.uses_path {
        return Ok(path);
    }
    for value in request.values(HeaderId::Path) {
        let text = str::from_utf8(value).map_err(|_| HeaderError::NotUtf8(HeaderId::Path))?;
        if path.value.len() + text.len() > MAX_PATH {
            return Err(RegisterError::TooLong("Path"));
        }
        let hop = NameAddr::parse(HeaderId::Path, text)?;
        let uri = hop
            .parsed_uri()
            .map_err(|_| RegisterError::Header(HeaderError::Malformed(HeaderId::Path)))?;
        path.ends_at_outbound_edge = uri.has_param("ob");
        path.value += if path.value.is_empty() { "" } else { "," };
        path.value.extend(text.split(['\r', '\n']));
    }
    if !path.value.is_empty() && rules.path_mode == PathMode::Strict && !options.path {
        return Err(RegisterError::Unsupported("path".to_owned()));
    }
    Ok(path)
}

/// The Expires header; one that cannot be read stands for an hour, as in a contact.
fn expires_header(request: &Message) -> Option<u32> {
    request.expires().unwrap_or(Some(UNREADABLE_EXPIRES))
}

/// The first bytes of a text, whole characters.
fn start(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

struct Reader<'a> {
    rules: &'a Rules,
    options: Options,
    /// The Expires header.
    expires: Option<u32>,
    request: &'a Message,
}

impl<'a> Reader<'a> {
    /// §10.3 step 6: `Contact: *` with `Expires: 0` and nothing else removes every binding.
    fn removes_all(&self) -> Result<bool, RegisterError> {
        let has_wildcard = self.request.values(HeaderId::Contact).any(|value| value == b"*");
        if has_wildcard && (self.count() != 1 || self.expires != Some(0)) {
            return Err(RegisterError::Wildcard);
        }
        Ok(has_wildcard)
    }

    fn count(&self) -> usize {
        self.request.values(HeaderId::Contact).count()
    }

    fn contacts(&self, is_outbound_path: bool) -> Result<Vec<Asked>, RegisterError> {
        // Each may take the place of one that goes.
        if self.count() > 2 * self.rules.max_contacts {
            return Err(RegisterError::TooManyContacts);
        }
        let longest = self.rules.max_contact_length + MAX_BESIDE_URI;
        if self.request.values(HeaderId::Contact).any(|value| value.len() > longest) {
            return Err(RegisterError::TooLong("Contact"));
        }
        let mut all: Vec<Asked> = Vec::new();
        for contact in self.request.contacts() {
            let asked = self.asked(&contact?, is_outbound_path)?;
            all.retain(|before| !before.is_same(&asked));
            all.push(asked);
        }
        let kept = || all.iter().filter(|asked| asked.seconds > 0);
        if kept().any(|asked| asked.reg_id > 0) && kept().count() > 1 {
            return Err(RegisterError::ManyFlows);
        }
        if self.rules.outbound == OutboundMode::Required && kept().any(|asked| asked.reg_id == 0) {
            return Err(RegisterError::OutboundRequired);
        }
        Ok(all)
    }

    fn asked(&self, contact: &NameAddr<'a>, is_outbound: bool) -> Result<Asked, RegisterError> {
        let uri = contact.parsed_uri().map_err(RegisterError::Contact)?;
        if contact.uri.len() > self.rules.max_contact_length {
            return Err(RegisterError::TooLong("Contact"));
        }
        let q = contact.params.find("q").map(|q| thousandths(&q.text()).ok_or(RegisterError::Q));
        let methods = contact.params.find("methods");
        let instance = instance(contact)?;
        Ok(Asked {
            uri: uri.as_str().to_owned(),
            seconds: self.seconds(contact)?,
            q: q.transpose()?.unwrap_or(self.rules.default_q),
            methods: match methods {
                Some(listed) => methods::of_param(&listed.text()),
                None => methods::of_allow(self.request),
            },
            reg_id: match instance {
                Some(_) => self.reg_id(contact, is_outbound)?,
                None => 0,
            },
            instance,
        })
    }

    /// RFC 5626 §6: the flow that a contact makes, if it makes one.
    fn reg_id(&self, contact: &NameAddr<'_>, is_outbound: bool) -> Result<u32, RegisterError> {
        let found = contact.params.find("reg-id");
        let reg_id = found.and_then(|param| lex::number(param.text().as_bytes())).unwrap_or(0);
        match self.rules.outbound {
            OutboundMode::Off => Ok(0),
            _ if reg_id == 0 || reg_id > i32::MAX as u32 => Ok(0),
            _ if is_outbound => Ok(reg_id),
            _ if self.options.outbound => Err(RegisterError::FirstHopLacksOutbound),
            _ => Ok(0),
        }
    }

    /// §10.3 step 7: for how long a contact is kept.
    fn seconds(&self, contact: &NameAddr<'_>) -> Result<u32, RegisterError> {
        let asked = match contact.params.find("expires") {
            Some(param) => lex::number(param.text().as_bytes()).unwrap_or(UNREADABLE_EXPIRES),
            None => self.expires.unwrap_or(self.rules.default_expires),
        };
        let min = self.rules.min_expires.min(NEVER_TOO_BRIEF);
        if asked > 0 && asked < min {
            return Err(RegisterError::TooBrief { min });
        }
        Ok(asked.min(self.rules.max_expires))
    }
}

/// The instance of a contact; one that no quoted string can carry as it stands is none.
fn instance(contact: &NameAddr<'_>) -> Result<Option<String>, RegisterError> {
    let Some(param) = contact.params.find("+sip.instance") else { return Ok(None) };
    let text = param.text();
    if text.len() > COLUMN {
        return Err(RegisterError::TooLong("+sip.instance"));
    }
    let is_plain = |c: char| !c.is_control() && c != '"' && c != '\\';
    Ok(Some(text.into_owned()).filter(|text| !text.is_empty() && text.chars().all(is_plain)))
}

impl Asked {
    /// What would have made this binding.
    pub(super) fn of(binding: &Binding) -> Self {
        Self {
            uri: binding.uri.clone(),
            seconds: 1,
            q: binding.q,
            methods: binding.methods,
            instance: binding.instance.clone(),
            reg_id: binding.reg_id,
        }
    }

    /// RFC 5627 §5.1: the contact of an instance is a SIP URI, and not the address that it is registered for.
    fn check_instance(
        &self,
        to: &Uri<'_>,
        address: &str,
        rules: &Rules,
    ) -> Result<(), RegisterError> {
        if self.instance.is_none() || self.seconds == 0 {
            return Ok(());
        }
        let uri = Uri::parse(&self.uri).map_err(RegisterError::Contact)?;
        if !uri.is_sip() {
            return Err(RegisterError::ContactIsNoSip);
        }
        let is_public_gruu = || rules.address.address_of(&uri).as_deref() == Some(address);
        if uri.is_equivalent(to) || (uri.has_param("gr") && is_public_gruu()) {
            return Err(RegisterError::LeadsBack);
        }
        Ok(())
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self.reg_id, other.reg_id) {
            (0, 0) => self.uri == other.uri || super::binding::is_equivalent(&self.uri, &other.uri),
            (one, two) => one == two && self.instance == other.instance,
        }
    }
}
