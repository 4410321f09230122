//! The five dialects, how to tell them apart, and the facts in which they differ.

use std::fmt;
use std::str::FromStr;

/// Which program a configuration was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// SER 0.8 and 0.9, and OpenSER 0.9.
    Ser0,
    /// SER 2.0 and 2.1.
    Ser2,
    /// OpenSER 1.0 to 1.3.
    OpenSer,
    /// Kamailio 3.0 and later.
    Kamailio,
    /// OpenSIPS 1.4 and later.
    OpenSips,
}

/// Every dialect with the name that `--dialect` takes and the one that people use.
const NAMES: [(Dialect, &str, &str); 5] = [
    (Dialect::Ser0, "ser0", "SER 0.x"),
    (Dialect::Ser2, "ser2", "SER 2"),
    (Dialect::OpenSer, "openser", "OpenSER"),
    (Dialect::Kamailio, "kamailio", "Kamailio"),
    (Dialect::OpenSips, "opensips", "OpenSIPS"),
];

impl Dialect {
    /// The names that `--dialect` takes.
    pub fn names() -> [&'static str; 5] {
        NAMES.map(|(_, name, _)| name)
    }

    fn row(self) -> (Self, &'static str, &'static str) {
        NAMES.into_iter().find(|(dialect, ..)| *dialect == self).expect("every dialect has a row")
    }

    /// The name that `--dialect` takes.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Whether `//` begins a comment.
    pub(super) fn has_slash_comments(self) -> bool {
        self == Self::Kamailio
    }

    /// Whether lines that begin with `#!` are for the preprocessor.
    pub(super) fn has_directives(self) -> bool {
        matches!(self, Self::Kamailio | Self::Ser2)
    }

    /// Whether `\"` stays inside a string.
    pub(super) fn escapes_quotes(self) -> bool {
        self != Self::Ser0
    }

    /// Whether `break` and `drop` are one word, which ends the route block.
    pub(super) fn break_is_drop(self) -> bool {
        self == Self::Ser0
    }

    /// Whether a single `|` or `&` joins conditions.
    pub(super) fn single_bar_is_logical(self) -> bool {
        self == Self::Ser0
    }

    /// Whether `==` between texts ignores case.
    pub(super) fn equality_ignores_case(self) -> bool {
        self != Self::Kamailio
    }

    /// Whether `t_relay` in a failure route needs `append_branch()` before it.
    pub(super) fn appends_in_failure(self) -> bool {
        matches!(self, Self::Ser0 | Self::Ser2 | Self::OpenSer)
    }

    /// How tightly a binary operator binds; equal levels group from the left.
    pub(super) fn binding(self, operator: &str) -> u8 {
        match operator {
            "||" | "or" if matches!(self, Self::OpenSer | Self::OpenSips) => 2,
            "||" | "or" => 1,
            "&&" | "and" => 2,
            "|" if self.single_bar_is_logical() => 1,
            "&" if self.single_bar_is_logical() => 2,
            "|" => 3,
            "^" => 4,
            "&" => 5,
            "<<" | ">>" => 7,
            "+" | "-" => 8,
            "*" | "/" | "%" | "mod" | "div" => 9,
            _ => 6,
        }
    }

    /// Whether `!` takes in the comparison behind it: `!a == b` is `!(a == b)`.
    ///
    /// In Kamailio it does so before a keyword, and binds tightly before anything else.
    pub(super) fn not_takes_comparison(self, is_keyword: bool) -> bool {
        self != Self::Kamailio || is_keyword
    }

    /// The dialect that a text is most likely written in.
    pub fn detect(text: &str) -> Self {
        let mut scores = [0_i32; 5];
        for (dialect, sign, weight) in SIGNS {
            let found = text.matches(sign).take(3).count();
            scores[*dialect as usize] += weight * i32::try_from(found).unwrap_or(0);
        }
        let best = (0..5).rev().max_by_key(|index| scores[*index]).unwrap_or(0);
        match scores[best] {
            0 => Self::Ser0,
            _ => NAMES[best].0,
        }
    }
}

