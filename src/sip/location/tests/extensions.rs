//! Path (RFC 3327), flows (RFC 5626), GRUUs (RFC 5627), and limits.

use super::*;

const INSTANCE: &str = "<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";

/// A contact with an instance, and more parameters.
fn flow(uri: &str, more: &str) -> String {
    format!("Contact: <{uri}>;+sip.instance=\"{INSTANCE}\"{more}\r\n")
}

fn value<'h>(headers: &'h [(&'static str, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(it, _)| *it == name).map(|(_, value)| &**value)
}

impl Registrar {
    fn headers_for(&mut self, cseq: u32, headers: &str) -> Headers {
        let request = request("sip:alice@sip.example", "one", cseq, headers);
        self.hears_as(&request, Manner::default())
    }

    fn binding(&self) -> &Binding {
        self.location.contacts(self.now, ALICE).next().unwrap()
    }

    fn goes_to(&self, uri: &str) -> Vec<&str> {
        self.location.targets(self.now, uri).iter().map(|binding| &*binding.uri).collect()
    }
}

#[test]
fn rfc3261_s8_2_2_3_what_is_required_and_unknown_is_named() {
    let mut registrar = Registrar::new();
    let headers = "Require: path, x-one\r\nRequire: x-two\r\nContact: <sip:a@h>\r\n";
    let error = registrar.takes(1, headers).unwrap_err();
    assert_eq!(error.status().0, 420);
    assert_eq!(error.header(), Some(("Unsupported", "x-one, x-two".into())));
    assert!(registrar.uris().is_empty());
    assert!(registrar.takes(1, "Require: path, gruu, outbound\r\n").is_ok());
}

#[test]
fn rfc3327_s5_3_path_is_kept_in_order_and_told() {
    let mut registrar = Registrar::new();
    let headers = "Path: <sip:p2;lr>, <sip:p1;lr>\r\nPath: <sip:p0;lr>\r\nSupported: path\r\n\
                   Contact: <sip:a@10.0.0.1>\r\n";
    let told = registrar.headers_for(1, headers).unwrap();
    assert_eq!(value(&told, "Path"), Some("<sip:p2;lr>,<sip:p1;lr>,<sip:p0;lr>"));
    assert_eq!(registrar.binding().path, "<sip:p2;lr>,<sip:p1;lr>,<sip:p0;lr>");
}

#[test]
fn rfc3327_s5_3_path_without_support_is_as_the_mode_says() {
    let headers = "Path: <sip:p;lr>\r\nContact: <sip:a@h>\r\n";
    for (path_mode, uses_path, status) in [
        (PathMode::Strict, true, 420),
        (PathMode::Lazy, true, 200),
        (PathMode::Off, true, 200),
        (PathMode::Strict, false, 200),
    ] {
        let mut registrar = Registrar::new();
        (registrar.location.rules.path_mode, registrar.location.rules.uses_path) =
            (path_mode, uses_path);
        match registrar.headers_for(1, headers) {
            Err(error) => {
                assert_eq!(error.status().0, status);
                assert_eq!(error.header(), Some(("Unsupported", "path".into())));
                assert!(registrar.uris().is_empty());
            }
            Ok(told) => {
                assert_eq!((status, value(&told, "Path")), (200, None));
                assert_eq!(registrar.binding().path.is_empty(), !uses_path);
            }
        }
    }
}

#[test]
fn a_path_that_no_column_holds_or_nobody_can_read_is_refused() {
    let long =
        format!("Path: <sip:{};lr>\r\nSupported: path\r\nContact: <sip:a@h>\r\n", "p".repeat(510));
    let bad = "Path: <nowhere>\r\nSupported: path\r\nContact: <sip:a@h>\r\n";
    for headers in [&*long, bad] {
        assert_eq!(Registrar::new().takes(1, headers).unwrap_err().status().0, 400);
    }
}

#[test]
fn rfc5626_s6_a_flow_takes_the_place_of_the_same_flow_and_no_other() {
    let mut registrar = Registrar::new();
    let told = registrar
        .headers_for(1, &format!("Supported: outbound\r\n{}", flow("sip:a@10.0.0.1", ";reg-id=1")));
    assert_eq!(value(&told.unwrap(), "Require"), Some("outbound"));
    registrar.now += seconds(1);
    registrar.takes_other(1, &flow("sip:a@10.0.0.1", ";reg-id=2")).unwrap();
    registrar.now += seconds(1);
    registrar.takes_other(2, &flow("sip:a@10.0.0.2", ";reg-id=1")).unwrap();
    assert_eq!(registrar.uris(), ["sip:a@10.0.0.2", "sip:a@10.0.0.1"]);
    assert_eq!(registrar.goes_to("sip:alice@sip.example"), ["sip:a@10.0.0.2"], "§7: one at a time");
    registrar.takes_other(3, &flow("sip:a@10.0.0.9", ";reg-id=1;expires=0")).unwrap();
    assert_eq!(registrar.goes_to("sip:alice@sip.example"), ["sip:a@10.0.0.1"]);
}

#[test]
fn rfc5626_s6_a_flow_is_kept_where_it_came_from() {
    let mut registrar = Registrar::new();
    registrar.takes(1, &flow("sip:a@192.0.2.9", ";reg-id=1")).unwrap();
    assert_eq!(registrar.binding().received, Some((Transport::Udp, phone())));
}

#[test]
fn rfc5626_s6_reg_id_without_instance_means_nothing() {
    let mut registrar = Registrar::new();
    let headers = "Supported: outbound\r\nContact: <sip:a@h>;reg-id=1\r\n";
    assert_eq!(value(&registrar.headers_for(1, headers).unwrap(), "Require"), None);
    assert_eq!(registrar.binding().reg_id, 0);
}

#[test]
fn rfc5626_s6_one_register_makes_one_flow() {
    let two = format!("{}Contact: <sip:b@h>\r\n", flow("sip:a@h", ";reg-id=1"));
    let error = Registrar::new().takes(1, &two).unwrap_err();
    assert_eq!((error.status().0, error), (400, RegisterError::ManyFlows));
    let moved = format!("{}Contact: <sip:b@h>;expires=0\r\n", flow("sip:a@h", ";reg-id=1"));
    assert!(Registrar::new().takes(1, &moved).is_ok());
}

#[test]
fn rfc5626_s6_a_first_hop_without_outbound_is_answered_439() {
    let hop = "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK0\r\n";
    let contact = flow("sip:a@10.0.0.1", ";reg-id=1");
    for (headers, outcome) in [
        ("Supported: outbound\r\n", Err(439)),
        ("Supported: outbound, path\r\nPath: <sip:p;lr;ob>,<sip:edge;lr>\r\n", Err(439)),
        ("Supported: outbound, path\r\nPath: <sip:p;lr>,<sip:edge;lr;ob>\r\n", Ok(1)),
        ("", Ok(0)),
    ] {
        let mut registrar = Registrar::new();
        let taken = registrar.takes(1, &format!("{hop}{headers}{contact}"));
        let taken = taken.map(|_| registrar.binding().reg_id).map_err(|error| error.status().0);
        assert_eq!(taken, outcome, "{headers}");
    }
}

#[test]
fn rfc5626_flows_may_be_off_or_demanded() {
    let mut registrar = Registrar::new();
    registrar.location.rules.outbound = OutboundMode::Required;
    let error = registrar.takes(1, "Contact: <sip:a@h>\r\n").unwrap_err();
    assert_eq!((error.status().0, error.header()), (421, Some(("Require", "outbound".into()))));
    registrar.location.rules.flow_timer = 120;
    let headers = format!("Supported: outbound\r\n{}", flow("sip:a@h", ";reg-id=1"));
    assert_eq!(value(&registrar.headers_for(1, &headers).unwrap(), "Flow-Timer"), Some("120"));
    let mut registrar = Registrar::new();
    registrar.location.rules.outbound = OutboundMode::Off;
    registrar.takes(1, &flow("sip:a@h", ";reg-id=1")).unwrap();
    assert_eq!(registrar.binding().reg_id, 0);
}

#[test]
fn rfc5627_s5_2_whoever_understands_gruus_is_given_one() {
    let mut registrar = Registrar::new();
    let gruu = "sip:alice@sip.example;gr=urn:uuid:00000000-0000-1000-8000-000A95A0E128";
    let plain = registrar.takes(1, &flow("sip:a@h", "")).unwrap();
    assert!(!plain[0].contains("gruu"));
    let told = registrar.takes(2, &format!("Supported: gruu\r\n{}", flow("sip:a@h", ""))).unwrap();
    assert!(told[0].contains(&format!(";pub-gruu=\"{gruu}\"")), "{}", told[0]);
    registrar.takes_other(1, "Contact: <sip:b@h>;q=1\r\n").unwrap();
    assert_eq!(registrar.goes_to(gruu), ["sip:a@h"]);
    assert_eq!(registrar.goes_to("sip:alice@sip.example").len(), 2);
    assert!(registrar.goes_to("sip:alice@sip.example;gr=urn:uuid:0").is_empty());
    registrar.now += seconds(1);
    registrar.takes(3, &flow("sip:new@h", "")).unwrap_err();
    registrar.takes_other(2, "Contact: <sip:b@h>;expires=0\r\n").unwrap();
    registrar.takes(3, &flow("sip:new@h", "")).unwrap();
    assert_eq!(registrar.goes_to(gruu), ["sip:new@h"], "§5.1: the newest of an instance");
}

impl Registrar {
    /// A REGISTER of one of the instance's contacts; gives the temporary GRUU that it is told.
    fn temporary(&mut self, call_id: &str, cseq: u32, uri: &str, more: &str) -> String {
        let headers = format!("Supported: gruu, outbound\r\n{}", flow(uri, more));
        let told = self.hears(&request("sip:alice@sip.example", call_id, cseq, &headers)).unwrap();
        let contact = told.iter().find(|contact| contact.starts_with(&format!("<{uri}>"))).unwrap();
        let gruu = contact.split("temp-gruu=\"").nth(1).and_then(|rest| rest.split('"').next());
        self.now += seconds(1);
        gruu.unwrap_or_else(|| panic!("no temporary GRUU in {contact}")).to_owned()
    }
}

#[test]
fn rfc5627_s5_1_each_register_brings_another_address_of_the_instance() {
    let mut registrar = Registrar::new();
    let one = registrar.temporary("one", 1, "sip:a@h", "");
    registrar.takes_other(1, "Contact: <sip:b@h>;q=1\r\n").unwrap();
    let two = registrar.temporary("one", 2, "sip:a@h", "");
    assert_ne!(one, two);
    for gruu in [&one, &two, &one.replace(";gr", ";gr="), &one.replace("sip:", "sips:")] {
        assert_eq!(registrar.goes_to(gruu), ["sip:a@h"], "{gruu}");
    }
    assert!(registrar.goes_to(&one.replace(";gr", "")).is_empty(), "it is no user's name");
    assert!(registrar.goes_to("sip:x@sip.example;gr").is_empty());
    let plain = registrar.takes(3, &flow("sip:a@h", "")).unwrap();
    assert!(!plain.concat().contains("temp-gruu"), "§5.2: told to who understands it");
}

#[test]
fn rfc5627_s5_1_another_call_id_ends_all_earlier_ones() {
    let mut registrar = Registrar::new();
    let old = [1, 2].map(|cseq| registrar.temporary("one", cseq, "sip:a@h", ""));
    let new = registrar.temporary("two", 1, "sip:a@h", "");
    for gruu in &old {
        assert!(registrar.goes_to(gruu).is_empty());
    }
    assert_eq!(registrar.goes_to(&new), ["sip:a@h"]);
}

#[test]
fn rfc5627_s5_1_a_second_flow_with_a_call_id_of_its_own_ends_nothing() {
    let mut registrar = Registrar::new();
    let first = registrar.temporary("one", 1, "sip:a@h", ";reg-id=1");
    let second = registrar.temporary("two", 1, "sip:b@h", ";reg-id=2");
    for gruu in [&first, &second] {
        assert_eq!(registrar.goes_to(gruu), ["sip:b@h"], "the newest flow of the instance");
    }
    let anew = registrar.temporary("three", 1, "sip:c@h", ";reg-id=1");
    for gruu in [&first, &second] {
        assert!(registrar.goes_to(gruu).is_empty(), "all of the instance");
    }
    assert_eq!(registrar.goes_to(&anew), ["sip:c@h"]);
    registrar.takes_other(2, &flow("sip:c@h", ";reg-id=1;expires=0")).unwrap();
    assert_eq!(registrar.goes_to(&anew), ["sip:b@h"], "a flow is left");
}

#[test]
fn rfc5627_s5_3_temporary_ones_end_with_the_registration() {
    let mut registrar = Registrar::new();
    let gone = registrar.temporary("one", 1, "sip:a@h", ";expires=90");
    let public = "sip:alice@sip.example;gr=urn:uuid:00000000-0000-1000-8000-000A95A0E128";
    registrar.takes(2, "Contact: *\r\nExpires: 0\r\n").unwrap();
    let expired = registrar.temporary("one", 3, "sip:a@h", ";expires=90");
    assert!(registrar.goes_to(&gone).is_empty());
    registrar.now += seconds(90);
    assert!(registrar.goes_to(&expired).is_empty());
    let current = registrar.temporary("one", 4, "sip:a@h", "");
    assert!(registrar.goes_to(&expired).is_empty() && registrar.goes_to(&gone).is_empty());
    for gruu in [&*current, public] {
        assert_eq!(registrar.goes_to(gruu), ["sip:a@h"]);
    }
}

#[test]
fn rfc5627_s5_1_an_instance_is_not_registered_at_its_own_address() {
    let mut registrar = Registrar::new();
    let temporary = registrar.temporary("one", 1, "sip:a@h", "");
    let public = "sip:alice@sip.example;gr=urn:x";
    for uri in ["sip:alice@SIP.example", public, &temporary, "tel:+1"] {
        let error = registrar.takes(2, &flow(uri, "")).unwrap_err();
        assert_eq!(error.status().0, 403, "{uri}");
        registrar.takes(2, &flow(uri, ";expires=0")).unwrap();
    }
    assert_eq!(registrar.uris(), ["sip:a@h"]);
    registrar.location.rules.makes_gruus = false;
    let told = registrar.takes(2, &format!("Supported: gruu\r\n{}", flow("sip:a@h", ""))).unwrap();
    assert!(!told.concat().contains("gruu="), "they are off");
}

#[test]
fn a_contact_bomb_is_refused_before_it_is_read() {
    let many: Vec<_> = (0..1000).map(|n| format!("<sip:a{n}@h>")).collect();
    let error = Registrar::new().takes(1, &format!("Contact: {}\r\n", many.join(","))).unwrap_err();
    assert_eq!(error, RegisterError::TooManyContacts);
    for long in [
        format!("Contact: <sip:{}@h>\r\n", "a".repeat(10_000)),
        format!("Contact: <sip:{}@h>\r\n", "a".repeat(600)),
        format!("Contact: <sip:a@h>;+sip.instance=\"{}\"\r\n", "a".repeat(300)),
    ] {
        let error = Registrar::new().takes(1, &long).unwrap_err();
        assert_eq!(error.status().0, 400);
        assert!(matches!(error, RegisterError::TooLong(_)));
    }
}

#[test]
fn an_instance_that_could_break_out_of_its_quotes_is_none() {
    let mut registrar = Registrar::new();
    registrar.takes(1, "Contact: <sip:a@h>;+sip.instance=\"x\\\";y=\\\"\"\r\n").unwrap();
    assert_eq!(registrar.binding().instance, None);
}

#[test]
fn what_the_phone_says_of_itself_is_kept() {
    let mut registrar = Registrar::new();
    let headers =
        "User-Agent: Phone/1\r\nAllow: INVITE, ACK\r\nAllow: BYE\r\nContact: <sip:a@h>\r\n";
    registrar.takes(1, headers).unwrap();
    let binding = registrar.binding();
    assert_eq!((&*binding.user_agent, binding.methods), ("Phone/1", 0b1101));
    assert!(binding.takes("INVITE") && !binding.takes("MESSAGE"));
}

#[test]
fn a_script_may_register_another_address_and_one_contact_alone() {
    let mut registrar = Registrar::new();
    let manner = Manner {
        uri: Some("sip:desk@sip.example"),
        replaces_all: true,
        branch_flags: 4,
        ..Manner::default()
    };
    for (call_id, uri) in [("one", "sip:a@h"), ("two", "sip:b@h")] {
        let contact = format!("Contact: <{uri}>\r\n");
        let request = request("sip:alice@sip.example", call_id, 1, &contact);
        registrar.hears_as(&request, manner).unwrap();
    }
    assert!(registrar.uris().is_empty());
    let desk: Vec<_> = registrar.location.targets(registrar.now, "sip:desk@sip.example");
    assert_eq!(desk.len(), 1);
    assert_eq!((&*desk[0].uri, desk[0].branch_flags), ("sip:b@h", 4));
}

#[test]
fn a_register_whose_answer_was_lost_is_answered_again() {
    let mut registrar = Registrar::new();
    let first = registrar.takes(5, "Contact: <sip:a@h>;expires=90\r\n").unwrap();
    assert_eq!(registrar.takes(5, "Contact: <sip:a@h>;expires=90\r\n").unwrap(), first);
    registrar.now += REPEATS;
    let late = registrar.takes(5, "Contact: <sip:a@h>;expires=90\r\n");
    assert_eq!(late, Err(RegisterError::OutOfOrder));
}
