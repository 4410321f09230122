//! Stanza error conditions ⇄ SIP response codes (RFC 7247 §7), as tables.

use std::ops::RangeInclusive;

use crate::xmpp::Condition::{self, *};

/// Which table turns SIP codes into conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorMap {
    /// RFC 7247 Table 3.
    #[default]
    Rfc7247,
    /// The table of the `pua_xmpp` module, which follows an older draft.
    PuaXmpp,
}

/// What a stanza error was about; SIP tells a failed device (4xx) from a failed user (6xx).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A full JID: one device.
    Device,
    /// A bare JID: the user, all devices.
    User,
}

/// The code a condition is answered with: about a device, about a user.
type ToSip = (Condition, u16, u16);

/// RFC 7247 Table 2, in its order, notes (1) and (2) in the two columns.
///
/// Where the RFC leaves a choice: `gone` here is the form without an address (note 3),
/// `remote-server-not-found` is a server that does not exist (note 4), `service-unavailable` is 403 and
/// never 503, which would take the whole gateway out of a dispatcher's set (note 5), and
/// `unexpected-request` is the first of its two codes.
const TO_SIP: &[ToSip] = &[
    (BadRequest, 400, 400),
    (Conflict, 400, 400),
    (FeatureNotImplemented, 405, 501),
    (Forbidden, 403, 603),
    (Gone, 410, 410),
    (InternalServerError, 500, 500),
    (ItemNotFound, 404, 604),
    (JidMalformed, 400, 400),
    (NotAcceptable, 406, 606),
    (NotAllowed, 403, 403),
    (NotAuthorized, 401, 401),
    // Of RFC 3920; RFC 6120 and so the RFC's table have it no more.
    (PaymentRequired, 402, 402),
    (PolicyViolation, 403, 403),
    (RecipientUnavailable, 480, 600),
    (Redirect, 302, 302),
    (RegistrationRequired, 407, 407),
    (RemoteServerNotFound, 404, 404),
    (RemoteServerTimeout, 408, 408),
    (ResourceConstraint, 500, 500),
    (ServiceUnavailable, 403, 403),
    (SubscriptionRequired, 400, 400),
    (UndefinedCondition, 400, 400),
    (UnexpectedRequest, 491, 491),
];

/// The SIP code for a condition (RFC 7247 §7.1).
///
/// `has_address` says whether `<gone/>` names a new address: then it MUST be 301, without one 410.
pub fn code_from_condition(condition: Condition, scope: Scope, has_address: bool) -> u16 {
    if condition == Gone && has_address {
        return 301;
    }
    let row = TO_SIP.iter().find(|(row, ..)| *row == condition);
    match (row, scope) {
        (Some((_, device, _)), Scope::Device) => *device,
        (Some((_, _, user)), Scope::User) => *user,
        (None, _) => 400,
    }
}

/// The condition a range of codes stands for.
type FromSip = (RangeInclusive<u16>, Condition);

/// RFC 7247 Table 3; the first match wins, so a code stands above its class.
const FROM_SIP: &[FromSip] = &[
    (301..=301, Gone),
    (380..=380, NotAcceptable),
    (300..=399, Redirect),
    (401..=401, NotAuthorized),
    (403..=403, Forbidden),
    (404..=404, ItemNotFound),
    (405..=405, FeatureNotImplemented),
    (406..=406, NotAcceptable),
    (407..=407, RegistrationRequired),
    (408..=408, RemoteServerTimeout),
    (410..=410, Gone),
    (413..=414, PolicyViolation),
    (415..=416, NotAcceptable),
    (420..=420, FeatureNotImplemented),
    (421..=421, NotAcceptable),
    (423..=423, ResourceConstraint),
    (430..=430, RecipientUnavailable),
    (439..=439, FeatureNotImplemented),
    (440..=440, PolicyViolation),
    (480..=480, RecipientUnavailable),
    (481..=481, ItemNotFound),
    (482..=483, NotAcceptable),
    (484..=485, ItemNotFound),
    (486..=487, RecipientUnavailable),
    (488..=488, NotAcceptable),
    (489..=489, PolicyViolation),
    (491..=491, UnexpectedRequest),
    (400..=499, BadRequest),
    (501..=501, FeatureNotImplemented),
    (502..=502, RemoteServerNotFound),
    (504..=504, RemoteServerTimeout),
    (505..=505, NotAcceptable),
    (513..=513, PolicyViolation),
    (500..=599, InternalServerError),
    (604..=604, ItemNotFound),
    (606..=606, NotAcceptable),
    (600..=699, RecipientUnavailable),
];

