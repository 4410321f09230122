//! Addresses that the public Internet does not route.

use std::net::{IpAddr, Ipv4Addr};

/// RFC 1918, the shared space of carriers (RFC 6598), and that of IPv4 service continuity (RFC 7335).
const NETWORKS: [(Ipv4Addr, u32); 5] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(192, 0, 0, 0), 29),
];

/// Is it in one of [`NETWORKS`], or the like of IPv6: unique local (RFC 4193) or link local (RFC 4291)?
pub(super) fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let is_in = |(network, bits): &(Ipv4Addr, u32)| {
                (ip.to_bits() ^ network.to_bits()) >> (32 - bits) == 0
            };
            NETWORKS.iter().any(is_in)
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_ends_where_its_rfc_says() {
        let is_private = |text: &str| is_private(text.parse().unwrap());
        for inside in [
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.7",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(inside), "{inside}");
        }
        for outside in [
            "9.255.255.255",
            "11.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "192.0.0.8",
            "127.0.0.1",
            "2001:db8::1",
        ] {
            assert!(!is_private(outside), "{outside}");
        }
    }
}
