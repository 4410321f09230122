//! Pseudo-variables: `$rm`, `$fu` and their kind, as Kamailio names them.

use std::fmt::Write;

use super::route::{Authentication, Route};
use crate::sip::digest::Outcome;
use crate::sip::{HeaderId, NameAddr, Uri};

/// Writes the value of one variable.
type Read = fn(&Route, &mut String);

/// Name, meaning and reader of each variable. A longer name stands above its beginning.
const VARIABLES: &[(&str, &str, Read)] = &[
    (
        "proto",
        "transport of the message, in lower case: `udp`, `tcp`, `tls`, `ws` or `wss`",
        |r, out| {
            out.push_str(&r.source.transport.token().to_ascii_lowercase());
        },
    ),
    ("rm", "method", |r, out| out.push_str(r.message.method().as_str())),
    ("ru", "Request-URI", |r, out| out.push_str(r.message.request_uri())),
    ("rU", "user of the Request-URI", |r, out| of_uri(r.message.request_uri(), user, out)),
    ("rd", "host of the Request-URI", |r, out| of_uri(r.message.request_uri(), host, out)),
    ("rp", "port of the Request-URI", |r, out| of_uri(r.message.request_uri(), port, out)),
    ("rs", "status of the reply", |r, out| number(r.message.status(), out)),
    ("rr", "reason of the reply", |r, out| out.push_str(r.message.reason())),
    ("rb", "body", body),
    ("ou", "Request-URI as it came", |r, out| out.push_str(&r.original_uri)),
    ("oU", "user of the Request-URI as it came", |r, out| of_uri(&r.original_uri, user, out)),
    ("od", "host of the Request-URI as it came", |r, out| of_uri(&r.original_uri, host, out)),
    ("du", "next hop, when set", |r, out| out.push_str(r.destination.as_deref().unwrap_or(""))),
    ("fu", "URI of From", |r, out| from(r, uri, out)),
    ("fU", "user of From", |r, out| from(r, |a, out| of_uri(a.uri, user, out), out)),
    ("fd", "host of From", |r, out| from(r, |a, out| of_uri(a.uri, host, out), out)),
    ("ft", "tag of From", |r, out| from(r, tag, out)),
    ("fn", "display name of From", |r, out| from(r, name, out)),
    (
        "tls_peer_subject_cn",
        "common name in the certificate that the peer has proved to have",
        |r, out| {
            let certificate = r.router().peer_certificate(r.source);
            out.push_str(certificate.as_ref().and_then(|it| it.common_name()).unwrap_or(""));
        },
    ),
    ("tu", "URI of To", |r, out| to(r, uri, out)),
    ("tU", "user of To", |r, out| to(r, |a, out| of_uri(a.uri, user, out), out)),
    ("td", "host of To", |r, out| to(r, |a, out| of_uri(a.uri, host, out), out)),
    ("tt", "tag of To", |r, out| to(r, tag, out)),
    ("tn", "display name of To", |r, out| to(r, name, out)),
    ("si", "address that the message came from", |r, out| show(r.source.peer.ip(), out)),
    ("sp", "port that the message came from", |r, out| show(r.source.peer.port(), out)),
    ("Ri", "our address that it came to", |r, out| show(r.source.local.ip(), out)),
    ("Rp", "our port that it came to", |r, out| show(r.source.local.port(), out)),
    ("ci", "Call-ID", |r, out| header(r, HeaderId::CallId, out)),
    ("cs", "number of CSeq", |r, out| {
        number(r.message.cseq().ok().map(|cseq| cseq.number), out);
    }),
    ("ct", "Contact", |r, out| header(r, HeaderId::Contact, out)),
    ("cT", "Content-Type", |r, out| header(r, HeaderId::ContentType, out)),
    ("cl", "Content-Length", |r, out| header(r, HeaderId::ContentLength, out)),
    ("ua", "User-Agent", |r, out| header(r, HeaderId::UserAgent, out)),
    ("au", "username that the credentials prove", |r, out| proved(r, |it| &it.username, out)),
    ("ar", "realm of the credentials", |r, out| proved(r, |it| &it.realm, out)),
    ("mb", "the whole message", |r, out| {
        out.push_str(&String::from_utf8_lossy(&r.message.to_bytes()));
    }),
    ("ml", "length of the message", |r, out| show(r.message.to_bytes().len(), out)),
];

