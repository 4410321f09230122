//! Substitutions in the message and in its Request-URI.

use std::rc::Rc;

use bytes::Bytes;
use rhai::ImmutableString;

use super::{Config, lossy};
use crate::script::error::RouteError;
use crate::script::export::{ANY, BRANCH, FAILURE, Kinds, REQUEST, XMPP_MESSAGE};
use crate::script::module::ModuleExports;
use crate::script::route::Route;
use crate::script::substitution::Substitution;
use crate::sip::{HeaderId, Message, Uri};

/// Where a next hop is still open.
const BEFORE_RELAY: Kinds = REQUEST.or(FAILURE).or(BRANCH).or(XMPP_MESSAGE);

pub(super) fn export(textops: &mut ModuleExports<'_, Config>) {
    textops
        .export("subst", ["expression"], ANY, subst)
        .export("subst_hf", ["name", "expression", "which"], ANY, subst_hf)
        .export("subst_uri", ["expression"], BEFORE_RELAY, subst_uri)
        .export("subst_user", ["expression"], BEFORE_RELAY, subst_user)
        .export("subst_body", ["expression"], ANY, subst_body);
}

/// Replaces text in the headers, as `sed` does: `/pattern/replacement/flags`. Returns false when nothing was found.
///
/// Any sign may stand for `/`. In the replacement `\0` is what was found and `\1` to `\9` are its groups; the flags are `g`, all;
/// `i`, in any case; `s`, across lines. `^` and `$` are the ends of a line. What is no SIP message afterwards is an error.
///
/// ```rhai
/// subst("/^Subject: *(.*)$/Subject: [ours] \\1/i");
/// ```
fn subst(route: &mut Route, _: &Config, expression: Rc<Substitution>) -> Result<bool, RouteError> {
    let old = route.message.to_bytes();
    let line_end = memchr::memchr(b'\n', &old).map_or(old.len(), |at| at + 1);
    let head_end = old.len() - route.message.body().len();
    let (Some(line), Some(head)) = (old.get(..line_end), old.get(line_end..head_end)) else {
        return Ok(false);
    };
    // The empty line stays, so that no pattern joins headers and body.
    let headers = head.strip_suffix(b"\r\n").unwrap_or(head);
    let Some(changed) = expression.apply(&lossy(headers)) else { return Ok(false) };
    let new = [line, changed.as_bytes(), &head[headers.len()..], route.message.body()].concat();
    route.message = checked("subst", &route.message, new)?;
    Ok(true)
}

/// Replaces text in the values of one header, as `subst` does. `which` is `a`, all of this name; `f`, the first; or `l`, the
/// last. Returns false when nothing was found.
///
/// ```rhai
/// subst_hf("Subject", "/^Re: //", "f");
/// ```
fn subst_hf(
    route: &mut Route,
    _: &Config,
    name: ImmutableString,
    expression: Rc<Substitution>,
    which: ImmutableString,
) -> Result<bool, RouteError> {
    let is_meant: fn(usize, usize) -> bool = match which.as_str() {
        "a" => |_, _| true,
        "f" => |place, _| place == 0,
        "l" => |place, count| place + 1 == count,
        _ => {
            let reason = format!("subst_hf(): `{which}` is none of a, f and l");
            return Err(RouteError::BadArgument { argument: "which", reason });
        }
    };
    let old = route.message.to_bytes();
    let lines = header_lines(&old[..old.len() - route.message.body().len()]);
    let count = lines.iter().filter(|line| is_named(line, &name)).count();
    let (mut new, mut place, mut is_changed) = (Vec::with_capacity(old.len()), 0, false);
    for line in &lines {
        let mut changed = None;
        if is_named(line, &name) {
            changed = is_meant(place, count).then(|| changed_line(line, &expression)).flatten();
            place += 1;
        }
        is_changed |= changed.is_some();
        new.extend_from_slice(changed.as_deref().unwrap_or(line));
    }
    if is_changed {
        new.extend_from_slice(route.message.body());
        route.message = checked("subst_hf", &route.message, new)?;
    }
    Ok(is_changed)
}

/// A header line with another value; `None` when nothing was found in it.
fn changed_line(line: &[u8], expression: &Substitution) -> Option<Vec<u8>> {
    let colon = memchr::memchr(b':', line)?;
    let value = expression.apply(&lossy(line[colon + 1..].trim_ascii()))?;
    Some([&line[..=colon], b" ", value.as_bytes(), b"\r\n"].concat())
}

