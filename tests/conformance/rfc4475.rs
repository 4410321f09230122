//! RFC 4475: SIP torture test messages, all of its archive.

pub(crate) mod verdicts;

use bytes::Bytes;
use sipjab::sip::{
    Body, Finding, Frame, FramingError, HeaderError, HeaderId, Limits, Message, Method,
    StreamFramer, Uri, reply, unescape,
};

use self::verdicts::VERDICTS;
use crate::Verdict::{Accepted, Refused};
use crate::{assert_untouched_parts_stay, file, files, received, verdict};

fn message(name: &str) -> Message {
    received(file("rfc4475", name))
}

fn finding(name: &str) -> Finding {
    message(name).validate().unwrap_err()
}

#[test]
fn every_message_gets_its_verdict() {
    let files = files("rfc4475");
    assert_eq!(files.len(), VERDICTS.len());
    for (name, wire) in files {
        let row = VERDICTS.iter().find(|row| row.0 == name);
        let (_, section, expected) = row.unwrap_or_else(|| panic!("{name} has no verdict"));
        assert_eq!(verdict(wire), *expected, "{name}, §{section}");
    }
}

#[test]
fn every_message_leaves_as_it_came() {
    for (name, wire) in files("rfc4475").iter().filter(|(name, _)| name != "bigcode") {
        assert_untouched_parts_stay(name, wire);
    }
}

#[test]
fn every_refused_request_can_be_answered() {
    for (name, _, verdict) in VERDICTS {
        let Refused(status) = *verdict else { continue };
        let request = message(name);
        let text = reply(&request, status, "", Some("x"), &[], Body::default()).unwrap();
        let reply = Message::parse(text).unwrap();
        assert_eq!(reply.status(), Some(status), "{name}");
        for id in [HeaderId::Via, HeaderId::From, HeaderId::CallId, HeaderId::CSeq] {
            assert_eq!(reply.header(id), request.header(id), "{name}: {}", id.name());
        }
    }
}

