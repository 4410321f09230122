//! What a reply says.

use rhai::ImmutableString;

use super::Config;
use crate::script::error::RouteError;
use crate::script::export::ONREPLY;
use crate::script::module::ModuleExports;
use crate::script::route::Route;

pub(super) fn export(core: &mut ModuleExports<'_, Config>) {
    core.export("status", [], ONREPLY, status).export("reason", [], ONREPLY, reason);
}

/// The status of the reply.
///
/// ```rhai
/// fn onreply_route_SIGHT() {
///     if status() == 183 { info("early media for $ci"); }
/// }
/// ```
fn status(route: &mut Route, _: &Config) -> Result<i64, RouteError> {
    Ok(route.message.status().unwrap_or_default().into())
}

/// The Reason-Phrase of the reply.
///
/// ```rhai
/// fn onreply_route_SIGHT() {
///     if status() >= 300 { info("refused: " + reason()); }
/// }
/// ```
fn reason(route: &mut Route, _: &Config) -> Result<ImmutableString, RouteError> {
    Ok(route.message.reason().into())
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use bytes::Bytes;

    use super::*;
    use crate::script::export::Kind;
    use crate::script::router::recording;
    use crate::sip::Message;

    #[test]
    fn a_reply_tells_its_status_and_reason() {
        let reply = Message::parse(Bytes::from_static(b"SIP/2.0 486 Busy\r\n\r\n")).unwrap();
        let mut route = recording::route(Kind::OnReply, reply, &Rc::default());
        assert_eq!(status(&mut route, &Config {}), Ok(486));
        assert_eq!(reason(&mut route, &Config {}), Ok("Busy".into()));
    }
}
