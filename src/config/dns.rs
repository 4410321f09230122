//! `[dns]`: whom we ask for names.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::value::duration_to;

const PORT: u16 = 53;

/// `[dns]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DnsConfig {
    /// `servers`: name servers in the order in which to ask them, like `"192.0.2.53"` or `"127.0.0.1:5353"`.
    ///
    /// Default none: those of the system.
    #[serde(deserialize_with = "servers")]
    pub servers: Vec<SocketAddr>,
    /// `timeout`: how long one name may take, with everything that must be asked for it.
    ///
    /// 1ms to 60s. Default 5s.
    #[serde(deserialize_with = "duration_to::<_, 60>")]
    pub timeout: Duration,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self { servers: Vec::new(), timeout: Duration::from_secs(5) }
    }
}

fn servers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    let written = Vec::<String>::deserialize(deserializer)?;
    let servers = written.iter().map(|text| {
        let address = text.parse().or_else(|_| Ok((text.parse::<IpAddr>()?, PORT).into()));
        address.map_err(|_: std::net::AddrParseError| {
            D::Error::custom(format!("`{text}` is no address of a name server, like 192.0.2.53"))
        })
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DnsConfig, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_server_may_have_a_port() {
        let config = read(r#"servers = ["192.0.2.53", "[2001:db8::1]:5353", "2001:db8::2"]"#);
        let servers: Vec<_> = config.unwrap().servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.53:53", "[2001:db8::1]:5353", "[2001:db8::2]:53"]);
    }

    #[test]
    fn a_name_is_no_name_server() {
        let error = read(r#"servers = ["dns.example"]"#).unwrap_err();
        assert!(error.message().contains("`dns.example` is no address"), "{error}");
    }
}