#[test]
fn s3_1_1_1_a_short_tortuous_invite() {
    let message = message("wsinv");
    assert_eq!(message.method(), Method::Invite);
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!((uri.user(), uri.host()), (Some("vivekg"), "chair-dnrc.example.com"));
    assert!(uri.has_param("unknownparam"));

    let to = message.to().unwrap();
    assert_eq!((to.uri, to.tag()), ("sip:vivekg@chair-dnrc.example.com", Some("1918181833n")));
    let from = message.from().unwrap();
    assert_eq!(from.display_name(), r#"J Rosenberg \""#);
    assert_eq!((from.uri, from.tag()), ("sip:jdrosen@example.com", Some("98asjd8")));

    assert_eq!(message.max_forwards(), Ok(Some(68)));
    assert_eq!(message.call_id(), Ok("wsinv.ndaksdj@192.0.2.1"));
    assert_eq!(message.content_length(), Ok(Some(150)));
    let cseq = message.cseq().unwrap();
    assert_eq!((cseq.number, cseq.method), (9, Method::Invite));
    assert_eq!(message.header(HeaderId::Subject), Some(&b""[..]));
    assert_eq!(
        message.header_named("newfangledheader"),
        Some(&b"newfangled value\r\n continued newfangled value"[..])
    );
    assert_eq!(message.header_named("UnknownHeaderWithUnusualValue"), Some(&b";;,,;;,;"[..]));
    assert_eq!(message.content_type().as_deref(), Some("application/sdp"));
    assert_eq!(message.body().len(), 150);

    let vias: Vec<_> = message.vias().map(Result::unwrap).collect();
    let hops: Vec<_> = vias.iter().map(|via| (via.transport, via.host, via.branch)).collect();
    let expected = [
        ("UDP", "192.0.2.2", Some("390skdjuw")),
        ("TCP", "spindle.example.com", Some("z9hG4bK9ikj8")),
        ("UDP", "192.168.255.111", Some("z9hG4bK30239")),
    ];
    assert_eq!(hops, expected);

    let route = message.addresses(HeaderId::Route).next().unwrap().unwrap();
    let route = route.parsed_uri().unwrap();
    assert!(route.has_param("lr") && route.has_param("unknown-no-value"));
    assert_eq!(route.param("unknownwith").unwrap().value, Some("value"));

    let contact = message.contacts().next().unwrap().unwrap();
    assert_eq!(contact.display_name(), r#"Quoted string """#);
    assert_eq!(contact.params.find("newparam").unwrap().value, Some("newvalue"));
    assert_eq!(contact.params.find("secondparam").unwrap().value, None);
    assert_eq!(contact.params.find("q").unwrap().value, Some("0.33"));
}

#[test]
fn s3_1_1_2_a_wide_range_of_valid_characters() {
    let message = message("intmeth");
    let method = "!interesting-Method0123456789_*+`.%indeed'~";
    assert_eq!(message.method(), Method::Other(method));
    assert_eq!(message.cseq().unwrap().method.as_str(), method);
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!(uri.user(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
    assert_eq!(uri.password(), Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
    assert_eq!(uri.host(), "example.com");
    assert_eq!(message.top_via().unwrap().branch, Some("z9hG4bK-.!%66*_+`'~"));
    assert_eq!(message.to().unwrap().display_name(), "BEL:\u{7} NUL:\0 DEL:\u{7f}");
    let from = message.from().unwrap();
    assert_eq!(from.display_name(), "token1~` token2'+_ token3*%!.-");
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(from.params.find("fromParam''~+*_!.-%").unwrap().text(), "работающий");
    assert_eq!(message.call_id(), Ok("intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"));
    let extension = message.header_named("extensionHeader-!.%*+_`'~").unwrap();
    assert_eq!(extension, "\u{feff}大停電".as_bytes());
}

#[test]
fn s3_1_1_3_escapes_are_equal_to_their_characters_and_read_once() {
    let message = message("esc01");
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!(unescape(uri.user().unwrap()).as_ref(), b"sips:user@example.com");
    assert_eq!(uri.host(), "example.net");
    let to = message.to().unwrap().parsed_uri().unwrap();
    assert!(to.is_equivalent(&Uri::parse("sip:user@example.com").unwrap()));
    let contact = message.contacts().next().unwrap().unwrap().parsed_uri().unwrap();
    assert!(contact.has_param("lr"));
    let name = contact.param("name").unwrap();
    assert_eq!(unescape(name.value.unwrap()).as_ref(), b"value%41");
}

#[test]
fn s3_1_1_4_escaped_nulls_do_not_end_a_name() {
    let message = message("escnull");
    let to = message.to().unwrap().parsed_uri().unwrap();
    assert_eq!(unescape(to.user().unwrap()).as_ref(), b"null-\0-null");
    let users: Vec<_> = message
        .contacts()
        .map(|contact| contact.unwrap().parsed_uri().unwrap().user().unwrap())
        .collect();
    assert_eq!(users, ["%00", "%00%00"]);
}

#[test]
fn s3_1_1_5_a_percent_sign_is_not_always_an_escape() {
    let message = message("esc02");
    assert_eq!(message.method(), Method::Other("RE%47IST%45R"));
    assert_eq!(message.to().unwrap().display_name(), "%Z%45");
    assert_eq!(message.contacts().count(), 2);
    assert!(message.header_named("C%6Fntact").is_some());
}

#[test]
fn s3_1_1_6_no_space_before_the_bracket() {
    let message = message("lwsdisp");
    let from = message.from().unwrap();
    assert_eq!((from.display_name().as_ref(), from.uri), ("caller", "sip:caller@example.com"));
}

#[test]
fn s3_1_1_7_long_values() {
    let message = message("longreq");
    assert_eq!(message.vias().filter(Result::is_ok).count(), 34);
    assert_eq!(message.from().unwrap().tag().unwrap().len(), 2 + 3 * 50 + 3);
    let to = message.to().unwrap().parsed_uri().unwrap();
    assert_eq!((to.port(), to.params().iter().count()), (Some(6000), 3));
    assert!(message.call_id().unwrap().ends_with("reallylongcallid"));
    assert_eq!(message.body().len(), 150);
}

#[test]
fn s3_1_1_8_bytes_behind_the_message_are_dropped() {
    let message = message("dblreq");
    assert_eq!(message.method(), Method::Register);
    assert_eq!(message.body(), b"");
    assert!(!message.to_bytes().windows(6).any(|window| window == b"INVITE"));
}

#[test]
fn s3_1_1_9_semicolons_in_the_user_part() {
    let message = message("semiuri");
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!(unescape(uri.user().unwrap()).as_ref(), b"user;par=u@example.net");
    assert_eq!((uri.host(), uri.params().is_empty()), ("example.com", true));
    assert_eq!(message.values(HeaderId::Accept).count(), 6);
}

#[test]
fn s3_1_1_10_unknown_transports() {
    let message = message("transports");
    let transports: Vec<_> = message.vias().map(|via| via.unwrap().transport).collect();
    assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
}

#[test]
fn s3_1_1_11_a_binary_body() {
    let message = message("mpart01");
    assert_eq!(message.body().len(), 553);
    assert!(message.body().contains(&0));
    assert!(message.body().ends_with(b"--7a9cbec02ceef655--\r\n"));
}

#[test]
fn s3_1_1_12_and_13_reason_phrases() {
    let unusual = message("unreason");
    assert_eq!(unusual.status(), Some(200));
    assert!(unusual.reason().starts_with("= 2**3 * 5**2 но сто"));
    assert_eq!((message("noreason").status(), message("noreason").reason()), (Some(100), ""));
}

#[test]
fn s3_1_2_each_fault_is_named() {
    use HeaderId::{CSeq, CallId, Contact, ContentLength, From, MaxForwards, To, Via};
    assert_eq!(finding("badinv01"), HeaderError::Malformed(Via).into());
    assert_eq!(finding("clerr"), Finding::ShortBody);
    assert_eq!(finding("ncl"), HeaderError::Malformed(ContentLength).into());
    assert_eq!(finding("scalar02"), HeaderError::OutOfRange(CSeq).into());
    assert_eq!(message("scalar02").max_forwards(), Err(HeaderError::OutOfRange(MaxForwards)));
    assert!(message("scalar02").expires().is_err());
    assert_eq!(finding("quotbal"), HeaderError::Malformed(To).into());
    assert!(matches!(finding("ltgtruri"), Finding::RequestUri(_)));
    assert_eq!(finding("lwsruri"), Finding::RequestLine);
    assert_eq!(finding("lwsstart"), Finding::RequestLine);
    assert_eq!(finding("trws"), Finding::RequestLine);
    assert_eq!(finding("escruri"), Finding::RequestUriHeaders);
    assert_eq!(finding("regbadct"), HeaderError::Malformed(Contact).into());
    assert!(matches!(finding("badaspec"), Finding::Uri(To, _)));
    assert_eq!(finding("baddn"), HeaderError::Malformed(From).into());
    assert_eq!(finding("badvers"), Finding::Version);
    assert_eq!(finding("mismatch01"), Finding::CSeqMethod);
    assert_eq!(finding("mismatch02"), Finding::UnknownMethod);
    assert_eq!(finding("insuf"), HeaderError::Missing(From).into());
    assert_eq!(finding("multi01"), Finding::Repeated(CSeq));
    assert_eq!(message("multi01").call_id(), Ok("multi01.98asdh@192.0.2.1"));
    assert_eq!(message("insuf").call_id(), Err(HeaderError::Missing(CallId)));
}

#[test]
fn s3_1_2_2_a_stream_waits_for_the_rest_of_the_body() {
    let mut framer = StreamFramer::new(Limits::default());
    framer.push(&file("rfc4475", "clerr"));
    assert_eq!(framer.poll(), Ok(None));
    assert!(framer.is_inside_message());
}

#[test]
fn s3_1_2_3_and_3_3_9_a_stream_without_usable_length_ends() {
    for (name, error) in [
        ("ncl", FramingError::BadLength),
        ("mcl01", FramingError::BadLength),
        ("inv2543", FramingError::NoLength),
    ] {
        let mut framer = StreamFramer::new(Limits::default());
        framer.push(&file("rfc4475", name));
        assert_eq!(framer.poll(), Err(error), "{name}");
        assert_eq!(error.status().0, 400);
        assert_eq!(framer.refused().unwrap().method(), message(name).method(), "{name}");
    }
}

#[test]
fn s3_2_1_a_branch_that_is_only_the_cookie_identifies_nothing() {
    let message = message("badbranch");
    assert_eq!(message.top_via().unwrap().branch, Some("z9hG4bK"));
    assert!(!message.top_via().unwrap().has_rfc3261_branch());
}

#[test]
fn s3_3_2_to_4_schemes_that_are_not_sip() {
    let scheme = |name| Uri::parse(message(name).request_uri()).unwrap().scheme().as_str().len();
    assert_eq!(scheme("unkscm"), "nobodyKnowsThisScheme".len());
    assert_eq!(scheme("novelsc"), "soap.beep".len());
    let unknown = message("unksm2");
    assert_eq!(unknown.to().unwrap().uri, "isbn:2983792873");
    assert!(!unknown.from().unwrap().parsed_uri().unwrap().is_sip());
    assert_eq!(unknown.contacts().next().unwrap().unwrap().uri, "name:John_Smith");
}

#[test]
fn s3_3_5_extensions_are_listed() {
    let message = message("bext01");
    let required: Vec<_> = message.values(HeaderId::Require).collect();
    assert_eq!(required, [&b"nothingSupportsThis"[..], b"nothingSupportsThisEither"]);
    assert_eq!(message.values(HeaderId::ProxyRequire).count(), 2);
}

#[test]
fn s3_3_10_a_broadcast_via_is_visible() {
    let message = message("bcast");
    let second = message.vias().nth(1).unwrap().unwrap();
    assert_eq!(second.host_ip(), Some([255, 255, 255, 255].into()));
}

#[test]
fn s3_3_11_no_hops_left() {
    assert_eq!(message("zeromf").max_forwards(), Ok(Some(0)));
}

#[test]
fn s3_3_12_to_14_whose_parameter_it_is() {
    let header = message("cparam01");
    let contact = header.contacts().next().unwrap().unwrap();
    assert!(contact.params.find("unknownparam").is_some());
    assert!(!contact.parsed_uri().unwrap().has_param("unknownparam"));

    let uri = message("cparam02");
    let contact = uri.contacts().next().unwrap().unwrap();
    assert!(contact.params.is_empty());
    assert!(contact.parsed_uri().unwrap().has_param("unknownparam"));

    let escaped = message("regescrt");
    let contact = escaped.contacts().next().unwrap().unwrap();
    assert_eq!(contact.parsed_uri().unwrap().headers(), Some("Route=%3Csip:sip.example.com%3E"));
}

#[test]
fn s3_4_1_rfc_2543_syntax() {
    let message = message("inv2543");
    assert_eq!(message.from().unwrap().tag(), None);
    assert_eq!(message.top_via().unwrap().branch, None);
    assert_eq!(message.content_length(), Ok(None));
    assert!(message.body().starts_with(b"v=0\r\n"));
}

#[test]
fn a_stream_of_all_messages_with_a_length_is_cut_where_they_end() {
    let whole: Vec<Bytes> = VERDICTS
        .iter()
        .filter(|row| row.2 == Accepted && !matches!(row.0, "inv2543" | "dblreq"))
        .map(|row| message(row.0).to_bytes())
        .collect();
    let stream = whole.concat();
    for step in [1, 7, 1000, stream.len()] {
        let mut framer = StreamFramer::new(Limits::default());
        let mut cut = Vec::new();
        for chunk in stream.chunks(step) {
            framer.push(chunk);
            while let Some(frame) = framer.poll().unwrap() {
                cut.push(frame);
            }
        }
        let expected: Vec<_> = whole.iter().cloned().map(Frame::Message).collect();
        assert_eq!(cut, expected, "in steps of {step}");
        assert!(!framer.is_inside_message());
    }
}
