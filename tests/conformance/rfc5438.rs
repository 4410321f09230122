//! RFC 5438, delivery receipts, and XEP-0184, which they become and come from.

use std::time::Duration;

use bytes::Bytes;
use sipjab::gateway::{
    Asked, Disposition, Incoming, Mapping, Outgoing, Receipt, RequestIds, message_from_stanza,
    receipt_for, receipt_to_sender, stanza_from_message,
};
use sipjab::sip::Message;
use sipjab::xmpp::Stanza;
use sipjab::xmpp::ns::ContentNamespace::Component;

const IDS: RequestIds<'static> =
    RequestIds { tag: "t", call_id: "c", cseq: 1, unix_time: Duration::from_secs(1_144_171_009) };

/// The message of RFC 5438 §7.1.1.3, between our two.
const IM: &str = "From: Alice <sip:romeo@example.net>\r\nTo: Bob <sip:juliet@example.com>\r\n\
    NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 34jk324j\r\n\
    DateTime: 2006-04-04T12:16:49-05:00\r\n\
    imdn.Disposition-Notification: positive-delivery, negative-delivery\r\n\
    Content-type: text/plain\r\nContent-length: 12\r\n\r\nContent-type: text/plain\r\n\r\nHello World";

fn mapping() -> Mapping {
    Mapping { domains: vec!["example.net".to_owned()], ..Mapping::default() }
}

fn request(cpim: &str) -> Message {
    let text = format!(
        "MESSAGE sip:juliet@example.com SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n\
         To: <sip:juliet@example.com>\r\nFrom: <sip:romeo@example.net>;tag=1\r\nCall-ID: i\r\n\
         CSeq: 1 MESSAGE\r\nContent-Type: message/cpim\r\nContent-Length: {}\r\n\r\n{cpim}",
        cpim.len()
    );
    Message::parse(Bytes::from(text)).unwrap()
}

fn stanza(request: &Message) -> Option<Stanza> {
    match stanza_from_message(request, "u1", &mapping()).unwrap() {
        Outgoing::Stanza(stanza) => {
            let text = String::from_utf8(stanza.bytes).unwrap();
            Some(Stanza::parse(&text, Component).unwrap())
        }
        Outgoing::Nothing(_) => None,
    }
}

fn receipt_document(notification: &str) -> String {
    format!(
        "From: <sip:romeo@example.net>\r\nTo: <sip:juliet@example.com>\r\n\
         NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: d834jied93rf\r\n\r\n\
         Content-type: message/imdn+xml\r\nContent-Disposition: notification\r\n\r\n\
         <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">\n<message-id>34jk324j</message-id>\n\
         <datetime>2008-04-04T12:16:49-05:00</datetime>\n{notification}</imdn>"
    )
}

/// §7.1.1.3: who asks for positive-delivery is told when the recipient's device has the message.
#[test]
fn s7_1_1_3_positive_delivery_asks_for_a_receipt() {
    let asked = stanza(&request(IM)).unwrap();
    assert!(asked.payload("request", "urn:xmpp:receipts").is_some());
    assert_eq!(asked.child_text("body").as_deref(), Some("Hello World"));
    let negative = IM.replace("positive-delivery, ", "");
    let negative = stanza(&request(&negative)).unwrap();
    assert!(negative.payload("request", "urn:xmpp:receipts").is_none());
}

/// §7.1.1.1 and §7.1.1.2: Message-ID and DateTime must be there; without them no receipt can be written.
#[test]
fn s7_1_1_what_lacks_an_id_or_a_date_asks_for_nothing() {
    let asked = Asked::of_request(&request(IM)).unwrap();
    assert_eq!(
        (asked.message_id.as_str(), asked.delivered, asked.failed),
        ("34jk324j", true, true)
    );
    for line in ["imdn.Message-ID: 34jk324j\r\n", "DateTime: 2006-04-04T12:16:49-05:00\r\n"] {
        assert_eq!(Asked::of_request(&request(&IM.replace(line, ""))), None, "{line}");
    }
}

