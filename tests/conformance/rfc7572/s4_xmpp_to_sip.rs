//! RFC 7572 §4: from XMPP to SIP.

use sipjab::gateway::{Dialect, Incoming, Kamailio, Mapping, Nothing};
use sipjab::sip::HeaderId;
use sipjab::xmpp::Condition;

use super::{mapping, to_sip, translate, wire};

/// A stanza of Juliet's with this attribute text and this content.
fn juliet_sends(attributes: &str, content: &str) -> String {
    format!(
        "<message from='juliet@example.com/yn0cl4bnw0yr3vym' to='romeo@example.net'{attributes}>\
         {content}</message>"
    )
}

#[test]
fn s4_example_1_becomes_example_2() {
    let stanza = juliet_sends("", "<body>Art thou not Romeo, and a Montague?</body>");
    assert_eq!(
        wire(&to_sip(&stanza, &mapping())),
        "MESSAGE sip:romeo@example.net SIP/2.0\n\
         Max-Forwards: 70\n\
         From: <sip:juliet@example.com;gr=yn0cl4bnw0yr3vym>;tag=12345\n\
         To: <sip:romeo@example.net>\n\
         Call-ID: fresh@gw\n\
         CSeq: 1 MESSAGE\n\
         Content-Type: text/plain;charset=UTF-8\n\
         Content-Length: 35\n\
         \n\
         Art thou not Romeo, and a Montague?"
    );
}

#[test]
fn s4_table_1_each_part_has_its_header() {
    let stanza = juliet_sends(
        " id='m1' type='chat' xml:lang='cs'",
        "<subject>Otázka</subject><body>Nic z obého\n&lt;3</body><thread>e0ffe42b</thread>",
    );
    let request = to_sip(&stanza, &mapping()).message;
    assert_eq!(request.text(HeaderId::Subject).unwrap(), "Otázka");
    assert_eq!(request.call_id().unwrap(), "e0ffe42b");
    assert_eq!(request.text(HeaderId::ContentLanguage).unwrap(), "cs");
    assert_eq!(request.body(), "Nic z obého\n<3".as_bytes());
    assert_eq!(request.request_uri(), "sip:romeo@example.net");
}

#[test]
fn s4_the_language_of_the_body_outranks_that_of_the_stanza() {
    let stanza = juliet_sends(" xml:lang='en'", "<body xml:lang='de'>Hallo</body>");
    let request = to_sip(&stanza, &mapping()).message;
    assert_eq!(request.text(HeaderId::ContentLanguage).unwrap(), "de");
    let odd = juliet_sends(" xml:lang='not a tag'", "<body>x</body>");
    assert!(to_sip(&odd, &mapping()).message.text(HeaderId::ContentLanguage).is_none());
}

#[test]
fn s4_a_thread_that_can_be_no_call_id_is_replaced() {
    for thread in ["a b", "ü", "a@b@c", "", "x&#13;&#10;Evil: y"] {
        let stanza = juliet_sends("", &format!("<body>x</body><thread>{thread}</thread>"));
        assert_eq!(to_sip(&stanza, &mapping()).message.call_id().unwrap(), "fresh@gw");
    }
}

/// RFC 3428 §4.
#[test]
fn s4_no_contact_is_inserted() {
    let request = to_sip(&juliet_sends("", "<body>x</body>"), &mapping()).message;
    assert!(request.header(HeaderId::Contact).is_none());
}

#[test]
fn s4_type_has_no_mapping() {
    for kind in ["normal", "chat", "headline", "unheard-of"] {
        let request =
            to_sip(&juliet_sends(&format!(" type='{kind}'"), "<body>x</body>"), &mapping());
        assert_eq!(request.message.body(), b"x");
    }
}

#[test]
fn s4_a_message_of_a_room_is_no_message_of_a_person() {
    let found = translate(&juliet_sends(" type='groupchat'", "<body>x</body>"), &mapping());
    assert!(matches!(found, Ok(Incoming::Nothing(Nothing::Groupchat))));
}

#[test]
fn s4_chat_states_receipts_and_markers_say_nothing() {
    for content in [
        "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
        "<received xmlns='urn:xmpp:receipts' id='x'/>",
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>",
        "<body/>",
        "",
    ] {
        let found = translate(&juliet_sends(" type='chat'", content), &mapping());
        assert!(matches!(found, Ok(Incoming::Nothing(Nothing::Empty))), "{content}");
    }
}

