//! Whom a certificate speaks for: the SIP domains in X.509 certificates (RFC 5922 §7).

use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::host::ip;
use super::uri::{Scheme, Uri};

/// What is of use in a certificate. Its signatures are not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    common_name: Option<Box<str>>,
    domains: Vec<Box<str>>,
    addresses: Vec<IpAddr>,
    /// Seconds since 1970 that it is valid from and until.
    validity: (i64, i64),
}

/// Why a certificate is of no use.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CertificateError {
    /// The bytes are no certificate.
    #[error("it is not an X.509 certificate")]
    Malformed,
    /// Its time is over.
    #[error("the certificate has expired")]
    Expired,
    /// Its time has not come.
    #[error("the certificate is not valid yet")]
    NotYetValid,
}

impl Certificate {
    /// Reads a certificate in DER.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        let alternative = certificate.subject_alternative_name();
        let alternative = alternative.map_err(|_| CertificateError::Malformed)?;
        let common_name = certificate.subject().iter_common_name().next();
        let common_name: Option<Box<str>> =
            common_name.and_then(|name| name.as_str().ok()).map(Into::into);
        let validity = certificate.validity();
        let validity = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let mut it = Self { common_name, domains: Vec::new(), addresses: Vec::new(), validity };
        match alternative {
            Some(names) => it.take_names(&names.value.general_names),
            // RFC 5922 §7.1 step 2.
            None => it.domains.extend(it.common_name.iter().filter(|name| is_dns(name)).cloned()),
        }
        Ok(it)
    }

    /// RFC 5922 §7.1 step 1: DNS names count only where no SIP URI does.
    fn take_names(&mut self, names: &[GeneralName<'_>]) {
        let mut dns = Vec::new();
        for name in names {
            match name {
                GeneralName::URI(uri) => self.domains.extend(sip_domain(uri)),
                GeneralName::DNSName(name) => dns.push((*name).into()),
                GeneralName::IPAddress(octets) => self.addresses.extend(address(octets)),
                _ => {}
            }
        }
        if self.domains.is_empty() {
            self.domains = dns;
        }
    }

    /// The common name of the subject, which is an identity only in old certificates.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// The SIP domains that it speaks for.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.domains.iter().map(AsRef::as_ref)
    }

    /// Does it speak for this domain or numeric address? Wildcards match nothing (RFC 5922 §7.2).
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let is_listed = self.domains.iter().any(|domain| domain.eq_ignore_ascii_case(host));
        is_listed && !host.contains('*')
            || ip(host).is_some_and(|address| self.addresses.contains(&address))
    }

    /// Is it valid at this time, counted from 1970?
    pub fn check_time(&self, now: Duration) -> Result<(), CertificateError> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        match self.validity {
            (from, _) if now < from => Err(CertificateError::NotYetValid),
            (_, until) if now > until => Err(CertificateError::Expired),
            _ => Ok(()),
        }
    }
}

/// The domain that a URI is an identity of: `sip`, and without a user.
fn sip_domain(uri: &str) -> Option<Box<str>> {
    let uri = Uri::parse(uri).ok()?;
    let is_domain = matches!(uri.scheme(), Scheme::Sip) && uri.user().is_none();
    is_domain.then(|| uri.host().into())
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
    }
}

fn is_dns(name: &str) -> bool {
    name.contains('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn certificate(common_name: &str, names: Vec<SanType>) -> Certificate {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        let key = KeyPair::generate().unwrap();
        Certificate::parse(params.self_signed(&key).unwrap().der()).unwrap()
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    fn uri(uri: &str) -> SanType {
        SanType::URI(uri.try_into().unwrap())
    }

    fn domains(names: Vec<SanType>) -> String {
        certificate("cn.example", names).domains().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn rfc5922_s7_1_a_sip_uri_goes_before_dns_names() {
        assert_eq!(domains(vec![dns("a.example"), dns("b.example")]), "a.example b.example");
        let names = vec![dns("a.example"), uri("SIP:b.example")];
        assert_eq!(domains(names), "b.example");
    }

    #[test]
    fn rfc5922_s7_1_users_and_other_schemes_are_no_domains() {
        let names = vec![uri("sip:user@b.example"), uri("https://c.example"), dns("a.example")];
        assert_eq!(domains(names), "a.example");
        assert_eq!(domains(vec![uri("sip:user@b.example")]), "");
    }

    #[test]
    fn rfc5922_s7_1_a_common_name_counts_only_without_alternatives() {
        assert_eq!(domains(vec![]), "cn.example");
        let person = certificate("Juliet Capulet", vec![]);
        assert_eq!((person.common_name(), person.domains().count()), (Some("Juliet Capulet"), 0));
    }

    #[test]
    fn rfc5922_s7_2_names_match_whole_and_never_by_wildcard() {
        let names = vec![dns("a.example"), dns("*.b.example")];
        let certificate = certificate("", names);
        assert!(certificate.is_for("A.Example") && certificate.is_for("a.example."));
        for other in ["x.a.example", "example", "x.b.example", "*.b.example", "b.example", ""] {
            assert!(!certificate.is_for(other), "{other}");
        }
    }

    #[test]
    fn numeric_addresses_match_as_addresses() {
        let names = ["192.0.2.1", "2001:db8::1"].map(|ip| SanType::IpAddress(ip.parse().unwrap()));
        let certificate = certificate("", names.into());
        assert!(certificate.is_for("192.0.2.1") && certificate.is_for("[2001:db8:0::1]"));
        assert!(!certificate.is_for("192.0.2.2"));
    }

    #[test]
    fn a_certificate_has_its_time() {
        let certificate = certificate("", vec![]);
        let at = |seconds| certificate.check_time(Duration::from_secs(seconds));
        assert_eq!(at(1_590_000_000), Ok(()));
        assert_eq!(at(1_500_000_000), Err(CertificateError::NotYetValid));
        assert_eq!(at(1_700_000_000), Err(CertificateError::Expired));
    }

    #[test]
    fn garbage_is_no_certificate() {
        for garbage in [&b""[..], b"garbage", &[0x30, 0x82, 0xff, 0xff], &[0x30; 100]] {
            assert_eq!(Certificate::parse(garbage), Err(CertificateError::Malformed));
        }
    }

    #[test]
    fn a_certificate_with_a_wrong_byte_or_end_is_survived() {
        let params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        let good = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        for at in 0..good.der().len() {
            assert!(Certificate::parse(&good.der()[..at]).is_err());
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = good.der().to_vec();
                bytes[at] ^= flip;
                if let Ok(certificate) = Certificate::parse(&bytes) {
                    assert!(!certificate.is_for("b.example"));
                }
            }
        }
    }
}
