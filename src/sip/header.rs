//! Header names (RFC 3261 §20 and its extensions) as one table: long name, compact form, how often it may stand.

/// How many values of a header one message may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arity {
    /// One line with one value.
    One,
    /// Any number of lines, each with values separated by commas (RFC 3261 §7.3.1).
    List,
    /// Any number of lines with one value each; commas belong to the value.
    Lines,
}

macro_rules! header_table {
    ($($id:ident $name:literal $compact:literal $arity:ident,)*) => {
        /// A header name that is known here, in any spelling.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each is the header of that name")]
        pub enum HeaderId { $($id,)* /** Any header that is not known here. */ Other }

        /// Long name, compact form or NUL, arity; in the order of the ids.
        const TABLE: &[(HeaderId, &str, u8, Arity)] =
            &[$((HeaderId::$id, $name, $compact, Arity::$arity),)*];
    };
}

header_table! {
    Via "Via" b'v' List,
    From "From" b'f' One,
    To "To" b't' One,
    CallId "Call-ID" b'i' One,
    CSeq "CSeq" 0 One,
    MaxForwards "Max-Forwards" 0 One,
    ContentLength "Content-Length" b'l' One,
    ContentType "Content-Type" b'c' One,
    Contact "Contact" b'm' List,
    Route "Route" 0 List,
    RecordRoute "Record-Route" 0 List,
    Expires "Expires" 0 One,
    MinExpires "Min-Expires" 0 One,
    UserAgent "User-Agent" 0 One,
    Server "Server" 0 One,
    Event "Event" b'o' One,
    AllowEvents "Allow-Events" b'u' List,
    SubscriptionState "Subscription-State" 0 One,
    SipEtag "SIP-ETag" 0 One,
    SipIfMatch "SIP-If-Match" 0 One,
    Accept "Accept" 0 List,
    AcceptContact "Accept-Contact" b'a' List,
    AcceptEncoding "Accept-Encoding" 0 List,
    AcceptLanguage "Accept-Language" 0 List,
    AlertInfo "Alert-Info" 0 List,
    Allow "Allow" 0 List,
    AuthenticationInfo "Authentication-Info" 0 One,
    Authorization "Authorization" 0 Lines,
    CallInfo "Call-Info" 0 List,
    ContentDisposition "Content-Disposition" 0 One,
    ContentEncoding "Content-Encoding" b'e' List,
    ContentLanguage "Content-Language" 0 List,
    Date "Date" 0 One,
    Diversion "Diversion" 0 List,
    ErrorInfo "Error-Info" 0 List,
    HistoryInfo "History-Info" 0 List,
    Identity "Identity" b'y' List,
    InReplyTo "In-Reply-To" 0 List,
    Join "Join" 0 One,
    MimeVersion "MIME-Version" 0 One,
    MinSe "Min-SE" 0 One,
    Organization "Organization" 0 One,
    PAssertedIdentity "P-Asserted-Identity" 0 List,
    Path "Path" 0 List,
    PPreferredIdentity "P-Preferred-Identity" 0 List,
    Priority "Priority" 0 One,
    Privacy "Privacy" 0 Lines,
    ProxyAuthenticate "Proxy-Authenticate" 0 Lines,
    ProxyAuthorization "Proxy-Authorization" 0 Lines,
    ProxyRequire "Proxy-Require" 0 List,
    RAck "RAck" 0 One,
    Reason "Reason" 0 List,
    ReferredBy "Referred-By" b'b' One,
    ReferSub "Refer-Sub" 0 One,
    ReferTo "Refer-To" b'r' One,
    RejectContact "Reject-Contact" b'j' List,
    Replaces "Replaces" 0 One,
    ReplyTo "Reply-To" 0 One,
    RequestDisposition "Request-Disposition" b'd' List,
    Require "Require" 0 List,
    RetryAfter "Retry-After" 0 One,
    RSeq "RSeq" 0 One,
    ServiceRoute "Service-Route" 0 List,
    SessionExpires "Session-Expires" b'x' One,
    Subject "Subject" b's' One,
    Supported "Supported" b'k' List,
    Timestamp "Timestamp" 0 One,
    Unsupported "Unsupported" 0 List,
    Warning "Warning" 0 List,
    WwwAuthenticate "WWW-Authenticate" 0 Lines,
}