/// What speaks for a dialect, and how strongly.
const SIGNS: &[(Dialect, &str, i32)] = &[
    (Dialect::Kamailio, "#!KAMAILIO", 50),
    (Dialect::Kamailio, "#!OPENSER", 20),
    (Dialect::Kamailio, "#!define", 10),
    (Dialect::Kamailio, "#!ifdef", 10),
    (Dialect::Kamailio, "#!endif", 5),
    (Dialect::Kamailio, "#!substdef", 10),
    (Dialect::Kamailio, "request_route", 10),
    (Dialect::Kamailio, "$sht(", 5),
    (Dialect::Kamailio, "$xavp(", 5),
    (Dialect::Kamailio, "event_route[", 3),
    (Dialect::Kamailio, "kamailio", 4),
    (Dialect::Kamailio, "\"kex.so\"", 10),
    (Dialect::Kamailio, "\"pv.so\"", 8),
    (Dialect::Kamailio, "\"tmx.so\"", 8),
    (Dialect::Kamailio, "$rm==", 1),
    (Dialect::Kamailio, "jsonrpcs", 10),
    (Dialect::OpenSips, "\nsocket=", 30),
    (Dialect::OpenSips, "\nsocket =", 30),
    (Dialect::OpenSips, "udp_workers", 20),
    (Dialect::OpenSips, "log_level=", 10),
    (Dialect::OpenSips, "stderror_enabled", 20),
    (Dialect::OpenSips, "proto_udp", 30),
    (Dialect::OpenSips, "opensips", 6),
    (Dialect::OpenSips, "OpenSIPS", 6),
    (Dialect::OpenSips, "\"signaling.so\"", 8),
    (Dialect::OpenSips, "\"sipmsgops.so\"", 20),
    (Dialect::OpenSer, "openser", 4),
    (Dialect::OpenSer, "OpenSER", 4),
    (Dialect::OpenSer, "\nmpath", 4),
    (Dialect::OpenSer, "mi_fifo", 9),
    (Dialect::OpenSer, "$avp(s:", 3),
    (Dialect::OpenSer, "$avp(i:", 3),
    (Dialect::OpenSer, "exit;", 2),
    (Dialect::OpenSer, "pseudo", 1),
    (Dialect::Ser2, "#!SER", 50),
    (Dialect::Ser2, "\navpflags", 20),
    (Dialect::Ser2, "\nflags", 15),
    (Dialect::Ser2, "$f.", 8),
    (Dialect::Ser2, "$t.", 8),
    (Dialect::Ser2, "lookup_user(", 10),
    (Dialect::Ser2, "save_contacts(", 10),
    (Dialect::Ser2, "lookup_contacts(", 10),
    (Dialect::Ser2, "sl_reply(", 6),
    (Dialect::Ser2, "handle_subscription(", 10),
    (Dialect::Ser2, "handle_rls_subscription(", 20),
    (Dialect::Ser2, "dispatch_rpc(", 10),
    (Dialect::Ser2, "@to.tag", 4),
    (Dialect::Ser2, "\"xmlrpc.so\"", 3),
    (Dialect::Ser0, "/ser/modules/", 8),
    (Dialect::Ser0, "sip_router", 8),
    (Dialect::Ser0, "\nfifo=", 8),
    (Dialect::Ser0, "fifo=\"", 6),
    (Dialect::Ser0, "break;", 3),
    (Dialect::Ser0, "log(1,", 1),
    (Dialect::Ser0, "ser_fifo", 8),
];

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().2)
    }
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let row = NAMES.into_iter().find(|(_, known, _)| *known == name);
        let expected = || format!("expected one of {}", Self::names().join(", "));
        row.map(|(dialect, ..)| dialect).ok_or_else(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_tell_the_dialects_apart() {
        for (text, dialect) in [
            ("fifo=\"/tmp/ser_fifo\"\nroute{ break; }", Dialect::Ser0),
            ("flags\n A:1;\nroute { if (@to.tag) { drop; } }", Dialect::Ser2),
            ("mpath=\"/usr/lib/openser/modules/\"\nroute{ exit; }", Dialect::OpenSer),
            ("#!KAMAILIO\nrequest_route { exit; }", Dialect::Kamailio),
            ("log_level=3\nsocket=udp:127.0.0.1:5060\nroute{ exit; }", Dialect::OpenSips),
            ("", Dialect::Ser0),
        ] {
            assert_eq!(Dialect::detect(text), dialect, "{text}");
        }
    }

    #[test]
    fn every_dialect_has_a_name_and_a_sign() {
        for (index, (dialect, name, _)) in NAMES.into_iter().enumerate() {
            assert_eq!(dialect as usize, index);
            assert_eq!(name.parse(), Ok(dialect));
            assert!(SIGNS.iter().any(|(of, ..)| *of == dialect));
        }
        assert!("perl".parse::<Dialect>().is_err());
    }
}
