//! RFC 5118: SIP torture test messages with IPv6.
//!
//! The messages are those of its text. Where the Content-Length printed there does not fit the body printed there
//! (§4.6, §4.8, §4.9), the files have the true one.

use std::net::IpAddr;

use sipjab::sip::{Finding, Message, Uri};

use crate::Verdict::{Accepted, Refused};
use crate::{assert_untouched_parts_stay, file, files, received, verdict};

fn message(name: &str) -> Message {
    let message = received(file("rfc5118", name));
    assert_eq!(verdict(file("rfc5118", name)), Accepted, "{name}");
    message
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn every_message_leaves_as_it_came() {
    let files = files("rfc5118");
    assert_eq!(files.len(), 12);
    for (name, wire) in files {
        assert_untouched_parts_stay(&name, &wire);
    }
}

#[test]
fn s4_1_a_valid_ipv6_reference() {
    let message = message("ipv6-good");
    assert_eq!(Uri::parse(message.request_uri()).unwrap().host_ip(), ip("2001:db8::10"));
    assert_eq!(message.top_via().unwrap().host_ip(), ip("2001:db8::9:1"));
    let contact = message.contacts().next().unwrap().unwrap();
    assert_eq!(contact.parsed_uri().unwrap().host(), "[2001:db8::1]");
}

#[test]
fn s4_2_an_ipv6_address_without_brackets() {
    assert_eq!(verdict(file("rfc5118", "ipv6-bad")), Refused(400));
    let finding = received(file("rfc5118", "ipv6-bad")).validate();
    assert!(matches!(finding, Err(Finding::RequestUri(_))));
}

#[test]
fn s4_3_a_port_inside_the_brackets_is_no_port() {
    let message = message("port-ambiguous");
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!((uri.host_ip(), uri.port()), (ip("2001:db8::10:5070"), None));
}

#[test]
fn s4_4_a_port_behind_the_brackets() {
    let message = message("port-unambiguous");
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!((uri.host_ip(), uri.port()), (ip("2001:db8::10"), Some(5070)));
}

#[test]
fn s4_5_received_with_and_without_brackets() {
    for name in ["via-received-param-with-delim", "via-received-param-no-delim"] {
        let message = message(name);
        let via = message.top_via().unwrap();
        assert_eq!(via.received_ip(), ip("2001:db8::9:255"), "{name}");
    }
}

#[test]
fn s4_5_received_is_written_without_brackets() {
    let mut message = message("ipv6-good");
    message.mark_source("[2001:db8::9:255]:5060".parse().unwrap()).unwrap();
    assert_eq!(message.top_via().unwrap().received, Some("2001:db8::9:255"));
}

#[test]
fn s4_6_ipv6_in_sdp() {
    assert!(message("ipv6-in-sdp").body().ends_with(b"a=rtpmap:107 H263-1998/90000\r\n"));
}

#[test]
fn s4_7_both_families_in_the_vias() {
    let message = message("mult-ip-in-header");
    let hosts: Vec<_> = message.vias().map(|via| via.unwrap().host_ip()).collect();
    assert_eq!(hosts, [ip("2001:db8::9:1"), ip("192.0.2.1"), ip("2001:db8::9:255")]);
    assert_eq!(message.top_via().unwrap().port, Some(6050));
    let last = message.vias().last().unwrap().unwrap();
    assert_eq!(last.received_ip(), ip("192.0.2.200"));
}

#[test]
fn s4_8_both_families_in_sdp() {
    assert_eq!(message("mult-ip-in-sdp").body().len(), 189);
}

#[test]
fn s4_9_ipv4_mapped_addresses() {
    let message = message("ipv4-mapped-ipv6");
    let via = message.top_via().unwrap();
    assert_eq!((via.host_ip(), via.port), (ip("::ffff:192.0.2.10"), Some(19823)));
    let contact = message.contacts().next().unwrap().unwrap();
    assert_eq!(contact.parsed_uri().unwrap().host_ip(), ip("::ffff:192.0.2.2"));
}

#[test]
fn s4_10_three_colons_read_as_two() {
    let (three, two) = (message("ipv6-bug-abnf-3-colons"), message("ipv6-correct-abnf-2-colons"));
    let (three, two) = (three.request_uri(), two.request_uri());
    let (three, two) = (Uri::parse(three).unwrap(), Uri::parse(two).unwrap());
    assert_eq!(three.host_ip(), ip("2001:db8::192.0.2.1"));
    assert!(three.is_equivalent(&two));
}