impl HeaderId {
    /// The header of this name, long or compact, in any case.
    pub fn from_name(name: &[u8]) -> Self {
        if let [letter] = name {
            let id = COMPACT[usize::from(letter & 0x1f)];
            return if letter.is_ascii_alphabetic() { id } else { Self::Other };
        }
        let mut slot = slot(name);
        while SLOTS[slot] != EMPTY {
            let (id, known, ..) = TABLE[usize::from(SLOTS[slot])];
            if known.as_bytes() == name || known.as_bytes().eq_ignore_ascii_case(name) {
                return id;
            }
            slot = (slot + 1) % SLOTS.len();
        }
        Self::Other
    }

    /// The long name in the standard's spelling; empty for [`HeaderId::Other`].
    pub fn name(self) -> &'static str {
        TABLE.get(self as usize).map_or("", |(_, name, ..)| name)
    }

    /// The compact form, if the header has one.
    pub fn compact(self) -> Option<char> {
        TABLE.get(self as usize).map(|row| row.2).filter(|c| *c != 0).map(char::from)
    }

    pub(crate) fn arity(self) -> Arity {
        TABLE.get(self as usize).map_or(Arity::Lines, |(.., arity)| *arity)
    }
}

const EMPTY: u8 = u8::MAX;

/// Row numbers in a hash table with linear probing.
static SLOTS: [u8; 256] = slots();

/// The header behind each letter, indexed by its low five bits.
static COMPACT: [HeaderId; 32] = compact();

/// Where the search for a name of two or more bytes starts.
const fn slot(name: &[u8]) -> usize {
    let length = name.len();
    if length < 2 {
        return 0;
    }
    let first = (name[0] | 0x20) as usize;
    let middle = (name[length / 2] | 0x20) as usize;
    let last = (name[length - 1] | 0x20) as usize;
    (first * 7 + middle * 31 + last * 5 + length * 13) % 256
}

const fn slots() -> [u8; 256] {
    let mut slots = [EMPTY; 256];
    let mut row = 0;
    while row < TABLE.len() {
        let mut at = slot(TABLE[row].1.as_bytes());
        while slots[at] != EMPTY {
            at = (at + 1) % 256;
        }
        slots[at] = row as u8;
        row += 1;
    }
    slots
}

const fn compact() -> [HeaderId; 32] {
    let mut letters = [HeaderId::Other; 32];
    let mut row = 0;
    while row < TABLE.len() {
        if TABLE[row].2 != 0 {
            letters[(TABLE[row].2 & 0x1f) as usize] = TABLE[row].0;
        }
        row += 1;
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_each_of_its_names() {
        for (row, (id, name, compact, _)) in TABLE.iter().enumerate() {
            assert_eq!(*id as usize, row);
            assert_eq!(HeaderId::from_name(name.as_bytes()), *id);
            assert_eq!(HeaderId::from_name(name.to_uppercase().as_bytes()), *id);
            assert_eq!(id.name(), *name);
            if *compact != 0 {
                assert_eq!(HeaderId::from_name(&[*compact]), *id);
                assert_eq!(HeaderId::from_name(&[compact.to_ascii_uppercase()]), *id);
                assert_eq!(id.compact(), Some(char::from(*compact)));
            }
        }
    }

    #[test]
    fn unknown_names_are_other() {
        for name in [&b""[..], b"q", b"Vi", b"Viaa", b"6", b"C%6Fntact", b"\xff"] {
            assert_eq!(HeaderId::from_name(name), HeaderId::Other, "{name:?}");
        }
        assert_eq!(HeaderId::Other.name(), "");
    }

    #[test]
    fn names_rarely_share_a_slot() {
        let displaced = TABLE
            .iter()
            .enumerate()
            .filter(|(row, (_, name, ..))| usize::from(SLOTS[slot(name.as_bytes())]) != *row);
        assert!(displaced.count() <= 12);
    }
}