#[test]
fn s4_chat_states_go_as_is_composing_where_the_operator_says_so() {
    let mapping = Mapping { chat_states: true, ..mapping() };
    for (state, told) in [("composing", "active"), ("paused", "idle"), ("active", "idle")] {
        let content = format!("<{state} xmlns='http://jabber.org/protocol/chatstates'/>");
        let request = to_sip(&juliet_sends(" type='chat'", &content), &mapping).message;
        assert_eq!(request.content_type().unwrap(), "application/im-iscomposing+xml");
        let body = std::str::from_utf8(request.body()).unwrap();
        assert!(body.contains(&format!("<state>{told}</state>")), "{body}");
        let with_text = juliet_sends("", &format!("{content}<body>x</body>"));
        assert_eq!(to_sip(&with_text, &mapping).message.body(), b"x");
    }
    let gone = juliet_sends("", "<gone xmlns='http://jabber.org/protocol/chatstates'/>");
    assert!(matches!(translate(&gone, &mapping), Ok(Incoming::Nothing(Nothing::Empty))));
}

/// XEP-0172 and XEP-0203.
#[test]
fn s4_nickname_and_delay_are_not_lost() {
    let stanza = juliet_sends(
        "",
        "<body>x</body><nick xmlns='http://jabber.org/protocol/nick'>Ju\"li\\et&#10;ü</nick>\
         <delay xmlns='urn:xmpp:delay' stamp='2002-09-10T23:08:25Z'/>",
    );
    let request = to_sip(&stanza, &mapping()).message;
    assert_eq!(request.from().unwrap().display_name(), "Ju\"li\\et ü");
    assert_eq!(request.text(HeaderId::Date).unwrap(), "Tue, 10 Sep 2002 23:08:25 GMT");
}

#[test]
fn s4_an_error_stanza_is_the_fate_of_an_earlier_one() {
    let stanza = juliet_sends(
        " type='error' id='m7'",
        "<body>x</body><error type='cancel'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
    );
    let Ok(Incoming::Error { id, error }) = translate(&stanza, &mapping()) else {
        panic!("no error")
    };
    assert_eq!((id.as_deref(), error.condition), (Some("m7"), Condition::ItemNotFound));
}

#[test]
fn s4_nothing_in_a_stanza_breaks_out_of_a_header() {
    let stanza = "<message from='j&apos;&quot;@example.com/a&gt;;x=y, z' to='romeo@example.net'>\
        <subject>a&#13;&#10;Route: &lt;sip:evil&gt;</subject><body>x</body></message>";
    // `"` is no localpart character, so that the stanza has no usable sender.
    assert!(translate(stanza, &mapping()).is_err());
    let stanza = stanza.replace("&apos;&quot;", "\\27\\22");
    let text = wire(&to_sip(&stanza, &mapping()));
    assert!(text.contains("\nFrom: <sip:j'%22@example.com;gr=a%3E%3Bx%3Dy%2C%20z>;tag=12345\n"));
    assert!(text.contains("\nSubject: a Route: <sip:evil>\n"), "{text}");
    assert!(!text.contains("\nRoute"));
}

#[test]
fn s4_addresses_are_needed_on_both_ends() {
    for stanza in [
        "<message to='romeo@example.net'><body>x</body></message>",
        "<message from='juliet@example.com'><body>x</body></message>",
        "<message from='@' to='romeo@example.net'><body>x</body></message>",
    ] {
        let error = translate(stanza, &mapping()).unwrap_err();
        assert_eq!(error.condition(), Condition::JidMalformed);
    }
}

#[test]
fn s4_ipv6_hosts_and_odd_users_are_carried() {
    let stanza =
        "<message from='a@[2001:db8::1]' to='x\\2f;?\\26=y@[::1]'><body>x</body></message>";
    let text = wire(&to_sip(stanza, &mapping()));
    assert!(text.starts_with("MESSAGE sip:x/;?&=y@[::1] SIP/2.0\n"), "{text}");
    assert!(text.contains("\nTo: <sip:x/;?&=y@[::1]>\n"), "{text}");
    assert!(text.contains("\nFrom: <sip:a@[2001:db8::1]>;tag=12345\n"), "{text}");
}

#[test]
fn compat_kamailio_both_ends_are_translated() {
    let mut mapping = mapping();
    mapping.addressing.dialect = Dialect::Kamailio(Kamailio {
        domain_separator: '*',
        gateway_domain: "gw.sip".to_owned(),
        xmpp_domain: "gw.xmpp".to_owned(),
        gwmap: Vec::new(),
    });
    let stanza =
        "<message from='user1@domain1/res' to='user2*domain2@gw.xmpp'><body>x</body></message>";
    let text = wire(&to_sip(stanza, &mapping));
    assert!(text.starts_with("MESSAGE sip:user2@domain2 SIP/2.0\n"));
    assert!(text.contains("\nFrom: <sip:user1*domain1@gw.sip>;tag=12345\n"));
}
