//! The methods that a contact takes, as bits in the column `methods` (Kamailio's numbers).

use crate::sip::{HeaderId, Message};

/// In the order of the bits.
const METHODS: [&str; 14] = [
    "INVITE",
    "CANCEL",
    "ACK",
    "BYE",
    "INFO",
    "REGISTER",
    "SUBSCRIBE",
    "NOTIFY",
    "MESSAGE",
    "OPTIONS",
    "PRACK",
    "UPDATE",
    "REFER",
    "PUBLISH",
];

/// Every method, whether or not it has a bit.
pub(super) const ALL: u32 = u32::MAX;

/// The methods of a list; a name without a bit adds nothing.
fn of_names<'a>(names: impl Iterator<Item = &'a str>) -> u32 {
    names.fold(0, |bits, name| bits | bit(name))
}

fn bit(name: &str) -> u32 {
    METHODS.iter().position(|method| *method == name).map_or(0, |at| 1 << at)
}

/// What the `methods` parameter of a contact lists (RFC 3840 §9).
pub(super) fn of_param(value: &str) -> u32 {
    of_names(value.split(',').map(str::trim))
}

/// What Allow lists; all without it.
pub(super) fn of_allow(request: &Message) -> u32 {
    if request.header(HeaderId::Allow).is_none() {
        return ALL;
    }
    of_names(request.values(HeaderId::Allow).filter_map(|name| str::from_utf8(name).ok()))
}

/// Does the set take this method? A method without a bit is never kept away.
pub(super) fn takes(methods: u32, method: &str) -> bool {
    let bit = bit(method);
    bit == 0 || methods & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_the_bits_that_databases_hold() {
        assert_eq!(of_param("INVITE, ACK,BYE"), 0b1101);
        assert_eq!(of_param("MESSAGE"), 256);
        assert_eq!(of_param("PUBLISH,X"), 8192);
        assert!(takes(256, "MESSAGE") && takes(256, "X") && !takes(256, "INVITE"));
        assert!(METHODS.iter().all(|method| takes(ALL, method)));
    }
}
