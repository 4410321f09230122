use super::*;

const HEADER: &str = "<stream:stream xmlns='jabber:client'>";

/// What comes out when `input` arrives in pieces of so many bytes.
fn frames_in_pieces(input: &[u8], piece: usize) -> (Vec<Frame>, Option<FrameError>) {
    let mut framer = Framer::new(Limits::DEFAULT);
    let mut frames = Vec::new();
    for mut piece in input.chunks(piece) {
        loop {
            match framer.poll(&mut piece) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(piece.is_empty());
    }
    (frames, None)
}

/// One word for each frame, or its text; `!` and the condition for an error.
fn read(input: &str) -> String {
    let (frames, error) = frames_in_pieces(input.as_bytes(), usize::MAX);
    let mut words: Vec<String> = frames
        .iter()
        .map(|frame| match frame {
            Frame::StreamOpen(tag) => format!("open {}", String::from_utf8_lossy(tag)),
            Frame::Stanza(element) => String::from_utf8_lossy(element).into_owned(),
            Frame::Whitespace => "space".into(),
            Frame::StreamClose => "close".into(),
        })
        .collect();
    words.extend(error.map(|error| format!("!{}", error.condition().name())));
    words.join(" | ")
}

fn read_inside(input: &str) -> String {
    let all = read(&format!("{HEADER}{input}"));
    all.strip_prefix(&format!("open {HEADER}")).unwrap().trim_start_matches(" | ").to_owned()
}

#[test]
fn a_stream_falls_into_its_parts() {
    assert_eq!(
        read("<?xml version='1.0'?>\n<stream:stream a='>'> <a/>\n<b c='/>'>x</b></stream:stream >"),
        "open <stream:stream a='>'> | space | <a/> | space | <b c='/>'>x</b> | close"
    );
}

#[test]
fn boundaries_do_not_depend_on_how_bytes_arrive() {
    let stream = format!(
        "<?xml version=\"1.0\" encoding='UTF-8'?>{HEADER}<a b=\"'>\" c='/'><![CDATA[</a>]>\
         ]]]]><d/>é</a>  <e /><f></f></stream:stream>"
    );
    let whole = frames_in_pieces(stream.as_bytes(), usize::MAX);
    assert_eq!(whole.1, None);
    assert_eq!(whole.0.len(), 6);
    for piece in 1..40 {
        let mut pieces = frames_in_pieces(stream.as_bytes(), piece);
        pieces.0.dedup_by(|a, b| (&*a, &*b) == (&Frame::Whitespace, &Frame::Whitespace));
        assert_eq!(pieces, whole, "in pieces of {piece}");
    }
}

/// RFC 6120 §11.1.
#[test]
fn s11_1_restricted_xml_is_refused() {
    for input in ["<!-- c -->", "<?pi?>", "<?xml version='1.0'?>", "<!DOCTYPE a>", "<![CDATA[x]]>"]
    {
        assert_eq!(read_inside(input), "!restricted-xml", "{input}");
    }
    for input in ["<a><!-- --></a>", "<a><!ENTITY x></a>", "<a><?b?></a>", "<a><![CDAT[]]></a>"] {
        assert_eq!(read_inside(input), "!restricted-xml", "{input}");
    }
    assert_eq!(read("<!DOCTYPE stream [<!ENTITY a 'b'>]>"), "!restricted-xml");
    assert_eq!(read("<?xml-stylesheet href='a'?>"), "!restricted-xml");
}

/// RFC 6120 §11.5 and §11.6.
#[test]
fn s11_5_an_xml_declaration_stands_first_and_says_utf_8() {
    let declared = |declaration: &str| read(&format!("{declaration}<s>"));
    for good in [
        "<?xml version='1.0'?>",
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>",
        "<?xml version = '1.0' encoding='UTF-8' standalone='yes' ?>",
    ] {
        assert_eq!(declared(good), "open <s>", "{good}");
    }
    assert_eq!(declared("<?xml version='1.0' encoding='ISO-8859-1'?>"), "!unsupported-encoding");
    for bad in ["<?xml?>", "<?xml version='1.1'?>", "<?xml encoding='utf-8'?>", "<?xml version=?>"]
    {
        assert_eq!(declared(bad), "!not-well-formed", "{bad}");
    }
    assert_eq!(declared(" <?xml version='1.0'?>"), "!restricted-xml");
    assert_eq!(declared("<?xml version='1.0'?><?xml version='1.0'?>"), "!restricted-xml");
}

#[test]
fn text_between_elements_is_refused() {
    assert_eq!(read_inside("<a/>b"), "<a/> | !bad-format");
    assert_eq!(read("HTTP/1.1 400 Bad Request"), "!not-well-formed");
    assert_eq!(read_inside("</stream:stream><a/>"), "close | !bad-format");
    assert_eq!(read_inside("</other>"), "!not-well-formed");
    assert_eq!(read("</stream:stream>"), "!not-well-formed");
    assert_eq!(read_inside("< a/>"), "!not-well-formed");
    assert_eq!(read("<stream:stream/>"), "!bad-format");
}

#[test]
fn nesting_stops_at_the_cap() {
    let nested = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
    assert_eq!(read_inside(&nested(100)), nested(100));
    assert_eq!(read_inside(&nested(101)), "!policy-violation");
    assert_eq!(read_inside(&"<a>".repeat(100_000)), "!policy-violation");
}

#[test]
fn attributes_stop_at_the_cap() {
    let with = |n: usize| format!("<a{}/>", " b='c'".repeat(n));
    assert_eq!(read_inside(&with(64)), with(64));
    assert_eq!(read_inside(&with(65)), "!policy-violation");
}

#[test]
fn size_stops_at_the_cap() {
    let limit = Limits::DEFAULT.stanza;
    let sized = |n: usize| format!("<a>{}</a>", "x".repeat(n - "<a></a>".len()));
    assert_eq!(read_inside(&sized(limit)), sized(limit));
    assert_eq!(read_inside(&sized(limit + 1)), "!policy-violation");
    assert_eq!(read(&format!("<s a='{}'>", "x".repeat(5000))), "!policy-violation");
}

#[test]
fn a_stanza_of_100_megabytes_is_refused_after_256_kilobytes() {
    let mut framer = Framer::new(Limits::DEFAULT);
    assert!(framer.poll(&mut HEADER.as_bytes()).unwrap().is_some());
    let piece = [b'x'; 16 * 1024];
    assert_eq!(framer.poll(&mut &b"<message><body>"[..]), Ok(None));
    let mut taken = 0;
    let error = loop {
        match framer.poll(&mut &piece[..]) {
            Ok(_) => taken += piece.len(),
            Err(error) => break error,
        }
        assert!(framer.partial.capacity() <= 2 * Limits::DEFAULT.stanza);
    };
    assert!(taken <= Limits::DEFAULT.stanza);
    assert_eq!(error, FrameError::TooLarge("stanza"));
    assert_eq!(framer.poll(&mut &b"<a/>"[..]), Err(error));
    assert_eq!(framer.partial.capacity(), 0);
}

#[test]
fn a_restarted_stream_has_a_new_header() {
    let mut framer = Framer::new(Limits::DEFAULT);
    let mut input = &b"<s><a/><?xml version='1.0'?><t>"[..];
    assert_eq!(framer.poll(&mut input), Ok(Some(Frame::StreamOpen(Bytes::from_static(b"<s>")))));
    assert!(framer.poll(&mut input).unwrap().is_some());
    framer.restart();
    assert_eq!(framer.poll(&mut input), Ok(Some(Frame::StreamOpen(Bytes::from_static(b"<t>")))));
}