/// §7.2.1.1: message-id and datetime are those of the message, Content-Disposition is notification, and a receipt asks
/// for none.
#[test]
fn s7_2_1_1_a_receipt_names_the_message_as_its_sender_does() {
    let im = request(IM);
    let asked = Asked::of_request(&im).unwrap();
    for (disposition, status) in
        [(Disposition::Delivered, "<delivered/>"), (Disposition::Failed, "<failed/>")]
    {
        let receipt = receipt_to_sender(&im, &asked, disposition, IDS).unwrap().message;
        assert_eq!(receipt.request_uri(), "sip:romeo@example.net");
        assert_eq!(receipt.from().unwrap().uri, "sip:juliet@example.com");
        let body = String::from_utf8(receipt.body().to_vec()).unwrap();
        for part in [
            "<message-id>34jk324j</message-id>",
            "<datetime>2006-04-04T12:16:49-05:00</datetime>",
            "<recipient-uri>sip:juliet@example.com</recipient-uri>",
            &format!("<delivery-notification><status>{status}</status></delivery-notification>"),
            "Content-Disposition: notification\r\n",
            "Content-Type: message/imdn+xml\r\n",
        ] {
            assert!(body.contains(part), "{part} in {body}");
        }
        assert!(!body.contains("Disposition-Notification"));
        assert_eq!(Asked::of_request(&receipt), None);
    }
}

/// §11.1.7: each status with the element of XMPP that says it.
#[test]
fn s11_1_7_receipts_become_elements() {
    let of = |kind: &str, status: &str| {
        format!("<{kind}-notification><status><{status}/></status></{kind}-notification>")
    };
    for (notification, name, namespace) in [
        (of("delivery", "delivered"), "received", "urn:xmpp:receipts"),
        (of("display", "displayed"), "displayed", "urn:xmpp:chat-markers:0"),
    ] {
        let stanza = stanza(&request(&receipt_document(&notification))).unwrap();
        let payload = stanza.payload(name, namespace).unwrap();
        assert_eq!(payload.attribute("id").as_deref(), Some("34jk324j"));
        assert!(stanza.child("body").is_none());
    }
    for (kind, status) in
        [("delivery", "error"), ("display", "forbidden"), ("processing", "stored")]
    {
        let document = receipt_document(&of(kind, status));
        assert!(stanza(&request(&document)).is_none(), "{kind} {status}: XMPP has no word for it");
    }
}

/// XEP-0184 §5: a sender who asks for a receipt has his message carried as one that asks for it, where phones know that.
#[test]
fn xep_0184_a_request_asks_the_phone() {
    let text = "<message from='juliet@example.com/b' to='romeo@example.net' id='m1'>\
                <body>Hi</body><request xmlns='urn:xmpp:receipts'/></message>";
    let stanza = Stanza::parse(text, Component).unwrap();
    let carried = |imdn| match message_from_stanza(&stanza, IDS, &Mapping { imdn, ..mapping() }) {
        Ok(Incoming::Request(request)) => request.message,
        other => panic!("{other:?}"),
    };
    assert_eq!(carried(false).body(), b"Hi");
    let asking = carried(true);
    let asked = Asked::of_request(&asking).unwrap();
    assert_eq!((asked.message_id.as_str(), asked.delivered), ("m1", true));
    assert_eq!(asked.date_time, "2006-04-04T17:16:49Z");
    assert!(asking.body().ends_with(b"\r\n\r\nHi"));
}

/// XEP-0184 §5.3: a receipt has the id of the message, and none is sent for a receipt.
#[test]
fn xep_0184_a_receipt_is_read_as_it_is_written() {
    let text = "<message from='juliet@example.com/b' to='romeo@example.net' id='m1'>\
                <body>Hi</body><request xmlns='urn:xmpp:receipts'/></message>";
    let receipt = receipt_for(&Stanza::parse(text, Component).unwrap(), "r1").unwrap();
    let receipt = Stanza::parse(std::str::from_utf8(&receipt).unwrap(), Component).unwrap();
    let read = Receipt::read(&receipt).unwrap();
    assert_eq!((read.message_id.as_str(), read.disposition), ("m1", Disposition::Delivered));
    assert_eq!(receipt_for(&receipt, "r2"), None);
}