/// The lines of a head with their ends, each with those that continue it.
fn header_lines(head: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut start) = (Vec::new(), 0);
    for end in memchr::memchr_iter(b'\n', head) {
        // The empty line is a line.
        if !matches!(head.get(end + 1), Some(b' ' | b'\t')) {
            lines.push(&head[start..=end]);
            start = end + 1;
        }
    }
    lines
}

/// Is this a line of the header, by its long or short name?
fn is_named(line: &[u8], name: &str) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else { return false };
    let found = line[..colon].trim_ascii();
    match HeaderId::from_name(name.as_bytes()) {
        HeaderId::Other => found.eq_ignore_ascii_case(name.as_bytes()),
        known => HeaderId::from_name(found) == known,
    }
}

/// A message that may take the place of `old`.
fn checked(function: &str, old: &Message, new: Vec<u8>) -> Result<Message, RouteError> {
    let refuse = |reason: String| RouteError::BadArgument { argument: "expression", reason };
    let new = Message::parse(Bytes::from(new))
        .map_err(|error| refuse(format!("{function}(): what is left is no message: {error}")))?;
    new.validate().map_err(|finding| {
        refuse(format!("{function}(): what is left is no message: {finding}"))
    })?;
    let via = |message: &Message| message.top_via().map(|via| via.as_str().to_owned()).ok();
    match via(old) == via(&new) {
        true => Ok(new),
        false => Err(refuse(format!("{function}(): the replies need the top Via as it is"))),
    }
}

/// Replaces text in the Request-URI, as `subst` does. Returns false when nothing was found.
///
/// ```rhai
/// subst_uri("/^sip:0([1-9][0-9]*)@(.*)$/sip:+49\\1@\\2/");
/// ```
fn subst_uri(
    route: &mut Route,
    _: &Config,
    expression: Rc<Substitution>,
) -> Result<bool, RouteError> {
    let Some(uri) = expression.apply(route.message.request_uri()) else { return Ok(false) };
    Uri::parse(&uri).map_err(|error| RouteError::BadArgument {
        argument: "expression",
        reason: format!("subst_uri(): `{uri}` is no URI: {error}"),
    })?;
    route.message.set_request_uri(&uri)?;
    Ok(true)
}

/// Replaces text in the user part of the Request-URI, as `subst` does. Returns false when nothing was found.
///
/// ```rhai
/// subst_user("/^00/+/");
/// ```
fn subst_user(
    route: &mut Route,
    _: &Config,
    expression: Rc<Substitution>,
) -> Result<bool, RouteError> {
    let uri = route.request_uri()?;
    let Some(user) = expression.apply(uri.user().unwrap_or("")) else { return Ok(false) };
    let user = Some(user.as_str()).filter(|user| !user.is_empty());
    let uri = uri.with_user(user).map_err(|error| RouteError::BadArgument {
        argument: "expression",
        reason: format!("subst_user(): `{}` is no user: {error}", user.unwrap_or("")),
    })?;
    route.message.set_request_uri(&uri)?;
    Ok(true)
}

