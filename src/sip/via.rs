//! One hop of a message's path (RFC 3261 §20.42, RFC 3581).

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::error::HeaderError;
use super::header::HeaderId;
use super::params::{Params, is_generic_param};
use super::place::{Place, Remembered};
use super::{host, lex, lex::trim_text};

/// One Via value, borrowed from the message.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The transport in the spelling of the sender.
    pub transport: &'a str,
    /// The host of `sent-by`; an IPv6 address in its brackets.
    pub host: &'a str,
    /// The port of `sent-by`.
    pub port: Option<u16>,
    /// The `branch` parameter.
    pub branch: Option<&'a str>,
    /// The `received` parameter as it stands; IPv6 with or without brackets (RFC 5118 §4.5).
    pub received: Option<&'a str>,
    /// True when `rport` is there, with or without a value.
    pub has_rport: bool,
    /// The value of `rport`.
    pub rport: Option<u16>,
    /// Every parameter.
    pub params: Params<'a>,
    text: &'a str,
}

/// Where the parts of a value stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct ViaPlaces {
    text: Place,
    transport: Place,
    host: Place,
    port: Option<u16>,
    branch: Option<Place>,
    received: Option<Place>,
    has_rport: bool,
    rport: Option<u16>,
    params: Place,
}

impl<'a> Remembered<'a> for Via<'a> {
    type Places = ViaPlaces;

    fn places(&self, text: &str) -> Option<ViaPlaces> {
        Some(ViaPlaces {
            text: Place::of(text, self.text)?,
            transport: Place::of(text, self.transport)?,
            host: Place::of(text, self.host)?,
            port: self.port,
            branch: Place::of_some(text, self.branch)?,
            received: Place::of_some(text, self.received)?,
            has_rport: self.has_rport,
            rport: self.rport,
            params: Place::of(text, self.params.as_str())?,
        })
    }

    fn cut(text: &'a str, places: ViaPlaces) -> Self {
        Self {
            transport: places.transport.cut(text),
            host: places.host.cut(text),
            port: places.port,
            branch: places.branch.map(|branch| branch.cut(text)),
            received: places.received.map(|received| received.cut(text)),
            has_rport: places.has_rport,
            rport: places.rport,
            params: Params::new(places.params.cut(text)),
            text: places.text.cut(text),
        }
    }
}

const MALFORMED: HeaderError = HeaderError::Malformed(HeaderId::Via);

impl<'a> Via<'a> {
    /// Reads one value.
    pub fn parse(text: &'a str) -> Result<Self, HeaderError> {
        let text = trim_text(text);
        let (protocol, params) = match lex::cut(text, b';') {
            Some((front, params)) => (front, Some(Params::new(params))),
            None => (text, None),
        };
        let (_, version) = word(protocol, Some(b'/'))?;
        let (_, transport) = word(version, Some(b'/'))?;
        let (transport, sent_by) = word(transport, None)?;
        let (host, port) = host::host_port(sent_by).map_err(|_| MALFORMED)?;
        let mut via = Self {
            transport,
            host,
            port,
            branch: None,
            received: None,
            has_rport: false,
            rport: None,
            params: params.unwrap_or_default(),
            text,
        };
        if let Some(params) = params {
            via.read_params(params)?;
        }
        Ok(via)
    }

