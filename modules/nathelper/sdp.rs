//! The addresses in a session description (RFC 8866 §5.2, §5.7).

use std::net::IpAddr;

/// What `fix_nated_sdp` shall change; the bits are Kamailio's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fix(pub(super) i64);

impl Fix {
    /// Every bit that has a meaning.
    pub(super) const ALL: i64 = 0x1f;

    fn has(self, bit: i64) -> bool {
        self.0 & bit != 0
    }

    fn adds_direction(self) -> bool {
        self.has(1)
    }

    fn rewrites_media(self) -> bool {
        self.has(2)
    }

    fn adds_proxied(self) -> bool {
        self.has(4)
    }

    fn rewrites_origin(self) -> bool {
        self.has(8)
    }

    fn rewrites_null(self) -> bool {
        self.has(16)
    }
}

/// The addresses of every `c=` line; those of multicast and names are left out.
pub(super) fn media_addresses(sdp: &str) -> impl Iterator<Item = IpAddr> {
    sdp.lines().filter_map(|line| address(line.strip_prefix("c=")?)?.1.parse().ok())
}

/// The description with its addresses replaced by `ip`, as `fix` says. Line ends stay as they are.
pub(super) fn fixed(sdp: &str, fix: Fix, ip: IpAddr) -> String {
    let mut out = String::with_capacity(sdp.len() + 64);
    for line in sdp.split_inclusive('\n') {
        let is_wanted = match line.as_bytes() {
            [b'c', b'=', ..] => fix.rewrites_media(),
            [b'o', b'=', ..] => fix.rewrites_origin(),
            _ => false,
        };
        match address(line).filter(|_| is_wanted) {
            Some((front, old, rest)) if may_replace(old, fix) => {
                let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
                out.push_str(&format!("{front}{family} {ip}{rest}"));
            }
            _ => out.push_str(line),
        }
    }
    let adds = fix.adds_direction() || fix.adds_proxied();
    if adds && !out.is_empty() && !out.ends_with('\n') {
        out.push_str("\r\n");
    }
    if fix.adds_direction() {
        out.push_str("a=direction:active\r\n");
    }
    if fix.adds_proxied() {
        out.push_str("a=nortpproxy:yes\r\n");
    }
    out
}

/// A line with `IN IP4 address`: what stands in front of the family, the address, and the rest.
fn address(line: &str) -> Option<(&str, &str, &str)> {
    let at = line.find("IN IP4 ").or_else(|| line.find("IN IP6 "))? + "IN ".len();
    let (front, behind) = line.split_at(at);
    let behind = &behind["IP4 ".len()..];
    let end = behind.find(['\r', '\n', ' ', '\t']).unwrap_or(behind.len());
    Some((front, &behind[..end], &behind[end..]))
}

/// An unspecified address puts the stream on hold (RFC 3264 §8.4), multicast has a TTL behind it.
fn may_replace(old: &str, fix: Fix) -> bool {
    let old: Option<IpAddr> = old.parse().ok();
    old.is_some_and(|ip| fix.rewrites_null() || !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\no=me 1 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
        m=audio 1 RTP/AVP 0\r\nm=video 2 RTP/AVP 31\r\nc=IN IP4 0.0.0.0\r\n\
        m=audio 3 RTP/AVP 0\r\nc=IN IP4 224.2.36.42/127\r\n";

    /// The addresses in o= and c= after a fix.
    fn after(flags: i64, ip: &str) -> Vec<String> {
        let text = fixed(SDP, Fix(flags), ip.parse().unwrap());
        let lines = text.lines().filter(|line| line.starts_with("o=") || line.starts_with("c="));
        lines.map(|line| line.rsplit("IN ").next().unwrap().to_owned()).collect()
    }

    #[test]
    fn each_bit_changes_its_lines() {
        let multicast = "IP4 224.2.36.42/127";
        let cases = [
            (0, ["IP4 10.0.0.9", "IP4 10.0.0.9", "IP4 0.0.0.0", multicast]),
            (2, ["IP4 10.0.0.9", "IP4 192.0.2.9", "IP4 0.0.0.0", multicast]),
            (8, ["IP4 192.0.2.9", "IP4 10.0.0.9", "IP4 0.0.0.0", multicast]),
            (26, ["IP4 192.0.2.9", "IP4 192.0.2.9", "IP4 192.0.2.9", multicast]),
        ];
        for (flags, expected) in cases {
            assert_eq!(after(flags, "192.0.2.9"), expected, "{flags}");
        }
        assert_eq!(after(2, "2001:db8::9")[1], "IP6 2001:db8::9");
    }

    #[test]
    fn nothing_else_changes() {
        assert_eq!(fixed(SDP, Fix(0), [192, 0, 2, 9].into()), SDP);
        let odd = "c=\nc=IN\no=IN IP4\nc=IN IP4 name.example\nx\r\n\r\nc=IN IP4 ";
        assert_eq!(fixed(odd, Fix(26), [192, 0, 2, 9].into()), odd);
    }

    #[test]
    fn lines_are_added_behind_the_last() {
        let text = fixed("v=0", Fix(5), [192, 0, 2, 9].into());
        assert_eq!(text, "v=0\r\na=direction:active\r\na=nortpproxy:yes\r\n");
    }

    #[test]
    fn media_addresses_are_those_of_single_hosts() {
        let found: Vec<_> = media_addresses(SDP).map(|ip| ip.to_string()).collect();
        assert_eq!(found, ["10.0.0.9", "0.0.0.0"]);
    }
}