/// The table of `pua_xmpp`; its default is `not-acceptable`.
const FROM_SIP_PUA_XMPP: &[FromSip] = &[
    (300..=300, Redirect),
    (301..=301, Gone),
    (302..=302, Redirect),
    (305..=305, Redirect),
    (400..=400, BadRequest),
    (401..=401, NotAuthorized),
    (402..=402, PaymentRequired),
    (403..=403, Forbidden),
    (404..=404, ItemNotFound),
    (405..=405, NotAllowed),
    (407..=407, RegistrationRequired),
    (408..=408, ServiceUnavailable),
    (410..=410, Gone),
    (413..=416, BadRequest),
    (420..=421, BadRequest),
    (423..=423, BadRequest),
    (480..=480, RecipientUnavailable),
    (481..=481, ItemNotFound),
    (484..=484, JidMalformed),
    (485..=485, ItemNotFound),
    (491..=491, UnexpectedRequest),
    (500..=500, InternalServerError),
    (501..=501, FeatureNotImplemented),
    (502..=502, RemoteServerNotFound),
    (503..=503, ServiceUnavailable),
    (504..=504, RemoteServerTimeout),
    (513..=513, BadRequest),
    (600..=600, ServiceUnavailable),
    (603..=603, ServiceUnavailable),
    (604..=604, ItemNotFound),
    (300..=699, NotAcceptable),
];

/// The condition for a SIP failure (RFC 7247 §7.2), or `None` for a code that is no failure.
pub fn condition_from_code(code: u16, map: ErrorMap) -> Option<Condition> {
    let rows = match map {
        ErrorMap::Rfc7247 => FROM_SIP,
        ErrorMap::PuaXmpp => FROM_SIP_PUA_XMPP,
    };
    let (_, condition) = rows.iter().find(|(codes, _)| codes.contains(&code))?;
    Some(*condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: [(ErrorMap, &[FromSip]); 2] =
        [(ErrorMap::Rfc7247, FROM_SIP), (ErrorMap::PuaXmpp, FROM_SIP_PUA_XMPP)];

    #[test]
    fn every_failure_has_a_condition_and_no_success_does() {
        for (map, _) in MAPS {
            assert!((300..=699).all(|code| condition_from_code(code, map).is_some()));
            assert!((0..300).chain(700..1000).all(|c| condition_from_code(c, map).is_none()));
        }
    }

    #[test]
    fn no_row_is_hidden_by_an_earlier_one() {
        for (map, rows) in MAPS {
            for (i, (codes, _)) in rows.iter().enumerate() {
                let hidden = |c| rows[..i].iter().any(|(above, _)| above.contains(&c));
                assert!(!codes.clone().all(hidden), "{map:?} row {i} ({codes:?}) can never match");
            }
        }
    }

    #[test]
    fn no_row_says_what_its_class_says() {
        for (map, rows) in MAPS {
            for (i, (codes, condition)) in rows.iter().enumerate() {
                let class = rows[i + 1..].iter().find(|(below, _)| {
                    below.contains(codes.start()) && below.contains(codes.end())
                });
                let (_, of_class) = class.unwrap_or(&(0..=0, UndefinedCondition));
                assert_ne!(condition, of_class, "{map:?} row {i} ({codes:?}) is superfluous");
            }
        }
    }

    #[test]
    fn every_condition_has_one_row() {
        for (i, (condition, ..)) in TO_SIP.iter().enumerate() {
            assert!(TO_SIP[..i].iter().all(|(above, ..)| above != condition), "{condition:?}");
        }
        for condition in Condition::ALL {
            assert!(TO_SIP.iter().any(|(row, ..)| row == condition), "{condition:?}");
        }
    }

    #[test]
    fn no_condition_takes_the_gateway_out_of_service() {
        for (condition, ..) in TO_SIP {
            for scope in [Scope::Device, Scope::User] {
                assert_ne!(code_from_condition(*condition, scope, false), 503);
            }
        }
    }
}
