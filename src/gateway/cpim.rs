//! message/cpim (RFC 3862): metadata headers around one MIME part.

use std::borrow::Cow;

use super::content::ContentError;
use super::media_type::MediaType;
use super::transfer_encoding;

/// The namespace of the headers that RFC 3862 §4 defines; the default for names without a prefix.
const CORE: &str = "urn:ietf:params:cpim-headers:";

/// Headers a message may `Require` of us: those whose meaning this gateway carries or may ignore.
const UNDERSTOOD: &[&str] = &["From", "To", "cc", "DateTime", "Subject", "NS", "Require"];

/// An unwrapped message/cpim object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpim<'a> {
    headers: Vec<Header<'a>>,
    content_type: Cow<'a, str>,
    transfer_encoding: Option<Cow<'a, str>>,
    body: &'a [u8],
}

/// One metadata header, its namespace resolved and its value unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Header<'a> {
    namespace: &'a str,
    name: &'a str,
    lang: Option<&'a str>,
    value: String,
}

impl<'a> Cpim<'a> {
    /// Unwraps `bytes` (RFC 3862 §2); lines that end in a bare LF are tolerated.
    ///
    /// Refused with 400 when it is no CPIM, with 420 when it requires what we do not understand (§3.5).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ContentError> {
        let (metadata, part) = split_at_blank_line(bytes).ok_or(NO_PART)?;
        let (mime, body) = split_at_blank_line(part).ok_or(NO_PART)?;
        let headers = metadata_headers(utf8(metadata)?)?;
        let mime = utf8(mime)?;
        let content_type = mime_header(mime, "Content-Type")
            .ok_or(ContentError::MalformedCpim { reason: "has no Content-Type inside" })?;
        let transfer_encoding = mime_header(mime, "Content-Transfer-Encoding");
        Ok(Self { headers, content_type, transfer_encoding, body })
    }

    /// The media type of the part inside.
    pub fn media_type(&self) -> Result<MediaType<'_>, ContentError> {
        MediaType::parse(&self.content_type)
    }

    /// The part inside without its transfer encoding.
    pub fn body(&self) -> Result<Cow<'a, [u8]>, ContentError> {
        transfer_encoding::decode(self.body, self.transfer_encoding.as_deref())
    }

    /// The first subject and its language (RFC 3862 §4.5).
    pub fn subject(&self) -> Option<(&str, Option<&str>)> {
        let header = self.find(CORE, "Subject")?;
        Some((&header.value, header.lang))
    }

    /// The `From` value as written (RFC 3862 §4.1).
    ///
    /// The sender wrote it and nobody checked it; it names nobody for the other network.
    pub fn from(&self) -> Option<&str> {
        Some(&self.find(CORE, "From")?.value)
    }

    /// The sending time as written (RFC 3862 §4.4).
    pub fn date_time(&self) -> Option<&str> {
        Some(&self.find(CORE, "DateTime")?.value)
    }

    /// The value of an extension header, such as `Message-ID` of `urn:ietf:params:imdn` (RFC 3862 §3.4).
    pub fn extension(&self, namespace: &str, name: &str) -> Option<&str> {
        Some(&self.find(namespace, name)?.value)
    }

    fn find(&self, namespace: &str, name: &str) -> Option<&Header<'a>> {
        self.headers.iter().find(|h| h.namespace == namespace && h.name == name)
    }
}

const NO_PART: ContentError = ContentError::MalformedCpim { reason: "has no part inside" };

fn utf8(bytes: &[u8]) -> Result<&str, ContentError> {
    std::str::from_utf8(bytes)
        .map_err(|_| ContentError::MalformedCpim { reason: "has headers that are not UTF-8" })
}

/// Splits at the first empty line; the line itself belongs to neither side.
fn split_at_blank_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut start = 0;
    loop {
        let end = start + memchr::memchr(b'\n', &bytes[start..])?;
        if matches!(&bytes[start..end], b"" | b"\r") {
            return Some((&bytes[..start], &bytes[end + 1..]));
        }
        start = end + 1;
    }
}

