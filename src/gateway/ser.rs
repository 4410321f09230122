//! Addresses of SER's `jabber` module: `user*host@jdomain`, rooms, and the aliases of legacy transports.

use std::borrow::Cow;

use super::address::{
    AddressError, decoded, jid_from_parts, percent_encoded, sip_from_parts, user_of,
};
use crate::sip::{Uri, escape_user};
use crate::xmpp::Jid;

/// A domain parameter, `domain` or `domain=<delimiter>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerDomain {
    /// The domain in SIP URIs.
    pub domain: String,
    /// The character behind `=`.
    pub delimiter: Option<char>,
}

impl SerDomain {
    /// Reads `jabber.example=*`.
    pub fn parse(value: &str) -> Self {
        let (domain, delimiter) = value.trim().split_once('=').unwrap_or((value.trim(), ""));
        Self { domain: domain.trim().to_owned(), delimiter: delimiter.trim().chars().next() }
    }
}

/// The parameters `jdomain` and `aliases`.
///
/// SIP users have no addresses here: each has an account, whose JID stands for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ser {
    /// The domain of the Jabber network; its delimiter is `*` unless given.
    pub jdomain: SerDomain,
    /// The domains of transports behind the Jabber server. Users keep their address; with a delimiter, that of
    /// `jdomain` is exchanged for it.
    pub aliases: Vec<SerDomain>,
}

/// Whom a SIP user writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A user of the Jabber network or of a transport.
    User(Jid),
    /// A room.
    Room {
        /// The room's bare JID.
        room: Jid,
        /// The nickname in it; `None` for the user's own name.
        nick: Option<String>,
    },
}

impl Ser {
    /// Reads both parameters; `aliases` is `N;alias1[=<delimiter>];…`, its count and its last `;` optional.
    pub fn parse(jdomain: &str, aliases: &str) -> Self {
        let is_count = |part: &&str| part.bytes().all(|b| b.is_ascii_digit());
        let aliases = aliases.split(';').map(str::trim).filter(|part| !is_count(part));
        Self {
            jdomain: SerDomain::parse(jdomain),
            aliases: aliases.map(SerDomain::parse).collect(),
        }
    }

    /// Whether a SIP host is the Jabber network or one of the transports.
    pub fn serves(&self, host: &str) -> bool {
        let is_host = |domain: &SerDomain| domain.domain.eq_ignore_ascii_case(host);
        is_host(&self.jdomain) || self.aliases.iter().any(is_host)
    }

    /// Whether a domain is that of a transport.
    pub fn is_alias(&self, domain: &str) -> bool {
        self.alias(domain).is_some()
    }

    /// Whom a URI names.
    ///
    /// With `jdomain`, one delimiter makes a user, two make a room (`nick*room*server`). An escaped delimiter
    /// belongs to a name.
    pub fn destination(&self, uri: &Uri<'_>) -> Result<Destination, AddressError> {
        let user = uri.user().ok_or(AddressError::MissingUser)?;
        if let Some(alias) = self.alias(uri.host()) {
            let name = self.with_alias_delimiter(user, alias)?;
            return Ok(Destination::User(jid_from_parts(Some(&name), &alias.domain, None)?));
        }
        if !self.jdomain.domain.eq_ignore_ascii_case(uri.host()) {
            return Err(AddressError::ForeignDomain { domain: uri.host().to_owned() });
        }
        let parts: Vec<Cow<'_, str>> =
            user.split(self.delimiter()).map(decoded).collect::<Result<_, _>>()?;
        match &parts[..] {
            [user, host] if !user.is_empty() && !host.is_empty() => {
                Ok(Destination::User(jid_from_parts(Some(user), host, None)?))
            }
            [nick, room, server] if !room.is_empty() && !server.is_empty() => {
                let room = jid_from_parts(Some(room), server, None)?;
                let nick = Some(nick.to_string()).filter(|nick| !nick.is_empty());
                Ok(Destination::Room { room, nick })
            }
            _ => Err(AddressError::MissingSeparator {
                user: user.to_owned(),
                separator: self.delimiter(),
            }),
        }
    }