/// The text with every pseudo-variable replaced: `$name` or `$(name)`, `$hdr(Name)`, `$avp(name)`,
/// `$$` for a dollar. What is no variable stays as it is.
pub fn expand(route: &Route, text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        rest = match variable(route, rest, &mut out) {
            Some(length) => &rest[length..],
            None => {
                out.push('$');
                rest
            }
        };
    }
    out.push_str(rest);
    out
}

/// Name and meaning of every variable, for documentation.
pub fn variables() -> impl Iterator<Item = (&'static str, &'static str)> {
    VARIABLES.iter().map(|(name, meaning, _)| (*name, *meaning))
}

/// Writes the variable that `text` begins with; gives the length of its name.
fn variable(route: &Route, text: &str, out: &mut String) -> Option<usize> {
    if text.starts_with('$') {
        out.push('$');
        return Some(1);
    }
    if let Some((name, length)) = argument(text, "hdr(") {
        if let Some(value) = route.message.header_named(name) {
            out.push_str(&String::from_utf8_lossy(value));
        }
        return Some(length);
    }
    if let Some((name, length)) = argument(text, "avp(") {
        if let Some(value) = route.variables.get(name) {
            show(value, out);
        }
        return Some(length);
    }
    if let Some((name, length)) = argument(text, "(") {
        let (_, _, read) = VARIABLES.iter().find(|(known, ..)| *known == name)?;
        read(route, out);
        return Some(length);
    }
    let (name, _, read) = VARIABLES.iter().find(|(name, ..)| text.starts_with(name))?;
    read(route, out);
    Some(name.len())
}

/// What stands between `opening` and `)`, and the length of all.
fn argument<'t>(text: &'t str, opening: &str) -> Option<(&'t str, usize)> {
    let (name, _) = text.strip_prefix(opening)?.split_once(')')?;
    Some((name, opening.len() + name.len() + 1))
}

fn show(value: impl std::fmt::Display, out: &mut String) {
    write!(out, "{value}").expect("a String takes everything");
}

fn number<T: std::fmt::Display>(value: Option<T>, out: &mut String) {
    if let Some(value) = value {
        show(value, out);
    }
}

fn header(route: &Route, id: HeaderId, out: &mut String) {
    out.push_str(&route.message.text(id).unwrap_or_default());
}

fn body(route: &Route, out: &mut String) {
    out.push_str(&String::from_utf8_lossy(route.message.body()));
}

fn from(route: &Route, write: fn(&NameAddr<'_>, &mut String), out: &mut String) {
    if let Ok(address) = route.message.from() {
        write(&address, out);
    }
}

fn to(route: &Route, write: fn(&NameAddr<'_>, &mut String), out: &mut String) {
    if let Ok(address) = route.message.to() {
        write(&address, out);
    }
}

fn proved(route: &Route, part: fn(&Authentication) -> &str, out: &mut String) {
    if let Some(found) = &route.authentication
        && found.outcome == Outcome::Ok
    {
        out.push_str(part(found));
    }
}

fn uri(address: &NameAddr<'_>, out: &mut String) {
    out.push_str(address.uri);
}

fn tag(address: &NameAddr<'_>, out: &mut String) {
    out.push_str(address.tag().unwrap_or(""));
}

fn name(address: &NameAddr<'_>, out: &mut String) {
    out.push_str(&address.display_name());
}

fn of_uri(text: &str, write: fn(&Uri<'_>, &mut String), out: &mut String) {
    if let Ok(uri) = Uri::parse(text) {
        write(&uri, out);
    }
}

fn user(uri: &Uri<'_>, out: &mut String) {
    out.push_str(uri.user().unwrap_or(""));
}

fn host(uri: &Uri<'_>, out: &mut String) {
    out.push_str(uri.host());
}

fn port(uri: &Uri<'_>, out: &mut String) {
    number(uri.port(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variable_is_hidden_by_a_shorter_one() {
        for (i, (name, ..)) in VARIABLES.iter().enumerate() {
            let hides = |(above, ..): &(&str, &str, Read)| name.starts_with(above);
            assert!(!VARIABLES[..i].iter().any(hides), "${name} is never read");
        }
    }
}