    fn read_params(&mut self, params: Params<'a>) -> Result<(), HeaderError> {
        if params.is_empty() {
            return Err(MALFORMED);
        }
        for param in params.iter() {
            if !is_generic_param(&param) {
                return Err(MALFORMED);
            }
            match param.name {
                name if name.eq_ignore_ascii_case("branch") => self.branch = param.value,
                name if name.eq_ignore_ascii_case("received") => self.received = param.value,
                name if name.eq_ignore_ascii_case("rport") => {
                    self.has_rport = true;
                    self.rport = param.value.map(port).transpose()?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The value as it stands.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// `host` or `host:port` as RFC 3261 §17.2.3 compares it.
    pub fn sent_by(&self) -> (&'a str, Option<u16>) {
        (self.host, self.port)
    }

    /// The address of `sent-by` when it is one.
    pub fn host_ip(&self) -> Option<IpAddr> {
        host::ip(self.host)
    }

    /// The address in `received`.
    pub fn received_ip(&self) -> Option<IpAddr> {
        host::ip(self.received?)
    }

    /// True when the branch starts with the magic cookie and goes on behind it (RFC 3261 §8.1.1.7).
    pub fn has_rfc3261_branch(&self) -> bool {
        self.branch.is_some_and(|branch| {
            branch.len() > 7 && branch.as_bytes()[..7].eq_ignore_ascii_case(b"z9hG4bK")
        })
    }

    /// The value with `received` and `rport` as the source demands, or `None` when it may stay.
    ///
    /// What the sender wrote there itself is replaced, since replies are sent to it.
    pub fn marked(&self, source: SocketAddr) -> Option<String> {
        let ip = source.ip().to_canonical();
        let needs_received =
            self.has_rport || self.received.is_some() || self.host_ip() != Some(ip);
        if !needs_received {
            return None;
        }
        let head_end = self.text.find(';').unwrap_or(self.text.len());
        let mut out = String::with_capacity(self.text.len() + 48);
        out.push_str(self.text[..head_end].trim_end());
        for param in self.params.iter() {
            if param.name.eq_ignore_ascii_case("received") {
                continue;
            }
            out.extend([";", param.name]);
            if param.name.eq_ignore_ascii_case("rport") {
                let _ = write!(out, "={}", source.port());
            } else if let Some(value) = param.value {
                out.extend(["=", value]);
            }
        }
        let _ = write!(out, ";received={ip}");
        Some(out)
    }
}

/// Cuts off the token that `text` begins with, and what ends it: this byte, with white space around it, or white space.
fn word(text: &str, end: Option<u8>) -> Result<(&str, &str), HeaderError> {
    let (word, rest) = lex::token(text).ok_or(MALFORMED)?;
    let behind = trim_text(rest);
    let rest = match end {
        Some(end) => behind.strip_prefix(char::from(end)).map(trim_text),
        None => (behind.len() < rest.len()).then_some(behind),
    };
    Ok((word, rest.ok_or(MALFORMED)?))
}

fn port(text: &str) -> Result<u16, HeaderError> {
    let number = lex::number(text.as_bytes()).and_then(|number| u16::try_from(number).ok());
    number.ok_or(MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_may_stand_between_all_parts() {
        let text = "SIP  / 2.0\r\n  / TCP     spindle.example.com : 5070  ;\r\n  branch  =   z9hG4bK9ikj8  ";
        let via = Via::parse(text).unwrap();
        assert_eq!((via.transport, via.sent_by()), ("TCP", ("spindle.example.com", Some(5070))));
        assert_eq!(via.branch, Some("z9hG4bK9ikj8"));
        assert!(via.has_rfc3261_branch());
    }

    #[test]
    fn malformed_values_are_refused() {
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0 UDP a",
            "SIP/2.0/UDP 192.0.2.15;;",
            "SIP/2.0/UDP 192.0.2.15;",
            "SIP/2.0/UDP 2001:db8::1",
            "SIP/2.0/UDP a:99999",
            "SIP/2.0/UDP a;rport=x",
            "//UDP a",
        ] {
            assert!(Via::parse(bad).is_err(), "{bad}");
        }
    }

    fn marked(value: &str) -> Option<String> {
        Via::parse(value).unwrap().marked("192.0.2.9:1024".parse().unwrap())
    }

    #[test]
    fn received_is_noted_when_sent_by_is_another_address_or_a_name() {
        assert_eq!(marked("SIP/2.0/UDP 192.0.2.9;branch=z"), None);
        assert_eq!(
            marked("SIP/2.0/UDP 192.0.2.1:5060;branch=z").unwrap(),
            "SIP/2.0/UDP 192.0.2.1:5060;branch=z;received=192.0.2.9"
        );
        assert_eq!(marked("SIP/2.0/UDP h").unwrap(), "SIP/2.0/UDP h;received=192.0.2.9");
    }

    /// RFC 3581 §4: with rport, received is added even when it equals sent-by.
    #[test]
    fn rport_is_filled_and_a_forged_received_replaced() {
        assert_eq!(
            marked("SIP/2.0/UDP 192.0.2.9;rport;branch=z").unwrap(),
            "SIP/2.0/UDP 192.0.2.9;rport=1024;branch=z;received=192.0.2.9"
        );
        assert_eq!(
            marked("SIP/2.0/UDP 192.0.2.9;received=203.0.113.1;rport=1").unwrap(),
            "SIP/2.0/UDP 192.0.2.9;rport=1024;received=192.0.2.9"
        );
    }
}
