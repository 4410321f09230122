//! RFC 7572 §7 and §8: content types, charsets, languages.

use sipjab::gateway::Mapping;
use sipjab::xmpp::Stanza;
use sipjab::xmpp::ns::ContentNamespace::Component;

use super::{mapping, romeo_sends, to_sip, to_xmpp};

fn typed(content_type: &str, body: &[u8]) -> Result<String, (u16, Option<&'static str>)> {
    let request = romeo_sends(&format!("Content-Type: {content_type}\n"), body);
    let refusal =
        |e: sipjab::gateway::MessageError| (e.status().0, e.header().map(|(name, _)| name));
    to_xmpp(&request, &mapping()).map_err(refusal)
}

fn body(stanza: &str) -> String {
    Stanza::parse(stanza, Component).unwrap().child_text("body").unwrap().into_owned()
}

#[test]
fn s7_text_plain_is_the_body_in_any_charset() {
    for (content_type, bytes, text) in [
        ("text/plain", "žluť <&>".as_bytes(), "žluť <&>"),
        ("TEXT/Plain; charset=\"utf-8\"", "ü".as_bytes(), "ü"),
        ("text/plain;charset=ISO-8859-2", b"\xBElu\xBB", "žluť"),
        ("text/plain", b"a\r\nb\rc", "a\nb\nc"),
        ("text/plain", b"bell\x07 nul\0", "bell\u{FFFD} nul\u{FFFD}"),
    ] {
        assert_eq!(body(&typed(content_type, bytes).unwrap()), text, "{content_type}");
    }
}

#[test]
fn s7_a_message_without_content_type_is_text() {
    let text = to_xmpp(&romeo_sends("", b"plain"), &mapping()).unwrap();
    assert_eq!(body(&text), "plain");
}

#[test]
fn s7_text_html_becomes_xhtml_im_and_its_text() {
    let text = typed("text/html", b"<p>Art <b>thou<br></p>").unwrap();
    assert_eq!(body(&text), "Art thou");
    assert!(text.contains(
        "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>\
         <p>Art <strong>thou<br/></strong></p></body></html>"
    ));
}

#[test]
fn s7_markup_that_makes_a_stanza_unsafe_is_left_out() {
    let html = "<p>x</p>".repeat(1500);
    let text = typed("text/html", html.as_bytes()).unwrap();
    assert!(!text.contains("<html") && text.len() < 10_000);
}

#[test]
fn s7_message_cpim_is_unwrapped() {
    let cpim = b"From: MR SANDERS <im:piglet@100akerwood.com>\r\n\
        To: Depressed Donkey <im:eeyore@100akerwood.com>\r\n\
        Subject: the weather will be fine today\r\n\r\n\
        Content-type: text/plain; charset=utf-8\r\n\r\n\
        Here is the text of my message.";
    let text = typed("message/cpim", cpim).unwrap();
    assert_eq!(body(&text), "Here is the text of my message.");
    assert!(text.contains("<subject>the weather will be fine today</subject>"));
    assert!(text.contains("from='romeo@example.net'"), "the CPIM sender is not believed");
}

#[test]
fn s7_other_types_are_refused_with_what_is_read() {
    assert_eq!(typed("image/png", b"x"), Err((415, Some("Accept"))));
    assert_eq!(typed("text/plain;charset=klingon", b"x"), Err((415, Some("Accept"))));
    assert_eq!(typed("text/plain", b"\xFF"), Err((400, None)));
    let request = romeo_sends("Content-Type: text/plain\nContent-Encoding: gzip\n", b"\x1F\x8B");
    let error = to_xmpp(&request, &mapping()).unwrap_err();
    assert_eq!((error.status().0, error.header()), (415, Some(("Accept-Encoding", "identity"))));
}

#[test]
fn s7_xhtml_im_goes_to_sip_as_text_unless_the_operator_wants_html() {
    let stanza = "<message from='juliet@example.com' to='romeo@example.net'><body>a b</body>\
        <html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>\
        <p>a <strong onclick='x'>b</strong></p></body></html></message>";
    assert_eq!(to_sip(stanza, &mapping()).message.body(), b"a b");
    let html = to_sip(stanza, &Mapping { html: true, ..mapping() }).message;
    assert_eq!(html.content_type().unwrap(), "text/html;charset=UTF-8");
    assert_eq!(html.body(), b"<html><body><p>a <strong>b</strong></p></body></html>");
}

#[test]
fn s8_text_and_language_survive_both_ways() {
    let stanza = "<message from='juliet@example.com' to='romeo@example.net' xml:lang='cs'>\
        <body>Nic z obého, má děvo spanilá,\nnenávidíš-li jedno nebo druhé.</body></message>";
    let mut request = to_sip(stanza, &mapping()).message;
    request.set_header("From", "<sip:romeo@example.net>;tag=1").unwrap();
    let back = to_xmpp(&request, &mapping()).unwrap();
    assert_eq!(body(&back), "Nic z obého, má děvo spanilá,\nnenávidíš-li jedno nebo druhé.");
    assert!(back.contains(" xml:lang='cs'"));
}
