//! The listener that a request leaves from.

use std::net::{IpAddr, SocketAddr};

use rhai::ImmutableString;

use super::Config;
use crate::script::error::RouteError;
use crate::script::export::{BRANCH, FAILURE, REQUEST};
use crate::script::module::ModuleExports;
use crate::script::route::Route;
use crate::sip::transport::Transport;

pub(super) fn export(core: &mut ModuleExports<'_, Config>) {
    core.export("force_send_socket", ["socket"], REQUEST | FAILURE | BRANCH, force_send_socket);
}

/// Has the request leave from this listener of ours, `udp:192.0.2.1:5060`; transport and port may be left out.
///
/// Via and Record-Route name it. When the next hop is reached over another transport, the listener of that transport at
/// the same address takes its place.
///
/// ```rhai
/// if ruri_user().starts_with("9") { force_send_socket("udp:127.0.0.1"); }
/// t_relay();
/// ```
fn force_send_socket(
    route: &mut Route,
    _: &Config,
    socket: ImmutableString,
) -> Result<(), RouteError> {
    let unfit = |reason: &str| RouteError::BadArgument {
        argument: "socket",
        reason: format!("force_send_socket(): `{socket}` {reason}"),
    };
    let (transport, ip, port) =
        parts(&socket).ok_or_else(|| unfit("is not like `udp:192.0.2.1:5060`"))?;
    let listener = route.router().listener(transport, ip, port);
    route.send_socket = Some(listener.ok_or_else(|| unfit("is no listener of ours"))?);
    Ok(())
}

/// `[transport:]address[:port]`
fn parts(socket: &str) -> Option<(Option<Transport>, IpAddr, Option<u16>)> {
    let named = socket.split_once(':').and_then(|(name, rest)| Some((name.parse().ok()?, rest)));
    let (transport, rest) = match named {
        Some((transport, rest)) => (Some(transport), rest),
        None => (None, socket),
    };
    if let Ok(address) = rest.parse::<SocketAddr>() {
        return Some((transport, address.ip(), Some(address.port())));
    }
    let bare = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(rest);
    Some((transport, bare.parse().ok()?, None))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::script::router::recording::message_route;

    #[test]
    fn a_listener_is_named_by_its_address_and_what_else_is_known() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (socket, expected) in [
            ("udp:192.0.2.1:5060", Some((Some(Transport::Udp), ip("192.0.2.1"), Some(5060)))),
            ("TCP:192.0.2.1", Some((Some(Transport::Tcp), ip("192.0.2.1"), None))),
            ("192.0.2.1:5060", Some((None, ip("192.0.2.1"), Some(5060)))),
            ("192.0.2.1", Some((None, ip("192.0.2.1"), None))),
            ("tls:[::1]:5061", Some((Some(Transport::Tls), ip("::1"), Some(5061)))),
            ("[::1]", Some((None, ip("::1"), None))),
            ("::1", Some((None, ip("::1"), None))),
            ("udp:sip.example:5060", None),
            ("carrier:192.0.2.1", None),
            ("udp:192.0.2.1:99999", None),
            ("", None),
        ] {
            assert_eq!(parts(socket), expected, "{socket}");
        }
    }

    #[test]
    fn what_is_no_listener_of_ours_is_refused() {
        let mut route = message_route(&Rc::default());
        for socket in ["udp:192.0.2.1:5060", "192.0.2.1"] {
            route.send_socket = None;
            force_send_socket(&mut route, &Config {}, socket.into()).unwrap();
            let local = "192.0.2.1:5060".parse().unwrap();
            assert_eq!(route.send_socket, Some((Transport::Udp, local)), "{socket}");
        }
        for socket in ["udp:192.0.2.1:5070", "tcp:192.0.2.1", "udp:192.0.2.9", "nonsense"] {
            let error = force_send_socket(&mut route, &Config {}, socket.into()).unwrap_err();
            assert!(error.to_string().contains(socket), "{error}");
            assert_eq!(error.status().0, 500);
        }
    }
}
