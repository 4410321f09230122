//! Addresses of record: the names that bindings are kept under.

use std::borrow::Cow;

use crate::sip::{Uri, escape_user, unescape};

/// Which users are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRules {
    /// `Alice` is not `alice`.
    pub is_case_sensitive: bool,
    /// `alice` of one domain is not `alice` of another.
    pub uses_domain: bool,
}

impl AddressRules {
    /// The address of record that a URI names, canonical (RFC 3261 §10.3 step 5); `None` for what is no SIP URI
    /// or names nobody.
    ///
    /// `user@host`, or `user` where domains do not count. Scheme, password, port, parameters and headers are dropped.
    /// The user is escaped only where it must be, so that each user has one spelling; the host is in lower
    /// case, an IP address in its shortest form.
    pub fn address_of_record(self, uri: &str) -> Option<String> {
        self.address_of(&Uri::parse(uri).ok()?)
    }

    pub(super) fn address_of(self, uri: &Uri<'_>) -> Option<String> {
        let full = full_address(uri, self)?;
        match self.uses_domain {
            true => Some(full),
            false => Some(full.split_once('@')?.0.to_owned()),
        }
    }

    /// The address of record of a user and a domain as a database has them.
    pub fn address_of_parts(self, user: &str, domain: &str) -> String {
        let user = self.cased(user);
        match (self.uses_domain, user.is_empty()) {
            (false, _) => escape_user(&user).into_owned(),
            (true, true) => domain.to_ascii_lowercase(),
            (true, false) => format!("{}@{}", escape_user(&user), domain.to_ascii_lowercase()),
        }
    }

    fn cased(self, user: &str) -> Cow<'_, str> {
        let is_cased = !self.is_case_sensitive
            && user.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii());
        if is_cased { Cow::Owned(user.to_lowercase()) } else { Cow::Borrowed(user) }
    }
}

/// `user@host` of a URI, whether or not domains count.
pub(super) fn full_address(uri: &Uri<'_>, rules: AddressRules) -> Option<String> {
    if !uri.is_sip() {
        return None;
    }
    let mut full = String::with_capacity(uri.opaque().len());
    if let Some(user) = uri.user() {
        let user = unescape(user);
        let user = rules.cased(str::from_utf8(&user).ok()?);
        full.extend([&*escape_user(&user), "@"]);
    }
    match uri.host_ip() {
        Some(ip) => full.push_str(&ip.to_string()),
        None => {
            let host = uri.host().strip_suffix('.').unwrap_or(uri.host());
            let start = full.len();
            full.push_str(host);
            full[start..].make_ascii_lowercase();
        }
    }
    Some(full)
}

/// The user and the domain of an address of record, the user without escapes.
pub fn parts_of_address(address: &str, rules: AddressRules) -> (String, &str) {
    let text = |user| String::from_utf8_lossy(&unescape(user)).into_owned();
    match address.split_once('@') {
        Some((user, host)) => (text(user), host),
        None if rules.uses_domain => (String::new(), address),
        None => (text(address), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENSITIVE: AddressRules = AddressRules { is_case_sensitive: true, uses_domain: true };
    const LAX: AddressRules = AddressRules { is_case_sensitive: false, uses_domain: false };

    #[test]
    fn s10_3_step_5_addresses_of_record_are_canonical() {
        for uri in [
            "sip:alice@SIP.example",
            "sip:%61lice:pw@sip.example;user=phone?a=b",
            "sips:alice@sip.example:5061",
            "sip:alice@sip.example.",
        ] {
            let address = SENSITIVE.address_of_record(uri);
            assert_eq!(address.as_deref(), Some("alice@sip.example"), "{uri}");
        }
        for (uri, address) in [
            ("sip:SIP.example", Some("sip.example")),
            ("sip:a%40b@h", Some("a%40b@h")),
            ("sip:%4a%20%C3%A9@h", Some("J%20%C3%A9@h")),
            ("sip:a@[2001:DB8:0::1]", Some("a@2001:db8::1")),
            ("sip:%ff@h", None),
            ("tel:+1", None),
            ("*", None),
        ] {
            assert_eq!(SENSITIVE.address_of_record(uri).as_deref(), address, "{uri}");
        }
    }

    #[test]
    fn case_and_domain_count_where_they_shall() {
        let one_domain = AddressRules { is_case_sensitive: true, ..LAX };
        assert_eq!(SENSITIVE.address_of_record("sip:Bob@H").as_deref(), Some("Bob@h"));
        assert_eq!(one_domain.address_of_record("sip:Bob@H").as_deref(), Some("Bob"));
        assert_eq!(LAX.address_of_record("sip:%42ob@H").as_deref(), Some("bob"));
        assert_eq!(LAX.address_of_record("sip:h"), None, "nobody is named");
    }

    #[test]
    fn a_database_has_the_parts_without_escapes() {
        let any_case = AddressRules { is_case_sensitive: false, ..SENSITIVE };
        for rules in [SENSITIVE, any_case] {
            for uri in ["sip:a%40b@h", "sip:%C3%A9@h", "sip:h", "sip:bob@[2001:db8::1]"] {
                let address = rules.address_of_record(uri).unwrap();
                let (user, domain) = parts_of_address(&address, rules);
                assert_eq!(rules.address_of_parts(&user, domain), address, "{uri}");
            }
        }
        assert_eq!(parts_of_address("a%40b@h", SENSITIVE), ("a@b".to_owned(), "h"));
        assert_eq!(LAX.address_of_parts("Bob", "h"), "bob");
        assert_eq!(parts_of_address("bob", LAX), ("bob".to_owned(), ""));
    }
}
