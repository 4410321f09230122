use std::rc::Rc;
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};

use super::*;
use crate::script::pseudo;
use crate::script::router::recording::{Recording, message_route};
use crate::sip::certificate::Certificate;

/// A server that every sender has shown a certificate for `b.example`.
fn trusting() -> Rc<Recording> {
    let mut params = CertificateParams::new(["b.example".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "Proxy of B");
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let router = Recording::default();
    *router.certificate.borrow_mut() =
        Some(Arc::new(Certificate::parse(certificate.der()).unwrap()));
    Rc::new(router)
}

fn domain_matches(route: &mut Route, domain: &str) -> bool {
    is_peer_domain(route, &Config::default(), domain.into()).unwrap()
}

#[test]
fn a_sender_with_a_certificate_is_verified_for_its_domain_only() {
    let mut route = message_route(&trusting());
    assert_eq!(is_peer_verified(&mut route, &Config::default()), Ok(true));
    assert!(domain_matches(&mut route, "B.example"));
    for other in ["x.b.example", "c.example", "", "*"] {
        assert!(!domain_matches(&mut route, other), "{other}");
    }
    assert_eq!(pseudo::expand(&route, "<$tls_peer_subject_cn>"), "<Proxy of B>");
}

#[test]
fn a_sender_without_a_certificate_is_nobody() {
    let mut route = message_route(&Rc::default());
    assert_eq!(is_peer_verified(&mut route, &Config::default()), Ok(false));
    assert!(!domain_matches(&mut route, "b.example"));
    assert_eq!(pseudo::expand(&route, "<$tls_peer_subject_cn>"), "<>");
}