/// Reads the metadata block: namespaces in the order of their declaration, requirements checked.
fn metadata_headers(block: &str) -> Result<Vec<Header<'_>>, ContentError> {
    let malformed = ContentError::MalformedCpim { reason: "has a header without a colon" };
    let mut namespaces: Vec<(&str, &str)> = Vec::new();
    let mut headers = Vec::new();
    for line in block.lines() {
        let (full_name, rest) = line.split_once(':').ok_or_else(|| malformed.clone())?;
        let (lang, value) = parameters_and_value(rest);
        let (prefix, name) = full_name.split_once('.').unwrap_or(("", full_name));
        let namespace = namespace_of(prefix, &namespaces);
        match (namespace, name) {
            (Some(CORE), "NS") => namespaces.push(declaration(value)?),
            (Some(CORE), "Require") => check_required(value, &namespaces)?,
            _ => {}
        }
        let namespace = namespace.unwrap_or("");
        headers.push(Header { namespace, name, lang, value: unescape(value) });
    }
    Ok(headers)
}

/// The namespace a prefix was last bound to; `None` for a prefix that was never declared.
fn namespace_of<'a>(prefix: &str, declared: &[(&'a str, &'a str)]) -> Option<&'a str> {
    let found = declared.iter().rev().find(|(p, _)| *p == prefix).map(|(_, uri)| *uri);
    found.or(prefix.is_empty().then_some(CORE))
}

/// `[prefix] <uri>` (RFC 3862 §4.6).
fn declaration(value: &str) -> Result<(&str, &str), ContentError> {
    let split = value.split_once('<').and_then(|(p, uri)| Some((p, uri.split_once('>')?.0)));
    let (prefix, uri) =
        split.ok_or(ContentError::MalformedCpim { reason: "has an NS header without a URI" })?;
    Ok((prefix.trim(), uri))
}

fn check_required(value: &str, declared: &[(&str, &str)]) -> Result<(), ContentError> {
    for required in value.split(',').map(str::trim) {
        let (prefix, name) = required.split_once('.').unwrap_or(("", required));
        if namespace_of(prefix, declared) != Some(CORE) || !UNDERSTOOD.contains(&name) {
            return Err(ContentError::UnsupportedRequirement { name: required.to_owned() });
        }
    }
    Ok(())
}

/// What follows a header name: `;lang=tag` and other parameters, a space, the value.
fn parameters_and_value(rest: &str) -> (Option<&str>, &str) {
    let Some(parameters) = rest.strip_prefix(';') else {
        return (None, rest.trim());
    };
    let (parameters, value) = parameters.split_once(' ').unwrap_or((parameters, ""));
    let lang = parameters.split(';').find_map(|p| p.strip_prefix("lang="));
    (lang, value.trim())
}

