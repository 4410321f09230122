//! RFC 7247 §6: addresses, and the legacy dialects beside it.

use sipjab::gateway::{AddressError, Addressing, Dialect, Kamailio, Side, SipsPolicy};
use sipjab::sip::Uri;
use sipjab::xmpp::Jid;

fn jid(addressing: &Addressing, uri: &str, owner: Side) -> Result<String, AddressError> {
    let uri = Uri::parse(uri).unwrap_or_else(|error| panic!("{uri}: {error}"));
    addressing.jid_from_sip(&uri, owner).map(|jid| jid.to_string())
}

fn sip(addressing: &Addressing, jid: &str, owner: Side) -> Result<String, AddressError> {
    let parsed = Jid::new(jid).unwrap_or_else(|error| panic!("{jid}: {error}"));
    addressing.sip_from_jid(&parsed, owner)
}

/// Both directions for both owners.
fn assert_pair(addressing: &Addressing, uri: &str, address: &str) {
    for owner in [Side::Sip, Side::Xmpp] {
        assert_eq!(jid(addressing, uri, owner).as_deref(), Ok(address), "{uri}");
        assert_eq!(sip(addressing, address, owner).as_deref(), Ok(uri), "{address}");
    }
}

#[test]
fn s6_4_the_examples_hold() {
    let rfc = Addressing::default();
    assert_pair(&rfc, "sip:f%C3%BC@sip.example", "fü@sip.example");
    assert_pair(&rfc, "sip:o'malley@sip.example", "o\\27malley@sip.example");
    assert_pair(&rfc, "sip:foo@sip.example;gr=bar", "foo@sip.example/bar");
}

#[test]
fn s6_5_the_examples_hold() {
    let rfc = Addressing::default();
    assert_pair(&rfc, "sip:m&m@xmpp.example", "m\\26m@xmpp.example");
    assert_pair(&rfc, "sip:tsch%C3%BCss@xmpp.example", "tschüss@xmpp.example");
    assert_pair(&rfc, "sip:baz@xmpp.example;gr=qux", "baz@xmpp.example/qux");
}

/// Table 1: every printable ASCII character survives in the user part, in its own writing on each side.
#[test]
fn s6_2_table_1_every_character_crosses_and_comes_back() {
    let rfc = Addressing::default();
    let sip_disallowed = "\"#%:<>@[\\]^`{|}";
    let xmpp_disallowed = "\"&'/:<>@";
    for c in (0x21..0x7F_u8).map(char::from).filter(|c| !c.is_ascii_uppercase()) {
        let user =
            if sip_disallowed.contains(c) { format!("%{:02X}", c as u8) } else { c.to_string() };
        let local =
            if xmpp_disallowed.contains(c) { format!("\\{:02x}", c as u8) } else { c.to_string() };
        assert_pair(&rfc, &format!("sip:a{user}b@h.example"), &format!("a{local}b@h.example"));
    }
}

#[test]
fn s6_2_what_looks_escaped_is_escaped_again() {
    let rfc = Addressing::default();
    assert_pair(&rfc, "sip:a%5C27b@h.example", "a\\5c27b@h.example");
    assert_pair(&rfc, "sip:a%2526b@h.example", "a%26b@h.example");
    assert_pair(&rfc, "sip:a%20b@h.example", "a\\20b@h.example");
}

/// Users of random pieces, drawn from a fixed sequence: what reaches SIP comes back as the same JID, and only a
/// localpart with a superfluous escape (XEP-0106 §4.2) does not reach it.
#[test]
fn s6_2_every_jid_survives_the_round_trip() {
    const PIECES: &[&str] = &[
        "a", "\\", "\\5c", "\\27", "\\20", "5c", "*", "%", "%41", "é", "日", ".", "-", "$", ";",
        "=", "?", "+", "#", "[", "]", "{", "}", "~", "`", "^", "|", "(", ")", ",", "!", "_", "7",
    ];
    let dialects = [Addressing::default(), kamailio(""), kamailio("s.example=h.example")];
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..20_000 {
        let mut user = String::new();
        for _ in 0..=seed % 6 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            user.push_str(PIECES[(seed >> 20) as usize % PIECES.len()]);
        }
        let Ok(original) = Jid::new(&format!("{user}@h.example")) else { continue };
        for addressing in &dialects {
            let Ok(uri) = addressing.sip_from_jid(&original, Side::Xmpp) else {
                assert!(user.contains("\\5c") || user.contains("\\20"), "{user}");
                continue;
            };
            let back = jid(addressing, &uri, Side::Xmpp);
            assert_eq!(back.as_deref(), Ok(original.as_str()), "{uri}");
        }
    }
}

