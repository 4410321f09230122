//! The defined conditions of stanza errors and stream errors, as tables.

use ErrorType::{Auth, Cancel, Modify, Wait};

/// What the sender of a failed stanza may do about it (RFC 6120 §8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Retry after providing credentials.
    Auth,
    /// Do not retry.
    Cancel,
    /// Nothing: the stanza was processed, this is a warning.
    Continue,
    /// Retry after changing what was sent.
    Modify,
    /// Retry after waiting.
    Wait,
}

impl ErrorType {
    const ALL: [Self; 5] = [Self::Auth, Self::Cancel, Self::Continue, Self::Modify, Self::Wait];

    /// The value of the `type` attribute.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|error_type| error_type.name() == name)
    }
}

/// Declares an enum of conditions with their element names.
macro_rules! conditions {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl $type {
            /// Every condition, in the order of the RFC.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name of the condition's element.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

conditions! {
    /// The defined conditions of stanza errors: RFC 6120 §8.3.3, and `payment-required` of its
    /// predecessor RFC 3920, which old servers still send.
    Condition {
        BadRequest = "bad-request",
        Conflict = "conflict",
        FeatureNotImplemented = "feature-not-implemented",
        Forbidden = "forbidden",
        Gone = "gone",
        InternalServerError = "internal-server-error",
        ItemNotFound = "item-not-found",
        JidMalformed = "jid-malformed",
        NotAcceptable = "not-acceptable",
        NotAllowed = "not-allowed",
        NotAuthorized = "not-authorized",
        PaymentRequired = "payment-required",
        PolicyViolation = "policy-violation",
        RecipientUnavailable = "recipient-unavailable",
        Redirect = "redirect",
        RegistrationRequired = "registration-required",
        RemoteServerNotFound = "remote-server-not-found",
        RemoteServerTimeout = "remote-server-timeout",
        ResourceConstraint = "resource-constraint",
        ServiceUnavailable = "service-unavailable",
        SubscriptionRequired = "subscription-required",
        UndefinedCondition = "undefined-condition",
        UnexpectedRequest = "unexpected-request",
    }
}

impl Condition {
    /// The condition with this element name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|condition| condition.name() == name)
    }

    /// The condition that an error with nothing but a legacy `code` means (XEP-0086).
    pub fn from_legacy_code(code: u16) -> Option<Self> {
        LEGACY.iter().find(|(legacy, _)| *legacy == code).map(|(_, condition)| *condition)
    }

    /// The type that usually goes with the condition (RFC 6120 §8.3.3).
    pub const fn error_type(self) -> ErrorType {
        match self {
            Self::Forbidden
            | Self::NotAuthorized
            | Self::PaymentRequired
            | Self::RegistrationRequired
            | Self::SubscriptionRequired => Auth,
            Self::BadRequest
            | Self::JidMalformed
            | Self::NotAcceptable
            | Self::PolicyViolation
            | Self::Redirect => Modify,
            Self::RecipientUnavailable
            | Self::RemoteServerTimeout
            | Self::ResourceConstraint
            | Self::UnexpectedRequest => Wait,
            Self::Conflict
            | Self::FeatureNotImplemented
            | Self::Gone
            | Self::InternalServerError
            | Self::ItemNotFound
            | Self::NotAllowed
            | Self::RemoteServerNotFound
            | Self::ServiceUnavailable
            | Self::UndefinedCondition => Cancel,
        }
    }

    /// The `code` that a peer of before RFC 3920 understands (XEP-0086). `policy-violation` is
    /// younger than the table and has the code of its nearest kin, `not-acceptable`.
    pub const fn legacy_code(self) -> u16 {
        match self {
            Self::BadRequest | Self::JidMalformed | Self::UnexpectedRequest => 400,
            Self::Conflict => 409,
            Self::FeatureNotImplemented => 501,
            Self::Forbidden => 403,
            Self::Gone | Self::Redirect => 302,
            Self::InternalServerError | Self::ResourceConstraint | Self::UndefinedCondition => 500,
            Self::ItemNotFound | Self::RecipientUnavailable | Self::RemoteServerNotFound => 404,
            Self::NotAcceptable | Self::PolicyViolation => 406,
            Self::NotAllowed => 405,
            Self::NotAuthorized => 401,
            Self::PaymentRequired => 402,
            Self::RegistrationRequired | Self::SubscriptionRequired => 407,
            Self::RemoteServerTimeout => 504,
            Self::ServiceUnavailable => 503,
        }
    }
}

/// XEP-0086: what a bare code means.
const LEGACY: &[(u16, Condition)] = &[
    (302, Condition::Redirect),
    (400, Condition::BadRequest),
    (401, Condition::NotAuthorized),
    (402, Condition::PaymentRequired),
    (403, Condition::Forbidden),
    (404, Condition::ItemNotFound),
    (405, Condition::NotAllowed),
    (406, Condition::NotAcceptable),
    (407, Condition::RegistrationRequired),
    (408, Condition::RemoteServerTimeout),
    (409, Condition::Conflict),
    (500, Condition::InternalServerError),
    (501, Condition::FeatureNotImplemented),
    (502, Condition::ServiceUnavailable),
    (503, Condition::ServiceUnavailable),
    (504, Condition::RemoteServerTimeout),
    (510, Condition::ServiceUnavailable),
];

conditions! {
    /// The defined conditions of stream errors (RFC 6120 §4.9.3).
    StreamCondition {
        BadFormat = "bad-format",
        BadNamespacePrefix = "bad-namespace-prefix",
        Conflict = "conflict",
        ConnectionTimeout = "connection-timeout",
        HostGone = "host-gone",
        HostUnknown = "host-unknown",
        ImproperAddressing = "improper-addressing",
        InternalServerError = "internal-server-error",
        InvalidFrom = "invalid-from",
        InvalidNamespace = "invalid-namespace",
        InvalidXml = "invalid-xml",
        NotAuthorized = "not-authorized",
        NotWellFormed = "not-well-formed",
        PolicyViolation = "policy-violation",
        RemoteConnectionFailed = "remote-connection-failed",
        Reset = "reset",
        ResourceConstraint = "resource-constraint",
        RestrictedXml = "restricted-xml",
        SeeOtherHost = "see-other-host",
        SystemShutdown = "system-shutdown",
        UndefinedCondition = "undefined-condition",
        UnsupportedEncoding = "unsupported-encoding",
        UnsupportedFeature = "unsupported-feature",
        UnsupportedStanzaType = "unsupported-stanza-type",
        UnsupportedVersion = "unsupported-version",
    }
}

impl StreamCondition {
    /// The condition with this element name, or with its name in RFC 3920.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "xml-not-well-formed" => Some(Self::NotWellFormed),
            "invalid-id" => Some(Self::ImproperAddressing),
            name => Self::ALL.iter().copied().find(|condition| condition.name() == name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_is_found_by_its_name() {
        for condition in Condition::ALL {
            assert_eq!(Condition::from_name(condition.name()), Some(*condition));
        }
        for condition in StreamCondition::ALL {
            assert_eq!(StreamCondition::from_name(condition.name()), Some(*condition));
        }
        assert_eq!(Condition::from_name("no-such-condition"), None);
    }

    #[test]
    fn the_rfcs_have_so_many_conditions() {
        assert_eq!(Condition::ALL.len(), 22 + 1);
        assert_eq!(StreamCondition::ALL.len(), 25);
    }

    #[test]
    fn no_legacy_code_stands_twice_and_each_that_we_write_can_be_read() {
        for (i, (code, _)) in LEGACY.iter().enumerate() {
            assert!(LEGACY[..i].iter().all(|(above, _)| above < code));
        }
        for condition in Condition::ALL {
            assert!(Condition::from_legacy_code(condition.legacy_code()).is_some());
        }
    }
}
