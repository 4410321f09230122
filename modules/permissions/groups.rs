//! Addresses and networks in groups.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use ahash::AHashMap;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use thiserror::Error as ThisError;

/// A network, or an address as the network of itself. An IPv4 address mapped to IPv6 is one of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// The bits, from the top of 128, those behind the length zero.
    bits: u128,
    length: u8,
    is_ipv4: bool,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, ThisError, PartialEq, Eq)]
pub enum PrefixError {
    /// Before the slash stands no address.
    #[error("expected an IP address or a network such as 192.0.2.0/24")]
    Address,
    /// Behind the slash stands no length that the address can have.
    #[error("the length of a network is 0 to {0}")]
    Length(u8),
}

impl Prefix {
    /// The network of this length that an address is in.
    pub(super) fn new(ip: IpAddr, length: u8) -> Result<Self, PrefixError> {
        let (bits, most, is_ipv4) = match ip {
            IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, 32, true),
            IpAddr::V6(ip) => (ip.to_bits(), 128, false),
        };
        if length > most {
            return Err(PrefixError::Length(most));
        }
        let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        Ok(Self { bits: bits & mask, length, is_ipv4 })
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (ip, length) = match text.split_once('/') {
            Some((ip, length)) => (ip, Some(length)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| PrefixError::Address)?;
        let ip = if length.is_none() { ip.to_canonical() } else { ip };
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let length = match length {
            None => most,
            Some(length) if is_digits(length) => {
                length.parse().map_err(|_| PrefixError::Length(most))?
            }
            Some(_) => return Err(PrefixError::Length(most)),
        };
        Self::new(ip, length)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// One address or network of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) group: u32,
    pub(super) prefix: Prefix,
    /// 0 for any.
    pub(super) port: u16,
    pub(super) tag: Box<str>,
}

/// Every group. A look-up takes a step for each length of network that occurs in the group.
#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<u32, Group>);

#[derive(Debug, Default)]
struct Group {
    /// Ports and tags by network.
    networks: AHashMap<Prefix, Vec<(u16, Box<str>)>>,
    /// The lengths that occur, longest first.
    lengths: Vec<u8>,
}

impl Groups {
    pub(super) fn new(addresses: impl IntoIterator<Item = Address>) -> Self {
        let mut groups = Self::default();
        for address in addresses {
            let group = groups.0.entry(address.group).or_default();
            group.networks.entry(address.prefix).or_default().push((address.port, address.tag));
            group.lengths.push(address.prefix.length);
        }
        for group in groups.0.values_mut() {
            group.lengths.sort_unstable_by(|a, b| b.cmp(a));
            group.lengths.dedup();
        }
        groups
    }

    /// The group, this one or the lowest, that an address is in, and the tag of its smallest network.
    pub(super) fn find(&self, group: Option<u32>, ip: IpAddr, port: u16) -> Option<(u32, &str)> {
        let ip = ip.to_canonical();
        match group {
            Some(id) => Some((id, self.0.get(&id)?.find(ip, port)?)),
            None => self.0.iter().find_map(|(id, group)| Some((*id, group.find(ip, port)?))),
        }
    }
}

impl Group {
    fn find(&self, ip: IpAddr, port: u16) -> Option<&str> {
        self.lengths.iter().find_map(|length| {
            let network = self.networks.get(&Prefix::new(ip, *length).ok()?)?;
            let fits = |(own, _): &&(u16, Box<str>)| *own == port || *own == 0;
            network.iter().find(fits).map(|(_, tag)| &**tag)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(rows: &[(u32, &str, u16, &str)]) -> Groups {
        Groups::new(rows.iter().map(|(group, prefix, port, tag)| Address {
            group: *group,
            prefix: prefix.parse().unwrap(),
            port: *port,
            tag: (*tag).into(),
        }))
    }

    #[test]
    fn an_address_is_in_its_networks() {
        let groups = groups(&[
            (1, "192.0.2.0/24", 0, "net"),
            (1, "192.0.2.7", 5060, "host"),
            (2, "2001:db8::/32", 0, "six"),
            (3, "0.0.0.0/0", 0, "all"),
        ]);
        let find = |group, ip: &str, port| groups.find(group, ip.parse().unwrap(), port);
        assert_eq!(find(Some(1), "192.0.2.8", 1), Some((1, "net")));
        assert_eq!(find(Some(1), "192.0.2.7", 5060), Some((1, "host")), "the smallest network");
        assert_eq!(find(Some(1), "192.0.2.7", 5061), Some((1, "net")));
        assert_eq!(find(Some(1), "::ffff:192.0.2.8", 1), Some((1, "net")), "mapped");
        assert_eq!(find(Some(1), "192.0.3.1", 1), None);
        assert_eq!(find(Some(9), "192.0.2.8", 1), None);
        assert_eq!(find(None, "192.0.3.1", 1), Some((3, "all")));
        assert_eq!(find(None, "2001:db8:ffff::1", 1), Some((2, "six")));
        assert_eq!(find(None, "2001:db9::1", 1), None, "0.0.0.0/0 is IPv4");
        assert_eq!(find(Some(2), "32.1.13.184", 1), None, "the same bits in IPv4");
    }

    #[test]
    fn a_network_is_written_with_its_length() {
        for good in ["192.0.2.1", "192.0.2.1/32", "10.0.0.0/8", "::/0", "2001:db8::1", "::1/128"] {
            assert!(good.parse::<Prefix>().is_ok(), "{good}");
        }
        for bad in ["", "host", "192.0.2.1/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "/8", "1/999"]
        {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
        assert_eq!("192.0.2.9/24".parse::<Prefix>(), "192.0.2.0/24".parse());
    }
}