#[test]
fn s6_3_resources_of_any_writing_are_gr() {
    let rfc = Addressing::default();
    assert_pair(&rfc, "sip:a@h.example;gr=urn:uuid:f81d4fae", "a@h.example/urn:uuid:f81d4fae");
    assert_pair(&rfc, "sip:a@h.example;gr=Gajim%20%C3%BC%3B%3D%40/x", "a@h.example/Gajim ü;=@/x");
}

#[test]
fn s6_3_a_temporary_gruu_is_no_resource() {
    let found = jid(&Addressing::default(), "sip:tgruu.7hs==@h.example;gr", Side::Sip);
    assert_eq!(found.as_deref(), Ok("tgruu.7hs==@h.example"));
}

#[test]
fn s6_1_domains_are_u_labels_in_xmpp_and_a_labels_in_sip() {
    let rfc = Addressing::default();
    assert_pair(&rfc, "sip:a@xn--bcher-kva.example", "a@bücher.example");
    assert_pair(&rfc, "sip:a@192.0.2.1", "a@192.0.2.1");
    assert_pair(&rfc, "sip:a@[2001:db8::1]", "a@[2001:db8::1]");
    assert_pair(&rfc, "sip:h.example", "h.example");
}

#[test]
fn s6_1_im_and_pres_map_as_sip_does() {
    let rfc = Addressing::default();
    for uri in ["im:f%C3%BC@h.example", "pres:f%C3%BC@h.example", "IM:f%C3%BC@h.example?subject=x"]
    {
        assert_eq!(jid(&rfc, uri, Side::Sip).as_deref(), Ok("fü@h.example"));
    }
}

#[test]
fn s6_4_what_routes_but_names_nobody_is_dropped() {
    let rfc = Addressing::default();
    for uri in [
        "sip:a:secret@h.example",
        "sip:a@h.example:5070",
        "sip:a@h.example;transport=tcp;lr?Subject=x",
        "SIP:A@H.Example.",
    ] {
        assert_eq!(jid(&rfc, uri, Side::Sip).as_deref(), Ok("a@h.example"), "{uri}");
    }
}

#[test]
fn s6_4_what_can_be_no_jid_is_refused() {
    let rfc = Addressing::default();
    for uri in
        ["sip:%FF@h.example", "sip:%00@h.example", "sip:%20a@h.example", "sip:a%0D%0Ab@h.example"]
    {
        assert_eq!(jid(&rfc, uri, Side::Sip).unwrap_err().status().0, 400, "{uri}");
    }
    let long = format!("sip:{}@h.example", "a".repeat(1024));
    assert_eq!(jid(&rfc, &long, Side::Sip).unwrap_err().status().0, 400);
}

/// RFC 3966; RFC 7247 §6.1 leaves the mapping to us.
#[test]
fn s6_1_telephone_numbers_get_the_configured_domain() {
    let tel = Addressing { tel_domain: Some("tel.example".to_owned()), ..Addressing::default() };
    let found = jid(&tel, "tel:+1-201-555-0123;ext=9", Side::Sip);
    assert_eq!(found.as_deref(), Ok("+12015550123@tel.example"));
    let local = jid(&tel, "tel:7042;phone-context=example.com", Side::Sip);
    assert_eq!(local.unwrap_err().status().0, 484);
    let none = jid(&Addressing::default(), "tel:+12015550123", Side::Sip);
    assert_eq!(none.unwrap_err().status().0, 416);
}

#[test]
fn s8_sips_is_refused_unless_the_operator_allows_it() {
    let refused = jid(&Addressing::default(), "sips:a@h.example", Side::Xmpp);
    assert_eq!(refused, Err(AddressError::Sips));
    let allowing = Addressing { sips: SipsPolicy::Allow, ..Addressing::default() };
    assert_eq!(jid(&allowing, "sips:a@h.example", Side::Xmpp).as_deref(), Ok("a@h.example"));
}

fn kamailio(gwmap: &str) -> Addressing {
    let dialect = Dialect::Kamailio(Kamailio {
        domain_separator: '*',
        gateway_domain: "sip2xmpp.example".to_owned(),
        xmpp_domain: "xmpp2sip.example".to_owned(),
        gwmap: Kamailio::gwmap(gwmap),
    });
    Addressing { dialect, ..Addressing::default() }
}

