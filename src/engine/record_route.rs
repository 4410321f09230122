//! Route and Record-Route of a request that goes on (RFC 3261 §16.4, §16.6 step 4).

use std::net::SocketAddr;

use super::worker::Worker;
use crate::net::udp::address_toward;
use crate::script::error::RouteError;
use crate::script::route::Route;
use crate::sip::proxy::loose_route::preprocess;
use crate::sip::proxy::maddr::strip_maddr;
use crate::sip::proxy::record_route::{Hop, RecordRoute};
use crate::sip::transport::{Source, Transport};
use crate::sip::{HeaderId, Message, Uri};

/// Bytes of two Record-Route headers with a usual tag.
const RESERVE: usize = 250;

/// What a request needs to be recorded when its way is known.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    wish: RecordRoute,
    /// Where the request came from.
    source: Source,
}

impl Recording {
    /// What the script has asked for.
    pub(super) fn of(route: &Route) -> Option<Self> {
        Self::wished(&route.record_route, route.source)
    }

    /// The same of a request that has come from `source`.
    pub(super) fn wished(wish: &Option<RecordRoute>, source: Source) -> Option<Self> {
        Some(Self { wish: wish.clone()?, source })
    }

    /// Room for the headers in a datagram.
    pub(super) fn reserve(&self) -> usize {
        RESERVE + 2 * self.wish.params.len()
    }
}

impl Worker {
    /// RFC 3261 §16.4: an `maddr` that is ours goes before anybody looks at the Request-URI.
    pub(super) fn strip_maddr(&self, message: &mut Message, source: Source) {
        let is_ours = |host: &str, port| self.shared.is_myself(host, port);
        // A request that has grown too large goes on as it came.
        let _ = strip_maddr(message, source.transport, source.local.port(), is_ours);
    }

    /// RFC 3261 §16.4: the Route of a request that the script has not followed loses what names us.
    pub(super) fn remove_own_route(
        &self,
        is_followed: bool,
        message: &mut Message,
    ) -> Result<(), RouteError> {
        if !is_followed {
            preprocess(message, |uri| self.is_own_route(uri))?;
        }
        Ok(())
    }

    fn is_own_route(&self, uri: &Uri<'_>) -> bool {
        uri.is_sip() && self.shared.is_myself(uri.host(), uri.port())
    }

    /// Writes Record-Route into a request that leaves over `transport`, where we are `sent_by`.
    pub(super) fn add_record_route(
        &self,
        message: &mut Message,
        recording: &Recording,
        transport: Transport,
        sent_by: SocketAddr,
    ) -> Result<(), RouteError> {
        let Recording { wish, source } = recording;
        let local = self.reached_at(source.transport, source.local, source.peer)?;
        let (incoming, outgoing) =
            (self.own_addresses.text(local), self.own_addresses.text(sent_by));
        let incoming = Hop { transport: source.transport, sent_by: &incoming };
        let values = wish.values(message, incoming, Hop { transport, sent_by: &outgoing });
        for value in values.iter().rev() {
            message.prepend_header(HeaderId::RecordRoute.name(), value)?;
        }
        Ok(())
    }

    /// The listener's address as `peer` reaches it, for a message between `local` and `peer`.
    ///
    /// A connection that we have opened has a port of its own, where nobody can call us.
    pub(super) fn reached_at(
        &self,
        transport: Transport,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Result<SocketAddr, RouteError> {
        let listener = listener_of(&self.shared.listeners, transport, local).unwrap_or(local);
        if !listener.ip().is_unspecified() {
            return Ok(listener);
        }
        let ip = match local.ip().is_unspecified() {
            false => local.ip(),
            true => address_toward(peer).map_err(|error| RouteError::Unreachable {
                status: 503,
                destination: peer.ip().to_string(),
                reason: error.to_string(),
            })?,
        };
        Ok(SocketAddr::new(ip, listener.port()))
    }
}

/// The listener at `local`, or the first of its transport and address family.
fn listener_of(
    listeners: &[(Transport, SocketAddr)],
    transport: Transport,
    local: SocketAddr,
) -> Option<SocketAddr> {
    let of_transport = || listeners.iter().filter(|(of, _)| *of == transport).map(|(_, at)| *at);
    let is_it = |at: &SocketAddr| {
        at.port() == local.port() && (at.ip() == local.ip() || at.ip().is_unspecified())
    };
    let of_family = || of_transport().find(|at| at.is_ipv4() == local.is_ipv4());
    of_transport().find(is_it).or_else(of_family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_of_ours_is_reached_at_the_listener_of_its_kind() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let listeners = [
            (Transport::Udp, at("192.0.2.1:5060")),
            (Transport::Tcp, at("192.0.2.1:5060")),
            (Transport::Tcp, at("[2001:db8::1]:5070")),
            (Transport::Tcp, at("0.0.0.0:5080")),
        ];
        let found = |transport, local| listener_of(&listeners, transport, at(local));
        assert_eq!(found(Transport::Tcp, "192.0.2.1:5060"), Some(at("192.0.2.1:5060")));
        assert_eq!(found(Transport::Tcp, "192.0.2.1:41234"), Some(at("192.0.2.1:5060")));
        assert_eq!(found(Transport::Tcp, "[2001:db8::1]:41234"), Some(at("[2001:db8::1]:5070")));
        assert_eq!(found(Transport::Tcp, "198.51.100.7:5080"), Some(at("0.0.0.0:5080")));
        assert_eq!(found(Transport::Tls, "192.0.2.1:5061"), None);
    }
}