    /// The SIP URI of a Jabber user or a transport's user; the resource is dropped.
    pub fn sip_from_jid(&self, jid: &Jid) -> Result<String, AddressError> {
        let user = user_of(jid)?.ok_or(AddressError::MissingUser)?;
        let domain = jid.domain().as_str();
        if let Some(alias) = self.alias(domain) {
            let user = match alias.delimiter {
                Some(delimiter) => user.replace(delimiter, &self.delimiter().to_string()),
                None => user,
            };
            return sip_from_parts(Some(&user), &alias.domain, None);
        }
        let delimiter = self.delimiter();
        let escaped = escape_user(&user).replace(delimiter, &percent_encoded(delimiter));
        let host = escape_user(domain).into_owned();
        Ok(format!("sip:{escaped}{delimiter}{host}@{}", self.jdomain.domain))
    }

    fn delimiter(&self) -> char {
        self.jdomain.delimiter.unwrap_or('*')
    }

    fn alias(&self, domain: &str) -> Option<&SerDomain> {
        self.aliases.iter().find(|alias| alias.domain.eq_ignore_ascii_case(domain))
    }

    fn with_alias_delimiter(&self, user: &str, alias: &SerDomain) -> Result<String, AddressError> {
        let name = decoded(user)?;
        Ok(match alias.delimiter {
            Some(delimiter) => name.replace(self.delimiter(), &delimiter.to_string()),
            None => name.into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ser() -> Ser {
        Ser::parse("jabber.x.com=*", "4;aim.x.com;icq.x.com;msn.x.com=%;yahoo.x.com;")
    }

    fn destination(uri: &str) -> Result<Destination, AddressError> {
        ser().destination(&Uri::parse(uri).unwrap())
    }

    fn user(jid: &str) -> Destination {
        Destination::User(Jid::new(jid).unwrap())
    }

    #[test]
    fn users_and_transports_cross_and_come_back() {
        for (uri, jid) in [
            ("sip:alpha*jabber.org@jabber.x.com", "alpha@jabber.org"),
            ("sip:o'hara*jabber.org@jabber.x.com", "o\\27hara@jabber.org"),
            ("sip:a%2Ab*jabber.org@jabber.x.com", "a*b@jabber.org"),
            ("sip:alpha@aim.x.com", "alpha@aim.x.com"),
            ("sip:1234567@icq.x.com", "1234567@icq.x.com"),
            ("sip:alpha*hotmail.com@msn.x.com", "alpha%hotmail.com@msn.x.com"),
            ("sip:alpha@yahoo.x.com", "alpha@yahoo.x.com"),
        ] {
            assert_eq!(destination(uri), Ok(user(jid)), "{uri}");
            assert_eq!(ser().sip_from_jid(&Jid::new(jid).unwrap()).as_deref(), Ok(uri), "{jid}");
        }
    }

    #[test]
    fn resources_are_dropped_for_transports_too() {
        for (jid, uri) in [
            ("alpha@jabber.org/Home", "sip:alpha*jabber.org@jabber.x.com"),
            ("123@icq.x.com/x", "sip:123@icq.x.com"),
        ] {
            assert_eq!(ser().sip_from_jid(&Jid::new(jid).unwrap()).as_deref(), Ok(uri));
        }
    }

    #[test]
    fn two_delimiters_make_a_room() {
        let room = Jid::new("chatting@conference.jabber.org").unwrap();
        for (nick, uri) in [
            (Some("bob"), "sip:bob*chatting*conference.jabber.org@jabber.x.com"),
            (None, "sip:*chatting*conference.jabber.org@JABBER.x.com:5060;transport=tcp"),
        ] {
            let nick = nick.map(str::to_owned);
            assert_eq!(destination(uri), Ok(Destination::Room { room: room.clone(), nick }));
        }
    }

    #[test]
    fn anything_else_is_404() {
        for uri in [
            "sip:alpha@jabber.x.com",
            "sip:a*b*c*d@jabber.x.com",
            "sip:*b@jabber.x.com",
            "sip:jabber.x.com",
            "sip:alpha*jabber.org@elsewhere.com",
        ] {
            assert_eq!(destination(uri).unwrap_err().status().0, 404, "{uri}");
        }
    }

    #[test]
    fn parameters_are_read_as_administrators_wrote_them() {
        assert_eq!(ser().aliases.len(), 4);
        assert_eq!(Ser::parse("j", "1;msn.x.com=%").aliases, [SerDomain::parse("msn.x.com=%")]);
        assert!(Ser::parse("j", "").aliases.is_empty());
        assert!(ser().serves("AIM.x.com") && !ser().serves("x.com"));
    }
}