fn assert_owned(addressing: &Addressing, owner: Side, uri: &str, address: &str) {
    assert_eq!(jid(addressing, uri, owner).as_deref(), Ok(address), "{uri}");
    assert_eq!(sip(addressing, address, owner).as_deref(), Ok(uri), "{address}");
}

#[test]
fn compat_kamailio_encodes_the_home_domain_in_the_user_part() {
    let gateway = kamailio("");
    let of_sip = |uri, address| assert_owned(&gateway, Side::Sip, uri, address);
    of_sip("sip:user1@domain1.example", "user1*domain1.example@xmpp2sip.example");
    of_sip("sip:us*er@domain1.example", "us*er*domain1.example@xmpp2sip.example");
    of_sip("sip:o'hara@[::1]", "o\\27hara*[\\3a\\3a1]@xmpp2sip.example");
    let of_xmpp = |uri, address| assert_owned(&gateway, Side::Xmpp, uri, address);
    of_xmpp("sip:user2*domain2.example@sip2xmpp.example", "user2@domain2.example");
    of_xmpp("sip:o'hara*jabber.org@sip2xmpp.example", "o\\27hara@jabber.org");
    of_xmpp("sip:f%C3%BC*b%C3%BCcher.example@sip2xmpp.example", "fü@bücher.example");
    let encoded = jid(&gateway, "sip:o%27hara*jabber.org@sip2xmpp.example", Side::Xmpp);
    assert_eq!(encoded.as_deref(), Ok("o\\27hara@jabber.org"));
    let device = sip(&gateway, "user1@domain1.example/res", Side::Xmpp);
    assert_eq!(device.as_deref(), Ok("sip:user1*domain1.example@sip2xmpp.example"));
}

#[test]
fn compat_kamailio_answers_404_where_the_module_crashed_or_guessed() {
    let gateway = kamailio("");
    for uri in
        ["sip:u@sip2xmpp.example", "sip:sip2xmpp.example", "sip:*h@sip2xmpp.example", "sip:u*@g"]
    {
        assert_eq!(jid(&gateway, uri, Side::Xmpp).unwrap_err().status().0, 404, "{uri}");
    }
    for address in ["u@xmpp2sip.example", "xmpp2sip.example"] {
        assert!(sip(&gateway, address, Side::Sip).is_err(), "{address}");
    }
    assert!(sip(&gateway, "u*a;b@xmpp2sip.example", Side::Sip).is_err());
}

#[test]
fn compat_kamailio_a_separator_that_hosts_hold_counts_from_the_left() {
    let mut gateway = kamailio("");
    if let Dialect::Kamailio(kamailio) = &mut gateway.dialect {
        kamailio.domain_separator = '-';
    }
    let found = jid(&gateway, "sip:user-my-host.example@sip2xmpp.example", Side::Xmpp);
    assert_eq!(found.as_deref(), Ok("user@my-host.example"));
}

#[test]
fn compat_kamailio_gwmap_pairs_domains_and_encodes_nothing() {
    let gateway = kamailio("sip.kamailio.org=xmpp.kamailio.org;abc.com=xyz.com;kamailio.net");
    assert_pair(&gateway, "sip:alice@sip.kamailio.org", "alice@xmpp.kamailio.org");
    assert_pair(&gateway, "sip:bob@abc.com", "bob@xyz.com");
    assert_pair(&gateway, "sip:bob@kamailio.net", "bob@kamailio.net");
    assert_pair(&gateway, "sip:bob*x@other.example", "bob*x@other.example");
}

#[test]
fn compat_opensips_swaps_the_shared_domain() {
    let dialect = |sip_domain: Option<&str>| Addressing {
        dialect: Dialect::Opensips {
            xmpp_domain: "example.com".to_owned(),
            sip_domain: sip_domain.map(str::to_owned),
        },
        ..Addressing::default()
    };
    let shared = dialect(Some("sip.example.com"));
    assert_owned(&shared, Side::Sip, "sip:u@example.com", "u@sip.example.com");
    assert_owned(&shared, Side::Xmpp, "sip:v@example.com", "v@example.com");
    assert_pair(&dialect(None), "sip:u@example.com", "u@example.com");
    let device = sip(&dialect(None), "u@example.com/res", Side::Xmpp);
    assert_eq!(device.as_deref(), Ok("sip:u@example.com"));
}