/// Replaces text in the body, as `subst` does, and keeps Content-Length true. Returns false when nothing was found.
///
/// ```rhai
/// subst_body("/secret/******/g");
/// ```
fn subst_body(
    route: &mut Route,
    _: &Config,
    expression: Rc<Substitution>,
) -> Result<bool, RouteError> {
    let changed = expression.apply(&lossy(route.message.body()));
    let Some(changed) = changed else { return Ok(false) };
    let content_type = route.message.content_type().unwrap_or_default().into_owned();
    route.message.set_body(&content_type, Bytes::from(changed))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::export::Kind;
    use crate::script::router::recording::{message_route, request, route};

    const NONE: &Config = &Config {};

    fn expression(text: &str) -> Rc<Substitution> {
        Rc::new(Substitution::parse(text).unwrap())
    }

    fn to(uri: &str) -> Box<Route> {
        route(Kind::Request, request("MESSAGE", uri, ""), &Rc::default())
    }

    #[test]
    fn headers_are_changed_and_nothing_else() {
        let mut route = message_route(&Rc::default());
        let found = subst(&mut route, NONE, expression("/^User-Agent: (.*)$/User-Agent: <\\1>/"));
        assert_eq!(found, Ok(true));
        assert_eq!(route.message.header_named("User-Agent"), Some(&b"<test>"[..]));
        assert_eq!(route.message.body(), b"Hello");
        assert_eq!(subst(&mut route, NONE, expression("/Hello/Bye/")), Ok(false), "no header");
        assert_eq!(subst(&mut route, NONE, expression("/^MESSAGE/INFO/")), Ok(false), "first line");
    }

    #[test]
    fn one_header_is_changed_wherever_it_stands() {
        let more = "X-A: one\r\nx-a : one\r\n two\r\nX-B: one\r\nX-A: one\r\n\r\none";
        let changed = |name: &str, text: &str, which: &str| {
            let mut route =
                route(Kind::Request, request("MESSAGE", "sip:a@b", more), &Rc::default());
            let found = subst_hf(&mut route, NONE, name.into(), expression(text), which.into())?;
            let text = String::from_utf8(route.message.to_bytes().to_vec()).unwrap();
            let values = text[text.find("X-A").unwrap()..].to_owned();
            Ok::<_, RouteError>((found, values))
        };
        let all = "X-A: 1\r\nx-a : 1\r\n two\r\nX-B: one\r\nX-A: 1\r\n\r\none";
        assert_eq!(changed("x-A", "/^one/1/", "a"), Ok((true, all.to_owned())));
        let first = more.replacen("one", "1", 1);
        assert_eq!(changed("X-A", "/one/1/", "f"), Ok((true, first)));
        let last = more.replace("X-B: one\r\nX-A: one", "X-B: one\r\nX-A: 1");
        assert_eq!(changed("X-A", "/one/1/", "l"), Ok((true, last)));
        assert_eq!(changed("X-C", "/one/1/", "a"), Ok((false, more.to_owned())));
        assert_eq!(changed("X-A", "/three/1/", "a"), Ok((false, more.to_owned())));
        assert!(changed("X-A", "/one/1/", "x").is_err());
        assert!(changed("X-C", "/one/1/", "x").is_err());
        assert!(changed("CSeq", "/7/seven/", "a").is_err(), "it is no message");
        assert!(changed("v", "/z9hG4bK1/other/", "f").is_err(), "the top Via stays");
    }

    #[test]
    fn edits_before_are_seen() {
        let mut route = message_route(&Rc::default());
        route.message.append_header("X-One", "1").unwrap();
        assert_eq!(subst(&mut route, NONE, expression("/X-One: 1/X-One: 2/")), Ok(true));
        assert_eq!(route.message.header_named("X-One"), Some(&b"2"[..]));
    }

    #[test]
    fn what_is_no_message_afterwards_is_refused_and_nothing_changes() {
        let mut route = message_route(&Rc::default());
        for bad in [
            "/^From:.*$/From: nobody </",
            "/^CSeq/Sceq/",
            "/Via: SIP/X: SIP/",
            "/z9hG4bK1/z9hG4bK2/",
            "/User-Agent: test/no colon/",
        ] {
            let error = subst(&mut route, NONE, expression(bad)).unwrap_err();
            assert_eq!(error.status().0, 500, "{bad}");
        }
        assert_eq!(route.message.header_named("User-Agent"), Some(&b"test"[..]));
        assert!(route.message.validate().is_ok());
    }

    #[test]
    fn the_request_uri_stays_one() {
        let mut route = to("sip:0123@b");
        let found = subst_uri(&mut route, NONE, expression("/^sip:0(.*)@.*$/sip:+49\\1@c;x=y/"));
        assert_eq!((found, route.message.request_uri()), (Ok(true), "sip:+49123@c;x=y"));
        assert_eq!(subst_uri(&mut route, NONE, expression("/tel/sip/")), Ok(false));
        for bad in ["/^sip://", "/@/@ /", "/.*//", "/;.*$/:x/"] {
            assert_eq!(subst_uri(&mut route, NONE, expression(bad)).unwrap_err().status().0, 500);
        }
        assert_eq!(route.message.request_uri(), "sip:+49123@c;x=y");
    }

    #[test]
    fn the_user_stays_in_its_place() {
        let mut route = to("sip:0049@0049.example");
        assert_eq!(subst_user(&mut route, NONE, expression("/^00/+/")), Ok(true));
        assert_eq!(route.message.request_uri(), "sip:+49@0049.example");
        for bad in ["/$/@evil/", "/49/ /", "/49/\\n/"] {
            assert!(subst_user(&mut route, NONE, expression(bad)).is_err(), "{bad}");
        }
        assert_eq!(subst_user(&mut route, NONE, expression("/.*//")), Ok(true));
        assert_eq!(route.message.request_uri(), "sip:0049.example");
    }

    #[test]
    fn the_body_keeps_its_length_true() {
        let mut route = message_route(&Rc::default());
        assert_eq!(subst_body(&mut route, NONE, expression("/l/LL/g")), Ok(true));
        assert_eq!(route.message.body(), b"HeLLLLo");
        assert_eq!(route.message.content_length(), Ok(Some(7)));
        assert_eq!(subst_body(&mut route, NONE, expression("/x/y/")), Ok(false));
    }
}