/// Undoes RFC 3862 §2.3: an unknown escape is the character itself, a last backslash nothing.
fn unescape(value: &str) -> String {
    let mut units: Vec<u16> = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '\\' {
            units.extend(c.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        let Some(escaped) = rest.chars().next() else { break };
        rest = &rest[escaped.len_utf8()..];
        let code = rest.get(..4).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = code.and_then(|hex| u16::from_str_radix(hex, 16).ok());
        match (escaped, code) {
            ('u', Some(unit)) => {
                units.push(unit);
                rest = &rest[4..];
            }
            ('b', _) => units.push(8),
            ('t', _) => units.push(9),
            ('n', _) => units.push(10),
            ('r', _) => units.push(13),
            _ => units.extend(escaped.encode_utf16(&mut [0; 2]).iter()),
        }
    }
    String::from_utf16_lossy(&units)
}

/// A MIME header's value, unfolded (RFC 5322 §2.2.3); the name compares without case.
fn mime_header<'a>(block: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let is_named = |line: &&str| {
        line.split_once(':').is_some_and(|(n, _)| n.trim_end().eq_ignore_ascii_case(name))
    };
    let mut lines = block.lines().skip_while(|line| !is_named(line));
    let mut value = Cow::Borrowed(lines.next()?.split_once(':')?.1.trim());
    for folded in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        let value = value.to_mut();
        value.push(' ');
        value.push_str(folded.trim());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = b"From: MR SANDERS <im:piglet@100akerwood.com>\r\n\
        To: Depressed Donkey <im:eeyore@100akerwood.com>\r\n\
        DateTime: 2000-12-13T13:40:00-08:00\r\n\
        Subject:;lang=fr beau temps\r\n\
        NS: imdn <urn:ietf:params:imdn>\r\n\
        imdn.Message-ID: 34jk324j\r\n\
        \r\n\
        Content-type: text/plain; charset=utf-8\r\n\
        Content-ID: <1234567890@foo.com>\r\n\
        \r\n\
        Here is the text.\r\n\r\nAll of it.";

    #[test]
    fn the_part_inside_and_the_metadata_are_found() {
        let cpim = Cpim::parse(HELLO).unwrap();
        assert!(cpim.media_type().unwrap().is("text", "plain"));
        assert_eq!(&*cpim.body().unwrap(), b"Here is the text.\r\n\r\nAll of it.");
        assert_eq!(cpim.subject(), Some(("beau temps", Some("fr"))));
        assert_eq!(cpim.from(), Some("MR SANDERS <im:piglet@100akerwood.com>"));
        assert_eq!(cpim.date_time(), Some("2000-12-13T13:40:00-08:00"));
        assert_eq!(cpim.extension("urn:ietf:params:imdn", "Message-ID"), Some("34jk324j"));
    }

    #[test]
    fn bare_lf_and_missing_metadata_are_tolerated() {
        let text = b"\nContent-Type:\n text/plain;\n\tcharset=utf-8\nContent-Transfer-Encoding: base64\n\nSGk=";
        let cpim = Cpim::parse(text).unwrap();
        assert!(cpim.media_type().unwrap().is("text", "plain"));
        assert_eq!(cpim.media_type().unwrap().parameter("charset"), Some("utf-8"));
        assert_eq!(&*cpim.body().unwrap(), b"Hi");
        assert_eq!(cpim.from(), None);
    }

    #[test]
    fn s2_3_escapes_are_undone() {
        assert_eq!(unescape(r"a\u0009b\t\\\q\u00fC\"), "a\tb\t\\qü");
        assert_eq!(unescape(r"\uD83D\uDE00\uD83D"), "😀\u{FFFD}");
        assert_eq!(unescape(r"\u12"), "u12");
    }

    #[test]
    fn s3_4_a_default_namespace_hides_the_core_names() {
        let text = b"NS: <http://other/>\r\nSubject: x\r\n\r\nContent-Type: text/plain\r\n\r\n";
        let cpim = Cpim::parse(text).unwrap();
        assert_eq!(cpim.subject(), None);
        assert_eq!(cpim.extension("http://other/", "Subject"), Some("x"));
    }

    #[test]
    fn s3_5_what_is_required_and_not_understood_is_refused_with_420() {
        let text = b"NS: My <mid:features>\r\nRequire: From,My.Vital\r\n\r\n\
            Content-Type: text/plain\r\n\r\n";
        assert_eq!(Cpim::parse(text).unwrap_err().status().0, 420);
        let core = b"Require: From, Subject\r\n\r\nContent-Type: text/plain\r\n\r\n";
        assert!(Cpim::parse(core).is_ok());
    }

    #[test]
    fn what_is_no_cpim_is_refused_with_400() {
        let cases: [&[u8]; 6] = [
            b"",
            b"From: <im:a@b>\r\n",
            b"From: <im:a@b>\r\n\r\nContent-Type: text/plain",
            b"From: <im:a@b>\r\n\r\nContent-ID: x\r\n\r\ntext",
            b"no colon\r\n\r\nContent-Type: text/plain\r\n\r\n",
            b"From: \xFF\r\n\r\nContent-Type: text/plain\r\n\r\n",
        ];
        for case in cases {
            assert_eq!(Cpim::parse(case).unwrap_err().status().0, 400);
        }
    }
}
