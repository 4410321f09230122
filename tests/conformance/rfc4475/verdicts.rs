//! What becomes of each message of RFC 4475; `tests/e2e/torture.rs` plays it with the running program.

use Verdict::{Accepted, Dropped, Refused};

/// What a receiver does with a message: nothing, answer with a status, or drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Refused(u16),
    Dropped,
}

/// File, section, what becomes of it here. What only a registrar, proxy or user agent can refuse is accepted.
pub(crate) const VERDICTS: &[(&str, &str, Verdict)] = &[
    ("wsinv", "3.1.1.1", Accepted),
    ("intmeth", "3.1.1.2", Accepted),
    ("esc01", "3.1.1.3", Accepted),
    ("escnull", "3.1.1.4", Accepted),
    ("esc02", "3.1.1.5", Accepted),
    ("lwsdisp", "3.1.1.6", Accepted),
    ("longreq", "3.1.1.7", Accepted),
    ("dblreq", "3.1.1.8", Accepted),
    ("semiuri", "3.1.1.9", Accepted),
    ("transports", "3.1.1.10", Accepted),
    ("mpart01", "3.1.1.11", Accepted),
    ("unreason", "3.1.1.12", Accepted),
    ("noreason", "3.1.1.13", Accepted),
    ("badinv01", "3.1.2.1", Refused(400)),
    ("clerr", "3.1.2.2", Refused(400)),
    ("ncl", "3.1.2.3", Refused(400)),
    ("scalar02", "3.1.2.4", Refused(400)),
    ("scalarlg", "3.1.2.5", Dropped),
    ("quotbal", "3.1.2.6", Refused(400)),
    ("ltgtruri", "3.1.2.7", Refused(400)),
    ("lwsruri", "3.1.2.8", Refused(400)),
    ("lwsstart", "3.1.2.9", Refused(400)),
    ("trws", "3.1.2.10", Refused(400)),
    ("escruri", "3.1.2.11", Refused(400)),
    // A server to which the date does not matter should not refuse it.
    ("baddate", "3.1.2.12", Accepted),
    ("regbadct", "3.1.2.13", Refused(400)),
    ("badaspec", "3.1.2.14", Refused(400)),
    ("baddn", "3.1.2.15", Refused(400)),
    ("badvers", "3.1.2.16", Refused(505)),
    ("mismatch01", "3.1.2.17", Refused(400)),
    ("mismatch02", "3.1.2.18", Refused(501)),
    ("bigcode", "3.1.2.19", Dropped),
    // Falls back to the transaction identifier of RFC 2543.
    ("badbranch", "3.2.1", Accepted),
    ("insuf", "3.3.1", Refused(400)),
    ("unkscm", "3.3.2", Accepted),
    ("novelsc", "3.3.3", Accepted),
    ("unksm2", "3.3.4", Accepted),
    ("bext01", "3.3.5", Accepted),
    ("invut", "3.3.6", Accepted),
    ("regaut01", "3.3.7", Accepted),
    ("multi01", "3.3.8", Refused(400)),
    ("mcl01", "3.3.9", Refused(400)),
    ("bcast", "3.3.10", Accepted),
    ("zeromf", "3.3.11", Accepted),
    ("cparam01", "3.3.12", Accepted),
    ("cparam02", "3.3.13", Accepted),
    ("regescrt", "3.3.14", Accepted),
    ("sdp01", "3.3.15", Accepted),
    ("inv2543", "3.4.1", Accepted),
    // In the archive but not in the text: no version, a header line without colon.
    ("test", "archive", Refused(400)),
];
