//! Request methods (RFC 3261 §7.1 and its extensions).

use std::fmt;

/// A request method; names are case-sensitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method<'a> {
    /// RFC 3261 §13.
    Invite,
    /// RFC 3261 §17.1.1.3.
    Ack,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §15.
    Bye,
    /// RFC 3261 §10.
    Register,
    /// RFC 3261 §11.
    Options,
    /// RFC 3428.
    Message,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3903.
    Publish,
    /// RFC 3515.
    Refer,
    /// RFC 6086.
    Info,
    /// RFC 3311.
    Update,
    /// RFC 3262.
    Prack,
    /// A method that no specification known here defines; empty when a reply has no readable CSeq.
    Other(&'a str),
}

/// Every method known by name, and the name.
const NAMES: &[(Method<'static>, &str)] = &[
    (Method::Invite, "INVITE"),
    (Method::Ack, "ACK"),
    (Method::Cancel, "CANCEL"),
    (Method::Bye, "BYE"),
    (Method::Register, "REGISTER"),
    (Method::Options, "OPTIONS"),
    (Method::Message, "MESSAGE"),
    (Method::Subscribe, "SUBSCRIBE"),
    (Method::Notify, "NOTIFY"),
    (Method::Publish, "PUBLISH"),
    (Method::Refer, "REFER"),
    (Method::Info, "INFO"),
    (Method::Update, "UPDATE"),
    (Method::Prack, "PRACK"),
];

impl<'a> Method<'a> {
    /// The method of this name.
    pub fn from_name(name: &'a str) -> Self {
        match NAMES.iter().find(|(_, known)| *known == name) {
            Some((method, _)) => *method,
            None => Self::Other(name),
        }
    }

    /// The method's name as it stands in a message.
    pub fn as_str(&self) -> &'a str {
        match self {
            Self::Other(name) => name,
            known => NAMES.iter().find(|(method, _)| method == known).map_or("", |(_, name)| name),
        }
    }

    /// True when a specification known here defines the method.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// True when a 2xx reply to the method creates a dialog (RFC 3261 §12.1, RFC 6665, RFC 3515).
    pub fn creates_dialog(&self) -> bool {
        matches!(self, Self::Invite | Self::Subscribe | Self::Refer)
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_method_and_back() {
        for (method, name) in NAMES {
            assert_eq!(Method::from_name(name), *method);
            assert_eq!(method.as_str(), *name);
        }
    }

    #[test]
    fn case_and_escapes_make_another_method() {
        assert_eq!(Method::from_name("invite"), Method::Other("invite"));
        assert_eq!(Method::from_name("IN%56ITE").as_str(), "IN%56ITE");
    }
}
