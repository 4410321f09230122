//! How one network's addresses look in the other: RFC 7247 or one of the legacy gateways.

use crate::sip::Uri;
use crate::xmpp::Jid;

use super::address::{
    AddressError, SipAddress, SipsPolicy, jid_from_parts, sip_from_parts, user_of,
};

/// Where the person behind an address is at home.
///
/// The legacy dialects write an address of a SIP user in XMPP differently from that of an XMPP user in
/// SIP, so the owner must be told: the sender of a SIP message is of [`Side::Sip`], its destination
/// of [`Side::Xmpp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A SIP user, known in SIP by the own URI and in XMPP by a JID of the gateway.
    Sip,
    /// An XMPP user, known in XMPP by the own JID and in SIP by a URI of the gateway.
    Xmpp,
}

/// A way to write addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// One to one, resources as `gr` (RFC 7247 §6).
    #[default]
    Rfc,
    /// OpenSER's and Kamailio's `xmpp` module.
    Kamailio(Kamailio),
    /// OpenSIPS's `xmpp` module: one to one without resources.
    Opensips {
        /// The domain both networks use; SIP users have it in SIP.
        xmpp_domain: String,
        /// The domain that SIP users have in XMPP, when `xmpp_domain` is taken there.
        sip_domain: Option<String>,
    },
}

/// The parameters of Kamailio's `xmpp` module that shape addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kamailio {
    /// Stands between a user and the home domain; `*` by default.
    pub domain_separator: char,
    /// The domain of XMPP users in SIP.
    pub gateway_domain: String,
    /// The domain of SIP users in XMPP.
    pub xmpp_domain: String,
    /// Pairs of SIP and XMPP domains; when there are any, nothing is encoded with the separator.
    pub gwmap: Vec<(String, String)>,
}

impl Kamailio {
    /// Reads a `gwmap` value, `sip.example=xmpp.example;both.example`.
    ///
    /// An entry without `=` stands for itself on both sides.
    pub fn gwmap(value: &str) -> Vec<(String, String)> {
        let entries = value.split(';').map(str::trim).filter(|entry| !entry.is_empty());
        let pair = |entry: &str| {
            let (sip, xmpp) = entry.split_once('=').unwrap_or((entry, entry));
            (sip.trim().to_owned(), xmpp.trim().to_owned())
        };
        entries.map(pair).collect()
    }

    fn mapped_to_xmpp<'a>(&'a self, host: &'a str) -> &'a str {
        let found = self.gwmap.iter().find(|(sip, _)| sip.eq_ignore_ascii_case(host));
        found.map_or(host, |(_, xmpp)| xmpp)
    }

    fn mapped_to_sip<'a>(&'a self, domain: &'a str) -> &'a str {
        let found = self.gwmap.iter().find(|(_, xmpp)| xmpp.eq_ignore_ascii_case(domain));
        found.map_or(domain, |(sip, _)| sip)
    }

    /// `user` and home domain of an encoded user part.
    ///
    /// The last separator counts, so that a user who has one in the name is found again; the module took
    /// the first. Only a separator that host names may hold counts from the left.
    fn split<'a>(&self, encoded: &'a str) -> Result<(&'a str, &'a str), AddressError> {
        let separator = self.domain_separator;
        let is_in_hosts = separator.is_alphanumeric() || matches!(separator, '-' | '.' | '_');
        let split = if is_in_hosts {
            encoded.split_once(separator)
        } else {
            encoded.rsplit_once(separator)
        };
        match split {
            Some((user, domain)) if !user.is_empty() && !domain.is_empty() => Ok((user, domain)),
            _ => Err(AddressError::MissingSeparator { user: encoded.to_owned(), separator }),
        }
    }

    fn jid_from_sip(&self, address: &SipAddress<'_>, owner: Side) -> Result<Jid, AddressError> {
        let user = address.user.as_deref();
        if !self.gwmap.is_empty() {
            return jid_from_parts(user, self.mapped_to_xmpp(address.host), None);
        }
        let user = user.ok_or(AddressError::MissingUser)?;
        match owner {
            Side::Sip => {
                let encoded = format!("{user}{}{}", self.domain_separator, address.host);
                jid_from_parts(Some(&encoded), &self.xmpp_domain, None)
            }
            Side::Xmpp => {
                let (user, domain) = self.split(user)?;
                jid_from_parts(Some(user), domain, None)
            }
        }
    }

    fn sip_from_jid(&self, jid: &Jid, owner: Side) -> Result<String, AddressError> {
        let (user, domain) = (user_of(jid)?, jid.domain().as_str());
        if !self.gwmap.is_empty() {
            return sip_from_parts(user.as_deref(), self.mapped_to_sip(domain), None);
        }
        let user = user.ok_or(AddressError::MissingUser)?;
        match owner {
            Side::Xmpp => {
                let encoded = format!("{user}{}{domain}", self.domain_separator);
                sip_from_parts(Some(&encoded), &self.gateway_domain, None)
            }
            Side::Sip => {
                let (user, domain) = self.split(&user)?;
                sip_from_parts(Some(user), domain, None)
            }
        }
    }
}

/// A dialect and the policies that go with addresses in every dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addressing {
    /// How addresses are written.
    pub dialect: Dialect,
    /// Whether sips addresses may leave for XMPP.
    pub sips: SipsPolicy,
    /// The host that telephone numbers (`tel:`) get; without one they are refused.
    pub tel_domain: Option<String>,
}

impl Addressing {
    /// The JID of the person at a SIP address (RFC 7247 §6.4).
    pub fn jid_from_sip(&self, uri: &Uri<'_>, owner: Side) -> Result<Jid, AddressError> {
        let address = SipAddress::parse(uri, self.sips, self.tel_domain.as_deref())?;
        let user = address.user.as_deref();
        match &self.dialect {
            Dialect::Rfc => jid_from_parts(user, address.host, address.instance.as_deref()),
            Dialect::Kamailio(kamailio) => kamailio.jid_from_sip(&address, owner),
            Dialect::Opensips { xmpp_domain, sip_domain: Some(sip_domain) }
                if owner == Side::Sip && address.host.eq_ignore_ascii_case(xmpp_domain) =>
            {
                jid_from_parts(user, sip_domain, None)
            }
            Dialect::Opensips { .. } => jid_from_parts(user, address.host, None),
        }
    }

    /// The SIP URI of the person with a JID (RFC 7247 §6.5).
    pub fn sip_from_jid(&self, jid: &Jid, owner: Side) -> Result<String, AddressError> {
        let (user, domain) = (user_of(jid)?, jid.domain().as_str());
        let user = user.as_deref();
        match &self.dialect {
            Dialect::Rfc => {
                sip_from_parts(user, domain, jid.resource().map(|resource| resource.as_str()))
            }
            Dialect::Kamailio(kamailio) => kamailio.sip_from_jid(jid, owner),
            Dialect::Opensips { xmpp_domain, sip_domain: Some(sip_domain) }
                if owner == Side::Sip && domain.eq_ignore_ascii_case(sip_domain) =>
            {
                sip_from_parts(user, xmpp_domain, None)
            }
            Dialect::Opensips { .. } => sip_from_parts(user, domain, None),
        }
    }
}
