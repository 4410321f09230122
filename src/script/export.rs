//! What scripts may call: names, parameters and the routes in which a function has a meaning.

use std::fmt;
use std::ops::BitOr;

/// The kind of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// `request_route`: a SIP request has come.
    Request,
    /// `failure_route_X`: every branch has failed.
    Failure,
    /// `branch_route_X`: one branch is about to leave.
    Branch,
    /// `onreply_route_X`: a response has come.
    OnReply,
    /// `xmpp_message_route`: a message stanza has come.
    XmppMessage,
    /// `xmpp_presence_route`: a presence stanza has come.
    XmppPresence,
    /// `xmpp_iq_route`: an IQ stanza has come.
    XmppIq,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Request,
        Self::Failure,
        Self::Branch,
        Self::OnReply,
        Self::XmppMessage,
        Self::XmppPresence,
        Self::XmppIq,
    ];

    /// The name of the route's function; with `_X` behind it where [`Self::is_named`].
    pub const fn function(self) -> &'static str {
        match self {
            Self::Request => "request_route",
            Self::Failure => "failure_route",
            Self::Branch => "branch_route",
            Self::OnReply => "onreply_route",
            Self::XmppMessage => "xmpp_message_route",
            Self::XmppPresence => "xmpp_presence_route",
            Self::XmppIq => "xmpp_iq_route",
        }
    }

    /// Are there many routes of this kind, each with a name that the script arms?
    pub const fn is_named(self) -> bool {
        matches!(self, Self::Failure | Self::Branch | Self::OnReply)
    }

    /// The route that a script function is, with its name where the kind is named.
    pub fn of_function(function: &str) -> Option<(Self, Option<&str>)> {
        Self::ALL.into_iter().find_map(|kind| {
            let rest = function.strip_prefix(kind.function())?;
            match (kind.is_named(), rest.strip_prefix('_')) {
                (true, Some(name)) if !name.is_empty() => Some((kind, Some(name))),
                (false, None) if rest.is_empty() => Some((kind, None)),
                _ => None,
            }
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function())
    }
}

/// A set of route kinds: `REQUEST | FAILURE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kinds(u8);

/// `request_route`
pub const REQUEST: Kinds = Kinds::of(Kind::Request);
/// `failure_route_X`
pub const FAILURE: Kinds = Kinds::of(Kind::Failure);
/// `branch_route_X`
pub const BRANCH: Kinds = Kinds::of(Kind::Branch);
/// `onreply_route_X`
pub const ONREPLY: Kinds = Kinds::of(Kind::OnReply);
/// `xmpp_message_route`
pub const XMPP_MESSAGE: Kinds = Kinds::of(Kind::XmppMessage);
/// `xmpp_presence_route`
pub const XMPP_PRESENCE: Kinds = Kinds::of(Kind::XmppPresence);
/// `xmpp_iq_route`
pub const XMPP_IQ: Kinds = Kinds::of(Kind::XmppIq);
/// Every route of a SIP message.
pub const ANY_SIP: Kinds = REQUEST.or(FAILURE).or(BRANCH).or(ONREPLY);
/// Every route of a stanza.
pub const ANY_XMPP: Kinds = XMPP_MESSAGE.or(XMPP_PRESENCE).or(XMPP_IQ);
/// Every route.
pub const ANY: Kinds = ANY_SIP.or(ANY_XMPP);

impl Kinds {
    /// The set of one kind.
    pub const fn of(kind: Kind) -> Self {
        Self(1 << kind as u8)
    }

    /// Both sets together; `|` where it need not be `const`.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Is the kind in the set?
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// The kinds in the set.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, kind) in self.iter().enumerate() {
            write!(f, "{}{kind}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// Text.
    Str,
    /// A whole number.
    Int,
    /// `true` or `false`.
    Bool,
    /// Anything.
    Any,
    /// Text that is a regular expression.
    Regex,
    /// Text of the form `/pattern/replacement/flags`.
    Substitution,
    /// A final or provisional SIP status, 100 to 699.
    Status,
    /// Text that names a route of this kind, which the function arms.
    Route(Kind),
}

/// What a function gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// `()`.
    Nothing,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// Text.
    Str,
    /// Anything.
    Any,
    /// The end of the script.
    End,
}

/// One function that scripts may call, with one number of arguments.
///
/// A function that takes two or three arguments is two exports of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    /// The name in scripts.
    pub name: &'static str,
    /// The parameters' names.
    pub params: &'static [&'static str],
    /// The parameters' types, as many as names.
    pub types: &'static [ParamType],
    /// Where it may be called.
    pub kinds: Kinds,
    /// What it gives back.
    pub gives: Given,
    /// What the configuration lacks, so that every call fails.
    pub lack: Option<&'static str>,
}

impl Export {
    /// The function as it is written in a script: `sl_send_reply(code, reason)`.
    pub fn signature(&self) -> String {
        format!("{}({})", self.name, self.params.join(", "))
    }
}

/// Everything that scripts may call or read besides what the language brings.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    exports: Vec<Export>,
    globals: Vec<&'static str>,
}

impl Catalogue {
    /// A catalogue of these functions.
    pub fn new(exports: impl IntoIterator<Item = Export>) -> Self {
        Self { exports: exports.into_iter().collect(), globals: Vec::new() }
    }

    /// The same catalogue with variables that every script can read.
    pub fn with_globals(mut self, names: impl IntoIterator<Item = &'static str>) -> Self {
        self.globals.extend(names);
        self
    }

    /// The same catalogue where nothing is known of the configuration.
    pub fn for_any_configuration(mut self) -> Self {
        self.exports.iter_mut().for_each(|export| export.lack = None);
        self
    }

    /// The forms of one function, one for each number of arguments.
    pub fn forms(&self, name: &str) -> impl Iterator<Item = &Export> {
        self.exports.iter().filter(move |export| export.name == name)
    }

    /// The names of all functions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.exports.iter().map(|export| export.name)
    }

    /// The variables that every script can read.
    pub fn globals(&self) -> &[&'static str] {
        &self.globals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_functions_name_tells_the_route() {
        assert_eq!(Kind::of_function("request_route"), Some((Kind::Request, None)));
        assert_eq!(Kind::of_function("failure_route_MAIL"), Some((Kind::Failure, Some("MAIL"))));
        assert_eq!(Kind::of_function("xmpp_iq_route"), Some((Kind::XmppIq, None)));
        for none in ["failure_route", "failure_route_", "request_route_2", "route"] {
            assert_eq!(Kind::of_function(none), None, "{none}");
        }
    }

    #[test]
    fn sets_contain_what_they_are_made_of() {
        assert_eq!((REQUEST | FAILURE).to_string(), "request_route, failure_route");
        assert_eq!(ANY.iter().count(), Kind::ALL.len());
        assert!(!ANY_SIP.contains(Kind::XmppIq));
    }
}
