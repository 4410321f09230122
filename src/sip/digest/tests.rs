use std::borrow::Cow;

use bytes::Bytes;

use super::*;
use crate::sip::{HeaderError, HeaderId, Message};

const ID: HeaderId = HeaderId::Authorization;

fn read(text: &str) -> Credentials<'_> {
    Credentials::parse(ID, text).unwrap().expect("the scheme is Digest")
}

/// Do these credentials prove this password, whoever made them?
fn proves(text: &str, password: &str, method: &str, body: &str) -> bool {
    let credentials = read(text);
    let hash = credentials.algorithm.unwrap().hash;
    let ha1 = Ha1::of_password(hash, &credentials.username, &credentials.realm, password);
    ha1.proves(&credentials, method, body.as_bytes())
}

const RFC2617: &str = r#"Digest username="Mufasa",
    realm="testrealm@host.com",
    nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
    uri="/dir/index.html",
    qop=auth,
    nc=00000001,
    cnonce="0a4f113b",
    response="6629fae49393a05397450978507c4ef1",
    opaque="5ccc069c403ebaf9f0171e9517f40e41""#;

const NONCES: &str = r#"nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001,
    cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth,
    opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;

fn rfc7616(algorithm: &str, response: &str) -> String {
    format!(
        "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\",\r\n \
         algorithm={algorithm}, response=\"{response}\", {NONCES}"
    )
}

const MD5: &str = "8ca523f5e9506fed4657c9700eebdbec";
const SHA256: &str = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";

#[test]
fn rfc2617_3_5_example() {
    assert!(proves(RFC2617, "Circle Of Life", "GET", ""));
    assert!(!proves(RFC2617, "Circle of Life", "GET", ""), "another password");
    assert!(!proves(RFC2617, "Circle Of Life", "PUT", ""), "another method");
    assert!(!proves(&RFC2617.replace("index", "other"), "Circle Of Life", "GET", ""));
    assert!(!proves(&RFC2617.replace("00000001", "00000002"), "Circle Of Life", "GET", ""));
}

#[test]
fn rfc7616_3_9_1_sha_256_and_md5() {
    assert!(proves(&rfc7616("MD5", MD5), "Circle of Life", "GET", ""));
    assert!(proves(&rfc7616("SHA-256", SHA256), "Circle of Life", "GET", ""));
    assert!(proves(&rfc7616("\"sha-256\"", SHA256), "Circle of Life", "GET", ""), "quoted");
    assert!(!proves(&rfc7616("SHA-256", MD5), "Circle of Life", "GET", ""));
    assert!(!proves(&rfc7616("SHA-512-256", SHA256), "Circle of Life", "GET", ""));
    assert!(!proves(&rfc7616("MD5-sess", MD5), "Circle of Life", "GET", ""));
}

/// The response that the RFC prints is that of SHA-512 cut short, which is another function than SHA-512/256.
#[test]
fn rfc7616_3_9_2_a_name_beyond_ascii() {
    let text = r#"Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, realm="api@example.org",
        uri="/doe.json", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
        nc=00000001, cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", qop=auth,
        response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5",
        opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", userhash=false"#;
    let credentials = read(text);
    assert_eq!(credentials.username, "Jäsøn Doe");
    assert_eq!(credentials.algorithm, Algorithm::from_name("SHA-512-256"));
    assert!(!credentials.is_userhash);
    assert!(proves(text, "Secret, or not?", "GET", ""));
}

/// A response that a client computes, verified by the server: every algorithm and quality of protection.
#[test]
fn every_algorithm_protects_what_it_says() {
    for name in ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"] {
        for qop in ["auth", "auth-int"] {
            let unsigned = format!(
                "Digest username=\"alice\",realm=\"r\",nonce=\"n\",uri=\"sip:a\",algorithm={name},\
                 qop={qop},nc=0000001f,cnonce=\"c\",response=\"?\""
            );
            let ha1 = Ha1::of_password(read(&unsigned).algorithm.unwrap().hash, "alice", "r", "pw");
            let response = ha1.response_to(&read(&unsigned), "MESSAGE", b"hello").unwrap();
            let signed = unsigned.replace('?', &response);
            assert!(proves(&signed, "pw", "MESSAGE", "hello"), "{name} {qop}");
            assert!(proves(
                &signed.replace(&response, &response.to_uppercase()),
                "pw",
                "MESSAGE",
                "hello"
            ));
            assert_eq!(proves(&signed, "pw", "MESSAGE", "hullo"), qop == "auth", "{name} {qop}");
            assert!(!proves(&signed.replace("\"c\"", "\"d\""), "pw", "MESSAGE", "hello"), "{name}");
            assert!(!proves(&signed, "pw2", "MESSAGE", "hello"), "{name} {qop}");
        }
    }
}

#[test]
fn rfc2069_credentials_are_read_and_say_so() {
    let text = r#"Digest username="Mufasa", realm="testrealm@host.com", uri="/dir/index.html",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", response="1949323746fe6a43ef61f9606e7febea""#;
    assert_eq!(read(text).qop, None);
    assert!(proves(text, "CircleOfLife", "GET", ""), "RFC 2069 §2.4, corrected");
}

