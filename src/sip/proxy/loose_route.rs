//! Following the Route of a request, through loose and strict routers (RFC 3261 §16.4, §16.6 step 6, §16.12).

use super::forward::clean_request_uri;
use crate::sip::{HeaderError, HeaderId, Message, NameAddr, Uri, unescape};

/// What the Route of a request has told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// The parameters of the Route value that named us, without the first `;`; `None` when none did.
    pub params: Option<String>,
    /// To has no tag: the sender has chosen the route, no dialog has.
    pub is_preloaded: bool,
    /// The next value of the route set; `None` when the Request-URI is next.
    pub next_hop: Option<String>,
}

/// Which way a request goes within its dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// As the request that made the dialog: from caller to callee.
    Downstream,
    /// Against it.
    Upstream,
}

impl Followed {
    /// The route set leads the request: by a further value or, inside a dialog, to the Request-URI.
    ///
    /// A request outside a dialog whose only Route names us has merely come through its outbound proxy.
    pub fn is_led(&self) -> bool {
        self.next_hop.is_some() || !self.is_preloaded
    }

    /// The value of a parameter of our own Route; `None` when it is missing or has no value.
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut params = self.params.as_deref()?.split(';').filter_map(|it| it.split_once('='));
        params.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The direction, by the tag that we have left in `ftag`; downstream when there is none.
    pub fn direction(&self, request: &Message) -> Direction {
        let tag = request.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        match self.param("ftag") {
            Some(caller) if unescape(caller) != tag.as_bytes() => Direction::Upstream,
            _ => Direction::Downstream,
        }
    }
}

/// Takes what is ours out of the Route, and finds the next hop; `None` when there is no Route.
///
/// `is_ours` tells whether a URI names us. The Request-URI changes twice at most: by [`preprocess`], and when
/// the next hop is a strict router.
pub fn loose_route(
    request: &mut Message,
    is_ours: impl Fn(&Uri<'_>) -> bool,
) -> Result<Option<Followed>, HeaderError> {
    let Some(mut followed) = preprocess(request, is_ours)? else { return Ok(None) };
    followed.next_hop = first_hop(request)?;
    Ok(Some(followed))
}

/// Takes what is ours out of the Route (§16.4), and leaves the next hop open; `None` when there is no Route.
///
/// When a strict router has put a Route value of ours into the Request-URI, the last Route value returns there.
pub fn preprocess(
    request: &mut Message,
    is_ours: impl Fn(&Uri<'_>) -> bool,
) -> Result<Option<Followed>, HeaderError> {
    if request.header(HeaderId::Route).is_none() {
        return Ok(None);
    }
    let mut params = restore_request_uri(request, &is_ours)?;
    if let Some(own) = pop_own(request, &is_ours)? {
        if has_param(&own, "r2") {
            pop_second(request, &is_ours)?;
        }
        params = params.or(Some(own));
    }
    let is_preloaded = request.to()?.tag().is_none();
    Ok(Some(Followed { params, is_preloaded, next_hop: None }))
}

/// The next hop that the Route names; a strict router there gets the request in its form (§16.6 step 6).
pub(super) fn first_hop(request: &mut Message) -> Result<Option<String>, HeaderError> {
    let Some(first) = first_route(request)? else { return Ok(None) };
    let next = first.as_str().to_owned();
    if !first.has_param("lr") {
        clean_request_uri(request).map_err(|_| MALFORMED)?;
        let target = format!("<{}>", request.request_uri());
        let mut routes = routes(request);
        routes.remove(0);
        routes.push(target);
        set_routes(request, &routes)?;
        set_request_uri(request, &next)?;
    }
    Ok(Some(next))
}

const MALFORMED: HeaderError = HeaderError::Malformed(HeaderId::Route);

/// §16.4: a strict router upstream has put our Record-Route value into the Request-URI, whose place is at the
/// end of the Route. Gives the parameters of our value.
///
/// What we record has `lr` and no user, unlike a contact of ours.
fn restore_request_uri(
    request: &mut Message,
    is_ours: impl Fn(&Uri<'_>) -> bool,
) -> Result<Option<String>, HeaderError> {
    let params = match request.uri() {
        Ok(uri) if uri.user().is_none() && uri.has_param("lr") && is_ours(&uri) => {
            uri.params().as_str().to_owned()
        }
        _ => return Ok(None),
    };
    let mut routes = routes(request);
    let Some(last) = routes.pop() else { return Ok(None) };
    let target = NameAddr::parse(HeaderId::Route, &last)?;
    set_routes(request, &routes)?;
    set_request_uri(request, target.uri)?;
    Ok(Some(params))
}

/// Removes the first Route value if it names us, and gives its parameters.
fn pop_own(
    request: &mut Message,
    is_ours: impl Fn(&Uri<'_>) -> bool,
) -> Result<Option<String>, HeaderError> {
    let params = match first_route(request)? {
        Some(uri) if is_ours(&uri) => uri.params().as_str().to_owned(),
        _ => return Ok(None),
    };
    request.pop_value(HeaderId::Route);
    Ok(Some(params))
}

/// Removes the other value of a double record-route.
fn pop_second(
    request: &mut Message,
    is_ours: impl Fn(&Uri<'_>) -> bool,
) -> Result<(), HeaderError> {
    if first_route(request)?.is_some_and(|uri| uri.has_param("r2") && is_ours(&uri)) {
        request.pop_value(HeaderId::Route);
    }
    Ok(())
}

fn first_route(request: &Message) -> Result<Option<Uri<'_>>, HeaderError> {
    let first = request.addresses(HeaderId::Route).next().transpose()?;
    first.map(|it| it.parsed_uri().map_err(|_| MALFORMED)).transpose()
}

fn has_param(params: &str, name: &str) -> bool {
    params.split(';').any(|it| it.split('=').next().is_some_and(|it| it.eq_ignore_ascii_case(name)))
}

/// A Request-URI has neither headers nor `method` (§19.1.1).
fn set_request_uri(request: &mut Message, text: &str) -> Result<(), HeaderError> {
    Uri::parse(text).map_err(|_| MALFORMED)?;
    request.set_request_uri(text).map_err(|_| MALFORMED)?;
    clean_request_uri(request).map_err(|_| MALFORMED)
}

/// Every Route value, folds read as spaces.
fn routes(request: &Message) -> Vec<String> {
    let text = |value| String::from_utf8_lossy(value).replace(['\r', '\n'], " ");
    request.values(HeaderId::Route).map(text).collect()
}

fn set_routes(request: &mut Message, routes: &[String]) -> Result<(), HeaderError> {
    let name = HeaderId::Route.name();
    if routes.is_empty() {
        request.remove_headers(name);
        return Ok(());
    }
    request.set_header(name, &routes.join(", ")).map_err(|_| MALFORMED)
}

#[cfg(test)]
mod tests;
