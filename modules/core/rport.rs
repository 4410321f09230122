//! Where the replies to a request go.

use super::Config;
use crate::script::error::RouteError;
use crate::script::export::REQUEST;
use crate::script::module::ModuleExports;
use crate::script::route::Route;

pub(super) fn export(core: &mut ModuleExports<'_, Config>) {
    core.export("force_rport", [], REQUEST, force_rport);
}

/// Sends the replies to the port that the request came from, as if its Via asked for it with `rport`.
///
/// ```rhai
/// if src_port() != 5060 { force_rport(); }
/// ```
fn force_rport(route: &mut Route, _: &Config) -> Result<(), RouteError> {
    if !route.message.top_via()?.has_rport {
        route.message.add_via_param("rport")?;
        route.message.mark_source(route.source.peer)?;
    }
    route.source.reply_to = route.source.peer;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::script::export::Kind;
    use crate::script::router::recording::{request, route};

    #[test]
    fn rfc3581_s4_replies_go_to_the_port_that_the_request_came_from() {
        let mut route = route(Kind::Request, request("OPTIONS", "sip:a@b", ""), &Rc::default());
        route.message.replace_top_via("SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1").unwrap();
        route.source.reply_to = "192.0.2.7:5060".parse().unwrap();
        for _ in 0..2 {
            force_rport(&mut route, &Config {}).unwrap();
            let via = route.message.top_via().unwrap();
            assert_eq!((via.rport, via.received), (Some(5062), Some("192.0.2.7")));
            assert_eq!(via.branch, Some("z9hG4bK1"));
            assert_eq!(via.params.iter().count(), 3);
            assert_eq!(route.source.reply_to, route.source.peer);
        }
    }
}