#[test]
fn an_ha1_from_a_database_does_as_well_as_the_password() {
    let credentials = read(RFC2617);
    let ha1 = Ha1::from_hex(Hash::Md5, "939E7578ED9E3C518A452ACEE763BCE9").unwrap();
    assert_eq!(ha1, Ha1::of_password(Hash::Md5, "Mufasa", "testrealm@host.com", "Circle Of Life"));
    assert!(ha1.proves(&credentials, "GET", b""));
    for bad in ["", "939e", &"g".repeat(32), &"0".repeat(64)] {
        assert_eq!(Ha1::from_hex(Hash::Md5, bad), None, "{bad}");
    }
    assert_eq!(format!("{ha1:?}"), "Ha1(Md5, …)");
}

#[test]
fn quotes_hold_what_they_like() {
    let credentials = read(
        r#"digest username = "a, \"b\" \\=*" ,realm="",nonce="*",,uri="sip:a@b;c=d,e",response="",x=y, auth-param="q,p","#,
    );
    assert_eq!(credentials.username, r#"a, "b" \=*"#);
    assert_eq!((&*credentials.nonce, &*credentials.uri), ("*", "sip:a@b;c=d,e"));
    assert!(credentials.is_empty(), "nothing is proved");
    assert!(matches!(credentials.realm, Cow::Borrowed("")));
}

#[test]
fn a_username_may_end_with_its_domain() {
    let parts = |username: &str| {
        let text = format!("Digest username=\"{username}\",realm=r,nonce=n,uri=u,response=0");
        let credentials = read(&text);
        (credentials.user().to_owned(), credentials.domain().map(ToOwned::to_owned))
    };
    assert_eq!(parts("alice"), ("alice".to_owned(), None));
    assert_eq!(parts("alice@a.example"), ("alice".to_owned(), Some("a.example".to_owned())));
    assert_eq!(parts("alice@"), ("alice".to_owned(), None));
}

#[test]
fn garbage_is_malformed_and_other_schemes_are_not_ours() {
    let good = r#"username="a",realm="r",nonce="n",uri="u",response="0""#;
    let more = |more: &str| format!("Digest {good},{more}");
    for bad in [
        "Digest".to_owned(),
        "Digest ,,,,".to_owned(),
        "Digest username".to_owned(),
        format!("Digest {}", good.replace("realm=\"r\",", "")),
        format!("Digest {}", good.replace("\"r\"", "\"r")),
        format!("Digest {}", good.replace("\"r\"", "\"r\"x")),
        format!("Digest {}", good.replace("\"r\"", "")),
        more("realm=\"again\""),
        more("username*=UTF-8''a"),
        more("user name=a"),
        more("=a"),
        more("qop=auth"),
        more("qop=auth,nc=00000001"),
        more("qop=auth-conf,nc=00000001,cnonce=\"c\""),
        more("qop=auth,nc=0000000g,cnonce=\"c\""),
        more("qop=auth,nc=000000001,cnonce=\"c\""),
        more("qop=auth,nc=+1,cnonce=\"c\""),
        more("algorithm=MD5-sess"),
        format!("Digest {}", good.replace("username=\"a\"", "username*=ISO-8859-1''a")),
        format!("Digest {}", good.replace("username=\"a\"", "username*=UTF-8''%ff")),
    ] {
        assert_eq!(Credentials::parse(ID, &bad), Err(HeaderError::Malformed(ID)), "{bad}");
    }
    for other in ["", "Basic QWxhZGRpbjpvcGVu", "DigestX realm=\"r\"", "\"Digest\""] {
        assert_eq!(Credentials::parse(ID, other), Ok(None), "{other}");
    }
    assert_eq!(read(&more("algorithm=SHA-1")).algorithm, None, "known to be unknown");
}

/// A request with these Authorization lines.
fn message(lines: &[&str]) -> Message {
    let lines: String = lines.iter().map(|line| format!("Authorization: {line}\r\n")).collect();
    Message::parse(Bytes::from(format!("REGISTER sip:a SIP/2.0\r\n{lines}\r\n"))).unwrap()
}

#[test]
fn rfc3261_22_3_each_realm_finds_its_own_line() {
    let line = |realm: &str, username: &str, more: &str| {
        format!("Digest username={username},realm=\"{realm}\",nonce=n,uri=u,response=0{more}")
    };
    let (one, two) = (line("one", "a", ""), line("two", "b", ""));
    let found = |lines: &[&str], realm: &str| {
        let message = message(lines);
        let found = Credentials::of_realm(&message, ID, realm);
        found.map(|it| it.map(|it| it.username.into_owned()))
    };
    let garbage = "Digest realm=\"two\", garbage";
    assert_eq!(found(&[&one, &two], "two"), Ok(Some("b".to_owned())));
    assert_eq!(found(&[&one, "Basic x"], "two"), Ok(None));
    assert_eq!(found(&[], "two"), Ok(None));
    assert_eq!(found(&[garbage, &two], "two"), Ok(Some("b".to_owned())), "garbage costs nobody");
    assert_eq!(found(&[garbage, &one], "two"), Err(HeaderError::Malformed(ID)));
    let (new, known) = (line("two", "c", ",algorithm=SHA-3"), line("two", "d", ",algorithm=MD5"));
    assert_eq!(found(&[&new, &known], "two"), Ok(Some("d".to_owned())));
    assert_eq!(found(&[&new], "two"), Ok(Some("c".to_owned())));
}
