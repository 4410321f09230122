//! RFC 7572 §5: from SIP to XMPP.

use sipjab::gateway::{ImType, Mapping};
use sipjab::xmpp::Stanza;
use sipjab::xmpp::ns::ContentNamespace::Component;

use super::{mapping, plain, romeo_sends, to_xmpp};

#[test]
fn s5_example_4_becomes_example_5() {
    let request = plain("Neither, fair saint, if either thee dislike.");
    assert_eq!(
        to_xmpp(&request, &mapping()).unwrap(),
        "<message from='romeo@example.net' to='juliet@example.com' id='z9hG4bKeskdgs677.u1'>\
         <body>Neither, fair saint, if either thee dislike.</body>\
         <thread>9E97FB43-85F4-4A00-8751-1124FD4C7B2E</thread>\
         <origin-id xmlns='urn:xmpp:sid:0' id='z9hG4bKeskdgs677.u1'/></message>"
    );
}

#[test]
fn s5_table_2_each_header_has_its_part() {
    let headers = "Subject: Otázka\nContent-Language: cs, en\nContent-Type: text/plain\n";
    let text = to_xmpp(&romeo_sends(headers, "Nic".as_bytes()), &mapping()).unwrap();
    let stanza = Stanza::parse(&text, Component).unwrap();
    assert_eq!(stanza.child_text("subject").unwrap(), "Otázka");
    assert_eq!(stanza.lang().unwrap(), "cs");
    assert_eq!(stanza.child_text("thread").unwrap(), "9E97FB43-85F4-4A00-8751-1124FD4C7B2E");
    assert_eq!(stanza.type_attribute(), None);
}

#[test]
fn s5_no_type_is_given_unless_the_operator_wants_chat() {
    assert!(!to_xmpp(&plain("x"), &mapping()).unwrap().contains("type="));
    let chat = Mapping { im_type: ImType::Chat, ..mapping() };
    assert!(to_xmpp(&plain("x"), &chat).unwrap().contains(" type='chat'"));
}

#[test]
fn s5_note_1_a_gruu_is_the_resource() {
    let mut request = plain("x");
    request.set_header("From", "<sip:romeo@example.net;gr=dr4hcr0st3lup4c>;tag=1").unwrap();
    let text = to_xmpp(&request, &mapping()).unwrap();
    assert!(text.contains("from='romeo@example.net/dr4hcr0st3lup4c'"), "{text}");
}

#[test]
fn s5_a_sender_of_a_domain_that_is_not_ours_is_refused() {
    for from in ["<sip:romeo@elsewhere.example>;tag=1", "<sip:anonymous@anonymous.invalid>;tag=1"] {
        let mut request = plain("x");
        request.set_header("From", from).unwrap();
        assert_eq!(to_xmpp(&request, &mapping()).unwrap_err().status().0, 403);
    }
}

#[test]
fn s5_a_slash_in_the_sender_does_not_close_the_stream() {
    let mut request = plain("x");
    request.set_header("From", "<sip:ro/meo&'@example.net>;tag=1").unwrap();
    let text = to_xmpp(&request, &mapping()).unwrap();
    assert!(text.contains("from='ro\\2fmeo\\26\\27@example.net'"), "{text}");
}

#[test]
fn s5_an_empty_message_says_nothing() {
    assert_eq!(to_xmpp(&romeo_sends("", b""), &mapping()).unwrap(), "Empty");
    let subject = to_xmpp(&romeo_sends("Subject: call me\n", b""), &mapping()).unwrap();
    assert!(subject.contains("<subject>call me</subject>") && !subject.contains("<body"));
}

/// RFC 7247 §8.
#[test]
fn s5_sips_in_request_uri_or_to_is_not_carried() {
    let mut request = plain("x");
    request.set_header("To", "<sips:juliet@example.com>").unwrap();
    assert_eq!(to_xmpp(&request, &mapping()).unwrap_err().status().0, 416);
    let mut request = plain("x");
    request.set_request_uri("sips:juliet@example.com").unwrap();
    assert_eq!(to_xmpp(&request, &mapping()).unwrap_err().status().0, 416);
}

#[test]
fn s5_a_request_without_the_needed_headers_is_refused() {
    for header in ["From", "To", "Call-ID"] {
        let mut request = plain("x");
        request.remove_headers(header);
        assert_eq!(to_xmpp(&request, &mapping()).unwrap_err().status().0, 400, "{header}");
    }
}

/// XEP-0172.
#[test]
fn s5_the_display_name_goes_along_as_nickname() {
    let mut request = plain("x");
    request.set_header("From", "\"Rome\\\"o <3\" <sip:romeo@example.net>;tag=1").unwrap();
    let text = to_xmpp(&request, &mapping()).unwrap();
    assert!(text.contains("<nick xmlns='http://jabber.org/protocol/nick'>Rome\"o &lt;3</nick>"));
}

/// RFC 3994 and XEP-0085.
#[test]
fn s5_is_composing_becomes_a_chat_state() {
    let document = b"<?xml version=\"1.0\"?>\r\n\
        <isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>active</state></isComposing>";
    let request = romeo_sends("Content-Type: application/im-iscomposing+xml\n", document);
    let text = to_xmpp(&request, &mapping()).unwrap();
    assert!(text.contains(" type='chat'") && !text.contains("<body"));
    assert!(text.contains("<composing xmlns='http://jabber.org/protocol/chatstates'/>"));
    assert!(text.contains("<no-store xmlns='urn:xmpp:hints'/>"));
}
